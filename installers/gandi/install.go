package gandi

import (
	"context"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
)

// HostingOptions are what a Hosting is made of.
type HostingOptions struct {
	Key     string // of the old interface
	URL     string // https://rpc.gandi.net/xmlrpc/
	Roots   *x509.CertPool
	Timeout time.Duration
}

// Hosting is the certificate store of an account, from which the old hosting took the
// certificate for a virtual host by its name. It implements delivery.Target.
type Hosting struct {
	o    HostingOptions
	api  *api.Client
	path string
}

var _ delivery.Patient = (*Hosting)(nil)

func newHosting(o HostingOptions, client func(api.Options) (*api.Client, error)) (*Hosting, error) {
	if !oldKey.MatchString(o.Key) {
		return nil, errors.New("gandi: the key of the old interface has 24 letters and digits; write api_key: file:PATH")
	}
	base := strings.TrimSuffix(o.URL, "/")
	c, err := client(api.Options{Base: base, Roots: o.Roots, Secrets: []string{o.Key}, Timeout: o.Timeout, Sign: func(r *http.Request, _ []byte) error {
		r.Header.Set("Accept", "text/xml")
		return nil
	}})
	if err != nil {
		return nil, fmt.Errorf("gandi: xmlrpc: %w", err)
	}
	return &Hosting{o: o, api: c, path: o.URL[len(base):]}, nil
}

// Kind implements delivery.Target.
func (h *Hosting) Kind() string { return "gandi" }

// Where implements delivery.Target.
func (h *Hosting) Where() string { return h.o.URL }

// Settings implements delivery.Target.
func (h *Hosting) Settings() string { return "" }

// Within implements delivery.Patient: the hosting's front ends look from time to time.
func (h *Hosting) Within() time.Duration { return 5 * time.Minute }

// Plan implements delivery.Target.
func (h *Hosting) Plan(_ context.Context, m *delivery.Material) []string {
	return []string{"create a hosted certificate for " + strings.Join(m.Hosts, ", ") + " at " + h.o.URL}
}

// data is what Put notes.
type data struct {
	ID int64 `json:"id"`
}

func parse(raw json.RawMessage) (d data, err error) {
	if raw != nil {
		err = json.Unmarshal(raw, &d)
	}
	return d, err
}

// Look implements delivery.Target.
func (h *Hosting) Look(ctx context.Context, _ *delivery.Material, raw json.RawMessage) ([]string, error) {
	d, err := parse(raw)
	if err != nil || d.ID == 0 {
		return []string{"nothing is known of an earlier delivery"}, err
	}
	got, err := h.call(ctx, true, "cert.hosted.info", d.ID)
	if gone(err) {
		return []string{fmt.Sprintf("the hosted certificate %d is not there any more", d.ID)}, nil
	}
	if err != nil {
		return nil, err
	}
	if m, ok := got.(map[string]any); !ok || m["id"] != d.ID {
		return nil, fmt.Errorf("gandi: cert.hosted.info of %d: the answer is about something else", d.ID)
	}
	return nil, nil
}

// Put implements delivery.Target: a new entry in the store. It has no chain; what is
// known of the store is that it takes RSA keys of 2048 bits.
func (h *Hosting) Put(ctx context.Context, m *delivery.Material, raw json.RawMessage) (delivery.Change, error) {
	old, err := parse(raw)
	if err != nil {
		return delivery.Change{}, err
	}
	key, err := fit(m)
	if err != nil {
		return delivery.Change{}, err
	}
	got, err := h.call(ctx, false, "cert.hosted.create", map[string]any{"crt": string(m.CertPEM), "key": string(key)})
	if err != nil {
		return delivery.Change{}, err
	}
	created, _ := got.(map[string]any)
	id, ok := created["id"].(int64)
	if !ok || id <= 0 {
		return delivery.Change{}, errors.New("gandi: cert.hosted.create: the answer has no id")
	}
	note, err := json.Marshal(data{id})
	if err != nil {
		return delivery.Change{}, err
	}
	return delivery.Change{
		Data: note,
		Undo: func(ctx context.Context) error { return h.remove(ctx, id) },
		Commit: func(ctx context.Context) error {
			if old.ID == 0 || old.ID == id {
				return nil
			}
			return h.remove(ctx, old.ID)
		},
		Warnings: []string{"gandi: the old hosting interface may be switched off at any time; Gandi issues certificates itself today"},
	}, nil
}

// fit refuses what the store does not take, and returns the key as PKCS #8.
func fit(m *delivery.Material) ([]byte, error) {
	bad := func(why string) ([]byte, error) {
		return nil, fmt.Errorf("gandi: the old hosting takes RSA certificates of 2048 bits only: %s; issue one with key_type: rsa2048", why)
	}
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return nil, fmt.Errorf("gandi: %w", err)
	}
	public, ok := m.Certs[0].PublicKey.(*rsa.PublicKey)
	if !ok {
		return bad("the key is of another kind")
	}
	if bits := public.N.BitLen(); bits != 2048 {
		return bad(fmt.Sprintf("the key has %d", bits))
	}
	der, err := x509.MarshalPKCS8PrivateKey(m.Key)
	if err != nil {
		return nil, err
	}
	return pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der}), nil
}

func (h *Hosting) remove(ctx context.Context, id int64) error {
	if _, err := h.call(ctx, true, "cert.hosted.delete", id); err != nil && !gone(err) {
		return err
	}
	return nil
}

// gone reports a fault that says that there is no such certificate: "Error on object :
// OBJECT_CERT (CAUSE_NOTFOUND)".
func gone(err error) bool {
	var f *fault
	return errors.As(err, &f) && strings.Contains(f.Says, "CAUSE_NOTFOUND")
}

// call calls a method. Again: it may be sent again where nobody knows whether it arrived.
func (h *Hosting) call(ctx context.Context, again bool, method string, params ...any) (any, error) {
	resp, err := h.api.Do(ctx, api.Request{
		Method: http.MethodPost, Path: h.path, Type: "text/xml", Again: again,
		Body: encodeCall(method, append([]any{h.o.Key}, params...)...),
	})
	if err != nil {
		return nil, fmt.Errorf("gandi: %s: %w", method, err)
	}
	got, err := decodeResponse(resp.Body)
	if err != nil {
		var f *fault
		if errors.As(err, &f) {
			f.Says = strings.ReplaceAll(f.Says, h.o.Key, "[secret]")
		}
		return nil, fmt.Errorf("gandi: %s: %w", method, err)
	}
	return got, nil
}
