package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/steward"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/certbotcli"
	"edge/internal/flock"
)

// lookTime is how long finding out what there is of one target may take.
const lookTime = 2 * time.Second

// kind returns the target of that name.
func (w *webServers) kind(name string) *target.Kind {
	n := slices.IndexFunc(w.kinds, func(k target.Kind) bool { return k.Name == name })
	if n < 0 {
		return nil
	}
	return &w.kinds[n]
}

func infoOf(k *target.Kind) steward.WebServerInfo {
	return steward.WebServerInfo{Name: k.Name, Description: k.Description, Installs: k.Installs(), Proves: k.Proves(), Target: true}
}

// lookForTargets finds out what there is of each kind on this machine, all at once.
func (w *webServers) lookForTargets(ctx context.Context, o *certbotcli.Options) []steward.WebServerInfo {
	list := make([]steward.WebServerInfo, len(w.kinds))
	var looking sync.WaitGroup
	for n := range w.kinds {
		looking.Go(func() { list[n] = w.lookForTarget(ctx, &w.kinds[n], o) })
	}
	looking.Wait()
	return list
}

func (w *webServers) lookForTarget(ctx context.Context, k *target.Kind, o *certbotcli.Options) steward.WebServerInfo {
	i := infoOf(k)
	if k.Found == nil {
		return i
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	v, err := said(k, o, false, false)
	if err == nil {
		i.Found, err = k.Found(ctx, v, w.env(""))
	}
	switch {
	case err != nil:
		i.Found, i.Problem = "", err.Error()
	case i.Found == "":
		i.Found = "yes"
	}
	return i
}

// said is what a kind was told, checked for what it is wanted for.
func said(k *target.Kind, o *certbotcli.Options, proves, installs bool) (target.Values, error) {
	v, problems := target.Parse(k, o.SaidOf(k.Name), os.Getenv, proves, installs)
	var errs []error
	for _, p := range problems {
		flag := p.Setting
		if s := k.Setting(p.Setting); s != nil {
			flag = "--" + s.Flag(k.Name)
		}
		p.Setting = flag
		errs = append(errs, &p)
	}
	return v, errors.Join(errs...)
}

// env is the world of a target.
func (w *webServers) env(lineage string) *target.Env {
	return targetEnv(lineage, w.records(), w.c.logger, w.runner, w.lock)
}

// records is the folder of what is remembered of deliveries.
func (w *webServers) records() string { return filepath.Join(w.c.o.WorkDir, "edge", "deliver") }

// lock is target.Env's. A folder stays locked until the end of the run.
func (w *webServers) lock(ctx context.Context, s installers.Server, root string) (func() error, error) {
	if err := w.hold(ctx, root); err != nil {
		return nil, err
	}
	return func() error { return nil }, w.recover(ctx, w.c.o, s)
}

// planner is the server on this machine that a target is, by what the options say.
func (w *webServers) planner(ctx context.Context, k *target.Kind, o *certbotcli.Options) (delivery.Planner, error) {
	v, err := said(k, o, false, true)
	if err != nil {
		return nil, err
	}
	if !k.Installs() {
		return nil, errors.New("it installs nothing")
	}
	t, err := k.Target(ctx, v, w.env(o.CertName))
	if err != nil {
		return nil, err
	}
	local, ok := t.(*delivery.Local)
	if !ok {
		return nil, errors.New("no changes of it are recorded: it takes what is delivered next")
	}
	return local.Planner, nil
}

// takeForRollback locks the folder of a target.
func (w *webServers) takeForRollback(ctx context.Context, k *target.Kind, o *certbotcli.Options) error {
	p, err := w.planner(ctx, k, o)
	if err != nil {
		return fmt.Errorf("which %[1]s is meant is not known: %[2]w; name it with --installer %[1]s and its flags, those of %[3]s --help %[1]s", k.Name, err, w.c.program)
	}
	_, err = w.lock(ctx, p, p.Root())
	return err
}

// openKind makes a target for what the options have it as.
func (w *webServers) openKind(ctx context.Context, k *target.Kind, o *certbotcli.Options) (steward.WebServer, error) {
	s := &kindServer{kind: k, all: w, keyType: o.KeyType}
	var err error
	if o.Installer == k.Name {
		if s.values, err = said(k, o, false, true); err != nil {
			return nil, err
		}
		t, err := s.target(ctx, o.CertName)
		if err != nil {
			return nil, err
		}
		if local, ok := t.(*delivery.Local); ok {
			if _, err := w.lock(ctx, local.Planner, local.Planner.Root()); err != nil {
				return nil, err
			}
		}
	}
	if o.Authenticator == k.Name {
		v, err := said(k, o, true, false)
		if err != nil {
			return nil, err
		}
		if s.auth, err = k.Authenticator(ctx, v, w.env("")); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// kindServer is a target as a Steward sees web servers.
type kindServer struct {
	kind    *target.Kind
	all     *webServers
	values  target.Values // as an installer
	auth    acmeglue.Authenticator
	keyType string // of certificates that are to come
}

func (s *kindServer) target(ctx context.Context, lineage string) (delivery.Target, error) {
	return s.kind.Target(ctx, s.values, s.all.env(lineage))
}

// Name implements steward.WebServer.
func (s *kindServer) Name() string { return s.kind.Name }

// Names implements steward.WebServer.
func (s *kindServer) Names(context.Context) ([]string, error) { return nil, nil }

// Enhancements implements steward.WebServer.
func (s *kindServer) Enhancements() []string { return nil }

// Authenticator implements steward.WebServer.
func (s *kindServer) Authenticator() acmeglue.Authenticator { return s.auth }

// Check implements steward.WebServer.
func (s *kindServer) Check(ctx context.Context, in steward.Installation) error {
	return s.Show(ctx, in, io.Discard)
}

// Show implements steward.WebServer. Where there is no certificate yet, one that looks like
// it takes its place.
func (s *kindServer) Show(ctx context.Context, in steward.Installation, w io.Writer) error {
	m, err := s.material(in)
	if errors.Is(err, os.ErrNotExist) && in.Lineage != "" {
		m, err = standIn(in, s.keyType)
	}
	if err != nil {
		return err
	}
	t, err := s.target(ctx, in.Lineage)
	if err != nil {
		return err
	}
	if local, ok := t.(*delivery.Local); ok {
		return local.Show(ctx, m, w)
	}
	engine := s.engine()
	res := engine.Look(ctx, delivery.Item{Name: m.Name, Target: t}, m)
	switch {
	case len(res.Reasons) == 0 && res.Error != "":
		return errors.New(res.Error)
	case len(res.Reasons) == 0:
		fmt.Fprintf(w, "%s: nothing to change\n", s.Name())
		return nil
	}
	fmt.Fprintf(w, "%s: this is what would be done; nothing is changed.\n", s.Name())
	for _, line := range slices.Concat(res.Reasons, res.Actions) {
		fmt.Fprintf(w, "%s: %s\n", s.Name(), line)
	}
	return nil
}

// Install implements steward.WebServer.
func (s *kindServer) Install(ctx context.Context, in steward.Installation) (steward.Installed, error) {
	m, err := s.material(in)
	if err != nil {
		return steward.Installed{}, err
	}
	res, err := s.deliver(ctx, m)
	done := steward.Installed{Changed: res.Changed}
	if err != nil {
		return done, err
	}
	done.Notes = []string{fmt.Sprintf("Successfully deployed certificate for %s to %s at %s", strings.Join(in.Names, ", "), s.Name(), res.Where)}
	if res.State == delivery.Unverified {
		done.Warnings = []string{fmt.Sprintf("nobody has looked whether %s shows the certificate: it does not say where", s.Name())}
	}
	return done, nil
}

// Reload implements steward.WebServer: the certificate is brought there.
func (s *kindServer) Reload(ctx context.Context, in steward.Installation) (steward.Installed, error) {
	done, err := s.Install(ctx, in)
	done.Notes = nil
	return done, err
}

func (s *kindServer) deliver(ctx context.Context, m *delivery.Material) (res delivery.Result, err error) {
	t, err := s.target(ctx, m.Name)
	if err != nil {
		return res, err
	}
	engine := s.engine()
	if err := os.MkdirAll(engine.Dir, 0o700); err != nil {
		return res, fmt.Errorf("folder of the records: %w", err)
	}
	release, err := flock.Dirs(ctx, []string{engine.Dir}, s.all.c.lockOptions())
	if err != nil {
		return res, err
	}
	defer func() { err = errors.Join(err, release()) }()
	res = engine.Apply(ctx, delivery.Item{Name: m.Name, Target: t}, m)
	var failed *installers.StepError
	switch {
	case errors.As(res.Err, &failed):
		return res, installError(failed, res.Err)
	case res.State == delivery.Failed && res.Err == nil:
		return res, errors.New(res.Error)
	}
	return res, res.Err
}

func (s *kindServer) engine() *delivery.Engine {
	return &delivery.Engine{Dir: s.all.records(), Run: runProgram, Now: time.Now, Log: s.all.c.logger}
}

// material is a certificate as targets want it.
func (s *kindServer) material(in steward.Installation) (*delivery.Material, error) {
	var b edge.Bundle
	var err error
	if b.Key, err = os.ReadFile(in.Key); err != nil {
		return nil, fmt.Errorf("private key: %w", err)
	}
	chain := []string{in.FullChain}
	if in.FullChain == "" {
		chain = slices.DeleteFunc([]string{in.Cert, in.Chain}, func(path string) bool { return path == "" })
	}
	for _, path := range chain {
		raw, err := os.ReadFile(path)
		if err != nil {
			return nil, fmt.Errorf("certificate: %w", err)
		}
		b.Chain = append(b.Chain, raw...)
	}
	name := in.Lineage
	if name == "" && len(in.Names) > 0 {
		name = strings.TrimPrefix(in.Names[0], "*.")
	}
	m, err := delivery.NewMaterial(name, b, in.Names, time.Now())
	if err == nil && in.Lineage != "" {
		m.Live = filepath.Dir(in.FullChain)
	}
	return m, err
}
