package proxy

import (
	"crypto/x509"
	"log/slog"
	"net/netip"
	"time"

	"edge/proxy/files"
	"edge/proxy/policy"
	"edge/proxy/pool"
)

// Options are what a Server keeps for its whole life.
type Options struct {
	Log        *slog.Logger // nil: discarded
	Observer   Observer     // nil: none
	Challenges Responder    // nil: every challenge is unknown
	// Inherited returns the sockets that the process was started with. It is called
	// once at most. Nil: ServiceSockets.
	Inherited func() (Inherited, error)
	// QUICKey is what address tokens and stateless resets of HTTP/3 are made from: where it
	// outlives the process, clients notice at once that it has gone. Zero: random.
	QUICKey [32]byte
	Now     func() time.Time // nil: time.Now; of ticket rotation and client certificates
}

// Settings are what a reload replaces. They are not changed after Apply took them.
type Settings struct {
	HTTP  []string // addresses: "host:port", ":port", "fd:NAME"
	HTTPS []string

	Table *policy.Table
	Pools map[string]*pool.Pool // by the key that decisions name; what comes before a "#" in it is the name in events
	// Folders are those of routes that serve files, by their Files. Whoever made
	// them closes them, once the settings are no longer in force.
	Folders      map[*policy.Files]*files.Folder
	Certificates CertSource // nil: no name has a certificate
	// ClientAuth asks for certificates of clients, by host as in MinVersion; nil: this
	// host does not, whatever a wildcard asks for. Its sites share no session tickets
	// with others.
	ClientAuth map[string]*ClientAuth
	// Passthrough hands whole TLS connections to a pool's servers by server name
	// ("*.suffix" allowed), without ending TLS. Challenge names never are.
	Passthrough map[string]*Forward
	// TCP are plain forwarders: every connection at the address goes to the servers.
	TCP []TCPListener
	// ProxyProtocol are the peers that may, and then must, begin with a PROXY
	// protocol header (v1 or v2). Others may not.
	ProxyProtocol []netip.Prefix
	// Tracing makes a span of each request: a caller's trace goes on, others begin,
	// and Sampled says of this part of them. Nil: what callers send is passed on as it is.
	Tracing *float64
	HTTP3   bool // on the UDP ports of HTTPS
	// MinVersion raises the lowest TLS version (default 1.2) of hosts: an exact
	// name, "*.suffix" (one label) or "*".
	MinVersion map[string]uint16
	Limits     Limits
}

// ClientAuth is how certificates of clients are verified.
type ClientAuth struct {
	Mode  string                 // "require", "verify_if_given", "request" (taken unverified; Verified is false then)
	Roots *x509.CertPool         // that issue clients' certificates
	CRLs  []*x509.RevocationList // checked by signature; a certificate that one of them lists is refused
}

// Forward is where a TCP connection goes as it is.
type Forward struct {
	Servers        []string      // host:port or unix:PATH, tried in turn
	ProxyProtocol  int           // 1, 2; 0: none
	ConnectTimeout time.Duration // 5 s
	Idle           time.Duration // 10 min without a byte in either direction
}

// TCPListener is an address with its forwarder; by server name where BySNI is
// not empty (exact, "*.suffix", "*").
type TCPListener struct {
	Address string
	To      *Forward
	BySNI   map[string]*Forward
}

// Limits bound what a client may do. Zero means the default in the comment.
type Limits struct {
	HeaderBytes           int           // 32 KiB of request head; 431
	Headers               int           // 100 fields; 431
	URIBytes              int           // 8 KiB; 414
	Handshake             time.Duration // 10 s, a certificate obtained meanwhile included
	HeaderRead            time.Duration // 10 s from the first byte of a head to its last
	BodyRate              int           // 256 bytes a second of request body
	BodyGrace             time.Duration // 10 s that a body may lag behind BodyRate
	WriteStall            time.Duration // 30 s in which a client takes no byte
	Idle                  time.Duration // 2 min between requests
	Streams               int           // 128 at once on an HTTP/2 connection
	ConnectionsPerAddress int           // 0: unlimited
	Drain                 time.Duration // 30 s for what is in flight when the server stops
	Connections           int           // 0: unlimited; open at once, all listeners together. Challenges still get in
	Requests              int           // 0: unlimited; in progress at once: beyond it 503 with Retry-After. Challenges still are answered
}

func (l Limits) withDefaults() Limits {
	def(&l.HeaderBytes, 32<<10)
	def(&l.Headers, 100)
	def(&l.URIBytes, 8<<10)
	def(&l.Handshake, 10*time.Second)
	def(&l.HeaderRead, 10*time.Second)
	def(&l.BodyRate, 256)
	def(&l.BodyGrace, 10*time.Second)
	def(&l.WriteStall, 30*time.Second)
	def(&l.Idle, 2*time.Minute)
	def(&l.Streams, 128)
	def(&l.Drain, 30*time.Second)
	return l
}

func def[T int | time.Duration](v *T, d T) {
	if *v <= 0 {
		*v = d
	}
}
