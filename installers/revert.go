package installers

import (
	"context"
	"encoding/csv"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"edge/internal/durable"

	"golang.org/x/sys/unix"
)

// reverted is what was taken back.
type reverted struct {
	record *record // nil: certbot made the checkpoint
	paths  []string
	// notes are for people: what somebody else wrote was put aside, and the like.
	notes []string
	// commandErr is that of commands: certbot goes on after it, and so do we.
	commandErr error
}

// revert puts back what an unfinished checkpoint has, runs what undoes commands, and
// deletes what is new, as often as need be: a second time after a crash it finds less
// to do. The checkpoint stays. The error joins all files that failed; the rest is back.
// Done is how far it came, where that is known: what it did not come to stays as
// somebody else may have left it. Nil: it may have come to all of it.
func (t *Runner) revert(ctx context.Context, dir string, done *progress) (*reverted, error) {
	if err := trusted(dir); err != nil {
		return nil, err
	}
	r, err := readRecord(dir)
	switch {
	case errors.Is(err, errNoRecord):
		return t.revertCertbots(ctx, dir)
	case err != nil:
		return nil, err
	}
	out := &reverted{record: r, paths: r.paths()}
	var failed []error
	for i, f := range r.Files {
		if done.touched(f.Path) {
			failed = append(failed, t.putBack(out, dir, i, f))
		}
	}
	for _, l := range r.Links {
		if done.touched(l.Path) {
			failed = append(failed, t.putLinkBack(l))
		}
	}
	for _, c := range slices.Backward(done.ran(r.Ran)) {
		if len(c.Undo) > 0 {
			out.commandErr = errors.Join(out.commandErr, t.command(ctx, c.Undo))
		}
	}
	for _, p := range out.paths { // before the folders that they are in go
		failed = append(failed, t.sweep(p))
	}
	for _, a := range slices.Backward(r.Added) {
		if done.touched(a.Path) {
			failed = append(failed, t.takeAway(out, a))
		}
	}
	return out, errors.Join(failed...)
}

// command runs one that undoes something. One that hangs is not to take the time that the
// server's activation needs.
func (t *Runner) command(ctx context.Context, argv []string) error {
	return t.within(ctx, func(ctx context.Context) error {
		_, err := Run(ctx, argv)
		return err
	})
}

// progress is how far the changes and the commands of a plan came.
type progress struct {
	paths    map[string]bool
	commands int
}

func (p *progress) touched(path string) bool { return p == nil || p.paths[path] }

func (p *progress) ran(all []Command) []Command {
	if p == nil {
		return all
	}
	return all[:min(p.commands, len(all))]
}

// trusted refuses checkpoints that somebody else could have made: they have commands
// in them. What certbot and we make has no more than 0755.
func trusted(dir string) error {
	for _, path := range []string{dir, filepath.Join(dir, fileCommands), filepath.Join(dir, fileRecord)} {
		var st unix.Stat_t
		err := unix.Lstat(path, &st)
		if errors.Is(err, unix.ENOENT) && path != dir {
			continue
		}
		if err != nil {
			return &fs.PathError{Op: "lstat", Path: path, Err: err}
		}
		var repair string
		switch {
		case st.Mode&unix.S_IFMT == unix.S_IFLNK:
			return fmt.Errorf("%s: others could have made it, since it is a symbolic link: delete it", path)
		case st.Uid != 0 && int(st.Uid) != os.Geteuid():
			repair = "chown root"
		case st.Mode&0o022 != 0:
			repair = takeWriting(st.Mode)
		default:
			continue
		}
		return fmt.Errorf("%s: others could have written it (owner %d, mode %04o): look at what is in %s, then %s %s, or delete the checkpoint", path, st.Uid, st.Mode&0o7777, dir, repair, path)
	}
	return nil
}

