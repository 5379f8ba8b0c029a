package proxy

import (
	"crypto/tls"
	"sync/atomic"

	"edge"
	"edge/proxy/pool"
)

// state is the immutable tree that requests and handshakes work on.
type state struct {
	set     *Settings
	engine  *engine
	flights map[string]*atomic.Int64 // requests in progress, by site
	auth    map[string]*tls.Config   // of hosts that ask for certificates of clients
}

// minVersion is the lowest TLS version for a gated server name.
func (st *state) minVersion(name string) uint16 {
	m := st.set.MinVersion
	if len(m) == 0 {
		return tls.VersionTLS12
	}
	for _, key := range [...]string{name, edge.Parent(name), "*"} {
		if v, ok := m[key]; ok {
			return v
		}
	}
	return tls.VersionTLS12
}

// vanished lists the pools of old that are not in now.
func vanished(old, now map[string]*pool.Pool) (gone []*pool.Pool) {
	keep := make(map[*pool.Pool]bool, len(now))
	for _, p := range now {
		keep[p] = true
	}
	for _, p := range old {
		if !keep[p] {
			keep[p] = true
			gone = append(gone, p)
		}
	}
	return gone
}
