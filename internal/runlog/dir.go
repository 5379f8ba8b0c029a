package runlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"edge/internal/display"
)

// DirError says that one of certbot's folders cannot be used. Its text is certbot's.
type DirError struct{ Err error }

// Error has Python's way to write errors of the system, which people search for.
func (e *DirError) Error() string {
	return "The following error was encountered:\n" + pythonError(e.Err) +
		"\nEither run as root, or set --config-dir, --work-dir, and --logs-dir to writeable paths."
}

func (e *DirError) Unwrap() error { return e.Err }

func pythonError(err error) string {
	var path *fs.PathError
	var errno syscall.Errno
	if !errors.As(err, &path) || !errors.As(err, &errno) {
		return display.Clean(err.Error())
	}
	text := errno.Error()
	return fmt.Sprintf("[Errno %d] %s: '%s'", int(errno), strings.ToUpper(text[:1])+text[1:], display.CleanLine(path.Path))
}

// MakeDir makes a folder, and those above it that are missing, with the mode given
// (certbot: 0700 for logs, 0755 for the others), less the umask. A folder that is
// there is left as it is; strict (--strict-permissions) refuses it where it is
// somebody else's or has another mode. Errors are *DirErrors, but for that one.
func MakeDir(dir string, mode fs.FileMode, strict bool) error {
	dir, err := filepath.Abs(dir)
	if err != nil {
		return &DirError{err}
	}
	made, err := makeDir(dir, mode)
	if err != nil {
		return &DirError{err}
	}
	info, err := os.Stat(dir)
	switch {
	case err != nil:
		return &DirError{err}
	case !info.IsDir():
		return &DirError{&fs.PathError{Op: "mkdir", Path: dir, Err: syscall.ENOTDIR}}
	case made || !strict:
		return nil
	}
	if owner := info.Sys().(*syscall.Stat_t).Uid; int(owner) != os.Geteuid() || info.Mode().Perm() != mode {
		return &strictError{dir, mode}
	}
	return nil
}

// strictError is certbot's text for --strict-permissions.
type strictError struct {
	dir  string
	mode fs.FileMode
}

func (e *strictError) Error() string {
	return fmt.Sprintf("%s exists, but it should be owned by current user with permissions 0o%o", display.CleanLine(e.dir), e.mode)
}

// makeDir makes a folder with its parents, all of one mode: certbot's way, and the
// parents of a private folder are nobody's business either.
func makeDir(dir string, mode fs.FileMode) (made bool, err error) {
	err = os.Mkdir(dir, mode)
	if parent := filepath.Dir(dir); errors.Is(err, fs.ErrNotExist) && parent != dir {
		if _, err := makeDir(parent, mode); err != nil {
			return false, err
		}
		err = os.Mkdir(dir, mode)
	}
	if errors.Is(err, fs.ErrExist) {
		return false, nil
	}
	return err == nil, err
}
