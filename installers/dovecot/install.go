package dovecot

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
)

// wanted is what has to count for a name in the end; empty: for clients that name none.
type wanted struct{ name, cert, key string }

// Plan implements delivery.Planner.
func (d *Dovecot) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	s, err := d.look(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	hosts, err := sni(m.Hosts)
	if err != nil {
		return nil, err
	}
	path := d.pem()
	takes, err := d.takesDefault(s, m.Certs[0])
	if err != nil {
		return nil, err
	}
	if !takes && len(hosts) == 0 {
		return nil, errors.New("the certificate has no name that a client could ask for; say with default: always that all others get it")
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to Dovecot"}}
	if err := pemfile.Plan(p, pemfile.File{Path: path, Content: raw, Mode: 0o600, Dir: 0o700}); err != nil {
		return nil, err
	}
	if err := d.planOwn(p, s.text(d.o.Name, path, hosts, takes)); err != nil {
		return nil, err
	}
	d.wants = nil
	for _, h := range hosts {
		d.wants = append(d.wants, wanted{h, s.file + path, s.file + path})
	}
	p.Serves = delivery.Asked(s.at, m)
	if takes {
		d.wants = append(d.wants, wanted{"", s.file + path, s.file + path})
		p.Serves = append(p.Serves, s.at...)
	} else {
		p.Watch = s.at // the default, on which all clients without SNI depend
	}
	return p, nil
}

// sni are the names that local_name can have.
func sni(hosts []string) ([]string, error) {
	var out []string
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h); err == nil {
			continue // clients name no addresses
		}
		plain := strings.TrimPrefix(h, "*.")
		if plain == "" || strings.ContainsFunc(plain, func(c rune) bool {
			return (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
		}) {
			return nil, fmt.Errorf("%.100q is no name that can be written into its configuration", h)
		}
		out = append(out, strings.ToLower(h))
	}
	return out, nil
}

// takesDefault reports whether clients that name no host are to get the certificate.
func (d *Dovecot) takesDefault(s *state, leaf *x509.Certificate) (bool, error) {
	switch {
	case d.o.Default == always || s.defaultFile == d.pem():
		if d.o.Default == never {
			return false, fmt.Errorf("the certificate is the default already, and default: never; write another default into %s first", d.o.Config)
		}
		return true, nil
	case d.o.Default == never:
		return false, nil
	case s.defaultFile == "":
		return true, nil
	}
	return pemfile.GivesWay(s.defaultFile, leaf, d.o.Now())
}

// text is the file of ours. What is global comes first, as doveconf wants it.
func (s *state) text(lineage, path string, hosts []string, takes bool) []byte {
	var b bytes.Buffer
	fmt.Fprintf(&b, "# written by edge for %s; changes are overwritten\n", strings.Map(func(c rune) rune {
		if c < ' ' {
			return '?'
		}
		return c
	}, lineage))
	pair := func(indent string) {
		fmt.Fprintf(&b, "%[1]s%[2]s = %[4]s%[5]s\n%[1]s%[3]s = %[4]s%[5]s\n", indent, s.cert, s.key, s.file, path)
	}
	if takes {
		pair("")
	}
	for _, h := range hosts {
		fmt.Fprintf(&b, "local_name %s {\n", h)
		pair("  ")
		b.WriteString("}\n")
	}
	return b.Bytes()
}

// planOwn plans the file of ours.
func (d *Dovecot) planOwn(p *installers.Plan, text []byte) error {
	dir, err := filepath.EvalSymlinks(filepath.Dir(d.ownFile()))
	if err != nil {
		return fmt.Errorf("%w; say with own_file: which file edge may write, and include it", err)
	}
	c := installers.Change{Path: filepath.Join(dir, filepath.Base(d.ownFile())), Op: installers.Create, New: text, Mode: 0o644}
	old, err := pemfile.Read(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Changes = append(p.Changes, c)
	case err != nil:
		return err
	case !bytes.Equal(old, text):
		c.Op, c.Old = installers.Rewrite, old
		p.Changes = append(p.Changes, c)
	}
	return nil
}

// Name implements installers.Server.
func (d *Dovecot) Name() string { return "dovecot" }

// Root implements delivery.Planner.
func (d *Dovecot) Root() string { return filepath.Dir(d.o.Config) }

// Settings implements delivery.Planner.
func (d *Dovecot) Settings() string { return d.o.Settings }

// Commands implements installers.Server.
func (d *Dovecot) Commands() (test, activate []string) {
	test = []string{d.o.Doveconf, "-c", d.o.Config, "-n"}
	if len(d.o.Reload) > 0 {
		return test, d.o.Reload
	}
	return test, []string{d.o.Doveadm, "-c", d.o.Config, "reload"}
}

// Test implements installers.Server: doveconf can read it, and says that the file of ours
// counts for each name.
func (d *Dovecot) Test(ctx context.Context) error {
	if _, err := d.doveconf(ctx, "-n"); err != nil {
		return err
	}
	wants := d.wants
	d.wants = nil // an undo, or a recovery, is not for these
	if len(wants) == 0 {
		return nil
	}
	said, err := d.o.Exec(ctx, installers.Program{Argv: []string{d.o.Dovecot, "--version"}})
	if err != nil {
		return err
	}
	n := namesOf(said.Stdout)
	for _, w := range wants {
		v, err := d.values(ctx, strings.Replace(w.name, "*.", "edge-probe.", 1), n.cert, n.key)
		if err != nil {
			return err
		}
		if v[0] != w.cert || v[1] != w.key {
			who := "clients that name no host"
			if w.name != "" {
				who = w.name
			}
			return fmt.Errorf("for %s, doveconf says %s and not %s: %s is not included by %s, or another local_name block counts more", who, clip(v[0]), w.cert, d.ownFile(), d.o.Config)
		}
	}
	return nil
}

// Activate implements installers.Server.
func (d *Dovecot) Activate(ctx context.Context) error {
	_, argv := d.Commands()
	_, err := d.o.Run(ctx, argv)
	return err
}
