package policy

import (
	"net/netip"
	"regexp"
)

// Route is what is done with the requests that Match describes. The first one in
// the order of a site's routes that matches decides.
type Route struct {
	Name  string // of metrics and logs: as configured, or made of Match; unique in its site
	Match Match

	// Conditions, in the order in which they are looked at.
	Maintenance *Maintenance
	Allow, Deny []netip.Prefix // Deny first; Allow, where it is not empty, is complete; 403
	RateLimits  []RateLimit
	CORS        *CORS
	BasicAuth   *BasicAuth
	ForwardAuth *ForwardAuth // asked by the engine, before Action

	// Changes on the way.
	Rewrite   Rewrite
	Request   []HeaderEdit // of what goes upstream
	Response  []HeaderEdit // of what goes to the client, also of answers of our own
	BodyBytes int64        // most bytes of a request body; 0: unlimited; 413
	// ResponseBytes is the most that a pool may answer; 0: unlimited. Beyond it 502,
	// or a visibly broken transfer where the answer has begun.
	ResponseBytes int64
	Compress      *Compress // nil: not
	Errors        []ErrorPage
	Intercept     bool // Errors also stand for what a pool answers with such a status

	Action Action

	*compiled // by NewTable
}

// Match says which requests a route is for: everything that is set must hold,
// and of a list one of its elements. The zero value matches every request.
type Match struct {
	Hosts   []string // exact or "*.x", clean; narrows the site's
	Paths   []string // "/exact", "/below/*" (all below), globs: "*" in a segment, "**" for any segments
	Methods []string // upper case
	Header  []FieldMatch
	Query   []FieldMatch   // name and value after percent-decoding
	Clients []netip.Prefix // of the client, not of a trusted proxy
}

// FieldMatch is a condition on a header field or a parameter of the query.
type FieldMatch struct {
	Name   string
	Values []string // globs with "*", any of them; none: there has to be a value
	Absent bool     // the field must not be there
}

// Action is what a route does in the end. Exactly one of the fields is set.
type Action struct {
	Proxy    *ProxyTo
	Redirect *RedirectTo
	Answer   *Answer
	Files    *Files
}

// ProxyTo hands a request to a pool.
type ProxyTo struct {
	Pool   string // key
	Host   string // Host header to send; "": the client's
	HashBy string // what a hash balances by: "client" (default), "header:NAME", "cookie:NAME", "path"
	Sticky string // name of the pool's cookie, whose value goes into Decision.Sticky
}

// RedirectTo answers with a Location, in which placeholders are replaced (see HeaderEdit).
type RedirectTo struct {
	Status   int
	Location string // "{path}" and "{query}" of the request after Rewrite
}

// Answer is a fixed answer.
type Answer struct {
	Status int
	Type   string // "text/plain; charset=utf-8" when empty
	Body   []byte
}

// Files serves a folder.
type Files struct {
	Root          string
	Index         []string // index.html
	Fallback      string   // path below Root that is served for what is not there ("/index.html"); "": 404
	Precompressed []string // encodings whose files lie beside: "zstd" .zst, "br" .br, "gzip" .gz
	Hidden        bool     // also names that begin with a dot
	CacheControl  string
}

// Maintenance answers 503 to everybody but Allow.
type Maintenance struct {
	Allow      []netip.Prefix
	RetryAfter int // seconds; 0: no such field
	Type       string
	Body       []byte
}

// RateLimit is a limit with what it counts by.
type RateLimit struct {
	By      string // "client" (an address, a /64 of IPv6), "header:NAME", "cookie:NAME"; who lacks it is counted by address
	Limiter *Limiter
}

// CORS is the preset for cross-origin requests (fetch standard, section 3.2).
type CORS struct {
	Origins     []string // exact, "https://*.x", or "*"
	Methods     []string // GET, HEAD, POST
	Headers     []string // none: those that are asked for
	Expose      []string
	Credentials bool // not with "*"
	MaxAge      int  // seconds
}

// ForwardAuth asks a server of the user's whether a request may pass.
type ForwardAuth struct {
	Pool    string
	Path    string   // and query
	Host    string   // Host header; "": the client's
	Request []string // fields of the client that are sent along; none: all but bodies' and hop-by-hop ones
	Copy    []string // fields of a 2xx answer that go to the upstream; what the client sent under these names is dropped
}

// Rewrite changes the path before it is sent: Strip, then Replace, then Add.
type Rewrite struct {
	Strip   string // prefix, at a segment's border
	Add     string // prefix
	Replace []Replace
	Path    string // instead of all that: the whole path
}

// Replace is a regular expression (RE2) on the path, with its replacement ($1).
type Replace struct {
	From *regexp.Regexp
	To   string
}

// HeaderEdit changes a header. Value may have placeholders: {client} {remote}
// {scheme} {host} {method} {path} {query} {request_id} {user} {tls_version}
// {client_cert_subject} {client_cert_issuer} {client_cert_serial}
// {client_cert_fingerprint} {client_cert_names}. A value with a placeholder never
// gets line ends or other control characters from outside.
type HeaderEdit struct {
	Op    EditOp
	Name  string
	Value string
}

// EditOp is what a HeaderEdit does.
type EditOp uint8

// The operations.
const (
	SetField     EditOp = iota // replaces all of that name
	AddField                   // beside what is there
	DefaultField               // only where there is none
	RemoveField                // Name may end in "*"
)

// Compress says what is compressed on its way to the client.
type Compress struct {
	Encodings []string // in order of preference; none: zstd, br, gzip
	Types     []string // "text/*", "application/json", …; none: a list of what compresses well
	MinBytes  int64    // 1024
	Level     int      // 1 (fast) to 9; 0: a balanced one
}

// ErrorPage stands for the plain text of answers with a status in From to To.
type ErrorPage struct {
	From, To int
	Type     string
	Body     []byte // {status} and {request_id} are replaced
}

// ClientCert is what is known of the certificate that a client showed.
type ClientCert struct {
	Verified    bool   // by the site's CAs, and not revoked
	Subject     string // RFC 2253
	Issuer      string
	Serial      string // hexadecimal
	Fingerprint string // SHA-256, hexadecimal
	Names       []string
}
