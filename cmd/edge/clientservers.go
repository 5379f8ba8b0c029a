package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strings"
	"sync"
	"time"

	"edge/acmeglue"
	"edge/acmeglue/steward"
	"edge/installers"
	"edge/installers/target"
	"edge/internal/certbotcli"
	"edge/internal/flock"
)

// webServers are the installers as the steward wants them: package installers knows
// no command line, package steward no installers.
type webServers struct {
	c      *client
	runner *installers.Runner
	kinds  []target.Kind

	mu      sync.Mutex              // of what follows
	release map[string]func() error // of locks, by folder
	// What others left is taken back once, before anything of ours is there.
	recovered bool
}

// webServerKind is a server that edge has a package for.
type webServerKind struct {
	name, description string
	open              func(ctx context.Context, o *certbotcli.Options, t *installers.Runner) (openServer, error)
}

// openServer is what the package of a server supplies.
type openServer struct {
	installers.Installer
	auth         acmeglue.Authenticator
	enhancements []string
}

func (c *client) webServers() *webServers {
	return &webServers{c: c, runner: &installers.Runner{Work: c.o.WorkDir, Log: c.logger}, kinds: c.kinds, release: map[string]func() error{}}
}

// close frees the locks of servers' folders.
func (w *webServers) close() error {
	w.mu.Lock()
	defer w.mu.Unlock()
	var errs []error
	for _, release := range w.release {
		errs = append(errs, release())
	}
	clear(w.release)
	return errors.Join(errs...)
}

// Offered implements steward.WebServers.
func (w *webServers) Offered(name string) steward.WebServerInfo {
	for _, k := range webServerKinds() {
		if k.name == name {
			return k.info()
		}
	}
	if k := w.kind(name); k != nil {
		return infoOf(k)
	}
	return steward.WebServerInfo{}
}

func (k *webServerKind) info() steward.WebServerInfo {
	return steward.WebServerInfo{Name: k.name, Description: k.description, Installs: true, Proves: true}
}

// List implements steward.WebServers.
func (w *webServers) List(ctx context.Context, o *certbotcli.Options, targets bool) []steward.WebServerInfo {
	var list []steward.WebServerInfo
	for _, k := range webServerKinds() {
		i := k.info()
		if _, err := k.open(ctx, o, w.runner); err != nil {
			i.Problem = err.Error()
		}
		list = append(list, i)
	}
	if targets {
		list = append(list, w.lookForTargets(ctx, o)...)
	}
	return list
}

// Open implements steward.WebServers.
func (w *webServers) Open(ctx context.Context, name string, o *certbotcli.Options) (steward.WebServer, error) {
	if k := w.kind(name); k != nil {
		return w.openKind(ctx, k, o)
	}
	s, err := w.open(ctx, name, o)
	if err != nil {
		return nil, err
	}
	return &webServer{openServer: s, all: w}, nil
}

// open locks a server's folder and takes back what a run that was killed left.
func (w *webServers) open(ctx context.Context, name string, o *certbotcli.Options) (openServer, error) {
	n := slices.IndexFunc(webServerKinds(), func(k webServerKind) bool { return k.name == name })
	if n < 0 {
		return openServer{}, fmt.Errorf("edge has no installer %s", name)
	}
	s, err := webServerKinds()[n].open(ctx, o, w.runner)
	if err != nil {
		return s, err
	}
	if err := w.hold(ctx, s.Root()); err != nil {
		return s, err
	}
	return s, w.recover(ctx, o, s)
}

// hold locks a server's folder until the end of the run.
func (w *webServers) hold(ctx context.Context, root string) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.release[root] != nil {
		return nil
	}
	release, err := w.c.lockServer(ctx, root)
	if err == nil {
		w.release[root] = release
	}
	return err
}

