package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"time"

	"golang.org/x/sys/unix"

	"edge"
	"edge/installers/delivery"
	"edge/internal/config"
	"edge/internal/durable"
)

// spoolFolder, in the door's state folder, is where it leaves the names of hosts whose
// certificate has changed. Files in it are empty: what their names mean is looked up.
const spoolFolder = "deliver"

// maxSpool bounds what one run takes from the spool; the next takes the rest.
const maxSpool = 1000

// runSpool makes the deliveries of the hosts that the door named. The spool is emptied
// even where the configuration cannot be read, or another run has a lock: the path
// unit starts a run for as long as there is anything in it, and gives up after some.
// So that no name is lost on the way, a mark in the state folder says from before to
// the end that names were taken. A run that finds the mark of another looks at all
// hosts of the door, and delivers to those that are not in sync.
func (f *deliverFlags) runSpool(ctx context.Context, stderr io.Writer, do verb) ([]delivery.Result, error) {
	mark := &spoolMark{path: filepath.Join(f.state, "spooled")}
	all := mark.there()
	names, spoolErr := takeSpool(f.spool, mark.set)
	if len(names) == 0 && !all {
		return nil, spoolErr
	}
	if all && mark.text == "" {
		if err := mark.set(); err != nil {
			return nil, errors.Join(spoolErr, err)
		}
	}
	d, err := f.deliveries(stderr)
	if err != nil {
		return nil, err
	}
	d.backOff = true
	if d.only = spooledItems(d.cfg, names, d.log); all {
		d.only = doorItems(d.cfg)
	}
	results, err := do(d, ctx)
	if err == nil {
		err = mark.remove()
	}
	return results, errors.Join(err, spoolErr)
}

// spoolMark is a file that says that names were taken from the spool, by a run that did
// not come to its end. Each run writes its own text, and leaves a mark with another's.
type spoolMark struct{ path, text string }

func (m *spoolMark) there() bool {
	_, err := os.Lstat(m.path)
	return err == nil
}

func (m *spoolMark) set() error {
	text := fmt.Sprintf("%s, process %d\n", time.Now().UTC().Format(time.RFC3339Nano), os.Getpid())
	err := os.MkdirAll(filepath.Dir(m.path), 0o700)
	if err == nil {
		err = durable.Writer{}.WriteFile(m.path, []byte(text), 0o600)
	}
	if err != nil {
		return fmt.Errorf("note that names are taken from the spool: %w; run this as root, or name another folder with --state-dir", err)
	}
	m.text = text
	return nil
}

func (m *spoolMark) remove() error {
	b, err := os.ReadFile(m.path)
	if err == nil && string(b) == m.text {
		err = durable.Writer{}.Remove(m.path)
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// takeSpool empties the spool and returns the names that were in it, those too that
// come with an error. All of it may be the work of somebody who took the door over: it
// is reached without following a link, nothing in it is read, what is no name goes as
// well, and what cannot be removed keeps nobody else's certificate from being
// delivered. Before names are removed, taking is called; its error ends it. Removed they
// are before their certificates are fetched: what the door writes then is for the
// next run.
func takeSpool(dir string, taking func() error) ([]string, error) {
	fd, err := unix.Openat2(unix.AT_FDCWD, dir, &unix.OpenHow{
		Flags: unix.O_RDONLY | unix.O_DIRECTORY | unix.O_NOFOLLOW | unix.O_CLOEXEC, Resolve: unix.RESOLVE_NO_SYMLINKS | unix.RESOLVE_NO_MAGICLINKS,
	})
	switch {
	case errors.Is(err, unix.ENOENT):
		return nil, nil // the door has not run yet
	case errors.Is(err, unix.ELOOP), errors.Is(err, unix.ENOTDIR):
		return nil, fmt.Errorf("spool %s: it is no folder, or reached through a symbolic link; write its real path", dir)
	case err != nil:
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	f := os.NewFile(uintptr(fd), dir)
	defer f.Close() // read-only
	entries, err := f.ReadDir(maxSpool)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, fmt.Errorf("spool %s: %w", dir, err)
	}
	var names []string
	for _, e := range entries {
		if id, err := edge.ParseIdentifier(e.Name()); e.Type().IsRegular() && err == nil && id.Value == e.Name() {
			names = append(names, e.Name())
		}
	}
	if len(names) > 0 {
		if err := taking(); err != nil {
			return nil, err
		}
	}
	slices.Sort(names)
	if err := emptied(fd, entries); err != nil {
		return names, fmt.Errorf("spool %s: %w; something is in it that the door did not write: remove it by hand", dir, err)
	}
	return names, nil
}

// emptied removes what it can. The error has the first that stays, and how many do.
func emptied(dir int, entries []fs.DirEntry) error {
	var first error
	stay := 0
	for _, e := range entries {
		flag := 0
		if e.IsDir() {
			flag = unix.AT_REMOVEDIR
		}
		if err := unix.Unlinkat(dir, e.Name(), flag); err != nil && !errors.Is(err, unix.ENOENT) {
			if stay++; first == nil {
				first = &os.PathError{Op: "unlink", Path: clipped(e.Name()), Err: err}
			}
		}
	}
	if stay > 1 {
		return fmt.Errorf("%w, and so with %d more", first, stay-1)
	}
	return first
}

func clipped(s string) string {
	if len(s) > 80 {
		return s[:80] + "..."
	}
	return s
}

// spooledItems are those of the names that the configuration has a site with deliveries
// for. The door may know more names: its configuration may be newer, or older.
func spooledItems(cfg *config.Config, names []string, log *slog.Logger) map[string]bool {
	only := map[string]bool{}
	for _, w := range wants(cfg) {
		if w.site && slices.Contains(names, w.name) {
			only[w.name] = true
		}
	}
	for _, n := range names {
		if !only[n] {
			log.Warn("the door named a host that is not delivered", "site", n)
		}
	}
	return only
}

// doorItems are all hosts of the door that are delivered.
func doorItems(cfg *config.Config) map[string]bool {
	only := map[string]bool{}
	for _, w := range wants(cfg) {
		if w.site {
			only[w.name] = true
		}
	}
	return only
}