// trustedPlace refuses a folder in which others could put another checkpoint in the place of
// one that was left there. It may be a symbolic link of the administrator's.
func trustedPlace(folder string) error {
	var st unix.Stat_t
	if err := unix.Stat(folder, &st); err != nil {
		return &fs.PathError{Op: "stat", Path: folder, Err: err}
	}
	if st.Mode&0o022 != 0 && st.Mode&unix.S_ISVTX == 0 {
		return fmt.Errorf("%s: others could have written what is in it (mode %04o), and commands in there would be run: look at it, then %s %s", folder, st.Mode&0o7777, takeWriting(st.Mode), folder)
	}
	return nil
}

// takeWriting is what makes a file or folder its owner's.
func takeWriting(mode uint32) string {
	return map[uint32]string{0o020: "chmod g-w", 0o002: "chmod o-w", 0o022: "chmod go-w"}[mode&0o022]
}

func (t *Runner) putBack(out *reverted, dir string, i int, f savedFile) error {
	old, err := readBounded(copyPath(dir, f.Path, i), maxFile)
	if err != nil {
		return fmt.Errorf("put %s back: %w", f.Path, err)
	}
	content, now, err := readFile(f.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return fmt.Errorf("put %s back: %w", f.Path, err)
	case digest(content) == digest(old):
		if now.equal(&f.Was) {
			return nil
		}
	case digest(content) != f.Wrote:
		if err := t.keep(out, f.Path, content); err != nil {
			return err
		}
	}
	if err := t.Durable.WriteFileAs(f.Path, old, f.Was.restored()); err != nil {
		return fmt.Errorf("put %s back: %w", f.Path, explain(err))
	}
	return nil
}

// keep puts aside what somebody wrote while we were at work, since it is not to be
// lost, and cannot stay.
func (t *Runner) keep(out *reverted, path string, content []byte) error {
	if err := t.Durable.Mkdir(t.dir(dirKept), 0o700); err != nil {
		return err
	}
	kept := t.dir(dirKept, filepath.Base(path)+"-"+digest(content)[:12])
	if err := t.Durable.WriteFile(kept, content, 0o600); err != nil {
		return fmt.Errorf("keep what somebody else wrote to %s: %w", path, err)
	}
	out.notes = append(out.notes, fmt.Sprintf("somebody else changed %s meanwhile; what was put back is without that: see %s", path, kept))
	return nil
}

func (t *Runner) putLinkBack(l savedLink) error {
	if _, err := os.Lstat(l.Path); !errors.Is(err, fs.ErrNotExist) {
		return err // it was never deleted, or somebody made another one
	}
	if err := t.Durable.Relink([]durable.Pointer{{Path: l.Path, Target: l.Target}}); err != nil {
		return fmt.Errorf("put the link %s back: %w", l.Path, explain(err))
	}
	return os.Lchown(l.Path, l.UID, l.GID)
}

// takeAway deletes what was not there before.
func (t *Runner) takeAway(out *reverted, a addition) error {
	switch a.Kind {
	case newFolder:
		if err := t.Durable.Rmdir(a.Path); errors.Is(err, syscall.ENOTEMPTY) {
			out.notes = append(out.notes, fmt.Sprintf("the folder %s stays: something is in it", a.Path))
		} else if err != nil {
			return err
		}
		return nil
	case newLink:
		target, err := os.Readlink(a.Path)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil || target != a.Target {
			out.notes = append(out.notes, fmt.Sprintf("%s stays: it is not the link that was made", a.Path))
			return nil
		}
	default:
		content, err := readBounded(a.Path, maxFile)
		if errors.Is(err, fs.ErrNotExist) {
			return nil
		}
		if err != nil {
			return err
		}
		if digest(content) != a.Wrote {
			if err := t.keep(out, a.Path, content); err != nil {
				return err
			}
		}
	}
	if err := t.Durable.Remove(a.Path); err != nil {
		return fmt.Errorf("delete %s: %w", a.Path, explain(err))
	}
	return nil
}

