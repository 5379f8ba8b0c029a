package delivery

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"edge/installers"
)

// Apply makes a delivery, unless all is as it should be. When it fails, the target is
// as it was before and the server was told so; the record has why, and the next Apply
// tries again.
func (e *Engine) Apply(ctx context.Context, it Item, m *Material) Result {
	r, err := e.load(&it)
	if err != nil {
		return unreadable(&it, err)
	}
	if next := r.next(m); e.BackOff && e.Now().Before(next) {
		res := e.Known(it)
		res.State, res.Next = Failed, next
		return res
	}
	v := e.view(ctx, &it, m, r)
	if m == nil {
		return v.result(ctx, &it, m, r)
	}
	changed := false
	err = v.err
	if err == nil && len(v.put)+len(v.unseen) > 0 {
		changed = true
		v.asked, err = e.deliver(ctx, &it, m, r, len(v.put) > 0)
	}
	now := e.Now()
	r.Later = ""
	later := onlyLater(err)
	switch {
	case later != nil:
		r.Failures, r.Error, r.Later = 0, "", later.Why
		r.Attempt, r.Tried = now, hex.EncodeToString(m.Leaf[:])
		changed, err = false, nil
	case err != nil:
		r.Failures++
		r.Error = err.Error()
		r.Attempt, r.Tried = now, hex.EncodeToString(m.Leaf[:])
	default:
		r.Failures, r.Error = 0, ""
		if changed {
			r.Attempt = now
		}
		switch {
		case v.asked:
			r.Verified = now
		case it.verified():
			r.Verified = time.Time{} // where it was seen before is no more
		}
	}
	switch {
	case err != nil:
		r.State = Failed
	case later != nil:
		r.State = Pending
	case r.Verified.IsZero():
		r.State = Unverified
	default:
		r.State = InSync
	}
	r.Looked = now
	if serr := e.save(&it, r); serr != nil {
		err = errors.Join(err, serr)
	}
	res := Result{
		Name: it.Name, Target: it.Target.Kind(), Where: it.Target.Where(), SHA256: hex.EncodeToString(m.Leaf[:]), Changed: changed,
		Delivered: r.Delivered, Verified: r.Verified, Attempt: r.Attempt, Failures: r.Failures, State: r.State, Later: r.Later,
	}
	if err != nil {
		res.State, res.Error, res.Err, res.Next = Failed, err.Error(), err, r.next(m)
	}
	return res
}

// next is the time before which a delivery that failed is not tried again by itself. A
// new certificate is tried at once.
func (r *record) next(m *Material) time.Time {
	if m == nil || r.Tried != hex.EncodeToString(m.Leaf[:]) {
		return time.Time{}
	}
	return r.again()
}

// again is when the same certificate is tried again: after a minute, twice that after
// each further failure, six hours at most. Zero where nothing failed.
func (r *record) again() time.Time {
	if r.Failures == 0 {
		return time.Time{}
	}
	return r.Attempt.Add(min(time.Minute<<min(r.Failures-1, 10), 6*time.Hour))
}

// deliver puts, reloads and looks. The record is brought up to date, but for how it
// ended; the caller writes it. Asked says that the live server was.
func (e *Engine) deliver(ctx context.Context, it *Item, m *Material, r *record, put bool) (asked bool, err error) {
	if !put {
		return e.show(ctx, it, m, r.Data)
	}
	r.Begun = hex.EncodeToString(m.Leaf[:])
	if err := e.save(it, r); err != nil {
		return false, err
	}
	// What the server showed before is what it has to show after an undo.
	before, err := shown(ctx, it, m, r.Data)
	if err != nil {
		return false, err
	}
	c, err := it.put(ctx, m, r.Data)
	if later := onlyLater(err); later != nil && later.There {
		e.put(it, m, r, c)
		return false, err
	}
	if err != nil {
		r.Begun = ""
		return false, err
	}
	for _, w := range c.Warnings {
		e.log().Warn(w, "lineage", it.Name, "target", it.Target.Kind())
	}
	if asked, err = e.show(ctx, it, m, c.Data); err != nil {
		if c.Undo == nil {
			// It cannot be taken back, so what is there is what was put: the next run
			// puts it again, since the record does not have it as delivered.
			return false, fmt.Errorf("%w; %s cannot be undone", err, it.Target.Kind())
		}
		back, uerr := e.undo(context.WithoutCancel(ctx), it, c, before)
		if !back {
			return false, fmt.Errorf("%w; and it could not be undone: %w", err, uerr) // Begun stays
		}
		r.Begun = ""
		if uerr != nil {
			return false, fmt.Errorf("%w; what was there before is back, but may not be in use: %w", err, uerr)
		}
		return false, fmt.Errorf("%w; what was there before is back", err)
	}
	e.put(it, m, r, c)
	if err := e.save(it, r); err != nil {
		return asked, err // the certificate is there and shown; the next run finds it and notes it
	}
	if c.Commit != nil {
		if err := c.Commit(ctx); err != nil {
			e.log().Warn("the last version was not tidied up; the next delivery does it", "lineage", it.Name, "target", it.Target.Kind(), "error", err)
		}
	}
	return asked, nil
}

