package icecast

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"time"

	"edge/installers/delivery"
	"edge/installers/target"
)

// old begins the flags of certbot's plugin.
const old = "letsencrypt-icecast:icecast_installer"

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "icecast",
		Description: "Icecast, the streaming server",
		Single:      true,
		Aliases:     []string{old},
		Settings: []target.Setting{
			{Name: "configuration_file", Type: target.Path, Old: []string{old + "-configuration_file"}, Doc: "icecast.xml; else the first of its usual places"},
			{Name: "cert_and_key_file", Type: target.Path, Old: []string{old + "-cert_and_key_file"}, Doc: "the file for certificate, chain and key; else edge.pem beside the configuration"},
			{Name: "create_ssl_socket", Type: target.Bool, Default: "true", Old: []string{old + "-create_ssl_socket"},
				Doc: "where no socket has TLS, make one; false: the first socket gets TLS"},
			{Name: "new_ssl_socket_port", Type: target.Number, Default: "8443", Old: []string{old + "-new_ssl_socket_port"}, Doc: "port of that new socket"},
			{Name: "owner", Doc: "who the file belongs to; else the user of changeowner, icecast2 or icecast"},
			{Name: "group", Doc: "group of the file; else that of changeowner, icecast, or the owner's"},
			{Name: "restart", Default: "now", Doc: "when Icecast may be restarted, which ends all streams: now, HH:MM-HH:MM (local time), never"},
			{Name: "command", Type: target.List, Doc: "program and arguments that restart Icecast; else systemctl or service"},
		},
		Found: func(_ context.Context, v target.Values, env *target.Env) (string, error) {
			i, err := New(options(v, env))
			if err != nil {
				return "", err
			}
			_, doc, err := i.load()
			if err != nil {
				return "", err
			}
			at, _ := doc.places()
			return fmt.Sprintf("configuration %s, %d sockets, %d of them with TLS", i.o.Config, len(doc.sockets()), len(at)), nil
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			i, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(i), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Config: v.Text("configuration_file"), Bundle: v.Text("cert_and_key_file"), Create: v.Bool("create_ssl_socket"), Port: v.Number("new_ssl_socket_port"),
		Owner: v.Text("owner"), Group: v.Text("group"), Restart: v.Text("restart"), Command: v.List("command"), Settings: v.String(),
		Run: env.Run, Now: env.Now,
	}
}

// usual are the places of the configuration.
func usual() []string {
	return []string{"/etc/icecast2/icecast.xml", "/etc/icecast/icecast.xml", "/etc/icecast.xml", "/usr/local/etc/icecast.xml"}
}

// Options are what an Icecast is made of.
type Options struct {
	Config, Bundle string // paths; empty: see the settings
	Create         bool   // a socket where none has TLS
	Port           int    // of that
	Owner, Group   string // names; empty: see the settings
	Restart        string // now, never, HH:MM-HH:MM
	Command        []string
	Settings       string        // as in delivery.Target
	Settle         time.Duration // from when Icecast listens until it is connected to; zero: half a second
	Run            func(ctx context.Context, argv []string) (output string, err error)
	Now            func() time.Time
}

// Icecast is one on this machine. It implements delivery.Planner and delivery.Timed. Not
// safe for concurrent use.
type Icecast struct {
	o    Options
	when times
}

var (
	_ delivery.Planner = (*Icecast)(nil)
	_ delivery.Timed   = (*Icecast)(nil)
)

// New checks the options, and looks where the configuration is.
func New(o Options) (*Icecast, error) {
	when, err := parseTimes(o.Restart)
	if err != nil {
		return nil, fmt.Errorf("icecast: restart: %w", err)
	}
	if o.Port < 1 || o.Port > 65535 {
		return nil, fmt.Errorf("icecast: new_ssl_socket_port: %d is no port", o.Port)
	}
	for _, path := range usual() {
		if _, err := os.Stat(path); err == nil && o.Config == "" {
			o.Config = path
		}
	}
	if o.Config == "" {
		return nil, errors.New("icecast: there is no " + strings.Join(usual(), ", ") + "; say with configuration_file where it is")
	}
	if o.Bundle == "" {
		o.Bundle = filepath.Join(filepath.Dir(o.Config), "edge.pem")
	}
	return &Icecast{o: o, when: when}, nil
}

// Name implements installers.Server.
func (i *Icecast) Name() string { return "icecast" }

// Root implements delivery.Planner.
func (i *Icecast) Root() string { return filepath.Dir(i.o.Config) }

// Settings implements delivery.Planner.
func (i *Icecast) Settings() string { return i.o.Settings }
