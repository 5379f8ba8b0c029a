package acmeglue

import (
	"crypto/tls"
	"fmt"
	"net"
	"net/http"
	"slices"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

// door is a listener as simple as it can be: a Manager, a Registry, an Issuer,
// and Pebble looking at what they serve.
type door struct {
	ln      net.Listener
	pebble  *edgetest.CA
	issuer  *Issuer
	manager *Manager
}

func openDoor(t testing.TB) *door {
	t.Helper()
	d := &door{}
	var err error
	d.ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	d.pebble, err = edgetest.NewCA(edgetest.CAOptions{TLSPort: edgetest.Port(d.ln.Addr().String())})
	if err != nil {
		t.Fatal(err)
	}
	registry, storage := NewRegistry(), openStorage(t)
	d.issuer, err = NewIssuer(IssuerOptions{Directory: d.pebble.URL(), Email: "ops@example.org", Roots: d.pebble.ServerPool(), Registry: registry,
		Storage: storage, Challenges: []edge.ChallengeType{edge.TLSALPN01}})
	if err != nil {
		t.Fatal(err)
	}
	d.manager = NewManager(ManagerOptions{Storage: storage})
	config := &tls.Config{NextProtos: []string{"http/1.1", edge.ALPNProto}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if slices.Equal(h.SupportedProtos, []string{edge.ALPNProto}) {
			if c, ok := registry.TLSALPN01(h.ServerName); ok {
				return c, nil
			}
			return nil, edge.ErrNoCertificate
		}
		return d.manager.Certificate(h.ServerName, h)
	}}
	var conns sync.WaitGroup
	conns.Go(func() {
		for {
			c, err := d.ln.Accept()
			if err != nil {
				return
			}
			conns.Go(func() {
				defer c.Close() // a test's connection
				_ = tls.Server(c, config).Handshake()
			})
		}
	})
	t.Cleanup(func() {
		if err := d.ln.Close(); err != nil {
			t.Error(err)
		}
		conns.Wait()
		d.issuer.CloseIdleConnections()
		d.pebble.Close()
	})
	return d
}

func (d *door) run(t testing.TB) {
	t.Helper()
	running(t, d.manager, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.customer.example"}, Plan: Plan{CAs: []CA{d.issuer}}}}})
}

// visit does a handshake as a browser would, and returns how long it took.
func (d *door) visit(name string) (time.Duration, error) {
	began := time.Now()
	c, err := tls.Dial("tcp", d.ln.Addr().String(), &tls.Config{ServerName: name, RootCAs: d.pebble.IssuedPool()})
	if err != nil {
		return time.Since(began), err
	}
	took := time.Since(began)
	return took, c.Close()
}

func TestFirstHandshakeOnDemand(t *testing.T) {
	d := openDoor(t)
	d.run(t)
	must := func(name string) time.Duration {
		took, err := d.visit(name)
		if err != nil {
			t.Errorf("%s: %v", name, err)
		}
		return took
	}
	must("warm-up.customer.example") // account and connections
	var took, again []time.Duration
	for i := range 20 {
		name := fmt.Sprintf("shop-%d.customer.example", i)
		took = append(took, must(name))
		again = append(again, must(name))
	}
	slices.Sort(took)
	slices.Sort(again)
	t.Logf("first handshake: median %v, slowest %v; second: median %v", took[10], took[19], again[10])
	if limit := 150 * time.Millisecond * time.Duration(slack()); took[10] > limit {
		t.Errorf("median of the first handshake %v, want %v", took[10], limit)
	}
	if n := d.pebble.Orders(); n != 21 {
		t.Errorf("%d orders, want 21", n)
	}

	var all sync.WaitGroup
	for range 20 {
		all.Go(func() { must("popular.customer.example") })
	}
	all.Wait()
	if n := d.pebble.Orders(); n != 22 {
		t.Errorf("%d orders for one name and 20 clients, want one", n-21)
	}
	if _, err := d.visit("stranger.example"); err == nil {
		t.Error("a certificate for a name that is not permitted")
	}
	for _, st := range d.manager.Statuses() {
		if st.State != edge.StateValid || st.CA != d.pebble.URL() {
			t.Errorf("status %+v", st)
		}
	}
	// Pebble has ARI, and the Manager asks.
	eventually(t, "the CA's window is known", func() bool {
		return d.manager.view.Load().get("popular.customer.example").snapshot().held.window != nil
	})
}

// However a CA is not there, a new name is told within three seconds, later
// ones at once, and those that have a certificate do not notice.
func TestCAInTrouble(t *testing.T) {
	for name, trouble := range map[string]func(*door, <-chan struct{}){
		"down": func(d *door, _ <-chan struct{}) { d.pebble.Close() },
		"hangs": func(d *door, end <-chan struct{}) {
			d.pebble.Fault(func(http.ResponseWriter, *http.Request) bool { <-end; return true })
		},
		"500": func(d *door, _ <-chan struct{}) {
			d.pebble.Fault(func(w http.ResponseWriter, _ *http.Request) bool {
				w.WriteHeader(http.StatusInternalServerError)
				return true
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			end := make(chan struct{})
			d := openDoor(t)
			t.Cleanup(func() { close(end) })
			d.run(t)
			if _, err := d.visit("has-one.customer.example"); err != nil {
				t.Fatal(err)
			}
			d.manager.cas.get(d.issuer.Key()).forget() // as after some minutes
			trouble(d, end)
			for range 3 {
				took, err := d.visit("new.customer.example")
				t.Logf("refused after %v", took)
				if err == nil || took > 3*time.Second {
					t.Errorf("%v after %v", err, took)
				}
			}
			if _, err := d.visit("has-one.customer.example"); err != nil {
				t.Error(err)
			}
		})
	}
}

// forget makes the state that of a CA which has not been asked for a while.
func (c *caState) forget() {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.answered = time.Time{}
}
