package pool

import (
	"log/slog"
	"time"

	"edge/proxy/upstream"
)

// Options describe a pool. A zero duration or number means the default that the
// field's comment names.
type Options struct {
	Name    string   // of metrics, logs and status
	Servers []Server // static ones; may be empty where Discover finds them
	// Discover finds servers by DNS; nil: none.
	Discover *Discover
	Template upstream.Options // of servers that Discover finds; Address is filled in

	Balance Balance // LeastRequests
	Sticky  *Sticky // nil: none
	Health  *Health // nil: no active checks
	Eject   Ejection
	// SlowStart is the time over which a server that comes back, or is new in a
	// running pool, gets its full share. 0: at once.
	SlowStart time.Duration

	MaxConnections int           // requests in progress at one server; 0: unlimited
	Queue          int           // requests that wait for a server with room; 0: 503 at once
	QueueTimeout   time.Duration // 5 s

	Retry Retry
	Total time.Duration // of one request, all tries and the whole answer; 0: unlimited
	Drain time.Duration // 30 s that a server that is removed may finish what it has

	Log *slog.Logger // nil: discarded
	Now func() time.Time
}

// Server is one server of a pool.
type Server struct {
	upstream.Options
	Weight int  // 1
	Backup bool // used only while no other server can be
}

// Balance is how a server is chosen.
type Balance string

// The ways to balance.
const (
	LeastRequests Balance = "least_requests" // the less busy of two picked at random
	RoundRobin    Balance = "round_robin"    // weighted, smooth
	Random        Balance = "random"         // weighted
	Hash          Balance = "hash"           // by Request.HashKey, with Maglev's table
)

// Sticky keeps a client at the server that it got first, by a signed cookie.
type Sticky struct {
	Cookie string        // name
	Secret []byte        // at least 16 bytes; of HMAC-SHA-256
	TTL    time.Duration // 0: until the browser is closed
	Secure bool
}

// Discover finds servers by DNS and looks again at every interval. What was found last
// counts while DNS fails or has no answer.
type Discover struct {
	Name     string        // host name, or the full name of SRV records ("_http._tcp.x")
	Type     string        // "ip" (A and AAAA) or "srv"
	Port     string        // of "ip"
	Interval time.Duration // 30 s
	Resolver string        // host:port; "": the system's
}

// Health is the active check of each server.
type Health struct {
	Type     string        // "http" (default), "tcp", "grpc"
	Path     string        // http: "/"; grpc: the service's name, "" for the whole server
	Host     string        // http: Host header; the server's address when empty
	Status   []int         // http: codes that are well; none: 200 to 399
	Interval time.Duration // 10 s
	Timeout  time.Duration // 5 s
	Rise     int           // 2 good checks in a row bring a server back
	Fall     int           // 3 bad ones in a row take it out
}

// Ejection takes a server out for a while after failures of real requests:
// no connection, no answer in time, a malformed answer, or 502, 503, 504.
type Ejection struct {
	Off        bool
	Failures   int           // 5 in a row
	For        time.Duration // 10 s the first time, doubled up to MaxFor while it goes on
	MaxFor     time.Duration // 5 min
	MaxPercent int           // 50: of the pool's servers at once, one at least while there are others
}

// Retry says when a request is tried at another server: only where that is safe
// (no byte of it was sent, or it is replayable and no byte of an answer has come).
type Retry struct {
	Attempts int     // 3 in all
	Budget   float64 // 0.2 retries for each request, over the last 10 s; 10 are always allowed
	Status   []int   // answers of replayable requests that are tried elsewhere; none: no
}
