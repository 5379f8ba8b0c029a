package edge

import (
	"net/netip"
	"time"
)

// RequestEvent reports one finished HTTP request. Observers get it once, after
// the last byte; they must not keep a reference to it. Strings that come from
// the client are as they were received and have to be escaped by whoever prints them.
type RequestEvent struct {
	Start      time.Time
	Duration   time.Duration // first byte of the request head to last byte of the answer
	TTFB       time.Duration // until the first byte of the answer was written
	Listener   string        // "http" or "https"
	Site       string        // configured name, or OtherSite
	Route      string        // configured name or match of the route; "": none
	RequestID  string
	Remote     netip.AddrPort // the peer of the connection
	Client     netip.Addr     // the peer, or what a trusted proxy said
	Method     string
	Scheme     string
	Host       string
	Path       string // raw, without query
	Query      string // raw
	Proto      string // "HTTP/1.0", "HTTP/1.1", "HTTP/2.0", "HTTP/3.0"
	UserAgent  string
	Referer    string
	Status     int // 499 where the client went away before there was one
	BytesIn    int64
	BytesOut   int64
	TLSVersion uint16 // 0 on plain HTTP
	TLSCipher  uint16
	SNI        string
	ALPN       string
	Resumed    bool
	Decision   string // "proxy", "redirect", "static", "challenge", "refused"

	User      string        // that basic authentication found; "": none
	TraceID   string        // W3C trace context, 32 hexadecimal digits; "": none
	SpanID    string        // of this exchange, 16 hexadecimal digits
	ParentID  string        // of the caller's span; "": edge began the trace
	Sampled   bool          // the trace is to be exported
	Limited   string        // the limit that refused the request: "rate", "connections", "body", "queue", "load"; "": none
	Encoding  string        // that edge compressed the answer with; "": none
	Pool      string        // key of the pool that was asked
	QueueTime time.Duration // spent waiting for room at an upstream

	Upstream         string // address that answered, empty where none was asked
	UpstreamStatus   int
	UpstreamDuration time.Duration // until its answer's header
	Attempts         int
	Err              error
}

// OtherSite is the site label of requests that belong to no configured site.
const OtherSite = "_other"

// HandshakeEvent reports one finished TLS handshake.
type HandshakeEvent struct {
	Start     time.Time
	Duration  time.Duration
	Listener  string
	Remote    netip.AddrPort
	SNI       string // untrusted
	Version   uint16
	Cipher    uint16
	ALPN      string
	Resumed   bool
	Challenge ChallengeType // set for handshakes of a validating CA
	Result    string        // "ok", "no_certificate", "timeout", "client_gone", "error"
	Err       error
}

// ConnEvent reports a connection that was opened (Delta 1) or closed (Delta -1),
// or refused over a limit (Refused set, Delta 0).
type ConnEvent struct {
	Listener string
	Proto    string // "http/1.1", "h2", "h3" or "tcp"; "" until it is known
	Remote   netip.AddrPort
	Delta    int
	Refused  string // reason, empty where it was accepted
}

// OrderEvent reports one finished attempt to obtain or renew a certificate.
type OrderEvent struct {
	Name      string
	CA        string // host of the directory URL
	Challenge ChallengeType
	Source    CertificateSource
	Renewal   bool
	Duration  time.Duration
	Reason    Reason // empty on success
	Err       error
}

// OnDemandEvent reports one decision on whether a name may have a certificate.
type OnDemandEvent struct {
	Name     string        // untrusted
	Decision string        // "allow", "deny", "error", "cached_allow", "cached_deny", "throttled"
	Asked    time.Duration // time spent at the permission endpoint, 0 where it was not asked
	Err      error
}

// ChallengeEvent reports one answer given, or withheld, to a validating CA.
type ChallengeEvent struct {
	Type   ChallengeType
	Result string // "answered", "unknown"
}

// ACMERequestEvent reports one HTTP request to a CA. An order takes a dozen.
type ACMERequestEvent struct {
	CA       string        // host of the directory URL
	Status   int           // 0 where there was no answer
	Duration time.Duration // until the header of the answer
	Err      error         // why there was none
}

// StorageEvent reports one operation on the storage of certificates.
type StorageEvent struct {
	Op       string        // "store", "load", "delete", "exists", "list", "stat", "lock", "unlock"
	Duration time.Duration // of a "lock": the wait for it
	Err      error         // wraps fs.ErrNotExist where there is no such key
}

// UpstreamStatus describes one upstream server at a moment.
type UpstreamStatus struct {
	Site      string    `json:"site"`
	Pool      string    `json:"pool,omitempty"`
	Address   string    `json:"address"`
	Healthy   bool      `json:"healthy"`         // checks and real requests say so, or there were none
	State     string    `json:"state,omitempty"` // "up", "down" (checks), "ejected" (failures of requests), "draining", "starting"
	Weight    int       `json:"weight,omitempty"`
	Queued    int       `json:"queued,omitempty"` // requests that wait for room in the pool
	Ejections uint64    `json:"ejections,omitempty"`
	Retries   uint64    `json:"retries,omitempty"` // requests that came here after another server failed
	InUse     int       `json:"in_use"`
	Idle      int       `json:"idle"`
	Requests  uint64    `json:"requests"`
	Failures  uint64    `json:"failures"`
	LastError string    `json:"last_error,omitempty"`
	LastFail  time.Time `json:"last_fail,omitzero"`
}
