package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"sort"

	"edge"
	"edge/acmeglue"
	"edge/internal/admin"
	"edge/internal/config"
)

// The door is the backend of the admin socket.
var _ admin.Backend = (*door)(nil)

// Status implements admin.Backend.
func (d *door) Status() admin.Status {
	s := admin.Status{
		Version: version, PID: os.Getpid(), Started: d.started, LastReload: d.last.Load(), LastUpgrade: d.lastUpgrade(),
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
	s.Loaded = l.loaded
	for _, f := range l.cfg.Files {
		if abs, err := filepath.Abs(f); err == nil {
			f = abs // whoever asks may be in another folder
		}
		s.Files = append(s.Files, f)
	}
	for _, site := range l.cfg.Sites {
		s.Sites = append(s.Sites, admin.Site{Name: siteName(site), Hosts: site.Hosts, TLS: tlsMode(site.TLS), Proxy: backendText(site)})
	}
	return s
}

func tlsMode(t config.TLS) string {
	switch {
	case t.Off:
		return "off"
	case t.Forward != nil:
		return "passthrough"
	case t.Cert != "":
		return "static"
	case t.Lineage != "":
		return "lineage"
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
		for _, backend := range proxied(site) {
			p := l.proxy.Pools[poolKey(backend)]
			if p == nil {
				continue
			}
			for _, st := range p.Status() {
				st.Site = siteName(site)
				out = append(out, st)
			}
		}
	}
	return out
}

// PutChallenge implements admin.Backend.
func (d *door) PutChallenge(a edge.Answer) error { return d.registry.Put(a) }

// RemoveChallenge implements admin.Backend.
func (d *door) RemoveChallenge(a edge.Answer) { d.registry.Remove(a) }

// Lineages implements admin.Backend.
func (d *door) Lineages() []edge.LineageStatus {
	all := d.manager.Lineages()
	for i := range all {
		all[i].Sites = d.sitesOf(all[i].Name)
	}
	return all
}

// PutLineage implements admin.Backend.
func (d *door) PutLineage(ctx context.Context, name string, b edge.Bundle) (edge.LineageStatus, error) {
	st, err := d.manager.PutLineage(ctx, name, b)
	switch {
	case errors.Is(err, acmeglue.ErrLineageUnused):
		err = fmt.Errorf("%w: %w; name it in a site, as tls: {lineage: %s}, and run edge reload", admin.ErrNotFound, err, name)
	case errors.Is(err, acmeglue.ErrLineageRefused):
		err = fmt.Errorf("%w: %w", admin.ErrRefused, err)
	}
	st.Sites = d.sitesOf(name)
	return st, err
}

// sitesOf lists the sites that use a lineage.
func (d *door) sitesOf(lineage string) []string {
	sites := []string{}
	if l := d.live.Load(); l != nil {
		for _, s := range l.cfg.Sites {
			if s.TLS.Lineage == lineage {
				sites = append(sites, siteName(s))
			}
		}
	}
	return sites
}

// reportsKey is where the metrics of the steward's runs are stored.
const reportsKey = "edge/steward.prom"

// StewardReport implements admin.Backend. What was reported outlives the process:
// otherwise a restart would end an alert, and nothing else.
func (d *door) StewardReport(r edge.StewardReport) error {
	d.metrics.Steward.Report(r)
	if err := d.storage.Store(context.Background(), reportsKey, d.metrics.Steward.Text()); err != nil {
		return fmt.Errorf("the report is in the metrics, but was not stored: %w", err)
	}
	return nil
}

// recallReports takes up what was reported to an earlier process.
func (d *door) recallReports() {
	text, err := d.storage.Load(context.Background(), reportsKey)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		d.log.Warn("the reports of the steward cannot be read; their metrics begin anew", "file", reportsKey, "error", err)
	}
	d.metrics.Steward.Restore(text)
}

// Certificate implements admin.Backend.
func (d *door) Certificate(name string) (edge.Bundle, error) {
	b, err := d.manager.Bundle(name)
	if errors.Is(err, edge.ErrNoCertificate) {
		err = fmt.Errorf("%w: %w", admin.ErrNotFound, err)
	}
	return b, err
}
