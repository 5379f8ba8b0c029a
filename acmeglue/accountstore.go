package acmeglue

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// storageAccounts keeps an account where certmagic does:
//
//	acme/<issuer key>/users/<address>/<user>.json   what the CA said
//	acme/<issuer key>/users/<address>/<user>.key    PEM
//	acme/<issuer key>/users/<address>/<user>.next   PEM: a key to change to
type storageAccounts struct {
	storage certmagic.Storage
	ca      string // issuer key
	base    string
}

func newStorageAccounts(storage certmagic.Storage, ca, email string) *storageAccounts {
	email = strings.ToLower(email)
	if email == "" {
		email = "default"
	}
	user, _, _ := strings.Cut(email, "@")
	safe := certmagic.StorageKeys.Safe
	return &storageAccounts{storage, ca, path.Join("acme", ca, "users", safe(email), safe(user))}
}

func (s *storageAccounts) registration() string { return s.base + ".json" }
func (s *storageAccounts) key() string          { return s.base + ".key" }
func (s *storageAccounts) next() string         { return s.base + ".next" }

// Load returns an account that is complete in storage, or fs.ErrNotExist.
func (s *storageAccounts) Load(ctx context.Context) (Account, error) {
	b, err := s.storage.Load(ctx, s.registration())
	if err != nil {
		return Account{}, err
	}
	var w acme.Account
	if err := json.Unmarshal(b, &w); err != nil || w.Location == "" || w.Status != acme.StatusValid {
		return Account{}, fs.ErrNotExist // its key may still be of use
	}
	a := Account{Location: w.Location, Status: w.Status, Contact: w.Contact, Orders: w.Orders}
	a.Key, err = s.loadKey(ctx, s.key())
	return a, err
}

func (s *storageAccounts) loadKey(ctx context.Context, key string) (crypto.Signer, error) {
	b, err := s.storage.Load(ctx, key)
	if err != nil {
		return nil, err
	}
	signer, err := certmagic.PEMDecodePrivateKey(b)
	if err != nil {
		return nil, fmt.Errorf("its key %s cannot be read: %w; move it away to register a new account", key, err)
	}
	return signer, nil
}

func (s *storageAccounts) NewKey(ctx context.Context) (crypto.Signer, error) {
	place := s.key() // nobody is registered with it
	if _, err := s.Load(ctx); err == nil {
		place = s.next()
	}
	key, err := s.loadKey(ctx, place)
	if !errors.Is(err, fs.ErrNotExist) {
		return key, err
	}
	made, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	return made, s.storeKey(ctx, place, made)
}

func (s *storageAccounts) storeKey(ctx context.Context, place string, key crypto.Signer) error {
	b, err := certmagic.PEMEncodePrivateKey(key)
	if err != nil {
		return err
	}
	return s.storage.Store(ctx, place, b)
}

func (s *storageAccounts) Save(ctx context.Context, a Account) error {
	have, err := s.loadKey(ctx, s.key())
	if err != nil || !sameKey(have, a.Key) {
		if err := s.storeKey(ctx, s.key(), a.Key); err != nil {
			return err
		}
	}
	w := a.wire()
	w.TermsOfServiceAgreed = true
	b, err := json.MarshalIndent(w, "", "\t")
	if err != nil {
		return err
	}
	if err := s.storage.Store(ctx, s.registration(), b); err != nil {
		return err
	}
	return s.storage.Delete(ctx, s.next())
}

func (s *storageAccounts) Forget(ctx context.Context, a Account) error {
	err := s.storage.Delete(ctx, s.registration())
	if a.Status == acme.StatusDeactivated {
		err = errors.Join(err, s.storage.Delete(ctx, s.key()), s.storage.Delete(ctx, s.next()))
	}
	return err
}

func (s *storageAccounts) Lock(ctx context.Context) (func(), error) {
	name := "edge_account_" + s.ca
	if err := s.storage.Lock(ctx, name); err != nil {
		return nil, err
	}
	return func() {
		// One that cannot be released goes stale by itself.
		_ = s.storage.Unlock(context.WithoutCancel(ctx), name)
	}, nil
}

// sameKey reports whether two private keys have one public key.
func sameKey(a, b crypto.Signer) bool {
	if a == nil || b == nil {
		return false
	}
	pub, ok := a.Public().(interface{ Equal(crypto.PublicKey) bool })
	return ok && pub.Equal(b.Public())
}
