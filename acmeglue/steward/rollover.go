package steward

import (
	"context"
	"errors"
	"fmt"

	"edge/acmeglue/accounts"
	"edge/internal/certbotcli"
	"edge/internal/configobj"
)

// AccountRollover is the verb of edge's own that gives an account a new key.
const AccountRollover = "account rollover"

// rollover changes the account's key (RFC 8555 section 7.3.5), and with it the ID
// that renewal files know the account by. Interrupted, it is completed by being
// called again.
func (s *Steward) rollover(ctx context.Context, o *certbotcli.Options) error {
	i, before, err := s.existing(ctx, o, "an ")
	if err != nil {
		return err
	}
	account, err := i.RolloverKey(ctx)
	if err != nil {
		return err
	}
	id, err := accounts.ID(account.Key.Public())
	if err != nil {
		return err
	}
	_, after, err := s.accountsAt(ctx, withAccount(o, id))
	if err != nil {
		return err
	}
	for _, a := range after {
		if a.ID == id {
			err = errors.Join(err, s.renameAccount(a))
		}
	}
	if err != nil {
		return fmt.Errorf("the account has its new key, but not every renewal file knows it; run this again: %w", err)
	}
	old := o.Account
	if len(before) == 1 {
		old = before[0].ID
	}
	s.notify("The account has a new key. Its ID was %s and is now %s; renewal files were changed accordingly.", old, id)
	return nil
}

func withAccount(o *certbotcli.Options, id string) *certbotcli.Options {
	c := o.Clone()
	c.Account = id
	return c
}

// renameAccount changes renewal files that have an earlier ID of an account.
func (s *Steward) renameAccount(a accounts.Info) error {
	names, err := s.o.Tree.Names()
	if err != nil {
		return err
	}
	var errs []error
	for _, name := range names {
		l := s.find(name)
		if l == nil {
			continue
		}
		params, err := l.Params()
		if err != nil {
			errs = append(errs, err)
			continue
		}
		for n, p := range params.Renewal {
			if p.Key == "account" && p.Value.String() != a.ID && a.Is(p.Value.String()) {
				params.Renewal[n].Value = configobj.String(a.ID)
				params.Edge, params.ARIRetryAfter, params.RenewBefore = nil, nil, nil // as they are
				errs = append(errs, l.SetParams(params))
			}
		}
	}
	return errors.Join(errs...)
}
