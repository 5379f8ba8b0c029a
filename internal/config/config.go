package config

import (
	"net/netip"
	"time"
)

// Config is one whole, validated configuration with all defaults filled in.
// It is not changed after Load returned it.
type Config struct {
	Version        int
	Listen         Listen
	ACME           ACME
	Storage        Storage
	Pools          []Pool // those of pools, in written order
	Sites          []Site
	Certificates   []Certificate
	TrustedProxies []netip.Prefix
	Limits         Limits
	Metrics        Metrics
	Tracing        Tracing
	Admin          Admin
	Log            Log
	Files          []string // the files it was read from, main file first; nil in flags-only mode
}

// Listen holds addresses as written: "host:port", ":port" or "fd:NAME".
type Listen struct {
	HTTP          []string       // default ":80"
	HTTPS         []string       // default ":443"
	HTTP3         bool           // default true
	ProxyProtocol []netip.Prefix // peers that begin with a PROXY protocol header
	TCP           []TCPListener
}

// ACME is the acme section: defaults for every site.
type ACME struct {
	Email      string
	AgreeTOS   bool
	CAs        []CA // tried in order; default Let's Encrypt
	Challenges []string
	KeyType    string // default "p256"
	DNS        *DNS   // nil: no DNS-01
}

// CA is one ACME directory.
type CA struct {
	Directory      string
	Roots          []string // PEM files, read and checked by Load; system roots when empty
	EAB            *EAB
	Profile        string
	PreferredChain string
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	KID  string
	HMAC string // base64url; secret
}

// DNS is how DNS-01 records are written.
type DNS struct {
	Provider           string // "cloudflare" or "rfc2136"
	APIToken           string // cloudflare; secret
	Server             string // rfc2136: host:port
	KeyName            string
	KeyAlgorithm       string // "hmac-sha256" by default
	KeySecret          string // base64; secret
	OverrideDomain     string
	Resolvers          []string
	PropagationTimeout time.Duration // default 2m
}

// Storage says where the door keeps its state.
type Storage struct{ Dir string }

// Site is one entry of sites.
type Site struct {
	Hosts    []string // normalised: lower case, A-labels; "*.x" and "*" allowed; IP addresses allowed
	Default  bool
	TLS      TLS
	Redirect int       // 308, 301, or 0 for none
	Routes   []Route   // tried in order; at least one
	Deliver  []Deliver // of the certificate of each host
	Pos      Pos       // of the entry, for messages
}

// TLS is a site's tls section.
type TLS struct {
	Off        bool
	Forward    *Forward // passthrough: TLS is not ended here
	Cert, Key  string   // static pair, both or none
	Lineage    string   // that the steward puts through the admin socket; "": none
	OnDemand   *OnDemand
	CAs        []CA     // nil: those of acme
	Challenges []string // nil: those of acme
	KeyType    string   // "": that of acme
	Profile    string
	MinVersion string // "1.2" (default) or "1.3"
	ClientAuth *ClientAuth
}

// ClientAuth asks clients for certificates.
type ClientAuth struct {
	Mode  string   // "require", "verify_if_given" or "request"
	Roots []byte   // PEM, of who issues clients' certificates
	CRLs  [][]byte // DER
}

// Certificate is one entry of certificates: a lineage that the steward keeps issued.
type Certificate struct {
	Name       string   // of the lineage; passes edge.CheckLineageName
	Hosts      []string // normalised, each once; "*.x" allowed; IP addresses allowed
	CAs        []CA     // nil: those of acme
	Challenges []string // nil: those of acme
	DNS        *DNS     // nil: that of acme
	KeyType    string   // "": that of acme
	Profile    string
	Deliver    []Deliver
	Pos        Pos // of the entry, for messages
}

// OnDemand is permission to obtain certificates at the first handshake.
type OnDemand struct {
	Ask           string   // URL, GET ?domain=NAME
	Allow         []string // exact, "*.suffix" (one label), "**.suffix" (one or more)
	MaxNewPerHour int      // default 60
	MaxConcurrent int      // default 8
	AllowIP       bool
}

// Limits bound what a client may do. All have safe defaults.
type Limits struct {
	HeaderBytes           int
	Headers               int // fields in a request head
	URIBytes              int
	Handshake             time.Duration
	HeaderRead            time.Duration
	BodyRate              int // bytes a second, after a grace period
	WriteStall            time.Duration
	Idle                  time.Duration
	Streams               int // concurrent HTTP/2 streams a connection
	ConnectionsPerAddress int // 0: unlimited
	Drain                 time.Duration
	Connections           int // of all clients; 0: unlimited
	Requests              int // in progress at once; 0: unlimited
}

// Metrics is the metrics listener; empty Listen: none.
type Metrics struct {
	Listen     string
	StatusPage bool
}

// Admin is the admin socket.
type Admin struct {
	Socket    string // default /run/edge/admin.sock
	AllowUIDs []uint32
}

// Log is the log section.
type Log struct {
	Level  string        // debug info warn error
	Format string        // json text
	Slow   time.Duration // requests that took longer are logged; 0: none
	Access AccessLog
}

// AccessLog is the access log; empty Path: none.
type AccessLog struct {
	Path   string
	Format string  // json combined
	Sample float64 // 1: all
	Only   Only
	Redact Redact
}

// Pos is a place in a file; Line and Col count from 1.
type Pos struct {
	File      string
	Line, Col int
}
