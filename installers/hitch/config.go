package hitch

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"edge"
	"edge/installers/delivery"
	"edge/installers/process"
	"edge/installers/target"
	"edge/internal/durable"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "hitch",
		Description: "hitch, the TLS proxy in front of Varnish",
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Default: "/etc/hitch/hitch.conf", Doc: "hitch's configuration"},
			{Name: "pem", Type: target.Path, Doc: "the PEM file to write; else NAME.pem in hitch's pem-dir, or in dir"},
			{Name: "dir", Type: target.Path, Default: "/etc/hitch/edge", Doc: "folder for PEM files where the configuration has no pem-dir"},
			{Name: "program", Type: target.Path, Default: "/usr/sbin/hitch", Doc: "the hitch that runs, and that tests the configuration"},
			{Name: "pid_file", Type: target.Path, Doc: "hitch's --pidfile; else the process is found by its program and configuration"},
			{Name: "reload", Type: target.List, Doc: "program and arguments that have hitch reload, in the place of a HUP"},
		},
		Found: found,
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			h, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(h), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Name: env.Name, Config: v.Text("config"), PEM: v.Text("pem"), Dir: v.Text("dir"), Program: v.Text("program"),
		PIDFile: v.Text("pid_file"), Reload: v.List("reload"), Settings: v.String(),
		Durable: env.Durable, Run: env.Run, Signal: env.Signal, Now: env.Now,
	}
}

func found(_ context.Context, v target.Values, env *target.Env) (string, error) {
	o := options(v, env)
	if _, err := os.Stat(o.Program); err != nil {
		return "", err
	}
	if _, err := os.Stat(o.Config); err != nil {
		return "", err
	}
	says := o.Program + ", configuration " + o.Config
	if n := len(process.Running(o.Program)); n == 0 {
		says += "; it does not run"
	}
	return says, nil
}

// Options are what a Hitch is made of.
type Options struct {
	Name string // of the lineage: the PEM file's name is made of it
	// Paths; see the settings. Config, Dir and Program are needed, all are absolute.
	Config, PEM, Dir, Program, PIDFile string
	Reload                             []string // argv; empty: HUP
	Settings                           string   // as in delivery.Target
	Durable                            durable.Writer
	Run                                func(ctx context.Context, argv []string) (output string, err error)
	Signal                             func(pid int, sig syscall.Signal) error
	Now                                func() time.Time
}

// Hitch is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type Hitch struct {
	o Options
	// newest is the latest time of modification that each PEM file was seen with: hitch may
	// have loaded that. Nil: nothing was looked at yet.
	newest map[string]time.Time
	ours   string // the PEM file of the last plan
	down   bool   // it did not run when it was to load something
}

var _ delivery.Planner = (*Hitch)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Hitch, error) {
	if o.PEM == "" && (o.Name == "" || strings.HasPrefix(o.Name, ".")) {
		return nil, fmt.Errorf("hitch: a PEM file cannot be named after %q; say with pem: which it is", o.Name)
	}
	for _, path := range []string{o.PEM, filepath.Join(o.Dir, edge.FileName(o.Name))} {
		if strings.ContainsFunc(path, func(r rune) bool { return r < ' ' || r == '"' || r == '\\' || r == 0x7f }) {
			return nil, fmt.Errorf("hitch: %q cannot be written into its configuration", path)
		}
	}
	if o.Config == "" || o.Program == "" || o.PEM == "" && o.Dir == "" {
		return nil, errors.New("hitch: no configuration, program or folder is named")
	}
	return &Hitch{o: o}, nil
}

// Name implements installers.Server.
func (h *Hitch) Name() string { return "hitch" }

// Root implements delivery.Planner.
func (h *Hitch) Root() string { return filepath.Dir(h.o.Config) }

// Settings implements delivery.Planner.
func (h *Hitch) Settings() string { return h.o.Settings }
