package mariadb

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "mariadb",
		Description: "MariaDB or MySQL 8, while they run",
		Single:      true,
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Default: "/etc/mysql/my.cnf", Doc: "the first option file of the server"},
			{Name: "own_file", Type: target.Path, Doc: "option file to write; else zz-edge.cnf in the last folder that config includes"},
			{Name: "pem", Type: target.Path, Doc: "the PEM file to write, else NAME.pem in dir"},
			{Name: "dir", Type: target.Path, Default: "/etc/ssl/mysql", Doc: "folder of PEM files; it belongs to root and is made where it is missing"},
			{Name: "client", Default: "mariadb", Doc: "the server's client, by which it is asked and told: mariadb or mysql"},
			{Name: "defaults_file", Type: target.Path, Doc: "option file of the client, with user and password; else root's, over the socket"},
			{Name: "socket", Type: target.Path, Doc: "socket of the server; else what the client takes"},
			{Name: "restart", Type: target.List, Doc: "program and arguments that restart it, which MariaDB needs once: systemctl, restart, mariadb"},
		},
		Found: func(ctx context.Context, v target.Values, env *target.Env) (string, error) {
			o := options(v, env)
			o.Name = "x"
			d, err := New(o)
			if err != nil {
				return "", err
			}
			is, err := d.ask(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s %s at %s", is.product(), is.version, is.at().Addr), nil
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			d, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(d), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Name: env.Name, Config: v.Text("config"), OwnFile: v.Text("own_file"), PEM: v.Text("pem"), Dir: v.Text("dir"), Client: v.Text("client"),
		DefaultsFile: v.Text("defaults_file"), Socket: v.Text("socket"), Restart: v.List("restart"), Settings: v.String(), Run: env.Run, Exec: env.Exec,
	}
}

// Options are what a MariaDB is made of.
type Options struct {
	Name string // of the lineage: the PEM file's name is made of it
	// See the settings; paths are absolute.
	Config, OwnFile, PEM, Dir, Client, DefaultsFile, Socket string
	Restart                                                 []string
	Settings                                                string // as in delivery.Target
	Run                                                     func(ctx context.Context, argv []string) (output string, err error)
	Exec                                                    func(ctx context.Context, p installers.Program) (installers.Said, error)
}

// MariaDB is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type MariaDB struct {
	o   Options
	was *running // when the plan was made
}

var _ delivery.Planner = (*MariaDB)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*MariaDB, error) {
	for _, path := range []string{o.PEM, o.Dir} {
		if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || c == '\'' || c == '"' || c == '\\' || c == '#' || c == 0x7f }) {
			return nil, fmt.Errorf("mariadb: %q cannot be written into its configuration", path)
		}
	}
	switch {
	case o.Config == "" || o.Client == "" || o.PEM == "" && o.Dir == "":
		return nil, errors.New("mariadb: no option file, client or folder is named")
	case o.PEM == "" && (o.Name == "" || strings.HasPrefix(o.Name, ".")):
		return nil, fmt.Errorf("mariadb: a PEM file cannot be named after %q; say with pem: which it is", o.Name)
	case o.OwnFile != "" && !strings.HasSuffix(o.OwnFile, ".cnf"):
		return nil, fmt.Errorf("mariadb: own_file %s does not end in .cnf, so that no server reads it from an included folder", o.OwnFile)
	}
	return &MariaDB{o: o}, nil
}

func (d *MariaDB) pem() string {
	if d.o.PEM != "" {
		return d.o.PEM
	}
	return d.o.Dir + "/" + edge.FileName(d.o.Name) + ".pem"
}
