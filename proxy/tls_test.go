package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge"
)

var hello = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, "hello") })

// shake does a handshake and closes the connection when it succeeded.
func (r *rig) shake(cfg *tls.Config) (tls.ConnectionState, error) {
	nc, err := net.Dial("tcp", r.https)
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	if cfg.RootCAs == nil {
		cfg.RootCAs = r.roots
	}
	c := tls.Client(nc, cfg)
	defer c.Close()
	err = c.Handshake()
	if err == nil && cfg.ClientSessionCache != nil {
		// TLS 1.3 tickets come after the handshake.
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\n\r\n", cfg.ServerName)
		_, err = c.Read(make([]byte, 1))
	}
	return c.ConnectionState(), err
}

// recordingConn keeps what was read from the wire.
type recordingConn struct {
	net.Conn
	got bytes.Buffer
}

func (c *recordingConn) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p)
	c.got.Write(p[:n])
	return n, err
}

// firstRecord returns the first bytes that the server sends to a ClientHello.
func (r *rig) firstRecord(cfg *tls.Config) []byte {
	nc, err := net.Dial("tcp", r.https)
	if err != nil {
		r.t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	rec := &recordingConn{Conn: nc}
	tls.Client(rec, cfg).Handshake()
	return rec.got.Bytes()
}

func TestUnknownNameGetsUnrecognizedName(t *testing.T) {
	r := rigWith(t, hello)
	// Record: type alert, version, length 2, fatal, unrecognized_name.
	want := []byte{21, 3, 3, 0, 2, 2, 112}
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		for _, name := range []string{"unknown.example", "under_score.example.org", "x.acme.invalid", "acme.invalid", "X.ACME.Invalid"} {
			got := r.firstRecord(&tls.Config{ServerName: name, MinVersion: version, MaxVersion: version})
			if !bytes.Equal(got, want) {
				t.Errorf("%s with %s: % x, want % x", name, tls.VersionName(version), got, want)
			}
		}
	}
	for _, name := range r.certs.names() {
		if name != "unknown.example" {
			t.Errorf("the CertSource was asked for %q", name)
		}
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	for _, ev := range r.events.handshakes {
		if ev.Result != "no_certificate" {
			t.Errorf("%s: result %q (%v)", ev.SNI, ev.Result, ev.Err)
		}
	}
}

func TestFailingCertSourceGetsInternalError(t *testing.T) {
	r := rigWith(t, hello)
	r.certs.err = errors.New("disk on fire")
	if got, want := r.firstRecord(&tls.Config{ServerName: "example.org"}), []byte{21, 3, 3, 0, 2, 2, 80}; !bytes.Equal(got, want) {
		t.Errorf("% x, want % x", got, want)
	}
	eventually(t, "the handshake was reported", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return len(r.events.handshakes) == 1 && errors.Is(r.events.handshakes[0].Err, r.certs.err)
	})
}

func TestVersionsAndKeyExchange(t *testing.T) {
	r := rigWith(t, hello, func(_ *Options, s *Settings) {
		s.MinVersion = map[string]uint16{"*.example.org": tls.VersionTLS13}
	})
	if _, err := r.shake(&tls.Config{ServerName: "example.org", MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11}); err == nil {
		t.Error("TLS 1.1 was accepted")
	}
	if _, err := r.shake(&tls.Config{ServerName: "example.org", MaxVersion: tls.VersionTLS12}); err != nil {
		t.Error(err)
	}
	if _, err := r.shake(&tls.Config{ServerName: "new.example.org", MaxVersion: tls.VersionTLS12}); err == nil {
		t.Error("TLS 1.2 was accepted where 1.3 is the minimum")
	}
	cs, err := r.shake(&tls.Config{ServerName: "new.example.org", NextProtos: []string{"http/1.1", "h2"}})
	if err != nil || cs.CurveID != tls.X25519MLKEM768 || cs.NegotiatedProtocol != "h2" {
		t.Errorf("%v: curve %v, protocol %q", err, cs.CurveID, cs.NegotiatedProtocol)
	}
}

