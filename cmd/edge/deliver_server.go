package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache"
	"edge/installers/delivery"
	"edge/installers/nginx"
	"edge/installers/target"
	"edge/internal/config"
	"edge/internal/flock"
)

// deliverServers are the web servers that a run delivers to, each detected once.
type deliverServers struct {
	d      *deliveries
	runner *installers.Runner
	found  map[config.WebServer]installers.Installer
}

func (d *deliveries) newServers() *deliverServers {
	return &deliverServers{d: d, runner: &installers.Runner{Work: d.work, Log: d.log}, found: map[config.WebServer]installers.Installer{}}
}

// detect finds the server that a configuration means.
func (s *deliverServers) detect(ctx context.Context, w config.WebServer) (installers.Installer, error) {
	w.HTTPPort, w.HTTPSPort = 0, 0 // these are of the request, not of the server
	if in := s.found[w]; in != nil {
		return in, nil
	}
	var in installers.Installer
	var err error
	switch w.Kind {
	case "nginx":
		in, err = nginx.Detect(ctx, nginx.Options{Ctl: w.Ctl, ServerRoot: w.ServerRoot})
	case "apache":
		in, err = apache.Detect(ctx, apache.Options{Ctl: w.Ctl, ServerRoot: w.ServerRoot})
	default:
		err = errors.New("edge has no installer for it")
	}
	if err != nil {
		return nil, fmt.Errorf("%s: %w", w.Kind, err)
	}
	s.found[w] = in
	return in, nil
}

// target is a server as a place that a certificate is delivered to.
func (s *deliverServers) target(ctx context.Context, w *config.WebServer) (delivery.Target, error) {
	in, err := s.detect(ctx, *w)
	if err != nil {
		return nil, err
	}
	return &delivery.WebServer{
		Installer: in, Runner: s.runner, Lock: func(ctx context.Context) (func() error, error) { return s.lock(ctx, in, in.Root()) },
		HTTPPort: uint16(w.HTTPPort), HTTPSPort: uint16(w.HTTPSPort), ConfigDir: s.d.tree,
	}, nil
}

// lockWork takes certbot's lock of the work folder where a web server is delivered to,
// unless the caller has it. It comes before the lock of the records: a renewal has it
// when it begins to deliver, and neither may wait for what the other has.
func (s *deliverServers) lockWork(ctx context.Context) (release func() error, err error) {
	web := slices.ContainsFunc(wants(s.d.cfg), func(w wanted) bool {
		return slices.ContainsFunc(w.to, func(t config.Deliver) bool { return t.Server != nil || t.Target != nil })
	})
	if !web || s.d.workLocked {
		return func() error { return nil }, nil
	}
	// A machine that has a front door alone has neither; files that certbot keeps for
	// servers, such as options-ssl-nginx.conf, go into the tree.
	for _, dir := range []string{s.d.tree, s.d.work} {
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return nil, fmt.Errorf("make certbot's folders: %w; run this as root, or name others with --config-dir and --work-dir", err)
		}
	}
	return flock.Dirs(ctx, []string{s.d.work}, s.lockOptions())
}

func (s *deliverServers) lockOptions() flock.Options {
	return flock.Options{Timeout: s.d.lockTimeout, Command: "edge deliver"}
}

// lock keeps others out of a server's folder, as certbot's plugins do, and takes back
// what a run that was killed left behind.
func (s *deliverServers) lock(ctx context.Context, in installers.Server, root string) (release func() error, err error) {
	release, err = flock.Dirs(ctx, []string{root}, s.lockOptions())
	if err != nil {
		return nil, fmt.Errorf("%s: folder of its configuration: %w", in.Name(), err)
	}
	done, err := s.runner.Recover(ctx, func(name string) installers.Server { return s.recovering(ctx, name, in) })
	for _, r := range done {
		s.d.log.Warn("a run that did not end had changed files: that is taken back", "target", r.Server, "files", strings.Join(r.Paths, ", "), "error", r.Err)
	}
	if err != nil {
		return nil, errors.Join(err, release())
	}
	return release, nil
}

// env is the world of a target.
func (s *deliverServers) env(name string) *target.Env {
	return targetEnv(name, filepath.Join(s.d.state, "kept"), s.d.log, s.runner, s.lock)
}

// recovering is the server that something unfinished is of, nil where it is not there.
func (s *deliverServers) recovering(ctx context.Context, name string, now installers.Server) installers.Server {
	if name == "" || name == now.Name() {
		return now
	}
	if in := s.configured(ctx, name); in != nil {
		return in
	}
	other, err := s.detect(ctx, config.WebServer{Kind: name})
	if err != nil {
		s.d.log.Warn("what is unfinished is of a server that is not there", "target", name, "error", err)
		return nil
	}
	return other
}

// configured is a server that the configuration delivers to, by its kind.
func (s *deliverServers) configured(ctx context.Context, kind string) installers.Server {
	for _, w := range wants(s.d.cfg) {
		for _, to := range w.to {
			if to.Target == nil || to.Target.Kind.Name != kind {
				continue
			}
			it, err := s.d.item(ctx, w, to)
			if local, ok := it.Target.(*delivery.Local); ok && err == nil {
				return local.Planner
			}
		}
	}
	return nil
}
