package steward

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/accounts"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// issuer returns the issuer for a server and the account to use there, which is
// asked for or made where there is none, and noted in the options.
func (s *Steward) issuer(ctx context.Context, o *certbotcli.Options) (*acmeglue.Issuer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	store, list, err := s.accountsAt(ctx, o)
	if err != nil {
		return nil, err
	}
	switch {
	case o.Account != "":
	case len(list) == 1:
		o.Account = list[0].ID
	case len(list) > 1:
		if o.Account, err = s.chooseAccount(ctx, list); err != nil {
			return nil, err
		}
	default:
		return s.newAccount(ctx, o, store)
	}
	return s.issuerFor(o)
}

// accountsAt opens the accounts at the server of the options. An account that is
// named there has to exist.
func (s *Steward) accountsAt(ctx context.Context, o *certbotcli.Options) (*accounts.Store, []accounts.Info, error) {
	store, err := s.accountStore(o)
	if err != nil {
		return nil, nil, err
	}
	list, err := store.List(ctx)
	if err != nil {
		return nil, nil, err
	}
	if o.Account == "" {
		return store, list, nil
	}
	for _, a := range list {
		if a.Is(o.Account) {
			o.Account = a.ID
			return store, list, nil
		}
	}
	return nil, nil, text(fmt.Sprintf("Account at %s does not exist", store.Dir(o.Account)))
}

func (s *Steward) accountStore(o *certbotcli.Options) (*accounts.Store, error) {
	return accounts.Open(o.ConfigDir, o.Server, accounts.Options{Account: o.Account, KeySize: o.RSAKeySize, Durable: s.o.Durable, Now: s.o.Now, Log: s.o.Log})
}

func (s *Steward) chooseAccount(ctx context.Context, list []accounts.Info) (string, error) {
	var slugs []string
	for _, a := range list {
		slugs = append(slugs, a.Slug())
	}
	n, err := display.ChooseAccount(ctx, s.o.Display, slugs)
	if errors.Is(err, display.ErrCancelled) {
		return "", text("No account has been chosen.")
	}
	if err != nil {
		return "", err
	}
	return list[n].ID, nil
}

// issuerFor is the issuer for the account that is noted in the options. The
// caller holds s.mu.
func (s *Steward) issuerFor(o *certbotcli.Options) (*acmeglue.Issuer, error) {
	key := o.Server + " " + o.Account
	if i := s.issuers[key]; i != nil {
		return i, nil
	}
	store, err := s.accountStore(o)
	if err != nil {
		return nil, err
	}
	i, err := s.makeIssuer(o, store)
	if err == nil {
		s.issuers[key] = i
	}
	return i, err
}

func (s *Steward) makeIssuer(o *certbotcli.Options, store acmeglue.AccountStore) (*acmeglue.Issuer, error) {
	options := acmeglue.IssuerOptions{
		Directory: o.Server, Email: o.Email, Roots: s.rootsOf(o.Server),
		Authenticator: nobody{}, BeforeAnswer: s.beforeAnswer(o),
		Accounts: store, NoRegister: true,
		IssuanceTimeout: o.IssuanceTimeout, UserAgent: s.userAgent(o), Log: s.o.Log, Now: s.o.Now,
	}
	if s.o.Storage != nil {
		options.Storage, options.Backoff = s.o.Storage, acmeglue.NewBackoffStore(s.o.Storage)
	}
	if o.EABKID != "" && o.EABHMACKey != "" {
		options.EAB = &acmeglue.EAB{KID: o.EABKID, HMAC: o.EABHMACKey, Alg: o.EABHMACAlg}
	}
	if o.NoVerifySSL {
		options.Transport = &http.Transport{
			Proxy: http.ProxyFromEnvironment, TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, // asked for by name: --no-verify-ssl
			TLSHandshakeTimeout: 10 * time.Second, ResponseHeaderTimeout: 30 * time.Second,
		}
	}
	i, err := acmeglue.NewIssuer(options)
	if err != nil {
		return nil, fmt.Errorf("--server: %w", err)
	}
	return i, nil
}

