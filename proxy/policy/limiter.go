package policy

import (
	"hash/maphash"
	"math"
	"strconv"
	"sync"
)

// Limiter is a token bucket for each key, with bounded memory. Safe for
// concurrent use.
type Limiter struct {
	o      LimiterOptions
	seed   maphash.Seed
	shards [limiterShards]limiterShard
	title  string // as RateLimit wants it
	says   string // RateLimit-Policy
}

// LimiterOptions describe a Limiter.
type LimiterOptions struct {
	Name    string  // of metrics and of the RateLimit-Policy field
	Rate    float64 // tokens a second
	Burst   int     // most tokens at once
	MaxKeys int     // 65536; beyond it the keys that are fullest are forgotten first
}

const (
	limiterShards  = 16
	defaultMaxKeys = 65536
	sampled        = 8 // keys that are compared when one has to go
)

type limiterShard struct {
	mu      sync.Mutex
	buckets map[string]*bucket
}

type bucket struct {
	tokens float64
	at     int64 // Unix nanoseconds for which tokens is right
}

// NewLimiter returns a Limiter whose buckets are full.
func NewLimiter(o LimiterOptions) *Limiter {
	if o.MaxKeys <= 0 {
		o.MaxKeys = defaultMaxKeys
	}
	if o.Burst < 1 {
		o.Burst = max(1, int(math.Ceil(o.Rate)))
	}
	if o.Name == "" {
		o.Name = "default"
	}
	l := &Limiter{o: o, seed: maphash.MakeSeed()}
	l.title = quoted(o.Name)
	l.says = l.title + ";q=" + strconv.Itoa(o.Burst)
	if o.Rate > 0 {
		l.says += ";w=" + strconv.Itoa(ceil(float64(o.Burst)/o.Rate))
	}
	for i := range l.shards {
		l.shards[i].buckets = map[string]*bucket{}
	}
	return l
}

func (l *Limiter) name() string   { return l.title }
func (l *Limiter) policy() string { return l.says }

// Options returns what the Limiter was made from, defaults filled in.
func (l *Limiter) Options() LimiterOptions { return l.o }

// Verdict is what a Limiter says of one request.
type Verdict struct {
	OK        bool
	Limit     int // tokens at most
	Remaining int // tokens that are left
	Reset     int // seconds until the bucket is full again
	Wait      int // seconds until the next token, at least 1 where it is not OK
}

// Take takes one token of key. now is Unix time in nanoseconds; a clock that
// steps back gives and takes nothing.
func (l *Limiter) Take(key string, now int64) Verdict {
	s := &l.shards[maphash.String(l.seed, key)%limiterShards]
	s.mu.Lock()
	defer s.mu.Unlock()
	b := s.buckets[key]
	if b == nil {
		if len(s.buckets) >= max(1, l.o.MaxKeys/limiterShards) {
			s.forget(l, now)
		}
		b = &bucket{tokens: float64(l.o.Burst), at: now}
		s.buckets[key] = b
	}
	b.tokens, b.at = l.tokens(b, now), max(now, b.at)
	v := Verdict{Limit: l.o.Burst}
	if b.tokens >= 1 {
		b.tokens--
		v.OK = true
	} else {
		v.Wait = max(1, ceil((1-b.tokens)/l.o.Rate))
	}
	v.Remaining, v.Reset = int(b.tokens), ceil((float64(l.o.Burst)-b.tokens)/l.o.Rate)
	return v
}

// tokens is what a bucket holds now.
func (l *Limiter) tokens(b *bucket, now int64) float64 {
	return min(float64(l.o.Burst), b.tokens+float64(max(0, now-b.at))/1e9*l.o.Rate)
}

// forget makes room for one key: of a few that are looked at, the one that loses
// least by being forgotten goes. The order of a map is random enough for that.
func (s *limiterShard) forget(l *Limiter, now int64) {
	victim, most, n := "", -1.0, 0
	for key, b := range s.buckets {
		if t := l.tokens(b, now); t > most {
			victim, most = key, t
		}
		if n++; n == sampled {
			break
		}
	}
	delete(s.buckets, victim)
}

// Keys returns how many keys are remembered.
func (l *Limiter) Keys() (n int) {
	for i := range l.shards {
		l.shards[i].mu.Lock()
		n += len(l.shards[i].buckets)
		l.shards[i].mu.Unlock()
	}
	return n
}

// ceil rounds seconds up; what never comes is a day.
func ceil(seconds float64) int {
	const day = 86400
	if math.IsNaN(seconds) || seconds > day {
		return day
	}
	return int(math.Ceil(seconds))
}
