package exim

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/internal/durable"
)

// Plan implements delivery.Planner.
func (x *Exim) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	s, err := x.look(ctx)
	if err != nil {
		return nil, err
	}
	raw, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	names, err := sni(m.Hosts)
	if err != nil {
		return nil, err
	}
	owner, err := x.owner(s.group)
	if err != nil {
		return nil, err
	}
	others := s.now.unwrap(x.table())
	takes, err := x.takesDefault(others.cert, m.Certs[0])
	switch {
	case err != nil:
		return nil, err
	case !takes && len(names) == 0:
		return nil, errors.New("the certificate has no name that a client could ask for; say with default: always that all others get it")
	case takes:
		others = pair{x.pem(), x.pem()}
	}
	pl := &planned{names: names, all: takes, files: map[string][]byte{}}
	if pl.want, err = others.wrap(x.table()); err != nil {
		return nil, fmt.Errorf("what other names get: %w; write a path, or say with default: always that they get this certificate", err)
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to Exim"}}
	if err := pemfile.Plan(p, pemfile.File{Path: x.pem(), Content: raw, Mode: 0o640, Dir: 0o750, Owner: owner}); err != nil {
		return nil, err
	}
	left, err := x.planTable(p, pl, owner)
	if err != nil {
		return nil, err
	}
	if pl.same = s.now == pl.want; !pl.same {
		if err := x.planConfig(p, pl, s); err != nil {
			return nil, err
		}
	}
	if _, err := os.Stat(x.table()); err != nil {
		pl.same = false // it was written by hand, and the daemon is to be told now
	}
	x.watch(p, s, m, takes, left)
	x.planned = pl
	return p, nil
}

// planTable plans the table, and returns the names of others in it.
func (x *Exim) planTable(p *installers.Plan, pl *planned, owner *durable.Owner) (others []string, err error) {
	old, err := pemfile.Read(x.table())
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	list, err := parseTable(old)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.table(), err)
	}
	there := func(path string) bool {
		_, err := os.Stat(path)
		return !errors.Is(err, fs.ErrNotExist)
	}
	list, gone, err := putTable(list, x.pem(), pl.names, there)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", x.table(), err)
	}
	for _, g := range gone {
		p.Warnings = append(p.Warnings, "the file of "+g+" is gone, and the name is taken out of "+x.table())
	}
	for _, e := range list {
		if e.name != "" && e.path != x.pem() {
			others = append(others, e.name)
		}
	}
	pl.files[x.table()] = printTable(list)
	return others, pemfile.Plan(p, pemfile.File{Path: x.table(), Content: pl.files[x.table()], Mode: 0o640, Dir: 0o750, Owner: owner, Public: true})
}

// planConfig writes both options into the configuration, or into Debian's macros.
func (x *Exim) planConfig(p *installers.Plan, pl *planned, s *state) error {
	path, cert, key := s.config, "tls_certificate", "tls_privatekey"
	macros := x.macros(s.config)
	if macros != "" {
		path, cert, key = macros, "MAIN_TLS_CERTIFICATE", "MAIN_TLS_PRIVATEKEY"
	}
	// Its last element may be missing.
	dir, err := pemfile.Real(filepath.Dir(path))
	if err != nil {
		return err
	}
	path = filepath.Join(dir, filepath.Base(path))
	if real, err := pemfile.Real(path); err == nil {
		path = real
	} else if !errors.Is(err, fs.ErrNotExist) || macros == "" {
		return err
	}
	c := installers.Change{Path: path, Op: installers.Rewrite, Mode: 0o644}
	if c.Old, err = pemfile.Read(path); errors.Is(err, fs.ErrNotExist) && macros != "" {
		c.Op, err = installers.Create, nil
	}
	if err != nil {
		return err
	}
	c.New = c.Old
	set := func(name, value string, elsewhere bool) {
		if err != nil {
			return
		}
		var parsed *conf
		if parsed, err = parseConf(c.New); err == nil {
			switch {
			case parsed.has("MAIN_TLS_CERTKEY"):
				err = errors.New("MAIN_TLS_CERTKEY counts more than what edge writes; write its path into MAIN_TLS_CERTIFICATE and MAIN_TLS_PRIVATEKEY, and remove it")
			case name == "MAIN_TLS_ENABLE" && parsed.has(name):
			default:
				c.New, err = parsed.set(name, value, elsewhere)
			}
		}
	}
	set(cert, pl.want.cert, macros == "" && s.now.cert != "")
	set(key, pl.want.key, macros == "" && s.now.key != "")
	if macros != "" {
		set("MAIN_TLS_ENABLE", "yes", false)
	}
	if errors.Is(err, errByHand) {
		return fmt.Errorf("%s: %w; have edge deliver again when you have written there, and before you tell the daemon:\n%s = %s\n%s = %s", path, err, cert, pl.want.cert, key, pl.want.key)
	}
	if err != nil {
		return fmt.Errorf("%s: %w", path, err)
	}
	p.Changes = append(p.Changes, c)
	pl.files[path] = c.New
	return nil
}

