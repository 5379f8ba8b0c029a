package proxy

import (
	"bufio"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge/proxy/upstream"
)

// backendFault is something that a backend does instead of answering.
type backendFault struct {
	name   string
	serve  func(net.Conn) // nil: nobody listens. The connection is closed after it
	status int            // that the client gets; 0: 200, and a transfer that visibly breaks
}

// faultTimeout is that of the header and of a pause in the body.
const faultTimeout = 300 * time.Millisecond

func backendFaults() []backendFault {
	// after reads the request and sends an answer.
	after := func(answer string) func(net.Conn) {
		return func(c net.Conn) {
			http.ReadRequest(bufio.NewReader(c))
			io.WriteString(c, answer)
		}
	}
	hang := func(c net.Conn) { io.Copy(io.Discard, c) }
	reset := func(c net.Conn) { c.(*net.TCPConn).SetLinger(0) }
	then := func(fs ...func(net.Conn)) func(net.Conn) {
		return func(c net.Conn) {
			for _, f := range fs {
				f(c)
			}
		}
	}
	return []backendFault{
		{"down", nil, 502},
		{"closes at once", func(net.Conn) {}, 502},
		{"resets at once", reset, 502},
		{"hangs before the header", hang, 504},
		{"hangs within the status line", then(after("HTTP/1.1 2"), hang), 504},
		{"hangs within the header", then(after("HTTP/1.1 200 OK\r\nContent-Le"), hang), 504},
		{"hangs after the header", then(after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), hang), 504},
		{"hangs within the body", then(after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), hang), 0},
		{"hangs between chunks", then(after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), hang), 0},
		{"closes within the header", after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n"), 502},
		{"closes after the header", after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\n"), 502},
		{"closes within the body", after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), 0},
		{"closes within a chunk", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nf\r\nhello"), 0},
		{"closes before the last chunk", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n"), 0},
		{"resets within the body", then(after("HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nhello"), reset), 0},
		{"malformed chunk", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhelloXX\r\n0\r\n\r\n"), 0},
		{"no HTTP", after("SSH-2.0-OpenSSH_9.2\r\n"), 502},
		{"HTTP/0.9", after("<html>hello</html>"), 502},
		{"bare LF", after("HTTP/1.1 200 OK\nContent-Length: 5\n\nhello"), 502},
		{"two lengths", after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\nhello"), 502},
		{"length and chunks", after("HTTP/1.1 200 OK\r\nContent-Length: 5\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n"), 502},
		{"odd transfer coding", after("HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nhello"), 502},
		{"NUL in a value", after("HTTP/1.1 200 OK\r\nX: a\x00b\r\nContent-Length: 5\r\n\r\nhello"), 502},
		{"line end in a value", after("HTTP/1.1 200 OK\r\nX: a\rSet-Cookie: b\r\nContent-Length: 5\r\n\r\nhello"), 502},
		{"folded field", after("HTTP/1.1 200 OK\r\nX: a\r\n b\r\nContent-Length: 5\r\n\r\nhello"), 502},
		{"status out of range", after("HTTP/1.1 099 Odd\r\nContent-Length: 5\r\n\r\nhello"), 502},
		{"101 that nobody asked for", after("HTTP/1.1 101 Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: x\r\n\r\n"), 502},
		{"endless header", then(after("HTTP/1.1 200 OK\r\n"), endless("X-A: "+strings.Repeat("b", 1000)+"\r\n")), 502},
		{"endless 1xx", then(after(""), endless("HTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n")), 502},
	}
}

// endless sends until nobody takes it any more.
func endless(part string) func(net.Conn) {
	return func(c net.Conn) {
		block := strings.Repeat(part, 100)
		for {
			if _, err := io.WriteString(c, block); err != nil {
				return
			}
		}
	}
}

// Whatever a backend does, on whatever protocol the client speaks: the right
// status in the configured time, or a transfer that visibly breaks. Never a
// short body that looks whole.
func TestBackendFaults(t *testing.T) {
	for _, f := range backendFaults() {
		address := faultyBackend(t, f.serve)
		for _, d := range dialects() {
			t.Run(f.name+"/"+d.name, func(t *testing.T) {
				t.Parallel()
				r := rigWith(t, nil, func(_ *Options, s *Settings) {
					s.Table, s.Pools = everythingWith(t, upstream.Options{Scheme: "http", Address: address,
						ConnectTimeout: faultTimeout, HeaderTimeout: faultTimeout, BodyTimeout: faultTimeout})
				})
				start := time.Now()
				a := ask(d.client(r), requestTo(t, "GET", site+"/", nil))
				if took := time.Since(start); took > 20*faultTimeout {
					t.Errorf("took %v", took)
				}
				switch {
				case f.status == 0 && (a.err == nil || len(a.body) > len("hello")):
					t.Errorf("status %d, body %q, %v: a broken answer looks whole", a.status, a.body, a.err)
				case f.name == "endless 1xx" && a.err != nil && strings.Contains(a.err.Error(), "too many 1xx"): // the client ends it first
				case f.status != 0 && (a.err != nil || a.status != f.status || a.body != http.StatusText(f.status)+"\n"):
					t.Errorf("%d %q %v, want %d", a.status, a.body, a.err, f.status)
				}
			})
		}
	}
	// What is more than an answer belongs to nobody.
	address := faultyBackend(t, func(c net.Conn) {
		br := bufio.NewReader(c)
		for {
			if _, err := http.ReadRequest(br); err != nil {
				return
			}
			io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhelloHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		}
	})
	for _, d := range dialects() {
		t.Run("sends too much/"+d.name, func(t *testing.T) {
			t.Parallel()
			r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, address) })
			c := d.client(r)
			for range 5 {
				if a := ask(c, requestTo(t, "GET", site+"/", nil)); a.status != 200 || a.body != "hello" || a.err != nil {
					t.Errorf("%+v", a)
				}
			}
		})
	}
}

func faultyBackend(t *testing.T, serve func(net.Conn)) string {
	t.Helper()
	l := mustListen(t)
	if serve == nil {
		l.Close()
		return l.Addr().String()
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			t.Cleanup(func() { c.Close() })
			go func() {
				defer c.Close()
				serve(c)
			}()
		}
	}()
	return l.Addr().String()
}
