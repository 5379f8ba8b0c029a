package accounts

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"
)

// Info describes an account on disk.
type Info struct {
	Server  string // URL of the directory
	ID      string // as in --account and in `account = ` of renewal files
	Former  []string
	Dir     string
	URI     string
	Contact []string  // "mailto:...", where it is on disk: certbot 1 and later does not write it
	Created time.Time // zero where nothing says it
	Host    string    // that it was made on
}

// Is reports whether an ID means this account: its own, or one that it had before
// its key was changed. Renewal files that have a former one need the new one, or
// certbot does not find the account.
func (i Info) Is(id string) bool { return i.ID == id || slices.Contains(i.Former, id) }

// Slug is how certbot calls an account where people choose one.
func (i Info) Slug() string {
	return fmt.Sprintf("%s@%s (%s)", i.Host, i.Created.UTC().Format(time.RFC3339), i.ID[:min(4, len(i.ID))])
}

func (f *folder) info(server string) Info {
	return Info{Server: server, ID: f.name, Former: f.former, Dir: f.dir, URI: f.uri, Contact: f.contact, Created: f.created, Host: f.host}
}

// sortInfos puts the newest last.
func sortInfos(list []Info) {
	slices.SortFunc(list, func(a, b Info) int {
		return cmp.Or(a.Created.Compare(b.Created), cmp.Compare(a.Server, b.Server), cmp.Compare(a.ID, b.ID))
	})
}

// List describes the accounts that certbot would find at the server, the newest
// last, and the one that is chosen, if that is another one.
func (s *Store) List(ctx context.Context) ([]Info, error) {
	here, before, err := s.folders(ctx)
	if err != nil {
		return nil, err
	}
	found := usable(here)
	if len(found) == 0 {
		found = usable(before)
	} else if s.o.Account != "" && !slices.ContainsFunc(found, func(f folder) bool { return f.is(s.o.Account) }) {
		found = append(found, slices.DeleteFunc(usable(before), func(f folder) bool { return !f.is(s.o.Account) })...)
	}
	var out []Info
	for _, f := range found {
		out = append(out, f.info(s.server))
	}
	sortInfos(out)
	return out, nil
}

// maxDepth bounds the folders below accounts/, and ends loops of links.
const maxDepth = 16

// List describes the accounts at all servers, by server, the newest last. Servers are
// taken to be https, which the tree does not say; one that takes over the accounts
// of another by a link shows them too.
func List(configDir string) ([]Info, error) {
	s := &Store{root: filepath.Join(configDir, "accounts")}
	seen := 0
	var out []Info
	var walk func(place string, depth int) error
	walk = func(place string, depth int) error {
		entries, err := os.ReadDir(filepath.Join(s.root, place))
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		for _, e := range entries {
			if seen++; seen > maxFolders {
				return fmt.Errorf("%s has more than %d entries; move away what is no account", s.root, maxFolders)
			}
			below := filepath.Join(place, e.Name())
			dir := filepath.Join(s.root, below)
			if info, err := os.Stat(dir); err != nil || !info.IsDir() {
				continue
			}
			if f := readFolder(place, dir); f.complete() {
				out = append(out, f.info("https://"+filepath.ToSlash(place)))
			} else if depth < maxDepth {
				if err := walk(below, depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	if err := walk("", 0); err != nil {
		return nil, err
	}
	sortInfos(out)
	slices.SortStableFunc(out, func(a, b Info) int { return cmp.Compare(a.Server, b.Server) })
	return out, nil
}
