package postfix

import (
	"context"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/durable"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "postfix",
		Description: "Postfix, its default certificate and those of other names",
		Aliases:     []string{"certbot-postfix:postfix"},
		Settings: []target.Setting{
			{Name: "config_dir", Type: target.Path, Default: "/etc/postfix", Old: []string{"certbot-postfix:postfix-config-dir"}, Doc: "folder with main.cf and master.cf, of one instance"},
			{Name: "ctl", Default: "postfix", Old: []string{"certbot-postfix:postfix-ctl"}, Doc: "the postfix program"},
			{Name: "config_utility", Default: "postconf", Old: []string{"certbot-postfix:postfix-config-utility"}, Doc: "the postconf program"},
			{Name: "dir", Type: target.Path, Doc: "folder for PEM files and the table of names; else edge in config_dir"},
			{Name: "default", Default: "auto", Choices: []string{"auto", "yes", "no"}, Doc: "whether clients that ask for no name, or an unknown one, are shown it; auto: where it is for myhostname, or is shown to them already, and no other certificate of edge is"},
			{Name: "map_type", Doc: "type of the table of names (hash, btree, cdb, lmdb, texthash); else default_database_type"},
			{Name: "ignore_master_overrides", Type: target.Bool, Default: "false", Old: []string{"certbot-postfix:postfix-ignore-master-overrides"}, Doc: "go on where a service in master.cf has a certificate of its own, and leave that one alone"},
			{Name: "tls_only", Type: target.Bool, Default: "true", Old: []string{"certbot-postfix:postfix-tls-only"}, Doc: "taken as certbot has it; nothing but certificates and smtpd_tls_security_level is ever set"},
			{Name: "server_only", Type: target.Bool, Default: "true", Old: []string{"certbot-postfix:postfix-server-only"}, Doc: "taken as certbot has it; nothing of outgoing mail is ever set"},
			{Name: "reload", Type: target.List, Doc: "program and arguments that have Postfix reload, in the place of postfix reload"},
		},
		Found: found,
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
	o := Options{
		Name: env.Name, ConfigDir: v.Text("config_dir"), Ctl: v.Text("ctl"), ConfigUtility: v.Text("config_utility"), Dir: v.Text("dir"),
		Default: v.Text("default"), MapType: v.Text("map_type"), IgnoreOverrides: v.Bool("ignore_master_overrides"), Reload: v.List("reload"),
		Settings: v.String(), State: env.State, Durable: env.Durable, Run: env.Run, Exec: env.Exec,
	}
	return o
}

func found(ctx context.Context, v target.Values, env *target.Env) (string, error) {
	o := options(v, env)
	if _, err := exec.LookPath(o.Ctl); err != nil {
		return "", err
	}
	p := &Postfix{o: o}
	l, err := p.load(ctx)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("Postfix %s, configuration %s", l.values["mail_version"], o.ConfigDir), nil
}

// Options are what a Postfix is made of.
type Options struct {
	Name string // of the lineage: the PEM file's name is made of it
	// See the settings. ConfigDir, Ctl and ConfigUtility are needed.
	ConfigDir, Ctl, ConfigUtility, Dir, Default, MapType string
	IgnoreOverrides                                      bool
	Reload                                               []string // argv; empty: postfix reload
	Settings                                             string   // as in delivery.Target
	State                                                string   // as in target.Env
	Durable                                              durable.Writer
	Run                                                  func(ctx context.Context, argv []string) (output string, err error)
	Exec                                                 func(ctx context.Context, p installers.Program) (installers.Said, error)
}

// Postfix is an instance on this machine. It implements delivery.Planner. Not safe for
// concurrent use.
type Postfix struct{ o Options }

var _ delivery.Planner = (*Postfix)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Postfix, error) {
	if o.Dir == "" && o.ConfigDir != "" {
		o.Dir = filepath.Join(o.ConfigDir, "edge")
	}
	switch {
	case o.Name == "" || strings.HasPrefix(o.Name, "."):
		return nil, fmt.Errorf("postfix: a PEM file cannot be named after %q", o.Name)
	case o.ConfigDir == "" || o.Ctl == "" || o.ConfigUtility == "":
		return nil, errors.New("postfix: no folder or program is named")
	case strings.HasPrefix(o.Ctl, "-") || strings.HasPrefix(o.ConfigUtility, "-"):
		return nil, errors.New("postfix: a program cannot begin with a dash")
	}
	p := &Postfix{o}
	// It is written into lists and tables, where white space and commas end it and a dollar
	// is a variable.
	plain := func(r rune) bool { return r <= ' ' || r == 0x7f || strings.ContainsRune(`,$#{}"\`, r) }
	for _, path := range []string{o.ConfigDir, p.pem()} {
		if !filepath.IsAbs(path) || strings.ContainsFunc(path, plain) {
			return nil, fmt.Errorf("postfix: %q cannot be written into its configuration", path)
		}
	}
	return p, nil
}

// pem is the file of the certificate, table the source of the table of names.
func (p *Postfix) pem() string   { return filepath.Join(p.o.Dir, edge.FileName(p.o.Name)+".pem") }
func (p *Postfix) table() string { return filepath.Join(p.o.Dir, "sni") }

// Name implements installers.Server.
func (p *Postfix) Name() string { return "postfix" }

// Root implements delivery.Planner.
func (p *Postfix) Root() string { return p.o.ConfigDir }

// Settings implements delivery.Planner.
func (p *Postfix) Settings() string { return p.o.Settings }
