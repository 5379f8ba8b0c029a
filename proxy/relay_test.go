package proxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptrace"
	"net/netip"
	"net/textproto"
	"strings"
	"testing"
	"time"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

func TestServerSentEventsAreFlushedAtOnce(t *testing.T) {
	next := make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Content-Type", "text/event-stream")
		http.NewResponseController(w).Flush() // the header alone must get through
		for i := range 3 {
			<-next
			fmt.Fprintf(w, "data: %d\n\n", i)
			http.NewResponseController(w).Flush()
		}
	}))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		br := bufio.NewReader(res.Body)
		for i := range 3 {
			next <- true
			expectLine(t, br, fmt.Sprintf("data: %d", i))
		}
		res.Body.Close()
	}
}

// A gRPC-like exchange: both directions at once, trailers both ways.
func TestBidirectionalStreamWithTrailers(t *testing.T) {
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Te") != "trailers" {
			t.Errorf("TE %q", r.Header.Get("Te"))
		}
		http.NewResponseController(w).EnableFullDuplex()
		w.Header().Set("Content-Type", "application/grpc")
		w.WriteHeader(200)
		http.NewResponseController(w).Flush()
		br := bufio.NewReader(r.Body)
		for {
			line, err := br.ReadString('\n')
			if err != nil {
				break
			}
			io.WriteString(w, "echo "+line)
			http.NewResponseController(w).Flush()
		}
		w.Header().Set(http.TrailerPrefix+"Grpc-Status", "0")
		w.Header().Set(http.TrailerPrefix+"Grpc-Message", "sum "+r.Trailer.Get("X-Sum"))
	})
	for _, scheme := range []string{"http", "h2c"} {
		srv := &http.Server{Handler: backend, Protocols: new(http.Protocols)}
		srv.Protocols.SetHTTP1(true)
		srv.Protocols.SetUnencryptedHTTP2(true)
		l := mustListen(t)
		go srv.Serve(l)
		t.Cleanup(func() { srv.Close() })
		r := rigWith(t, nil, func(_ *Options, s *Settings) {
			s.Table, s.Pools = everythingWith(t, upstream.Options{Scheme: scheme, Address: l.Addr().String()})
		})
		pr, pw := io.Pipe()
		req, _ := http.NewRequest("POST", "https://example.org/svc/Method", pr)
		req.Header.Set("Content-Type", "application/grpc")
		req.Header.Set("TE", "trailers")
		req.Trailer = http.Header{"X-Sum": nil}
		res, err := r.client(true).Do(req)
		if err != nil {
			t.Fatal(scheme, err)
		}
		br := bufio.NewReader(res.Body)
		for i := range 3 {
			fmt.Fprintf(pw, "%d\n", i)
			expectLine(t, br, fmt.Sprintf("echo %d", i))
		}
		req.Trailer.Set("X-Sum", "3")
		pw.Close()
		if _, err := io.ReadAll(br); err != nil {
			t.Error(scheme, err)
		}
		res.Body.Close()
		if got := res.Trailer.Get("Grpc-Status") + " " + res.Trailer.Get("Grpc-Message"); got != "0 sum 3" {
			t.Errorf("%s: trailers %v", scheme, res.Trailer)
		}
	}
}

func TestInterimAnswers(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Link", "</a.css>; rel=preload")
		w.WriteHeader(103)
		w.Header().Set("Link", "final")
		io.WriteString(w, "done")
	}))
	for _, h2 := range []bool{false, true} {
		var hints []string
		ctx := httptrace.WithClientTrace(context.Background(), &httptrace.ClientTrace{
			Got1xxResponse: func(code int, h textproto.MIMEHeader) error {
				hints = append(hints, fmt.Sprint(code, h))
				return nil
			}})
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://example.org/", nil)
		res, err := r.client(h2).Do(req)
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if len(hints) != 1 || hints[0] != "103 map[Link:[</a.css>; rel=preload]]" {
			t.Errorf("hints %q", hints)
		}
		if string(b) != "done" || fmt.Sprint(res.Header["Link"]) != "[final]" {
			t.Errorf("%q %v", b, res.Header)
		}
	}
	// HTTP/1.0 knows no 1xx.
	if got := r.raw("GET / HTTP/1.0\r\nHost: example.org\r\n\r\n"); strings.Contains(got, "103") || !strings.HasSuffix(got, "done") {
		t.Errorf("%q", got)
	}
}

