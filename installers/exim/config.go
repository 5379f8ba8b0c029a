package exim

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
)

// The values of the setting default.
const (
	auto   = "auto"
	always = "always"
	never  = "never"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "exim",
		Description: "Exim, its default certificate and those of other names",
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Doc: "the configuration; else the one that Exim says it reads"},
			{Name: "localmacros", Type: target.Path, Doc: "the file of Debian's macros to write, where update-exim4.conf makes the configuration; else as Debian has it"},
			{Name: "update", Type: target.List, Default: "update-exim4.conf", Doc: "program and arguments that make the configuration of Debian's files"},
			{Name: "dir", Type: target.Path, Default: "/etc/exim4/edge", Doc: "folder of PEM files and of the table of names"},
			{Name: "default", Default: auto, Choices: []string{auto, always, never},
				Doc: "whether clients that name no host, or another one, get the certificate: auto is where the present one is for no other names, or nobody's"},
			{Name: "owner", Default: "root", Doc: "whose the files are, a name or a number"},
			{Name: "group", Doc: "the group that can read them; else Exim's"},
			{Name: "exim", Doc: "the program; else exim4, or exim"},
			{Name: "ports", Type: target.List, Doc: "ports, or addresses with ports, that the daemon listens on, where they are not those of its configuration"},
			{Name: "pid_file", Type: target.Path, Doc: "file with the daemon's process id; else the one of its configuration"},
			{Name: "reload", Type: target.List, Doc: "program and arguments that have it read a changed configuration, in the place of SIGHUP"},
		},
		Found: func(ctx context.Context, v target.Values, env *target.Env) (string, error) {
			o := options(v, env)
			o.Name = "x"
			x, err := New(o)
			if err != nil {
				return "", err
			}
			s, err := x.look(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s, %d listeners with TLS", s.config, len(s.at)), nil
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			x, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(x), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Name: env.Name, Config: v.Text("config"), LocalMacros: v.Text("localmacros"), Update: v.List("update"), Dir: v.Text("dir"), Default: v.Text("default"),
		Owner: v.Text("owner"), Group: v.Text("group"), Program: v.Text("exim"), Ports: v.List("ports"), PIDFile: v.Text("pid_file"), Reload: v.List("reload"),
		Settings: v.String(), Run: env.Run, Exec: env.Exec, Signal: env.Signal, Now: env.Now,
	}
}

// Options are what an Exim is made of.
type Options struct {
	Name                     string // of the lineage: the PEM file is named after it
	Config, LocalMacros, Dir string // see the settings; absolute
	Default                  string // auto, always or never
	Owner, Group             string
	Program, PIDFile         string
	Update, Reload, Ports    []string
	Settings                 string // as in delivery.Target
	Run                      func(ctx context.Context, argv []string) (output string, err error)
	Exec                     func(ctx context.Context, p installers.Program) (installers.Said, error)
	Signal                   func(pid int, sig syscall.Signal) error
	Now                      func() time.Time
}

// Exim is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type Exim struct {
	o       Options
	planned *planned // what was planned last
	pid     int      // of the daemon, when it was looked for last
	debian  bool     // its configuration is made of Debian's files, as was found last
}

var _ delivery.Planner = (*Exim)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Exim, error) {
	x := &Exim{o: o}
	switch {
	case o.Dir == "":
		return nil, errors.New("exim: no folder is named")
	case o.Name == "" || strings.HasPrefix(o.Name, "."):
		return nil, fmt.Errorf("exim: a PEM file cannot be named after %q", o.Name)
	case strings.HasPrefix(o.Program, "-"):
		return nil, errors.New("exim: a program cannot begin with a dash")
	}
	// It becomes a part of an expansion, and of a list with colons.
	plain := func(c rune) bool { return c <= ' ' || strings.ContainsRune("#\"'<>{}$\\:,;|\x7f", c) }
	if path := x.pem(); strings.ContainsFunc(path, plain) {
		return nil, fmt.Errorf("exim: %q cannot be written into its configuration", path)
	}
	return x, nil
}

// pem is the file of the certificate, table that of all names.
func (x *Exim) pem() string   { return filepath.Join(x.o.Dir, edge.FileName(x.o.Name)+".pem") }
func (x *Exim) table() string { return filepath.Join(x.o.Dir, "names") }

// Name implements installers.Server.
func (x *Exim) Name() string { return "exim" }

// Root implements delivery.Planner.
func (x *Exim) Root() string { return filepath.Dir(x.o.Dir) } // that of a first delivery is not there yet

// Settings implements delivery.Planner.
func (x *Exim) Settings() string { return x.o.Settings }
