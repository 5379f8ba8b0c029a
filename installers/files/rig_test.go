package files

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/durable"
	"edge/internal/edgetest"
)

// TestMain lets this binary be the server that deliveries are for: it reads its files
// at its start and at SIGHUP, and goes on with the old ones where they are bad, as most
// servers do.
func TestMain(m *testing.M) {
	if os.Getenv("TEST_SERVER") != "" {
		serve(os.Getenv("TEST_SERVER"), os.Getenv("TEST_CERT"), os.Getenv("TEST_KEY"))
		return
	}
	os.Exit(m.Run())
}

func serve(ready, certFile, keyFile string) {
	hup := make(chan os.Signal, 1)
	signal.Notify(hup, syscall.SIGHUP)
	pair, err := tls.LoadX509KeyPair(certFile, keyFile)
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		panic(err)
	}
	type ask chan tls.Certificate
	asks := make(chan ask)
	get := func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		a := make(ask)
		asks <- a
		c := <-a
		return &c, nil
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = tls.Server(c, &tls.Config{GetCertificate: get}).Handshake()
			}()
		}
	}()
	_ = (durable.Writer{}).WriteFile(ready, []byte(l.Addr().String()), 0o600)
	for {
		select {
		case <-hup:
			if p, err := tls.LoadX509KeyPair(certFile, keyFile); err == nil {
				pair = p
			}
		case a := <-asks:
			a <- pair
		}
	}
}

// server is the running one.
type server struct {
	addr   string
	reload []string // the command that has it read its files
	cmd    *exec.Cmd
}

func startServer(t *testing.T, cert, key string) *server {
	t.Helper()
	ready := filepath.Join(t.TempDir(), "address")
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), "TEST_SERVER="+ready, "TEST_CERT="+cert, "TEST_KEY="+key)
	cmd.Stderr = os.Stderr
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	})
	s := &server{cmd: cmd, reload: []string{"/bin/sh", "-c", fmt.Sprintf("kill -HUP %d", cmd.Process.Pid)}}
	wait(t, "the server", func() bool {
		b, err := os.ReadFile(ready)
		s.addr = string(b)
		return err == nil
	})
	return s
}

func wait(t *testing.T, what string, is func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !is() {
		if time.Now().After(deadline) {
			t.Fatalf("%s: not in time", what)
		}
		time.Sleep(2 * time.Millisecond)
	}
}

// rig is an engine with a clock and a folder of its own.
type rig struct {
	t   *testing.T
	e   *delivery.Engine
	dir string
}

func newRig(t *testing.T) *rig {
	t.Helper()
	dir := t.TempDir()
	state := filepath.Join(dir, "state")
	if err := os.Mkdir(state, 0o700); err != nil {
		t.Fatal(err)
	}
	return &rig{t, &delivery.Engine{Dir: state, Run: installers.Run, Now: time.Now}, dir}
}

func (r *rig) material(names ...string) *delivery.Material {
	r.t.Helper()
	if names == nil {
		names = []string{"mail.example.org", "imap.example.org"}
	}
	m, err := delivery.NewMaterial("mail", edgetest.NewChain(r.t, time.Now().Add(24*time.Hour), names...), names, time.Now())
	if err != nil {
		r.t.Fatal(err)
	}
	return m
}

var certbots = map[Part]string{Cert: "cert.pem", Key: "privkey.pem", Chain: "chain.pem", Fullchain: "fullchain.pem"}

func (r *rig) options() Options {
	return Options{Name: "mail", Dir: filepath.Join(r.dir, "certs"), Layout: Separate, Names: certbots, Owner: durable.Owner{UID: -1, GID: -1}, Mode: 0o640}
}

func (r *rig) item(o Options) delivery.Item {
	r.t.Helper()
	t, err := New(o)
	if err != nil {
		r.t.Fatal(err)
	}
	return delivery.Item{Name: "mail", Target: t}
}

// apply delivers and fails the test unless the state is the one that is wanted.
func (r *rig) apply(it delivery.Item, m *delivery.Material, want delivery.State) delivery.Result {
	r.t.Helper()
	res := r.e.Apply(context.Background(), it, m)
	if res.State != want {
		r.t.Fatalf("state %s, want %s: %+v", res.State, want, res)
	}
	return res
}

func (r *rig) look(it delivery.Item, m *delivery.Material, want delivery.State) delivery.Result {
	r.t.Helper()
	res := r.e.Look(context.Background(), it, m)
	if res.State != want {
		r.t.Fatalf("looks %s, want %s: %+v", res.State, want, res)
	}
	return res
}

func read(t *testing.T, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}
