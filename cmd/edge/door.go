package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"github.com/coreos/go-systemd/v22/daemon"

	"edge"
	"edge/acmeglue"
	"edge/internal/accesslog"
	"edge/internal/admin"
	"edge/internal/config"
	"edge/metrics"
	"edge/proxy"
	"edge/proxy/pool"
)

// door is a running front door: the packages, wired.
type door struct {
	log      *slog.Logger
	level    *slog.LevelVar
	source   func() (*config.Config, error)
	started  time.Time
	registry *acmeglue.Registry
	manager  *acmeglue.Manager
	server   *proxy.Server
	metrics  *metrics.Metrics
	access   *accesslog.Log
	slow     *accesslog.Slow
	spans    *spans
	storage  acmeglue.Storage

	mu    sync.Mutex // one change of configuration at a time
	live  atomic.Pointer[live]
	last  atomic.Pointer[admin.ReloadResult]
	side  *sideServer
	page  *sideHandler
	ready atomic.Bool

	succession
}

// live is the configuration in force, with what was built from it.
type live struct {
	cfg     *config.Config
	certs   acmeglue.Settings
	proxy   proxy.Settings
	parts   parts
	fresh   []*pool.Pool // that the configuration before did not have
	issuers *issuers
	loaded  time.Time
}

// newDoor builds a door that does not listen yet.
func newDoor(cfg *config.Config, source func() (*config.Config, error), log *slog.Logger) (*door, error) {
	d := &door{log: log, source: source, started: time.Now(), access: new(accesslog.Log), slow: accesslog.NewSlow(log), spans: new(spans)}
	d.replaced = make(chan *successor, 1)
	files, err := acmeglue.OpenFileStorage(cfg.Storage.Dir)
	if err != nil {
		return nil, err
	}
	d.metrics = metrics.New(metrics.Options{
		Version: version, Revision: revision(),
		Certificates:    func() []edge.CertificateStatus { return d.manager.Statuses() },
		Upstreams:       d.upstreams,
		OnDemandPending: func() int { return d.manager.Pending() },
		InFlight:        func() map[string]int64 { return d.server.InFlight() },
		Panics:          func() uint64 { return d.server.Panics() },
		Ready:           d.readiness,
	})
	d.storage = acmeglue.ObserveStorage(files, d.metrics)
	d.recallReports()
	d.registry = acmeglue.NewRegistry()
	d.manager = acmeglue.NewManager(acmeglue.ManagerOptions{
		Storage:  d.storage,
		Observer: d.metrics,
		Log:      log,
	})
	quic, err := quicKey(context.Background(), d.storage)
	if err != nil {
		return nil, err
	}
	d.server = proxy.New(proxy.Options{
		Log: log, Challenges: d.registry, QUICKey: quic, Inherited: d.inherited,
		Observer: observers{d.metrics, d.access, d.slow, d.spans},
	})
	d.page = newSideHandler(d)
	d.side = &sideServer{handler: d.page, log: log, listen: d.sideListener}
	return d, nil
}

// build turns a configuration into what the packages take. It reads files, but
// binds and changes nothing.
func (d *door) build(cfg *config.Config) (*live, error) {
	if len(cfg.Sites) == 0 {
		return nil, errors.New("no site is configured, so that there is nothing to serve; add one under sites, with hosts and proxy")
	}
	old := d.live.Load()
	next := &live{cfg: cfg, loaded: time.Now()}
	next.issuers = &issuers{
		acme: cfg.ACME,
		made: map[string]acmeglue.CA{},
		base: acmeglue.IssuerOptions{
			Registry: d.registry, DNS: dnsOptions(cfg.ACME.DNS),
			Storage: d.storage, Log: d.log, Observer: d.metrics,
		},
	}
	if old != nil && sameACME(old.cfg, cfg) {
		next.issuers.made = old.issuers.made
	}
	var err error
	if next.certs, err = certificateSettings(cfg, next.issuers); err != nil {
		return nil, err
	}
	err = d.proxySettings(next, old)
	return next, err
}

