package process

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// Group is the effective group of a process: that which may read what it has to. The
// owner of its folder in /proc does not tell, where the process gave up rights.
func Group(pid int) (int, error) {
	uids, gids, _, err := rights(pid)
	if err != nil || len(uids) < 2 || len(gids) < 2 {
		return -1, errors.Join(err, errors.New("the group of its process cannot be found out"))
	}
	return gids[1], nil // real, effective, saved, of files
}

// rights are the users and groups of a process, and its further groups.
func rights(pid int) (uids, gids, groups []int, err error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return nil, nil, nil, fmt.Errorf("process %d: %w; is it on another machine?", pid, err)
	}
	for l := range strings.Lines(string(raw)) {
		name, text, _ := strings.Cut(l, ":")
		to := map[string]*[]int{"Uid": &uids, "Gid": &gids, "Groups": &groups}[name]
		if to == nil {
			continue
		}
		for _, f := range strings.Fields(text) {
			n, err := strconv.Atoi(f)
			if err != nil {
				return nil, nil, nil, fmt.Errorf("process %d: %q is no user or group", pid, f)
			}
			*to = append(*to, n)
		}
	}
	return uids, gids, groups, nil
}

// Enters reports why a process could not get at what is in a folder, which may not be there
// yet: one of those above keeps its user out. Where access lists say more than modes do,
// it does not judge.
func Enters(pid int, dir string) error {
	uids, gids, groups, err := rights(pid)
	if err != nil || len(uids) < 2 || len(gids) < 2 || uids[1] == 0 {
		return err // root gets everywhere
	}
	dir, err = existing(dir)
	if err != nil {
		return err
	}
	for ; ; dir = filepath.Dir(dir) {
		info, err := os.Stat(dir)
		if err != nil {
			return err
		}
		st, ok := info.Sys().(*syscall.Stat_t)
		bit := fs.FileMode(0o001)
		switch {
		case !ok:
			return nil
		case int(st.Uid) == uids[1]:
			bit = 0o100
		case int(st.Gid) == gids[1] || slices.Contains(groups, int(st.Gid)):
			bit = 0o010
		}
		if _, err := unix.Getxattr(dir, "system.posix_acl_access", nil); info.Mode().Perm()&bit == 0 && err != nil {
			return fmt.Errorf("user %d, as whom it runs, cannot enter %s (mode %#o); choose another folder, or chmod it", uids[1], dir, info.Mode().Perm())
		}
		if dir == "/" {
			return nil
		}
	}
}

// existing is the nearest folder of a path that is there, without links.
func existing(dir string) (string, error) {
	for {
		real, err := filepath.EvalSymlinks(dir)
		if !errors.Is(err, fs.ErrNotExist) {
			return real, err
		}
		dir = filepath.Dir(dir)
	}
}
