package delivery

import (
	"context"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"strings"

	"edge/installers"
)

// Look says how a delivery stands, and what Apply would do. It changes nothing. The
// material is nil where there is no certificate yet.
func (e *Engine) Look(ctx context.Context, it Item, m *Material) Result {
	r, err := e.load(&it)
	if err != nil {
		return unreadable(&it, err)
	}
	v := e.view(ctx, &it, m, r)
	return v.result(ctx, &it, m, r)
}

// Check is Look, with a note of what was seen, for Known.
func (e *Engine) Check(ctx context.Context, it Item, m *Material) Result {
	r, err := e.load(&it)
	if err != nil {
		return unreadable(&it, err)
	}
	v := e.view(ctx, &it, m, r)
	res := v.result(ctx, &it, m, r)
	r.State, r.Looked = res.State, e.Now()
	if res.State == InSync && v.asked {
		r.Verified = r.Looked
		res.Verified = r.Verified
	}
	if err := e.save(&it, r); err != nil {
		res.State, res.Error = Failed, err.Error()
	}
	return res
}

// Known says how a delivery stood when it was last looked at.
func (e *Engine) Known(it Item) Result {
	r, err := e.load(&it)
	if err != nil {
		return unreadable(&it, err)
	}
	res := r.known()
	res.Name, res.Target, res.Where = it.Name, it.Target.Kind(), it.Target.Where()
	return res
}

func unreadable(it *Item, err error) Result {
	return Result{Name: it.Name, Target: it.Target.Kind(), Where: it.Target.Where(), State: Failed, Error: err.Error()}
}

// view is what was seen of a delivery.
type view struct {
	put    []string // why the certificate has to be put
	unseen []string // what the live server shows that it should not
	asked  bool     // a live server was asked for it
	err    error    // nothing could be seen
}

func (e *Engine) view(ctx context.Context, it *Item, m *Material, r *record) view {
	var v view
	if m == nil {
		return v
	}
	switch {
	case r.Leaf == "":
		v.put = append(v.put, "it was never delivered")
	case r.Leaf != hex.EncodeToString(m.Leaf[:]):
		v.put = append(v.put, "there is a new certificate")
	case r.Chain != m.chainSum():
		v.put = append(v.put, "there is a new chain")
	case r.Begun != "":
		v.put = append(v.put, "a delivery was interrupted")
	case r.waits(m):
		v.put = append(v.put, r.Later)
	}
	if r.Leaf != "" && r.Settings != it.Target.Settings() {
		v.put = append(v.put, "the configuration was changed")
	}
	if len(v.put) == 0 {
		if v.put, v.err = it.Target.Look(ctx, m, r.Data); v.err != nil {
			return v
		}
		if t, ok := it.Target.(Asking); ok {
			v.asked = t.Asked()
		}
	}
	at, err := it.places(ctx, m, r.Data)
	if err != nil {
		v.err = err
		return v
	}
	v.asked = v.asked || len(at) > 0
	look(ctx, at, m.Certs[0], func(e installers.Endpoint, leaf *x509.Certificate, err error) {
		if why := otherwise(e, leaf, err, m.Certs[0]); why != "" {
			v.unseen = append(v.unseen, why)
		}
	})
	return v
}

func (v *view) result(ctx context.Context, it *Item, m *Material, r *record) Result {
	res := Result{
		Name: it.Name, Target: it.Target.Kind(), Where: it.Target.Where(),
		Delivered: r.Delivered, Verified: r.Verified, Attempt: r.Attempt, Failures: r.Failures, Error: r.Error,
		Reasons: append(append([]string(nil), v.put...), v.unseen...),
	}
	if m != nil {
		res.SHA256 = hex.EncodeToString(m.Leaf[:])
	}
	switch {
	case m == nil:
		res.State = Waiting
	case v.err != nil:
		res.State, res.Error = Failed, v.err.Error()
	case len(res.Reasons) == 0 && !v.asked && (r.Verified.IsZero() || it.verified() || it.asks()):
		res.State, res.Error, res.Failures = Unverified, "", 0
	case len(res.Reasons) == 0:
		res.State, res.Error, res.Failures = InSync, "", 0
	case r.Error != "":
		res.State = Failed
	case r.waits(m):
		res.State, res.Later = Pending, r.Later
	case r.Leaf == res.SHA256:
		res.State = Drifted
	default:
		res.State = Pending
	}
	if len(res.Reasons) > 0 && v.err == nil {
		res.Actions = actions(ctx, it, m, len(v.put) > 0)
	}
	return res
}

// actions are what Apply does, for people.
func actions(ctx context.Context, it *Item, m *Material, put bool) []string {
	var list []string
	if put {
		list = it.Target.Plan(ctx, m)
	}
	if len(it.Reload) > 0 {
		list = append(list, "run "+strings.Join(it.Reload, " "))
	}
	for _, e := range it.Verify {
		list = append(list, fmt.Sprintf("look whether %s shows it", place(e)))
	}
	return list
}
