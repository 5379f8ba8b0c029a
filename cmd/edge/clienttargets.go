package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"sync"
	"time"

	"edge/acmeglue/steward"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/certbotcli"
	"edge/internal/config"
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
	return targetEnv(lineage, filepath.Join(w.records(), "kept"), w.c.logger, w.runner, w.lock)
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

// meant is what a kind is to be for a rollback or a recovery: as the options say, else as
// the configuration delivers to it, else as it usually is. The name is for files, which
// are in the checkpoint already.
func (w *webServers) meant(k *target.Kind, o *certbotcli.Options) (v target.Values, name string, err error) {
	name = cmp.Or(o.CertName, "edge")
	if len(o.SaidOf(k.Name)) == 0 {
		if cfg, err := config.LoadTrusted(o.EdgeConfig); err == nil {
			for _, want := range wants(cfg) {
				for _, to := range want.to {
					if to.Target != nil && to.Target.Kind.Name == k.Name {
						return to.Target.Values, want.name, nil
					}
				}
			}
		}
	}
	v, err = said(k, o, false, true)
	return v, name, err
}

// planner is the server on this machine that a target is.
func (w *webServers) planner(ctx context.Context, k *target.Kind, o *certbotcli.Options) (delivery.Planner, error) {
	if !k.Installs() {
		return nil, errors.New("it installs nothing")
	}
	v, name, err := w.meant(k, o)
	if err != nil {
		return nil, err
	}
	t, err := k.Target(ctx, v, w.env(name))
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
