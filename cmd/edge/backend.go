package main

import (
	"errors"
	"fmt"
	"os"
	"sort"

	"edge"
	"edge/internal/admin"
	"edge/internal/config"
)

// The door is the backend of the admin socket.
var _ admin.Backend = (*door)(nil)

// Status implements admin.Backend.
func (d *door) Status() admin.Status {
	s := admin.Status{
		Version: version, PID: os.Getpid(), Started: d.started, LastReload: d.last.Load(),
		Certificates: d.manager.Statuses(), Upstreams: d.upstreams(),
		OnDemand:  admin.OnDemand{Decisions: d.manager.OnDemandCounts(), Pending: d.manager.Pending()},
		Listeners: []admin.Listener{}, Sites: []admin.Site{},
	}
	sort.SliceStable(s.Certificates, func(i, j int) bool { return s.Certificates[i].Name < s.Certificates[j].Name })
	for _, a := range d.server.Addrs() {
		s.Listeners = append(s.Listeners, admin.Listener{Name: a.Listener, Address: a.Addr.String()})
	}
	l := d.live.Load()
	if l == nil {
		return s
	}
	s.Loaded, s.Files = l.loaded, l.cfg.Files
	for _, site := range l.cfg.Sites {
		s.Sites = append(s.Sites, admin.Site{Name: siteName(site), Hosts: site.Hosts, TLS: tlsMode(site.TLS), Proxy: site.Proxy.To})
	}
	return s
}

func tlsMode(t config.TLS) string {
	switch {
	case t.Off:
		return "off"
	case t.Cert != "":
		return "static"
	case t.OnDemand != nil:
		return "on_demand"
	}
	return "managed"
}

// upstreams lists the pools, each under the site that names it.
func (d *door) upstreams() []edge.UpstreamStatus {
	l := d.live.Load()
	if l == nil {
		return nil
	}
	out := []edge.UpstreamStatus{}
	for _, site := range l.cfg.Sites {
		if p := l.proxy.Pools[poolKey(site.Proxy)]; p != nil {
			st := p.Status()
			st.Site = siteName(site)
			out = append(out, st)
		}
	}
	return out
}

// PutChallenge implements admin.Backend.
func (d *door) PutChallenge(a edge.Answer) error { return d.registry.Put(a) }

// RemoveChallenge implements admin.Backend.
func (d *door) RemoveChallenge(a edge.Answer) { d.registry.Remove(a) }

// Certificate implements admin.Backend.
func (d *door) Certificate(name string) (edge.Bundle, error) {
	b, err := d.manager.Bundle(name)
	if errors.Is(err, edge.ErrNoCertificate) {
		err = fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	return b, err
}