func TestTLSALPN01(t *testing.T) {
	var cert *tls.Certificate
	r := rigWith(t, hello)
	cert = r.certs.leaf("challenge.example")
	r.answers.alpn = map[string]*tls.Certificate{"challenge.example": cert}
	nc, err := tls.Dial("tcp", r.https, &tls.Config{ServerName: "challenge.example", NextProtos: []string{edge.ALPNProto}, RootCAs: r.roots})
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	cs := nc.ConnectionState()
	if cs.NegotiatedProtocol != edge.ALPNProto || !bytes.Equal(cs.PeerCertificates[0].Raw, cert.Certificate[0]) {
		t.Errorf("protocol %q, wrong certificate", cs.NegotiatedProtocol)
	}
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Read(make([]byte, 1)); err != io.EOF {
		t.Errorf("after the handshake: %v, want an orderly end", err)
	}
	// Unknown names do not fall back to a site's certificate, and a list with
	// another protocol in it is no validation.
	if _, err := r.shake(&tls.Config{ServerName: "example.org", NextProtos: []string{edge.ALPNProto}}); err == nil {
		t.Error("a site answered a validation")
	}
	cs, err = r.shake(&tls.Config{ServerName: "example.org", NextProtos: []string{edge.ALPNProto, "http/1.1"}})
	if err != nil || cs.NegotiatedProtocol != "http/1.1" {
		t.Errorf("mixed list: %q %v", cs.NegotiatedProtocol, err)
	}
	if n := r.certs.names(); len(n) != 1 || n[0] != "example.org" {
		t.Errorf("the CertSource was asked for %q", n)
	}
}

func TestTLSSNI01(t *testing.T) {
	r := rigWith(t, hello)
	name := edge.SNI01Name("token.thumb")
	cert := r.certs.leaf(name)
	r.answers.sni = map[string]*tls.Certificate{name: cert}
	for _, sni := range []string{name, strings.ToUpper(name)} {
		cs, err := r.shake(&tls.Config{ServerName: sni, NextProtos: []string{"h2", "http/1.1"}})
		if err != nil || !bytes.Equal(cs.PeerCertificates[0].Raw, cert.Certificate[0]) {
			t.Errorf("%s: %v", sni, err)
		}
	}
	if n := r.certs.names(); len(n) != 0 {
		t.Errorf("the CertSource was asked for %q", n)
	}
}

func TestResumption(t *testing.T) {
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		t.Run(tls.VersionName(version), func(t *testing.T) {
			var clock atomic.Int64
			clock.Store(time.Now().Unix())
			r := rigWith(t, hello, func(o *Options, _ *Settings) {
				o.Now = func() time.Time { return time.Unix(clock.Load(), 0) }
			})
			cache := tls.NewLRUClientSessionCache(8)
			shake := func(name string) bool {
				t.Helper()
				// One cache key for all names, as a client with ill intent would have.
				cs, err := r.shake(&tls.Config{ServerName: name, MaxVersion: version, InsecureSkipVerify: true, ClientSessionCache: oneKey{cache}})
				if err != nil {
					t.Fatal(err)
				}
				return cs.DidResume
			}
			if shake("a.example.org") {
				t.Error("resumed from nothing")
			}
			if !shake("a.example.org") {
				t.Error("a second handshake did not resume")
			}
			asked := len(r.certs.names())
			if shake("b.example.org") {
				t.Error("resumed a session of another site")
			}
			if len(r.certs.names()) != asked+1 {
				t.Error("the CertSource was not asked")
			}
			// Apply keeps the keys; time changes them.
			if err := r.Apply(r.set); err != nil {
				t.Fatal(err)
			}
			clock.Add(int64(2 * ticketLife / time.Second))
			if !shake("b.example.org") {
				t.Error("a ticket of two rotations ago did not resume")
			}
			clock.Add(int64(3 * ticketLife / time.Second))
			if shake("b.example.org") {
				t.Error("a ticket resumed after its key's time")
			}
		})
	}
}

type oneKey struct{ tls.ClientSessionCache }

func (c oneKey) Get(string) (*tls.ClientSessionState, bool) { return c.ClientSessionCache.Get("") }
func (c oneKey) Put(_ string, s *tls.ClientSessionState)    { c.ClientSessionCache.Put("", s) }

