package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/proxy/proxyproto"
)

// heard is a connection on which a client has said everything.
type heard struct {
	net.Conn
	in io.Reader
}

func (h *heard) Read(p []byte) (int, error)       { return h.in.Read(p) }
func (h *heard) Write(p []byte) (int, error)      { return len(p), nil }
func (h *heard) Close() error                     { return nil }
func (h *heard) SetWriteDeadline(time.Time) error { return nil }

// behind is a TLS server behind edge, with a certificate of its own. It answers a
// line with the line, its name and what it was told in a PROXY header.
func behind(t testing.TB, name string, certs *certs, withHeader bool) string {
	t.Helper()
	l := mustListen(t)
	var wg sync.WaitGroup
	t.Cleanup(func() { l.Close(); wg.Wait() })
	wg.Go(func() {
		for {
			nc, err := l.Accept()
			if err != nil {
				return
			}
			wg.Go(func() {
				defer nc.Close()
				nc.SetDeadline(time.Now().Add(10 * time.Second))
				told := ""
				early := []byte(nil)
				if withHeader {
					h, rest, err := readHeader(nc, 5*time.Second)
					if err != nil {
						return
					}
					told, early = h.Source.Addr().String(), rest
					nc.SetDeadline(time.Now().Add(10 * time.Second))
				}
				c := tls.Server(&replayed{Conn: nc, early: early}, &tls.Config{Certificates: []tls.Certificate{*certs.leaf(name)}})
				defer c.Close()
				b, err := io.ReadAll(c) // until the client's half-close
				if err == nil {
					fmt.Fprintf(c, "%s|%s|%s", name, told, b)
				}
			})
		}
	})
	return l.Addr().String()
}

// say sends words to a server through edge, half-closes and returns the answer.
func say(t testing.TB, nc net.Conn, cfg *tls.Config, words string) (string, error) {
	t.Helper()
	defer nc.Close()
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	c := tls.Client(nc, cfg)
	if _, err := io.WriteString(c, words); err != nil {
		return "", err
	}
	if err := c.CloseWrite(); err != nil {
		return "", err
	}
	b, err := io.ReadAll(c)
	return string(b), err
}

func dialTo(t testing.TB, address string) net.Conn {
	t.Helper()
	nc, err := net.Dial("tcp", address)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { nc.Close() })
	return nc
}

func TestPassthrough(t *testing.T) {
	var there *certs
	r := rigWith(t, hello, func(_ *Options, s *Settings) {
		there = s.Certificates.(*certs)
		plain, told := behind(t, "pass.test", there, false), behind(t, "x.wild.test", there, true)
		dead := mustListen(t)
		dead.Close()
		s.Passthrough = map[string]*Forward{
			"pass.test":   {Servers: []string{plain}},
			"*.wild.test": {Servers: []string{dead.Addr().String(), told}, ProxyProtocol: 2},
		}
	}, loopbackAlso)
	header := string(proxyproto.Append(nil, 1, announcedClient, announcedFrontend))
	for _, tc := range []struct{ name, header, want string }{
		{"pass.test", "", "pass.test||hi"},
		{"PASS.test", "", "pass.test||hi"},
		{"x.wild.test", "", "x.wild.test|127.0.0.1|hi"},
		{"x.wild.test", header, "x.wild.test|192.0.2.77|hi"},
	} {
		var d net.Dialer
		if tc.header != "" {
			d.LocalAddr = &net.TCPAddr{IP: net.IPv4(127, 0, 0, 9)}
		}
		nc, err := d.Dial("tcp", r.https)
		if err != nil {
			t.Fatal(err)
		}
		io.WriteString(nc, tc.header)
		if got, err := say(t, nc, &tls.Config{ServerName: tc.name, RootCAs: r.roots}, "hi"); got != tc.want || err != nil {
			t.Errorf("%s: %q %v, want %q", tc.name, got, err, tc.want)
		}
	}
	// Everything else is as if nobody had looked.
	for _, h2 := range []bool{false, true} {
		if status, body := r.get(h2, "https://www.example.org/"); status != 200 || body != "hello" {
			t.Errorf("another name: %d %q", status, body)
		}
	}
	for _, name := range []string{"a.x.wild.test", "wild.test"} {
		_, err := say(t, dialTo(t, r.https), &tls.Config{ServerName: name, RootCAs: r.roots}, "hi")
		if err == nil || !strings.Contains(err.Error(), "unrecognized name") {
			t.Errorf("%s: %v", name, err)
		}
	}
	nc := dialTo(t, r.https)
	io.WriteString(nc, get+"\r\n")
	if b, _ := io.ReadAll(nc); !bytes.Contains(b, []byte("this port speaks HTTPS")) {
		t.Errorf("plain HTTP: %q", b)
	}
	long := withExtension(clientHello(&tls.Config{ServerName: "pass.test"}), 21, make([]byte, 16000))
	long = inRecords(append(long[recordHeader:], make([]byte, 5000)...), 8<<10)
	long[6], long[7], long[8] = 0, 0x50, 0
	nc = dialTo(t, r.https)
	nc.Write(long)
	if b, _ := io.ReadAll(nc); !bytes.Equal(b, []byte{21, 3, 3, 0, 2, 2, alertDecodeError}) {
		t.Errorf("a hello of 20 KiB: %x", b)
	}
	eventually(t, "all are counted out", func() bool {
		r.events.mu.Lock()
		defer r.events.mu.Unlock()
		n, ok := r.events.open["https passthrough"]
		return ok && n == 0 && r.events.open["https "] == 0
	})
}

