package acmeglue

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"edge"
	"edge/internal/edgetest"
)

// dying is a transport of a process that dies right after the CA has answered
// its n-th request: the CA has done what it was asked, and nobody heard of it.
type dying struct {
	next http.RoundTripper
	left atomic.Int64
	die  context.CancelFunc
	last string // path of the request that it died of
}

func (d *dying) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := d.next.RoundTrip(r)
	if d.left.Add(-1) > 0 || err != nil {
		return res, err
	}
	d.last = r.URL.Path
	d.die()
	res.Body.Close()
	return nil, errors.New("the process is dead")
}

// Whenever a process dies on its way to a certificate, also between the moment
// in which the CA was told to issue and the one in which the certificate was
// downloaded, the next one comes to it with the same order and the same account.
func TestDeathAtEachRequest(t *testing.T) {
	g := openGate(t)
	ca := g.ca(t, edgetest.CAOptions{})
	id := func(n int) []edge.Identifier {
		return []edge.Identifier{{Type: edge.DNS, Value: fmt.Sprintf("n%d.test", n)}}
	}
	for n := 1; ; n++ {
		orders, accounts := ca.Orders(), ca.Accounts()
		storage := openStorage(t)
		ctx, cancel := context.WithCancel(t.Context())
		defer cancel()
		d := &dying{next: newTransport(ca.ServerPool()), die: cancel}
		d.left.Store(int64(n))
		first := g.issuer(t, ca, func(o *IssuerOptions) { o.Storage, o.Transport = storage, d })
		_, err := first.Issue(ctx, Order{Identifiers: id(n)})
		closeIdle(d.next)
		if err == nil {
			if n < 10 {
				t.Errorf("a certificate took %d requests only", n-1)
			}
			t.Logf("died at each of %d requests", n-1)
			return
		}
		next := g.issuer(t, ca, func(o *IssuerOptions) { o.Storage = storage })
		issued, leaf := mustIssue(t, next, Order{Identifiers: id(n)})
		pub, ok := leaf.PublicKey.(interface{ Equal(crypto.PublicKey) bool })
		if !ok || !pub.Equal(issued.Key.Public()) {
			t.Errorf("death at request %d: the key is not that of the certificate", n)
		}
		want := 1
		switch kind, _, _ := strings.Cut(d.last[1:], "/"); kind {
		case "order-plz": // nobody has heard where the order is
			want = 2
		case "chalZ", "authZ": // the CA may have looked when nobody answered any more
			want = 2
		}
		if got := ca.Orders() - orders; got > want {
			t.Errorf("death at request %d, %s: %d orders, want %d", n, d.last, got, want)
		}
		if got := ca.Accounts() - accounts; got != 1 {
			t.Errorf("death at request %d: %d accounts, want 1", n, got)
		}
		if left, err := storage.List(t.Context(), ordersPrefix, true); err == nil && len(left) > 1 {
			t.Errorf("death at request %d: left in storage: %q", n, left)
		}
	}
}
