package authenticator

import (
	"crypto/rand"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"strings"

	"golang.org/x/sys/unix"

	"edge"
)

// challengeDir is where HTTP-01 is looked for below a webroot.
var challengeDir = strings.Trim(edge.HTTP01Prefix, "/")

const (
	dirMode  = 0o755
	fileMode = 0o644
	// placeTries bounds how often folders are made anew that another process
	// removes because it thinks that nobody needs them any more.
	placeTries = 20
)

// place writes the answer as a file.
func (w *Webroot) place(rootPath string, a edge.Answer) error {
	if !isToken(a.Token) {
		return fmt.Errorf("the token %q cannot be a file's name", a.Token)
	}
	root, err := os.OpenRoot(rootPath)
	if err != nil {
		return err
	}
	defer root.Close()
	w.mu.Lock()
	defer w.mu.Unlock()
	for try := 1; ; try++ {
		file, err := w.tryPlace(root, a)
		if errors.Is(err, fs.ErrNotExist) && try < placeTries {
			continue
		}
		if err != nil {
			return err
		}
		if f := w.files[a]; f != nil {
			f.placed = file
			f.uses++
		} else {
			w.files[a] = &answerFile{file, 1}
		}
		return nil
	}
}

func (w *Webroot) tryPlace(root *os.Root, a edge.Answer) (placed, error) {
	for at, c := range challengeDir + "/" {
		if c != '/' {
			continue
		}
		if err := w.mkdir(root, challengeDir[:at]); err != nil {
			return placed{}, err
		}
	}
	dir, err := openDir(root, challengeDir)
	if err != nil {
		return placed{}, err
	}
	defer dir.Close()
	name := path.Join(challengeDir, a.Token)
	// O_EXCL also refuses a symbolic link of that name.
	const flags = unix.O_WRONLY | unix.O_CREAT | unix.O_EXCL | unix.O_NOFOLLOW | unix.O_CLOEXEC
	fd, err := unix.Openat(int(dir.Fd()), a.Token, flags, fileMode)
	if errors.Is(err, unix.EEXIST) {
		// A run that was killed has left it: tokens are the CA's, and nobody else's.
		w.o.Log.Info("replacing a challenge file that another run has left", "file", path.Join(root.Name(), name))
		if err := unix.Unlinkat(int(dir.Fd()), a.Token, 0); err != nil && !errors.Is(err, unix.ENOENT) {
			return placed{}, &fs.PathError{Op: "replace", Path: name, Err: err}
		}
		fd, err = unix.Openat(int(dir.Fd()), a.Token, flags, fileMode)
	}
	if err != nil {
		return placed{}, &fs.PathError{Op: "create", Path: name, Err: err}
	}
	st, err := fill(os.NewFile(uintptr(fd), name), a.KeyAuth)
	if err != nil {
		_ = unix.Unlinkat(int(dir.Fd()), a.Token, 0) // the first error says more
		return placed{}, err
	}
	return placed{root.Name(), name, st.Dev, st.Ino}, nil
}

// fill writes and closes. The mode is set whatever our umask is: the web server's
// user has to read the file.
func fill(f *os.File, content string) (st unix.Stat_t, err error) {
	_, err = io.WriteString(f, content)
	if err == nil {
		err = unix.Fstat(int(f.Fd()), &st)
	}
	if err == nil && st.Mode&0o777 != fileMode {
		if cerr := f.Chmod(fileMode); st.Mode&0o004 == 0 {
			err = cerr // else it can be read all the same
		}
	}
	return st, errors.Join(err, f.Close())
}

// mkdir makes one folder, if it is not there, with the owner and group of the
// webroot. It gets them under another name: from the moment that it has its own,
// other processes use it.
func (w *Webroot) mkdir(root *os.Root, name string) error {
	parent, err := openDir(root, path.Dir(name))
	if err != nil {
		return err
	}
	defer parent.Close()
	info, err := root.Stat(name)
	if err == nil && !info.IsDir() {
		err = &fs.PathError{Op: "mkdir", Path: name, Err: unix.ENOTDIR}
	}
	if !errors.Is(err, fs.ErrNotExist) {
		return explainLink(err)
	}
	at, temp := int(parent.Fd()), ".edge-"+rand.Text()
	if err := unix.Mkdirat(at, temp, dirMode); err != nil {
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	st, err := w.adopt(root, at, temp)
	if err == nil {
		err = unix.Renameat2(at, temp, at, path.Base(name), unix.RENAME_NOREPLACE)
		if errors.Is(err, unix.EINVAL) || errors.Is(err, unix.ENOSYS) { // NFS
			err = unix.Renameat(at, temp, at, path.Base(name))
		}
	}
	if err != nil {
		_ = unix.Unlinkat(at, temp, unix.AT_REMOVEDIR) // the first error says more
		if errors.Is(err, unix.EEXIST) || errors.Is(err, unix.ENOTEMPTY) {
			return dangling(root, name) // or another process was faster
		}
		return &fs.PathError{Op: "mkdir", Path: name, Err: err}
	}
	w.created = append(w.created, placed{root.Name(), name, st.Dev, st.Ino})
	return nil
}

// dangling is an error where name is a symbolic link to what is not there.
func dangling(root *os.Root, name string) error {
	info, err := root.Lstat(name)
	if err != nil || info.Mode()&fs.ModeSymlink == 0 {
		return nil
	}
	if _, err := root.Stat(name); errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("%s is a symbolic link to a folder that does not exist; make that, or remove the link", name)
	}
	return nil
}

