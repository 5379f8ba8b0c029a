package main

import (
	"crypto/tls"
	"fmt"
	"io"
	"strings"
	"testing"

	"edge/internal/config"
)

// A site that asks for nothing says so to the proxy, in case a wildcard of another
// site asks.
func TestClientAuthsOfOpenSites(t *testing.T) {
	secure := config.Site{Hosts: []string{"*.example.org"}}
	secure.TLS.ClientAuth = &config.ClientAuth{Mode: "require"}
	open := config.Site{Hosts: []string{"open.example.org"}}
	auths, err := clientAuths(&config.Config{Sites: []config.Site{secure, open}})
	if a, listed := auths["open.example.org"]; err != nil || !listed || a != nil || auths["*.example.org"] == nil {
		t.Errorf("%v %v", auths, err)
	}
	if auths, err := clientAuths(&config.Config{Sites: []config.Site{open}}); err != nil || len(auths) != 0 {
		t.Errorf("nobody asks: %v %v", auths, err)
	}
}

// A connection that was made for a site without certificates of clients opens no
// site that asks for them.
func TestClientCertificateCannotBeAvoided(t *testing.T) {
	v := newVisit(t, `sites:
  - hosts: [www.example.org]
    proxy: http://127.0.0.1:8080
  - hosts: [example.org]
    tls: {client_auth: {roots: [/etc/edge/clients.pem]}}
    proxy: http://127.0.0.1:8081
`)
	for host, want := range map[string]string{"www.example.org": "HTTP/1.1 200 ", "example.org": "HTTP/1.1 421 "} {
		c, err := tls.Dial("tcp", v.https, &tls.Config{ServerName: "www.example.org", InsecureSkipVerify: true})
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprintf(c, "GET / HTTP/1.1\r\nHost: %s\r\nConnection: close\r\n\r\n", host)
		if b, _ := io.ReadAll(c); !strings.HasPrefix(string(b), want) || strings.Contains(string(b), "\ntwo ") {
			t.Errorf("%s: got %q, want %s", host, b, want)
		}
	}
	v.want(v.ask("GET", "http://example.org/"), 308, "!two")
}
