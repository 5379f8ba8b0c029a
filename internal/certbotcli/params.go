package certbotcli

import (
	"reflect"
	"slices"
	"strings"

	"edge/internal/configobj"
)

// Param is one parameter of a renewal file.
type Param struct {
	Key   string
	Value configobj.Value
}

// savedStrings and the like are what certbot saves of its own options, beside
// those of plugins (renewal.py). 5.x added the profiles, which 2.1 passes over.
func savedStrings() []string {
	return []string{"config_dir", "logs_dir", "work_dir", "user_agent", "server", "account", "authenticator", "installer",
		"renew_hook", "pre_hook", "post_hook", "http01_address", "preferred_chain", "key_type", "elliptic_curve",
		"preferred_profile", "required_profile"}
}
func savedInts() []string { return []string{"rsa_key_size", "http01_port"} }
func savedBools() []string {
	return []string{"must_staple", "allow_subset_of_names", "reuse_key", "autorenew"}
}

// namespaces begin the options of certbot's plugins that edge has too.
func namespaces() []string {
	return []string{"apache_", "dns_cloudflare_", "dns_rfc2136_", "manual_", "nginx_", "null_", "standalone_", "webroot_"}
}

func isSaved(dest string) bool {
	return dest == "pref_challs" || slices.Contains(savedStrings(), dest) || slices.Contains(savedInts(), dest) ||
		slices.Contains(savedBools(), dest) || hasPrefix(dest, namespaces())
}

func hasPrefix(s string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(p string) bool { return strings.HasPrefix(s, p) })
}

// RenewalParams is what certbot would save of these options in [renewalparams], in
// its order; Authenticator, Installer and Account are those that were used. The
// folders are for the section [[webroot_map]] within, which there is where they
// are not nil. What certbot has no word for is in EdgeParams.
func (o *Options) RenewalParams() (params []Param, webroots WebrootMap) {
	for _, dest := range o.dests() {
		if !isSaved(dest) || !o.toSave(dest) {
			continue
		}
		switch dest {
		case "webroot_map":
			webroots = append(WebrootMap{}, o.WebrootMap...)
		case "authenticator":
			params = append(params, Param{dest, configobj.String(forCertbot(o.Authenticator))})
		case "installer":
			if o.Installer == "" || certbotInstalls(o.Installer) {
				params = append(params, o.param(dest))
			}
		case "pref_challs":
			if known := knownChallenges(o.PrefChallenges); len(known) > 0 {
				params = append(params, Param{dest, configobj.List(known...)})
			}
		case "account":
			if o.Account != "" {
				params = append(params, o.param(dest))
			}
		default:
			params = append(params, o.param(dest))
		}
	}
	for _, dest := range []string{"server", "key_type"} { // always, since defaults may change
		if !slices.ContainsFunc(params, func(p Param) bool { return p.Key == dest }) {
			params = append(params, o.param(dest))
		}
	}
	return slices.Concat(params, o.targetParams(), o.Unknown), webroots
}

// dests are certbot's words in the order of its namespace.
func (o *Options) dests() []string {
	var list []string
	seen := map[string]bool{}
	for _, f := range o.flags {
		if _, ok := o.fields[f.Dest]; ok && !seen[f.Dest] {
			seen[f.Dest] = true
			list = append(list, f.Dest)
		}
	}
	return list
}

// toSave is certbot's option_was_set.
func (o *Options) toSave(dest string) bool {
	if o.IsSet(dest) || !o.isDefault(o, dest) {
		return true
	}
	empty, ok := o.empty[dest]
	return ok && format(o.field(o, dest)) == "" && (empty == "None") == (dest == "http01_address") // whose default is not None
}

// param is an option as a renewal file has it.
func (o *Options) param(dest string) Param {
	v := o.field(o, dest)
	if list, ok := v.Interface().([]string); ok {
		return Param{dest, configobj.List(list...)}
	}
	s := format(v)
	if s == "" && v.Kind() == reflect.String && !o.IsSet(dest) {
		s = "None"
		if as, ok := o.empty[dest]; ok {
			s = as
		}
	}
	return Param{dest, configobj.String(s)}
}

// forCertbot is the plugin by which certbot could go on with a lineage.
func forCertbot(authenticator string) string {
	if authenticator == "edge" {
		return "standalone"
	}
	return authenticator
}

func certbotInstalls(installer string) bool { return installer == "apache" || installer == "nginx" }

// knownChallenges are those that every certbot knows.
func knownChallenges(types []string) []string {
	return slices.DeleteFunc(slices.Clone(types), func(t string) bool { return t != "http-01" && t != "dns-01" })
}

// edgeParams are the options of edge's own that a lineage keeps.
func edgeParams() []string {
	return []string{"on_failure_hook", "key_group", "key_mode", "tls_alpn_01_port", "tls_sni_01_port", "tls_sni_01_address",
		"hook_timeout", "strict_hooks", "no_preflight", "admin_socket"}
}

// EdgeParams is what the section [edge] of the renewal file has: what certbot does
// not know.
func (o *Options) EdgeParams() []Param {
	var params []Param
	if forCertbot(o.Authenticator) != o.Authenticator {
		params = append(params, Param{"authenticator", configobj.String(o.Authenticator)})
	}
	if o.Installer != "" && !certbotInstalls(o.Installer) {
		params = append(params, Param{"installer", configobj.String(o.Installer)})
	}
	if !slices.Equal(knownChallenges(o.PrefChallenges), o.PrefChallenges) {
		params = append(params, Param{"pref_challs", configobj.List(o.PrefChallenges...)})
	}
	for _, dest := range edgeParams() {
		if !o.toSave(dest) && !o.restored[dest] {
			continue
		}
		p := o.param(dest)
		switch dest {
		case "hook_timeout":
			p.Value = configobj.String(o.HookTimeout.String())
		case "key_mode":
			p.Value = configobj.String(formatMode(o.KeyMode))
		}
		params = append(params, p)
	}
	return params
}
