package sftp

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strconv"
	"strings"
	"time"

	"edge/installers/delivery"
	"edge/installers/target"
)

// Kind describes sftp for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "sftp",
		Description: "Another machine by SSH: certificates as files there, HTTP-01 from a folder there",
		Aliases:     []string{"ssh"},
		Settings: []target.Setting{
			{Name: "host", Type: target.Text, Must: true, Doc: "name or address of the machine"},
			{Name: "port", Type: target.Number, Default: "22", Doc: "port of its SSH server"},
			{Name: "user", Type: target.Text, Must: true, Doc: "who to be there"},
			{Name: "key", Type: target.Secret, Doc: "private key of SSH"},
			{Name: "key_password", Type: target.Secret, Doc: "what that key is encrypted with"},
			{Name: "password", Type: target.Secret, Doc: "password of the user, where there is no key"},
			{Name: "known_hosts", Type: target.Path, Doc: "file with host keys, as ssh has it; ~/.ssh/known_hosts and /etc/ssh/ssh_known_hosts are the default"},
			{Name: "host_key", Type: target.Text, Doc: "the host key, as SHA256:... or as TYPE BASE64, in place of a file"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "how long one connection may take for its files"},
			{Name: "webroot", Type: target.List, Must: true, Proves: true, Doc: "folder there of which a web server shows /.well-known, or NAME=FOLDER for one name"},
			{Name: "fullchain_path", Type: target.Path, Installs: true, Doc: "where leaf and chain go"},
			{Name: "cert_path", Type: target.Path, Installs: true, Doc: "where the leaf goes"},
			{Name: "chain_path", Type: target.Path, Installs: true, Doc: "where the chain goes"},
			{Name: "key_path", Type: target.Path, Installs: true, Doc: "where the key goes"},
			{Name: "bundle_path", Type: target.Path, Installs: true, Doc: "where one file with all of it goes"},
			{Name: "bundle", Type: target.Text, Installs: true, Default: "fullchain+key", Choices: []string{"fullchain+key", "key-first"}, Doc: "order in that file"},
			{Name: "mode", Type: target.Text, Installs: true, Default: "0600", Doc: "mode of files with the key; others get 0644"},
			{Name: "command", Type: target.Text, Installs: true, Doc: "line for the shell there, which has the server take the files"},
			{Name: "command_timeout", Type: target.Duration, Installs: true, Default: "2m", Doc: "how long that may take"},
			{Name: "verify", Type: target.List, Installs: true, Doc: "where the certificate has to be shown, HOST:PORT or HOST:PORT/PROTOCOL, as verify of a delivery"},
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o := FileOptions{
				Paths: map[Part]string{}, KeyFirst: v.Text("bundle") == "key-first",
				Command: v.Text("command"), CommandTimeout: v.Duration("command_timeout"),
			}
			for _, p := range parts() {
				if at := v.Text(string(p) + "_path"); at != "" {
					o.Paths[p] = at
				}
			}
			mode, err := strconv.ParseUint(v.Text("mode"), 8, 12)
			if err != nil {
				return nil, fmt.Errorf("sftp: mode %q: write it as 0640", v.Text("mode"))
			}
			o.Mode = fs.FileMode(mode)
			if o.Options, err = options(v, env); err != nil {
				return nil, err
			}
			t, err := New(o)
			if err != nil {
				return nil, err
			}
			return delivery.ShownAt(t, v.List("verify"))
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			o, err := options(v, env)
			if err != nil {
				return nil, err
			}
			return NewAuthenticator(o, v.List("webroot"))
		},
	}
}

// options are those of the connection.
func options(v target.Values, env *target.Env) (Options, error) {
	o := Options{
		Host: v.Text("host"), Port: v.Number("port"), User: v.Text("user"), HostKey: v.Text("host_key"), KnownHosts: v.Text("known_hosts"),
		Timeout: v.Duration("timeout"), Dial: env.Dial, Before: env.Durable.Before,
	}
	if env.Getenv != nil {
		o.Home = env.Getenv("HOME")
	}
	var err error
	for name, to := range map[string]*string{"key": &o.Key, "key_password": &o.KeyPassword, "password": &o.Password} {
		if *to, err = v.Secret(name); err != nil {
			return Options{}, err
		}
	}
	return o, nil
}

// Part is what of a certificate is in a file.
type Part string

// The parts. Bundle is all in one.
const (
	Key       Part = "key"
	Cert      Part = "cert"
	Chain     Part = "chain"
	Fullchain Part = "fullchain"
	Bundle    Part = "bundle"
)

// parts are in the order in which files change: a server that starts in between has a new
// key and an old certificate, and says so, rather than the other way round.
func parts() []Part { return []Part{Key, Cert, Chain, Fullchain, Bundle} }

// FileOptions are what a Target is made of.
type FileOptions struct {
	Options
	Paths    map[Part]string // on the other machine, absolute
	KeyFirst bool            // in Bundle
	Mode     fs.FileMode     // of files with the key; others are 0644
	Command  string          // for the shell there; empty: none
	// CommandTimeout is how long it may take; zero: 2 minutes.
	CommandTimeout time.Duration
}

// New checks the options.
func New(o FileOptions) (*Target, error) {
	m, err := newMachine(o.Options)
	if err != nil {
		return nil, err
	}
	bad := func(format string, args ...any) (*Target, error) {
		return nil, fmt.Errorf("sftp %s: %s", m.where(), fmt.Sprintf(format, args...))
	}
	seen := map[string]bool{}
	for p, at := range o.Paths {
		switch {
		case !path.IsAbs(at) || path.Clean(at) != at || at == "/" || strings.ContainsFunc(at, control):
			return bad("%s_path: %q is no plain absolute path", p, at)
		case seen[at]:
			return bad("%s is for two things", at)
		}
		seen[at] = true
	}
	switch {
	case len(o.Paths) == 0:
		return bad("no file is wanted; write fullchain_path and key_path, or bundle_path")
	case o.Mode&0o002 != 0 || o.Mode&^0o777 != 0 || o.Mode&0o400 == 0:
		return bad("mode %#o", o.Mode)
	case strings.ContainsFunc(o.Command, control):
		return bad("the command has characters that no line has")
	}
	o.CommandTimeout = cmp.Or(o.CommandTimeout, 2*time.Minute)
	return &Target{o: o, m: m}, nil
}

func control(r rune) bool { return r < ' ' || r == 0x7f }

// NewAuthenticator checks the options. A webroot is FOLDER, or NAME=FOLDER.
func NewAuthenticator(o Options, webroots []string) (*Authenticator, error) {
	m, err := newMachine(o)
	if err != nil {
		return nil, err
	}
	a := &Authenticator{m: m, roots: map[string]string{}}
	for _, w := range webroots {
		name, root, found := strings.Cut(w, "=")
		if !found {
			name, root = "", w
		}
		if !path.IsAbs(root) || strings.ContainsFunc(root, control) {
			return nil, fmt.Errorf("sftp: webroot %q: write FOLDER or NAME=FOLDER, with an absolute path", w)
		}
		if _, twice := a.roots[name]; twice {
			return nil, fmt.Errorf("sftp: webroot: there are two for %q", cmp.Or(name, "all names"))
		}
		a.roots[name] = path.Clean(root)
	}
	if len(a.roots) == 0 {
		return nil, errors.New("sftp: webroot: none is named")
	}
	return a, nil
}
