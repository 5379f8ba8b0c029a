package installers

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"

	"golang.org/x/sys/unix"
)

// The folders in the work folder. Of those with EDGE in their names certbot knows
// nothing.
const (
	dirBackups    = "backups"
	dirInProgress = "IN_PROGRESS"
	dirTemporary  = "temp_checkpoint"
	dirPrepared   = "EDGE_PREPARED"    // becomes one of the two
	dirRolledBack = "EDGE_ROLLED_BACK" // its RollsBack are still to be removed
	dirGone       = "EDGE_GONE"        // is being removed
	dirKept       = "EDGE_KEPT"        // what somebody else wrote and we took away
)

func (t *Runner) dir(name ...string) string {
	return filepath.Join(append([]string{t.Work}, name...)...)
}

// prepare writes a checkpoint for what the changes are going to do, whole, and only
// then gives it its name: certbot and we find all of it or nothing, and nothing has been
// changed before.
func (t *Runner) prepare(r *record, changes []Change, as string) (err error) {
	dir := t.dir(dirPrepared)
	defer func() {
		if err != nil {
			_ = t.remove(dir) // where it stays, the next one removes it
		}
	}()
	for _, folder := range []string{t.Work, t.dir(dirBackups)} {
		if err := t.Durable.Mkdir(folder, 0o755); err != nil {
			return err
		}
	}
	if err := t.remove(dir); err != nil {
		return err
	}
	if err := t.Durable.Mkdir(dir, 0o755); err != nil {
		return err
	}
	for _, c := range changes {
		if err := t.save(r, c, dir); err != nil {
			return err
		}
	}
	raw, err := json.MarshalIndent(r, "", " ")
	if err != nil {
		return err
	}
	for _, f := range append(r.forCertbot(), namedText{fileRecord, raw}) {
		if err := t.Durable.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
			return err
		}
	}
	return t.Durable.Move(dir, t.dir(as))
}

// save notes one change, with a copy of what it takes away.
func (t *Runner) save(r *record, c Change, dir string) error {
	switch c.Op {
	case Create:
		r.Added = append(r.Added, addition{Path: c.Path, Kind: newFile, Wrote: digest(c.New)})
		return nil
	case Symlink:
		r.Added = append(r.Added, addition{Path: c.Path, Kind: newLink, Target: c.Target})
		return nil
	case Mkdir:
		r.Added = append(r.Added, addition{Path: c.Path, Kind: newFolder})
		return nil
	case Delete:
		if link, err := readLink(c.Path); err != nil || link != nil {
			if link != nil {
				r.Links = append(r.Links, *link)
			}
			return err
		}
	}
	// Should it not be what the plan was made for any more, Stage finds that.
	content, was, err := readFile(c.Path)
	if err != nil {
		return err
	}
	saved := savedFile{Path: c.Path, Was: *was}
	if c.Op == Rewrite {
		saved.Wrote = digest(c.New)
	}
	attr := was.restored()
	finish := attr.Finish
	// What counts is in the record. certbot takes times and attributes from the copy,
	// where the file system of the work folder can hold them.
	attr.Finish = func(f *os.File) error {
		if err := finish(f); err != nil && !errors.Is(err, unix.ENOTSUP) && !errors.Is(err, fs.ErrPermission) && !errors.Is(err, unix.EINVAL) {
			return err
		}
		return nil
	}
	if err := t.Durable.WriteFileAs(copyPath(dir, c.Path, len(r.Files)), content, attr); err != nil {
		return err
	}
	r.Files = append(r.Files, saved)
	return nil
}

// copyPath is where a checkpoint keeps the i-th file.
func copyPath(dir, path string, i int) string {
	return filepath.Join(dir, filepath.Base(path)+"_"+strconv.Itoa(i))
}

// readLink returns nil for what is no symbolic link.
func readLink(path string) (*savedLink, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return nil, &fs.PathError{Op: "lstat", Path: path, Err: err}
	}
	if st.Mode&unix.S_IFMT != unix.S_IFLNK {
		return nil, nil
	}
	target, err := os.Readlink(path)
	return &savedLink{path, target, int(st.Uid), int(st.Gid)}, err
}

type namedText struct {
	name string
	text []byte
}

