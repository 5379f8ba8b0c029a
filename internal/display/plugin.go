package display

import (
	"context"
	"errors"
)

// certbot's questions for ChoosePlugin.
const (
	AskAuthenticator = "How would you like to authenticate with the ACME CA?"
	AskInstaller     = "How would you like to install certificates?"
	AskConfigurator  = "How would you like to authenticate and install certificates?"
	AskEnhancer      = "Which installer would you like to use to configure the selected enhancements?"
)

// Plugin is a way to prove control of names or to install certificates.
type Plugin struct {
	Name        string // "standalone"
	Description string // "Spin up a temporary webserver"
	Problem     string // why it cannot be used, "" where it can
}

// ChoosePlugin asks for one of the plugins that work here, and returns its name.
// One with a problem may be chosen to see what it is. In non-interactive mode that
// is a *MissingError: a plugin that came with an update must not change what a
// timer does. Flags such as --standalone, or --authenticator, would have answered.
func ChoosePlugin(ctx context.Context, d Display, question string, plugins []Plugin) (string, error) {
	lines := make([]string, len(plugins))
	for i, p := range plugins {
		lines[i] = p.Description + " (" + p.Name + ")"
		if p.Problem != "" {
			lines[i] += " [Misconfigured]"
		}
	}
	for {
		n, err := d.Menu(ctx, question, Choices(lines), MenuOptions{Always: true})
		var missing *MissingError
		switch {
		case errors.As(err, &missing):
			return "", &MissingError{Text: "Missing command line flags. For non-interactive execution, you will need to specify a plugin " +
				"on the command line.  Run with '--help plugins' to see a list of options, and see https://eff.org/letsencrypt-plugins " +
				"for more detail on what the plugins do and how to use them."}
		case err != nil:
			return "", err
		case plugins[n].Problem == "":
			return plugins[n].Name, nil
		}
		d.Notify("The selected plugin encountered an error while parsing your server configuration and cannot be used. The error was:\n\n"+
			plugins[n].Problem, true)
	}
}

const noWebroot = refused("Every requested domain must have a webroot when using the webroot plugin.")

// ChooseWebroot asks for the webroot of a name: one of those known from other
// names, or a new one. Check returns it in the form to use, or what is wrong.
func ChooseWebroot(ctx context.Context, d Display, name string, known []string, check func(string) (string, error)) (string, error) {
	name = CleanLine(name)
	for len(known) > 0 {
		choices := Choices(append([]string{"Enter a new webroot"}, known...))
		n, err := d.Menu(ctx, "Select the webroot for "+name+":", choices, MenuOptions{Always: true, Flag: "--webroot-path"})
		switch {
		case errors.Is(err, ErrCancelled):
			return "", noWebroot
		case err != nil:
			return "", err
		case n > 0:
			return known[n-1], nil
		}
		dir, err := enterWebroot(ctx, d, name, check)
		if !errors.Is(err, ErrCancelled) {
			return dir, err
		}
	}
	return enterWebroot(ctx, d, name, check)
}

func enterWebroot(ctx context.Context, d Display, name string, check func(string) (string, error)) (string, error) {
	for {
		dir, err := d.Input(ctx, "Input the webroot for "+name+":", InputOptions{Always: true, Flag: "--webroot-path"})
		switch {
		case errors.Is(err, ErrCancelled):
			return "", noWebroot
		case err != nil:
			return "", err
		}
		if dir, err = check(dir); err == nil {
			return dir, nil
		}
		d.Notify(err.Error(), true)
	}
}

// ConfirmRetry asks whether to try again what failed, such as a port in use. Where
// nobody can be asked, the answer is no.
func ConfirmRetry(ctx context.Context, d Display, problem string) (bool, error) {
	return d.YesNo(ctx, problem, "Retry", "Cancel", YesNoOptions{Default: new(false)})
}
