package upstream

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"io"
	"net"
	"net/netip"
	"reflect"
	"strings"
	"time"

	"edge/proxy/policy"
)

// Options describe one upstream server. The zero value of a duration or a
// limit means its default, which the field's comment names.
type Options struct {
	Scheme         string           // "http" (HTTP/1.1), "https" (HTTP/1.1 or HTTP/2 by ALPN) or "h2c"
	Address        string           // host:port, or "unix:" and a path
	ServerName     string           // TLS name; the host of Address when empty
	Roots          *x509.CertPool   // of https; nil: the system's
	Identity       *tls.Certificate // that https shows to the server; nil: none
	ProxyProtocol  int              // 1 or 2: a header of that version first on each connection; 0: none
	ConnectTimeout time.Duration    // 5 s, TLS included
	HeaderTimeout  time.Duration    // 60 s from the end of the request to the answer's header
	BodyTimeout    time.Duration    // 5 min without a byte of a body, in either direction
	IdleTimeout    time.Duration    // 60 s in the pool
	MaxIdle        int              // 128 idle connections
	HeaderBytes    int              // 64 KiB of answer header
	Dial           func(ctx context.Context, network, address string) (net.Conn, error)
}

// Request is one request to an upstream. Fields of Header are sent in order;
// hop-by-hop fields must have been removed, Host is separate.
type Request struct {
	Method        string
	Target        string // origin-form, or "*"
	Host          string
	Header        []policy.Field
	Body          io.Reader             // nil: none
	ContentLength int64                 // -1: unknown, sent chunked
	Trailer       func() []policy.Field // called after Body's EOF; nil: none
	TrailerNames  []string              // announced before the body (RFC 9110 section 6.6.2)
	Upgrade       string                // protocol token of an upgrade ("websocket"); empty: none
	Replayable    bool                  // safe to send again: idempotent and without a body
	// ExpectContinue holds the body back until the upstream has said 100 or a
	// second has passed (RFC 9110 section 10.1.1).
	ExpectContinue bool

	HashKey string         // what a pool balances by
	Sticky  string         // value of a pool's cookie, as the client sent it
	Client  netip.AddrPort // for a PROXY protocol header
	Local   netip.AddrPort // address that the client connected to

	// Interim is called for each 1xx answer but 101, in order.
	Interim func(status int, header []policy.Field) error
}

// Response is the final answer of an upstream. Close Body in all cases; the
// Response must not be used after that.
type Response struct {
	Status        int
	Header        []policy.Field // as received, hop-by-hop fields included
	Body          io.ReadCloser  // read error other than io.EOF: the body is cut short
	ContentLength int64          // -1: unknown
	Trailer       func() []policy.Field
	Upgraded      net.Conn // on 101: the connection, buffered bytes included
	Address       string   // who answered
	Attempts      int
	SetSticky     string        // Set-Cookie value for the client; "": none
	Queued        time.Duration // spent waiting for a server with room
}

// Host is the Host header for requests that are not a client's: without the port
// that the scheme implies, as any other client would send it.
func (o Options) Host() string {
	implied := ":80"
	if o.Scheme == "https" {
		implied = ":443"
	}
	if strings.HasPrefix(o.Address, "unix:") {
		return "localhost"
	}
	return strings.TrimSuffix(o.Address, implied)
}

// Same reports whether connections made for o are as good for b.
func (o *Options) Same(b *Options) bool {
	x, y := *o, *b
	if (x.Dial == nil) != (y.Dial == nil) || x.Dial != nil {
		return false // functions cannot be compared
	}
	if (x.Roots == nil) != (y.Roots == nil) || x.Roots != nil && !x.Roots.Equal(y.Roots) || !reflect.DeepEqual(x.Identity, y.Identity) {
		return false
	}
	x.Roots, y.Roots, x.Identity, y.Identity = nil, nil, nil, nil
	return reflect.DeepEqual(x, y)
}
