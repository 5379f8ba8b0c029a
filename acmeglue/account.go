package acmeglue

import (
	"context"
	"crypto"
	"encoding/base64"
	"errors"
	"fmt"
	"io/fs"
	"slices"
	"strings"

	"github.com/mholt/acmez/v3/acme"
)

// Account is an account at a CA (RFC 8555 section 7.1.2).
type Account struct {
	Location string   // URL
	Status   string   // "valid", "deactivated", "revoked"
	Contact  []string // "mailto:..."
	Orders   string   // URL, where the CA has one
	Key      crypto.Signer
}

// Thumbprint is that of the account's key (RFC 7638), as in key authorizations.
func (a Account) Thumbprint() (string, error) {
	if a.Key == nil {
		return "", errors.New("the account has no key")
	}
	w := a.wire()
	return w.Thumbprint()
}

func (a Account) wire() acme.Account {
	return acme.Account{Location: a.Location, Status: a.Status, Contact: a.Contact, Orders: a.Orders, PrivateKey: a.Key}
}

// AccountStore keeps the account of one CA. Its methods but Lock are called
// with the lock held, except for Load. Safe for concurrent use.
type AccountStore interface {
	// Load returns the account, or fs.ErrNotExist where none is registered.
	Load(ctx context.Context) (Account, error)
	// NewKey returns a key to register with, or to change to, which is stored
	// already: should the process die after the CA has heard of it, the next one
	// gets the same key, and finds the account by it. Save ends that.
	NewKey(ctx context.Context) (crypto.Signer, error)
	// Save stores an account that is registered, or that has changed; its key may
	// be another one than before.
	Save(ctx context.Context, a Account) error
	// Forget drops the account. One that was deactivated will never be of use
	// again; of another one, which the CA does not know any more, NewKey returns
	// the key.
	Forget(ctx context.Context, a Account) error
	// Lock keeps others, also other processes, from registering at the same time.
	Lock(ctx context.Context) (unlock func(), err error)
}

// Errors about accounts.
var (
	// ErrNoAccount is returned where there is no account, and none may be made.
	ErrNoAccount = errors.New("no account")
	// ErrEABRequired is returned where the CA takes only those whom it knows already.
	ErrEABRequired = errors.New("the CA requires external account binding: give the key ID and the HMAC key that it has for you")
)

// accountFor returns the account at this directory: from memory, from the store,
// or a new one. Many orders at once, also of several processes, make one account.
func (i *Issuer) accountFor(ctx context.Context) (acme.Account, error) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account != nil {
		return i.account.wire(), nil
	}
	account, err := i.accounts.Load(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist) && i.o.NoRegister:
		err = fmt.Errorf("%w is stored here; register first", ErrNoAccount)
	case errors.Is(err, fs.ErrNotExist):
		account, err = i.makeAccount(ctx)
	}
	if err != nil {
		return acme.Account{}, fmt.Errorf("account at %s: %w", i.o.Directory, err)
	}
	// Others' stores do not all keep the address: they update it by themselves.
	if wanted := i.contact(); i.o.Accounts == nil && !slices.Equal(account.Contact, wanted) {
		changed, err := i.changeContact(ctx, account, wanted)
		if err != nil {
			// An account that cannot be updated is good enough for certificates.
			i.log.Warn("the account's contact could not be updated", "account", account.Location, "error", err)
		} else {
			account = changed
		}
	}
	i.account = &account
	return account.wire(), nil
}

// contact are the addresses of Email, which may be several with commas between.
func (i *Issuer) contact() []string {
	var urls []string
	for mail := range strings.SplitSeq(i.o.Email, ",") {
		if mail = strings.TrimSpace(mail); mail != "" {
			urls = append(urls, "mailto:"+mail)
		}
	}
	return urls
}

// makeAccount registers. The key is stored before the CA hears of it: should we
// die in between, the same key finds the account again (RFC 8555 section 7.3.1).
func (i *Issuer) makeAccount(ctx context.Context) (Account, error) {
	unlock, err := i.accounts.Lock(ctx)
	if err != nil {
		return Account{}, err
	}
	defer unlock()
	if a, err := i.accounts.Load(ctx); err == nil || !errors.Is(err, fs.ErrNotExist) {
		return a, err
	}
	dir, err := i.client.GetDirectory(ctx)
	if err != nil {
		return Account{}, err
	}
	if i.o.EAB == nil && dir.Meta != nil && dir.Meta.ExternalAccountRequired {
		return Account{}, ErrEABRequired
	}
	key, err := i.accounts.NewKey(ctx)
	if err != nil {
		return Account{}, err
	}
	w := acme.Account{Contact: i.contact(), TermsOfServiceAgreed: true, PrivateKey: key}
	if i.o.EAB != nil {
		if w.ExternalAccountBinding, err = i.o.EAB.bind(key.Public(), dir.NewAccount); err != nil {
			return Account{}, fmt.Errorf("external account binding: %w", err)
		}
	}
	got, err := i.client.NewAccount(ctx, w)
	if err != nil {
		return Account{}, err
	}
	a := Account{Location: got.Location, Status: got.Status, Contact: w.Contact, Orders: got.Orders, Key: key}
	if a.Location == "" || a.Status != acme.StatusValid {
		return a, fmt.Errorf("the CA answered with an account %q of status %q", a.Location, a.Status)
	}
	i.log.Info("account registered", "account", a.Location)
	return a, i.accounts.Save(ctx, a)
}

// changeContact tells the CA about changed addresses, none to take them away.
func (i *Issuer) changeContact(ctx context.Context, a Account, contact []string) (Account, error) {
	changed := a
	changed.Contact = contact
	var err error
	if len(contact) > 0 {
		_, err = i.client.UpdateAccount(ctx, acme.Account{Location: a.Location, Contact: contact, PrivateKey: a.Key})
	} else {
		err = i.post(ctx, a, a.Location, struct {
			Contact []string `json:"contact"`
		}{[]string{}})
	}
	if err != nil {
		return a, err
	}
	unlock, err := i.accounts.Lock(ctx)
	if err != nil {
		return a, err
	}
	defer unlock()
	return changed, i.accounts.Save(ctx, changed)
}

// dropAccount forgets an account that the CA does not know any more, so that
// the next order registers again with the same key.
func (i *Issuer) dropAccount(ctx context.Context, a acme.Account) {
	i.mu.Lock()
	defer i.mu.Unlock()
	if i.account == nil || i.account.Location != a.Location {
		return // somebody was quicker
	}
	gone := *i.account
	i.account = nil
	unlock, err := i.accounts.Lock(ctx)
	if err == nil {
		err = i.accounts.Forget(ctx, gone)
		unlock()
	}
	if err != nil {
		i.log.Warn("forget the account", "account", a.Location, "error", err)
	}
	i.log.Warn("the CA does not know the account any more; registering again", "account", a.Location)
}

// EAB is an external account binding (RFC 8555 section 7.3.4).
type EAB struct {
	KID  string
	HMAC string // base64url; secret
	Alg  string // "HS256" where it is empty, "HS384", "HS512"
}

// bind signs the account's key with the key that the CA gave out.
func (e *EAB) bind(pub crypto.PublicKey, url string) ([]byte, error) {
	// People paste keys in either alphabet, with and without padding.
	mac, err := base64.RawURLEncoding.DecodeString(strings.NewReplacer("+", "-", "/", "_", "=", "").Replace(strings.TrimSpace(e.HMAC)))
	if err != nil {
		return nil, fmt.Errorf("the HMAC key is not base64url: %w", err)
	}
	return signMAC(e.Alg, e.KID, mac, pub, url)
}
