package proxy

import (
	"log/slog"
	"net"
	"time"

	"edge/proxy/policy"
	"edge/proxy/pool"
)

// Options are what a Server keeps for its whole life.
type Options struct {
	Log        *slog.Logger // nil: discarded
	Observer   Observer     // nil: none
	Challenges Responder    // nil: every challenge is unknown
	// Inherited returns the listening sockets that a service manager passed to
	// the process, by name, for addresses "fd:NAME". It is called once at most.
	// Nil: systemd's LISTEN_FDS.
	Inherited func() (map[string][]net.Listener, error)
	Now       func() time.Time // nil: time.Now; of ticket rotation
}

// Settings are what a reload replaces. They are not changed after Apply took them.
type Settings struct {
	HTTP  []string // addresses: "host:port", ":port", "fd:NAME"
	HTTPS []string

	Table        *policy.Table
	Pools        map[string]*pool.Pool // by the key that decisions name
	Certificates CertSource            // nil: no name has a certificate
	// MinVersion raises the lowest TLS version (default 1.2) of hosts: an exact
	// name, "*.suffix" (one label) or "*".
	MinVersion map[string]uint16
	Limits     Limits
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
