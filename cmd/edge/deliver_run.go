package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/files"
	scripts "edge/installers/script"
	"edge/internal/config"
	"edge/internal/durable"
	"edge/internal/flock"
	"edge/metrics"
)

// deliveries is one run over what the configuration wants delivered.
type deliveries struct {
	cfg         *config.Config
	state       string // folder of the records
	tree, work  string // certbot's folders of lineages and of backups
	only        map[string]bool
	lockTimeout time.Duration
	textfile    string // empty: none
	log         *slog.Logger
	workLocked  bool // the caller has the lock of the work folder

	backOff bool // what failed lately is left alone for a while

	engine  *delivery.Engine
	servers *deliverServers
	items   map[itemKey]described // those that were made in this run
}

// itemKey is a certificate and an entry of the configuration.
type itemKey struct {
	name string
	pos  config.Pos
}

// wanted is one certificate with all that it goes to.
type wanted struct {
	name  string
	hosts []string
	site  bool // the door has it; else it is a lineage
	to    []config.Deliver
}

// wants are the certificates that are delivered: lineages, then hosts of sites, each
// of which has a certificate of its own.
func wants(cfg *config.Config) []wanted {
	var list []wanted
	for _, c := range cfg.Certificates {
		if len(c.Deliver) > 0 {
			list = append(list, wanted{name: c.Name, hosts: c.Hosts, to: c.Deliver})
		}
	}
	for _, s := range cfg.Sites {
		for _, h := range s.Hosts {
			if len(s.Deliver) > 0 {
				list = append(list, wanted{name: h, hosts: []string{h}, site: true, to: s.Deliver})
			}
		}
	}
	return list
}

func deliverNames(cfg *config.Config) []string {
	var names []string
	for _, w := range wants(cfg) {
		names = append(names, w.name)
	}
	slices.Sort(names)
	return slices.Compact(names)
}

// begin makes what the work of a verb is done with.
func (d *deliveries) begin() {
	d.servers = d.newServers()
	d.engine = &delivery.Engine{Dir: d.state, Run: runProgram, Now: time.Now, Log: d.log, BackOff: d.backOff}
	d.items = map[itemKey]described{}
}

// plan looks without leaving a trace.
func (d *deliveries) plan(ctx context.Context) ([]delivery.Result, error) {
	d.begin()
	return d.each(ctx, d.engine.Look)
}

// verify looks and keeps what it saw for the metrics.
func (d *deliveries) verify(ctx context.Context) ([]delivery.Result, error) {
	d.begin()
	return d.locked(ctx, func() ([]delivery.Result, error) { return d.each(ctx, d.engine.Check) })
}

// apply makes the deliveries that are due.
func (d *deliveries) apply(ctx context.Context) (results []delivery.Result, err error) {
	d.begin()
	release, err := d.servers.lockWork(ctx)
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, release()) }()
	return d.locked(ctx, func() ([]delivery.Result, error) {
		return d.each(ctx, func(ctx context.Context, it delivery.Item, m *delivery.Material) delivery.Result {
			if m != nil && m.Live == d.liveDir(it.Name) && it.Target.Kind() != "files" {
				if err := d.keepLive(ctx, m); err != nil {
					return delivery.Result{Name: it.Name, Target: it.Target.Kind(), Where: it.Target.Where(), State: delivery.Failed, Error: err.Error()}
				}
			}
			return d.engine.Apply(ctx, it, m)
		})
	})
}

// locked makes the folder of the records, keeps other runs out, and writes the metrics.
func (d *deliveries) locked(ctx context.Context, do func() ([]delivery.Result, error)) (results []delivery.Result, err error) {
	if len(wants(d.cfg)) == 0 {
		return nil, nil
	}
	if err := os.MkdirAll(d.state, 0o700); err != nil {
		return nil, fmt.Errorf("folder of the records: %w; run this as root, or name another with --state-dir", err)
	}
	lock, err := flock.Dir(ctx, d.state, flock.Options{Timeout: d.lockTimeout, Command: "edge deliver"})
	if err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, lock.Release()) }()
	results, err = do()
	if err == nil && d.textfile != "" {
		if werr := metrics.WriteDeliveries(d.textfile, d.measured(ctx, results), time.Now()); werr != nil {
			d.log.Warn("metrics of deliveries were not written", "error", werr)
		}
	}
	return results, err
}

// each does something with every delivery of the run. What is wrong with one does not
// keep the others from being made; the error is for what concerns them all.
func (d *deliveries) each(ctx context.Context, do func(context.Context, delivery.Item, *delivery.Material) delivery.Result) ([]delivery.Result, error) {
	var results []delivery.Result
	src := d.source()
	defer src.close()
	for _, w := range wants(d.cfg) {
		if d.only != nil && !d.only[w.name] {
			continue
		}
		m, err := src.material(ctx, w)
		for _, to := range w.to {
			if ctx.Err() != nil {
				return results, context.Cause(ctx)
			}
			it, ierr := d.item(ctx, w, to)
			res := delivery.Result{Name: w.name, Target: it.kind, Where: it.where, State: delivery.Failed}
			switch {
			case ierr != nil:
				res.Error = ierr.Error()
			case err != nil:
				res.Error = err.Error()
			default:
				res = do(ctx, it.Item, m)
			}
			results = append(results, res)
		}
	}
	return results, nil
}

// described is a delivery, with a description for those that cannot be made.
type described struct {
	delivery.Item
	kind, where string
}