// recover takes back what is unfinished. It may be of another server than that which
// is to be worked on.
func (w *webServers) recover(ctx context.Context, o *certbotcli.Options, now installers.Server) error {
	w.mu.Lock()
	defer w.mu.Unlock()
	if w.recovered {
		return nil
	}
	if o.Plan {
		there, err := w.runner.Unfinished()
		if there {
			err = fmt.Errorf("a run that did not end has left changes behind in the configuration, see %s; a plan changes nothing: run the command without --plan, which takes them back first", o.WorkDir)
		}
		return err
	}
	done, err := w.runner.Recover(ctx, func(name string) installers.Server {
		if name = cmp.Or(name, now.Name()); name == now.Name() && w.kind(name) != nil {
			return now // by what its lineage says, which the options of the run may not
		}
		return w.find(ctx, o, name)
	})
	for _, r := range done {
		says := fmt.Sprintf("a run that did not end had changed %s: that is taken back", strings.Join(r.Paths, ", "))
		if r.Err != nil {
			says += fmt.Sprintf("; %s may still run with it: %v", cmp.Or(r.Server, now.Name()), r.Err)
		}
		w.c.logger.Warn(says)
		for _, note := range r.Notes {
			w.c.logger.Info(note)
		}
	}
	w.recovered = err == nil
	return err
}

// find returns a server for the transaction, nil where it is not there.
func (w *webServers) find(ctx context.Context, o *certbotcli.Options, name string) installers.Server {
	for _, k := range webServerKinds() {
		if k.name != name {
			continue
		}
		s, err := k.open(ctx, o, w.runner)
		if err != nil {
			w.c.logger.Warn(fmt.Sprintf("%s: %v", name, err))
			return nil
		}
		return s.Installer
	}
	if k := w.kind(name); k != nil {
		p, err := w.planner(ctx, k, o)
		if err == nil {
			return p
		}
		w.c.logger.Warn(fmt.Sprintf("which %[1]s is meant is not known, name it with --installer %[1]s and its flags: %[2]v", name, err))
	}
	return nil
}

// Rollback implements steward.WebServers. Every server that a checkpoint is of is
// locked.
func (w *webServers) Rollback(ctx context.Context, name string, o *certbotcli.Options) ([]string, error) {
	// certbot refuses what is negative, and takes 0 in silence.
	if o.Checkpoints < 0 || o.Checkpoints == 0 && !w.c.asCertbot {
		return nil, fmt.Errorf("--checkpoints %d: rollback argument must be a positive integer", o.Checkpoints)
	}
	list, err := w.runner.Checkpoints()
	if err != nil {
		return nil, err
	}
	if len(list) == 0 && name == "" {
		return []string{"There is nothing to roll back: no change of a server's configuration is recorded."}, nil
	}
	var names []string
	if name != "" {
		names = append(names, name)
	}
	for _, c := range list[:min(len(list), max(o.Checkpoints, 0))] {
		switch {
		case c.Server != "" && name != "" && c.Server != name && !w.c.asCertbot:
			return nil, fmt.Errorf("the newest changes are not of %s: checkpoint %s is of %s (%s), and comes first; run the command without --installer, or with that one", name, c.Name, c.Server, strings.Join(c.Titles, "; "))
		case c.Server != "":
			names = append(names, c.Server)
		case name == "":
			return nil, fmt.Errorf("checkpoint %s does not say which server it is of; name it with --installer", c.Name)
		}
	}
	slices.Sort(names)
	for _, n := range slices.Compact(names) {
		var err error
		if k := w.kind(n); k != nil {
			err = w.takeForRollback(ctx, k, o)
		} else {
			_, err = w.open(ctx, n, o)
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", n, err)
		}
	}
	done, err := w.runner.Rollback(ctx, o.Checkpoints, func(of string) installers.Server { return w.find(ctx, o, cmp.Or(of, name)) }, o.Force)
	if err != nil {
		return nil, err
	}
	for _, warning := range done.Warnings {
		w.c.logger.Warn(warning)
	}
	var notes []string
	if !w.c.asCertbot {
		for _, c := range done.Checkpoints {
			notes = append(notes, fmt.Sprintf("Rolled back %s (%s): %s", c.Name, strings.Join(c.Titles, "; "), strings.Join(c.Paths, ", ")))
		}
	}
	return notes, nil
}

// lockServer keeps others out of a server's configuration, as certbot's plugins do.
func (c *client) lockServer(ctx context.Context, root string) (func() error, error) {
	release, err := flock.Dirs(ctx, []string{root}, c.lockOptions())
	var busy *flock.BusyError
	switch {
	case errors.As(err, &busy) && c.asCertbot:
		return nil, certbotText("Unable to lock " + root)
	case errors.Is(err, os.ErrPermission):
		return nil, fmt.Errorf("lock %s: %w; run as root", root, err)
	}
	return release, err
}

