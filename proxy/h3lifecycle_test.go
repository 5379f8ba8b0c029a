package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"net/http"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/quic-go/quic-go"

	"edge"
)

// What is for validating CAs over TCP has no answer over QUIC, and reaches no site.
func TestHandshakesHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	r.answers.alpn = map[string]*tls.Certificate{"example.org": r.certs.leaf("example.org")}
	r.answers.sni = map[string]*tls.Certificate{"a.acme.invalid": r.certs.leaf("a.acme.invalid")}
	const unrecognizedName = quic.TransportErrorCode(0x100 + 112)
	for _, tc := range []struct{ name, proto, result string }{
		{"example.org", edge.ALPNProto, "no_certificate"},
		{"a.acme.invalid", "h3", "no_certificate"},
		{"example.org", "h2", "no_certificate"},
		{"other.test", "h3", "no_certificate"},
	} {
		before := len(r.certs.names())
		_, err := r.tryDial3(r.clientTLS3(tc.name, tc.proto), nil)
		if te, ok := errors.AsType[*quic.TransportError](err); !ok || te.ErrorCode != unrecognizedName && tc.proto == "h3" {
			t.Errorf("%v: %v", tc, err)
		}
		if asked := len(r.certs.names()) - before; asked > 0 && tc.name != "other.test" {
			t.Errorf("%v: a certificate was asked for", tc)
		}
		eventually(t, "the handshake is reported", func() bool {
			r.events.mu.Lock()
			defer r.events.mu.Unlock()
			n := len(r.events.handshakes)
			return n > 0 && r.events.handshakes[n-1].SNI == tc.name
		})
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	for _, hs := range r.events.handshakes {
		if hs.Result == "ok" {
			t.Errorf("%+v", hs)
		}
	}
	if len(r.events.challenges) > 0 {
		t.Errorf("challenges %+v", r.events.challenges)
	}
}

// A certificate that does not come in time ends the handshake.
func TestHandshakeDeadlineHTTP3(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{Handshake: 200 * time.Millisecond}), func(_ *Options, s *Settings) {
		s.Certificates = lateCert{}
	})
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if q, err := quic.DialAddr(ctx, r.https, r.clientTLS3("example.org"), nil); err == nil {
		q.CloseWithError(0, "")
		t.Error("the handshake came to an end")
	}
	eventually(t, "the handshake is reported", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		return len(r.events.handshakes) == 1 && r.events.handshakes[0].Result == "timeout" && r.events.open["https h3"] == 0
	})
	if n := r.quic.shaking.Load(); n != 0 {
		t.Errorf("%d handshakes are counted", n)
	}
}

// lateCert has no certificate before the handshake's time is over.
type lateCert struct{}

func (lateCert) Certificate(_ string, h *tls.ClientHelloInfo) (*tls.Certificate, error) {
	<-h.Context().Done()
	return nil, h.Context().Err()
}

// A reload with other limits keeps connections; HTTP/3 that is switched off says goodbye.
func TestReloadHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	h := r.h3()
	get := fields3(h2get...)
	for n := range 5 {
		set := r.set
		set.Limits.Headers = 50 + n
		if err := r.Apply(set); err != nil {
			t.Fatal(err)
		}
		if got, _ := answer3(h.stream(true, get)); got != "200" {
			t.Fatalf("after a reload: %q", got)
		}
	}
	set := r.set
	set.HTTP3 = false
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	select {
	case <-h.q.Context().Done():
	case <-time.After(5 * time.Second):
		t.Fatal("the connection stays open")
	}
	r.set.HTTP3 = true
	eventually(t, "the port is bound again", func() bool { return r.Apply(r.set) == nil })
	if got, _ := answer3(r.h3().stream(true, get)); got != "200" {
		t.Errorf("%q", got)
	}
}

