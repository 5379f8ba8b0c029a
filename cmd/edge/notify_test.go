package main

import (
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/internal/admin"
	"edge/internal/edgetest"
)

// The service manager hears of readiness when the listeners are bound, of a
// reload before and after, and of the end.
func TestNotifications(t *testing.T) {
	address := &net.UnixAddr{Name: filepath.Join(t.TempDir(), "notify"), Net: "unixgram"}
	socket, err := net.ListenUnixgram("unixgram", address)
	if err != nil {
		t.Fatal(err)
	}
	defer socket.Close()
	t.Setenv("NOTIFY_SOCKET", address.Name)
	t.Setenv("WATCHDOG_USEC", "100000")
	next := func() string {
		t.Helper()
		if err := socket.SetReadDeadline(time.Now().Add(10 * time.Second)); err != nil {
			t.Fatal(err)
		}
		b := make([]byte, 4096)
		n, err := socket.Read(b)
		if err != nil {
			t.Fatal(err)
		}
		return string(b[:n])
	}
	expect := func(states ...string) {
		t.Helper()
		for _, want := range states {
			got := next()
			for got == "WATCHDOG=1" {
				got = next()
			}
			if !strings.Contains(got, want) {
				t.Errorf("got %q, want %q", got, want)
			}
		}
	}
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	expect("READY=1")
	if c, err := net.Dial("tcp", r.http); err != nil {
		t.Errorf("ready, and yet: %v", err)
	} else if err := c.Close(); err != nil {
		t.Error(err)
	}
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	if err := client.Reload(t.Context()); err != nil {
		t.Fatal(err)
	}
	expect("RELOADING=1", "READY=1")
	for next() != "WATCHDOG=1" {
	}
	r.stop()
	expect("STOPPING=1")
}