// webServer is a server that is open.
type webServer struct {
	openServer
	all *webServers
}

// Enhancements implements steward.WebServer.
func (s *webServer) Enhancements() []string { return s.enhancements }

// Authenticator implements steward.WebServer.
func (s *webServer) Authenticator() acmeglue.Authenticator { return s.auth }

// request is an installation in the terms of package installers.
func request(in steward.Installation) installers.Request {
	return installers.Request{
		Names:       in.Names,
		Certificate: installers.Certificate{Lineage: in.Lineage, Cert: in.Cert, Key: in.Key, Chain: in.Chain, FullChain: in.FullChain},
		Deploy:      in.Deploy,
		Enhance:     installers.Enhancements{Redirect: in.Redirect, HSTS: in.HSTS, UIR: in.UIR, Staple: in.Staple},
		HTTPPort:    uint16(in.HTTPPort), HTTPSPort: uint16(in.HTTPSPort), ConfigDir: in.ConfigDir,
		UseDefault: in.UseDefault, Overwrite: in.Overwrite, Choose: in.Choose,
	}
}

// Check implements steward.WebServer.
func (s *webServer) Check(ctx context.Context, in steward.Installation) error {
	_, err := s.Plan(ctx, request(in))
	return err
}

// Show implements steward.WebServer.
func (s *webServer) Show(ctx context.Context, in steward.Installation, w io.Writer) error {
	p, err := s.Plan(ctx, request(in))
	if err != nil {
		return err
	}
	return installers.Show(w, p, s.Installer)
}

// Install implements steward.WebServer.
func (s *webServer) Install(ctx context.Context, in steward.Installation) (steward.Installed, error) {
	r := request(in)
	p, err := s.Plan(ctx, r)
	if err != nil {
		return steward.Installed{}, err
	}
	return s.apply(ctx, p, r)
}

// Reload implements steward.WebServer. The configuration stays as it is, also where it
// does not use the certificate: nobody asked for that now.
func (s *webServer) Reload(ctx context.Context, in steward.Installation) (steward.Installed, error) {
	r := request(in)
	p, err := s.Plan(ctx, r)
	if err == nil && p.Empty() {
		done, err := s.apply(ctx, p, r)
		done.Notes = nil
		var failed *installers.StepError
		if !errors.As(err, &failed) || failed.Step != installers.Precheck {
			return done, err
		}
		// Nothing is changed by a reload, and what was served before was no better.
		done.Warnings = append(done.Warnings, err.Error())
		return done, s.reload(ctx)
	}
	done := steward.Installed{Warnings: []string{fmt.Sprintf("%s was reloaded, but is not configured with certificate %s for all of %s; edge install --cert-name %[2]s would change that",
		s.Name(), in.Lineage, strings.Join(in.Names, ", "))}}
	if err != nil {
		done.Warnings[0] += ": " + err.Error()
	}
	return done, s.reload(ctx)
}

// reload is for what cannot be verified.
func (s *webServer) reload(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, 2*time.Minute)
	defer cancel()
	if err := s.Test(ctx); err != nil {
		return err
	}
	return s.Activate(ctx)
}

func (s *webServer) apply(ctx context.Context, p *installers.Plan, r installers.Request) (steward.Installed, error) {
	done := steward.Installed{Changed: !p.Empty(), Warnings: p.Warnings}
	outcome, err := s.all.runner.Apply(ctx, s.Installer, p, r)
	var failed *installers.StepError
	switch {
	case errors.As(err, &failed):
		return done, installError(failed, err)
	case err != nil:
		return done, err
	}
	done.Notes = p.Notes
	done.Warnings = append(slices.Clone(p.Warnings), outcome.Warnings...)
	return done, nil
}

func installError(failed *installers.StepError, err error) error {
	live := failed.Step == installers.Activate || failed.Step == installers.Verify || failed.Step == installers.Commit
	return &steward.InstallError{Step: string(failed.Step), Live: live, Undone: failed.State != installers.NotUndone, Err: err}
}
