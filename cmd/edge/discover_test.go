package main

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// A site whose servers DNS knows: by address and by service.
func TestDiscoveredServers(t *testing.T) {
	names, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer names.Close()
	r := newRig(t, edgetest.CAOptions{}, nil)
	port := edgetest.Port(r.backend.Listener.Addr().String())
	names.SetSRV("_http._tcp.shop.internal", edgetest.SRV{Port: uint16(port), Target: "one.shop.internal"}) // 127.0.0.1, as all names
	r.configure(fmt.Sprintf(`  - hosts: [www.example.test]
    routes:
      - match: {path: /srv}
        proxy: {discover: {name: _http._tcp.shop.internal, type: srv, resolver: "%s"}, health: /}
      - proxy: {discover: {name: shop.internal, port: %d, resolver: "%s"}, host: upstream, balance: round_robin}
`, names.Addr(), port, names.Addr()))
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	for path, host := range map[string]string{"/srv": "www.example.test", "/": fmt.Sprintf("shop.internal:%d", port)} {
		if status, body := r.get(r.client(true), "https://www.example.test"+path); status != http.StatusOK || !strings.HasPrefix(body, "backend host="+host+" ") {
			t.Errorf("%s: %d %q", path, status, body)
		}
	}
	for _, u := range r.door.upstreams() {
		if u.Address != fmt.Sprintf("127.0.0.1:%d", port) || u.State != "up" {
			t.Errorf("%+v", u)
		}
	}
}
