package upstream

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge/proxy/policy"
)

func TestMain(m *testing.M) {
	// net/http waits half a second after it has refused a request, whatever is closed meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

func get(target string) *Request {
	return &Request{Method: "GET", Target: target, Host: "example.org", Replayable: true}
}

func newPool(t testing.TB, address string, change func(*Options)) *Server {
	o := Options{Scheme: "http", Address: address, ConnectTimeout: time.Second, HeaderTimeout: time.Second}
	if change != nil {
		change(&o)
	}
	p := New(o)
	t.Cleanup(p.Close)
	return p
}

func backend(t testing.TB, h http.HandlerFunc) *httptest.Server {
	s := httptest.NewServer(h)
	t.Cleanup(s.Close)
	return s
}

func readAll(t testing.TB, res *Response) string {
	t.Helper()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	if err := res.Body.Close(); err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// Bodies of all framings go both ways, and one connection serves them all.
func TestRoundTrip(t *testing.T) {
	var conns atomic.Int64
	s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, err := io.ReadAll(r.Body)
		if err != nil {
			t.Error(err)
		}
		w.Header().Set("X-Got", fmt.Sprintf("%s %s %s %d %s", r.Method, r.Host, r.URL, len(b), r.Header.Get("X-A")))
		if r.URL.Query().Has("chunked") {
			w.(http.Flusher).Flush()
		}
		w.Write(b)
	}))
	s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
		if st == http.StateNew {
			conns.Add(1)
		}
	}
	s.Start()
	t.Cleanup(s.Close)
	p := newPool(t, s.Listener.Addr().String(), nil)
	big := strings.Repeat("0123456789abcdef", 1<<16)
	for _, c := range []struct {
		target, body string
		length       int64
	}{
		{"/", "", 0}, {"/x?y=z", "small", 5}, {"/big", big, int64(len(big))}, {"/?chunked", big, -1}, {"/none", "tiny", -1}, {"/?chunked", "", -1},
	} {
		r := get(c.target)
		r.Header = []policy.Field{{Name: "X-A", Value: "b"}}
		if c.length != 0 {
			r.Method, r.Body, r.ContentLength, r.Replayable = "POST", strings.NewReader(c.body), c.length, false
		}
		res, err := p.RoundTrip(context.Background(), r)
		if err != nil {
			t.Fatalf("%s: %v", c.target, err)
		}
		if got := readAll(t, res); got != c.body {
			t.Errorf("%s: got %d bytes back, want %d", c.target, len(got), len(c.body))
		}
		want := fmt.Sprintf("%s example.org %s %d b", r.Method, c.target, len(c.body))
		found := false
		for _, f := range res.Header {
			found = found || f.Name == "X-Got" && f.Value == want
		}
		if !found {
			t.Errorf("%s: no X-Got: %s in %v", c.target, want, res.Header)
		}
	}
	if n := conns.Load(); n != 1 {
		t.Errorf("%d connections were made, want 1", n)
	}
	if st := p.Status(); st.InUse != 0 || st.Idle != 1 || !st.Healthy || st.Requests != 6 {
		t.Errorf("status %+v", st)
	}
}

// script is a backend that answers each connection's request with raw bytes.
func script(t *testing.T, answer func(net.Conn)) string {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer c.Close()
				c.SetDeadline(time.Now().Add(10 * time.Second))
				br := bufio.NewReader(c)
				if _, err := http.ReadRequest(br); err != nil {
					return
				}
				answer(c)
			})
		}
	})
	t.Cleanup(func() { l.Close(); wg.Wait() })
	return l.Addr().String()
}

