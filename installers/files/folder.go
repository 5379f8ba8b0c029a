package files

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// folder makes the folder where it is missing, and refuses one that others could have
// a part in: whoever can write there could lead what root writes elsewhere.
func (t *Target) folder() error {
	if err := safeDir(t.o.Dir, t.mkdir); err != nil {
		return fmt.Errorf("folder %s: %w", t.o.Dir, err)
	}
	return nil
}

func (t *Target) mkdir(path string) error { return t.o.Durable.Mkdir(path, 0o755) }

const maxLinks = 40

// safeDir walks to a folder from the root, along links, and looks at each folder
// before it looks into it. What only root can write does not change meanwhile.
func safeDir(path string, mkdir func(string) error) error {
	at, rest := "/", strings.Split(path, "/")
	links := 0
	for {
		if err := safe(at, len(rest) == 0); err != nil {
			return err
		}
		if len(rest) == 0 {
			return nil
		}
		next := filepath.Join(at, rest[0])
		rest = rest[1:]
		info, err := os.Lstat(next)
		if errors.Is(err, fs.ErrNotExist) {
			if err = mkdir(next); err == nil {
				info, err = os.Lstat(next)
			}
		}
		switch {
		case err != nil:
			return err
		case info.IsDir():
			at = next
		case info.Mode().Type() == fs.ModeSymlink:
			if links++; links > maxLinks {
				return errors.New("too many symbolic links")
			}
			if err := safeLink(at, next, info); err != nil {
				return err
			}
			target, err := os.Readlink(next)
			if err != nil {
				return err
			}
			rest = append(strings.Split(target, "/"), rest...)
			if filepath.IsAbs(target) {
				at = "/"
			}
		default:
			return fmt.Errorf("%s is not a folder", next)
		}
	}
}

// safe refuses a folder that others than root, and who runs this, can write. In /tmp
// others cannot touch what is not theirs, but whose it is has to be seen for each
// folder in it.
func safe(dir string, last bool) error {
	info, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return errors.New("whose it is cannot be seen")
	}
	switch uid := os.Geteuid(); {
	case st.Uid != 0 && int(st.Uid) != uid:
		return fmt.Errorf("%s belongs to user %d, who could lead what is written elsewhere; chown root %s, and name the reader as owner or group of the files", dir, st.Uid, dir)
	case st.Mode&0o022 != 0 && (last || st.Mode&syscall.S_ISVTX == 0):
		return fmt.Errorf("%s can be written by others (mode %#o), who could lead what is written elsewhere; chmod go-w %s", dir, st.Mode&0o7777, dir)
	}
	return nil
}

// safeLink refuses a symbolic link that others made in a folder that they can write,
// and can lead elsewhere at any time. In /tmp the links of root are root's alone, but for
// a second name of one that lies elsewhere, which others can make where the kernel lets
// them.
func safeLink(dir, link string, info fs.FileInfo) error {
	above, err := os.Lstat(dir)
	if err != nil {
		return err
	}
	folder, ok := above.Sys().(*syscall.Stat_t)
	st, ok2 := info.Sys().(*syscall.Stat_t)
	switch {
	case !ok || !ok2:
		return errors.New("whose it is cannot be seen")
	case folder.Mode&0o022 == 0:
		return nil // whoever owns the link, who owns the folder put it there
	case st.Uid != 0 && int(st.Uid) != os.Geteuid():
		return fmt.Errorf("%s is a symbolic link of user %d, who could lead what is written elsewhere; name the folder that it leads to", link, st.Uid)
	case st.Nlink > 1:
		return fmt.Errorf("%s is a symbolic link with another name, which others may have put there; name the folder that it leads to", link)
	}
	return nil
}