// sweep removes temporary files for a path that a run which was killed left behind.
func (t *Runner) sweep(path string) error {
	entries, err := os.ReadDir(filepath.Dir(path))
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	var failed []error
	for _, e := range entries {
		if durable.IsTemp(e.Name(), path) {
			failed = append(failed, t.Durable.Remove(filepath.Join(filepath.Dir(path), e.Name())))
		}
	}
	return errors.Join(append(failed, err)...)
}

// revertCertbots does what certbot does with its own (reverter.py,
// _recover_checkpoint), in that order.
func (t *Runner) revertCertbots(ctx context.Context, dir string) (*reverted, error) {
	out := &reverted{}
	commands, err := readCommands(dir)
	if err != nil {
		return nil, err
	}
	for _, argv := range slices.Backward(commands) {
		out.commandErr = errors.Join(out.commandErr, t.command(ctx, argv))
	}
	var failed []error
	saved, err1 := readLines(filepath.Join(dir, fileFilePaths))
	added, err2 := readLines(filepath.Join(dir, fileNewFiles))
	failed = append(failed, err1, err2)
	for i, path := range saved {
		failed = append(failed, t.copyBack(copyPath(dir, path, i), path))
		out.paths = append(out.paths, path)
	}
	for _, path := range added {
		failed = append(failed, checkPath(path))
		if checkPath(path) == nil {
			failed = append(failed, t.Durable.Remove(path))
			out.paths = append(out.paths, path)
		}
	}
	return out, errors.Join(failed...)
}

// readCommands are those of certbot's list, in the order in which they were noted.
func readCommands(dir string) ([][]string, error) {
	raw, err := readBounded(filepath.Join(dir, fileCommands), maxFile)
	if err != nil {
		if errors.Is(err, fs.ErrNotExist) {
			err = nil
		}
		return nil, err
	}
	r := csv.NewReader(strings.NewReader(string(raw)))
	r.FieldsPerRecord = -1
	commands, err := r.ReadAll()
	if err != nil {
		return nil, fmt.Errorf("read %s: %w", filepath.Join(dir, fileCommands), err)
	}
	return commands, nil
}

// copyBack gives a file the content, mode, times and attributes of a copy. The owner
// stays, since certbot does not keep it.
func (t *Runner) copyBack(from, path string) error {
	content, was, target, err := certbotsCopy(from, path)
	if err != nil {
		return err
	}
	if now, attr, err := readFile(target); err == nil && digest(now) == digest(content) && attr.equal(was) {
		return nil
	}
	if err := t.Durable.WriteFileAs(target, content, was.restored()); err != nil {
		return fmt.Errorf("put %s back: %w", target, explain(err))
	}
	return nil
}

// certbotsCopy is what a copy of certbot's is put back as, and where: it goes
// through symbolic links.
func certbotsCopy(from, path string) (content []byte, was *attributes, target string, err error) {
	if err := checkPath(path); err != nil {
		return nil, nil, "", err
	}
	content, was, err = readFile(from)
	if err != nil {
		return nil, nil, "", fmt.Errorf("put %s back: %w", path, err)
	}
	target, err = filepath.EvalSymlinks(path)
	if errors.Is(err, fs.ErrNotExist) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		return content, was, filepath.Join(dir, filepath.Base(path)), err
	}
	if err != nil {
		return nil, nil, "", fmt.Errorf("put %s back: %w", path, err)
	}
	_, now, err := readFile(target)
	if err != nil {
		return nil, nil, "", fmt.Errorf("put %s back: %w", path, err)
	}
	was.UID, was.GID = now.UID, now.GID
	if was.Extended == nil {
		was.Extended = map[string][]byte{}
	}
	for name, value := range now.Extended {
		if _, ok := was.Extended[name]; !ok { // the work folder may not hold any
			was.Extended[name] = value
		}
	}
	return content, was, target, nil
}
