package runlog

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"

	"golang.org/x/sys/unix"
)

// maxSize is where certbot begins a new file within a run, in bytes, if it may keep
// older ones.
const maxSize = 1 << 20

// file is letsencrypt.log. It is not safe for concurrent use.
type file struct {
	dir     *os.File
	trusted bool // nobody but us and root can put files into dir
	backups int
	f       *os.File
	size    int64 // of what this run wrote
	failed  error // why older logs are not kept
}

// openFile opens the log in dir and moves the older ones up. Trouble with the older
// ones is no reason not to renew a certificate: then rotation says what it is, and
// the log is appended to.
func openFile(dir string, backups int) (f *file, rotation, err error) {
	d, err := os.Open(dir)
	if err != nil {
		return nil, nil, err
	}
	f = &file{dir: d, backups: max(0, backups)}
	if f.trusted, err = trusted(d); err == nil {
		if f.backups > 0 {
			f.failed = f.rotate()
		}
		err = f.open()
	}
	if err != nil {
		d.Close()
		return nil, nil, err
	}
	return f, f.failed, nil
}

// trusted is false for a folder in which others can place links.
func trusted(d *os.File) (bool, error) {
	var st unix.Stat_t
	if err := fstat(d, &st); err != nil {
		return false, err
	}
	if st.Mode&unix.S_IFMT != unix.S_IFDIR {
		return false, &fs.PathError{Op: "open", Path: d.Name(), Err: unix.ENOTDIR}
	}
	return (st.Uid == 0 || int(st.Uid) == os.Geteuid()) && st.Mode&0o022 == 0, nil
}

func (f *file) Path() string { return filepath.Join(f.dir.Name(), Name) }

// open opens the log below the folder that was looked at, whatever has become of its
// name. In a folder where others can write, a link could point to a file of the
// system, and a file of theirs could be one that they read or cut later.
func (f *file) open() error {
	flags := unix.O_WRONLY | unix.O_APPEND | unix.O_CREAT | unix.O_CLOEXEC | unix.O_NONBLOCK
	if !f.trusted {
		flags |= unix.O_NOFOLLOW
	}
	fd, err := unix.Openat(int(f.dir.Fd()), Name, flags, 0o644)
	if err != nil {
		return &fs.PathError{Op: "open", Path: f.Path(), Err: err}
	}
	f.f = os.NewFile(uintptr(fd), f.Path())
	var st unix.Stat_t
	if err := fstat(f.f, &st); err != nil {
		f.f.Close()
		return err
	}
	if !f.trusted && (st.Mode&unix.S_IFMT != unix.S_IFREG || st.Nlink != 1 || int(st.Uid) != os.Geteuid()) {
		f.f.Close()
		return fmt.Errorf("open %s: it is no plain file of uid %d, and others can write to its folder; remove it and make the folder 0700", f.Path(), os.Geteuid())
	}
	f.size = 0
	return nil
}

func fstat(f *os.File, st *unix.Stat_t) error {
	if err := unix.Fstat(int(f.Fd()), st); err != nil {
		return &fs.PathError{Op: "stat", Path: f.Name(), Err: err}
	}
	return nil
}

// rotate moves every log up by one, from the oldest, which is lost, to that of the
// last run. Gaps move along, as with certbot. Links are moved, not followed.
func (f *file) rotate() error {
	for i := f.backups; i > 0; i-- {
		from, to := Name, Name+"."+strconv.Itoa(i)
		if i > 1 {
			from += "." + strconv.Itoa(i-1)
		}
		err := unix.Renameat(int(f.dir.Fd()), from, int(f.dir.Fd()), to)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return fmt.Errorf("rename %s to %s: %w", filepath.Join(f.dir.Name(), from), to, err)
		}
	}
	return nil
}

// Write appends a line. Where it would become too long for a file, it begins the
// next one.
func (f *file) Write(line []byte) (int, error) {
	if f.backups > 0 && f.failed == nil && f.size+int64(len(line)) >= maxSize {
		if f.failed = f.rotate(); f.failed == nil {
			old := f.f
			if f.failed = f.open(); f.failed != nil {
				f.f = old
			} else {
				old.Close() // everything is written: there is no buffer
			}
		}
	}
	n, err := f.f.Write(line)
	f.size += int64(n)
	return n, err
}

func (f *file) Close() error { return errors.Join(f.f.Close(), f.dir.Close()) }

// tempFile is a log in a folder of its own, made when there is something to log.
type tempFile struct {
	base string
	f    *os.File
	err  error
}

func (t *tempFile) Path() string {
	if t.f == nil {
		return ""
	}
	return t.f.Name()
}

func (t *tempFile) Write(line []byte) (int, error) {
	if t.f == nil && t.err == nil {
		t.f, t.err = t.create()
	}
	if t.err != nil {
		return 0, t.err
	}
	return t.f.Write(line)
}

func (t *tempFile) create() (*os.File, error) {
	dir, err := os.MkdirTemp(t.base, "certbot-log-")
	if err != nil {
		return nil, err
	}
	return os.OpenFile(filepath.Join(dir, "log"), os.O_WRONLY|os.O_CREATE|os.O_EXCL|os.O_APPEND, 0o600)
}

func (t *tempFile) Close() error {
	if t.f == nil {
		t.err = os.ErrClosed
		return nil
	}
	return t.f.Close()
}
