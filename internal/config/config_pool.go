package config

import (
	"net"
	"time"
)

// Pool is one or several servers that do the same: one entry of pools, or what
// stands at a proxy key.
type Pool struct {
	Name    string // as in pools; "": written at its route
	Servers []Server
	// Discover finds more servers; nil: none.
	Discover *Discover
	Host     string // "keep" (default) or "upstream"

	Balance string // "least_requests" by default
	HashBy  string // where Balance is "hash"
	Sticky  *Sticky
	Health  *Health // nil: no checks
	Eject   Eject

	SlowStart      time.Duration
	MaxConnections int
	Queue          int
	QueueTimeout   time.Duration
	Retry          Retry

	ConnectTimeout, HeaderTimeout, BodyTimeout, KeepAlive time.Duration
	Total                                                 time.Duration // 0: unlimited

	TLS           UpstreamTLS
	ProxyProtocol int // header of that version on each connection; 0: none
	Pos           Pos `json:"-"`
}

// Discover is how servers are found by DNS.
type Discover struct {
	Name, Type, Scheme, Port, Resolver string
	Interval                           time.Duration
}

// URL is that of the servers that are found, with the name in the place of an address.
func (d *Discover) URL() string {
	if d.Port == "" {
		return d.Scheme + "://" + d.Name
	}
	return d.Scheme + "://" + net.JoinHostPort(d.Name, d.Port)
}

// URLs are those of all servers.
func (p *Pool) URLs() (all []string) {
	for _, s := range p.Servers {
		all = append(all, s.To)
	}
	if p.Discover != nil {
		all = append(all, p.Discover.URL())
	}
	return all
}

// Server is one server of a pool.
type Server struct {
	To     string // scheme://host:port with http, https or h2c, or unix:PATH
	Weight int
	Backup bool
}

// Sticky keeps clients at their server by a cookie.
type Sticky struct {
	Cookie, Secret string
	TTL            time.Duration
	Plain          bool // of a site without TLS: browsers may send it over HTTP
}

// Health is the active check of each server.
type Health struct {
	Type, Path, Host  string
	Status            []int
	Interval, Timeout time.Duration
	Rise, Fall        int
}

// Eject takes a server out after failures of requests.
type Eject struct {
	Off         bool
	Failures    int
	For, MaxFor time.Duration
	MaxPercent  int
}

// Retry says when requests are tried at another server.
type Retry struct {
	Attempts int
	Budget   float64
	Status   []int
}

// UpstreamTLS is how the servers of https URLs are verified.
type UpstreamTLS struct {
	Roots      []byte // PEM; nil: the system's
	ServerName string // "": of each URL
	Cert, Key  []byte // PEM, shown to the servers; nil: none
}

// Forward hands TCP connections to servers as they are.
type Forward struct {
	To             []string // host:port or unix:PATH
	ProxyProtocol  int      // 0: none
	ConnectTimeout time.Duration
	Idle           time.Duration
}

// TCPListener is one entry of listen.tcp.
type TCPListener struct {
	Address string
	To      *Forward            // nil: what SNI does not name is refused
	SNI     map[string]*Forward // by name: exact, "*.suffix" or "*"
	Pos     Pos
}

func defaultPool() Pool {
	return Pool{
		Host: "keep", Balance: "least_requests",
		Eject:        Eject{Failures: 5, For: 10 * time.Second, MaxFor: 5 * time.Minute, MaxPercent: 50},
		QueueTimeout: 5 * time.Second, Retry: Retry{Attempts: 3, Budget: 0.2},
		ConnectTimeout: 5 * time.Second, HeaderTimeout: 60 * time.Second, BodyTimeout: 5 * time.Minute, KeepAlive: 60 * time.Second,
	}
}

func defaultHealth() Health {
	return Health{Type: "http", Path: "/", Interval: 10 * time.Second, Timeout: 5 * time.Second, Rise: 2, Fall: 3}
}
