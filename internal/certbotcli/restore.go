package certbotcli

import (
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strings"

	"edge/internal/configobj"
)

// ErrNoAuthenticator is among the errors of ApplyRenewalParams where a renewal file
// does not say how the lineage was obtained. certbot skips such a lineage.
var ErrNoAuthenticator = errors.New("does not specify an authenticator")

// ApplyRenewalParams returns a copy of the options with what [renewalparams] of a
// lineage has for all that was not said now (certbot: renewal.py,
// restore_required_config_elements). With any error certbot skips the lineage; they
// have no name of a file in them.
func (o *Options) ApplyRenewalParams(section *configobj.Section) (*Options, []error) {
	r := &restorer{o: o.Clone(), section: section}
	r.o.empty = map[string]string{}
	r.apply(r.prefChallenges, "pref_challs")
	r.apply(r.boolean, savedBools()...)
	r.apply(r.integer, savedInts()...)
	r.apply(r.text, savedStrings()...)
	if _, ok := section.Get("key_type"); !ok && !o.IsSet("key_type") {
		r.o.KeyType = "rsa" // before 1.25 that was the default, and not saved
	}
	auth, ok := r.lookup("authenticator")
	if !ok {
		r.errs = append(r.errs, ErrNoAuthenticator)
		return r.o, r.errs
	}
	if inst, ok := r.lookup("installer"); ok && inst.String() != auth.String() {
		r.plugin(inst.String())
	}
	r.plugin(auth.String())
	r.targets()
	r.o.Authenticator, r.o.Installer = r.o.plugin(r.o.Authenticator), r.o.plugin(r.o.Installer)
	return r.o, r.errs
}

type restorer struct {
	o       *Options
	section *configobj.Section
	errs    []error
}

func (r *restorer) fail(format string, args ...any) {
	r.errs = append(r.errs, fmt.Errorf(format, args...))
}

// lookup is a value with its references expanded.
func (r *restorer) lookup(key string) (configobj.Value, bool) {
	v, ok, err := r.section.Lookup(key)
	if err != nil {
		r.errs = append(r.errs, err)
		return v, false
	}
	return v, ok
}

// apply restores the options that the file has and that were not said now.
func (r *restorer) apply(restore func(dest string, v configobj.Value), dests ...string) {
	for _, dest := range dests {
		if r.o.IsSet(dest) {
			continue
		}
		if v, ok := r.lookup(dest); ok {
			restore(dest, v)
		}
	}
}

func (r *restorer) prefChallenges(_ string, v configobj.Value) {
	types, unknown := parseChallenges(v.Items)
	if unknown != nil {
		r.fail("Unrecognized challenges: %s", strings.Join(unknown, ", "))
		return
	}
	r.o.PrefChallenges = types
}

// one is the value of an option that is no list.
func (r *restorer) one(dest string, v configobj.Value) (string, bool) {
	if v.List {
		r.fail("Expected one value for %s but found a list; a value with commas needs quotes", dest)
		return "", false
	}
	return v.Items[0], true
}

func (r *restorer) boolean(dest string, v configobj.Value) {
	s, ok := r.one(dest, v)
	if !ok {
		return
	}
	lower := strings.ToLower(s)
	if lower != "true" && lower != "false" {
		r.fail("Expected True or False for %s but found %s", dest, s)
		return
	}
	r.o.field(r.o, dest).SetBool(lower == "true")
}

func (r *restorer) integer(dest string, v configobj.Value) {
	s, ok := r.one(dest, v)
	if !ok {
		return
	}
	if dest == "http01_port" && s == "None" {
		r.o.HTTP01Port = r.o.defaults.HTTP01Port
		return
	}
	n, ok := parseInt(s)
	if !ok {
		r.fail("Expected a numeric value for %s", dest)
		return
	}
	r.o.field(r.o, dest).SetInt(n)
}

func (r *restorer) text(dest string, v configobj.Value) {
	s, ok := r.one(dest, v)
	if !ok {
		return
	}
	switch {
	case s == "None" || s == "":
		r.o.empty[dest], s = s, ""
	case dest == "server" && s == oldServer:
		s = DefaultServer // saved before there was a choice; that server is no more
	}
	r.o.field(r.o, dest).SetString(s)
}

