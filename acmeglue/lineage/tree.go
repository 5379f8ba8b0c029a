package lineage

import (
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/internal/durable"
)

// Dirs are certbot's three folders, as absolute paths.
type Dirs struct {
	Config string // --config-dir, /etc/letsencrypt
	Work   string // --work-dir, /var/lib/letsencrypt
	Logs   string // --logs-dir, /var/log/letsencrypt
}

// Options of Open.
type Options struct {
	// Durable writes. Tests count its steps.
	Durable durable.Writer
	// Log, where set, gets certbot's messages.
	Log *slog.Logger
}

// Tree is a folder such as /etc/letsencrypt. Safe for concurrent use by readers;
// a writer works alone, under certbot's locks.
type Tree struct {
	dirs Dirs
	w    durable.Writer
	log  *slog.Logger
}

// Open returns the tree. It neither reads nor makes anything: what a tree lacks is
// made when it is needed.
func Open(dirs Dirs, o Options) *Tree {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	dirs.Config = filepath.Clean(dirs.Config)
	return &Tree{dirs: dirs, w: o.Durable, log: o.Log}
}

// Dirs are the folders that were given to Open.
func (t *Tree) Dirs() Dirs { return t.dirs }

func (t *Tree) renewalDir() string { return filepath.Join(t.dirs.Config, "renewal") }
func (t *Tree) archiveDir() string { return filepath.Join(t.dirs.Config, "archive") }
func (t *Tree) liveDir() string    { return filepath.Join(t.dirs.Config, "live") }

const confSuffix = ".conf"

// ConfPath is the renewal file of a lineage, whether there is one or not.
func (t *Tree) ConfPath(name string) string { return filepath.Join(t.renewalDir(), name+confSuffix) }

// Names are the names of all lineages, broken ones as well, in the order in which
// certbot goes through them: that of the renewal files' names.
func (t *Tree) Names() ([]string, error) {
	entries, err := readDir(t.renewalDir())
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var files []string
	for _, e := range entries {
		// Python's glob("*.conf") leaves hidden files out.
		if strings.HasSuffix(e.Name(), confSuffix) && e.Name()[0] != '.' {
			files = append(files, e.Name())
		}
	}
	slices.Sort(files)
	for i, f := range files {
		files[i] = strings.TrimSuffix(f, confSuffix)
	}
	return files, nil
}

// Exists reports whether there is a renewal file of that name, broken or not.
func (t *Tree) Exists(name string) bool {
	if checkName(name) != nil {
		return false
	}
	_, err := os.Stat(t.ConfPath(name))
	return err == nil
}

// checkName refuses what is no file name of its own. It is less strict than
// edge.CheckLineageName: lineages that exist have the names that they have.
func checkName(name string) error {
	if name == "" || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
		return fmt.Errorf("lineage name %.80q: it has to be the name of a file, without slashes and without a dot in front", name)
	}
	return nil
}
