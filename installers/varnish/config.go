package varnish

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"time"

	"edge/installers/target"
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "varnish",
		Description: "HTTP-01 answered by Varnish itself",
		Settings: []target.Setting{
			{Name: "address", Type: target.List, Default: "127.0.0.1:6082", Doc: "the CLI of each Varnish, HOST:PORT or unix:PATH, as in its option -T"},
			{Name: "secret_file", Type: target.List, Default: "/etc/varnish/secret", Doc: "the file of the option -S: one for all, or one for each address; none: no secret"},
			{Name: "listen", Type: target.List, Doc: "where to ask each Varnish for the answers, HOST:PORT; else Varnish says where it listens"},
			{Name: "swap", Type: target.Bool, Default: "false", Doc: "answer without the label: put a copy of the active VCL in its place while the challenge lasts"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "for each command, compiling included"},
		},
		Found: found,
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			return New(options(v, env))
		},
	}
}

func options(v target.Values, env *target.Env) Options {
	return Options{
		Addresses: v.List("address"), Secrets: v.List("secret_file"), Listen: v.List("listen"), Swap: v.Bool("swap"),
		Timeout: v.Duration("timeout"), Dial: env.Dial, Wait: env.Wait, Now: env.Now,
	}
}

func found(ctx context.Context, v target.Values, env *target.Env) (string, error) {
	a, err := New(options(v, env))
	if err != nil {
		return "", err
	}
	var says []string
	for _, n := range a.nodes {
		c, err := n.connect(ctx)
		if err != nil {
			return "", err
		}
		list, err := c.list(ctx)
		c.close()
		if err != nil {
			return "", err
		}
		now, err := active(list)
		if err != nil {
			return "", fmt.Errorf("varnish at %s: %w", n.addr, err)
		}
		says = append(says, fmt.Sprintf("Varnish at %s, VCL %s", n.addr, clip(now.Name)))
	}
	return strings.Join(says, "; "), nil
}

// Options are what an Authenticator is made of.
type Options struct {
	Addresses []string      // of the CLI of each node: "127.0.0.1:6082", "unix:/run/varnish.sock"
	Secrets   []string      // paths; one for all, or one for each address; none: no secret
	Listen    []string      // where all nodes answer requests; none: they are asked
	Swap      bool          // see the package
	Timeout   time.Duration // of each command; zero: 30 seconds
	Dial      func(ctx context.Context, network, addr string) (net.Conn, error)
	Wait      func(ctx context.Context, d time.Duration) error // nil: a timer
	Now       func() time.Time                                 // nil: time.Now
}

// New checks the options.
func New(o Options) (*Authenticator, error) {
	o.Timeout = cmp.Or(o.Timeout, 30*time.Second)
	if o.Now == nil {
		o.Now = time.Now
	}
	a := &Authenticator{o: o, live: answers{}}
	for i, addr := range o.Addresses {
		path, unix := strings.CutPrefix(addr, "unix:")
		if _, _, err := net.SplitHostPort(addr); unix && !strings.HasPrefix(path, "/") || !unix && err != nil {
			return nil, fmt.Errorf("varnish: %q is neither HOST:PORT nor unix:PATH", clip(addr))
		}
		n := &node{addr: addr, o: &a.o}
		switch len(o.Secrets) {
		case 0:
		case 1:
			n.secret = o.Secrets[0]
		case len(o.Addresses):
			n.secret = o.Secrets[i]
		default:
			return nil, fmt.Errorf("varnish: %d addresses and %d secret files; name one file for all, or one for each", len(o.Addresses), len(o.Secrets))
		}
		a.nodes = append(a.nodes, n)
	}
	for _, path := range o.Secrets {
		if !filepath.IsAbs(path) {
			return nil, fmt.Errorf("varnish: secret_file %q is not absolute", clip(path))
		}
	}
	for _, addr := range o.Listen {
		if _, _, err := net.SplitHostPort(addr); err != nil {
			return nil, fmt.Errorf("varnish: listen: %w", err)
		}
	}
	if len(a.nodes) == 0 {
		return nil, errors.New("varnish: no address is named")
	}
	return a, nil
}

const maxSecret = 64 << 10 // bytes

// readSecret reads a secret as it is: the end of its line is a part of it.
func readSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s can be used by everybody (mode %#o): chmod o= %[1]s, and change the secret", path, info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(raw) > maxSecret {
		err = fmt.Errorf("%s has more than %d bytes", path, maxSecret)
	}
	return raw, err
}
