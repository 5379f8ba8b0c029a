package proxy

import (
	"bufio"
	"crypto/tls"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"edge"
)

// Beyond the limit of connections, challenges are answered and nothing else.
func TestChallengesBeyondTheConnectionLimit(t *testing.T) {
	zName := "0123.4567.acme.invalid"
	r := rigWith(t, hello, limited(Limits{Connections: 2}), func(o *Options, s *Settings) {
		a := o.Challenges.(*answers)
		a.tokens = map[string]string{"example.org tok": "tok.key"}
		certs := s.Certificates.(*certs)
		a.alpn = map[string]*tls.Certificate{"example.org": certs.leaf("example.org")}
		a.sni = map[string]*tls.Certificate{zName: certs.leaf(zName)}
	})
	for range 2 {
		c := r.dial()
		io.WriteString(c, get+"\r\n")
		readResponse(t, bufio.NewReader(c), "GET")
	}
	// Many that say nothing do not keep a CA out.
	for range 2 * spareConns {
		r.dial()
	}
	eventually(t, "they are there", func() bool { return len(r.openConns()) == 2+spareConns })

	got := r.raw("GET /.well-known/acme-challenge/tok HTTP/1.1\r\nHost: example.org\r\n\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 200 ") || !strings.HasSuffix(got, "tok.key") || !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("HTTP-01: %q", got)
	}
	for name, protos := range map[string][]string{"example.org": {edge.ALPNProto}, zName: nil} {
		nc := dialTo(t, r.https)
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		c := tls.Client(nc, &tls.Config{ServerName: name, RootCAs: r.roots, NextProtos: protos})
		if err := c.Handshake(); err != nil {
			t.Errorf("validation of %s: %v", name, err)
		}
	}
	got = r.raw(get + "\r\n")
	if !strings.HasPrefix(got, "HTTP/1.1 503 ") || !strings.Contains(got, "Retry-After: 1\r\n") || !strings.Contains(got, "Connection: close\r\n") {
		t.Errorf("a request: %q", got)
	}
	nc := dialTo(t, r.https)
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	if err := tls.Client(nc, &tls.Config{ServerName: "example.org", RootCAs: r.roots}).Handshake(); err == nil || !strings.Contains(err.Error(), "internal error") {
		t.Errorf("a handshake: %v", err)
	}
	if names := r.certs.names(); len(names) > 0 {
		t.Errorf("a certificate was asked for: %q", names)
	}
	r.events.mu.Lock()
	last := r.events.requests[len(r.events.requests)-1]
	if last.Limited != "connections" || last.Status != 503 {
		t.Errorf("reported %q %d", last.Limited, last.Status)
	}
	refused := strings.Join(r.events.refused, " ")
	r.events.mu.Unlock()
	if refused != "connections" {
		t.Errorf("refusals %q", refused)
	}
}

// Connections that a limit keeps out do not stay, and those within it have their place back.
func TestConnectionLimit(t *testing.T) {
	server := echoing(t, mustListen(t), "")
	r, address := tcpRig(t, TCPListener{To: &Forward{Servers: []string{server}}}, limited(Limits{Connections: 1}))
	a := r.dial()
	io.WriteString(a, get+"\r\n")
	readResponse(t, bufio.NewReader(a), "GET")
	c := dialTo(t, address) // a forwarder has no challenges
	c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := c.Read(make([]byte, 1)); err == nil {
		t.Error("forwarded beyond the limit")
	}
	if got := r.raw(get + "\r\n"); !strings.HasPrefix(got, "HTTP/1.1 503 ") {
		t.Errorf("%q", got)
	}
	a.Close()
	eventually(t, "a place is free", func() bool {
		return strings.HasPrefix(r.raw(get+"Connection: close\r\n\r\n"), "HTTP/1.1 200 ")
	})
	eventually(t, "all is forgotten", func() bool {
		r.connMu.Lock()
		defer r.connMu.Unlock()
		return len(r.conns) == 0 && len(r.spares) == 0 && len(r.perAddress) == 0
	})
}

// Beyond the limit of requests there are 503s, on every protocol, and challenges are answered.
func TestRequestLimit(t *testing.T) {
	begun, goOn := make(chan bool, 10), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		begun <- true
		<-goOn
		io.WriteString(w, "done")
	}), limited(Limits{Requests: 2}), func(o *Options, _ *Settings) {
		o.Challenges.(*answers).tokens = map[string]string{"example.org tok": "tok.key"}
	})
	got := make(chan int, 2)
	for _, h2 := range []bool{false, true} {
		go func() {
			status, _ := r.get(h2, "https://example.org/")
			got <- status
		}()
		<-begun
	}
	for i, h2 := range []bool{false, true} {
		res, err := r.client(h2).Get("https://example.org/")
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 503 || res.Header.Get("Retry-After") != "1" || res.ProtoMajor != i+1 {
			t.Errorf("%s: %s %v", res.Proto, res.Status, res.Header)
		}
		if e := r.events.last(t, i+1); e.Limited != "load" || e.Decision != "refused" {
			t.Errorf("reported %q %q", e.Limited, e.Decision)
		}
	}
	if status, body := r.get(false, "http://example.org/.well-known/acme-challenge/tok"); status != 200 || body != "tok.key" {
		t.Errorf("a challenge: %d %q", status, body)
	}
	close(goOn)
	for range 2 {
		if status := <-got; status != 200 {
			t.Errorf("a request within the limit: %d", status)
		}
	}
	eventually(t, "none is counted any more", func() bool { return r.load.Load() == 0 })
	if status, body := r.get(true, "https://example.org/"); status != 200 || body != "done" {
		t.Errorf("afterwards: %d %q", status, body)
	}
}
