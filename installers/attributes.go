package installers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"strings"
	"syscall"

	"edge/internal/durable"

	"golang.org/x/sys/unix"
)

// attributes are what a file has beside its content.
type attributes struct {
	Mode     uint32 // permission, set-user-ID, set-group-ID and sticky bits, as in chmod(2)
	UID, GID int
	// Since 1970, in nanoseconds.
	Accessed, Modified int64
	Extended           map[string][]byte `json:",omitempty"`
}

// attributesOf reads those of an open file.
func attributesOf(f *os.File) (*attributes, error) {
	var st unix.Stat_t
	if err := unix.Fstat(int(f.Fd()), &st); err != nil {
		return nil, &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	a := &attributes{Mode: st.Mode & 0o7777, UID: int(st.Uid), GID: int(st.Gid), Accessed: st.Atim.Nano(), Modified: st.Mtim.Nano()}
	var err error
	if a.Extended, err = extended(int(f.Fd())); err != nil {
		return nil, fmt.Errorf("read the extended attributes of %s: %w", f.Name(), err)
	}
	return a, nil
}

// equal reports whether nothing that matters differs: when a file was read does not.
func (a *attributes) equal(b *attributes) bool {
	return a.Mode == b.Mode && a.UID == b.UID && a.GID == b.GID && a.Modified == b.Modified &&
		maps.EqualFunc(a.Extended, b.Extended, bytes.Equal)
}

// fileMode is the mode in the terms of package fs.
func (a *attributes) fileMode() fs.FileMode {
	mode := fs.FileMode(a.Mode & 0o777)
	for bit, flag := range map[uint32]fs.FileMode{unix.S_ISUID: fs.ModeSetuid, unix.S_ISGID: fs.ModeSetgid, unix.S_ISVTX: fs.ModeSticky} {
		if a.Mode&bit != 0 {
			mode |= flag
		}
	}
	return mode
}

// written is how a file gets new content and keeps the attributes but for the times.
func (a *attributes) written() durable.Attr {
	return durable.Attr{Mode: a.fileMode(), Owner: &durable.Owner{UID: a.UID, GID: a.GID}, Finish: a.extend}
}

// restored is how a file gets all of them.
func (a *attributes) restored() durable.Attr {
	attr := a.written()
	attr.Finish = func(f *os.File) error {
		if err := a.extend(f); err != nil {
			return err
		}
		return a.touch(f)
	}
	return attr
}

func (a *attributes) touch(f *os.File) error {
	// By the name, which nobody else knows yet: there is no futimens(2) in x/sys.
	times := []unix.Timespec{unix.NsecToTimespec(a.Accessed), unix.NsecToTimespec(a.Modified)}
	if err := unix.UtimesNanoAt(unix.AT_FDCWD, f.Name(), times, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return fmt.Errorf("set the times of %s: %w", f.Name(), err)
	}
	return nil
}

// extend sets the extended attributes, and takes away what a new file got by itself.
func (a *attributes) extend(f *os.File) error {
	now, err := extended(int(f.Fd()))
	if err != nil {
		return fmt.Errorf("read the extended attributes of %s: %w", f.Name(), err)
	}
	for name, value := range a.Extended {
		if old, ok := now[name]; ok && bytes.Equal(old, value) {
			continue // a label that only the system may set
		}
		if err := unix.Fsetxattr(int(f.Fd()), name, value, 0); err != nil {
			return fmt.Errorf("set the extended attribute %s of %s: %w", name, f.Name(), err)
		}
	}
	for name := range now {
		if _, ok := a.Extended[name]; ok {
			continue
		}
		if err := unix.Fremovexattr(int(f.Fd()), name); err != nil {
			return fmt.Errorf("remove the extended attribute %s of %s: %w", name, f.Name(), err)
		}
	}
	return nil
}

// extended reads the extended attributes: access lists, labels, what users set. Those
// that are sums over the content are left to the system.
func extended(fd int) (map[string][]byte, error) {
	list, err := grow(func(b []byte) (int, error) { return unix.Flistxattr(fd, b) })
	if errors.Is(err, unix.ENOTSUP) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	out := map[string][]byte{}
	for name := range strings.SplitSeq(string(list), "\x00") {
		if name == "" || name == "security.ima" || name == "security.evm" {
			continue
		}
		value, err := grow(func(b []byte) (int, error) { return unix.Fgetxattr(fd, name, b) })
		if errors.Is(err, unix.ENODATA) {
			continue // gone meanwhile, or not for us
		}
		if err != nil {
			return nil, fmt.Errorf("%s: %w", name, err)
		}
		out[name] = value
	}
	return out, nil
}

// grow asks for the size first.
func grow(read func([]byte) (int, error)) ([]byte, error) {
	for {
		n, err := read(nil)
		if err != nil || n == 0 {
			return nil, err
		}
		b := make([]byte, n)
		n, err = read(b)
		if errors.Is(err, syscall.ERANGE) {
			continue // it has grown meanwhile
		}
		if err != nil {
			return nil, err
		}
		return b[:n], nil
	}
}
