package accounts

import (
	"cmp"
	"context"
	"crypto"
	"crypto/rand"
	"crypto/rsa"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"time"

	"edge/acmeglue"
	"edge/internal/durable"
)

// NewKey implements acmeglue.AccountStore. Without an account, it is the key of a
// folder that has no registration, or that of a new folder; with one, it is beside
// the account's key.
func (s *Store) NewKey(ctx context.Context) (crypto.Signer, error) {
	f, err := s.pick(ctx)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return s.keyToRegister(ctx)
	case err != nil:
		return nil, err
	}
	if f, err = s.settle(f); err != nil {
		return nil, err
	}
	path := filepath.Join(f.dir, nextFile)
	if b, _, _, err := readFile(path); err == nil {
		// It may be the account's already, if that is where the last one was cut off.
		// One that nobody can read is of no use.
		if key, err := decodeKey(b); err == nil {
			return key, nil
		}
	} else if !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	return s.makeKey(func(crypto.Signer) (string, error) { return path, nil })
}

func (s *Store) keyToRegister(ctx context.Context) (crypto.Signer, error) {
	here, before, err := s.folders(ctx)
	if err != nil {
		return nil, err
	}
	for _, f := range here {
		if err := s.sweep(f); err != nil {
			return nil, err
		}
	}
	if s.o.Account != "" {
		here = append(here, before...) // the one that was forgotten may be there
	}
	here = slices.DeleteFunc(here, func(f folder) bool {
		return f.key == nil || f.uri != "" || s.o.Account != "" && !f.is(s.o.Account)
	})
	if len(here) > 0 {
		// One that was an account is wanted most, then the newest.
		return slices.MaxFunc(here, func(a, b folder) int {
			switch {
			case a.metaErr == nil && b.metaErr != nil:
				return 1
			case a.metaErr != nil && b.metaErr == nil:
				return -1
			}
			return cmp.Or(a.made.Compare(b.made), cmp.Compare(a.name, b.name))
		}).key, nil
	}
	return s.makeKey(func(key crypto.Signer) (string, error) {
		id, err := ID(key.Public())
		if err != nil {
			return "", err
		}
		return filepath.Join(s.Dir(id), keyFile), s.mkdir(s.Dir(id))
	})
}

// makeKey makes a key and stores it where place says.
func (s *Store) makeKey(place func(crypto.Signer) (string, error)) (crypto.Signer, error) {
	key, err := rsa.GenerateKey(rand.Reader, s.o.KeySize)
	if err != nil {
		return nil, err
	}
	path, err := place(key)
	if err != nil {
		return nil, err
	}
	return key, s.writeKey(path, key)
}

func (s *Store) writeKey(path string, key crypto.Signer) error {
	b, err := encodeKey(key)
	if err != nil {
		return err
	}
	return s.o.Durable.WriteFile(path, b, 0o400)
}

// mkdir makes a folder at or below accounts/, and those above it.
func (s *Store) mkdir(dir string) error {
	if info, err := os.Stat(dir); err == nil && info.IsDir() {
		return nil
	}
	mode := fs.FileMode(0o755) // of the configuration's folder, in which accounts/ is
	if dir != filepath.Dir(s.root) {
		if err := s.mkdir(filepath.Dir(dir)); err != nil {
			return err
		}
		mode = 0o700
	}
	return s.o.Durable.Mkdir(dir, mode)
}

// Save implements acmeglue.AccountStore. Contacts are not written: certbot does not.
func (s *Store) Save(ctx context.Context, a acmeglue.Account) error {
	if a.Key == nil || a.Location == "" {
		return errors.New("save the account: it has no key or no URL")
	}
	f, err := s.folderOf(ctx, a)
	switch {
	case err != nil:
		return err
	case f == nil:
		f, err = s.newFolder(a.Key)
	case !sameKey(f.key, a.Key):
		err = s.changeKey(f, a.Key)
	}
	if err != nil {
		return err
	}
	if f.metaErr != nil {
		if err := s.writeMeta(f); err != nil {
			return err
		}
	}
	// This makes an account of the folder. It stays as it is where it says the same:
	// certbot 0.x has written more into it.
	if f.uri != a.Location || len(f.contact) > 0 && !slices.Equal(f.contact, a.Contact) {
		if err := s.writeRegistration(f, a.Location); err != nil {
			return err
		}
	}
	if err := s.tidy(f.dir); err != nil {
		return err
	}
	_, err = s.settle(f)
	return err
}

// sweep removes a folder in which a process died before there was a key.
func (s *Store) sweep(f folder) error {
	if !errors.Is(f.keyErr, fs.ErrNotExist) || !isID.MatchString(f.name) {
		return nil
	}
	if info, err := os.Lstat(f.dir); err != nil || !info.IsDir() {
		return err // a link is not ours
	}
	entries, err := os.ReadDir(f.dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		if !isLitter(e.Name(), keyFile) {
			return nil
		}
	}
	return s.removeFolder(f.dir)
}

// isLitter reports whether a name is that of a temporary file for another, as package
// durable calls them.
func isLitter(name, of string) bool { return strings.HasPrefix(name, "."+of+".tmp-") }

var isID = regexp.MustCompile(`^[0-9a-f]{32}$`)

