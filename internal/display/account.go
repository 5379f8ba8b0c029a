package display

import (
	"context"
	"errors"
	"log/slog"
	"regexp"
	"strings"
)

// EmailOptions are the options of AskEmail.
type EmailOptions struct {
	// Optional says that there is --register-unsafely-without-email.
	Optional bool
	// Invalid says that there was an address and that the CA did not want it.
	Invalid bool
	// Log, where set, gets an error for each address that is none.
	Log *slog.Logger
}

// certbot's texts for an e-mail address.
const (
	emailText    = "Enter email address (used for urgent renewal and security notices)\n"
	emailProblem = "There seem to be problems with that address. "
	emailUnsafe  = "\n\nIf you really want to skip this, you can run the client with --register-unsafely-without-email " +
		"but you will then be unable to receive notice about impending expiration or revocation of your certificates " +
		"or problems with your Certbot installation that will lead to failure to renew.\n\n"
)

// AskEmail asks for the e-mail address of a new account until there is one (certbot:
// display/ops.py get_email).
func AskEmail(ctx context.Context, d Display, o EmailOptions) (string, error) {
	text, invalid, suggest := emailText, o.Invalid, o.Optional && !o.Invalid
	if o.Optional && o.Invalid {
		text += emailUnsafe
	}
	for {
		question := text
		if invalid {
			question = emailProblem + text
		}
		email, err := d.Input(ctx, question, InputOptions{Always: true, Flag: "--email"})
		var missing *MissingError
		switch {
		case errors.As(err, &missing):
			return "", &MissingError{Flag: "--email", Text: "You should register before running non-interactively, " +
				"or provide --agree-tos and --email <email_address> flags."}
		case errors.Is(err, ErrCancelled) && o.Optional:
			return "", refused("An e-mail address or --register-unsafely-without-email must be provided.")
		case errors.Is(err, ErrCancelled):
			return "", refused("An e-mail address must be provided.")
		case err != nil:
			return "", err
		case ValidEmail(email):
			return email, nil
		}
		if o.Log != nil {
			o.Log.Error("Invalid email address: " + CleanLine(email) + ".")
		}
		if suggest {
			text, suggest = emailUnsafe+text, false
		}
		invalid = email != ""
	}
}

var emailPattern = regexp.MustCompile(`^[a-zA-Z0-9._%+-]+@[a-zA-Z0-9.-]+$`)

// ValidEmail is certbot's rule for an e-mail address (util.py safe_email).
func ValidEmail(s string) bool {
	return emailPattern.MatchString(s) && !strings.HasPrefix(s, ".") && !strings.Contains(s, "..")
}

// AgreeTerms asks whether the terms of service at url are agreed to. Who does not
// agree gets an error that wraps ErrCancelled.
func AgreeTerms(ctx context.Context, d Display, url string) error {
	yes, err := d.YesNo(ctx, "Please read the Terms of Service at "+CleanLine(url)+". You must agree in order to register "+
		"with the ACME server. Do you agree?", "Yes", "No", YesNoOptions{Always: true, Flag: "--agree-tos"})
	if err == nil && !yes {
		err = refused("Registration cannot proceed without accepting Terms of Service.")
	}
	return err
}

// ChooseAccount asks for one of several accounts, named by certbot's slugs
// (HOST@TIME (ID)), and returns its index.
func ChooseAccount(ctx context.Context, d Display, slugs []string) (int, error) {
	n, err := d.Menu(ctx, "Please choose an account", Choices(slugs), MenuOptions{Always: true, Flag: "--account"})
	if errors.Is(err, ErrCancelled) {
		err = refused("No account has been chosen.")
	}
	return n, err
}

// ConfirmDeactivate asks before an account is deactivated for ever.
func ConfirmDeactivate(ctx context.Context, d Display) (bool, error) {
	return d.YesNo(ctx, "Are you sure you would like to irrevocably deactivate your account?", "Deactivate", "Abort",
		YesNoOptions{Default: new(true)})
}
