package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"testing"
	"time"

	"edge/proxy/proxyproto"
)

// loopback makes every peer of a test one that has to send a PROXY header.
func loopback(_ *Options, s *Settings) {
	s.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}
}

// client and frontend are what PROXY headers of these tests say.
var (
	announcedClient   = netip.MustParseAddrPort("192.0.2.77:4660")
	announcedFrontend = netip.MustParseAddrPort("198.51.100.2:443")
)

// tellsClient answers what a backend sees of the client.
var tellsClient = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	fmt.Fprint(w, r.Header.Get("X-Forwarded-For"))
})

func TestProxyHeaders(t *testing.T) {
	r := rigWith(t, tellsClient, loopback)
	for name, header := range map[string]string{
		"version 1": string(proxyproto.Append(nil, 1, announcedClient, announcedFrontend)),
		"version 2": string(proxyproto.Append(nil, 2, announcedClient, announcedFrontend)),
		"local":     string(proxyproto.Append(nil, 2, netip.AddrPort{}, netip.AddrPort{})),
		"unknown":   "PROXY UNKNOWN\r\n",
	} {
		want := announcedClient.Addr().String()
		if name == "local" || name == "unknown" {
			want = "127.0.0.1"
		}
		// With the request in one piece, and byte by byte.
		for piece := range 2 {
			c := r.dial()
			dripping(c, header+get+"\r\n", []int{4096, 1}[piece], 0)
			if res, body := readResponse(t, bufio.NewReader(c), "GET"); res.StatusCode != 200 || body != want {
				t.Errorf("%s, HTTP: %s %q, want %q", name, res.Status, body, want)
			}
		}
		for _, proto := range []string{"http/1.1", "h2"} {
			nc, err := net.Dial("tcp", r.https)
			if err != nil {
				t.Fatal(err)
			}
			nc.SetDeadline(time.Now().Add(10 * time.Second))
			io.WriteString(nc, header)
			tr := &http.Transport{DialTLS: func(string, string) (net.Conn, error) {
				c := tls.Client(nc, &tls.Config{ServerName: "example.org", RootCAs: r.roots, NextProtos: []string{proto}})
				return c, c.Handshake()
			}, ForceAttemptHTTP2: proto == "h2"}
			res, err := (&http.Client{Transport: tr}).Get("https://example.org/")
			if err != nil {
				t.Fatalf("%s, %s: %v", name, proto, err)
			}
			b, _ := io.ReadAll(res.Body)
			res.Body.Close()
			tr.CloseIdleConnections()
			if string(b) != want {
				t.Errorf("%s, %s: %q, want %q", name, proto, b, want)
			}
		}
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	told := 0
	for _, h := range r.events.handshakes {
		if h.Remote == announcedClient {
			told++
		}
	}
	if told != 4 {
		t.Errorf("%d handshakes were reported with the announced address, want 4", told)
	}
}

// A peer that has to send a header is not served without one.
func TestProxyHeaderIsMissing(t *testing.T) {
	r := rigWith(t, tellsClient, loopback, limited(Limits{HeaderRead: 100 * time.Millisecond}))
	for name, sent := range map[string]string{
		"a request":         get + "\r\n",
		"half of a header":  "PROXY TCP4 192.0.2.1",
		"nothing":           "",
		"a broken header":   "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n" + get + "\r\n",
		"an endless header": "PROXY " + strings.Repeat("x", 8000),
	} {
		if got := r.raw(sent); got != "" {
			t.Errorf("%s was answered %q", name, got)
		}
	}
	r.events.mu.Lock()
	if n := len(r.events.refused); n != 5 || r.events.refused[0] != "proxy_protocol" {
		t.Errorf("refusals %q", r.events.refused)
	}
	r.events.mu.Unlock()
	// A look whether the port is open is no refusal.
	c := r.dial()
	c.Close()
	eventually(t, "all is forgotten", func() bool { return len(r.openConns()) == 0 })
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if n := len(r.events.refused); n != 5 {
		t.Errorf("%d refusals after a look", n)
	}
}

// PROXY header from untrusted peers: it is no header there, but a request that cannot
// be one. Nobody chooses the address that limits, rules and logs go by.
func TestVuln_ProxyHeaderFromUntrustedPeers(t *testing.T) {
	reached := 0
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) { reached++ }), func(_ *Options, s *Settings) {
		s.ProxyProtocol = []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("::1/128")}
	})
	for version := 1; version <= 2; version++ {
		header := string(proxyproto.Append(nil, version, announcedClient, announcedFrontend))
		if got := r.raw(header + get + "\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
			t.Errorf("version %d before a request: %q", version, got)
		}
		nc, err := net.Dial("tcp", r.https)
		if err != nil {
			t.Fatal(err)
		}
		defer nc.Close()
		nc.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(nc, header)
		if err := tls.Client(nc, &tls.Config{ServerName: "example.org", RootCAs: r.roots}).Handshake(); err == nil {
			t.Errorf("version %d before a handshake: accepted", version)
		}
	}
	if reached > 0 {
		t.Errorf("%d requests reached the backend", reached)
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	for _, e := range r.events.requests {
		if e.Remote.Addr().String() != "127.0.0.1" || e.Client.String() != "127.0.0.1" {
			t.Errorf("reported from %v, client %v", e.Remote, e.Client)
		}
	}
}

// A second header is no header: it comes from the client.
func TestOneProxyHeaderAConnection(t *testing.T) {
	r := rigWith(t, tellsClient, loopback)
	header := string(proxyproto.Append(nil, 1, announcedClient, announcedFrontend))
	if got := r.raw(header + header + get + "\r\n"); !strings.HasPrefix(got, "HTTP/1.1 400 ") {
		t.Errorf("%q", got)
	}
	got := r.raw(header + "GET / HTTP/1.1\r\nHost: example.org\r\nX-Forwarded-For: 203.0.113.9\r\nConnection: close\r\n\r\n")
	if !strings.HasSuffix(got, announcedClient.Addr().String()) || strings.Contains(got, "203.0.113.9") {
		t.Errorf("%q", got)
	}
}

// Limits count the announced addresses, not the load balancer's.
func TestConnectionsPerAnnouncedAddress(t *testing.T) {
	r := rigWith(t, tellsClient, loopback, limited(Limits{ConnectionsPerAddress: 1}))
	from := func(client string) string {
		return string(proxyproto.Append(nil, 2, netip.MustParseAddrPort(client), announcedFrontend)) + get + "\r\n"
	}
	for _, client := range []string{"192.0.2.1:1", "192.0.2.2:1"} {
		c := r.dial()
		io.WriteString(c, from(client))
		readResponse(t, bufio.NewReader(c), "GET")
	}
	if got := r.raw(from("192.0.2.1:2")); got != "" {
		t.Errorf("a second connection of an address was answered %q", got)
	}
	if got := r.raw(from("192.0.2.2:2")); got != "" {
		t.Errorf("a second connection of an address was answered %q", got)
	}
}

// A shutdown does not wait for headers that do not come.
func TestShutdownBeforeTheProxyHeader(t *testing.T) {
	r := rigWith(t, tellsClient, loopback)
	c := r.dial()
	io.WriteString(c, "PROXY ")
	eventually(t, "the connection is known", func() bool { return len(r.openConns()) == 1 })
	start := time.Now()
	if err := r.Shutdown(t.Context()); err != nil || time.Since(start) > 2*time.Second {
		t.Errorf("after %v: %v", time.Since(start), err)
	}
}
