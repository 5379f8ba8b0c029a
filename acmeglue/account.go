package acmeglue

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"

	"github.com/caddyserver/certmagic"
	"github.com/mholt/acmez/v3/acme"
)

// accountFor returns the account at this directory: from memory, from storage,
// or a new one. Many orders at once, also of several processes, make one account.
func (i *Issuer) accountFor(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account != nil {
		return *i.account, nil
	}
	account, err := i.loadAccount(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		account, err = i.makeAccount(ctx)
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("account at %s: %w", i.o.Directory, err)
	}
	if wanted := i.contact(); !slices.Equal(account.Contact, wanted) {
		account = i.updateContact(ctx, account, wanted)
	}
	i.account = &account
	return account, nil
}

// accountKeys are where certmagic keeps the account.
func (i *Issuer) accountKeys() (registration, key string) {
	email := strings.ToLower(i.o.Email)
	if email == "" {
		email = "default"
	}
	file, _, _ := strings.Cut(email, "@")
	base := path.Join("acme", i.key, "users", certmagic.StorageKeys.Safe(email), certmagic.StorageKeys.Safe(file))
	return base + ".json", base + ".key"
}

func (i *Issuer) contact() []string {
	if i.o.Email == "" {
		return nil
	}
	return []string{"mailto:" + i.o.Email}
}

// loadAccount returns an account that is complete in storage, or fs.ErrNotExist.
func (i *Issuer) loadAccount(ctx context.Context) (acme.Account, error) {
	registration, key := i.accountKeys()
	var a acme.Account
	b, err := i.o.Storage.Load(ctx, registration)
	if err != nil {
		return a, err
	}
	if err := json.Unmarshal(b, &a); err != nil || a.Location == "" || a.Status != acme.StatusValid {
		return a, fs.ErrNotExist // its key may still be of use
	}
	pemKey, err := i.o.Storage.Load(ctx, key)
	if err != nil {
		return a, err
	}
	if a.PrivateKey, err = certmagic.PEMDecodePrivateKey(pemKey); err != nil {
		return a, fmt.Errorf("its key %s cannot be read: %w; move it away to register a new account", key, err)
	}
	return a, nil
}

// makeAccount registers. The key is stored before the CA hears of it: should we
// die in between, the same key finds the account again (RFC 8555 section 7.3.1).
func (i *Issuer) makeAccount(ctx context.Context) (acme.Account, error) {
	_, key := i.accountKeys()
	if err := i.o.Storage.Lock(ctx, "edge_account_"+i.key); err != nil {
		return acme.Account{}, err
	}
	defer i.o.Storage.Unlock(context.WithoutCancel(ctx), "edge_account_"+i.key)
	if a, err := i.loadAccount(ctx); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	a := acme.Account{Contact: i.contact(), TermsOfServiceAgreed: true}
	pemKey, err := i.o.Storage.Load(ctx, key)
	switch {
	case err == nil:
		if a.PrivateKey, err = certmagic.PEMDecodePrivateKey(pemKey); err != nil {
			return a, fmt.Errorf("its key %s cannot be read: %w; move it away to register a new account", key, err)
		}
	case errors.Is(err, fs.ErrNotExist):
		if a.PrivateKey, err = ecdsa.GenerateKey(elliptic.P256(), rand.Reader); err != nil {
			return a, err
		}
		if pemKey, err = certmagic.PEMEncodePrivateKey(a.PrivateKey); err != nil {
			return a, err
		}
		if err := i.o.Storage.Store(ctx, key, pemKey); err != nil {
			return a, err
		}
	default:
		return a, err
	}
	if i.o.EAB != nil {
		if err := a.SetExternalAccountBinding(ctx, i.client, acme.EAB{KeyID: i.o.EAB.KID, MACKey: i.o.EAB.HMAC}); err != nil {
			return a, fmt.Errorf("external account binding: %w", err)
		}
	}
	if a, err = i.client.NewAccount(ctx, a); err != nil {
		return a, err
	}
	i.log.Info("account registered", "account", a.Location)
	return a, i.storeAccount(ctx, a)
}

func (i *Issuer) storeAccount(ctx context.Context, a acme.Account) error {
	registration, _ := i.accountKeys()
	b, err := json.MarshalIndent(a, "", "\t")
	if err != nil {
		return err
	}
	return i.o.Storage.Store(ctx, registration, b)
}

// updateContact tells the CA about a changed address. An account that cannot be
// updated is good enough to obtain certificates.
func (i *Issuer) updateContact(ctx context.Context, a acme.Account, contact []string) acme.Account {
	changed := a
	changed.Contact = contact
	got, err := i.client.UpdateAccount(ctx, changed)
	if err == nil {
		got.PrivateKey = a.PrivateKey
		got.Contact = contact
		err = i.storeAccount(ctx, got)
	}
	if err != nil {
		i.log.Warn("the account's contact could not be updated", "account", a.Location, "error", err)
		return a
	}
	return got
}

// dropAccount forgets an account that the CA does not know any more, so that
// the next order registers again with the same key.
func (i *Issuer) dropAccount(ctx context.Context, a acme.Account) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account == nil || i.account.Location != a.Location {
		return // somebody was quicker
	}
	i.account = nil
	registration, _ := i.accountKeys()
	if err := i.o.Storage.Delete(ctx, registration); err != nil {
		i.log.Warn("forget the account", "account", a.Location, "error", err)
	}
	i.log.Warn("the CA does not know the account any more; registering again", "account", a.Location)
}
