package acmeglue

import (
	"context"
	"crypto"
	"errors"
	"fmt"
	"io/fs"
	"maps"

	"github.com/mholt/acmez/v3/acme"
)

// DirectoryInfo is what a CA says about itself (RFC 8555 section 7.1.1).
type DirectoryInfo struct {
	TermsOfService string // URL
	Website        string // URL
	Profiles       map[string]string
	EABRequired    bool
	RenewalInfo    bool // RFC 9773
}

// Info reads the directory.
func (i *Issuer) Info(ctx context.Context) (DirectoryInfo, error) {
	ctx, pace := withPace(ctx)
	dir, err := i.client.GetDirectory(ctx)
	if err != nil {
		return DirectoryInfo{}, i.classify(pace.explain(err), "")
	}
	info := DirectoryInfo{RenewalInfo: dir.RenewalInfo != ""}
	if m := dir.Meta; m != nil {
		info.TermsOfService, info.Website, info.EABRequired = m.TermsOfService, m.Website, m.ExternalAccountRequired
		info.Profiles = maps.Clone(m.Profiles)
	}
	return info, nil
}

// Register returns the account, which is made where there is none: who calls
// this has agreed to the CA's terms.
func (i *Issuer) Register(ctx context.Context) (Account, error) {
	return i.verb(ctx, func(ctx context.Context) (Account, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		a, err := i.accounts.Load(ctx)
		if errors.Is(err, fs.ErrNotExist) {
			a, err = i.makeAccount(ctx)
		}
		if err == nil {
			i.account = &a
		}
		return a, err
	})
}

// FindAccount returns the account that a key belongs to, as the CA knows it
// (RFC 8555 section 7.3.1), or ErrNoAccount. Nothing is stored.
func (i *Issuer) FindAccount(ctx context.Context, key crypto.Signer) (Account, error) {
	return i.verb(ctx, func(ctx context.Context) (Account, error) { return i.findAccount(ctx, key) })
}

func (i *Issuer) findAccount(ctx context.Context, key crypto.Signer) (Account, error) {
	got, err := i.client.GetAccount(ctx, acme.Account{PrivateKey: key})
	var p acme.Problem
	if errors.As(err, &p) && p.Type == acme.ProblemTypeAccountDoesNotExist {
		return Account{}, fmt.Errorf("%w of that key at %s: %w", ErrNoAccount, i.o.Directory, err)
	}
	return Account{Location: got.Location, Status: got.Status, Contact: got.Contact, Orders: got.Orders, Key: key}, err
}

// ShowAccount asks the CA about the stored account.
func (i *Issuer) ShowAccount(ctx context.Context) (Account, error) {
	return i.verb(ctx, func(ctx context.Context) (Account, error) {
		a, err := i.stored(ctx)
		if err != nil {
			return a, err
		}
		return i.findAccount(ctx, a.Key)
	})
}

// UpdateContact tells the CA the addresses ("mailto:..."), none to take them away.
func (i *Issuer) UpdateContact(ctx context.Context, contact []string) (Account, error) {
	return i.verb(ctx, func(ctx context.Context) (Account, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		a, err := i.stored(ctx)
		if err != nil {
			return a, err
		}
		if a, err = i.changeContact(ctx, a, contact); err == nil {
			i.account = &a
		}
		return a, err
	})
}

// DeactivateAccount ends the account for good (RFC 8555 section 7.3.6), and
// forgets it.
func (i *Issuer) DeactivateAccount(ctx context.Context) error {
	_, err := i.verb(ctx, func(ctx context.Context) (Account, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		a, err := i.stored(ctx)
		if err != nil {
			return a, err
		}
		unlock, err := i.accounts.Lock(ctx)
		if err != nil {
			return a, err
		}
		defer unlock()
		_, err = i.client.UpdateAccount(ctx, acme.Account{Location: a.Location, Status: acme.StatusDeactivated, PrivateKey: a.Key})
		if err != nil {
			return a, err
		}
		i.account, a.Status = nil, acme.StatusDeactivated
		return a, i.accounts.Forget(context.WithoutCancel(ctx), a)
	})
	return err
}

// RolloverKey changes the account's key for a new one of the store (RFC 8555
// section 7.3.5). Where it was interrupted, calling it again completes it.
func (i *Issuer) RolloverKey(ctx context.Context) (Account, error) {
	return i.verb(ctx, func(ctx context.Context) (Account, error) {
		i.mu.Lock()
		defer i.mu.Unlock()
		unlock, err := i.accounts.Lock(ctx)
		if err != nil {
			return Account{}, err
		}
		defer unlock()
		a, err := i.stored(ctx)
		if err != nil {
			return a, err
		}
		key, err := i.accounts.NewKey(ctx)
		if err != nil {
			return a, err
		}
		// Did an earlier call get as far as the CA?
		if known, err := i.findAccount(ctx, key); err == nil && known.Location == a.Location {
			a.Key = key
		} else if err != nil && !errors.Is(err, ErrNoAccount) {
			return a, err
		} else {
			if _, err := i.client.AccountKeyRollover(ctx, a.wire(), key); err != nil {
				return a, err
			}
			a.Key = key
		}
		if err := i.accounts.Save(context.WithoutCancel(ctx), a); err != nil {
			return a, err
		}
		i.account = &a
		return a, nil
	})
}

// stored is the account that is registered, or ErrNoAccount.
func (i *Issuer) stored(ctx context.Context) (Account, error) {
	a, err := i.accounts.Load(ctx)
	if errors.Is(err, fs.ErrNotExist) {
		return a, fmt.Errorf("%w at %s is stored here", ErrNoAccount, i.o.Directory)
	}
	return a, err
}

// verb runs one operation on the account; its errors are *edge.IssueError
// without a name.
func (i *Issuer) verb(ctx context.Context, f func(context.Context) (Account, error)) (Account, error) {
	ctx, pace := withPace(ctx)
	for again := 0; ; again++ {
		a, err := f(ctx)
		switch {
		case err == nil:
			return a, nil
		case !isBadNonce(err) || again == nonceRounds || ctx.Err() != nil:
			return a, i.classify(pace.explain(err), "")
		}
	}
}