// forCertbot is the record in the files that certbot's reverter reads.
func (r *record) forCertbot() []namedText {
	var paths, added, commands, changes bytes.Buffer
	for _, f := range r.Files {
		paths.WriteString(f.Path + "\n")
	}
	for _, a := range r.Added {
		if a.Kind != newFolder { // certbot would fail to delete it
			added.WriteString(a.Path + "\n")
		}
	}
	w := csv.NewWriter(&commands)
	w.UseCRLF = true
	for _, l := range r.Links { // certbot has no other way to bring a link back
		_ = w.Write([]string{"ln", "-sfn", l.Target, l.Path})
	}
	for _, c := range r.Ran {
		if len(c.Undo) > 0 {
			_ = w.Write(c.Undo)
		}
	}
	w.Flush() // into memory: no errors
	for _, title := range slices.Backward(r.Titles) {
		changes.WriteString("-- " + title + " --\n")
	}
	for _, p := range r.paths() {
		changes.WriteString(p + "\n")
	}
	var out []namedText
	for _, f := range []namedText{{fileFilePaths, paths.Bytes()}, {fileNewFiles, added.Bytes()}, {fileCommands, commands.Bytes()}, {fileChanges, changes.Bytes()}} {
		if len(f.text) > 0 {
			out = append(out, f)
		}
	}
	return out
}

// finish makes a checkpoint in progress one that can be rolled back, or forgets it. It
// is done where IN_PROGRESS is no longer there, even with an error.
func (t *Runner) finish(forget bool) (name string, err error) {
	if forget {
		return "", t.discard(t.dir(dirInProgress))
	}
	name, err = t.timestamp()
	if err != nil {
		return "", err
	}
	return name, t.Durable.Move(t.dir(dirInProgress), t.dir(dirBackups, name))
}

// timestamp is the name of the next checkpoint: later than all that are there, by
// the order of their names, even if the clock was turned back (certbot:
// reverter.py, _checkpoint_timestamp).
func (t *Runner) timestamp() (string, error) {
	now := floatName(float64(t.now().UnixMicro()) / 1e6)
	names, err := t.names()
	if err != nil || len(names) == 0 || names[0] < now {
		return now, err
	}
	last, err := strconv.ParseFloat(names[0], 64)
	if err != nil {
		return "", fmt.Errorf("the checkpoint %s is not named by a time: %w", t.dir(dirBackups, names[0]), err)
	}
	if names[0] == now {
		return floatName(last + 0.01), nil
	}
	return floatName(last + 1), nil
}

// floatName is as Python prints a number.
func floatName(f float64) string {
	s := strconv.FormatFloat(f, 'f', -1, 64)
	if !strings.Contains(s, ".") {
		s += ".0"
	}
	return s
}

// names are those of the finished checkpoints, the newest first.
func (t *Runner) names() ([]string, error) {
	entries, err := os.ReadDir(t.dir(dirBackups))
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return nil, err
	}
	var out []string
	for _, e := range entries {
		if n := e.Name(); e.IsDir() && n[0] >= '0' && n[0] <= '9' {
			out = append(out, n)
		}
	}
	slices.Reverse(out)
	return out, nil
}

func (t *Runner) now() time.Time {
	if t.Now == nil {
		return time.Now()
	}
	return t.Now()
}

// discard removes a checkpoint: it is there whole, or not at all. What may be left
// under another name is removed by the next one that comes.
func (t *Runner) discard(dir string) error {
	if err := t.remove(t.dir(dirGone)); err != nil {
		return err
	}
	if err := t.Durable.Move(dir, t.dir(dirGone)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := t.remove(t.dir(dirGone)); err != nil {
		t.log().Warn("a checkpoint that is no longer needed could not be deleted", "component", "installers", "error", err)
	}
	return nil
}

// remove deletes a folder and the files in it. One that is not there is no error.
func (t *Runner) remove(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := t.Durable.Remove(filepath.Join(dir, e.Name())); err != nil {
			return err
		}
	}
	return t.Durable.Rmdir(dir)
}

// pending reports whether a folder of the work folder is there.
func (t *Runner) pending(name string) (bool, error) {
	_, err := os.Lstat(t.dir(name))
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	return err == nil, err
}

// Unfinished reports whether a run that died left something that Recover would take
// back.
func (t *Runner) Unfinished() (bool, error) {
	for _, name := range []string{dirTemporary, dirInProgress, dirRolledBack} {
		if there, err := t.pending(name); err != nil || there {
			return there, err
		}
	}
	return false, nil
}

// protected are the paths that a temporary checkpoint is about.
func (t *Runner) protected() ([]string, error) {
	var out []string
	for _, name := range []string{fileFilePaths, fileNewFiles} {
		lines, err := readLines(t.dir(dirTemporary, name))
		if err != nil {
			return nil, err
		}
		out = append(out, lines...)
	}
	return out, nil
}

// readLines reads a list of paths; none where there is no such file.
func readLines(path string) ([]string, error) {
	raw, err := readBounded(path, maxFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	var out []string
	for line := range strings.Lines(string(raw)) {
		out = append(out, strings.TrimRight(line, "\r\n"))
	}
	return out, nil
}
