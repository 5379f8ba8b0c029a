package redis

import (
	"context"
	"errors"
	"fmt"
	"net"
	"strings"
	"time"

	"edge"
	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "redis",
		Description: "Redis or Valkey, while it runs",
		Single:      true,
		Settings: []target.Setting{
			{Name: "config", Type: target.Path, Default: "/etc/redis/redis.conf", Doc: "the configuration that it was started with"},
			{Name: "pem", Type: target.Path, Doc: "the PEM file to write, else NAME.pem in dir"},
			{Name: "dir", Type: target.Path, Default: "/etc/ssl/redis", Doc: "folder of PEM files; it belongs to root and is made where it is missing"},
			{Name: "address", Doc: "where commands are taken: the path of a socket, or HOST:PORT without TLS; else what the configuration says"},
			{Name: "user", Doc: "user to log in as; else the default user"},
			{Name: "password", Type: target.Secret, Doc: "its password, where one is wanted", Env: []string{"REDISCLI_AUTH"}},
		},
		Found: found,
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			r, err := New(options(v, env))
			if err != nil {
				return nil, err
			}
			return env.Local(r), nil
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Name: env.Name, Config: v.Text("config"), PEM: v.Text("pem"), Dir: v.Text("dir"), Address: v.Text("address"), User: v.Text("user"),
		Password: func() (string, error) { return v.Secret("password") }, Settings: v.String(), Dial: env.Dial,
	}
}

// Options are what a Redis is made of.
type Options struct {
	Name string // of the lineage: the PEM file's name is made of it
	// See the settings. Config is needed, and PEM or Dir; paths are absolute.
	Config, PEM, Dir, Address, User string
	Password                        func() (string, error) // "" where none is wanted; nil: none
	Settings                        string                 // as in delivery.Target
	Dial                            func(ctx context.Context, network, addr string) (net.Conn, error)
}

// Redis is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type Redis struct {
	o       Options
	control string // where commands are taken
	// before are the files that it used when the plan was made: what an undo goes back to
	// where its configuration names none.
	before [2]string
}

var _ delivery.Planner = (*Redis)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Redis, error) {
	r := &Redis{o: o}
	for _, path := range []string{o.PEM, o.Dir, o.Config} {
		if strings.ContainsFunc(path, func(c rune) bool { return c < ' ' || c == '"' || c == '\\' || c == 0x7f }) {
			return nil, fmt.Errorf("redis: %q cannot be written into its configuration", path)
		}
	}
	switch {
	case o.Config == "" || o.PEM == "" && o.Dir == "":
		return nil, errors.New("redis: no configuration or no folder is named")
	case o.PEM == "" && (o.Name == "" || strings.HasPrefix(o.Name, ".")):
		return nil, fmt.Errorf("redis: a PEM file cannot be named after %q; say with pem: which it is", o.Name)
	}
	if o.Address != "" && !strings.HasPrefix(o.Address, "/") {
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			return nil, fmt.Errorf("redis: address %q: write the path of a socket, or HOST:PORT", o.Address)
		}
	}
	return r, nil
}

func (r *Redis) pem() string {
	if r.o.PEM != "" {
		return r.o.PEM
	}
	return r.o.Dir + "/" + edge.FileName(r.o.Name) + ".pem"
}

// found says which server answers.
func found(ctx context.Context, v target.Values, env *target.Env) (string, error) {
	o := options(v, env)
	o.Name = "x"
	r, err := New(o)
	if err != nil {
		return "", err
	}
	c, err := load(o.Config)
	if err != nil {
		return "", err
	}
	ctx, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	is, err := r.ask(ctx, c)
	if err != nil {
		return "", err
	}
	return fmt.Sprintf("%s %s at %s, TLS port %s", is.product, is.version, r.control, is.tlsPort), nil
}