func TestExpectContinue(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(w, r.Body)
	}))
	c := r.dial()
	io.WriteString(c, post+"Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	br := bufio.NewReader(c)
	res, err := http.ReadResponse(br, nil)
	if err != nil || res.StatusCode != 100 {
		t.Fatalf("%v %v", res, err)
	}
	io.WriteString(c, "abc")
	if res, body := readResponse(t, br, "POST"); res.StatusCode != 200 || body != "abc" {
		t.Errorf("%s %q", res.Status, body)
	}
	// Where the body is not wanted nobody asks for it.
	r.set.Table = tableOf(t)
	r.Apply(r.set)
	got := r.raw(post + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 404 ") {
		t.Errorf("%q", got)
	}
}

// A backend that answers without having asked for the body gets none, and the
// client is not told to send one after the answer.
func TestExpectContinueRefused(t *testing.T) {
	got := make(chan string, 1)
	l := mustListen(t)
	t.Cleanup(func() { l.Close() })
	go func() {
		c, err := l.Accept()
		if err != nil {
			return
		}
		defer c.Close()
		br := bufio.NewReader(c)
		http.ReadRequest(br)
		io.WriteString(c, "HTTP/1.1 413 Too Large\r\nContent-Length: 2\r\n\r\nno")
		c.SetReadDeadline(time.Now().Add(10 * time.Second))
		rest, _ := io.ReadAll(br)
		got <- string(rest)
	}()
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, l.Addr().String()) })
	answer := r.raw(post + "Expect: 100-continue\r\nContent-Length: 3\r\n\r\n")
	if !strings.HasPrefix(answer, "HTTP/1.1 413 ") || strings.Contains(answer, "HTTP/1.1 100") || !strings.HasSuffix(answer, "no") {
		t.Errorf("client: %q", answer)
	}
	if rest := <-got; rest != "" {
		t.Errorf("the backend got %q", rest)
	}
}

// What Connection names is between the backend and us (RFC 9110 section 7.6.1).
func TestConnectionFieldsOfAnswers(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Connection", "X-Hop, keep-alive")
		w.Header().Set("X-Hop", "a")
		w.Header().Set("Keep-Alive", "timeout=5")
		w.Header().Set("X-End", "b")
	}))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.Header["X-Hop"] != nil || res.Header["Keep-Alive"] != nil || res.Header.Get("X-End") != "b" {
			t.Errorf("h2 %v: %v", h2, res.Header)
		}
	}
}

// Strangers cannot speak of themselves in the words of a proxy.
func TestForwardedFieldsOfStrangers(t *testing.T) {
	seen := make(chan http.Header, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { seen <- r.Header }))
	for _, trusted := range []bool{false, true} {
		if trusted {
			table, err := policy.NewTable(policy.Options{
				Sites:   []policy.Site{{Name: "any", Hosts: []string{"*"}, TLS: true, Pool: "a"}},
				Trusted: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")},
			})
			if err != nil {
				t.Fatal(err)
			}
			r.set.Table = table
			r.Apply(r.set)
		}
		r.raw(get + "Forwarded: for=10.0.0.1;proto=https\r\nX-Real-IP: 10.0.0.1\r\nConnection: close\r\n\r\n")
		h := <-seen
		if (h["Forwarded"] != nil) != trusted || (h["X-Real-Ip"] != nil) != trusted {
			t.Errorf("trusted %v: %v", trusted, h)
		}
	}
}

