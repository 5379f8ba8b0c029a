package upstream

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/proxy/policy"
)

// talker accepts connections, plain or with TLS, and has each request answered,
// with the number of its connection.
func talker(t *testing.T, secure bool, answer func(c net.Conn, n int32, q *http.Request)) (addr string, conns *atomic.Int32, roots *x509.CertPool) {
	ts := httptest.NewUnstartedServer(nil)
	ts.StartTLS()
	cfg := &tls.Config{Certificates: ts.TLS.Certificates, NextProtos: []string{"http/1.1"}}
	roots = x509.NewCertPool()
	roots.AddCert(ts.Certificate())
	ts.Close()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	if secure {
		l = tls.NewListener(l, cfg)
	}
	conns = new(atomic.Int32)
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			n := conns.Add(1)
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(20 * time.Second))
				br := bufio.NewReader(c)
				for {
					q, err := http.ReadRequest(br)
					if err != nil {
						return
					}
					answer(c, n, q)
				}
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String(), conns, roots
}

func overBoth(t *testing.T, run func(t *testing.T, secure bool, change func(roots *x509.CertPool) func(*Options))) {
	for name, secure := range map[string]bool{"plain": false, "TLS": true} {
		t.Run(name, func(t *testing.T) {
			run(t, secure, func(roots *x509.CertPool) func(*Options) {
				return func(o *Options) {
					if secure {
						o.Scheme, o.Roots, o.ServerName = "https", roots, "example.com"
					}
				}
			})
		})
	}
}

