package acmeglue

import (
	"context"
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"net/netip"
	"path"
	"strings"
	"sync"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// certStore keeps certificates in certmagic's layout:
//
//	certificates/<issuer key>/<name>/<name>.key   PEM
//	certificates/<issuer key>/<name>/<name>.crt   PEM, leaf first
//	certificates/<issuer key>/<name>/<name>.json  certmagic.CertificateResource
//
// Three files cannot be replaced at once. So all three are first written as one
// file under edge/journal, which is removed when they are in place: whoever dies
// in between finds the old certificate or the new one after recover.
type certStore struct {
	storage certmagic.Storage
	log     *slog.Logger

	mu sync.Mutex
	// What recover could not put in place, by journal key: a full disk must not
	// keep edge from serving what it has.
	unfinished map[string]*journalled
}

// stored is one certificate as it lies in storage.
type stored struct {
	chain, key []byte // PEM
	meta       acme.Certificate
	sans       []string
}

const (
	certsPrefix   = "certificates"
	journalPrefix = "edge/journal"
	backoffPrefix = "edge/backoff"
	usedKey       = "edge/used.json"
)

// journalled is the content of a journal file.
type journalled struct {
	IssuerKey string          `json:"issuer_key"`
	Name      string          `json:"name"`
	Chain     string          `json:"chain"`
	Key       string          `json:"key"`
	Meta      json.RawMessage `json:"meta"`
}

func journalKey(issuerKey, name string) string {
	k := certmagic.StorageKeys
	return path.Join(journalPrefix, k.Safe(issuerKey)+"--"+k.Safe(name)+".json")
}

func (s *certStore) load(ctx context.Context, issuerKey, name string) (*stored, error) {
	keys := certmagic.StorageKeys
	s.mu.Lock()
	j := s.unfinished[journalKey(issuerKey, name)]
	s.mu.Unlock()
	if j != nil {
		st := &stored{chain: []byte(j.Chain), key: []byte(j.Key)}
		return st, st.decodeMeta(j.Meta)
	}
	chain, err := s.storage.Load(ctx, keys.SiteCert(issuerKey, name))
	if err != nil {
		return nil, err
	}
	key, err := s.storage.Load(ctx, keys.SitePrivateKey(issuerKey, name))
	if err != nil {
		return nil, err
	}
	st := &stored{chain: chain, key: key}
	// The metadata is a convenience: a chain and a key are served without it.
	if raw, err := s.storage.Load(ctx, keys.SiteMeta(issuerKey, name)); err == nil {
		if err := st.decodeMeta(raw); err != nil {
			s.log.Warn("metadata of a certificate is unreadable and was ignored",
				"name", name, "file", keys.SiteMeta(issuerKey, name), "error", err)
		}
	}
	return st, nil
}

func (st *stored) decodeMeta(raw []byte) error {
	var res certmagic.CertificateResource
	if err := json.Unmarshal(raw, &res); err != nil {
		return err
	}
	st.sans = res.SANs
	if len(res.IssuerData) == 0 {
		return nil
	}
	return json.Unmarshal(res.IssuerData, &st.meta)
}

func (st *stored) encodeMeta() ([]byte, error) {
	data, err := json.Marshal(st.meta)
	if err != nil {
		return nil, err
	}
	return json.MarshalIndent(certmagic.CertificateResource{SANs: st.sans, IssuerData: data}, "", "\t")
}

// save replaces the certificate of name. After an error the old one is still
// whole, or the journal has the new one.
func (s *certStore) save(ctx context.Context, issuerKey, name string, st *stored) error {
	meta, err := st.encodeMeta()
	if err != nil {
		return err
	}
	j := journalled{IssuerKey: issuerKey, Name: name, Chain: string(st.chain), Key: string(st.key), Meta: meta}
	raw, err := json.Marshal(j)
	if err != nil {
		return err
	}
	if err := s.storage.Store(ctx, journalKey(issuerKey, name), raw); err != nil {
		return err
	}
	return s.carryOut(ctx, &j)
}

// carryOut puts the files of a journal entry in place and removes the entry.
// It may be repeated.
func (s *certStore) carryOut(ctx context.Context, j *journalled) error {
	keys := certmagic.StorageKeys
	for _, f := range []struct {
		key   string
		value []byte
	}{
		{keys.SitePrivateKey(j.IssuerKey, j.Name), []byte(j.Key)},
		{keys.SiteCert(j.IssuerKey, j.Name), []byte(j.Chain)},
		{keys.SiteMeta(j.IssuerKey, j.Name), j.Meta},
	} {
		if err := s.storage.Store(ctx, f.key, f.value); err != nil {
			return err
		}
	}
	s.mu.Lock()
	delete(s.unfinished, journalKey(j.IssuerKey, j.Name))
	s.mu.Unlock()
	return s.storage.Delete(ctx, journalKey(j.IssuerKey, j.Name))
}

// recover finishes the writes that a crash interrupted. It reports trouble to
// the log alone, since what can be served has to be served.
func (s *certStore) recover(ctx context.Context) error {
	entries, err := s.list(ctx, journalPrefix)
	if err != nil {
		return err
	}
	for _, key := range entries {
		if path.Ext(key) != ".json" {
			continue // the temporary file of a journal entry that never was
		}
		err := s.redo(ctx, key)
		if err != nil && !errors.Is(err, fs.ErrNotExist) { // or another process was quicker
			s.log.Warn("an interrupted write was not finished", "file", key, "error", err)
		}
	}
	return nil
}

// redo carries out one journal entry. An entry older than what is in place
// (another program renewed meanwhile), or one that is damaged, is dropped.
func (s *certStore) redo(ctx context.Context, key string) error {
	raw, err := s.storage.Load(ctx, key)
	if err != nil {
		return err
	}
	var j journalled
	if err := json.Unmarshal(raw, &j); err != nil {
		return errors.Join(err, s.storage.Delete(ctx, key))
	}
	var shared share
	fresh, err := shared.parse([]byte(j.Chain), []byte(j.Key))
	if err != nil {
		return errors.Join(err, s.storage.Delete(ctx, key))
	}
	if st, err := s.load(ctx, j.IssuerKey, j.Name); err == nil {
		if have, err := shared.parse(st.chain, st.key); err == nil && have.notBefore.After(fresh.notBefore) {
			return s.storage.Delete(ctx, key)
		}
	}
	s.log.Info("finishing an interrupted write", "name", j.Name)
	if err := s.carryOut(ctx, &j); err != nil {
		s.mu.Lock()
		defer s.mu.Unlock()
		if s.unfinished == nil {
			s.unfinished = make(map[string]*journalled)
		}
		s.unfinished[key] = &j
		return err
	}
	return nil
}

// saveMeta replaces the metadata alone.
func (s *certStore) saveMeta(ctx context.Context, issuerKey, name string, st *stored) error {
	raw, err := st.encodeMeta()
	if err != nil {
		return err
	}
	return s.storage.Store(ctx, certmagic.StorageKeys.SiteMeta(issuerKey, name), raw)
}

// remove deletes the certificate of name.
func (s *certStore) remove(ctx context.Context, issuerKey, name string) error {
	return s.storage.Delete(ctx, certmagic.StorageKeys.CertsSitePrefix(issuerKey, name))
}

// issuers lists the storage keys of the CAs that certificates are there from.
func (s *certStore) issuers(ctx context.Context) ([]string, error) {
	keys, err := s.list(ctx, certsPrefix)
	for i := range keys {
		keys[i] = path.Base(keys[i])
	}
	return keys, err
}

// names lists what certificates of one CA are for, as far as folder names tell.
func (s *certStore) names(ctx context.Context, issuerKey string) ([]string, error) {
	keys, err := s.list(ctx, path.Join(certsPrefix, issuerKey))
	for i := range keys {
		keys[i] = unsafeName(path.Base(keys[i]))
	}
	return keys, err
}

// unsafeName undoes certmagic's StorageKeys.Safe for the names that edge knows.
func unsafeName(dir string) string {
	if rest, ok := strings.CutPrefix(dir, "wildcard_."); ok {
		return "*." + rest
	}
	if a, err := netip.ParseAddr(strings.ReplaceAll(dir, "-", ":")); err == nil {
		return a.String() // IPv6: Safe turned each ":" into "-"
	}
	return dir
}

// list returns the keys right below a prefix, none where it does not exist.
func (s *certStore) list(ctx context.Context, prefix string) ([]string, error) {
	keys, err := s.storage.List(ctx, prefix, false)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list %s in storage: %w", prefix, err)
	}
	return keys, nil
}

