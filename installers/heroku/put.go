package heroku

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"

	"edge/installers/delivery"
	"edge/installers/kept"
)

// putting is one Put: what has been changed so far, and how that is taken back.
type putting struct {
	t     *Target
	id    string     // of the endpoint
	made  bool       // it is new
	over  bool       // its certificate was replaced
	old   *kept.Pair // by this one; nil: it is not known
	moved []domain   // those that were attached, as they were before
}

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, data json.RawMessage) (delivery.Change, error) {
	var c delivery.Change
	if err := m.Whole(); err != nil {
		return c, err
	}
	s, err := t.look(ctx)
	if err != nil {
		return c, err
	}
	if len(wanted(s.domains, m, "")) == 0 {
		return c, fmt.Errorf("the app %s has none of the names %s; add them: heroku domains:add NAME -a %[1]s", t.o.App, strings.Join(m.Hosts, ", "))
	}
	for _, h := range m.Hosts {
		if !slices.ContainsFunc(s.domains, func(d domain) bool { return covered(h, d.Hostname) }) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is no domain of the app %s: heroku domains:add %[1]s -a %[2]s", h, t.o.App))
		}
	}
	p := &putting{t: t}
	if err := p.store(ctx, m, s.choose(m, noted(data))); err != nil {
		return c, errors.Join(err, p.undo(context.WithoutCancel(ctx)))
	}
	for _, d := range wanted(s.domains, m, p.id) {
		if d.attached() == p.id {
			continue
		}
		p.moved = append(p.moved, d) // perhaps: an answer may get lost
		if err := t.attach(ctx, d.Hostname, p.id); err != nil {
			return c, errors.Join(err, p.undo(context.WithoutCancel(ctx)))
		}
	}
	if c.Data, err = json.Marshal(note{p.id}); err != nil {
		return c, err
	}
	if p.over && p.old == nil {
		c.Warnings = append(c.Warnings, "the certificate that the SNI endpoint had before was not delivered from here, and Heroku gives no keys back: it cannot be put back")
	}
	if !p.over || p.old != nil || len(p.moved) > 0 {
		c.Undo = p.undo
	}
	c.Commit = func(context.Context) error { return t.keptAs(p.id).Done(m.FullChainPEM, m.KeyPEM) }
	return c, nil
}

// pair is the body that makes or fills an endpoint.
type pair struct {
	Chain string `json:"certificate_chain"`
	Key   string `json:"private_key"`
}

// store brings the certificate into an endpoint, or into a new one.
func (p *putting) store(ctx context.Context, m *delivery.Material, e *endpoint) error {
	t := p.t
	body := pair{string(m.FullChainPEM), string(m.KeyPEM)}
	if e == nil {
		var made endpoint
		if err := t.api.do(ctx, http.MethodPost, t.o.App, "/sni-endpoints", body, &made); err != nil {
			return err
		}
		if made.ID == "" {
			return errors.New("POST /sni-endpoints: the answer has no id")
		}
		p.id, p.made = made.ID, true
		return t.keptAs(p.id).Begin(m.FullChainPEM, m.KeyPEM)
	}
	p.id = e.ID
	if e.has(m) {
		return nil
	}
	was := ders([]byte(e.Chain))
	both := t.keptAs(e.ID)
	old, err := both.Find(leafSum(e.Chain))
	if err != nil {
		t.o.Env.Log.Warn("an undo would have nothing to put back", "target", name, "error", err)
	} else if old != nil && bytes.Equal(ders(old.Chain), was) {
		p.old = old
	}
	if err := both.Begin(m.FullChainPEM, m.KeyPEM); err != nil {
		return err
	}
	err = t.fill(ctx, e.ID, body)
	p.over = err == nil || status(err)/100 != 4 // what was refused is not there
	return err
}

func (t *Target) fill(ctx context.Context, id string, body pair) error {
	return t.api.do(ctx, http.MethodPatch, t.o.App, "/sni-endpoints/"+url.PathEscape(id), body, nil)
}

// attach has a domain use an endpoint; "" for none.
func (t *Target) attach(ctx context.Context, hostname, id string) error {
	body := map[string]any{"sni_endpoint": nil}
	if id != "" {
		body["sni_endpoint"] = id
	}
	return t.api.do(ctx, http.MethodPatch, t.o.App, "/domains/"+url.PathEscape(hostname), body, nil)
}

// undo takes back what was done: domains first, since an endpoint that is in use cannot
// be removed.
func (p *putting) undo(ctx context.Context) error {
	t := p.t
	var errs []error
	for _, d := range slices.Backward(p.moved) {
		errs = append(errs, t.attach(ctx, d.Hostname, d.attached()))
	}
	switch {
	case p.made:
		err := t.api.do(ctx, http.MethodDelete, t.o.App, "/sni-endpoints/"+url.PathEscape(p.id), nil, nil)
		if status(err) == http.StatusNotFound {
			err = nil
		}
		errs = append(errs, err)
	case p.over && p.old == nil:
		errs = append(errs, errors.New("the SNI endpoint has the new certificate; the one before was not delivered from here, and Heroku gives no keys back"))
	case p.over:
		errs = append(errs, t.fill(ctx, p.id, pair{string(p.old.Chain), string(p.old.Key)}))
	}
	return errors.Join(errs...)
}

// keptAs is where the pairs are kept that were put into an endpoint last.
func (t *Target) keptAs(id string) *kept.Both {
	return kept.NewBoth(kept.File{Dir: t.o.Env.State, Kind: name, Name: t.o.Env.Name, Where: t.o.App + " " + id, Durable: t.o.Env.Durable})
}

// leafSum is the SHA-256 of the leaf of a chain; that of nothing where there is none.
func leafSum(chain string) [sha256.Size]byte {
	block, _ := pem.Decode([]byte(chain))
	if block == nil {
		return sha256.Sum256(nil)
	}
	return sha256.Sum256(block.Bytes)
}
