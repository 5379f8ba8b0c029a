package postgresql

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"edge"
	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "postgresql",
		Description: "PostgreSQL, while it runs",
		Single:      true,
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Doc: "its postgresql.conf; else the only one below /etc/postgresql"},
			{Name: "data_directory", Type: target.Path, Doc: "its data; else as the configuration says, or the folder of that"},
			{Name: "pem", Type: target.Path, Doc: "the PEM file to write, else NAME.pem in dir"},
			{Name: "dir", Type: target.Path, Default: "/etc/ssl/postgresql", Doc: "folder of PEM files; it belongs to root and is made where it is missing"},
			{Name: "reload", Type: target.List, Doc: "program and arguments that have it reload, in the place of a HUP to the postmaster"},
		},
		Found: func(_ context.Context, v target.Values, env *target.Env) (string, error) {
			o := options(v, env)
			o.Name = "x"
			p, err := New(o)
			if err != nil {
				return "", err
			}
			is, err := p.look()
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("PostgreSQL %s, %s, at %s", is.version, is.conf.Paths[0], is.at.Addr), nil
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			p, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(p), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Name: env.Name, Config: v.Text("config"), Data: v.Text("data_directory"), PEM: v.Text("pem"), Dir: v.Text("dir"), Reload: v.List("reload"),
		Settings: v.String(), Run: env.Run, Signal: env.Signal,
	}
}

// Options are what a PostgreSQL is made of.
type Options struct {
	Name                   string // of the lineage: the PEM file's name is made of it
	Config, Data, PEM, Dir string // see the settings; absolute
	Reload                 []string
	Settings               string // as in delivery.Target
	Run                    func(ctx context.Context, argv []string) (output string, err error)
	Signal                 func(pid int, sig syscall.Signal) error
}

// PostgreSQL is one on this machine. It implements delivery.Planner. Not safe for
// concurrent use.
type PostgreSQL struct{ o Options }

var _ delivery.Planner = (*PostgreSQL)(nil)

// New checks the options, and finds the configuration where it is not named.
func New(o Options) (*PostgreSQL, error) {
	if o.Config == "" {
		all, err := filepath.Glob("/etc/postgresql/*/*/postgresql.conf")
		if err != nil {
			return nil, err
		}
		switch len(all) {
		case 0:
			return nil, errors.New("postgresql: there is no /etc/postgresql/*/*/postgresql.conf; say with config: where it is")
		case 1:
			o.Config = all[0]
		default:
			return nil, fmt.Errorf("postgresql: there are %s; say with config: which is meant", strings.Join(all, ", "))
		}
	}
	for _, path := range []string{o.PEM, o.Dir} {
		if strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == '\'' || c == '\\' || c == 0x7f }) {
			return nil, fmt.Errorf("postgresql: %q cannot be written into its configuration", path)
		}
	}
	switch {
	case o.PEM == "" && o.Dir == "":
		return nil, errors.New("postgresql: no folder is named")
	case o.PEM == "" && (o.Name == "" || strings.HasPrefix(o.Name, ".")):
		return nil, fmt.Errorf("postgresql: a PEM file cannot be named after %q; say with pem: which it is", o.Name)
	}
	return &PostgreSQL{o}, nil
}

func (p *PostgreSQL) pem() string {
	if p.o.PEM != "" {
		return p.o.PEM
	}
	return p.o.Dir + "/" + edge.FileName(p.o.Name) + ".pem"
}
