package main

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"

	"golang.org/x/sys/unix"

	"edge"
	"edge/internal/config"
)

// spoolFolder, in the door's state folder, is where it leaves the names of hosts whose
// certificate has changed. Files in it are empty: what their names mean is looked up.
const spoolFolder = "deliver"

// maxSpool bounds what one run takes from the spool; the next takes the rest.
const maxSpool = 1000

// takeSpool empties the spool and returns the names that were in it. All of it may be
// the work of somebody who took the door over: it is reached without following a
// link, nothing in it is read, and what is no name goes as well, since the path unit
// starts a run for as long as there is anything.
func takeSpool(dir string) ([]string, error) {
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
		flag := 0
		if e.IsDir() {
			flag = unix.AT_REMOVEDIR
		}
		// Taken away first: what the door writes from now on is for the next run.
		if err := unix.Unlinkat(fd, e.Name(), flag); err != nil && !errors.Is(err, unix.ENOENT) {
			return nil, fmt.Errorf("spool %s: %w; something is in it that the door did not write: remove it by hand", dir, &os.PathError{Op: "unlink", Path: clipped(e.Name()), Err: err})
		}
		if id, err := edge.ParseIdentifier(e.Name()); e.Type().IsRegular() && err == nil && id.Value == e.Name() {
			names = append(names, e.Name())
		}
	}
	slices.Sort(names)
	return names, nil
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