// tidy removes the key to change to, which is the account's now or was never used,
// and what processes that were killed have left: it may have a key in it.
func (s *Store) tidy(dir string) error {
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	for _, e := range entries {
		litter := e.Name() == nextFile
		for _, name := range []string{keyFile, nextFile, metaFile, regrFile} {
			litter = litter || isLitter(e.Name(), name)
		}
		if litter {
			if err := s.o.Durable.Remove(filepath.Join(dir, e.Name())); err != nil {
				return err
			}
		}
	}
	return nil
}

// folderOf is where an account is: by its key, or else, where that has changed, by
// its URL. Nil where it is new.
func (s *Store) folderOf(ctx context.Context, a acmeglue.Account) (*folder, error) {
	here, before, err := s.folders(ctx)
	if err != nil {
		return nil, err
	}
	all := append(here, before...)
	for _, same := range []func(f *folder) bool{
		func(f *folder) bool { return sameKey(f.key, a.Key) && s.o.Account != "" && f.is(s.o.Account) },
		func(f *folder) bool { return sameKey(f.key, a.Key) && f.uri != "" },
		func(f *folder) bool { return sameKey(f.key, a.Key) },
		func(f *folder) bool { return f.complete() && f.uri == a.Location },
	} {
		for n := range all {
			if same(&all[n]) {
				return &all[n], nil
			}
		}
	}
	return nil, nil
}

func (s *Store) newFolder(key crypto.Signer) (*folder, error) {
	id, err := ID(key.Public())
	if err != nil {
		return nil, err
	}
	dir := s.Dir(id)
	if err := s.mkdir(dir); err != nil {
		return nil, err
	}
	if err := s.writeKey(filepath.Join(dir, keyFile), key); err != nil {
		return nil, err
	}
	f := readFolder(s.place, dir)
	return &f, nil
}

// changeKey gives an account another key. The old name is noted first: it says to
// whoever goes on after us that the folder wants another one.
func (s *Store) changeKey(f *folder, key crypto.Signer) error {
	id, err := ID(key.Public())
	if err != nil {
		return err
	}
	f.former = slices.DeleteFunc(f.former, func(name string) bool { return name == id || name == f.name })
	f.former = append(f.former, f.name)
	if err := s.writeMeta(f); err != nil {
		return err
	}
	f.key = key
	return s.writeKey(filepath.Join(f.dir, keyFile), key)
}

// settle gives a folder the name of its key, if it lost that by a change of the key.
func (s *Store) settle(f *folder) (*folder, error) {
	id := f.id()
	if f.name == id || !slices.Contains(f.former, f.name) {
		return f, nil
	}
	real, err := filepath.EvalSymlinks(f.dir)
	if err != nil {
		return nil, err
	}
	to := filepath.Join(filepath.Dir(real), id)
	if _, err := os.Lstat(filepath.Join(to, keyFile)); errors.Is(err, fs.ErrNotExist) {
		// certbot's update_account has made one that has nothing but a registration.
		if err := s.removeFolder(to); err != nil {
			return nil, err
		}
	}
	if err := s.o.Durable.Move(real, to); err != nil {
		return nil, fmt.Errorf("name account %s by its key: %w", f.name, err)
	}
	dir := filepath.Join(filepath.Dir(f.dir), id)
	// certbot links single accounts where the folder of all could not be a link.
	if info, err := os.Lstat(f.dir); err == nil && info.Mode()&fs.ModeSymlink != 0 {
		if err := s.o.Durable.Relink([]durable.Pointer{{Path: dir, Target: to}}); err != nil {
			return nil, err
		}
		if err := s.o.Durable.Remove(f.dir); err != nil {
			return nil, err
		}
	}
	settled := readFolder(f.place, dir)
	return &settled, nil
}

func (s *Store) writeRegistration(f *folder, uri string) error {
	b, err := encodeJSON(struct {
		Body struct{} `json:"body"`
		URI  string   `json:"uri"`
	}{URI: uri})
	if err != nil {
		return err
	}
	f.uri = uri
	return s.o.Durable.WriteFile(filepath.Join(f.dir, regrFile), b, 0o644)
}

// writeMeta writes meta.json with all that is in it, and with what is missing.
func (s *Store) writeMeta(f *folder) error {
	if f.created.IsZero() {
		f.created = s.o.Now().UTC().Truncate(time.Second)
	}
	if f.host == "" {
		f.host = s.host()
	}
	path := filepath.Join(f.dir, metaFile)
	members := map[string]any{}
	if b, _, _, err := readFile(path); err == nil {
		// What cannot be read is written anew.
		_ = json.Unmarshal(b, &members)
	}
	if members == nil {
		members = map[string]any{}
	}
	members["creation_dt"], members["creation_host"] = f.created.Format(time.RFC3339), f.host
	if delete(members, "edge_former_ids"); len(f.former) > 0 {
		members["edge_former_ids"] = f.former
	}
	b, err := encodeJSON(members)
	if err != nil {
		return err
	}
	f.metaErr = nil
	return s.o.Durable.WriteFile(path, b, 0o644)
}

func (s *Store) host() string {
	if s.o.Host != "" {
		return s.o.Host
	}
	name, err := os.Hostname()
	if err != nil {
		return "localhost"
	}
	return name
}
