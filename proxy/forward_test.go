package proxy

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"
)

// echoing is a TCP server that sends back what it gets until the client's end, and
// then a word.
func echoing(t testing.TB, l net.Listener, word string) string {
	t.Helper()
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				if _, err := io.Copy(c, c); err == nil {
					io.WriteString(c, word)
				}
			})
		}
	})
	return l.Addr().String()
}

// tcpRig is a rig with one TCP listener.
func tcpRig(t testing.TB, l TCPListener, change ...func(*Options, *Settings)) (r *rig, address string) {
	t.Helper()
	l.Address = "127.0.0.1:0"
	r = rigWith(t, hello, append(change, func(_ *Options, s *Settings) { s.TCP = []TCPListener{l} })...)
	return r, r.Addrs()[2].Addr.String()
}

func TestForwardTCP(t *testing.T) {
	server := echoing(t, mustListen(t), "bye")
	r, address := tcpRig(t, TCPListener{To: &Forward{Servers: []string{server}}})
	c := dialTo(t, address).(*net.TCPConn)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	sent := bytes.Repeat([]byte("0123456789"), 1<<20)
	go func() {
		c.Write(sent)
		c.CloseWrite() // the other direction goes on
	}()
	got, err := io.ReadAll(c)
	if err != nil || !bytes.Equal(got, append(sent, "bye"...)) {
		t.Errorf("%d bytes of %d came back, %v", len(got), len(sent)+3, err)
	}
	eventually(t, "it is counted out", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		n, ok := r.events.open["tcp tcp"]
		return ok && n == 0
	})
}

// The first server that takes a connection gets it; one that failed is tried last
// for a while. A socket of this machine is as good as another.
func TestForwardFailover(t *testing.T) {
	dead := mustListen(t)
	dead.Close()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	echoing(t, l, "unix")
	f := &Forward{Servers: []string{dead.Addr().String(), "unix:" + path}}
	r, address := tcpRig(t, TCPListener{To: f})
	for range 2 {
		c := dialTo(t, address).(*net.TCPConn)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		c.CloseWrite()
		if b, err := io.ReadAll(c); string(b) != "unix" {
			t.Errorf("%q %v", b, err)
		}
	}
	if _, ok := r.down.Load(dead.Addr().String()); !ok {
		t.Error("the failure is forgotten")
	}
	l.Close()
	c, err := net.Dial("tcp", address)
	if err == nil {
		c.SetDeadline(time.Now().Add(10 * time.Second))
		_, err = c.Read(make([]byte, 1))
		c.Close()
	}
	if !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("no server is left: %v, want a reset", err)
	}
	eventually(t, "the refusal is reported", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return len(r.events.refused) == 1 && r.events.refused[0] == "upstream"
	})
}

// A connection that breaks on one side breaks on the other: nobody takes what has
// come so far for the whole.
func TestForwardPassesResetsOn(t *testing.T) {
	l := mustListen(t)
	defer l.Close()
	_, address := tcpRig(t, TCPListener{To: &Forward{Servers: []string{l.Addr().String()}}})
	c := dialTo(t, address)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	up, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	io.WriteString(up, "half of it")
	if _, err := io.ReadFull(c, make([]byte, 10)); err != nil {
		t.Fatal(err)
	}
	up.(*net.TCPConn).SetLinger(0)
	up.Close()
	if _, err := c.Read(make([]byte, 1)); !errors.Is(err, syscall.ECONNRESET) {
		t.Errorf("%v, want a reset", err)
	}
}

// Silence on both sides ends a connection; a word from either side keeps it.
func TestForwardIdle(t *testing.T) {
	l := mustListen(t)
	defer l.Close()
	const idle = 200 * time.Millisecond
	_, address := tcpRig(t, TCPListener{To: &Forward{Servers: []string{l.Addr().String()}, Idle: idle}})
	c := dialTo(t, address)
	c.SetDeadline(time.Now().Add(10 * time.Second))
	up, err := l.Accept()
	if err != nil {
		t.Fatal(err)
	}
	defer up.Close()
	start := time.Now()
	for time.Since(start) < 3*idle { // the client says nothing
		if _, err := io.WriteString(up, "x"); err != nil {
			t.Fatal(err)
		}
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatalf("after %v: %v", time.Since(start), err)
		}
		time.Sleep(idle / 10)
	}
	start = time.Now()
	if _, err := c.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	if d := time.Since(start); d < idle/2 || d > 10*idle {
		t.Errorf("ended after %v", d)
	}
}

func TestForwardBySNI(t *testing.T) {
	there := newCerts()
	a, b := behind(t, "a.test", there, false), behind(t, "x.b.test", there, true)
	r, address := tcpRig(t, TCPListener{BySNI: map[string]*Forward{
		"a.test": {Servers: []string{a}}, "*.b.test": {Servers: []string{b}, ProxyProtocol: 1},
	}})
	for name, want := range map[string]string{"a.test": "a.test||hi", "x.b.test": "x.b.test|127.0.0.1|hi"} {
		if got, err := say(t, dialTo(t, address), &tls.Config{ServerName: name, RootCAs: there.roots}, "hi"); got != want {
			t.Errorf("%s: %q %v", name, got, err)
		}
	}
	for _, cfg := range []*tls.Config{{ServerName: "other.test"}, {InsecureSkipVerify: true}} {
		if _, err := say(t, dialTo(t, address), cfg, "hi"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%q: %v", cfg.ServerName, err)
		}
	}
	c := dialTo(t, address)
	io.WriteString(c, get+"\r\n")
	if b, _ := io.ReadAll(c); len(b) != 7 || b[6] != alertDecodeError {
		t.Errorf("what is no TLS: %q", b)
	}
	set := r.set
	set.TCP = []TCPListener{{Address: set.TCP[0].Address, BySNI: set.TCP[0].BySNI, To: &Forward{Servers: []string{a}}}}
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	if r.Addrs()[2].Addr.String() != address {
		t.Error("the listener was bound anew")
	}
	if got, err := say(t, dialTo(t, address), &tls.Config{ServerName: "a.test", RootCAs: there.roots}, "hi"); got != "a.test||hi" {
		t.Errorf("%q %v", got, err)
	}
}

// A shutdown waits for what is forwarded, up to its limit.
func TestShutdownWaitsForForwarded(t *testing.T) {
	server := echoing(t, mustListen(t), "bye")
	for _, ends := range []bool{true, false} {
		r, address := tcpRig(t, TCPListener{To: &Forward{Servers: []string{server}}})
		c := dialTo(t, address).(*net.TCPConn)
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, "x")
		if _, err := io.ReadFull(c, make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
		limit := 10 * time.Second
		if !ends {
			limit = 200 * time.Millisecond
		}
		ctx, cancel := context.WithTimeout(t.Context(), limit)
		defer cancel()
		done := make(chan error, 1)
		go func() { done <- r.Shutdown(ctx) }()
		eventually(t, "nobody listens", func() bool {
			nc, err := net.Dial("tcp", address)
			if err == nil {
				nc.Close()
			}
			return err != nil
		})
		if !ends {
			if err := <-done; err == nil {
				t.Error("a connection was cut, and nobody says so")
			}
			continue
		}
		io.WriteString(c, "y")
		c.CloseWrite()
		if b, err := io.ReadAll(c); string(b) != "ybye" {
			t.Errorf("%q %v", b, err)
		}
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
}