func TestTunnelHalfCloses(t *testing.T) {
	r := rigWith(t, backendWithTunnel(t))
	c := r.dial()
	br := openTunnel(t, c)
	for range 3 {
		io.WriteString(c, "over and out\n")
		expectLine(t, br, "over and out")
	}
	if r.Tunnels() != 1 {
		t.Errorf("%d tunnels", r.Tunnels())
	}
	c.Close()
	ev := r.events.last(t, 1)
	if ev.Status != 101 || ev.BytesIn != 39 || ev.BytesOut != 39 {
		t.Errorf("event %+v", ev)
	}
	eventually(t, "the tunnel is gone", func() bool { return r.Tunnels() == 0 })
}

// An upgrade that is refused ends the connection: the guard has stopped
// looking at it, and what follows could be a smuggled request.
func TestRefusedUpgradeEndsTheConnection(t *testing.T) {
	r := rigWith(t, hello)
	got := r.raw(get + "Connection: Upgrade\r\nUpgrade: websocket\r\n\r\n" + get + "\r\n")
	if strings.Count(got, "HTTP/1.1 ") != 1 || !strings.Contains(got, "Connection: close") {
		t.Errorf("%q", got)
	}
}

func TestChallengeHTTP01(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "backend "+r.URL.Path) }))
	r.answers.tokens = map[string]string{"example.org tok-en_1": "tok-en_1.thumb", "192.0.2.1 t": "ip"}
	for _, tc := range []struct{ send, want string }{
		{"GET /.well-known/acme-challenge/tok-en_1 HTTP/1.1\r\nHost: Example.org:80\r\n\r\n", "tok-en_1.thumb"},
		{"GET /.well-known/acme-challenge/tok-en_1?x=y HTTP/1.1\r\nHost: example.org\r\n\r\n", "tok-en_1.thumb"},
		{"GET /.well-known/acme-challenge/t HTTP/1.1\r\nHost: 192.0.2.1\r\n\r\n", "ip"},
		{"GET /.well-known/acme-challenge/other HTTP/1.1\r\nHost: example.org\r\n\r\n", "backend /.well-known/acme-challenge/other"},
		{"GET /.well-known/acme-challenge/../x HTTP/1.1\r\nHost: example.org\r\n\r\n", "backend /.well-known/x"}, // normalised, once
		{"GET /.well-known/acme-challenge/ HTTP/1.1\r\nHost: example.org\r\n\r\n", "backend /.well-known/acme-challenge/"},
		{"GET /.well-known/acme-challenge/a%2fb HTTP/1.1\r\nHost: example.org\r\n\r\n", "backend /.well-known/acme-challenge/a/b"},
		{"POST /.well-known/acme-challenge/tok-en_1 HTTP/1.1\r\nHost: example.org\r\nContent-Length: 0\r\n\r\n", "backend /.well-known/acme-challenge/tok-en_1"},
	} {
		c := r.dial()
		io.WriteString(c, tc.send)
		res, body := readResponse(t, bufio.NewReader(c), "GET")
		if res.StatusCode != 200 || body != tc.want {
			t.Errorf("%q: %s %q, want %q", tc.send, res.Status, body, tc.want)
		}
	}
	for _, asked := range r.answers.asked {
		if host, token, _ := strings.Cut(asked, " "); !isToken(token) || host != strings.ToLower(host) {
			t.Errorf("the responder was asked for %q", asked)
		}
	}
	if len(r.answers.asked) != 4 {
		t.Errorf("asked %q", r.answers.asked)
	}
}

