package certbotcli

import (
	"fmt"
	"strings"
)

// selectors are the dests of the flags that name a plugin, in the order in which
// certbot looks at them.
func selectors() []string {
	list := []string{"nginx", "apache", "standalone", "webroot", "manual"}
	for _, p := range dnsPlugins() {
		list = append(list, strings.ReplaceAll(p[0], "-", "_"))
	}
	return append(list, "edge")
}

// Requested returns the plugins that were asked for, by any of the flags; empty
// where none was (certbot: cli_plugin_requests). The error is a *RefusedError: two
// of them, or, for the verb run, one that installs nothing.
func (o *Options) Requested() (authenticator, installer string, err error) {
	auth, inst := o.Configurator, o.Configurator
	set := func(to *string, now string) {
		if now == "" {
			return
		}
		if *to != "" && *to != now && err == nil {
			err = &RefusedError{fmt.Sprintf("Too many flags setting configurators/installers/authenticators %s -> %s", repr(*to), repr(now))}
		}
		*to = now
	}
	set(&inst, o.Installer)
	set(&auth, o.Authenticator)
	for i, dest := range selectors() {
		if !o.schema.field(o, dest).Bool() {
			continue
		}
		plugin := strings.ReplaceAll(dest, "_", "-")
		if i < 2 { // nginx and apache do both
			set(&inst, plugin)
		}
		set(&auth, plugin)
	}
	if err != nil {
		return "", "", err
	}
	return auth, inst, nil
}

// CheckInstalls refuses the verb run with an authenticator that installs nothing
// and no installer, in certbot's words.
func (o *Options) CheckInstalls(authenticator, installer string) error {
	k := o.Kind(authenticator)
	if o.Verb != "run" || installer != "" || authenticator == "nginx" || authenticator == "apache" ||
		!isSelector(authenticator) && (k == nil || k.Installs()) {
		return nil
	}
	flag := "--" + authenticator
	if k != nil {
		flag = "-a " + authenticator
	}
	return &RefusedError{fmt.Sprintf("With the %s plugin, you probably want to use the \"certonly\" command, eg:\n\n    %s certonly %s\n\n"+
		"(Alternatively, add a --installer flag. See https://eff.org/letsencrypt-plugins\nand \"--help plugins\" for more information.)",
		authenticator, o.env.program(), flag)}
}

func isSelector(plugin string) bool {
	for _, s := range selectors() {
		if strings.ReplaceAll(s, "_", "-") == plugin {
			return true
		}
	}
	return false
}