func TestTicketRing(t *testing.T) {
	var r ticketRing
	now := time.Unix(1e9, 0)
	for i := range 5 {
		if !r.rotate(now) || r.rotate(now.Add(ticketLife-1)) {
			t.Fatal("rotation at the wrong time")
		}
		if len(r.keys) != min(i+1, ticketKeys) {
			t.Fatalf("%d keys after %d rotations", len(r.keys), i+1)
		}
		now = now.Add(ticketLife)
	}
	if r.rotate(now.Add(100 * ticketLife)); len(r.keys) != 1 {
		t.Errorf("%d keys after a long pause: old ones must go", len(r.keys))
	}
}

func TestHandshakeDeadline(t *testing.T) {
	r := rigWith(t, hello, func(_ *Options, s *Settings) { s.Limits.Handshake = 50 * time.Millisecond })
	nc, err := net.Dial("tcp", r.https)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.Write([]byte{22, 3, 1})
	nc.SetReadDeadline(time.Now().Add(5 * time.Second))
	if _, err := nc.Read(make([]byte, 1)); errors.Is(err, io.EOF) == false {
		t.Errorf("read: %v, want the end of the connection", err)
	}
	eventually(t, "the timeout was reported", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return len(r.events.handshakes) == 1 && r.events.handshakes[0].Result == "timeout"
	})
}

func TestPlainHTTPOnTheHTTPSPort(t *testing.T) {
	r := rigWith(t, hello)
	nc, err := net.Dial("tcp", r.https)
	if err != nil {
		t.Fatal(err)
	}
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(5 * time.Second))
	io.WriteString(nc, get+"\r\n")
	b, err := io.ReadAll(nc)
	if err != nil || !strings.HasPrefix(string(b), "HTTP/1.1 400 ") || !strings.Contains(string(b), "https://") {
		t.Errorf("%q %v", b, err)
	}
}

// FuzzClientHello feeds arbitrary bytes to a server handshake: it never
// panics, and no name under acme.invalid ever reaches the CertSource.
func FuzzClientHello(f *testing.F) {
	for _, cfg := range []*tls.Config{
		{ServerName: "example.org"},
		{ServerName: "x.acme.invalid"},
		{ServerName: "ACME.INVALID"},
		{ServerName: "example.org", NextProtos: []string{edge.ALPNProto}},
		{ServerName: "example.org", MaxVersion: tls.VersionTLS12, NextProtos: []string{"h2"}},
	} {
		f.Add(clientHello(cfg))
	}
	f.Add([]byte("GET / HTTP/1.1\r\n\r\n"))
	certs := newCerts()
	leaf := certs.leaf("example.org")
	s := New(Options{Challenges: &answers{}})
	f.Fuzz(func(t *testing.T, in []byte) {
		st := &state{set: &Settings{Certificates: certFunc(func(name string) (*tls.Certificate, error) {
			if clean, ok := edge.CleanName(name); name != "" && (!ok || clean != name || edge.IsACMEInvalid(name)) {
				t.Fatalf("the CertSource was asked for %q", name)
			}
			return leaf, nil
		})}, engine: &engine{limits: Limits{}.withDefaults(), done: make(chan struct{})}}
		close(st.engine.done) // a finished handshake ends there
		client, server := net.Pipe()
		go func() {
			client.Write(in)
			client.Close()
		}()
		go io.Copy(io.Discard, client)
		c := &conn{Conn: server, srv: s, listener: "https", tls: true, stall: time.Second, opened: time.Now()}
		s.handshake(c, st)
		c.Close()
	})
}

type certFunc func(name string) (*tls.Certificate, error)

func (f certFunc) Certificate(name string, _ *tls.ClientHelloInfo) (*tls.Certificate, error) {
	return f(name)
}

// clientHello is the first flight of a client.
func clientHello(cfg *tls.Config) []byte {
	client, server := net.Pipe()
	defer server.Close()
	go tls.Client(client, cfg).Handshake()
	b := make([]byte, 16<<10)
	n, _ := server.Read(b)
	return b[:n]
}
