package acmeglue

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"

	"github.com/mholt/acmez/v3"
	"github.com/mholt/acmez/v3/acme"
)

// door is a listener as simple as it can be: a Manager, the answers to
// TLS-ALPN-01, and Pebble looking at both.
type door struct {
	ln      net.Listener
	pebble  *edgetest.CA
	client  *http.Client
	answers sync.Map // server name to *tls.Certificate
	manager *Manager
}

func openDoor(t testing.TB, o edgetest.CAOptions) *door {
	t.Helper()
	d := &door{}
	var err error
	d.ln, err = net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	o.TLSPort = edgetest.Port(d.ln.Addr().String())
	d.pebble, err = edgetest.NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	tr := &http.Transport{TLSClientConfig: &tls.Config{RootCAs: d.pebble.ServerPool()}}
	d.client = &http.Client{Transport: tr, Timeout: 10 * time.Second}
	d.manager = NewManager(ManagerOptions{Storage: openStorage(t)})
	config := &tls.Config{NextProtos: []string{"http/1.1", edge.ALPNProto}, GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		if slices.Equal(h.SupportedProtos, []string{edge.ALPNProto}) {
			if c, ok := d.answers.Load(h.ServerName); ok {
				return c.(*tls.Certificate), nil
			}
			return nil, errors.New("no such challenge")
		}
		return d.manager.Certificate(h.ServerName, h)
	}}
	var conns sync.WaitGroup
	go func() {
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
	}()
	t.Cleanup(func() {
		if err := d.ln.Close(); err != nil {
			t.Error(err)
		}
		conns.Wait()
		tr.CloseIdleConnections()
		d.pebble.Close()
	})
	return d
}

// pebbleCA is the least that makes Pebble a CA of the Manager.
type pebbleCA struct {
	*door
	once    sync.Once
	account acme.Account
	err     error
}

func (p *pebbleCA) Key() string       { return "pebble.test-directory" }
func (p *pebbleCA) Directory() string { return p.pebble.URL() }

func (p *pebbleCA) acmez() *acmez.Client {
	return &acmez.Client{
		Client: &acme.Client{Directory: p.pebble.URL(), HTTPClient: p.client, UserAgent: "edge-test", PollInterval: 5 * time.Millisecond,
			Logger: slog.New(slog.DiscardHandler)},
		ChallengeSolvers: map[string]acmez.Solver{acme.ChallengeTypeTLSALPN01: p},
	}
}

func (p *pebbleCA) Present(_ context.Context, c acme.Challenge) error {
	cert, err := acmez.TLSALPN01ChallengeCert(c)
	if err == nil {
		p.answers.Store(c.Identifier.Value, cert)
	}
	return err
}

func (p *pebbleCA) CleanUp(_ context.Context, c acme.Challenge) error {
	p.answers.Delete(c.Identifier.Value)
	return nil
}

func (p *pebbleCA) Issue(ctx context.Context, o Order) (*Issued, error) {
	client := p.acmez()
	p.once.Do(func() {
		key, err := newKey(P256)
		if err == nil {
			p.account, err = client.NewAccount(ctx, acme.Account{TermsOfServiceAgreed: true, PrivateKey: key})
		}
		p.err = err
	})
	if p.err != nil {
		return nil, p.err
	}
	chains, err := client.ObtainCertificateForSANs(ctx, p.account, o.Key, []string{o.Identifiers[0].Value})
	if err != nil {
		return nil, err
	}
	return &Issued{Chain: chains[0].ChainPEM, Challenge: edge.TLSALPN01}, nil
}

func (p *pebbleCA) RenewalInfo(ctx context.Context, chain []byte) (RenewWindow, error) {
	ri, err := p.acmez().GetRenewalInfo(ctx, leafOf(chain))
	if err != nil {
		return RenewWindow{}, err
	}
	w := RenewWindow{Start: ri.SuggestedWindow.Start, End: ri.SuggestedWindow.End, Selected: ri.SelectedTime}
	if ri.RetryAfter != nil {
		w.RetryAfter = *ri.RetryAfter
	}
	return w, nil
}

// visit does a handshake as a browser would, and returns how long it took.
func (d *door) visit(t testing.TB, name string) time.Duration {
	t.Helper()
	began := time.Now()
	c, err := tls.Dial("tcp", d.ln.Addr().String(), &tls.Config{ServerName: name, RootCAs: d.pebble.IssuedPool()})
	if err != nil {
		t.Errorf("%s: %v", name, err)
		return 0
	}
	took := time.Since(began)
	if err := c.Close(); err != nil {
		t.Error(err)
	}
	return took
}

func TestFirstHandshakeOnDemand(t *testing.T) {
	d := openDoor(t, edgetest.CAOptions{})
	ca := &pebbleCA{door: d}
	running(t, d.manager, Settings{OnDemand: []OnDemandRule{{Hosts: []string{"*"}, Allow: []string{"**.customer.example"}, Plan: Plan{CAs: []CA{ca}}}}})
	d.visit(t, "warm-up.customer.example") // account and connections
	var took, again []time.Duration
	for i := range 20 {
		name := fmt.Sprintf("shop-%d.customer.example", i)
		took = append(took, d.visit(t, name))
		again = append(again, d.visit(t, name))
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
		all.Go(func() { d.visit(t, "popular.customer.example") })
	}
	all.Wait()
	if n := d.pebble.Orders(); n != 22 {
		t.Errorf("%d orders for one name and 20 clients, want one", n-21)
	}
	_, err := tls.Dial("tcp", d.ln.Addr().String(), &tls.Config{ServerName: "stranger.example"})
	if err == nil || !strings.Contains(err.Error(), "tls") {
		t.Errorf("a name that is not permitted: %v", err)
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
