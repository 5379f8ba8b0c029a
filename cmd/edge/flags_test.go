package main

import (
	"bytes"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edge/internal/config"
	"edge/internal/edgetest"
)

// One site by flags alone, from nothing to an answer over TLS.
func TestFlagsOnly(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	flags := config.Flags{
		Domains: []string{"www.example.test"}, To: strings.TrimPrefix(r.backend.URL, "http://"), Email: "me@example.org", AgreeTOS: true,
		CA: r.ca.URL(), CARoot: filepath.Join(r.dir, "ca.pem"), Storage: filepath.Join(r.dir, "state"),
		HTTP: []string{r.http}, HTTPS: []string{r.https}, Admin: filepath.Join(r.dir, "admin.sock"), Metrics: r.metrics,
	}
	r.startFrom(func() (*config.Config, error) { return config.FromFlags(flags) })
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	if status, body := r.get(r.client(true), "https://www.example.test/"); status != 200 || !strings.Contains(body, "proto=https") {
		t.Errorf("got %d %q", status, body)
	}
}

// The access log has a line for each request and follows a rotation by USR1.
func TestAccessLogRotation(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	path := filepath.Join(r.dir, "access.log")
	conf := r.configure("  - hosts: [plain.example.test]\n    tls: off\n    proxy: BACKEND\n")
	b, err := os.ReadFile(conf)
	if err != nil {
		t.Fatal(err)
	}
	r.write("edge.yaml", string(b)+"log: {access: {path: "+path+"}}\n")
	r.start()
	c := r.client(false)
	r.get(c, "http://plain.example.test/before?token=hunter2")
	lines := func(p string, want int) [][]byte {
		var got [][]byte
		r.eventually(func() error {
			b, err := os.ReadFile(p)
			if err != nil {
				return err
			}
			if got = bytes.Split(bytes.TrimSpace(b), []byte("\n")); len(got) != want || len(got[0]) == 0 {
				return fmt.Errorf("%d lines in %s, want %d", len(got), p, want)
			}
			return nil
		})
		return got
	}
	lines(path, 1)
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	r.signals <- syscall.SIGUSR1
	r.eventually(func() error { _, err := os.Stat(path); return err })
	r.get(c, "http://plain.example.test/after")
	r.get(c, "http://nowhere.test/")
	got := lines(path, 2)
	for i, want := range []map[string]any{
		{"path": "/after", "status": 200.0, "site": "plain.example.test", "decision": "proxy", "upstream": strings.TrimPrefix(r.backend.URL, "http://")},
		{"path": "/", "status": 404.0, "site": "_other", "decision": "static", "host": "nowhere.test"},
	} {
		var e map[string]any
		if err := json.Unmarshal(got[i], &e); err != nil {
			t.Fatal(err)
		}
		for k, v := range want {
			if e[k] != v {
				t.Errorf("line %d: %s is %v, want %v", i, k, e[k], v)
			}
		}
	}
	if first := lines(path+".1", 1)[0]; bytes.Contains(first, []byte("hunter2")) {
		t.Errorf("a secret is in %s", first)
	}
}

// Two doors in one process do not meet: nothing is kept in package variables.
func TestTwoDoors(t *testing.T) {
	a, b := newRig(t, edgetest.CAOptions{}, nil), newRig(t, edgetest.CAOptions{}, nil)
	for _, r := range []*rig{a, b} {
		r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
		r.start()
	}
	for _, r := range []*rig{a, b} {
		r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
		if _, body := r.get(http.DefaultClient, "http://"+r.metrics+"/readyz"); body != "ready\n" {
			t.Errorf("readyz: %q", body)
		}
	}
	if a.ca.Orders() != 1 || b.ca.Orders() != 1 {
		t.Errorf("%d and %d orders", a.ca.Orders(), b.ca.Orders())
	}
}

// startFrom is start with another source of the configuration.
func (r *rig) startFrom(source func() (*config.Config, error)) {
	r.t.Helper()
	cfg, err := source()
	if err != nil {
		r.t.Fatal(err)
	}
	log := slog.New(slog.NewTextHandler(r.log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	r.launch(cfg, source, log)
}
