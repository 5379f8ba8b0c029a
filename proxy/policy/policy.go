package policy

import "net/netip"

// Field is one header field as it is sent: names keep the case of the wire on
// HTTP/1 and are lower case on HTTP/2 and later.
type Field struct{ Name, Value string }

// Request is what an engine knows of a request after it has parsed its head.
type Request struct {
	Method string
	Scheme string // "http" or "https", of the connection
	Host   string // Host header or :authority, as received, port included
	Path   string // raw request path, "/" at least; "*" for OPTIONS *
	Query  string // raw, without "?"
	Major  int    // HTTP version
	Header []Field
	Remote netip.AddrPort // peer of the connection
	TLS    uint16         // version, 0 on plain HTTP
	SNI    string         // gated server name of the handshake, "" where there was none
	Cert   *ClientCert    // nil: the client showed none
	ID     string         // of the request, for placeholders
	Now    int64          // Unix time in nanoseconds, for limits
}

// Kind says what a Decision is.
type Kind uint8

// The kinds of decisions.
const (
	Static   Kind = iota // answer with Status and Body
	Redirect             // answer with Status and Location
	Proxy                // hand it to Pool
	Serve                // answer with a file of Rule.Action.Files
)

// Decision is what is to be done with one request.
type Decision struct {
	Kind     Kind
	Site     string // configured name of the site, or edge.OtherSite
	Status   int    // Static, Redirect
	Body     string // Static: text/plain
	Location string // Redirect
	Pool     string // Proxy: key of the upstream pool
	Host     string // Proxy: the Host header to send
	Client   netip.Addr
	// Forwarded are the header fields that describe the client to the upstream
	// (X-Forwarded-For, -Proto, -Host). Whatever the client sent under these
	// names has to be dropped, and Forwarded and X-Real-IP unless Trusted.
	Forwarded []Field
	Trusted   bool // the peer is a proxy whose word is taken
	Close     bool // close the connection after the answer

	// Path and Query are what was matched, normalised and rewritten: exactly this is
	// sent upstream, or looked up below a folder.
	Path, Query string
	// Rule is the route that applies; nil where none does (refusals before a route
	// was found). The engine carries out of it what concerns bytes: ForwardAuth,
	// edits, limits of bodies, compression, error pages.
	Rule    *Route
	Passed  bool    // the route's conditions hold: ForwardAuth is asked next, then the action is carried out
	Header  []Field // of the answer, whatever its kind: WWW-Authenticate, Retry-After, RateLimit, CORS
	Type    string  // Static: Content-Type; "": text/plain
	User    string  // that basic authentication found
	Limited string  // the limit that refused it, as in edge.RequestEvent
	HashKey string  // Proxy: what the pool balances by, where it does so
	Sticky  string  // Proxy: value of the pool's cookie
}
