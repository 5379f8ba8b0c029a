package acmeglue

import (
	"context"
	"crypto"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"path"
	"slices"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// unfinished is an order under way, as it lies in storage under
// edge/orders/<issuer key>/. It is written
//
//	when the CA has the order     a process that dies now costs no second order
//	before the order is finalized with request and key: without them the
//	                              certificate would be of no use
//
// and removed when the certificate was downloaded, or stored (Order.Hold).
type unfinished struct {
	Location    string            `json:"location"`
	Account     string            `json:"account"`
	Profile     string            `json:"profile,omitempty"` // as asked for: the CA answers with its own
	Identifiers []acme.Identifier `json:"identifiers"`

	Demand    string    `json:"demand,omitempty"`
	Request   []byte    `json:"request,omitempty"` // DER
	Key       string    `json:"key,omitempty"`     // PEM; secret
	Finalized time.Time `json:"finalized,omitzero"`
}

const (
	ordersPrefix = "edge/orders"
	// A certificate that was ordered longer ago is not what is wanted now.
	longestFinalized = 24 * time.Hour
	// An order that nobody has asked about for so long is forgotten: CAs keep
	// them a week.
	longestUnfinished = 14 * 24 * time.Hour
)

func (i *Issuer) orderKey(ids []acme.Identifier) string {
	sum := sha256.New()
	for _, id := range ids {
		fmt.Fprintf(sum, "%s %s\n", id.Type, id.Value)
	}
	return path.Join(ordersPrefix, i.key, hex.EncodeToString(sum.Sum(nil)[:16])+".json")
}

// remember writes what is known of the order under way.
func (a *attempt) remember(ctx context.Context) {
	i := a.i
	if i.o.Storage == nil {
		return
	}
	b, err := json.Marshal(a.open)
	if err == nil {
		err = i.o.Storage.Store(ctx, i.orderKey(a.wanted.Identifiers), b)
	}
	if err != nil {
		i.log.Warn("the order cannot be remembered; a restart now would cost another one", "name", a.name(), "error", err)
	}
}

// forget drops the order under way.
func (a *attempt) forget(ctx context.Context) {
	a.open = nil
	if a.i.o.Storage == nil {
		return
	}
	if err := a.i.o.Storage.Delete(context.WithoutCancel(ctx), a.i.orderKey(a.wanted.Identifiers)); err != nil {
		a.i.log.Warn("forget a finished order", "name", a.name(), "error", err)
	}
}

// recall finds an order that was begun in this attempt or by another process,
// where the CA still has it. One that was finalized is of use only with the
// key it was for.
func (a *attempt) recall(ctx context.Context, account acme.Account) (acme.Order, bool) {
	u := a.open
	if u == nil {
		if u = a.load(ctx); u == nil {
			return acme.Order{}, false
		}
	}
	if u.Account != account.Location || u.Profile != a.wanted.Profile || !slices.Equal(u.Identifiers, a.wanted.Identifiers) {
		return acme.Order{}, false
	}
	if u.Demand != a.demand {
		u.Request, u.Key = nil, ""
	}
	o, err := a.i.client.GetOrder(ctx, account, acme.Order{Location: u.Location})
	if ctx.Err() != nil {
		return acme.Order{}, false
	}
	now := a.i.o.Now()
	usable := false
	switch o.Status {
	case acme.StatusPending, acme.StatusReady:
		usable = err == nil && (o.Expires.IsZero() || o.Expires.After(now.Add(time.Minute)))
	case acme.StatusProcessing, acme.StatusValid:
		usable = err == nil && len(u.Request) > 0 && now.Sub(u.Finalized).Abs() < longestFinalized
	}
	if !usable {
		a.forget(ctx)
		return acme.Order{}, false
	}
	if a.open == nil {
		a.i.log.Info("going on with an unfinished order", "name", a.name(), "order", u.Location, "status", o.Status)
	}
	a.open = u
	o.Location = u.Location
	return o, true
}

func (a *attempt) load(ctx context.Context) *unfinished {
	if a.i.o.Storage == nil {
		return nil
	}
	b, err := a.i.o.Storage.Load(ctx, a.i.orderKey(a.wanted.Identifiers))
	if err != nil {
		return nil
	}
	var u unfinished
	if json.Unmarshal(b, &u) != nil {
		return nil
	}
	return &u
}

// request is the certificate request to finalize with, and the key of it: those
// that the order was finalized with before, else new ones.
func (a *attempt) request(ctx context.Context) (csr []byte, key crypto.Signer, err error) {
	u := a.open
	if len(u.Request) > 0 {
		if u.Key == "" {
			return u.Request, a.o.Key, nil
		}
		if key, err = certmagic.PEMDecodePrivateKey([]byte(u.Key)); err == nil {
			return u.Request, key, nil
		}
		a.i.log.Warn("the key of an unfinished order cannot be read", "name", a.name(), "error", err)
	}
	if csr, key, err = a.o.request(); err != nil {
		return nil, nil, err
	}
	u.Demand, u.Request, u.Key, u.Finalized = a.demand, csr, "", a.i.o.Now()
	if key != nil && a.o.Key == nil {
		b, err := certmagic.PEMEncodePrivateKey(key)
		if err != nil {
			return nil, nil, err
		}
		u.Key = string(b)
	}
	a.remember(ctx)
	return csr, key, nil
}

// prune removes orders that nobody will ask for again, with their keys.
func (i *Issuer) prune(ctx context.Context) {
	keys, err := i.o.Storage.List(ctx, path.Join(ordersPrefix, i.key), false)
	if err != nil {
		return // there are none yet
	}
	for _, key := range keys {
		info, err := i.o.Storage.Stat(ctx, key)
		if err != nil || i.o.Now().Sub(info.Modified) < longestUnfinished {
			continue
		}
		if err := i.o.Storage.Delete(ctx, key); err != nil {
			i.log.Warn("forget an old order", "file", key, "error", err)
		}
	}
}
