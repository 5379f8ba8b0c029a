package pemfile

import (
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
)

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// Real is filepath.EvalSymlinks for what root is going to write. A link of another user
// may lead to what is his, and no further: many servers own the folder of their
// configuration, and whoever took one over could have edge write into any file.
func Real(path string) (string, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return "", err
	}
	type link struct {
		path string
		uid  uint32
	}
	var others []link
	at, rest := "/", strings.Split(path, "/")
	var info fs.FileInfo
	for links := 0; len(rest) > 0; {
		next := filepath.Join(at, rest[0]) // at has no links, so that .. is the folder above
		rest = rest[1:]
		if info, err = os.Lstat(next); err != nil {
			return "", err
		}
		if info.Mode().Type() != fs.ModeSymlink {
			at = next
			continue
		}
		if links++; links > maxLinks {
			return "", fmt.Errorf("%s: too many symbolic links", path)
		}
		if uid := owner(info); uid != 0 && uid != uint32(os.Geteuid()) {
			others = append(others, link{next, uid})
		}
		to, err := os.Readlink(next)
		if err != nil {
			return "", err
		}
		if filepath.IsAbs(to) {
			at = "/"
		}
		rest = append(strings.Split(to, "/"), rest...)
	}
	for _, l := range others {
		if uid := owner(info); uid != l.uid {
			return "", fmt.Errorf("%s is a symbolic link of user %d to %s, which is user %d's; if that is meant, make the link as root: chown -h root %[1]s", l.path, l.uid, at, uid)
		}
	}
	return at, nil
}

// owner is the user whose a file is.
func owner(info fs.FileInfo) uint32 {
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		return st.Uid
	}
	return ^uint32(0) // nobody's
}
