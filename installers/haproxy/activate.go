package haproxy

import (
	"context"
	"crypto/sha1"
	"encoding/hex"
	"errors"
	"fmt"
	"io/fs"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

// Activate implements installers.Server: what HAProxy has in memory becomes what is on
// the disk. Of what was planned that is one certificate; where a run that died was taken
// back, nobody knows which, so it is a reload.
func (h *HAProxy) Activate(ctx context.Context) error {
	w, err := h.o.look()
	if err != nil {
		return err
	}
	if h.o.Update == byRuntime && h.place == nil {
		return errors.New("files of HAProxy were put back, and update: runtime allows no reload: reload it, so that it has them in memory")
	}
	if h.o.Update != byRuntime && (h.place == nil || h.recovering) {
		if _, err := w.way(ctx); err == nil || h.place == nil {
			return w.reload(ctx)
		}
	}
	pem, err := readFile(h.place.path, maxPEM)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	c, why := w.runtime(ctx, h.place, len(pem))
	if c == nil {
		if w.o.Update == byRuntime {
			return why
		}
		return w.reload(ctx)
	}
	s := &memory{cli: c, place: h.place, recovering: h.recovering}
	if pem == nil {
		return s.remove(ctx, h.created)
	}
	return s.put(ctx, string(pem))
}

// runtime is a socket by which a certificate of that size can be changed, or why there
// is none.
func (w *world) runtime(ctx context.Context, at *place, size int) (*cli, error) {
	if w.o.Update == byReload {
		return nil, errors.New("the configuration wants reloads")
	}
	c, i, err := w.answering(ctx)
	if err != nil {
		return nil, err
	}
	// The whole command has to fit, with some room; beyond, HAProxy says nothing.
	const room = 1024
	switch limit := w.bufsize - room - len(at.path) - len("@1 set ssl cert"); {
	case i.version.before(2, 1):
		return nil, fmt.Errorf("HAProxy %s has no commands for certificates", i.version)
	case i.procs > 1:
		return nil, fmt.Errorf("HAProxy has %d processes (nbproc), each with certificates of its own", i.procs)
	case size > limit:
		return nil, fmt.Errorf("the PEM file has %d bytes, and the socket takes %d (tune.bufsize %d)", size, limit, w.bufsize)
	}
	for _, name := range append([]string{at.path}, at.lists...) {
		if !plain(name) {
			return nil, fmt.Errorf("the path %q has characters that the socket does not take", name)
		}
	}
	if slices.ContainsFunc(at.uses, func(u use) bool { return u.stored }) {
		return nil, fmt.Errorf("%s is in a crt-store, where it has another name", at.path)
	}
	if err := c.admin(ctx); err != nil {
		return nil, err
	}
	have, err := c.certs(ctx)
	if err != nil {
		return nil, err
	}
	if _, is := named(have.names, at.path); !is {
		switch {
		case i.version.before(2, 2):
			return nil, fmt.Errorf("HAProxy %s cannot be given a new certificate", i.version)
		case len(at.lists) == 0:
			return nil, fmt.Errorf("HAProxy has not loaded %s", at.path)
		}
	}
	return c, nil
}

// named is the name by which HAProxy has a path: it may have put it together with crt-base
// in another way. False: it has none.
func named(names []string, path string) (string, bool) {
	for _, n := range names {
		if filepath.Clean(n) == path {
			return n, true
		}
	}
	return path, false
}

// memory brings one certificate in memory to what the disk has.
type memory struct {
	*cli
	place      *place
	recovering bool
}

const (
	transactionTries = 20
	transactionStep  = 100 * time.Millisecond
)

// begin lists the certificates, when no transaction is open: one of ours that was left is
// given up, one of somebody else is waited for.
func (s *memory) begin(ctx context.Context) (certs, error) {
	for try := 0; ; try++ {
		have, err := s.certs(ctx)
		if err != nil || have.transaction == "" {
			return have, err
		}
		ours := filepath.Clean(have.transaction) == s.place.path
		switch {
		case ours || s.recovering:
			if !plain(have.transaction) {
				return have, fmt.Errorf("a transaction for %q is open", have.transaction)
			}
			if err := s.abort(ctx, have.transaction); err != nil {
				return have, err
			}
		case try >= transactionTries:
			return have, fmt.Errorf("somebody else is changing the certificate %s of HAProxy: end that with \"commit ssl cert\" or \"abort ssl cert\"", have.transaction)
		default:
			if err := pause(ctx, transactionStep); err != nil {
				return have, err
			}
		}
	}
}

// put has HAProxy serve what is in the file.
func (s *memory) put(ctx context.Context, pem string) error {
	have, err := s.begin(ctx)
	if err != nil {
		return err
	}
	name, is := named(have.names, s.place.path)
	if is {
		err = s.set(ctx, name, pem)
	} else if name, err = s.newName(ctx); err == nil {
		err = s.add(ctx, name, pem)
	}
	if err == nil {
		err = s.shown(ctx, name, pem)
	}
	if err != nil {
		return err
	}
	return s.show(ctx, name)
}

// newName is the name that HAProxy is going to give a new file when it reads the disk.
func (s *memory) newName(ctx context.Context) (string, error) {
	dir, file := filepath.Split(s.place.path)
	names, err := s.lists(ctx)
	if err != nil || s.place.crtList != "" {
		return s.place.path, err
	}
	folder, _ := named(names, filepath.Clean(dir))
	return folder + "/" + file, nil
}

// show puts a certificate into the lists of the place where it is not yet.
func (s *memory) show(ctx context.Context, name string) error {
	if len(s.place.lists) == 0 {
		return nil
	}
	names, err := s.lists(ctx)
	if err != nil {
		return err
	}
	for _, path := range s.place.lists {
		l, _ := named(names, path)
		is, err := s.listed(ctx, l, name)
		if err == nil && !is {
			err = s.list(ctx, l, name, name)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// shown compares what HAProxy has with what it was given.
func (s *memory) shown(ctx context.Context, name, pem string) error {
	leaf := firstCert([]byte(pem))
	if leaf == nil {
		return nil // HAProxy would not have taken it
	}
	answer, err := s.worker(ctx, "show ssl cert "+name, "")
	if err != nil {
		return err
	}
	sum := sha1.Sum(leaf.Raw) // HAProxy shows no other
	if got := fingerprint(answer); got != "" && !strings.EqualFold(got, hex.EncodeToString(sum[:])) {
		return fmt.Errorf("HAProxy says that it took the certificate %s, and has another one (SHA-1 %.40q)", name, got)
	}
	return nil
}

// remove takes a certificate away that is no longer on the disk, where it is ours.
func (s *memory) remove(ctx context.Context, ours bool) error {
	have, err := s.begin(ctx)
	name, is := named(have.names, s.place.path)
	if err != nil || !ours || !is {
		return err
	}
	names, err := s.lists(ctx)
	if err != nil {
		return err
	}
	for _, path := range s.place.lists {
		l, _ := named(names, path)
		is, err := s.listed(ctx, l, name)
		if err == nil && is {
			err = s.unlist(ctx, l, name)
		}
		if err != nil {
			return err
		}
	}
	return s.delete(ctx, name)
}
