package main

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"sync"
	"syscall"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
)

// toyKinds are targets that tests of the certificate client make up: a server on this
// machine that proves and installs, and a service that installs.
func toyKinds() []target.Kind {
	dir := target.Setting{Name: "dir", Type: target.Path, Must: true, Doc: "its folder"}
	own := dir
	own.Old = []string{"certbot-toy:toy-folder"}
	token := target.Setting{Name: "token", Type: target.Secret, Must: true, Installs: true, Doc: "its token"}
	return []target.Kind{
		{
			Name: "toy", Description: "A server of tests", Aliases: []string{"certbot-toy:toy"},
			Settings: []target.Setting{own,
				{Name: "addr", Must: true, Installs: true, Doc: "where it serves"},
				{Name: "web", Type: target.Path, Must: true, Proves: true, Doc: "folder of answers"}},
			Found: func(_ context.Context, v target.Values, _ *target.Env) (string, error) {
				if v.Text("dir") == "" {
					return "", errors.New("no toy here")
				}
				return "toy in " + v.Text("dir"), nil
			},
			Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
				return env.Local(&toy{dir: v.Text("dir"), addr: v.Text("addr")}), nil
			},
			Authenticator: func(_ context.Context, v target.Values, _ *target.Env) (target.Authenticator, error) {
				return toyProof(v.Text("web")), nil
			},
		},
		{
			Name: "toybox", Description: "A service of tests", Settings: []target.Setting{dir, token},
			Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
				token, err := v.Secret("token")
				return &toybox{dir: v.Text("dir"), token: token, lineage: env.Name}, err
			},
		},
		{
			Name: "toyproof", Description: "Answers of tests", Settings: []target.Setting{dir},
			Found: func(ctx context.Context, _ target.Values, _ *target.Env) (string, error) {
				<-ctx.Done()
				return "", errors.New("it did not answer")
			},
			Authenticator: func(_ context.Context, v target.Values, _ *target.Env) (target.Authenticator, error) {
				return toyProof(v.Text("dir")), nil
			},
		},
	}
}

// toy serves dir/toy.pem, once its configuration names it.
type toy struct{ dir, addr string }

func (t *toy) Name() string     { return "toy" }
func (t *toy) Root() string     { return t.dir }
func (t *toy) Settings() string { return t.addr }
func (t *toy) Commands() (test, activate []string) {
	return []string{"toy", "-t"}, []string{"toy", "reload"}
}

// Activate ends the process where there is a file for that.
func (t *toy) Activate(context.Context) error {
	if _, err := os.Stat(filepath.Join(t.dir, "kill")); err == nil {
		_ = syscall.Kill(os.Getpid(), syscall.SIGKILL)
	}
	return nil
}

func (t *toy) Test(context.Context) error {
	if _, err := os.Stat(filepath.Join(t.dir, "broken")); err == nil {
		return errors.New("the toy is broken")
	}
	return nil
}

func (t *toy) Plan(_ context.Context, m *delivery.Material) (*installers.Plan, error) {
	p := &installers.Plan{Titles: []string{"Deployed a toy"}, Notes: []string{"a toy gets the certificate"}}
	for _, h := range m.Hosts {
		p.Serves = append(p.Serves, installers.Endpoint{Addr: t.addr, Name: h})
	}
	conf := filepath.Join(t.dir, "toy.conf")
	have, err := os.ReadFile(conf)
	if err != nil {
		return nil, err
	}
	path, want := filepath.Join(t.dir, "toy.pem"), append(bytes.Clone(m.FullChainPEM), m.KeyPEM...)
	before, err := os.ReadFile(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		p.Changes = append(p.Changes, installers.Change{Path: path, Op: installers.Create, New: want, Mode: 0o600, Secret: true})
	case err != nil:
		return nil, err
	case !bytes.Equal(before, want):
		p.Forget = true
		p.Changes = append(p.Changes, installers.Change{Path: path, Op: installers.Rewrite, Old: before, New: want, Secret: true})
	}
	if line := "pem toy.pem\n"; !bytes.Contains(have, []byte(line)) {
		p.Forget = false
		p.Changes = append(p.Changes, installers.Change{Path: conf, Op: installers.Rewrite, Old: have, New: append(bytes.Clone(have), line...)})
	}
	return p, nil
}

// serveToy is the toy itself.
func serveToy(t *testing.T, dir, addr string) {
	t.Helper()
	l, err := net.Listen("tcp", addr)
	if err != nil {
		t.Fatal(err)
	}
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		conf, err := os.ReadFile(filepath.Join(dir, "toy.conf"))
		if err != nil || !bytes.Contains(conf, []byte("pem ")) {
			return nil, errors.New("no certificate")
		}
		c, err := tls.LoadX509KeyPair(filepath.Join(dir, "toy.pem"), filepath.Join(dir, "toy.pem"))
		return &c, err
	}}
	var work sync.WaitGroup
	work.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			work.Go(func() {
				defer c.Close()
				_ = tls.Server(c, config).HandshakeContext(t.Context())
			})
		}
	})
	t.Cleanup(func() { l.Close(); work.Wait() })
}

// toyProof answers HTTP-01 by files in a folder.
type toyProof string

func (d toyProof) Name() string                { return "toy" }
func (d toyProof) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }
func (d toyProof) at(a edge.Answer) string {
	return filepath.Join(string(d), edge.HTTP01Prefix, a.Token)
}

func (d toyProof) Present(_ context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		if err := os.MkdirAll(filepath.Dir(d.at(a)), 0o755); err != nil {
			return err
		}
		if err := os.WriteFile(d.at(a), []byte(a.KeyAuth), 0o644); err != nil {
			return err
		}
	}
	return nil
}

func (d toyProof) Ready(context.Context, []edge.Answer) error { return nil }

func (d toyProof) Cleanup(_ context.Context, batch []edge.Answer) error {
	for _, a := range batch {
		_ = os.Remove(d.at(a))
	}
	return nil
}

// toybox keeps certificates in a folder, each in a file.
type toybox struct{ dir, token, lineage string }

func (b *toybox) Kind() string     { return "toybox" }
func (b *toybox) Where() string    { return b.dir }
func (b *toybox) Settings() string { return "" }

func (b *toybox) Look(_ context.Context, m *delivery.Material, _ json.RawMessage) ([]string, error) {
	have, err := os.ReadFile(filepath.Join(b.dir, b.lineage))
	if err != nil || !bytes.Equal(have, m.CertPEM) {
		return []string{"another certificate is in the box"}, nil
	}
	return nil, nil
}

func (b *toybox) Plan(context.Context, *delivery.Material) []string {
	return []string{"put it into " + b.dir}
}

func (b *toybox) Put(_ context.Context, m *delivery.Material, _ json.RawMessage) (c delivery.Change, err error) {
	if b.token != "right" {
		return c, fmt.Errorf("the box in %s refuses the token", b.dir)
	}
	return c, os.WriteFile(filepath.Join(b.dir, b.lineage), m.CertPEM, 0o600)
}