// putTimeout is for what a target does beside waiting for its server: one that hangs must
// not keep the others from being delivered to.
const putTimeout = 15 * time.Minute

// put notes what Put did.
func (e *Engine) put(it *Item, m *Material, r *record, c Change) {
	r.Leaf, r.Chain, r.Settings, r.Data, r.Begun = r.Begun, m.chainSum(), it.Target.Settings(), c.Data, ""
	r.Delivered, r.Verified = e.Now(), time.Time{}
	if c.Verified {
		r.Verified = r.Delivered
	}
}

func (it *Item) put(ctx context.Context, m *Material, data json.RawMessage) (Change, error) {
	limit := putTimeout + it.within()
	ctx, cancel := context.WithTimeoutCause(ctx, limit, fmt.Errorf("it has not ended after %v", limit))
	defer cancel()
	return it.Target.Put(ctx, m, data)
}

// show has the server take what is there, and waits until it shows the certificate. Asked
// is false where there is no place where it could.
func (e *Engine) show(ctx context.Context, it *Item, m *Material, data json.RawMessage) (asked bool, err error) {
	if err := e.reload(ctx, it); err != nil {
		return false, err
	}
	at, err := it.places(ctx, m, data)
	if err != nil || len(at) == 0 {
		return false, err
	}
	return true, await(ctx, at, m.Certs[0], it.within())
}

// places are all endpoints that have to show the certificate.
func (it *Item) places(ctx context.Context, m *Material, data json.RawMessage) ([]installers.Endpoint, error) {
	list := Asked(it.Verify, m)
	if p, ok := it.Target.(Placed); ok {
		more, err := p.Places(ctx, m, data)
		if err != nil {
			return nil, err
		}
		list = append(list, more...)
	}
	return list, nil
}

func (e *Engine) reload(ctx context.Context, it *Item) error {
	if len(it.Reload) == 0 {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, or(e.Reload, time.Minute))
	defer cancel()
	out, err := e.Run(ctx, it.Reload)
	if err != nil {
		return fmt.Errorf("reload: %w", err)
	}
	e.log().Debug("reload", "lineage", it.Name, "target", it.Target.Kind(), "command", strings.Join(it.Reload, " "), "output", out)
	return nil
}

// seen is what an endpoint showed.
type seen struct {
	installers.Endpoint
	leaf *x509.Certificate
}

// shown is what the server shows now; what shows nothing is left out.
func shown(ctx context.Context, it *Item, m *Material, data json.RawMessage) ([]seen, error) {
	at, err := it.places(ctx, m, data)
	if err != nil {
		return nil, err
	}
	var list []seen
	look(ctx, at, m.Certs[0], func(e installers.Endpoint, leaf *x509.Certificate, err error) {
		if err == nil {
			list = append(list, seen{e, leaf})
		}
	})
	return list, nil
}

// undo takes back what was put. It waits for the server to show what it did before,
// and has its own time for all of that: the run may be over.
func (e *Engine) undo(ctx context.Context, it *Item, c Change, before []seen) (back bool, err error) {
	ctx, cancel := context.WithTimeout(ctx, 2*or(e.Reload, time.Minute)+it.within())
	defer cancel()
	if err := c.Undo(ctx); err != nil {
		return false, err
	}
	if err := e.reload(ctx, it); err != nil {
		return true, err
	}
	for _, s := range before {
		if err := await(ctx, []installers.Endpoint{s.Endpoint}, s.leaf, it.within()); err != nil {
			return true, err
		}
	}
	return true, nil
}
