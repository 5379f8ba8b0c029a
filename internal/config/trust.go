package config

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"golang.org/x/sys/unix"
)

// LoadTrusted is Load for the steward, which runs as root and does what the
// configuration says. It refuses files, conf.d, and the folders above them, that
// others than root can write (where it does not run as root: others than root and
// its own user), and the same of the secrets and CA roots that are named in them.
// The error is Errors; each says what to change.
func LoadTrusted(path string) (*Config, error) {
	return loadTrusted(path, "/", uint32(os.Geteuid()))
}

// loadTrusted takes the folders above top as they are.
func loadTrusted(path, top string, uid uint32) (*Config, error) {
	l := &loader{pos: map[string]Pos{}, cfg: defaults()}
	l.trust = &trust{top: top, uid: uid, report: func(e *Error) { l.errs = append(l.errs, e) }}
	paths := append([]string{path}, l.trust.list(filepath.Join(filepath.Dir(path), "conf.d"))...)
	for _, p := range paths {
		l.read(p)
	}
	return l.finish(paths)
}

// trust opens what only root can have written. It walks from the root of the file
// system and looks at each folder and link through a descriptor of its own: what
// was looked at is what is used, whatever happens to the names meanwhile.
type trust struct {
	top    string
	uid    uint32 // besides root
	report func(*Error)
	seen   map[string]bool // what was reported
}

// errUntrusted is returned for what was reported already.
var errUntrusted = errors.New("others can write it, or a folder above it")

// maxLinks bounds the symbolic links on the way to a file, as the kernel does.
const maxLinks = 40

// open opens a file or folder for reading.
func (t *trust) open(path string) (*os.File, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	w := walk{t: t, rest: strings.Split(path, "/")}
	defer w.close()
	if err := w.root(); err != nil {
		return nil, err
	}
	for {
		f, err := w.step()
		switch {
		case err != nil:
			return nil, &fs.PathError{Op: "open", Path: path, Err: err}
		case f == nil:
			continue
		case w.bad:
			f.Close()
			return nil, errUntrusted
		}
		return f, nil
	}
}

// list returns the YAML files of a folder, sorted; none where it is not there.
func (t *trust) list(dir string) []string {
	f, err := t.open(dir)
	if err == nil {
		defer f.Close() // read-only
		var names []string
		if names, err = f.Readdirnames(-1); err == nil {
			names = slices.DeleteFunc(names, func(n string) bool { return !strings.HasSuffix(n, ".yaml") })
			slices.Sort(names)
			for i := range names {
				names[i] = filepath.Join(dir, names[i])
			}
			return names
		}
	}
	if !errors.Is(err, fs.ErrNotExist) && err != errUntrusted {
		t.report(&Error{Pos: Pos{File: dir}, Message: explainOpen(dir, err).Error()})
	}
	return nil
}

// walk is the way to one file.
type walk struct {
	t     *trust
	rest  []string // names still to go
	dir   int      // descriptor of the folder that was reached
	at    string   // its path, links resolved
	open  bool     // dir is one
	links int
	bad   bool // something on the way can be written by others
}

func (w *walk) close() {
	if w.open {
		unix.Close(w.dir)
	}
	w.open = false
}

// root goes to the root of the file system.
func (w *walk) root() error {
	fd, err := unix.Open("/", unix.O_PATH|unix.O_DIRECTORY|unix.O_CLOEXEC, 0)
	if err != nil {
		return err
	}
	return w.enter(fd, "/")
}

// enter makes a folder the one that the next name is looked up in.
func (w *walk) enter(fd int, path string) error {
	w.close()
	w.dir, w.at, w.open = fd, path, true
	var st unix.Stat_t
	if err := unix.Fstat(fd, &st); err != nil {
		return err
	}
	w.look(path, &st)
	return nil
}

// step takes the next name: into a folder, along a link, or, at the last one, to
// the file.
func (w *walk) step() (*os.File, error) {
	name := w.rest[0]
	w.rest = w.rest[1:]
	last := len(w.rest) == 0
	if name == "" {
		name = "."
	}
	path := filepath.Join(w.at, name)
	var st unix.Stat_t
	if err := unix.Fstatat(w.dir, name, &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return nil, err
	}
	if st.Mode&unix.S_IFMT == unix.S_IFLNK {
		return nil, w.follow(name)
	}
	if !last {
		fd, err := unix.Openat(w.dir, name, unix.O_PATH|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
		if err != nil {
			return nil, err
		}
		return nil, w.enter(fd, path)
	}
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	fd, err := unix.Openat(w.dir, name, unix.O_RDONLY|unix.O_NOFOLLOW|unix.O_NONBLOCK|unix.O_CLOEXEC, 0)
	if err != nil {
		return nil, err
	}
	f := os.NewFile(uintptr(fd), path)
	if err := unix.Fstat(fd, &st); err != nil {
		f.Close()
		return nil, err
	}
	w.look(path, &st)
	return f, nil
}

// follow puts the target of a link in the place of its name. Who can write the
// link can write its folder, which was looked at, and those of the target will be.
func (w *walk) follow(name string) error {
	if w.links++; w.links > maxLinks {
		return unix.ELOOP
	}
	buf := make([]byte, unix.PathMax)
	n, err := unix.Readlinkat(w.dir, name, buf)
	if err != nil {
		return err
	}
	target := string(buf[:n])
	w.rest = append(strings.Split(target, "/"), w.rest...)
	if strings.HasPrefix(target, "/") {
		return w.root()
	}
	return nil
}

// look reports what others can write.
func (w *walk) look(path string, st *unix.Stat_t) {
	above := path == "/" && w.t.top != "/" || strings.HasPrefix(w.t.top, path+"/")
	e := w.t.fault(path, st)
	if e == nil || above {
		return
	}
	w.bad = true
	if w.t.seen == nil {
		w.t.seen = make(map[string]bool)
	}
	if !w.t.seen[path] {
		w.t.seen[path] = true
		w.t.report(e)
	}
}

// fault says who can write a file or folder beside root, nil where nobody can.
func (t *trust) fault(path string, st *unix.Stat_t) *Error {
	var who, fix []string
	if st.Uid != 0 && st.Uid != t.uid {
		who, fix = append(who, fmt.Sprintf("user %d", st.Uid)), append(fix, "chown root "+path)
	}
	if st.Mode&0o020 != 0 {
		who = append(who, fmt.Sprintf("group %d", st.Gid))
	}
	if st.Mode&0o002 != 0 {
		who = append(who, "everybody")
	}
	if st.Mode&0o022 != 0 {
		fix = append(fix, "chmod go-w "+path)
	}
	if len(who) == 0 {
		return nil
	}
	hint := strings.Join(fix, " && ")
	if st.Mode&unix.S_ISVTX != 0 && st.Mode&unix.S_IFMT == unix.S_IFDIR {
		hint = "move the configuration into a folder that only root can write, such as /etc/edge"
	}
	return &Error{Pos: Pos{File: path}, Hint: hint, Message: fmt.Sprintf("%s can write it (mode %#o, owner %d:%d), and so decide what edge does as user %d",
		strings.Join(who, " and "), st.Mode&0o7777, st.Uid, st.Gid, t.uid)}
}