// loopbackAlso asks for PROXY headers of 127.0.0.9 alone.
func loopbackAlso(_ *Options, s *Settings) {
	s.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.9/32")}
}

// Names of challenges are edge's, whatever is passed through.
func TestChallengesAreNotPassedThrough(t *testing.T) {
	other := "0123.4567.acme.invalid"
	r := rigWith(t, hello, func(o *Options, s *Settings) {
		certs := s.Certificates.(*certs)
		o.Challenges.(*answers).alpn = map[string]*tls.Certificate{"known.test": certs.leaf("known.test")}
		o.Challenges.(*answers).sni = map[string]*tls.Certificate{other: certs.leaf(other)}
		// A server that answers acme-tls/1 itself, as an ACME client does.
		l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{*certs.leaf("behind.test")}, NextProtos: []string{edge.ALPNProto}})
		if err != nil {
			t.Fatal(err)
		}
		var wg sync.WaitGroup
		t.Cleanup(func() { l.Close(); wg.Wait() })
		wg.Go(func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				wg.Go(func() { c.(*tls.Conn).Handshake(); io.Copy(io.Discard, c); c.Close() })
			}
		})
		f := &Forward{Servers: []string{l.Addr().String()}}
		s.Passthrough = map[string]*Forward{"known.test": f, "unknown.test": f, "*.acme.invalid": f, "*": f}
		s.TCP = []TCPListener{{Address: "127.0.0.1:0", BySNI: s.Passthrough}}
	})
	var addresses []string
	for _, a := range r.Addrs() {
		if a.Listener != "http" {
			addresses = append(addresses, a.Addr.String())
		}
	}
	for _, address := range addresses {
		for name, tc := range map[string]struct {
			protos []string
			want   string
		}{
			"known.test":            {[]string{edge.ALPNProto}, "known.test"},
			"unknown.test":          {[]string{edge.ALPNProto}, "behind.test"},
			other:                   {nil, other},
			"nobody.x.acme.invalid": {nil, ""},
		} {
			nc := dialTo(t, address)
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			c := tls.Client(nc, &tls.Config{ServerName: name, NextProtos: tc.protos, InsecureSkipVerify: true})
			err := c.Handshake()
			got := ""
			if err == nil {
				got = c.ConnectionState().PeerCertificates[0].DNSNames[0]
			}
			if got != tc.want {
				t.Errorf("%s at %s: certificate of %q (%v), want that of %q", name, address, got, err, tc.want)
			}
			nc.Close()
		}
	}
}

// A reload that brings the first name or takes the last away leaves connections alone.
func TestPassthroughComesAndGoes(t *testing.T) {
	r := rigWith(t, hello)
	address := behind(t, "pass.test", r.certs, false)
	set := r.set
	set.Passthrough = map[string]*Forward{"pass.test": {Servers: []string{address}}}
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	cfg := &tls.Config{ServerName: "pass.test", RootCAs: r.roots}
	kept := tls.Client(dialTo(t, r.https), cfg)
	kept.SetDeadline(time.Now().Add(10 * time.Second))
	if err := kept.Handshake(); err != nil {
		t.Fatal(err)
	}
	if err := r.Apply(r.set); err != nil {
		t.Fatal(err)
	}
	if _, err := say(t, dialTo(t, r.https), cfg, "hi"); err == nil {
		t.Error("still passed through")
	}
	io.WriteString(kept, "hi")
	kept.CloseWrite()
	if b, err := io.ReadAll(kept); string(b) != "pass.test||hi" {
		t.Errorf("%q %v", b, err)
	}
}

// A hello that does not come is not waited for, and no connection is kept for it.
func TestSlowHelloToPassThrough(t *testing.T) {
	r := rigWith(t, hello, limited(Limits{Handshake: 100 * time.Millisecond}), func(_ *Options, s *Settings) {
		s.Passthrough = map[string]*Forward{"pass.test": {Servers: []string{"127.0.0.1:1"}}}
	})
	nc := dialTo(t, r.https)
	nc.SetDeadline(time.Now().Add(10 * time.Second))
	nc.Write(clientHello(&tls.Config{ServerName: "pass.test"})[:100])
	if _, err := nc.Read(make([]byte, 1)); err == nil || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("%v", err)
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if len(r.events.handshakes) != 1 || r.events.handshakes[0].Result != "timeout" {
		t.Errorf("%+v", r.events.handshakes)
	}
}