// lock keeps other processes from ordering for the same name; Caddy uses the
// same lock. The returned function releases it.
func (s *certStore) lock(ctx context.Context, name string) (func(), error) {
	key := "issue_cert_" + name
	if err := s.storage.Lock(ctx, key); err != nil {
		return nil, fmt.Errorf("lock %s in storage: %w", key, err)
	}
	return func() {
		if err := s.storage.Unlock(context.WithoutCancel(ctx), key); err != nil {
			s.log.Warn("a lock could not be released; it goes stale by itself", "name", name, "error", err)
		}
	}, nil
}

// window reads the renewal window from the metadata.
func (st *stored) window() *RenewWindow {
	ri := st.meta.RenewalInfo
	if ri == nil || !ri.HasWindow() {
		return nil
	}
	w := &RenewWindow{Start: ri.SuggestedWindow.Start, End: ri.SuggestedWindow.End, Selected: ri.SelectedTime, URL: ri.ExplanationURL}
	if ri.RetryAfter != nil {
		w.RetryAfter = *ri.RetryAfter
	}
	return w
}

// setWindow writes the renewal window into the metadata, as certmagic does.
func (st *stored) setWindow(w *RenewWindow) {
	if w == nil {
		st.meta.RenewalInfo = nil
		return
	}
	ri := &acme.RenewalInfo{ExplanationURL: w.URL, SelectedTime: w.Selected}
	ri.SuggestedWindow.Start, ri.SuggestedWindow.End = w.Start, w.End
	if !w.RetryAfter.IsZero() {
		ri.RetryAfter = &w.RetryAfter
	}
	if leaf := leafOf(st.chain); leaf != nil {
		if id, err := acme.ARIUniqueIdentifier(leaf); err == nil {
			ri.UniqueIdentifier = id
		}
	}
	st.meta.RenewalInfo = ri
}

// leafOf parses the first certificate of a PEM chain, nil where it is none.
func leafOf(chain []byte) *x509.Certificate {
	block, _ := pem.Decode(chain)
	if block == nil {
		return nil
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		return nil
	}
	return leaf
}