// Whatever a backend does, the client gets a plain answer in time or sees the
// transfer break.
func TestBackendFailures(t *testing.T) {
	closed := mustListen(t)
	closed.Close()
	r := rigWith(t, nil, func(_ *Options, s *Settings) {
		s.Table, s.Pools = everythingTo(t, closed.Addr().String())
	})
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != 502 || string(b) != "Bad Gateway\n" {
			t.Errorf("%s %q", res.Status, b)
		}
	}
	for _, tc := range []struct {
		name, answer string
	}{
		{"short by content-length", "HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nshort"},
		{"chunks without an end", "HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nshort\r\n"},
	} {
		l := mustListen(t)
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				http.ReadRequest(bufio.NewReader(c))
				io.WriteString(c, tc.answer)
				c.Close()
			}
		}()
		r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, l.Addr().String()) })
		for _, url := range []string{"http://example.org/", "https://example.org/"} {
			for _, h2 := range []bool{false, true} {
				res, err := r.client(h2).Get(url)
				if err == nil {
					b, rerr := io.ReadAll(res.Body)
					res.Body.Close()
					err = rerr
					if len(b) > 5 {
						t.Errorf("%s: body %q", tc.name, b)
					}
				}
				if err == nil {
					t.Errorf("%s: %s h2=%v: a silently short body", tc.name, url, h2)
				}
			}
		}
		// HTTP/1.0 has nothing but the end of the connection to mark the end:
		// it must be a reset.
		c := r.dial()
		io.WriteString(c, "GET / HTTP/1.0\r\nHost: example.org\r\n\r\n")
		if b, err := io.ReadAll(c); err == nil {
			t.Errorf("%s: HTTP/1.0 got %q and an orderly end", tc.name, b)
		}
	}
}

func TestClientThatLeavesCancelsTheUpstream(t *testing.T) {
	inside, gone := make(chan bool, 1), make(chan bool, 1)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		inside <- true
		<-r.Context().Done()
		gone <- true
	}))
	for i, h2 := range []bool{false, true} {
		ctx, cancel := context.WithCancel(context.Background())
		req, _ := http.NewRequestWithContext(ctx, "GET", "https://example.org/", nil)
		go func() { <-inside; cancel() }()
		if _, err := r.client(h2).Do(req); !errors.Is(err, context.Canceled) {
			t.Fatal(err)
		}
		<-gone
		if ev := r.events.last(t, i+1); ev.Status != 499 {
			t.Errorf("status %d, want 499", ev.Status)
		}
	}
}

func TestPanicEndsOneRequestOnly(t *testing.T) {
	r := rigWith(t, hello)
	c := r.client(true)
	if _, err := c.Get("https://example.org/.well-known/acme-challenge/panic"); err == nil {
		t.Error("a panic was answered")
	}
	res, err := c.Get("https://example.org/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if r.Panics() != 1 {
		t.Errorf("%d panics counted", r.Panics())
	}
	if ev := r.events.last(t, 1); ev.Status != 500 {
		t.Errorf("status %d", ev.Status)
	}
}

// The answer is the backend's: no guessed type, no doubled fields.
func TestAnswerHeader(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h["Content-Type"] = nil
		h["Date"] = []string{"Tue, 24 Nov 2026 12:00:00 GMT"}
		h["Set-Cookie"] = []string{"a=1", "b=2"}
		h.Set("Connection", "X-Hop")
		h.Set("Keep-Alive", "timeout=5")
		w.WriteHeader(201)
		io.WriteString(w, "<html>")
	}))
	for _, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		io.Copy(io.Discard, res.Body)
		res.Body.Close()
		if res.StatusCode != 201 || res.Header["Content-Type"] != nil || len(res.Header["Date"]) != 1 ||
			res.Header.Get("Date") != "Tue, 24 Nov 2026 12:00:00 GMT" || fmt.Sprint(res.Header["Set-Cookie"]) != "[a=1 b=2]" ||
			res.Header["Keep-Alive"] != nil || res.ContentLength != 6 {
			t.Errorf("%s %v %d", res.Status, res.Header, res.ContentLength)
		}
		res, err = r.client(h2).Head("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 201 {
			t.Error(res.Status)
		}
	}
}
