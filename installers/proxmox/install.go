package proxmox

import (
	"context"
	"crypto/ecdsa"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/kept"
)

// Target is the web interface of a node. It implements delivery.Target. Safe for
// concurrent use.
type Target struct {
	o    Options
	kept *kept.Both
}

var _ delivery.Target = (*Target)(nil)

// Shown is a Target that has the web server take the certificate. It implements
// delivery.Placed and delivery.Patient.
type Shown struct{ *Target }

var (
	_ delivery.Placed  = (*Shown)(nil)
	_ delivery.Patient = (*Shown)(nil)
)

// note is what a delivery remembers.
type note struct {
	Leaf    string `json:"sha256"`
	Address string `json:"address"`
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "proxmox" }

// Where implements delivery.Target.
func (t *Target) Where() string {
	if t.o.Server == "" {
		return t.o.Pvenode
	}
	return strings.TrimSpace(t.o.Server + " " + t.o.Node)
}

// Settings implements delivery.Target.
func (t *Target) Settings() string {
	return fmt.Sprintf("%s restart=%t address=%s", t.o.Product, t.o.Restart, t.o.Address)
}

// Plan implements delivery.Target.
func (t *Target) Plan(context.Context, *delivery.Material) []string {
	list := []string{"put the certificate and its key as the custom certificate of " + t.Where()}
	if t.o.Restart {
		list = append(list, "have the web server take it")
	}
	return list
}

// Within implements delivery.Patient: the reload is begun when the API has answered, and
// workers end what they do.
func (t *Shown) Within() time.Duration { return time.Minute }

// Places implements delivery.Placed.
func (t *Shown) Places(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]installers.Endpoint, error) {
	at := t.o.Address
	if n := read(data); at == "" {
		at = n.Address
	}
	if at == "" {
		h, err := t.open(ctx, m, data)
		if err != nil {
			return nil, err
		}
		at = h.address()
	}
	return delivery.Asked([]installers.Endpoint{{Addr: at}}, m), nil
}

func read(data json.RawMessage) note {
	var n note
	if json.Unmarshal(data, &n) != nil {
		return note{}
	}
	return n
}

// open is the node. Behind a fingerprint, it may show what edge delivered instead.
func (t *Target) open(ctx context.Context, m *delivery.Material, data json.RawMessage) (host, error) {
	if t.o.Server == "" {
		return &local{&t.o}, nil
	}
	var pins []string
	if t.o.Fingerprint != "" {
		delivered, err := t.kept.Fingerprints()
		if err != nil {
			return nil, fmt.Errorf("proxmox: %w", err)
		}
		pins = append(delivered, t.o.Fingerprint, hex.EncodeToString(m.Leaf[:]))
		if n := read(data); n.Leaf != "" {
			pins = append(pins, n.Leaf)
		}
	}
	return connect(ctx, &t.o, pins)
}

// now is the custom certificate of the node; nil where there is none.
func (t *Target) now(ctx context.Context, h host) (*[32]byte, error) {
	list, err := h.certificates(ctx)
	if err != nil {
		return nil, err
	}
	c := custom(list, t.o.Product)
	if c == nil {
		return nil, nil
	}
	leaf, err := c.leaf()
	return &leaf, err
}

func is(leaf *[32]byte, m *delivery.Material) bool { return leaf != nil && *leaf == m.Leaf }

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	h, err := t.open(ctx, m, data)
	if err != nil {
		return nil, err
	}
	now, err := t.now(ctx, h)
	if err != nil {
		return nil, err
	}
	if !is(now, m) {
		return []string{t.Where() + " has another certificate"}, nil
	}
	if t.o.State == "" {
		return nil, nil
	}
	last, err := t.kept.Last()
	if err != nil {
		return nil, fmt.Errorf("proxmox: %w", err)
	}
	if last == nil || last.Leaf() != m.Leaf {
		return []string{"it is not kept for an undo"}, nil
	}
	return nil, nil
}

