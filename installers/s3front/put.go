package s3front

import (
	"context"
	"crypto/sha256"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"edge/installers/delivery"
	"edge/installers/kept"
)

// putting is one Put: what has been changed so far, and how that is taken back.
type putting struct {
	t    *Target
	arn  string
	old  *kept.Pair // what the ARN had before; nil: it is not known, or nothing was imported over it
	over bool       // something was imported in the place of another certificate
	// before is the element of the distribution that was replaced, if moved.
	before []byte
	moved  bool
}

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, data json.RawMessage) (delivery.Change, error) {
	var c delivery.Change
	if err := precheck(m); err != nil {
		return c, err
	}
	d, err := t.distribution(ctx, true)
	if err != nil {
		return c, err
	}
	for _, alias := range d.Config.Aliases {
		if !covers(m.Certs[0], alias) {
			return c, fmt.Errorf("distribution %s has the name %s, which the certificate is not for (%s); add it to the certificate, or take it from the distribution",
				t.o.Distribution, plain(alias, 100), strings.Join(m.Certs[0].DNSNames, ", "))
		}
	}
	has, err := t.find(ctx, d, m, noted(data))
	if err != nil {
		return c, err
	}
	p := &putting{t: t}
	if err := p.store(ctx, m, has); err != nil {
		return c, err
	}
	if len(d.Config.Aliases) == 0 {
		// The names cannot be added without the certificate, nor it be seen without them.
		return c, fmt.Errorf("the certificate is in ACM as %s, but distribution %s has no name of its own yet: add its alternate domain names together with this certificate, and deliver again", p.arn, t.o.Distribution)
	}
	if err := p.move(ctx); err != nil {
		return c, errors.Join(err, p.undo(context.WithoutCancel(ctx)))
	}
	if c.Data, err = json.Marshal(note{p.arn}); err != nil {
		return c, err
	}
	if p.over && p.old == nil {
		c.Warnings = append(c.Warnings, "what "+p.arn+" was before was not delivered from here, and ACM gives no keys back: it cannot be put back")
	}
	if !p.over || p.old != nil || p.moved {
		c.Undo = p.undo
	}
	c.Commit = func(context.Context) error { return t.keptAs(p.arn).Done(m.FullChainPEM, m.KeyPEM) }
	return c, nil
}

// store brings the certificate into ACM.
func (p *putting) store(ctx context.Context, m *delivery.Material, has *stored) error {
	arn := ""
	if has != nil {
		p.arn, arn = has.arn, has.arn
		if has.is(m.Certs[0], m.ChainPEM) {
			return nil
		}
		both := p.t.keptAs(arn)
		old, err := both.Find(sha256.Sum256(has.leaf.Raw))
		if err != nil {
			p.t.o.Env.Log.Warn("an undo would have nothing to put back", "target", name, "error", err)
		}
		p.old = old
		if err := both.Begin(m.FullChainPEM, m.KeyPEM); err != nil {
			return err
		}
		p.over = true
	}
	arn, err := p.t.acm.put(ctx, arn, p.t.o.Env.Name, m.CertPEM, m.ChainPEM, m.KeyPEM)
	if err == nil {
		p.arn = arn
		if p.over {
			return nil
		}
		return p.t.keptAs(arn).Begin(m.FullChainPEM, m.KeyPEM) // nothing uses it yet
	}
	// The answer may have got lost on its way; what was refused is not there.
	if p.over && !refused(err) {
		return errors.Join(err, p.undo(context.WithoutCancel(ctx)))
	}
	return err
}

// move has the distribution show it, and waits until it does everywhere.
func (p *putting) move(ctx context.Context) (err error) {
	t := p.t
	p.moved, p.before, err = t.front.change(ctx, t.o.Distribution, func(v *viewer, doc []byte) ([]byte, error) {
		if v.shows(p.arn) {
			return nil, nil
		}
		if to := v.protocol(t.o.MinProtocol); v.own() && to != v.known[minimum] {
			t.o.Env.Log.Warn("the distribution's minimum protocol is raised; min_protocol says to what", "target", name, "from", v.known[minimum], "to", to)
		}
		return v.replace(doc, v.with(p.arn, t.o.MinProtocol)), nil
	})
	if err != nil || !p.moved {
		return err
	}
	t.dist = nil
	return t.front.deployed(ctx, t.o.Distribution, t.o.Within)
}

// undo takes back what was done. A certificate that was imported for the first time stays
// in ACM, where nothing uses it; the next delivery finds it.
func (p *putting) undo(ctx context.Context) error {
	t := p.t
	var errs []error
	if p.moved {
		_, _, err := t.front.change(ctx, t.o.Distribution, func(v *viewer, doc []byte) ([]byte, error) {
			switch {
			case string(v.element(doc)) == string(p.before):
				return nil, nil
			case !v.shows(p.arn):
				return nil, fmt.Errorf("distribution %s was changed by somebody else in the meantime; that stays", t.o.Distribution)
			}
			return v.replace(doc, p.before), nil
		})
		errs = append(errs, err)
		t.dist = nil
	}
	switch {
	case p.over && p.old == nil:
		errs = append(errs, fmt.Errorf("ACM has the new certificate as %s; what was there before was not delivered from here, and ACM gives no keys back", p.arn))
	case p.over:
		leaf, chain := split(p.old)
		_, err := t.acm.put(ctx, p.arn, t.o.Env.Name, leaf, chain, p.old.Key)
		errs = append(errs, err)
	}
	return errors.Join(errs...)
}

// split takes leaf and chain apart.
func split(p *kept.Pair) (leaf, chain []byte) {
	const end = "-----END CERTIFICATE-----\n"
	i := strings.Index(string(p.Chain), end) + len(end)
	return p.Chain[:i], p.Chain[i:]
}