// item makes a delivery of what the configuration says, once in a run.
func (d *deliveries) item(ctx context.Context, w wanted, to config.Deliver) (described, error) {
	key := itemKey{w.name, to.Pos}
	if it, ok := d.items[key]; ok {
		return it, nil
	}
	it, err := d.makeItem(ctx, w, to)
	if err == nil {
		d.items[key] = it
	}
	return it, err
}

func (d *deliveries) makeItem(ctx context.Context, w wanted, to config.Deliver) (described, error) {
	it := described{Item: delivery.Item{Name: w.name, Reload: to.Reload, Within: to.Within}}
	for _, v := range to.Verify {
		it.Verify = append(it.Verify, installers.Endpoint{Addr: v.Addr, StartTLS: v.StartTLS})
	}
	var err error
	switch {
	case to.Files != nil:
		dir, names := to.Files.At(w.name)
		it.kind, it.where = "files", dir
		o := files.Options{Name: w.name, Dir: dir, Layout: files.Layout(to.Files.Layout), Names: map[files.Part]string{}, Mode: to.Files.Mode, Password: to.Files.Password}
		for part, n := range names {
			o.Names[files.Part(part)] = n
		}
		if o.Owner, err = ownerOf(to.Files); err == nil {
			it.Target, err = files.New(o)
		}
	case to.Exec != nil:
		it.kind, it.where = "exec", to.Exec.Command[0]
		it.Target, err = scripts.New(scripts.Options{Command: to.Exec.Command, Style: scripts.Style(to.Exec.Style), Run: runProgram})
	case to.Server != nil:
		it.kind, it.where = to.Server.Kind, to.Server.ServerRoot
		if it.Target, err = d.servers.target(ctx, to.Server); err == nil {
			it.where = it.Target.Where()
		}
	case to.Target != nil:
		it.kind = to.Target.Kind.Name
		env := d.servers.env(w.name)
		env.Within, env.Verify = to.Within, it.Verify
		if it.Target, err = to.Target.Kind.Target(ctx, to.Target.Values, env); err == nil {
			it.where = it.Target.Where()
			if _, local := it.Target.(*delivery.Local); local {
				it.Verify = nil // its transaction looks there, so that it can be undone
			}
		}
	}
	return it, err
}

// ownerOf looks up whom files are to belong to.
func ownerOf(f *config.Files) (durable.Owner, error) {
	o := durable.Owner{UID: -1, GID: -1}
	number := func(name string, lookup func() (string, error)) (int, error) {
		if n, err := strconv.ParseUint(name, 10, 31); err == nil {
			return int(n), nil
		}
		id, err := lookup()
		if err != nil {
			return -1, fmt.Errorf("files in %s: %w; create it, or name another", f.Dir, err)
		}
		return strconv.Atoi(id)
	}
	var err error
	if f.Owner != "" {
		o.UID, err = number(f.Owner, func() (string, error) {
			u, err := user.Lookup(f.Owner)
			if err != nil {
				return "", err
			}
			return u.Uid, nil
		})
	}
	if f.Group != "" && err == nil {
		o.GID, err = number(f.Group, func() (string, error) {
			g, err := user.LookupGroup(f.Group)
			if err != nil {
				return "", err
			}
			return g.Gid, nil
		})
	}
	return o, err
}

// liveDir is a folder with certbot's names for a certificate of the door, for programs
// that are told of a certificate by its path.
func (d *deliveries) liveDir(name string) string {
	return filepath.Join(d.state, "live", edge.FileName(name))
}

func (d *deliveries) keepLive(ctx context.Context, m *delivery.Material) error {
	if err := (durable.Writer{}).Mkdir(filepath.Dir(m.Live), 0o700); err != nil {
		return err
	}
	t, err := files.New(files.Options{
		Name: m.Name, Dir: m.Live, Layout: files.Separate, Mode: 0o600, Owner: durable.Owner{UID: -1, GID: -1},
		Names: map[files.Part]string{files.Cert: "cert.pem", files.Key: "privkey.pem", files.Chain: "chain.pem", files.Fullchain: "fullchain.pem"},
	})
	if err != nil {
		return err
	}
	if res := d.engine.Apply(ctx, delivery.Item{Name: m.Name, Target: t}, m); res.State == delivery.Failed {
		return errors.New(res.Error)
	}
	return nil
}

// measured are the metrics of all deliveries: those of this run as they were seen, all
// others as they were seen last.
func (d *deliveries) measured(ctx context.Context, results []delivery.Result) []metrics.Delivery {
	seen := map[[3]string]delivery.Result{}
	key := func(r *delivery.Result) [3]string { return [3]string{r.Name, r.Target, r.Where} }
	for _, r := range results {
		seen[key(&r)] = r
	}
	list := map[[3]string]metrics.Delivery{}
	for _, w := range wants(d.cfg) {
		for _, to := range w.to {
			it, err := d.item(ctx, w, to)
			r := delivery.Result{Name: w.name, Target: it.kind, Where: it.where, State: delivery.Failed}
			if err == nil {
				r = d.engine.Known(it.Item)
			}
			if now, ok := seen[key(&r)]; ok {
				r = now
			}
			list[key(&r)] = metrics.Delivery{
				Name: r.Name, Target: r.Target, Place: it.where, InSync: r.OK() && r.Later == "",
				Delivered: r.Delivered, Verified: r.Verified, Attempt: r.Attempt, Failures: r.Failures,
			}
		}
	}
	return slices.Collect(maps.Values(list))
}
