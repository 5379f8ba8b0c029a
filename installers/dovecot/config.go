package dovecot

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
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
		Name:        "dovecot",
		Description: "Dovecot: IMAP, POP3 and submission",
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Default: "/etc/dovecot/dovecot.conf", Doc: "its configuration"},
			{Name: "own_file", Type: target.Path, Doc: "file of the configuration to write; else conf.d/zz-edge-NAME.conf beside config"},
			{Name: "pem", Type: target.Path, Doc: "the PEM file to write, else NAME.pem in dir"},
			{Name: "dir", Type: target.Path, Default: "/etc/dovecot/edge", Doc: "folder of PEM files, which root alone can read"},
			{Name: "default", Default: auto, Choices: []string{auto, always, never},
				Doc: "whether clients that name no host get the certificate: auto is where the present one is for no other names, or nobody's"},
			{Name: "doveadm", Default: "doveadm", Doc: "the program that has Dovecot reload"},
			{Name: "doveconf", Default: "doveconf", Doc: "the program that is asked what counts"},
			{Name: "dovecot", Default: "dovecot", Doc: "the program that is asked for its version"},
			{Name: "reload", Type: target.List, Doc: "program and arguments that have it reload, in the place of doveadm reload"},
		},
		Found: func(ctx context.Context, v target.Values, env *target.Env) (string, error) {
			o := options(v, env)
			o.Name = "x"
			d, err := New(o)
			if err != nil {
				return "", err
			}
			s, err := d.look(ctx)
			if err != nil {
				return "", err
			}
			return fmt.Sprintf("%s, %d listeners with TLS", o.Config, len(s.at)), nil
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
		Name: env.Name, Config: v.Text("config"), OwnFile: v.Text("own_file"), PEM: v.Text("pem"), Dir: v.Text("dir"), Default: v.Text("default"),
		Doveadm: v.Text("doveadm"), Doveconf: v.Text("doveconf"), Dovecot: v.Text("dovecot"), Reload: v.List("reload"), Settings: v.String(),
		Run: env.Run, Exec: env.Exec, Now: env.Now,
	}
}

// Options are what a Dovecot is made of.
type Options struct {
	Name                      string // of the lineage: files are named after it
	Config, OwnFile, PEM, Dir string // see the settings; absolute
	Default                   string // auto, always or never
	Doveadm, Doveconf         string // programs
	Dovecot                   string
	Reload                    []string
	Settings                  string // as in delivery.Target
	Run                       func(ctx context.Context, argv []string) (output string, err error)
	Exec                      func(ctx context.Context, p installers.Program) (installers.Said, error)
	Now                       func() time.Time
}

// Dovecot is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type Dovecot struct {
	o     Options
	wants []wanted // of the plan that is being carried out
}

var _ delivery.Planner = (*Dovecot)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Dovecot, error) {
	d := &Dovecot{o: o}
	switch {
	case o.Config == "" || o.PEM == "" && o.Dir == "":
		return nil, errors.New("dovecot: no configuration or no folder is named")
	case (o.PEM == "" || o.OwnFile == "") && (o.Name == "" || strings.HasPrefix(o.Name, ".")):
		return nil, fmt.Errorf("dovecot: files cannot be named after %q; say with pem: and own_file: which they are", o.Name)
	}
	for _, path := range []string{d.pem(), d.ownFile()} {
		if strings.ContainsFunc(path, func(c rune) bool { return c <= ' ' || strings.ContainsRune("#\"'<>{}$\\\x7f", c) }) {
			return nil, fmt.Errorf("dovecot: %q cannot be written into its configuration", path)
		}
	}
	return d, nil
}

func (d *Dovecot) pem() string {
	if d.o.PEM != "" {
		return d.o.PEM
	}
	return filepath.Join(d.o.Dir, edge.FileName(d.o.Name)+".pem")
}

func (d *Dovecot) ownFile() string {
	if d.o.OwnFile != "" {
		return d.o.OwnFile
	}
	return filepath.Join(filepath.Dir(d.o.Config), "conf.d", "zz-edge-"+edge.FileName(d.o.Name)+".conf")
}