// Clients are sent away with GOAWAY; what is in progress comes to its end, and what
// comes later is rejected in a way that it can be sent again.
func TestShutdownHTTP3(t *testing.T) {
	inside, release := make(chan bool), make(chan bool)
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		inside <- true
		<-release
		io.WriteString(w, strings.Repeat("late", 10000))
	}))
	h := r.h3()
	control, err := h.q.AcceptUniStream(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	control.SetReadDeadline(time.Now().Add(5 * time.Second))
	s := h.stream(true, fields3(h2get...))
	<-inside
	result := make(chan error)
	go func() { result <- r.Shutdown(context.Background()) }()
	seen := []byte{}
	for b := make([]byte, 100); !strings.HasSuffix(string(seen), string([]byte{h3GoAway, 1, 4})); {
		n, err := control.Read(b)
		if seen = append(seen, b[:n]...); err != nil {
			t.Fatalf("no GOAWAY: %x, %v", seen, err)
		}
	}
	if got, _ := answer3(h.stream(true, fields3(h2get...))); got != "RST 0x10b" {
		t.Errorf("a request after GOAWAY: %q", got)
	}
	close(release)
	if got, body := answer3(s); got != "200" || len(body) != 40000 {
		t.Errorf("the request in progress: %q, %d bytes", got, len(body))
	}
	if err := <-result; err != nil {
		t.Error(err)
	}
	<-h.q.Context().Done()
	if ae, ok := errors.AsType[*quic.ApplicationError](context.Cause(h.q.Context())); !ok || ae.ErrorCode != h3NoError {
		t.Errorf("%v", context.Cause(h.q.Context()))
	}
}

func TestAltSvc(t *testing.T) {
	r := rigWith(t, hello)
	for _, h2 := range []bool{false, true} {
		for url, want := range map[string]string{
			"https://example.org/":      `h3=":443"; ma=86400`,
			"https://example.org:8443/": `h3=":8443"; ma=86400`,
			"http://example.org/":       "",
		} {
			res, err := r.client(h2).Get(url)
			if err != nil {
				t.Fatal(err)
			}
			res.Body.Close()
			if got := res.Header.Get("Alt-Svc"); got != want {
				t.Errorf("%s: %q, want %q", url, got, want)
			}
		}
	}
	res, err := r.client3().Get("https://example.org/")
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.Header.Get("Alt-Svc") != "" {
		t.Error("Alt-Svc over HTTP/3")
	}
}

// Sessions are resumed, under the name that they were made for.
func TestResumptionHTTP3(t *testing.T) {
	r := rigWith(t, hello)
	cfg := r.clientTLS3("example.org")
	cfg.ClientSessionCache = oneKey{tls.NewLRUClientSessionCache(4)}
	for n, want := range []bool{false, true} {
		q, err := r.tryDial3(cfg, nil)
		if err != nil {
			t.Fatal(err)
		}
		if got, _ := answer3((&h3client{t, q}).stream(true, fields3(h2get...))); got != "200" {
			t.Fatal(got)
		}
		if cs := q.ConnectionState(); cs.TLS.DidResume != want || cs.Used0RTT {
			t.Errorf("connection %d: resumed %v, 0-RTT %v", n, cs.TLS.DidResume, cs.Used0RTT)
		}
	}
	cfg.ServerName = "other.example.org"
	q, err := r.tryDial3(cfg, nil)
	if err != nil {
		t.Fatal(err)
	}
	if q.ConnectionState().TLS.DidResume {
		t.Error("a session was resumed under another name")
	}
}

// A UDP port that somebody else has is an error that says what to do, and nothing changes.
func TestUDPPortInUse(t *testing.T) {
	l := mustListen(t)
	address := l.Addr().String()
	l.Close()
	pc, err := net.ListenPacket("udp", address)
	if err != nil {
		t.Fatal(err)
	}
	defer pc.Close()
	r := rigWith(t, hello)
	set := r.set
	set.HTTPS = []string{address}
	err = r.Apply(set)
	if err == nil || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), "http3: false") {
		t.Fatal(err)
	}
	if c, err := net.Dial("tcp", address); err == nil {
		c.Close()
		t.Error("the TCP port was left bound")
	}
	if got, _ := answer3(r.h3().stream(true, fields3(h2get...))); got != "200" {
		t.Errorf("the old listeners: %q", got)
	}
	set.HTTP3 = false
	if err := r.Apply(set); err != nil {
		t.Errorf("without HTTP/3: %v", err)
	}
}