// rootsOf are what verifies a server, nil for the system's. The caller holds s.mu.
func (s *Steward) rootsOf(server string) *x509.CertPool {
	if own := s.roots[server]; own != nil {
		return own
	}
	return s.o.Roots
}

func (s *Steward) userAgent(o *certbotcli.Options) string {
	if o.UserAgent != "" {
		return o.UserAgent
	}
	agent := "edge/" + s.o.Version
	if o.UserAgentComment != "" {
		agent += " (" + o.UserAgentComment + ")"
	}
	return agent
}

// nobody is in the place of an authenticator where an order names its own.
type nobody struct{}

func (nobody) Name() string                { return "nobody" }
func (nobody) Types() []edge.ChallengeType { return nil }
func (nobody) Present(context.Context, []edge.Answer) error {
	return errors.New("the order has no authenticator")
}
func (nobody) Ready(context.Context, []edge.Answer) error   { return nil }
func (nobody) Cleanup(context.Context, []edge.Answer) error { return nil }

// newAccount registers at the server. The caller holds s.mu.
func (s *Steward) newAccount(ctx context.Context, o *certbotcli.Options, store *accounts.Store) (*acmeglue.Issuer, error) {
	if o.DryRun {
		o.Email = "" // an account at a test server needs none
	} else if o.Email == "" && !o.RegisterUnsafelyWithoutEmail {
		email, err := display.AskEmail(ctx, s.o.Display, display.EmailOptions{Optional: true, Log: s.o.Log})
		if err != nil {
			return nil, err
		}
		o.Email = email
	}
	for {
		i, err := s.registerOnce(ctx, o, store)
		problem, ok := acmeglue.ProblemOf(err)
		if !ok || problem.Type != "invalidContact" && problem.Type != "invalidEmail" {
			return i, err
		}
		if o.NonInteractive {
			return nil, text(fmt.Sprintf("The ACME server believes %s is an invalid email address. Please ensure it is a valid email and attempt registration again.", o.Email))
		}
		if o.Email, err = display.AskEmail(ctx, s.o.Display, display.EmailOptions{Optional: true, Invalid: true, Log: s.o.Log}); err != nil {
			return nil, err
		}
	}
}

func (s *Steward) registerOnce(ctx context.Context, o *certbotcli.Options, store *accounts.Store) (*acmeglue.Issuer, error) {
	unable := func(err error) error {
		if p, ok := acmeglue.ProblemOf(err); ok {
			return &unableError{fmt.Sprintf("Unable to register an account with ACME server. Error returned by the ACME server: %s", p.Detail), err}
		}
		return &unableError{fmt.Sprintf("Unable to register an account with ACME server. %v", clearer(err)), err}
	}
	i, err := s.makeIssuer(o, store)
	if err != nil {
		return nil, err
	}
	info, err := i.Info(ctx)
	if err != nil {
		return nil, unable(err)
	}
	if info.EABRequired && (o.EABKID == "" || o.EABHMACKey == "") {
		return nil, unable(text("Server requires external account binding. Please use --eab-kid and --eab-hmac-key."))
	}
	if info.TermsOfService != "" && !o.AgreeTOS {
		switch err := display.AgreeTerms(ctx, s.o.Display, info.TermsOfService); {
		case errors.Is(err, display.ErrCancelled):
			return nil, unable(err)
		case err != nil:
			return nil, err
		}
	}
	if _, err := i.Register(ctx); err != nil {
		return nil, unable(err)
	}
	s.notify("Account registered.")
	list, err := store.List(ctx)
	if err != nil {
		return nil, err
	}
	if len(list) == 0 {
		return nil, errors.New("the account that was just registered is not in " + store.Dir(""))
	}
	o.Account = list[len(list)-1].ID
	return s.issuerFor(o)
}

// unableError has certbot's text and the cause that decides the exit code.
type unableError struct {
	says string
	err  error
}

func (e *unableError) Error() string { return strings.TrimSpace(e.says) }
func (e *unableError) Unwrap() error { return e.err }
