package postfix

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
)

// loaded is what an instance has.
type loaded struct {
	values   values
	services []service
	path     string  // of main.cf, wherever links lead to
	was      []byte  // main.cf as it is
	main     *mainCF // as it is going to be
}

func (p *Postfix) load(ctx context.Context) (*loaded, error) {
	asked := append(certificates(), "mail_version", "myhostname", "inet_interfaces", "inet_protocols", "default_database_type", "command_directory",
		"smtpd_tls_security_level", "smtpd_use_tls", "smtpd_enforce_tls", "smtpd_tls_wrappermode", "smtpd_upstream_proxy_protocol")
	var said [3]string
	for i, args := range [][]string{append([]string{"-x"}, asked...), {"-M"}, {"-x", "-P"}} {
		out, err := p.exec(ctx, append([]string{p.o.ConfigUtility, "-c", p.o.ConfigDir}, args...))
		if err != nil {
			return nil, err
		}
		said[i] = out
	}
	l := &loaded{values: parseValues(said[0]), services: parseServices(said[1], said[2])}
	var err error
	if l.path, err = filepath.EvalSymlinks(filepath.Join(p.o.ConfigDir, "main.cf")); err != nil {
		return nil, err
	}
	if l.was, err = pemfile.Read(l.path); err != nil {
		return nil, err
	}
	if l.main, err = parseMain(l.was); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path, err)
	}
	return l, nil
}

// exec runs a program that only says something.
func (p *Postfix) exec(ctx context.Context, argv []string) (string, error) {
	said, err := p.o.Exec(ctx, installers.Program{Argv: argv})
	if err == nil && said.Code != 0 {
		err = fmt.Errorf("%s: exit status %d: %s", strings.Join(argv, " "), said.Code, said.Stderr)
	}
	return said.Stdout, err
}

// hasChains reports whether the version has smtpd_tls_chain_files and tables of names.
func (v values) hasChains() bool {
	major, rest, _ := strings.Cut(v["mail_version"], ".")
	minor, _, _ := strings.Cut(rest, ".")
	a, _ := strconv.Atoi(major)
	b, _ := strconv.Atoi(strings.TrimRightFunc(minor, func(r rune) bool { return r < '0' || r > '9' }))
	return a > 3 || a == 3 && b >= 4
}

// defaults are the files of the default chain that is in force.
func (v values) defaults() []string {
	if chain := v.list("smtpd_tls_chain_files"); len(chain) > 0 {
		return chain
	}
	var list []string
	for _, name := range certificates()[:6] {
		if f := v[name]; f != "" && f != "none" && !slices.Contains(list, f) {
			list = append(list, f)
		}
	}
	return list
}

// isDefault says whether clients that name no host are to be shown the certificate.
func (p *Postfix) isDefault(l *loaded, m *delivery.Material) (bool, error) {
	now := l.values.defaults()
	has := slices.Equal(now, []string{p.pem()})
	switch {
	case p.o.Default == "yes":
		return true, nil
	case p.o.Default == "no" && (has || len(now) == 0):
		return false, errors.New("without a default certificate Postfix speaks no TLS, and there is no other one; set default: yes")
	case p.o.Default == "no":
		return false, l.checkDefault(now)
	case has || len(now) == 0:
		return true, nil
	}
	for _, f := range now { // that of another lineage
		if _, err := os.Stat(f); err == nil && filepath.Dir(f) == p.o.Dir && f != p.pem() {
			return false, l.checkDefault(now)
		}
	}
	if m.Certs[0].VerifyHostname(l.values["myhostname"]) == nil {
		return true, nil
	}
	return false, l.checkDefault(now)
}

// checkDefault looks at a default chain that stays: with a bad one, no name has TLS.
func (l *loaded) checkDefault(now []string) error {
	err := func() error {
		if l.values["smtpd_tls_chain_files"] == "" {
			for i := 0; i < 6; i += 2 { // certificate, key
				cert, key := l.values[certificates()[i]], l.values[certificates()[i+1]]
				if cert == "" || cert == "none" {
					continue
				}
				if err := checkFiles(slices.Compact([]string{cert, key})); err != nil {
					return err
				}
			}
			return nil
		}
		return checkFiles(now)
	}()
	if err != nil {
		return fmt.Errorf("the default certificate (%s): %w; Postfix then turns TLS off for every name: repair it, or set default: yes", strings.Join(now, ", "), err)
	}
	return nil
}

// checkFiles looks at files that are read as one.
func checkFiles(paths []string) error {
	var all []byte
	for _, path := range paths {
		raw, err := pemfile.Read(path)
		if err != nil {
			return err
		}
		all = append(append(all, raw...), '\n')
	}
	for _, one := range pemfile.Chains(all) {
		if _, err := pemfile.Check(one); err != nil {
			return err
		}
	}
	return nil
}

// Plan implements delivery.Planner.
func (p *Postfix) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	pem, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	l, err := p.load(ctx)
	if err != nil {
		return nil, err
	}
	plan := &installers.Plan{Titles: []string{"Deployed ACME Certificate to Postfix"}}
	if err := p.overrides(l, plan); err != nil {
		return nil, err
	}
	isDefault, err := p.isDefault(l, m)
	if err != nil {
		return nil, err
	}
	inUse := slices.ContainsFunc(l.values.list("tls_server_sni_maps"), func(e string) bool { return strings.HasSuffix(e, ":"+p.table()) })
	if !l.values.hasChains() && (!isDefault || inUse) {
		return nil, fmt.Errorf("Postfix %s has one certificate for all names; set default: yes where it is to be this one, or install Postfix 3.4", l.values["mail_version"])
	}
	if err := pemfile.Plan(plan, pemfile.File{Path: p.pem(), Content: pem, Mode: 0o600, Dir: 0o700}); err != nil {
		return nil, err
	}
	if !isDefault || inUse {
		if err := p.planTable(ctx, l, plan, m, pem); err != nil {
			return nil, err
		}
	}
	if isDefault {
		if err := p.planDefault(l, plan); err != nil {
			return nil, err
		}
	}
	if src := l.main.src; !slices.Equal(src, l.was) {
		plan.Changes = append(plan.Changes, installers.Change{Path: l.path, Op: installers.Rewrite, Old: l.was, New: src})
	}
	return plan, p.planSeen(l, plan, m, isDefault)
}