// Whatever an upstream may do wrong becomes an error of the right kind, before
// the head where it is in the head, else while the body is read.
func TestMisbehavingUpstreams(t *testing.T) {
	ok := "HTTP/1.1 200 OK\r\n"
	for name, c := range map[string]struct {
		raw            string
		status         int // for the client; 0: the head is fine
		body           bool
		hang, timesOut bool
	}{
		"nothing":                {raw: "", status: 502},
		"hang before head":       {raw: "", hang: true, status: 504},
		"hang within head":       {raw: "HTTP/1.1 200", hang: true, status: 504},
		"half a head":            {raw: "HTTP/1.1 200 OK\r\nA: b", status: 502},
		"garbage":                {raw: "hello, world\r\n\r\n", status: 502},
		"HTTP/2 preface":         {raw: "PRI * HTTP/2.0\r\n\r\n", status: 502},
		"bad status":             {raw: "HTTP/1.1 2x0 OK\r\n\r\n", status: 502},
		"status 999":             {raw: "HTTP/1.1 999 OK\r\n\r\n", status: 502},
		"bare LF":                {raw: "HTTP/1.1 200 OK\nContent-Length: 0\r\n\r\n", status: 502},
		"bare CR":                {raw: ok + "A: b\rc\r\n\r\n", status: 502},
		"obs-fold":               {raw: ok + "A: b\r\n c\r\n\r\n", status: 502},
		"space before colon":     {raw: ok + "Content-Length : 0\r\n\r\n", status: 502},
		"NUL in value":           {raw: ok + "A: b\x00\r\n\r\n", status: 502},
		"no colon":               {raw: ok + "A\r\n\r\n", status: 502},
		"1xx with a length":      {raw: "HTTP/1.1 103 Early Hints\r\nContent-Length: 5\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", status: 502},
		"1xx with chunks":        {raw: "HTTP/1.1 103 Early Hints\r\nTransfer-Encoding: chunked\r\n\r\n" + ok + "Content-Length: 0\r\n\r\n", status: 502},
		"204 with a length":      {raw: "HTTP/1.1 204 No Content\r\nContent-Length: 5\r\n\r\n", status: 502},
		"trailers without end":   {raw: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\n" + strings.Repeat("A: "+strings.Repeat("b", 2000)+"\r\n", 40) + "\r\n", body: true},
		"two lengths":            {raw: ok + "Content-Length: 1\r\nContent-Length: 1\r\n\r\na", status: 502},
		"length list":            {raw: ok + "Content-Length: 1, 1\r\n\r\na", status: 502},
		"length sign":            {raw: ok + "Content-Length: +1\r\n\r\na", status: 502},
		"length overflow":        {raw: ok + "Content-Length: 99999999999999999999\r\n\r\na", status: 502},
		"length and TE":          {raw: ok + "Content-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: 502},
		"TE gzip":                {raw: ok + "Transfer-Encoding: gzip\r\n\r\n", status: 502},
		"TE twice":               {raw: ok + "Transfer-Encoding: chunked\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: 502},
		"TE on 1.0":              {raw: "HTTP/1.0 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", status: 502},
		"endless 1xx":            {raw: strings.Repeat("HTTP/1.1 102 Processing\r\n\r\n", 100), status: 502},
		"unasked 101":            {raw: "HTTP/1.1 101 Switching Protocols\r\nUpgrade: x\r\nConnection: upgrade\r\n\r\n", status: 502},
		"long head":              {raw: ok + "A: " + strings.Repeat("a", 100<<10) + "\r\n\r\n", status: 502},
		"short body":             {raw: ok + "Content-Length: 10\r\n\r\nabc", body: true},
		"body hangs":             {raw: ok + "Content-Length: 10\r\n\r\nabc", hang: true, body: true, timesOut: true},
		"chunked cut":            {raw: ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n", body: true},
		"chunk without end":      {raw: ok + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef", body: true},
		"chunk size sign":        {raw: ok + "Transfer-Encoding: chunked\r\n\r\n+3\r\nabc\r\n0\r\n\r\n", body: true},
		"chunk size 0x":          {raw: ok + "Transfer-Encoding: chunked\r\n\r\n0x3\r\nabc\r\n0\r\n\r\n", body: true},
		"chunk size overflow":    {raw: ok + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff\r\nabc\r\n0\r\n\r\n", body: true},
		"chunk line bare LF":     {raw: ok + "Transfer-Encoding: chunked\r\n\r\n3\nabc\r\n0\r\n\r\n", body: true},
		"long extension":         {raw: ok + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("a", 1000) + "\r\nabc\r\n0\r\n\r\n", body: true},
		"trailer Content-Length": {raw: ok + "Transfer-Encoding: chunked\r\n\r\n0\r\nContent-Length: 3\r\n\r\n", body: true},
	} {
		t.Run(name, func(t *testing.T) {
			release := make(chan struct{})
			defer close(release)
			addr := script(t, func(conn net.Conn) {
				io.WriteString(conn, c.raw)
				if c.hang {
					<-release
				}
			})
			p := newPool(t, addr, func(o *Options) { o.HeaderTimeout, o.BodyTimeout = 300*time.Millisecond, 300*time.Millisecond })
			res, err := p.RoundTrip(context.Background(), get("/"))
			if err == nil {
				defer res.Body.Close()
				_, err = io.ReadAll(res.Body)
				if !c.body {
					t.Fatalf("got status %d and body error %v, want an error before that", res.Status, err)
				}
			} else if c.body {
				t.Fatalf("got %v before the body", err)
			}
			var e *Error
			if !errors.As(err, &e) {
				t.Fatalf("got %v, want *Error", err)
			}
			if !c.body && e.Status() != c.status || c.body && e.Timeout != c.timesOut {
				t.Errorf("got %v (status %d, timeout %v)", e, e.Status(), e.Timeout)
			}
		})
	}
}

// An upstream that answers with a body longer than announced, or says more than
// it was asked, gets its connection closed; the answer itself stands.
func TestExcessIsNotTheNextAnswer(t *testing.T) {
	var conns atomic.Int64
	addr := script(t, func(c net.Conn) {
		conns.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nokHTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil")
		io.Copy(io.Discard, c)
	})
	p := newPool(t, addr, nil)
	for range 3 {
		res, err := p.RoundTrip(context.Background(), get("/"))
		if err != nil {
			t.Fatal(err)
		}
		if got := readAll(t, res); got != "ok" {
			t.Fatalf("got %q", got)
		}
	}
	if conns.Load() != 3 {
		t.Errorf("%d connections, want 3: a poisoned one was used again", conns.Load())
	}
}

// A connection that the upstream closed while it was idle costs a retry, not an error.
func TestStaleConnection(t *testing.T) {
	var n atomic.Int64
	addr := script(t, func(c net.Conn) {
		n.Add(1)
		io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok") // and closes
	})
	p := newPool(t, addr, nil)
	for i := range 5 {
		r := get("/")
		if i%2 == 1 { // not to be sent twice
			r = &Request{Method: "POST", Target: "/", Host: "x", Body: strings.NewReader("a"), ContentLength: 1}
		}
		res, err := p.RoundTrip(context.Background(), r)
		if err != nil {
			t.Fatal(err)
		}
		readAll(t, res)
		for alive := true; alive; { // until the close has arrived
			p.mu.Lock()
			alive = len(p.idle) == 1 && p.idle[0].alive()
			p.mu.Unlock()
		}
	}
	if n.Load() != 5 {
		t.Errorf("%d requests arrived, want 5", n.Load())
	}
}

// A request with a body is never sent a second time once bytes of it went out.
func TestNoRetryOfPost(t *testing.T) {
	var n atomic.Int64
	s := backend(t, func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		if n.Add(1) > 1 {
			panic(http.ErrAbortHandler)
		}
	})
	p := newPool(t, s.Listener.Addr().String(), nil)
	res, err := p.RoundTrip(context.Background(), get("/"))
	if err != nil {
		t.Fatal(err)
	}
	readAll(t, res)
	_, err = p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/", Host: "x", Body: strings.NewReader("a"), ContentLength: 1})
	var e *Error
	if !errors.As(err, &e) || e.Status() != 502 {
		t.Errorf("got %v", err)
	}
	if n.Load() != 2 {
		t.Errorf("the POST was sent %d times", n.Load()-1)
	}
}

func TestConnectFailures(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	l.Close()
	p := newPool(t, l.Addr().String(), nil)
	_, err = p.RoundTrip(context.Background(), get("/"))
	var e *Error
	if !errors.As(err, &e) || e.Op != "connect" || e.Status() != 502 || p.Status().Healthy {
		t.Errorf("refused: got %v, %+v", err, p.Status())
	}
	slow := newPool(t, "127.0.0.1:1", func(o *Options) {
		o.ConnectTimeout = 50 * time.Millisecond
		o.Dial = func(ctx context.Context, _, _ string) (net.Conn, error) { <-ctx.Done(); return nil, ctx.Err() }
	})
	if _, err = slow.RoundTrip(context.Background(), get("/")); !errors.As(err, &e) || e.Status() != 504 {
		t.Errorf("slow: got %v", err)
	}
	slow.Close()
	if _, err = slow.RoundTrip(context.Background(), get("/")); !errors.As(err, &e) || e.Status() != 503 {
		t.Errorf("closed: got %v", err)
	}
}

// The end of the request's context ends the exchange at once, wherever it is.
func TestCancel(t *testing.T) {
	started := make(chan struct{}, 2)
	release := make(chan struct{})
	s := backend(t, func(w http.ResponseWriter, r *http.Request) {
		if r.URL.Path == "/body" {
			w.(http.Flusher).Flush()
		}
		started <- struct{}{}
		<-release
	})
	defer close(release)
	p := newPool(t, s.Listener.Addr().String(), func(o *Options) { o.HeaderTimeout = 30 * time.Second })
	for _, path := range []string{"/head", "/body"} {
		ctx, cancel := context.WithCancel(context.Background())
		go func() { <-started; cancel() }()
		res, err := p.RoundTrip(ctx, get(path))
		if err == nil {
			_, err = io.ReadAll(res.Body)
			res.Body.Close()
		}
		if err == nil {
			t.Errorf("%s: no error after the context had ended", path)
		}
		cancel()
	}
	if st := p.Status(); st.InUse != 0 {
		t.Errorf("%d in use", st.InUse)
	}
}

// An upstream may refuse a large body before it has read it.
func TestEarlyAnswer(t *testing.T) {
	addr := script(t, func(c net.Conn) {
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig")
	})
	p := newPool(t, addr, nil)
	pr, pw := io.Pipe()
	defer pw.Close()
	go pw.Write(make([]byte, 1000))
	res, err := p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/", Host: "x", Body: pr, ContentLength: 1 << 30})
	if err != nil {
		t.Fatal(err)
	}
	if got := readAll(t, res); res.Status != 413 || got != "big" {
		t.Errorf("got %d %q", res.Status, got)
	}
	pr.Close()
}

// A request body that ends before its time must not look complete.
func TestShortRequestBody(t *testing.T) {
	got := make(chan error, 1)
	s := backend(t, func(w http.ResponseWriter, r *http.Request) {
		_, err := io.ReadAll(r.Body)
		got <- err
	})
	for _, length := range []int64{-1, 1 << 20} {
		p := newPool(t, s.Listener.Addr().String(), nil)
		body := io.MultiReader(strings.NewReader("some"), errReader{})
		if length > 0 {
			body = strings.NewReader("some")
		}
		if _, err := p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/", Host: "x", Body: body, ContentLength: length}); err == nil {
			t.Errorf("length %d: no error", length)
		}
		if err := <-got; err == nil {
			t.Errorf("length %d: the upstream took a part for the whole", length)
		}
	}
}

type errReader struct{}

func (errReader) Read([]byte) (int, error) { return 0, errors.New("client went away") }

func TestInterimUpgradeTrailers(t *testing.T) {
	s := backend(t, func(w http.ResponseWriter, r *http.Request) {
		switch r.URL.Path {
		case "/hints":
			w.Header().Set("Link", "</a.css>")
			w.WriteHeader(103)
			w.Write([]byte("done"))
		case "/trailer":
			io.Copy(io.Discard, r.Body)
			w.Header().Set("Trailer", "Grpc-Status")
			w.Write([]byte("x"))
			w.Header().Set("Grpc-Status", r.Trailer.Get("X-Sum"))
		case "/ws":
			c, _, _ := w.(http.Hijacker).Hijack()
			defer c.Close()
			io.WriteString(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\nearly")
			io.Copy(c, c)
		}
	})
	p := newPool(t, s.Listener.Addr().String(), nil)
	r := get("/hints")
	var interim []int
	r.Interim = func(status int, h []policy.Field) error { interim = append(interim, status); return nil }
	res, err := p.RoundTrip(context.Background(), r)
	if err != nil || readAll(t, res) != "done" || len(interim) != 1 || interim[0] != 103 {
		t.Fatalf("hints: %v %v", err, interim)
	}
	res, err = p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/trailer", Host: "x", Body: strings.NewReader("abc"), ContentLength: -1,
		Header:  []policy.Field{{Name: "Trailer", Value: "X-Sum"}},
		Trailer: func() []policy.Field { return []policy.Field{{Name: "X-Sum", Value: "42"}} }})
	if err != nil || readAll(t, res) != "x" {
		t.Fatal(err)
	}
	if tr := res.Trailer(); len(tr) != 1 || tr[0] != (policy.Field{Name: "Grpc-Status", Value: "42"}) {
		t.Errorf("trailer %v", tr)
	}
	ws := get("/ws")
	ws.Upgrade = "websocket"
	if res, err = p.RoundTrip(context.Background(), ws); err != nil {
		t.Fatal(err)
	}
	defer res.Upgraded.Close()
	io.WriteString(res.Upgraded, "ping")
	b := make([]byte, 9)
	if _, err := io.ReadFull(res.Upgraded, b); err != nil || string(b) != "earlyping" {
		t.Errorf("got %q %v", b, err)
	}
}

// The same over HTTP/2, in clear and by ALPN, with both directions open at once.
func TestHTTP2(t *testing.T) {
	h := func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Proto", r.Proto+" "+r.Host+" "+r.RequestURI)
		w.Header().Set("Trailer", "Grpc-Status")
		w.(http.Flusher).Flush()
		buf := make([]byte, 100)
		for {
			n, err := r.Body.Read(buf)
			w.Write(buf[:n])
			w.(http.Flusher).Flush()
			if err != nil {
				break
			}
		}
		w.Header().Set("Grpc-Status", "0"+r.Trailer.Get("X-Sum"))
	}
	for _, scheme := range []string{"h2c", "https"} {
		t.Run(scheme, func(t *testing.T) {
			s := httptest.NewUnstartedServer(http.HandlerFunc(h))
			var conns atomic.Int64
			s.Config.ConnState = func(_ net.Conn, st http.ConnState) {
				if st == http.StateNew {
					conns.Add(1)
				}
			}
			o := Options{Scheme: scheme, Address: s.Listener.Addr().String(), HeaderTimeout: time.Second}
			if scheme == "https" {
				s.EnableHTTP2 = true
				s.StartTLS()
				o.Roots = s.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
				o.ServerName = "example.com"
			} else {
				s.Config.Protocols = new(http.Protocols)
				s.Config.Protocols.SetUnencryptedHTTP2(true)
				s.Start()
			}
			defer s.Close()
			p := New(o)
			defer p.Close()
			for range 2 {
				pr, pw := io.Pipe()
				res, err := p.RoundTrip(context.Background(), &Request{Method: "POST", Target: "/a?b", Host: "example.org", Body: pr, ContentLength: -1,
					Header:  []policy.Field{{Name: "Trailer", Value: "X-Sum"}},
					Trailer: func() []policy.Field { return []policy.Field{{Name: "X-Sum", Value: "7"}} }})
				if err != nil {
					t.Fatal(err)
				}
				b := make([]byte, 4)
				for _, word := range []string{"ping", "pong"} {
					io.WriteString(pw, word)
					if _, err := io.ReadFull(res.Body, b); err != nil || string(b) != word {
						t.Fatalf("got %q %v", b, err)
					}
				}
				pw.Close()
				readAll(t, res)
				found := false
				for _, f := range res.Header {
					found = found || f == policy.Field{Name: "X-Proto", Value: "HTTP/2.0 example.org /a?b"}
				}
				if tr := res.Trailer(); !found || len(tr) != 1 || tr[0].Value != "07" {
					t.Errorf("header %v, trailer %v", res.Header, tr)
				}
			}
			if n := conns.Load(); n != 1 {
				t.Errorf("%d connections, want 1", n)
			}
		})
	}
}

func BenchmarkRoundTrip(b *testing.B) {
	s := backend(b, func(w http.ResponseWriter, r *http.Request) { w.Write(make([]byte, 1024)) })
	p := newPool(b, s.Listener.Addr().String(), nil)
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	r := get("/")
	r.Header = []policy.Field{{Name: "Accept", Value: "*/*"}, {Name: "User-Agent", Value: "bench"}}
	buf := make([]byte, 32<<10)
	b.ReportAllocs()
	for b.Loop() {
		res, err := p.RoundTrip(ctx, r)
		if err != nil {
			b.Fatal(err)
		}
		for err == nil {
			_, err = res.Body.Read(buf)
		}
		res.Body.Close()
	}
}
