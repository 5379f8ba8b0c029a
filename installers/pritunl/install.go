package pritunl

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/api"
	"edge/installers/delivery"
)

// Target is a web console. It implements delivery.Placed and delivery.Patient. Safe for
// concurrent use.
type Target struct{ o Options }

var (
	_ delivery.Placed  = (*Target)(nil)
	_ delivery.Patient = (*Target)(nil)
)

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "pritunl" }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.Server }

// Settings implements delivery.Target.
func (t *Target) Settings() string { return "address=" + t.o.Address }

// Plan implements delivery.Target.
func (t *Target) Plan(context.Context, *delivery.Material) []string {
	return []string{"set server_cert and server_key of " + t.o.Server + ", which starts its web server anew"}
}

// Within implements delivery.Patient: the web server is started anew when the API has
// answered.
func (t *Target) Within() time.Duration { return time.Minute }

// Places implements delivery.Placed.
func (t *Target) Places(_ context.Context, m *delivery.Material, _ json.RawMessage) ([]installers.Endpoint, error) {
	return delivery.Asked([]installers.Endpoint{{Addr: t.o.Address}}, m), nil
}

// note is what a delivery remembers.
type note struct {
	Leaf string `json:"sha256"`
}

// open makes a client. Behind a fingerprint, the console may show what edge delivered.
func (t *Target) open(m *delivery.Material, data json.RawMessage) (*api.Client, error) {
	var pins []string
	if t.o.Fingerprint != "" {
		pins = []string{t.o.Fingerprint, hex.EncodeToString(m.Leaf[:])}
		var n note
		if json.Unmarshal(data, &n) == nil && n.Leaf != "" {
			pins = append(pins, n.Leaf)
		}
	}
	c, err := t.o.API(api.Options{
		Base: t.o.Server, Roots: t.o.Roots, Fingerprint: strings.Join(pins, ","), Secrets: []string{t.o.Token, t.o.Secret},
		Timeout: t.o.Timeout, Sign: t.o.sign,
	})
	if err != nil {
		return nil, fmt.Errorf("pritunl: %w", err)
	}
	return c, nil
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	c, err := t.open(m, data)
	if err != nil {
		return nil, err
	}
	s, err := t.get(ctx, c)
	if err != nil {
		return nil, err
	}
	var list []string
	if !s.has(m.FullChainPEM, m.KeyPEM) {
		list = append(list, t.o.Server+" has another certificate or key")
	}
	if s.domain() != "" {
		list = append(list, t.o.Server+" orders a certificate itself, for "+clip(s.domain()))
	}
	return list, nil
}

// restoreTime is how long it may take to put back what was there, when the run may be over.
const restoreTime = time.Minute

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, data json.RawMessage) (delivery.Change, error) {
	if err := fit(m); err != nil {
		return delivery.Change{}, err
	}
	c, err := t.open(m, data)
	if err != nil {
		return delivery.Change{}, err
	}
	old, err := t.get(ctx, c)
	if err != nil {
		return delivery.Change{}, err
	}
	if old.domain() != "" && !t.o.ClearACME {
		return delivery.Change{}, fmt.Errorf("pritunl: %s orders its certificate itself, for %s, and would write it over this one; take the Lets Encrypt domain out of its settings, or say clear_acme: true",
			t.o.Server, clip(old.domain()))
	}
	if err := t.replace(ctx, c, old, m); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		if err := t.settle(ctx, c, old, m, err); err != nil {
			return delivery.Change{}, err
		}
	}
	raw, err := json.Marshal(note{hex.EncodeToString(m.Leaf[:])})
	if err != nil {
		return delivery.Change{}, err
	}
	return delivery.Change{Data: raw, Undo: func(ctx context.Context) error {
		now, err := t.get(ctx, c)
		if err != nil || !now.has(m.FullChainPEM, m.KeyPEM) {
			return err // somebody else has changed it since
		}
		return t.restore(ctx, c, old)
	}}, nil
}

// fit checks what the server would take without showing it.
func fit(m *delivery.Material) error {
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return fmt.Errorf("pritunl: the server would take it, but %w", err)
	}
	switch m.Key.Public().(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
		return nil
	}
	return errors.New("pritunl: keys are RSA or ECDSA: the console would not be seen with another kind; order the certificate with --key-type ecdsa")
}

func (t *Target) replace(ctx context.Context, c *api.Client, old *settings, m *delivery.Material) error {
	if old.domain() != "" {
		if err := t.acme(ctx, c, nil); err != nil {
			return err
		}
	}
	chain, key := string(m.FullChainPEM), string(m.KeyPEM)
	return t.put(ctx, c, &chain, &key)
}

// settle finds out what came of requests that failed, and takes back what did. No error:
// all was done.
func (t *Target) settle(ctx context.Context, c *api.Client, old *settings, m *delivery.Material, failure error) error {
	now, err := t.get(ctx, c)
	switch {
	case err != nil:
		return fmt.Errorf("%w; whether it was done cannot be seen: %w", failure, err)
	case now.has(m.FullChainPEM, m.KeyPEM) && now.domain() == "" && !old.has(m.FullChainPEM, m.KeyPEM):
		return nil
	case old.Cert != nil && old.Key != nil && now.has([]byte(*old.Cert), []byte(*old.Key)) && now.domain() == old.domain():
		return failure
	}
	return errors.Join(failure, t.restore(ctx, c, old))
}

// restore puts back what was there. A domain comes last: it has Pritunl order anew.
func (t *Target) restore(ctx context.Context, c *api.Client, old *settings) error {
	if err := t.put(ctx, c, old.Cert, old.Key); err != nil {
		return err
	}
	if old.domain() == "" {
		return nil
	}
	return t.acme(ctx, c, old.ACME)
}
