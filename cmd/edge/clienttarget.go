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
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/steward"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/flock"
)

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
	t, err := s.target(ctx, m.Name)
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
