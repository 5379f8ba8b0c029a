package upstream

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"testing/synctest"
	"time"
)

// inMemory is a pool in the bubble of a test with a clock of its own: each
// connection's first request is answered by the function.
func inMemory(t *testing.T, answer func(net.Conn)) *Server {
	p := New(Options{Scheme: "http", Address: "192.0.2.1:80", Dial: func(context.Context, string, string) (net.Conn, error) {
		ours, theirs := net.Pipe()
		go func() {
			defer theirs.Close()
			if _, err := http.ReadRequest(bufio.NewReader(theirs)); err == nil {
				answer(theirs)
			}
		}()
		return ours, nil
	}})
	t.Cleanup(p.Close)
	return p
}

// A pause in the middle of a chunk's framing is a pause like any other: the
// patience that a head is given must not cut the body.
func TestPauseWithinChunkFraming(t *testing.T) {
	const head = "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
	for name, parts := range map[string][2]string{
		"after the size":       {head + "5\r\n", "hello\r\n0\r\n\r\n"},
		"within the size line": {head + "5", "\r\nhello\r\n0\r\n\r\n"},
		"before the CRLF":      {head + "5\r\nhello", "\r\n0\r\n\r\n"},
		"before the trailer":   {head + "5\r\nhello\r\n0\r\n", "\r\n"},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t, func(c net.Conn) {
					io.WriteString(c, parts[0])
					time.Sleep(4 * time.Minute)
					io.WriteString(c, parts[1])
				})
				res, err := p.RoundTrip(t.Context(), get("/"))
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				if got, err := io.ReadAll(res.Body); string(got) != "hello" || err != nil {
					t.Errorf("got %q, %v", got, err)
				}
			})
		})
	}
}

// The end of the context is not forgotten when a body's deadline is set anew.
func TestCancelBeforeTheBodyIsRead(t *testing.T) {
	for name, r := range map[string]*Request{
		"without a body": get("/"),
		"with a body":    {Method: "POST", Target: "/", Host: "x", Body: strings.NewReader("a"), ContentLength: 1},
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				p := inMemory(t, func(c net.Conn) {
					io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\n")
					io.Copy(io.Discard, c)
				})
				ctx, cancel := context.WithCancel(t.Context())
				res, err := p.RoundTrip(ctx, r)
				if err != nil {
					t.Fatal(err)
				}
				cancel()
				synctest.Wait() // the watch, where there is one, runs first
				start := time.Now()
				_, err = res.Body.Read(make([]byte, 1))
				if took := time.Since(start); !errors.Is(err, context.Canceled) || took > 0 {
					t.Errorf("got %v after %v", err, took)
				}
				res.Body.Close()
			})
		})
	}
}

// Idle connections do not outlive their time in a pool that nobody uses.
func TestIdleEndsWithoutTraffic(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		var closed atomic.Int64
		p := inMemory(t, func(c net.Conn) {
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
			io.Copy(io.Discard, c)
			closed.Add(1)
		})
		var open []*Response
		for range 3 { // at once, so that there are three
			res, err := p.RoundTrip(t.Context(), get("/"))
			if err != nil {
				t.Fatal(err)
			}
			open = append(open, res)
		}
		for _, res := range open { // ten seconds apart
			res.Body.Close()
			time.Sleep(10 * time.Second)
		}
		for i, want := range []int{3, 2, 1, 0} {
			synctest.Wait()
			if st := p.Status(); st.Idle != want || int(closed.Load()) != 3-want {
				t.Errorf("step %d: %d idle, %d closed, want %d idle", i, st.Idle, closed.Load(), want)
			}
			if i == 0 {
				time.Sleep(p.o.IdleTimeout - 30*time.Second + time.Second)
			} else {
				time.Sleep(10 * time.Second)
			}
		}
	})
}

// Answers without a body leave the connection usable, whatever length they speak of.
func TestBodilessAnswersKeepTheConnection(t *testing.T) {
	var conns atomic.Int64
	addr := script(t, func(c net.Conn) {
		conns.Add(1)
		br := bufio.NewReader(c)
		for err := error(nil); err == nil; _, err = http.ReadRequest(br) {
			// To HEAD, or to a conditional GET.
			io.WriteString(c, "HTTP/1.1 304 Not Modified\r\nContent-Length: 100\r\n\r\n")
		}
	})
	p := newPool(t, addr, nil)
	for _, method := range []string{"HEAD", "GET", "HEAD"} {
		r := get("/")
		r.Method = method
		res, err := p.RoundTrip(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got := res.ContentLength; got != 100 {
			t.Errorf("%s: length %d", method, got)
		}
		if got := readAll(t, res); got != "" {
			t.Errorf("%s: body %q", method, got)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections, want 1", n)
	}
}

// Line ends without CR are refused when they arrive, not when time is up.
func TestBareLFIsRefusedAtOnce(t *testing.T) {
	addr := script(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 200 OK\nContent-Length: 0\n\n")
		io.Copy(io.Discard, c)
	})
	p := newPool(t, addr, nil)
	_, err := p.RoundTrip(context.Background(), get("/"))
	var e *Error
	if !errors.As(err, &e) || !e.Malformed || e.Status() != 502 {
		t.Errorf("got %v", err)
	}
}
