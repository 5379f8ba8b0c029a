package accounts

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"edge/acmeglue"
)

// Forget implements acmeglue.AccountStore. The folder of an account that was
// deactivated goes, with the links to it and the server's folder, if that is empty,
// as with certbot's unregister. Of another account only the registration goes.
func (s *Store) Forget(ctx context.Context, a acmeglue.Account) error {
	f, err := s.folderOf(ctx, a)
	if err != nil || f == nil {
		return err
	}
	if a.Status != "deactivated" {
		return s.o.Durable.Remove(filepath.Join(f.dir, regrFile))
	}
	dir, err := s.unlink(f.place, f.name)
	if err != nil {
		return err
	}
	if err := s.removeFolder(dir); err != nil {
		return err
	}
	if left, err := os.ReadDir(filepath.Join(s.root, f.place)); err != nil || len(left) > 0 {
		return err
	}
	if dir, err = s.unlink(f.place, ""); err != nil {
		return err
	}
	return s.o.Durable.Rmdir(dir)
}

// removeFolder removes an account's folder. The key goes first: without it neither
// certbot nor NewKey takes the rest for anything. One that is not there is no error.
func (s *Store) removeFolder(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	} else if err != nil {
		return err
	}
	for _, name := range []string{keyFile, nextFile} {
		if err := s.o.Durable.Remove(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	for _, e := range entries {
		if path := filepath.Join(dir, e.Name()); e.IsDir() {
			err = os.RemoveAll(path) // somebody else's
		} else {
			err = s.o.Durable.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return s.o.Durable.Rmdir(dir)
}

// unlink removes the links that end at an account's folder (with name "", at a
// server's): those of the servers that take over its accounts, and those on the way
// to it. It returns the folder itself (certbot: _delete_links_and_find_target_dir).
func (s *Store) unlink(place, name string) (string, error) {
	at := func(place string) string { return filepath.Join(s.root, place, name) }
	dir := at(place)
	for next := later(place); next != ""; next = later(place) {
		target, err := os.Readlink(at(next))
		if err != nil || absolute(at(next), target) != dir {
			break
		}
		place, dir = next, at(next)
	}
	var links []string
	for {
		target, err := os.Readlink(dir)
		if err != nil {
			break
		}
		if links = append(links, dir); len(links) > maxDepth {
			return "", fmt.Errorf("%s: too many links", dir)
		}
		dir = absolute(dir, target)
	}
	if err := s.within(dir); err != nil {
		return "", err
	}
	for _, link := range links {
		if err := s.o.Durable.Remove(link); err != nil {
			return "", err
		}
	}
	return dir, nil
}

func absolute(link, target string) string {
	if filepath.IsAbs(target) {
		return filepath.Clean(target)
	}
	return filepath.Join(filepath.Dir(link), target)
}

// within refuses to let anything be removed that links lead to outside of accounts/.
func (s *Store) within(dir string) error {
	root, err := filepath.EvalSymlinks(s.root)
	if err != nil {
		return err
	}
	real, err := filepath.EvalSymlinks(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil
	case err != nil:
		return err
	case !strings.HasPrefix(real, root+string(filepath.Separator)):
		return fmt.Errorf("%s is outside of %s: it stays; remove it and the link to it by hand", real, s.root)
	}
	return nil
}