func (d *door) proxySettings(next, old *live) error {
	cfg := next.cfg
	var kept parts
	if old != nil {
		kept = old.parts
	}
	w := newRouting(kept)
	table, err := w.table(cfg)
	if err != nil {
		return err
	}
	pools := map[string]*pool.Pool{}
	var fresh []*pool.Pool
	for key, p := range w.pools {
		if old != nil && old.proxy.Pools[key] != nil {
			pools[key] = old.proxy.Pools[key]
			continue
		}
		opts, err := poolOptions(p, d.log)
		if err == nil {
			if before := forerunner(old, w.pools, opts.Name); before != nil {
				pools[key], err = before.Next(opts)
			} else {
				pools[key], err = pool.New(opts)
			}
		}
		if err != nil {
			for _, p := range fresh {
				p.Close()
			}
			return err
		}
		fresh = append(fresh, pools[key])
	}
	next.fresh = fresh
	auths, err := clientAuths(cfg)
	if err != nil {
		next.drop()
		return err
	}
	l := cfg.Limits
	next.parts = w.parts
	next.proxy = proxy.Settings{
		HTTP: cfg.Listen.HTTP, HTTPS: cfg.Listen.HTTPS,
		Table: table, Pools: pools, Folders: w.parts.opened(), Certificates: d.manager, MinVersion: minVersions(cfg),
		HTTP3: cfg.Listen.HTTP3, ProxyProtocol: cfg.Listen.ProxyProtocol, TCP: tcpListeners(cfg), Passthrough: passthrough(cfg), ClientAuth: auths,
		Tracing: tracing(cfg.Tracing),
		Limits: proxy.Limits{
			HeaderBytes: l.HeaderBytes, Headers: l.Headers, URIBytes: l.URIBytes,
			Handshake: l.Handshake, HeaderRead: l.HeaderRead, BodyRate: l.BodyRate,
			WriteStall: l.WriteStall, Idle: l.Idle, Streams: l.Streams,
			ConnectionsPerAddress: l.ConnectionsPerAddress, Drain: l.Drain,
			Connections: l.Connections, Requests: l.Requests,
		},
	}
	return nil
}

// forerunner is the pool whose place one of that name takes: it has changed.
func forerunner(old *live, now map[string]config.Pool, name string) *pool.Pool {
	if old == nil {
		return nil
	}
	for key, p := range old.proxy.Pools {
		if _, kept := now[key]; !kept && p.Name() == name {
			return p
		}
	}
	return nil
}

// apply makes a configuration the one in force. After an error, all is as it was.
func (d *door) apply(cfg *config.Config) error {
	if d.upgrading.Load() {
		return errUpgrading
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	if s := d.successor.Load(); s != nil {
		return errReplaced(s.pid)
	}
	old := d.live.Load()
	if old != nil {
		if err := fixedKeys(old.cfg, cfg); err != nil {
			return err
		}
	}
	next, err := d.build(cfg)
	if err != nil {
		return err
	}
	// What can fail comes first, in an order in which each can be taken back.
	access, err := d.access.Prepare(accessOptions(cfg.Log.Access))
	if err != nil {
		next.drop()
		return err
	}
	if err := d.side.prepare(cfg.Metrics.Listen); err != nil {
		next.drop()
		access.Abort()
		return err
	}
	if err := d.manager.Apply(next.certs); err != nil {
		next.drop()
		access.Abort()
		d.side.abort()
		return err
	}
	if err := d.server.Apply(next.proxy); err != nil {
		next.drop()
		access.Abort()
		d.side.abort()
		if old != nil {
			err = errors.Join(err, d.manager.Apply(old.certs))
		}
		return err
	}
	access.Commit()
	d.slow.Set(cfg.Log.Slow)
	d.spans.set(cfg.Tracing, d.log)
	if old == nil {
		d.ready.Store(true) // before anybody can ask
	}
	d.side.commit()
	d.page.shown.Store(cfg.Metrics.StatusPage)
	if d.level != nil {
		_ = accesslog.SetLevel(d.level, cfg.Log.Level) // config has checked it
	}
	d.live.Store(next)
	return nil
}

// drop ends the pools of a configuration that did not come into force.
func (l *live) drop() {
	for _, p := range l.fresh {
		p.Close()
	}
}

// sameACME reports whether two configurations give issuers the same meaning, so
// that their accounts and throttles can be kept.
func sameACME(a, b *config.Config) bool {
	return reflect.DeepEqual(a.ACME, b.ACME)
}

// fixedKeys refuses changes that only a restart can make.
func fixedKeys(old, now *config.Config) error {
	switch {
	case old.Storage.Dir != now.Storage.Dir:
		return fmt.Errorf("storage.dir changed from %s to %s: that takes a restart", old.Storage.Dir, now.Storage.Dir)
	case old.Admin.Socket != now.Admin.Socket:
		return fmt.Errorf("admin.socket changed from %s to %s: that takes a restart", old.Admin.Socket, now.Admin.Socket)
	}
	return nil
}

// Reload reads the configuration again and applies it.
func (d *door) Reload(context.Context) error {
	if s := d.successor.Load(); s != nil {
		return errReplaced(s.pid) // and it is none of the service manager's business
	}
	notify(d.log, daemon.SdNotifyReloading)
	defer notify(d.log, daemon.SdNotifyReady)
	cfg, err := d.source()
	if err == nil {
		err = d.apply(cfg)
	}
	now := time.Now()
	d.metrics.ConfigReload(err == nil, now)
	result := &admin.ReloadResult{Time: now}
	if err != nil {
		result.Error = err.Error()
	}
	d.last.Store(result)
	if err != nil {
		return fmt.Errorf("nothing was changed: %w", err)
	}
	d.log.Info("configuration reloaded", "sites", len(cfg.Sites))
	return nil
}
