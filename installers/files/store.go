package files

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

	"edge/internal/durable"
)

// store is the folder of the versions of one delivery.
type store struct {
	t    *Target
	w    durable.Writer
	dir  string
	name string // of the folder, in dir
	old  data   // what is in use
}

func (s *store) path(elem ...string) string {
	return filepath.Join(append([]string{s.dir, s.name}, elem...)...)
}

func version(n int) string { return strconv.Itoa(n) }

// target is where the link of a file in dir leads to.
func (s *store) target(file string) string { return s.name + "/current/" + file }

// put writes a new version and puts it in use. When it fails, the old one is in use.
func (s *store) put(list []content) (data, error) {
	if err := s.w.Mkdir(s.path(), 0o755); err != nil {
		return data{}, err
	}
	have, err := s.versions()
	if err != nil {
		return data{}, err
	}
	next := data{Version: s.old.Version + 1, Sums: map[string]string{}}
	for _, n := range have {
		next.Version = max(next.Version, n+1)
	}
	for _, c := range list {
		next.Sums[c.name] = c.sum()
	}
	if err = s.keep(next); err == nil {
		err = s.write(next.Version, list)
	}
	if err == nil {
		err = s.use(next)
	}
	if err != nil {
		return data{}, errors.Join(err, s.undo(next))
	}
	return next, nil
}

// versions are those that are whole, whoever made them.
func (s *store) versions() ([]int, error) {
	entries, err := os.ReadDir(s.path())
	if err != nil {
		return nil, err
	}
	var list []int
	for _, e := range entries {
		if n, err := strconv.Atoi(e.Name()); err == nil && n >= 0 && n < 1<<30 && e.IsDir() {
			list = append(list, n)
		}
	}
	return list, nil
}

// write makes a version, whole or not at all.
func (s *store) write(n int, list []content) error {
	tmp := s.path("new")
	if err := s.remove(tmp); err != nil {
		return err
	}
	if err := s.w.Mkdir(tmp, 0o755); err != nil {
		return err
	}
	for _, c := range list {
		if err := s.w.WriteFileAs(filepath.Join(tmp, c.name), c.data, c.attr); err != nil {
			return err
		}
	}
	return s.w.Move(tmp, s.path(version(n)))
}

// keep saves what somebody else has under our names, as version 0. A run that comes
// after one that was interrupted, here or in its undo, completes it.
func (s *store) keep(next data) error {
	if s.old.Version != 0 {
		return nil
	}
	if err := s.w.Mkdir(s.path("0"), 0o700); err != nil {
		return err
	}
	for name := range next.Sums {
		from, to := filepath.Join(s.dir, name), s.path("0", name)
		info, err := os.Lstat(from)
		switch {
		case errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil:
			return err
		case s.ours(name):
			continue
		case info.Mode().Type() == fs.ModeSymlink:
			// It leads somewhere only from dir, which is where it goes back to.
			var link string
			if link, err = os.Readlink(from); err == nil {
				err = s.w.Relink([]durable.Pointer{{Path: to, Target: link}})
			}
		case info.Mode().IsRegular():
			err = s.copy(from, to, info)
		default:
			err = fmt.Errorf("%s is in the way (%s); move it away", from, info.Mode().Type())
		}
		if err != nil {
			return err
		}
	}
	return nil
}

// maxKept bounds what is taken for a file with a certificate, in bytes.
const maxKept = 4 << 20

func (s *store) copy(from, to string, info fs.FileInfo) error {
	if info.Size() > maxKept {
		return fmt.Errorf("%s has %d bytes, which no certificate has; move it away", from, info.Size())
	}
	b, err := os.ReadFile(from)
	if err != nil {
		return err
	}
	attr := durable.Attr{Mode: info.Mode().Perm()}
	if st, ok := info.Sys().(*syscall.Stat_t); ok {
		attr.Owner = &durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	}
	return s.w.WriteFileAs(to, b, attr)
}

// ours reports whether the file of that name is a link of this delivery.
func (s *store) ours(name string) bool {
	link, err := os.Readlink(filepath.Join(s.dir, name))
	return err == nil && link == s.target(name)
}

// use puts a version in use: one rename for all files that are links already.
func (s *store) use(d data) error {
	if err := s.w.Relink([]durable.Pointer{{Path: s.path("current"), Target: version(d.Version)}}); err != nil {
		return err
	}
	var links []durable.Pointer
	for name := range d.Sums {
		if !s.ours(name) {
			links = append(links, durable.Pointer{Path: filepath.Join(s.dir, name), Target: s.target(name)})
		}
	}
	slices.SortFunc(links, func(a, b durable.Pointer) int { return strings.Compare(a.Path, b.Path) })
	if len(links) == 0 {
		return nil
	}
	return s.w.Relink(links)
}

// undo takes a version out of use again.
func (s *store) undo(next data) error {
	if s.old.Version != 0 {
		if _, err := os.Stat(s.path(version(s.old.Version))); err != nil {
			return fmt.Errorf("version %d was in use before: %w", s.old.Version, err)
		}
		if err := s.use(s.old); err != nil {
			return err
		}
		return s.unlink(next.Sums, s.old.Sums)
	}
	for name := range next.Sums {
		before, at := s.path("0", name), filepath.Join(s.dir, name)
		if _, err := os.Lstat(before); err == nil {
			if err := s.w.Move(before, at); err != nil {
				return err
			}
		} else if s.ours(name) {
			if err := s.w.Remove(at); err != nil {
				return err
			}
		}
	}
	return s.remove(s.path())
}

// commit removes what is not needed any more: all but the version that is in use and
// the one before.
func (s *store) commit(next data) error {
	if err := s.unlink(s.old.Sums, next.Sums); err != nil {
		return err
	}
	have, err := s.versions()
	if err != nil {
		return err
	}
	for _, n := range have {
		if n == next.Version || n == s.old.Version {
			continue
		}
		if err := s.remove(s.path(version(n))); err != nil {
			return err
		}
	}
	return nil
}

// unlink removes our links to files that only the first has.
func (s *store) unlink(had, has map[string]string) error {
	for name := range had {
		if _, stays := has[name]; !stays && s.ours(name) {
			if err := s.w.Remove(filepath.Join(s.dir, name)); err != nil {
				return err
			}
		}
	}
	return nil
}

// remove takes a folder of ours away, with the files in it.
func (s *store) remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		path := filepath.Join(dir, e.Name())
		if e.IsDir() {
			err = s.remove(path)
		} else {
			err = s.w.Remove(path)
		}
		if err != nil {
			return err
		}
	}
	return s.w.Rmdir(dir)
}
