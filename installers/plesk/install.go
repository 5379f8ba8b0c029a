package plesk

import (
	"bytes"
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
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/kept"
)

// Target is the sites of a Plesk that a certificate is for. It implements delivery.Placed
// and delivery.Patient. Safe for concurrent use.
type Target struct {
	o    Options
	kept *kept.Both
}

var (
	_ delivery.Placed  = (*Target)(nil)
	_ delivery.Patient = (*Target)(nil)
)

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "plesk" }

// Where implements delivery.Target.
func (t *Target) Where() string {
	if t.o.Server == "" {
		return t.o.Program
	}
	return t.o.Server
}

// Settings implements delivery.Target.
func (t *Target) Settings() string {
	return fmt.Sprintf("sites=%q address=%s secure_panel=%t", t.o.Sites, t.o.Address, t.o.SecurePanel)
}

// Plan implements delivery.Target.
func (t *Target) Plan(_ context.Context, m *delivery.Material) []string {
	wanted := t.o.Sites
	if len(wanted) == 0 {
		wanted = m.Hosts
	}
	list := []string{fmt.Sprintf("install it as \"edge SITE\" for the sites of %s at %s, and have them use it", strings.Join(wanted, ", "), t.Where())}
	if t.o.SecurePanel {
		list = append(list, "run "+t.o.certmng()+" --setup-cp-certificate")
	}
	return list
}

// Within implements delivery.Patient: Plesk gathers changes before it has web servers
// reload.
func (t *Target) Within() time.Duration { return 2 * time.Minute }

// Places implements delivery.Placed.
func (t *Target) Places(_ context.Context, m *delivery.Material, _ json.RawMessage) ([]installers.Endpoint, error) {
	list := delivery.Asked([]installers.Endpoint{{Addr: t.o.Address}}, m)
	if t.o.SecurePanel {
		port := "8443"
		if u, err := url.Parse(t.o.Server); err == nil && u.Port() != "" {
			port = u.Port()
		}
		list = append(list, installers.Endpoint{Addr: net.JoinHostPort(t.o.host(), port)})
	}
	return list, nil
}

// open is Plesk. Behind a fingerprint, the panel may show what edge delivered.
func (t *Target) open(m *delivery.Material) (server, error) {
	if t.o.Server == "" {
		return &programs{&t.o}, nil
	}
	var pins []string
	if t.o.Fingerprint != "" {
		delivered, err := t.kept.Fingerprints()
		if err != nil {
			return nil, fmt.Errorf("plesk: %w", err)
		}
		pins = append(delivered, t.o.Fingerprint, hex.EncodeToString(m.Leaf[:]))
	}
	return newPanel(&t.o, pins)
}

// siteName reports whether a text can be the name of a site.
func siteName(s string) bool {
	return s != "" && len(s) <= 253 && s[0] != '-' && s[0] != '.' && !strings.ContainsFunc(s, func(r rune) bool {
		return (r < 'a' || r > 'z') && (r < 'A' || r > 'Z') && (r < '0' || r > '9') && r != '-' && r != '.' && r != '_'
	})
}

// sites are those that get the certificate. www.X is of the site X, as in Plesk.
func (t *Target) sites(ctx context.Context, s server, m *delivery.Material) ([]*site, error) {
	var list []*site
	for _, name := range t.wanted(m) {
		found, err := s.site(ctx, name)
		if err != nil {
			return nil, err
		}
		if rest, www := strings.CutPrefix(name, "www."); found == nil && www && len(t.o.Sites) == 0 {
			if found, err = s.site(ctx, rest); err != nil {
				return nil, err
			}
		}
		if found == nil {
			return nil, fmt.Errorf("plesk: %s has no site %s; say which ones get the certificate with sites", t.Where(), name)
		}
		if !slices.ContainsFunc(list, func(o *site) bool { return o.name == found.name }) {
			list = append(list, found)
		}
	}
	return list, nil
}