// plugin restores the options that begin with a plugin's name.
func (r *restorer) plugin(name string) {
	if name == "webroot" {
		r.webroot()
		return
	}
	if r.o.Kind(name) != nil {
		return // see targets
	}
	prefix := strings.ReplaceAll(name, "-", "_") + "_"
	for _, dest := range r.section.Keys() {
		if !strings.HasPrefix(dest, prefix) || abandonedDest(dest) {
			continue
		}
		field := r.o.field(r.o, dest)
		if !field.IsValid() {
			if v, ok := r.section.Get(dest); ok {
				r.o.Unknown = append(r.o.Unknown, Param{dest, v})
			}
			continue
		}
		r.apply(r.pluginOption, dest)
	}
}

// abandonedDest are options that plugins had once; certbot drops them, or trips
// over them.
func abandonedDest(dest string) bool {
	return dest == "manual_public_ip_logging_ok" || dest == "standalone_supported_challenges"
}

func (r *restorer) pluginOption(dest string, v configobj.Value) {
	if r.o.field(r.o, dest).Kind() == reflect.String {
		r.text(dest, v)
		return
	}
	s, ok := r.one(dest, v)
	if !ok {
		return
	}
	p := newParser(r.o.schema, r.o, nil)
	n, ok := parseInt(s)
	if !ok {
		r.fail("invalid literal for int() with base 10: %s (%s)", repr(s), dest)
		return
	}
	if err := p.storeInt(&Flag{Dest: dest}, n); err != nil {
		r.errs = append(r.errs, err)
	}
}

// webroot restores both forms, of which certbot 0.0 had the path alone.
func (r *restorer) webroot() {
	if !r.o.IsSet("webroot_map") {
		if _, ok := r.section.Get("webroot_map"); ok {
			r.fail("Expected a section for webroot_map but found a value")
		}
		m := r.section.Section("webroot_map")
		if m != nil {
			r.o.WebrootMap = WebrootMap{}
		}
		at := r.o.WebrootMap.index()
		for _, name := range m.Keys() {
			v, _, err := m.Lookup(name)
			if err != nil {
				r.errs = append(r.errs, err)
				continue
			}
			if path, ok := r.one("webroot_map "+name, v); ok {
				r.o.WebrootMap.set(at, name, path)
			}
		}
	}
	r.apply(func(_ string, v configobj.Value) { r.o.WebrootPath = slices.Clone(v.Items) }, "webroot_path")
}

// ApplyEdgeParams does the same with the section [edge], after ApplyRenewalParams.
// certbot knows nothing of the section: where it has since changed what the
// section is about, the section is out of date and does not count.
func (o *Options) ApplyEdgeParams(section *configobj.Section) (*Options, []error) {
	r := &restorer{o: o.Clone(), section: section}
	r.o.restored = map[string]bool{}
	if v, ok := r.lookup("authenticator"); ok && !o.IsSet("authenticator") && o.Authenticator == forCertbot(v.String()) {
		r.o.Authenticator = v.String()
	}
	if v, ok := r.lookup("installer"); ok && !o.IsSet("installer") && o.Installer == "" {
		r.o.Installer = o.plugin(v.String())
	}
	if v, ok := r.lookup("pref_challs"); ok && !o.IsSet("pref_challs") && slices.Equal(knownChallenges(v.Items), o.PrefChallenges) {
		r.prefChallenges("", v)
	}
	p := newParser(o.schema, r.o, nil)
	for _, dest := range edgeParams() {
		r.apply(func(dest string, v configobj.Value) {
			r.o.restored[dest] = true
			switch s, ok := r.one(dest, v); {
			case !ok:
			case o.field(o, dest).Kind() == reflect.Bool:
				r.boolean(dest, v)
			default:
				r.edgeOption(p, dest, s)
			}
		}, dest)
	}
	return r.o, r.errs
}

// edgeOption reads a value as the flag of that option would.
func (r *restorer) edgeOption(p *parser, dest, value string) {
	for i := range r.o.flags {
		if f := &r.o.flags[i]; f.Dest == dest {
			if err := f.act.do(p, f, value); err != nil {
				r.errs = append(r.errs, err)
			}
			return
		}
	}
}