// restoreTime is how long it may take to put back what was there, when the run may be over.
const restoreTime = time.Minute

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, data json.RawMessage) (delivery.Change, error) {
	key, err := fit(m)
	if err != nil {
		return delivery.Change{}, err
	}
	h, err := t.open(ctx, m, data)
	if err != nil {
		return delivery.Change{}, err
	}
	old, err := t.now(ctx, h)
	if err != nil {
		return delivery.Change{}, err
	}
	b, err := t.before(m, old, read(data))
	if err != nil {
		return delivery.Change{}, err
	}
	warnings, err := t.allowed(ctx, h, b)
	if err != nil {
		return delivery.Change{}, err
	}
	if err := t.kept.Begin(m.FullChainPEM, key); err != nil {
		return delivery.Change{}, fmt.Errorf("proxmox: %w", err)
	}
	if err := h.set(ctx, m.FullChainPEM, key, old != nil || t.o.Product == Backup); err != nil {
		if err = t.settle(ctx, h, m, b, err); err != nil {
			return delivery.Change{}, err
		}
	}
	raw, err := json.Marshal(note{hex.EncodeToString(m.Leaf[:]), h.address()})
	if err != nil {
		return delivery.Change{}, err
	}
	c := delivery.Change{Data: raw, Warnings: warnings, Commit: func(context.Context) error { return t.kept.Done(m.FullChainPEM, key) }}
	if b.back {
		c.Undo = func(ctx context.Context) error { return t.restore(ctx, h, m, b) }
	}
	return c, nil
}

// fit checks what the node would take without showing it, and makes the key one block
// without parameters, as it has to be.
func fit(m *delivery.Material) ([]byte, error) {
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return nil, fmt.Errorf("proxmox: %w", err)
	}
	switch k := m.Key.Public().(type) {
	case *rsa.PublicKey:
		if k.N.BitLen() < 2048 {
			return nil, fmt.Errorf("proxmox: the key has %d bits, browsers want 2048", k.N.BitLen())
		}
	case *ecdsa.PublicKey:
	default:
		return nil, errors.New("proxmox: keys are RSA or ECDSA: the web interface would not be seen with another kind; order the certificate with --key-type ecdsa")
	}
	der, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		return nil, fmt.Errorf("proxmox: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// before is what the node had.
type before struct {
	leaf    *[32]byte  // nil: its own certificate
	pair    *kept.Pair // nil: it is not kept, or it is what is delivered
	back    bool       // it can be put back
	foreign bool       // edge did not deliver it
}

func (t *Target) before(m *delivery.Material, old *[32]byte, n note) (before, error) {
	b := before{leaf: old}
	if old == nil {
		b.back = true
		return b, nil
	}
	find := *old
	if is(old, m) { // the same once more, or an attempt that was interrupted
		last, err := t.kept.Last()
		if err != nil || last == nil {
			return b, err
		}
		find = last.Leaf()
	}
	pair, err := t.kept.Find(find)
	if err != nil {
		return b, fmt.Errorf("proxmox: %w", err)
	}
	b.pair, b.back = pair, pair != nil
	b.foreign = pair == nil && hex.EncodeToString(old[:]) != n.Leaf
	return b, nil
}

// allowed refuses to replace what is somebody else's.
func (t *Target) allowed(ctx context.Context, h host, b before) (warnings []string, err error) {
	how, known, err := h.acme(ctx)
	switch {
	case err != nil:
		return nil, err
	case !known:
		warnings = append(warnings, "proxmox: whether the node orders certificates itself cannot be seen without Sys.Audit on it")
	case how != "" && !t.o.Force:
		return nil, fmt.Errorf("proxmox: %s orders its certificate itself (%s) and would write it over this one; take that out of the node's configuration, or say force: true", t.Where(), how)
	}
	if b.foreign && !t.o.Force {
		return nil, fmt.Errorf("proxmox: %s has a custom certificate that edge did not deliver (SHA-256 %X...), and its key cannot be read for an undo; delete it there, or say force: true", t.Where(), b.leaf[:8])
	}
	if !b.back {
		warnings = append(warnings, "proxmox: what was there cannot be put back if this fails, its key is not known")
	}
	return warnings, nil
}

// settle finds out what came of a request that failed. No error: it was carried out.
func (t *Target) settle(ctx context.Context, h host, m *delivery.Material, b before, failure error) error {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
	defer cancel()
	now, err := t.now(ctx, h)
	switch {
	case err != nil:
		return fmt.Errorf("%w; whether it was carried out cannot be seen: %w", failure, err)
	case is(now, m) && !is(b.leaf, m):
		return nil
	}
	return failure
}

// restore puts back what was there before, where what was put still is.
func (t *Target) restore(ctx context.Context, h host, m *delivery.Material, b before) error {
	now, err := t.now(ctx, h)
	switch {
	case err != nil:
		return err
	case !is(now, m):
		return nil // somebody else has changed it since
	case b.leaf == nil:
		return h.remove(ctx)
	}
	return h.set(ctx, b.pair.Chain, b.pair.Key, true)
}
