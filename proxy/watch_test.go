package proxy

import (
	"bufio"
	"errors"
	"io"
	"net"
	"os"
	"strings"
	"testing"
	"time"
)

// watched is a watch of one end of a TCP connection.
func watched(t *testing.T) (w *watch, nc, peer net.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	if peer, err = net.Dial("tcp", l.Addr().String()); err != nil {
		t.Fatal(err)
	}
	if nc, err = l.Accept(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close(); peer.Close() })
	w = new(watch)
	w.wake.L = &w.mu
	return w, nc, peer
}

// readsUntil checks that a Read ends at the deadline: a little later at most,
// never sooner.
func readsUntil(t *testing.T, w *watch, nc net.Conn, deadline time.Time) {
	t.Helper()
	_, err := w.read(nc, make([]byte, 10))
	if now := time.Now(); !errors.Is(err, os.ErrDeadlineExceeded) || now.Before(deadline) || now.Sub(deadline) > 5*time.Second {
		t.Errorf("read ended %v after its deadline with %v", now.Sub(deadline), err)
	}
}

func TestDeadlineSetLastHolds(t *testing.T) {
	const short, long = 20 * time.Millisecond, 100 * time.Millisecond
	one := make([]byte, 1)
	for _, c := range []struct {
		name          string
		before, after time.Duration
	}{{"later", short, long}, {"sooner", time.Hour, short}, {"the first", 0, short}} {
		t.Run(c.name, func(t *testing.T) {
			w, nc, peer := watched(t)
			if c.before > 0 {
				w.setDeadline(nc, time.Now().Add(c.before))
			}
			peer.Write(one)
			if _, err := w.read(nc, one); err != nil {
				t.Fatal(err)
			}
			deadline := time.Now().Add(c.after)
			w.setDeadline(nc, deadline)
			readsUntil(t, w, nc, deadline)
			readsUntil(t, w, nc, deadline) // one that has passed stays
		})
	}
}

// A deadline that was lifted ends nothing.
func TestDeadlineLifted(t *testing.T) {
	w, nc, peer := watched(t)
	one := make([]byte, 1)
	w.setDeadline(nc, time.Now().Add(30*time.Millisecond))
	peer.Write(one)
	if _, err := w.read(nc, one); err != nil {
		t.Fatal(err)
	}
	w.setDeadline(nc, time.Time{})
	timer := time.AfterFunc(100*time.Millisecond, func() { peer.Write([]byte{1}) })
	defer timer.Stop()
	if n, err := w.read(nc, one); n != 1 || err != nil {
		t.Fatal(n, err)
	}
}

// A deadline that is set while a Read is in progress is that Read's.
func TestDeadlineOfReadInProgress(t *testing.T) {
	w, nc, _ := watched(t)
	done := make(chan error)
	go func() {
		_, err := w.read(nc, make([]byte, 1))
		done <- err
	}()
	eventually(t, "a read", func() bool {
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.reading
	})
	w.setDeadline(nc, time.Unix(1, 0))
	if err := <-done; !errors.Is(err, os.ErrDeadlineExceeded) {
		t.Error(err)
	}
}

func TestWaitEnds(t *testing.T) {
	for _, c := range []struct {
		name string
		end  func(*watch, net.Conn)
		want error
	}{
		{"somebody waits", func(w *watch, _ net.Conn) { w.look() }, nil},
		{"the handler is over", func(w *watch, nc net.Conn) { w.setDeadline(nc, time.Unix(1, 0)) }, os.ErrDeadlineExceeded},
		{"a deadline", func(w *watch, nc net.Conn) { w.setDeadline(nc, time.Now().Add(time.Hour)) }, nil},
		{"closed", func(w *watch, _ net.Conn) { w.close() }, net.ErrClosed},
	} {
		for _, first := range []bool{true, false} {
			w, nc, _ := watched(t)
			if first {
				c.end(w, nc)
			}
			done := make(chan error)
			go func() { done <- w.wait() }()
			if !first {
				select {
				case err := <-done:
					t.Fatalf("%s: ended for nothing: %v", c.name, err)
				case <-time.After(10 * time.Millisecond):
				}
				c.end(w, nc)
			}
			if err := <-done; !errors.Is(err, c.want) {
				t.Errorf("%s: %v, want %v", c.name, err, c.want)
			}
		}
	}
}

// A busy connection has its limits from its last request on.
func TestLimitsOfABusyConnection(t *testing.T) {
	const idle = 300 * time.Millisecond
	r := rigWith(t, hello, limited(Limits{HeaderRead: 100 * time.Millisecond, Idle: idle}))
	busy := func() (net.Conn, *bufio.Reader) {
		c := r.dial()
		br := bufio.NewReader(c)
		for range 10 { // together longer than Idle
			io.WriteString(c, get+"\r\n")
			if res, _ := readResponse(t, br, "GET"); res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			time.Sleep(idle / 6)
		}
		return c, br
	}
	c, br := busy()
	io.WriteString(c, get[:20])
	if b, _ := io.ReadAll(br); !strings.HasPrefix(string(b), "HTTP/1.1 408 ") {
		t.Errorf("a head that stops: %q", b)
	}
	_, br = busy()
	start := time.Now()
	if b, err := io.ReadAll(br); len(b) > 0 || err != nil || time.Since(start) < idle/2 || time.Since(start) > 5*time.Second {
		t.Errorf("idle: %q %v after %v", b, err, time.Since(start))
	}
}

// net/http reads a single byte not only to look at the client: its buffer of
// 4 KiB may have room for no more.
func TestFieldThatFillsTheBuffer(t *testing.T) {
	r := rigWith(t, hello)
	c := r.dial()
	field := "X-Long: " + strings.Repeat("a", 8000) + "\r\n"
	io.WriteString(c, get)
	io.WriteString(c, field[:4095])
	time.Sleep(50 * time.Millisecond)
	io.WriteString(c, field[4095:]+"\r\n")
	if res, body := readResponse(t, bufio.NewReader(c), "GET"); res.StatusCode != 200 || body != "hello" {
		t.Errorf("%s %q", res.Status, body)
	}
}
