package upstream

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"io"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"path/filepath"
	"testing"
	"time"

	"edge/proxy/proxyproto"
)

func TestUnixSocket(t *testing.T) {
	path := filepath.Join(t.TempDir(), "app.sock")
	l, err := net.Listen("unix", path)
	if err != nil {
		t.Fatal(err)
	}
	srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.WriteString(w, r.Host) })}
	go srv.Serve(l)
	t.Cleanup(func() { srv.Close() })
	p := New(Options{Scheme: "http", Address: "unix:" + path})
	t.Cleanup(p.Close)
	for range 3 {
		res, err := p.RoundTrip(context.Background(), &Request{Method: "GET", Target: "/", Host: "app.test", Replayable: true})
		if err != nil {
			t.Fatal(err)
		}
		if b, err := io.ReadAll(res.Body); err != nil || string(b) != "app.test" {
			t.Errorf("%q %v", b, err)
		}
		res.Body.Close()
	}
}

// The certificate of ours is shown to a server that asks for it, on HTTP/1.1 and HTTP/2.
func TestIdentity(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "edge"}, NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
	if err != nil {
		t.Fatal(err)
	}
	for _, h2 := range []bool{false, true} {
		srv := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			io.WriteString(w, r.TLS.PeerCertificates[0].Subject.CommonName+r.Proto)
		}))
		srv.TLS = &tls.Config{ClientAuth: tls.RequireAnyClientCert}
		srv.EnableHTTP2 = h2
		srv.StartTLS()
		t.Cleanup(srv.Close)
		roots := x509.NewCertPool()
		roots.AddCert(srv.Certificate())
		p := New(Options{Scheme: "https", Address: srv.Listener.Addr().String(), ServerName: "example.com", Roots: roots,
			Identity: &tls.Certificate{Certificate: [][]byte{der}, PrivateKey: key}})
		t.Cleanup(p.Close)
		res, err := p.RoundTrip(context.Background(), &Request{Method: "GET", Target: "/", Host: "x"})
		if err != nil {
			t.Fatal(err)
		}
		want := map[bool]string{false: "edgeHTTP/1.1", true: "edgeHTTP/2.0"}[h2]
		if b, _ := io.ReadAll(res.Body); string(b) != want {
			t.Errorf("%q, want %q", b, want)
		}
		res.Body.Close()
	}
}

// A connection with a PROXY header belongs to its client: nobody else's request
// goes over it.
func TestProxyProtocolOut(t *testing.T) {
	for version := 1; version <= 2; version++ {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		seen := make(chan netip.AddrPort, 10)
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					br := bufio.NewReader(c)
					var head []byte
					for {
						b, err := br.ReadByte()
						if err != nil {
							return
						}
						head = append(head, b)
						if h, n, err := proxyproto.Parse(head); err == nil && n == len(head) {
							seen <- h.Source
							break
						}
					}
					for {
						if _, err := http.ReadRequest(br); err != nil {
							return
						}
						io.WriteString(c, "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
					}
				}()
			}
		}()
		p := New(Options{Scheme: "http", Address: l.Addr().String(), ProxyProtocol: version})
		t.Cleanup(p.Close)
		for _, client := range []string{"192.0.2.1:1000", "192.0.2.2:2000", "192.0.2.2:2000"} {
			res, err := p.RoundTrip(context.Background(), &Request{Method: "GET", Target: "/", Host: "x", Replayable: true,
				Client: netip.MustParseAddrPort(client), Local: netip.MustParseAddrPort("198.51.100.1:443")})
			if err != nil {
				t.Fatal(err)
			}
			io.Copy(io.Discard, res.Body)
			res.Body.Close()
			if got := <-seen; got.String() != client {
				t.Errorf("version %d: the server saw %v, want %s", version, got, client)
			}
		}
	}
}