// macros is Debian's file of macros, "" where the configuration is not made of it.
func (x *Exim) macros(config string) string {
	if x.o.LocalMacros != "" || filepath.Base(config) != "config.autogenerated" {
		return x.o.LocalMacros
	}
	const dir = "/etc/exim4"
	raw, _ := pemfile.Read(dir + "/update-exim4.conf.conf") // without it, it is not split
	for l := range bytes.Lines(raw) {
		if name, value, _ := strings.Cut(string(l), "="); strings.TrimSpace(name) == "dc_use_split_config" && strings.Trim(value, " \t\r\n'\"") == "true" {
			return dir + "/conf.d/main/000_localmacros"
		}
	}
	return dir + "/exim4.conf.localmacros"
}

// owner is whose the files are.
func (x *Exim) owner(group string) (*durable.Owner, error) {
	uid, err := strconv.Atoi(x.o.Owner)
	if err != nil {
		u, err := user.Lookup(x.o.Owner)
		if err != nil {
			return nil, fmt.Errorf("there is no user %q; say with owner: whose the files are", x.o.Owner)
		}
		uid, _ = strconv.Atoi(u.Uid) // a number on all systems with Exim
	}
	if x.o.Group != "" {
		group = x.o.Group
	}
	gid, err := strconv.Atoi(group)
	if err != nil {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("there is no group %q; say with group: which one can read the files", group)
		}
		gid, _ = strconv.Atoi(g.Gid)
	}
	return &durable.Owner{UID: uid, GID: gid}, nil
}

// takesDefault reports whether clients that name no host, or another one, are to get the
// certificate. Present is what they get now.
func (x *Exim) takesDefault(present string, leaf *x509.Certificate) (bool, error) {
	ours := present == x.pem()
	switch {
	case x.o.Default == always:
		return true, nil
	case x.o.Default == never && (ours || present == ""):
		return false, errors.New("the certificate is the default already, or there is none, and default: never; write another tls_certificate first, or say default: always")
	case x.o.Default == never:
		return false, nil
	case ours || present == "":
		return true, nil // Exim would make one up at each start
	case strings.ContainsAny(present, "$:") || filepath.Dir(present) == x.o.Dir:
		return false, nil // several, or that of another lineage
	}
	return pemfile.GivesWay(present, leaf, x.o.Now())
}

// maxWatched bounds the names of others that are looked at.
const maxWatched = 20

// watch says where the certificate has to be shown, and what has to stay.
func (x *Exim) watch(p *installers.Plan, s *state, m *delivery.Material, takes bool, left []string) {
	p.Serves = delivery.Asked(s.at, m)
	names := left[:min(len(left), maxWatched)]
	if takes {
		p.Serves = append(p.Serves, s.at...)
	} else {
		names = append([]string{""}, names...)
	}
	for _, e := range s.at {
		for _, n := range names {
			e.Name = asked(n)
			p.Watch = append(p.Watch, e)
		}
	}
}

// asked is a name that an entry of the table is for.
func asked(name string) string {
	if rest, wild := strings.CutPrefix(name, "*."); wild {
		return "edge-probe." + rest
	}
	return name
}