// What comes after an answer is complete belongs to no request: it must not become
// the answer to somebody else's, however soon that one comes.
func TestLateExcessIsNobodysAnswer(t *testing.T) {
	const evil = "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil"
	for class, tc := range map[string]struct {
		method, answer string
		parts          bool // the excess is a write of its own
	}{
		"excess":                    {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", true},
		"excess at once":            {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok", false},
		"excess of chunks":          {"GET", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nok\r\n0\r\n\r\n", true},
		"the body of HEAD":          {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n", true},
		"the body of HEAD at once":  {"HEAD", "HTTP/1.1 200 OK\r\nContent-Length: 43\r\n\r\n", false},
		"a body of 204":             {"GET", "HTTP/1.1 204 No Content\r\n\r\n", true},
		"a body of 304":             {"GET", "HTTP/1.1 304 Not Modified\r\nContent-Length: 43\r\n\r\n", true},
		"an answer to nobody (408)": {"GET", "HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n", true},
	} {
		t.Run(class, func(t *testing.T) {
			overBoth(t, func(t *testing.T, secure bool, with func(*x509.CertPool) func(*Options)) {
				whole, sent := make(chan struct{}), make(chan struct{}, 2)
				addr, conns, roots := talker(t, secure, func(c net.Conn, n int32, _ *http.Request) {
					switch {
					case n > 1:
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\ngood")
						return
					case tc.parts:
						io.WriteString(c, tc.answer)
						<-whole
						io.WriteString(c, evil)
					default:
						io.WriteString(c, tc.answer+evil)
					}
					sent <- struct{}{}
				})
				p := newPool(t, addr, with(roots))
				first := get("/first")
				first.Method = tc.method
				res, err := p.RoundTrip(context.Background(), first)
				if err != nil {
					t.Fatal(err)
				}
				readAll(t, res)
				close(whole)
				<-sent
				res, err = p.RoundTrip(context.Background(), get("/second"))
				if err != nil {
					t.Fatal(err)
				}
				if got := readAll(t, res); got != "good" || conns.Load() != 2 {
					t.Errorf("%q by %d connections, want an answer of its own by a second one", got, conns.Load())
				}
			})
		})
	}
}

// The look that each connection gets spoils none that is good.
func TestGoodConnectionsAreUsedAgain(t *testing.T) {
	overBoth(t, func(t *testing.T, secure bool, with func(*x509.CertPool) func(*Options)) {
		addr, conns, roots := talker(t, secure, func(c net.Conn, _ int32, q *http.Request) {
			b, _ := io.ReadAll(q.Body)
			fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n%s", len(b), b)
		})
		p := newPool(t, addr, with(roots))
		for _, size := range []int{0, 10, 0, 100_000, 0, 0} {
			r := get("/")
			if size > 0 {
				r = &Request{Method: "POST", Target: "/", Host: "x", Body: strings.NewReader(strings.Repeat("a", size)), ContentLength: int64(size)}
			}
			res, err := p.RoundTrip(context.Background(), r)
			if err != nil {
				t.Fatal(err)
			}
			if got := readAll(t, res); len(got) != size {
				t.Errorf("%d bytes, want %d", len(got), size)
			}
		}
		if conns.Load() != 1 {
			t.Errorf("%d connections", conns.Load())
		}
	})
}

// A head that the socket takes only in part is sent whole, and a slow answer is
// waited for as any.
func TestLongHeadsAndSlowAnswers(t *testing.T) {
	long := strings.Repeat("x", 60<<10)
	addr, _, _ := talker(t, false, func(c net.Conn, _ int32, q *http.Request) {
		time.Sleep(3 * patience) // what is tested is that it takes long
		fmt.Fprintf(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\nX-Length: %d\r\n\r\nok", len(q.Header.Get("X-Long")))
	})
	p := newPool(t, addr, func(o *Options) {
		o.Dial = func(ctx context.Context, network, address string) (net.Conn, error) {
			nc, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				err = nc.(*net.TCPConn).SetWriteBuffer(4 << 10)
			}
			return nc, err
		}
	})
	r := get("/")
	r.Header = append(r.Header, policy.Field{Name: "X-Long", Value: long})
	for range 2 {
		res, err := p.RoundTrip(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		if got := fmt.Sprint(res.Header); readAll(t, res) != "ok" || !strings.Contains(got, fmt.Sprint(len(long))) {
			t.Error(got)
		}
	}
}

// The cause of a failed wait is told as it was.
func TestResetWhileWaiting(t *testing.T) {
	addr, _, _ := talker(t, false, func(c net.Conn, _ int32, _ *http.Request) {
		c.(*net.TCPConn).SetLinger(0)
		c.Close()
	})
	_, err := newPool(t, addr, nil).RoundTrip(context.Background(), get("/"))
	if err == nil || !strings.Contains(err.Error(), "connection reset by peer") {
		t.Error(err)
	}
}

// Whose fault a failure is: what clients do with bodies of requests says nothing of
// the server.
func TestWhoseFault(t *testing.T) {
	stop := make(chan struct{})
	defer close(stop)
	broken := func() io.Reader { return io.MultiReader(strings.NewReader("abc"), errReader{}) }
	endless := func() io.Reader { return io.MultiReader(strings.NewReader("abc"), stuckReader(stop)) }
	for class, tc := range map[string]struct {
		body   func() io.Reader
		length int64
		answer string // "": the server closes, "wait": it never says a word
		client bool
	}{
		"a body that breaks off":          {broken, 100, "wait", true},
		"chunks that break off":           {broken, -1, "wait", true},
		"a body that is too long":         {func() io.Reader { return strings.NewReader("abcdef") }, 3, "wait", true},
		"closes while the client is slow": {endless, 100, "", true},
		"too slow while the client is":    {endless, 100, "wait", true},
		"closes without an answer":        {func() io.Reader { return strings.NewReader("abc") }, 3, "", false},
		"never answers":                   {func() io.Reader { return strings.NewReader("abc") }, 3, "wait", false},
		"answers with nonsense":           {func() io.Reader { return strings.NewReader("abc") }, 3, "hello\r\n\r\n", false},
	} {
		t.Run(class, func(t *testing.T) {
			addr := script(t, func(c net.Conn) {
				switch tc.answer {
				case "wait":
					io.Copy(io.Discard, c)
				default:
					io.WriteString(c, tc.answer)
				}
			})
			p := newPool(t, addr, func(o *Options) { o.HeaderTimeout = 300 * time.Millisecond })
			_, err := p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/", Host: "x", Body: tc.body(), ContentLength: tc.length})
			ue, ok := err.(*Error)
			if !ok || ue.Client != tc.client {
				t.Fatalf("%v: the client's %v, want %v", err, ok && ue.Client, tc.client)
			}
			if got := p.Status().Failures; (got == 0) != tc.client {
				t.Errorf("%d failures", got)
			}
		})
	}
}

// stuckReader waits for its end.
type stuckReader chan struct{}

func (s stuckReader) Read([]byte) (int, error) { <-s; return 0, io.ErrUnexpectedEOF }

// A server that says 1xx without end is stopped over HTTP/2 as well.
func TestEndlessInterimOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		for r.Context().Err() == nil {
			w.WriteHeader(http.StatusEarlyHints)
		}
	}))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	p := newPool(t, s.Listener.Addr().String(), func(o *Options) { o.Scheme = "h2c" })
	n := 0
	r := get("/")
	r.Interim = func(int, []policy.Field) error { n++; return nil }
	_, err := p.RoundTrip(context.Background(), r)
	if ue, ok := err.(*Error); !ok || !ue.Malformed || n != maxInterim {
		t.Errorf("%d passed on; %v", n, err)
	}
}

// A body that breaks off is the client's fault over HTTP/2, too.
func TestWhoseFaultOverHTTP2(t *testing.T) {
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) { io.Copy(io.Discard, r.Body) }))
	s.Config.Protocols = new(http.Protocols)
	s.Config.Protocols.SetUnencryptedHTTP2(true)
	s.Start()
	defer s.Close()
	p := newPool(t, s.Listener.Addr().String(), func(o *Options) { o.Scheme = "h2c" })
	body := io.MultiReader(strings.NewReader("abc"), errReader{})
	_, err := p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/", Host: "x", Body: body, ContentLength: 100})
	if ue, ok := err.(*Error); !ok || !ue.Client || p.Status().Failures != 0 {
		t.Errorf("%v, %d failures", err, p.Status().Failures)
	}
}

// HTTP/2 by a unix socket, and the Host of checks there.
func TestUnixHTTP2(t *testing.T) {
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	s := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { fmt.Fprint(w, r.Proto, " ", r.Host) }), Protocols: new(http.Protocols)}
	s.Protocols.SetUnencryptedHTTP2(true)
	go s.Serve(l)
	defer s.Close()
	p := newPool(t, "unix:"+path, func(o *Options) { o.Scheme = "h2c" })
	res, err := p.RoundTrip(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, res); got != "HTTP/2.0 example.org" || p.Host() != "localhost" {
		t.Errorf("%q, %q", got, p.Host())
	}
}
