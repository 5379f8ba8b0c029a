package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"os"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// copied is what a successor gets of the sockets of r.
func (r *rig) copied() Inherited {
	r.t.Helper()
	in := Inherited{map[string][]net.Listener{}, map[string][]net.PacketConn{}}
	for _, s := range r.Sockets() {
		f := duplicate(r.t, s.Socket)
		if err := in.Add(s.Name, f); err != nil {
			r.t.Fatal(err)
		}
		f.Close()
	}
	return in
}

func duplicate(t testing.TB, c syscall.Conn) *os.File {
	t.Helper()
	raw, err := c.SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	if err := raw.Control(func(p uintptr) { fd, err = unix.FcntlInt(p, unix.F_DUPFD_CLOEXEC, 0) }); err != nil {
		t.Fatal(err)
	}
	if err != nil {
		t.Fatal(err)
	}
	return os.NewFile(uintptr(fd), "")
}

// A successor goes on with the sockets, whatever has changed in how addresses are
// written; no connection fails meanwhile, and what nobody names any more is closed.
func TestSuccessorTakesSocketsOver(t *testing.T) {
	r := rigWith(t, hello)
	_, port, _ := net.SplitHostPort(r.http)
	set := r.set
	set.HTTPS = nil
	for _, addresses := range [][]string{{"127.0.0.1:" + port}, {"127.0.0.1:" + port, "127.0.0.1:0"}} {
		set.HTTP = addresses
		if err := r.Apply(set); err != nil {
			t.Fatal(err)
		}
	}
	gone := r.Addrs()[1].Addr.String()
	var stop atomic.Bool
	var done, failed atomic.Int64
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if err := once("127.0.0.1:" + port); err != nil {
					failed.Add(1)
					t.Log(err)
				}
				done.Add(1)
			}
		})
	}
	for i, address := range []string{"127.0.0.1:" + port, ":" + port, "0.0.0.0:" + port, "127.0.0.1:" + port} {
		in := r.copied()
		next := rigWith(t, hello, func(o *Options, s *Settings) {
			o.Inherited = func() (Inherited, error) { return in, nil }
			s.HTTP, s.HTTPS = []string{address}, nil
		})
		if err := r.Retire(context.Background()); err != nil {
			t.Error(err)
		}
		for n := done.Load(); done.Load() < n+4; {
			runtime.Gosched()
		}
		if i == 0 {
			if _, err := net.Dial("tcp", gone); err == nil {
				t.Error("an address that is not configured any more still takes connections")
			}
		}
		r = next
	}
	stop.Store(true)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d requests failed", n, done.Load())
	}
}

// UDP sockets are taken over for HTTP/3, those of the service manager as well.
func TestInheritedPacketSockets(t *testing.T) {
	for _, name := range []string{"fd:web", "127.0.0.1:0"} {
		l := mustListen(t)
		pc, err := net.ListenPacket("udp", l.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		r := rigWith(t, hello, func(o *Options, s *Settings) {
			o.Inherited = func() (Inherited, error) {
				return Inherited{map[string][]net.Listener{name: {l}}, map[string][]net.PacketConn{name: {pc}}}, nil
			}
			s.HTTP, s.HTTPS, s.HTTP3 = nil, []string{name}, true
		})
		if r.https != l.Addr().String() {
			t.Errorf("%s: listening on %s", name, r.https)
		}
		if q := r.quic.listeners[r.https]; q == nil || q.pc.UDPConn != pc {
			t.Errorf("%s: the UDP socket was not taken", name)
		}
	}
}

// A socket that the service manager passed is not lost when a reload that names it fails.
func TestInheritedSocketOutlivesABadReload(t *testing.T) {
	l := mustListen(t)
	r := rigWith(t, hello, func(o *Options, _ *Settings) {
		o.Inherited = func() (Inherited, error) {
			return Inherited{Listeners: map[string][]net.Listener{"fd:later": {l}}}, nil
		}
	})
	set := r.set
	set.HTTP = []string{"fd:later", "fd:nosuch"}
	if err := r.Apply(set); err == nil || !strings.Contains(err.Error(), "no socket of that name") {
		t.Fatal(err)
	}
	set.HTTP = []string{"fd:later"}
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	if err := once(l.Addr().String()); err != nil {
		t.Error(err)
	}
}

// The next answer is the last one on a connection of a server that retires; nobody
// is cut off while asking.
func TestRetire(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{Drain: 20 * time.Second}))
	busy, silent := r.dial(), r.dial()
	readers := map[net.Conn]*bufio.Reader{busy: bufio.NewReader(busy), silent: bufio.NewReader(silent)}
	for c, br := range readers {
		io.WriteString(c, get+"\r\n")
		if res, _ := readResponse(t, br, "GET"); res.Close {
			t.Error("the connection is closed before its time")
		}
	}
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	done := make(chan error, 1)
	go func() { done <- r.Retire(ctx) }()
	eventually(t, "nobody listens", func() bool {
		c, err := net.Dial("tcp", r.http)
		if err == nil {
			c.Close()
		}
		return err != nil
	})
	io.WriteString(busy, get+"\r\n")
	if res, body := readResponse(t, readers[busy], "GET"); res.StatusCode != 200 || body != "hello" || !res.Close {
		t.Errorf("%s %q, close %v", res.Status, body, res.Close)
	}
	silent.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	if _, err := readers[silent].ReadByte(); !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("a silent connection: %v, want it left alone", err)
	}
	silent.Close()
	if err := <-done; err != nil {
		t.Error(err)
	}
}
