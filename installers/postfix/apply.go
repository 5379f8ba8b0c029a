package postfix

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
)

// overrides refuses services that have certificates of their own, unless told otherwise.
func (p *Postfix) overrides(l *loaded, plan *installers.Plan) error {
	var list []string
	for _, s := range l.services {
		list = append(list, s.overridden()...)
	}
	switch {
	case len(list) == 0:
		return nil
	case !p.o.IgnoreOverrides:
		return fmt.Errorf("master.cf overrides main.cf: %s; remove it there, or set ignore_master_overrides to leave these services alone", strings.Join(list, ", "))
	}
	plan.Warnings = append(plan.Warnings, "master.cf overrides main.cf, and these services stay as they are: "+strings.Join(list, ", "))
	return nil
}

// planDefault makes the certificate that of clients that name no host.
func (p *Postfix) planDefault(l *loaded, plan *installers.Plan) error {
	now := l.values.defaults()
	name := "smtpd_tls_chain_files"
	if !l.values.hasChains() {
		name = "smtpd_tls_cert_file"
	}
	// Beside chain files, Postfix warns of the others. The key of an older one is where its
	// certificate is, unless something else is said.
	for _, other := range certificates()[:6] {
		if other == name {
			continue
		}
		if err := l.main.remove(other); err != nil {
			return err
		}
	}
	if err := l.main.set(name, p.pem()); err != nil {
		return err
	}
	if !slices.Equal(now, []string{p.pem()}) && len(now) > 0 {
		plan.Notes = append(plan.Notes, fmt.Sprintf("%s takes the place of %s, which stays where it is", p.pem(), strings.Join(now, ", ")))
	}
	return nil
}

// planTable has the names of a certificate lead to its file, and compiles the table.
func (p *Postfix) planTable(ctx context.Context, l *loaded, plan *installers.Plan, m *delivery.Material, pem []byte) error {
	kind, suffix, err := p.mapType(l)
	if err != nil {
		return err
	}
	src, err := pemfile.Read(p.table())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	t, err := parseSNI(src)
	if err != nil {
		return fmt.Errorf("%s: %w", p.table(), err)
	}
	if err := p.planNames(l, plan, t, m); err != nil {
		return err
	}
	stale := len(plan.Changes) > 0 || !slices.Equal(src, t.src)
	// The source is there with its mode before anything with keys is made of it.
	if err := pemfile.Plan(plan, pemfile.File{Path: p.table(), Content: t.src, Mode: 0o600, Dir: 0o700, Public: true}); err != nil {
		return err
	}
	if suffix != "" {
		if stale = stale || !p.compiled(ctx, l, kind+":"+p.table(), m, pem); stale {
			db, err := p.compile(ctx, l, t, kind, suffix, pem)
			if err != nil {
				return err
			}
			if err := pemfile.Plan(plan, pemfile.File{Path: p.table() + suffix, Content: db, Mode: 0o600, Dir: 0o700, Any: true}); err != nil {
				return err
			}
		}
	}
	return p.useTable(l, kind+":"+p.table())
}

// planNames puts the names into the source.
func (p *Postfix) planNames(l *loaded, plan *installers.Plan, t *sniMap, m *delivery.Material) error {
	for _, path := range t.paths() {
		if _, err := os.Stat(path); path != p.pem() && filepath.Dir(path) == p.o.Dir && errors.Is(err, fs.ErrNotExist) {
			plan.Warnings = append(plan.Warnings, fmt.Sprintf("%s is gone, and its names are taken out of %s", path, p.table()))
			if err := t.drop(path); err != nil {
				return err
			}
		}
	}
	var keys []string
	for _, h := range m.Hosts {
		if net.ParseIP(h) == nil && !slices.Contains(keys, sniKey(h)) {
			keys = append(keys, sniKey(h))
		}
	}
	for _, e := range t.entries {
		if e.path != p.pem() && slices.Contains(keys, e.key) {
			return fmt.Errorf("line %d of %s: %s is shown from %.200s already; take the name out of one of the two certificates, or that line away", e.line, p.table(), e.key, e.path)
		}
	}
	if err := t.put(p.pem(), keys); err != nil {
		return err
	}
	// A name of the default certificate that a wildcard in the table is for as well would no
	// longer be shown that.
	for _, path := range l.values.defaults() {
		if path == p.pem() || filepath.Dir(path) != p.o.Dir || slices.Contains(t.paths(), path) {
			continue
		}
		leaf, err := pemfile.Leaf(path)
		if err != nil {
			return err
		}
		var theirs []string
		for _, n := range leaf.DNSNames {
			if !slices.ContainsFunc(t.entries, func(e sniEntry) bool { return e.key == sniKey(n) }) {
				theirs = append(theirs, sniKey(n))
			}
		}
		if err := t.put(path, theirs); err != nil {
			return err
		}
	}
	return nil
}

