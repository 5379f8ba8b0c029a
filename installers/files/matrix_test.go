package files

import (
	"context"
	"crypto/tls"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/durable"
	"edge/internal/edgetest/targettest"
)

// newMatrixRig is a server that reads its one pair of files when it is told to: a program
// takes them to where it looks.
func newMatrixRig(t *testing.T) *targettest.Rig {
	top, err := os.MkdirTemp("/var/lib", "edge-test-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(top) })
	dir, loaded, reload := filepath.Join(top, "tls"), filepath.Join(top, "loaded"), filepath.Join(top, "reload")
	program := func(t *testing.T, does string) {
		t.Helper()
		if err := os.WriteFile(reload, []byte("#!/bin/sh\n"+does+"\n"), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	takes := fmt.Sprintf("mkdir -p %[2]s && cp %[1]s/fullchain.pem %[1]s/privkey.pem %[2]s", dir, loaded)
	program(t, takes)
	config := &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(loaded+"/fullchain.pem", loaded+"/privkey.pem")
		return &pair, err
	}}
	var listener net.Listener
	start := func(t *testing.T, addr string) {
		t.Helper()
		if listener, err = tls.Listen("tcp", addr, config); err != nil {
			t.Fatal(err)
		}
		go echo(listener)
	}
	start(t, "127.0.0.1:0")
	addr := listener.Addr().String()
	t.Cleanup(func() { listener.Close() })
	return &targettest.Rig{
		Single: true,
		Target: func(_ context.Context, env *target.Env) (delivery.Target, error) {
			return New(Options{
				Name: env.Name, Dir: dir, Layout: Separate, Mode: 0o600, Owner: durable.Owner{UID: -1, GID: -1}, Durable: env.Durable,
				Names: map[Part]string{Fullchain: "fullchain.pem", Key: "privkey.pem"},
			})
		},
		At: []installers.Endpoint{{Addr: addr}},
		Item: func(it *delivery.Item) {
			it.Verify, it.Reload = append(it.Verify, installers.Endpoint{Addr: addr}), []string{reload}
		},
		Snapshot: func(t *testing.T) string {
			var b strings.Builder
			for _, name := range []string{"fullchain.pem", "privkey.pem"} {
				raw, err := os.ReadFile(filepath.Join(dir, name))
				fmt.Fprintln(&b, name, string(raw), err)
			}
			return b.String()
		},
		Stop:  func(*testing.T) { listener.Close() },
		Start: func(t *testing.T) { start(t, addr) },
		IgnoreReload: func(t *testing.T) func() {
			program(t, "exit 0")
			return func() { program(t, takes) }
		},
		Unreadable: func(t *testing.T) func() {
			program(t, "echo Permission denied >&2; exit 1")
			return func() { program(t, takes) }
		},
		Hold: func(t *testing.T) func() error {
			c, err := tls.Dial("tcp", addr, &tls.Config{InsecureSkipVerify: true})
			if err != nil {
				t.Fatal(err)
			}
			t.Cleanup(func() { c.Close() })
			return func() error {
				_, werr := c.Write([]byte("x"))
				_, err := c.Read(make([]byte, 1))
				if werr != nil {
					return werr
				}
				return err
			}
		},
	}
}

// echo gives every byte back.
func echo(l net.Listener) {
	for {
		c, err := l.Accept()
		if err != nil {
			return
		}
		go func() {
			defer c.Close()
			b := make([]byte, 1)
			for {
				if _, err := c.Read(b); err != nil {
					return
				}
				if _, err := c.Write(b); err != nil {
					return
				}
			}
		}()
	}
}

func TestTarget(t *testing.T) { targettest.Run(t, newMatrixRig) }
