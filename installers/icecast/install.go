package icecast

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/internal/durable"
)

// load reads the configuration, wherever links lead to.
func (i *Icecast) load() (path string, doc *document, err error) {
	if path, err = filepath.EvalSymlinks(i.o.Config); err != nil {
		return "", nil, err
	}
	src, err := readFile(path, maxConf)
	if err != nil {
		return "", nil, err
	}
	if doc, err = parse(src); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return path, doc, nil
}

func readFile(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, fmt.Errorf("%s is not a file", path))
	}
	raw, err := io.ReadAll(io.LimitReader(f, most+1))
	if err == nil && int64(len(raw)) > most {
		err = fmt.Errorf("%s has more than %d bytes", path, most)
	}
	return raw, err
}

const maxBundle = 1 << 20 // bytes

// Plan implements delivery.Planner.
func (i *Icecast) Plan(_ context.Context, m *delivery.Material) (*installers.Plan, error) {
	conf, doc, err := i.load()
	if err != nil {
		return nil, err
	}
	if chroot := doc.root.last("security").last("chroot").value(); modeOf(chroot) == onlyTLS {
		return nil, fmt.Errorf("%s: chroot is on, and paths are others for Icecast then; turn it off, or deliver with files", conf)
	}
	edits, notes, err := doc.edits(wanted{i.o.Bundle, i.o.Create, i.o.Port})
	if err != nil {
		return nil, fmt.Errorf("%s: %w", conf, err)
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to Icecast"}, Notes: notes}
	if err := i.planBundle(p, doc, m); err != nil {
		return nil, err
	}
	if len(edits) > 0 {
		old := doc.src
		src, err := apply(doc.src, edits)
		if err != nil {
			return nil, err
		}
		if doc, err = parse(src); err != nil {
			return nil, fmt.Errorf("%s would not be well-formed any more: %w", conf, err)
		}
		p.Changes = append(p.Changes, installers.Change{Path: conf, Op: installers.Rewrite, Old: old, New: src})
	}
	at, strict := doc.places()
	p.Serves = delivery.Asked(at, m)
	for _, addr := range strict {
		p.Checks = append(p.Checks, installers.HTTPCheck{Addr: addr, Host: "localhost", WantNone: true})
	}
	return p, nil
}

// planBundle plans the file with the certificate.
func (i *Icecast) planBundle(p *installers.Plan, doc *document, m *delivery.Material) error {
	dir, err := filepath.EvalSymlinks(filepath.Dir(i.o.Bundle))
	if err != nil {
		return err
	}
	c := installers.Change{Path: filepath.Join(dir, filepath.Base(i.o.Bundle)), New: slices.Concat(m.FullChainPEM, m.KeyPEM), Secret: true}
	if target, err := filepath.EvalSymlinks(c.Path); err == nil {
		c.Path = target
	}
	c.Old, err = readFile(c.Path, maxBundle)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		owner, err := i.owner(doc)
		if err != nil {
			return err
		}
		c.Op, c.Mode, c.Owner = installers.Create, 0o640, owner
	case err != nil:
		return err
	case bytes.Equal(c.Old, c.New):
		return nil
	default:
		if err := pemfile.Takes(c.Path, c.Old); err != nil {
			return err
		}
		p.Forget = true // no old key is kept
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// owner is who Icecast runs as.
func (i *Icecast) owner(doc *document) (*durable.Owner, error) {
	change := doc.root.last("security").last("changeowner")
	users := []string{change.last("user").value(), "icecast2", "icecast"}
	groups := []string{change.last("group").value(), "icecast"}
	if i.o.Owner != "" {
		users = []string{i.o.Owner}
	}
	if i.o.Group != "" {
		groups = []string{i.o.Group}
	}
	var who *user.User
	for _, name := range users {
		if u, err := user.Lookup(name); err == nil && who == nil {
			who = u
		}
	}
	if who == nil {
		return nil, fmt.Errorf("there is no user %s; say with owner who Icecast runs as", users[0]+", "+users[len(users)-1])
	}
	gid := who.Gid
	found := false
	for _, name := range groups {
		if g, err := user.LookupGroup(name); err == nil && !found {
			gid, found = g.Gid, true
		}
	}
	if !found && i.o.Group != "" {
		return nil, fmt.Errorf("there is no group %s", i.o.Group)
	}
	uid, uerr := strconv.Atoi(who.Uid)
	g, gerr := strconv.Atoi(gid)
	return &durable.Owner{UID: uid, GID: g}, errors.Join(uerr, gerr)
}

// Test implements installers.Server. Icecast has no test of its own: the document has to
// be well-formed, and the first certificate of the bundle has to be the key's.
func (i *Icecast) Test(context.Context) error {
	if _, _, err := i.load(); err != nil {
		return err
	}
	_, err := i.leaf()
	return err
}

// leaf is that of the bundle, as Icecast reads it.
func (i *Icecast) leaf() (*x509.Certificate, error) {
	raw, err := readFile(i.o.Bundle, maxBundle)
	if err != nil {
		return nil, err
	}
	pair, err := tls.X509KeyPair(raw, raw)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", i.o.Bundle, err)
	}
	return pair.Leaf, nil
}
