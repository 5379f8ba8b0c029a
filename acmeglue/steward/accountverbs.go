package steward

import (
	"context"
	"fmt"
	"strings"

	"edge/acmeglue"
	"edge/acmeglue/accounts"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// register makes an account.
func (s *Steward) register(ctx context.Context, o *certbotcli.Options) error {
	if o.UpdateRegistration {
		return s.updateAccount(ctx, o)
	}
	_, list, err := s.accountsAt(ctx, o)
	if err != nil {
		return err
	}
	if len(list) > 0 {
		return lastWord(text("There is an existing account; registration of a duplicate account with this command is currently unsupported."))
	}
	_, err = s.issuer(ctx, o)
	return err
}

// existing is the account that a verb is about.
func (s *Steward) existing(ctx context.Context, o *certbotcli.Options, article string) (*acmeglue.Issuer, []accounts.Info, error) {
	_, list, err := s.accountsAt(ctx, o)
	if err != nil {
		return nil, nil, err
	}
	if len(list) == 0 {
		return nil, nil, lastWord(text(fmt.Sprintf("Could not find %sexisting account for server %s.", article, o.Server)))
	}
	i, err := s.issuer(ctx, o)
	return i, list, err
}

// updateAccount changes the addresses that the CA has.
func (s *Steward) updateAccount(ctx context.Context, o *certbotcli.Options) error {
	_, list, err := s.accountsAt(ctx, o)
	if err != nil {
		return err
	}
	if len(list) > 0 && o.Email == "" && !o.RegisterUnsafelyWithoutEmail {
		if o.Email, err = display.AskEmail(ctx, s.o.Display, display.EmailOptions{Log: s.o.Log}); err != nil {
			return err
		}
	}
	i, _, err := s.existing(ctx, o, "an ")
	if err != nil {
		return err
	}
	var contact []string
	if o.Email != "" {
		for e := range strings.SplitSeq(o.Email, ",") {
			contact = append(contact, "mailto:"+strings.TrimSpace(e))
		}
	}
	if _, err := i.UpdateContact(ctx, contact); err != nil {
		return err
	}
	if o.Email == "" {
		s.notify("Any contact information associated with this account has been removed.")
	} else {
		s.notify("Your e-mail address was updated to %s.", o.Email)
	}
	return nil
}

// unregister ends an account for ever.
func (s *Steward) unregister(ctx context.Context, o *certbotcli.Options) error {
	_, list, err := s.accountsAt(ctx, o)
	if err != nil {
		return err
	}
	if len(list) == 0 {
		return lastWord(text(fmt.Sprintf("Could not find existing account for server %s.", o.Server)))
	}
	yes, err := display.ConfirmDeactivate(ctx, s.o.Display)
	if err != nil {
		return err
	}
	if !yes {
		return lastWord(text("Deactivation aborted."))
	}
	i, err := s.issuer(ctx, o)
	if err != nil {
		return err
	}
	if err := i.DeactivateAccount(ctx); err != nil {
		return err
	}
	s.notify("Account deactivated.")
	return nil
}

// shownAccount is the JSON form of show_account.
type shownAccount struct {
	Server     string   `json:"server"`
	ID         string   `json:"id"`
	URL        string   `json:"url"`
	Thumbprint string   `json:"thumbprint"` // RFC 7638
	Contact    []string `json:"contact"`
}

// showAccount asks the CA about the account.
func (s *Steward) showAccount(ctx context.Context, o *certbotcli.Options) error {
	i, _, err := s.existing(ctx, o, "an ")
	if err != nil {
		return err
	}
	a, err := i.ShowAccount(ctx)
	if err != nil {
		return err
	}
	thumbprint, err := a.Thumbprint()
	if err != nil {
		return err
	}
	emails := []string{}
	for _, c := range a.Contact {
		if email, ok := strings.CutPrefix(c, "mailto:"); ok {
			emails = append(emails, email)
		}
	}
	if o.Output == "json" {
		return s.printJSON(shownAccount{o.Server, o.Account, a.Location, thumbprint, emails})
	}
	plural, list := "", "none"
	if len(emails) > 1 {
		plural = "s"
	}
	if len(emails) > 0 {
		list = strings.Join(emails, ", ")
	}
	says := fmt.Sprintf("Account details for server %s:\n  Account URL: %s\n", o.Server, a.Location)
	if !s.o.AsCertbot {
		says += fmt.Sprintf("  Account Thumbprint: %s\n", thumbprint)
	}
	s.notify("%s  Email contact%s: %s", says, plural, list)
	return nil
}
