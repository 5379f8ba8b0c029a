package kubernetes

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
)

// Target is a secret. It implements delivery.Target. Safe for concurrent use.
type Target struct {
	o   Options
	api *api.Client
}

var _ delivery.Patient = (*Target)(nil)

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "kubernetes" }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.Server + " " + t.name() }

func (t *Target) name() string { return t.o.Namespace + "/" + t.o.Secret }

// Settings implements delivery.Target: nothing but Where shapes what is put.
func (t *Target) Settings() string { return "" }

// Within implements delivery.Patient: controllers watch secrets, but some have a pause
// between two looks, and files in pods are brought up to date once a minute.
func (t *Target) Within() time.Duration { return 90 * time.Second }

// Plan implements delivery.Target.
func (t *Target) Plan(context.Context, *delivery.Material) []string {
	return []string{fmt.Sprintf("put tls.crt and tls.key into the secret %s at %s", t.name(), t.o.Server)}
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, _ json.RawMessage) ([]string, error) {
	s, err := t.get(ctx)
	switch {
	case err != nil:
		return nil, err
	case s == nil:
		return []string{"the secret " + t.name() + " is missing"}, nil
	case !s.has(m.FullChainPEM, m.KeyPEM):
		return []string{"the secret " + t.name() + " has another certificate or key"}, nil
	}
	return nil, nil
}

// conflicts is how often somebody else may change the secret at the same time.
const conflicts = 5

// restoreTime is how long it may take to put back what was there, when the run may be over.
const restoreTime = time.Minute

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, _ json.RawMessage) (delivery.Change, error) {
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return delivery.Change{}, fmt.Errorf("kubernetes: secret %s: the API server would take it, but %w", t.name(), err)
	}
	var old *secret
	sent := false
	put := func(s *secret) (*secret, error) {
		if s != nil {
			if err := t.ours(s); err != nil {
				return nil, err
			}
			if sent && s.has(m.FullChainPEM, m.KeyPEM) {
				return s, nil // an answer was lost
			}
		}
		old, sent = s, true
		if s == nil {
			return t.fresh(m.FullChainPEM, m.KeyPEM), nil
		}
		return s.with(m.FullChainPEM, m.KeyPEM), nil
	}
	err := t.change(ctx, put)
	switch {
	case err != nil && !sent:
		return delivery.Change{}, err
	case err != nil: // nobody knows whether the last request was carried out
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		return delivery.Change{}, errors.Join(err, t.restore(ctx, old, m))
	}
	return delivery.Change{Undo: func(ctx context.Context) error { return t.restore(ctx, old, m) }}, nil
}

// restore puts back what was there before, where it is still ours that is there.
func (t *Target) restore(ctx context.Context, old *secret, m *delivery.Material) error {
	return t.change(ctx, func(s *secret) (*secret, error) {
		switch {
		case s == nil || !s.has(m.FullChainPEM, m.KeyPEM):
			return s, nil // it was not put, or somebody else has changed it since
		case old == nil:
			return nil, nil
		}
		return s.with(old.value(crt), old.value(key)), nil
	})
}

// change reads the secret, has it changed, and writes it, until nobody else has done so
// in between. No secret stands for one that is not there, or has to go.
func (t *Target) change(ctx context.Context, edit func(*secret) (*secret, error)) error {
	var err error
	for range conflicts {
		var now, next *secret
		if now, err = t.get(ctx); err != nil {
			return err
		}
		if next, err = edit(now); err != nil {
			return err
		}
		switch {
		case next == nil && now == nil, next != nil && now != nil && bytes.Equal(next.json(), now.json()):
			return nil
		case next == nil:
			err = t.delete(ctx, now)
		case now == nil:
			err = t.create(ctx, next)
		default:
			err = t.update(ctx, next)
		}
		if !conflict(err) {
			return err
		}
	}
	return fmt.Errorf("%w; somebody else changes it all the time", err)
}
