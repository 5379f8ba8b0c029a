package steward

import (
	"errors"
	"fmt"
	"slices"
	"strings"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/authenticator"
	"edge/internal/certbotcli"
)

// explain prints what the CA said about each name, as certbot does, and returns
// the error that ends the run.
func (s *Steward) explain(j *job, err error) error {
	var failed *acmeglue.AuthorizationError
	if errors.As(err, &failed) && failed.Failed[0].Problem != nil {
		j.notify("%s", report(s.whoFailed(), j.o.Authenticator, failed, hint(j.o, failed)))
		return &challengeError{err}
	}
	var bind *authenticator.BindError
	if errors.As(err, &bind) {
		return &unableError{bind.Error(), err} // the same for all names
	}
	var none *acmeglue.NoChallengeError
	if errors.As(err, &none) {
		says := "Client with the currently selected authenticator does not support any combination of challenges that will satisfy the CA."
		if len(none.Offered) == 1 && none.Offered[0] == edge.DNS01 {
			says += " You may need to use an authenticator plugin that can do challenges over DNS."
		}
		return &unableError{says, err}
	}
	return clearer(err)
}

// clearer says in words for people what it means that there is no ACME where ACME
// was expected: a page of a proxy, or a URL that is another one's.
func clearer(err error) error {
	_, kind, is := strings.Cut(err.Error(), "response Content-Type is ")
	if !is {
		return err
	}
	kind, _, _ = strings.Cut(kind, " ")
	return &unableError{fmt.Sprintf("what answers is no ACME server: %s came in the place of JSON. "+
		"Is --server the URL of the CA's directory, and is there a proxy or a portal in between? (%v)", kind, err), err}
}

// whoFailed is the name in the report of failed challenges.
func (s *Steward) whoFailed() string {
	if s.o.AsCertbot {
		return "Certbot"
	}
	return "edge"
}

// challengeError is certbot's last word on what explain has printed.
type challengeError struct{ err error }

func (e *challengeError) Error() string { return "Some challenges have failed." }
func (e *challengeError) Unwrap() error { return e.err }

// report lists problems by their type (certbot: auth_handler.py,
// _report_failed_authzrs).
func report(who, auth string, failed *acmeglue.AuthorizationError, hint string) string {
	list := slices.Clone(failed.Failed)
	slices.SortStableFunc(list, func(a, b acmeglue.FailedAuthorization) int { return strings.Compare(kindOf(a), kindOf(b)) })
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s failed to authenticate some domains (authenticator: %s). The Certificate Authority reported these problems:", who, auth)
	for _, f := range list {
		detail := fmt.Sprint(f.Err)
		if f.Problem != nil {
			detail = f.Problem.Detail
		}
		fmt.Fprintf(&b, "\n  Domain: %s\n  Type:   %s\n  Detail: %s\n", strings.TrimPrefix(f.Identifier.Value, "*."), kindOf(f), detail)
	}
	if hint != "" {
		fmt.Fprintf(&b, "\nHint: %s\n", hint)
	}
	return b.String()
}

func kindOf(f acmeglue.FailedAuthorization) string {
	if f.Problem == nil {
		return "local"
	}
	return f.Problem.Type
}

// hint says what people can do, by the means that was used.
func hint(o *certbotcli.Options, failed *acmeglue.AuthorizationError) string {
	switch auth := o.Authenticator; auth {
	case standaloneName:
		return fmt.Sprintf("The Certificate Authority failed to download the challenge files from the temporary standalone webserver started by Certbot on port %d. "+
			"Ensure that the listed domains point to this machine and that it can accept inbound connections from the internet.", o.HTTP01Port)
	case webrootName:
		return "The Certificate Authority failed to download the temporary challenge files created by Certbot. " +
			"Ensure that the listed domains serve their content from the provided --webroot-path/-w and that files created there can be downloaded from the internet."
	case manualName:
		return manualHint(o, failed)
	case doorName:
		return "The Certificate Authority did not get the answer that the front door gives. Ensure that the listed domains point to this machine, " +
			"and that nothing before it answers in its place."
	}
	if plugin, ok := strings.CutPrefix(o.Authenticator, "dns-"); ok {
		return fmt.Sprintf("The Certificate Authority failed to verify the DNS TXT records created by --dns-%[1]s. Ensure the above domains are hosted by this DNS provider, "+
			"or try increasing --dns-%[1]s-propagation-seconds.", plugin)
	}
	return ""
}

func manualHint(o *certbotcli.Options, failed *acmeglue.AuthorizationError) string {
	what := "challenge files"
	for _, f := range failed.Failed {
		if f.Challenge == edge.DNS01 {
			what = "DNS TXT records"
		}
	}
	if o.ManualAuthHook != "" {
		return fmt.Sprintf("The Certificate Authority failed to verify the %s created by the --manual-auth-hook. Ensure that this hook is functioning correctly%s. "+
			"Refer to \"certbot --help manual\" and the Certbot User Guide.", what, map[bool]string{true: " and that it waits a sufficient duration of time for DNS propagation"}[what == "DNS TXT records"])
	}
	if what == "DNS TXT records" {
		return "The Certificate Authority failed to verify the manually created DNS TXT records. Ensure that you created these in the correct location, " +
			"or try waiting longer for DNS propagation on the next attempt."
	}
	return "The Certificate Authority failed to verify the manually created challenge files. Ensure that you created these in the correct location."
}