// adopt gives a new folder its owner and mode.
func (w *Webroot) adopt(root *os.Root, at int, name string) (st unix.Stat_t, err error) {
	fd, err := unix.Openat(at, name, unix.O_RDONLY|unix.O_DIRECTORY|unix.O_NOFOLLOW|unix.O_CLOEXEC, 0)
	if err != nil {
		return st, err
	}
	dir := os.NewFile(uintptr(fd), name)
	defer dir.Close()
	if err := unix.Fstat(fd, &st); err != nil {
		return st, err
	}
	// Whoever owns the webroot may have put another folder in the place of ours.
	// One with something in it is not ours, and not to be given away.
	if _, err := dir.ReadDir(1); !errors.Is(err, io.EOF) {
		return st, errors.New("somebody else has just replaced the folder that was made")
	}
	if int(st.Uid) != os.Geteuid() {
		// NFS, CIFS and FUSE give it to whom they like. Its mode is theirs as well.
		w.unowned(root, errors.New("the file system has given it to another user"))
		return st, nil
	}
	if err := own(root, dir); err != nil {
		w.unowned(root, err)
	}
	if err := dir.Chmod(dirMode); err != nil {
		w.unowned(root, err)
	}
	return st, nil
}

// unowned is a warning of certbot's, word for word.
func (w *Webroot) unowned(root *os.Root, err error) {
	w.o.Log.Warn("Unable to change owner and uid of webroot directory", "webroot", root.Name(), "error", err)
}

// openDir opens a folder below the webroot, and nothing else: no pipe that a
// process would wait at for ever.
func openDir(root *os.Root, name string) (*os.File, error) {
	f, err := root.OpenFile(name, os.O_RDONLY|unix.O_DIRECTORY|unix.O_NONBLOCK, 0)
	return f, explainLink(err)
}

// own gives a folder the owner and group of the webroot.
func own(root *os.Root, dir *os.File) error {
	top, err := openDir(root, ".")
	if err != nil {
		return err
	}
	defer top.Close()
	var st unix.Stat_t
	if err := unix.Fstat(int(top.Fd()), &st); err != nil {
		return err
	}
	return dir.Chown(int(st.Uid), int(st.Gid))
}

// remove takes away what we made, unless something else is there now.
func (p placed) remove(folder bool) error {
	root, err := os.OpenRoot(p.root)
	if err != nil {
		return gone(err)
	}
	defer root.Close()
	dir, err := openDir(root, path.Dir(p.path))
	if err != nil {
		return gone(err)
	}
	defer dir.Close()
	var st unix.Stat_t
	if err := unix.Fstatat(int(dir.Fd()), path.Base(p.path), &st, unix.AT_SYMLINK_NOFOLLOW); err != nil {
		return gone(err)
	}
	if st.Dev != p.dev || st.Ino != p.ino {
		return nil
	}
	flags := 0
	if folder {
		flags = unix.AT_REMOVEDIR
	}
	return gone(unix.Unlinkat(int(dir.Fd()), path.Base(p.path), flags))
}

// gone is no error: nothing is left to be removed.
func gone(err error) error {
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// explainLink says what to do about a link that leads out of the webroot. os.Root
// has no error of its own for it.
func explainLink(err error) error {
	if err != nil && strings.Contains(err.Error(), "path escapes from parent") {
		return fmt.Errorf("%w: a symbolic link there leads out of the webroot, which is not followed; name the folder that it leads to as --webroot-path (-w)", err)
	}
	return err
}

// isToken reports whether s is base64url (RFC 8555 section 8.3): a file's name
// without any other meaning.
func isToken(s string) bool {
	const alphabet = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_"
	return s != "" && len(s) <= 255 && strings.Trim(s, alphabet) == ""
}