// useTable has main.cf name the table, before others.
func (p *Postfix) useTable(l *loaded, table string) error {
	now, _ := l.main.get("tls_server_sni_maps")
	list := l.values.list("tls_server_sni_maps")
	switch {
	case slices.Contains(list, table):
		return nil
	case now == "":
		return l.main.set("tls_server_sni_maps", table)
	}
	for _, e := range list { // of another type
		if strings.HasSuffix(e, ":"+p.table()) {
			return l.main.set("tls_server_sni_maps", strings.Replace(now, e, table, 1))
		}
	}
	return l.main.set("tls_server_sni_maps", table+", "+now)
}

// maxSeen bounds the names of others that are watched.
const maxSeen = 20

// planSeen says where the certificate has to be shown, and what has to stay.
func (p *Postfix) planSeen(l *loaded, plan *installers.Plan, m *delivery.Material, isDefault bool) error {
	at := l.values.endpoints(l.services)
	if len(at) == 0 {
		_, said := l.main.get("smtpd_tls_security_level")
		if said || len(l.services) == 0 {
			return errors.New("no service in master.cf offers TLS; set smtpd_tls_security_level = may in main.cf, or smtpd_tls_wrappermode = yes for a service")
		}
		if err := l.main.set("smtpd_tls_security_level", "may"); err != nil {
			return err
		}
		l.values["smtpd_tls_security_level"] = "may"
		if at = l.values.endpoints(l.services); len(at) == 0 {
			return errors.New("no service in master.cf is left that would show the certificate")
		}
	}
	plan.Serves = delivery.Asked(at, m)
	var others []string
	if isDefault {
		plan.Serves = append(plan.Serves, at...)
	} else {
		others = append(others, "")
	}
	if raw, err := pemfile.Read(p.table()); err == nil {
		if t, err := parseSNI(raw); err == nil {
			for _, e := range t.entries {
				if _, err := os.Stat(e.path); err == nil && e.path != p.pem() && len(others) < maxSeen {
					others = append(others, probeName(e.key))
				}
			}
		}
	}
	for _, e := range at {
		for _, name := range others {
			e.Name = name
			plan.Watch = append(plan.Watch, e)
		}
	}
	return nil
}

// probeName is a name that an entry is for.
func probeName(key string) string {
	if strings.HasPrefix(key, ".") {
		return "edge-probe" + key
	}
	return key
}

// Test implements installers.Server.
func (p *Postfix) Test(ctx context.Context) error {
	test, _ := p.Commands()
	_, err := p.o.Run(ctx, test)
	return err
}

// Activate implements installers.Server: a table is read again by itself, all else by a
// reload, which ends no session.
func (p *Postfix) Activate(ctx context.Context) error {
	_, activate := p.Commands()
	_, err := p.o.Run(ctx, activate)
	return err
}

// Commands implements installers.Server.
func (p *Postfix) Commands() (test, activate []string) {
	test = []string{p.o.Ctl, "-c", p.o.ConfigDir, "check"}
	if len(p.o.Reload) > 0 {
		return test, p.o.Reload
	}
	return test, []string{p.o.Ctl, "-c", p.o.ConfigDir, "reload"}
}
