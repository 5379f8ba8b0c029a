package pool

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/edgetest"
	"edge/proxy/upstream"
)

// Return codes of DNS.
const servFail, nxDomain = 2, 3

func newNames(t *testing.T) *edgetest.DNS {
	d, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	return d
}

// sites are servers at one port of several loopback addresses; they say their address.
func sites(t *testing.T, ips ...string) (port string) {
	for try := 0; ; try++ {
		l, err := net.Listen("tcp", ips[0]+":0")
		if err != nil {
			t.Fatal(err)
		}
		_, port, _ = net.SplitHostPort(l.Addr().String())
		all := []net.Listener{l}
		for _, ip := range ips[1:] {
			if l, err = net.Listen("tcp", net.JoinHostPort(ip, port)); err != nil {
				break
			}
			all = append(all, l)
		}
		if err != nil && try < 20 {
			for _, l := range all {
				l.Close()
			}
			continue
		}
		if err != nil {
			t.Fatal(err)
		}
		for i, l := range all {
			s := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, ips[i]) }))
			s.Listener.Close()
			s.Listener = l
			s.Start()
			t.Cleanup(s.Close)
		}
		return port
	}
}

func addressesOf(p *Pool) string {
	var all []string
	for _, s := range p.Status() {
		host, _, _ := net.SplitHostPort(s.Address)
		if host == "" {
			host = s.State + " " + s.Address
		}
		all = append(all, host)
	}
	return strings.Join(all, " ")
}

func TestDiscoverAddresses(t *testing.T) {
	names := newNames(t)
	port := sites(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	const name = "shop.internal"
	names.Fail(name, nxDomain)
	o := Options{Name: "shop", Discover: &Discover{Name: name, Type: "ip", Port: port, Interval: 10 * time.Millisecond, Resolver: names.Addr()}, Template: upstream.Options{Scheme: "http"}}
	p, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	p.discovery.mu.Lock()
	known := p.discovery.err
	p.discovery.mu.Unlock()
	_, err = get(p, nil)
	ue, ok := err.(*upstream.Error)
	if !ok || ue.Status() != 503 || !errors.Is(err, ErrNoServer) || known == nil || addressesOf(p) != "down "+name {
		t.Fatalf("%v; %v; %s", err, known, addressesOf(p))
	}
	names.SetHosts(name, "127.0.0.3", "127.0.0.2", "127.0.0.2")
	names.Fail(name, 0)
	// The next look comes sooner than the usual one after a failure, and at the interval at most.
	eventually(t, "two are found", func() bool { return addressesOf(p) == "127.0.0.2 127.0.0.3" })
	names.SetHosts(name, "127.0.0.3", "127.0.0.4")
	eventually(t, "one has gone and one has come", func() bool { return addressesOf(p) == "127.0.0.3 127.0.0.4" })
	// Failures and empty answers change nothing.
	for what, set := range map[string]func(){
		"SERVFAIL": func() { names.Fail(name, servFail) },
		"NXDOMAIN": func() { names.Fail(name, nxDomain) },
		"no data":  func() { names.Fail(name, 0); names.SetHosts(name) },
	} {
		set()
		eventually(t, what, p.discovery.failed)
		if got := addressesOf(p); got != "127.0.0.3 127.0.0.4" {
			t.Errorf("%s: %s", what, got)
		}
		if status, err := get(p, nil); status != 200 {
			t.Error(what, status, err)
		}
	}
	// A pool that follows begins with what was found.
	o.MaxConnections = 5
	q, err := p.Next(o)
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	p.Retire()
	if got := addressesOf(q); got != "127.0.0.3 127.0.0.4" {
		t.Errorf("the next pool: %s", got)
	}
	if status, err := get(q, nil); status != 200 {
		t.Error(status, err)
	}
}

// Weights in proportion, and higher priorities as backups.
func TestDiscoverServices(t *testing.T) {
	names := newNames(t)
	port := sites(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	var n uint16
	fmt.Sscan(port, &n)
	for i := range 3 {
		names.SetHosts(fmt.Sprintf("s%d.internal", i+2), fmt.Sprintf("127.0.0.%d", i+2))
	}
	names.SetSRV("_http._tcp.shop.internal", edgetest.SRV{Priority: 1, Weight: 10, Port: n, Target: "s2.internal"},
		edgetest.SRV{Priority: 1, Weight: 30, Port: n, Target: "s3.internal"}, edgetest.SRV{Priority: 2, Weight: 1, Port: n, Target: "s4.internal"})
	p, err := New(Options{Name: "shop", Balance: RoundRobin, Discover: &Discover{Name: "_http._tcp.shop.internal", Type: "srv", Resolver: names.Addr()}, Template: upstream.Options{Scheme: "http"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	for range 80 {
		if status, err := get(p, nil); status != 200 {
			t.Fatal(status, err)
		}
	}
	var asked []uint64
	for _, s := range p.Status() {
		asked = append(asked, s.Requests)
	}
	if !slices.Equal(asked, []uint64{20, 60, 0}) {
		t.Errorf("requests %v of %s", asked, addressesOf(p))
	}
	for _, m := range p.discovery.current.Load().members {
		if want := "s" + strings.TrimPrefix(strings.TrimSuffix(m.address, ":"+port), "127.0.0.") + ".internal"; m.options.ServerName != want {
			t.Errorf("TLS would be verified for %q, want %q", m.options.ServerName, want)
		}
	}
}

// More servers than are believed.
func TestDiscoverTooMany(t *testing.T) {
	names := newNames(t)
	var ips []string
	for i := range maxFound + 1 {
		ips = append(ips, fmt.Sprintf("127.0.%d.%d", 1+i/250, 1+i%250))
	}
	names.SetHosts("many.internal", ips...)
	p, err := New(Options{Name: "x", Discover: &Discover{Name: "many.internal", Type: "ip", Port: "1", Resolver: names.Addr()}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	if got := p.Status()[0].LastError; !strings.Contains(got, "257 servers") {
		t.Error(got)
	}
}

// Servers that come and go under load: no request fails.
func TestDiscoverUnderLoad(t *testing.T) {
	names := newNames(t)
	port := sites(t, "127.0.0.2", "127.0.0.3", "127.0.0.4")
	names.SetHosts("shop.internal", "127.0.0.2")
	p, err := New(Options{Name: "shop", MaxConnections: 2, Queue: 100, Discover: &Discover{Name: "shop.internal", Type: "ip", Port: port, Interval: 5 * time.Millisecond, Resolver: names.Addr()},
		Template: upstream.Options{Scheme: "http"}})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Close()
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	var served atomic.Int64
	var wg sync.WaitGroup
	for range 8 {
		wg.Go(func() {
			for ctx.Err() == nil {
				if status, err := get(p, nil); status != 200 {
					t.Error(status, err)
				}
				served.Add(1)
			}
		})
	}
	for i := range 20 {
		set := []string{"127.0.0.2", "127.0.0.3", "127.0.0.4"}[i%3:]
		names.SetHosts("shop.internal", set...)
		at := served.Load()
		eventually(t, "it is seen", func() bool { return addressesOf(p) == strings.Join(set, " ") && served.Load() > at+50 })
	}
	cancel()
	wg.Wait()
}