func (t *Target) wanted(m *delivery.Material) []string {
	if len(t.o.Sites) > 0 {
		return t.o.Sites
	}
	var list []string
	for _, h := range m.Hosts {
		h = strings.TrimPrefix(h, "*.")
		if siteName(h) && !slices.Contains(list, h) {
			list = append(list, h)
		}
	}
	return list
}

// named is the name of a site's certificate: other than those of Plesk's own extension.
func (s *site) named() string { return "edge " + s.name }

// Look implements delivery.Target. Plesk gives no certificate back, so the live server is
// looked at: where it shows another one, that is put once more.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	s, err := t.open(m)
	if err != nil {
		return nil, err
	}
	sites, err := t.sites(ctx, s, m)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, one := range sites {
		if one.certificate != "" && one.certificate != one.named() {
			list = append(list, fmt.Sprintf("site %s uses the certificate %q", one.name, clip(one.certificate)))
		}
	}
	if t.o.Env.State != "" {
		last, err := t.kept.Last()
		switch {
		case err != nil:
			return nil, fmt.Errorf("plesk: %w", err)
		case last == nil || last.Leaf() != m.Leaf:
			list = append(list, "it is not kept for an undo")
		}
	}
	places, err := t.Places(ctx, m, data)
	if err != nil {
		return nil, err
	}
	for _, at := range places {
		if leaf, err := installers.Shows(ctx, at, m.Certs[0]); err == nil && !leaf.Equal(m.Certs[0]) {
			list = append(list, fmt.Sprintf("%s shows another certificate", at))
		}
	}
	return list, nil
}

// restoreTime is how long it may take to put back what was there, when the run may be over.
const restoreTime = 2 * time.Minute

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, _ json.RawMessage) (delivery.Change, error) {
	key, err := fit(m)
	if err != nil {
		return delivery.Change{}, err
	}
	s, err := t.open(m)
	if err != nil {
		return delivery.Change{}, err
	}
	sites, err := t.sites(ctx, s, m)
	if err != nil {
		return delivery.Change{}, err
	}
	for _, one := range sites {
		if strings.HasPrefix(one.certificate, "Lets Encrypt") && !t.o.TakeOver {
			return delivery.Change{}, fmt.Errorf("plesk: site %s uses the certificate %q, which Plesk's Let's Encrypt extension keeps; end that in the panel, or say take_over: true", one.name, clip(one.certificate))
		}
	}
	last, err := t.kept.Last()
	if err != nil {
		return delivery.Change{}, fmt.Errorf("plesk: %w", err)
	}
	if err := t.kept.Begin(m.FullChainPEM, key); err != nil {
		return delivery.Change{}, fmt.Errorf("plesk: %w", err)
	}
	w := &writing{t: t, s: s, next: pems{key, m.CertPEM, m.ChainPEM}}
	if last != nil {
		leaf, chain := split(last.Chain)
		w.last = &pems{last.Key, leaf, chain}
	}
	if err := w.all(ctx, sites); err != nil {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), restoreTime)
		defer cancel()
		return delivery.Change{}, errors.Join(err, w.undo(ctx))
	}
	c := delivery.Change{Warnings: w.warnings, Commit: func(context.Context) error { return t.kept.Done(m.FullChainPEM, key) }}
	if len(w.warnings) == 0 {
		c.Undo = w.undo
	}
	return c, nil
}

// fit checks what Plesk would take or refuse with few words; the key is one block.
func fit(m *delivery.Material) ([]byte, error) {
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return nil, fmt.Errorf("plesk: %w", err)
	}
	switch m.Key.Public().(type) {
	case *rsa.PublicKey, *ecdsa.PublicKey:
	default:
		return nil, errors.New("plesk: keys are RSA or ECDSA; order the certificate with --key-type rsa")
	}
	der, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		return nil, fmt.Errorf("plesk: %w", err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

// split takes the leaf from a chain.
func split(full []byte) (leaf, chain []byte) {
	block, rest := pem.Decode(full)
	if block == nil {
		return nil, nil
	}
	return pem.EncodeToMemory(block), bytes.TrimSpace(rest)
}
