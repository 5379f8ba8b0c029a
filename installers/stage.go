package installers

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"edge/internal/durable"
)

// staleError is a file that is not what the plan was made for.
type staleError struct{ path string }

func (e *staleError) Error() string {
	return fmt.Sprintf("%s has been changed since the plan was made; nothing of it was overwritten: run the command again", e.path)
}

// checkPlan refuses plans that cannot be noted or carried out, before anything is
// written.
func checkPlan(p *Plan) error {
	seen := map[string]bool{}
	for _, c := range p.Changes {
		if err := checkPath(c.Path); err != nil {
			return err
		}
		if seen[c.Path] {
			return fmt.Errorf("the plan has two changes of %s", c.Path)
		}
		seen[c.Path] = true
		if len(c.New) > maxFile {
			return fmt.Errorf("the plan has %d bytes for %s, more than %d", len(c.New), c.Path, maxFile)
		}
	}
	for _, c := range p.Commands {
		for _, arg := range slices.Concat(c.Do, c.Undo) {
			if strings.ContainsAny(arg, "\r\n\x00") {
				return fmt.Errorf("the argument %q of a command cannot be noted in the journal", arg)
			}
		}
	}
	return nil
}

// checkNow reports what would keep a change from being made at this moment.
func checkNow(c Change, folders map[string]bool) error {
	if dir := filepath.Dir(c.Path); !folders[dir] {
		real, err := filepath.EvalSymlinks(dir)
		if err != nil {
			return err
		}
		if real != dir {
			return fmt.Errorf("%s: its folder is %s, by way of a symbolic link: plan for that", c.Path, real)
		}
	}
	switch c.Op {
	case Create, Symlink, Mkdir:
		if _, err := os.Lstat(c.Path); !errors.Is(err, fs.ErrNotExist) {
			return errors.Join(err, &staleError{c.Path})
		}
		if c.Op == Mkdir {
			folders[c.Path] = true
		}
		return nil
	case Delete:
		if link, err := readLink(c.Path); err != nil || link != nil {
			if err == nil && c.Target != "" && link.Target != c.Target {
				err = &staleError{c.Path}
			}
			return err
		}
	}
	content, err := readBounded(c.Path, maxFile)
	if err == nil && !bytes.Equal(content, c.Old) {
		err = &staleError{c.Path}
	}
	return err
}

// stage runs the commands and makes the changes of a plan that is noted. What files use
// is there before they use it, and goes after them: a machine that stops in between
// starts its server again.
func (u *run) stage(ctx context.Context) error {
	steps := []func(context.Context) error{u.runCommands, u.makeChanges}
	if u.back {
		slices.Reverse(steps)
	}
	for _, step := range steps {
		if err := step(ctx); err != nil {
			return err
		}
	}
	return nil
}

func (u *run) makeChanges(ctx context.Context) error {
	u.done.paths = map[string]bool{}
	for _, c := range u.plan.Changes {
		if err := ctx.Err(); err != nil {
			return err
		}
		// Once more: an editor may have been faster.
		if err := checkNow(c, map[string]bool{}); err != nil {
			return err
		}
		u.done.paths[c.Path] = true
		if err := u.change(c); err != nil {
			return explain(err)
		}
	}
	return nil
}

func (u *run) runCommands(ctx context.Context) error {
	for _, c := range u.plan.Commands {
		u.done.commands++
		if len(c.Do) == 0 {
			continue
		}
		err := u.within(ctx, func(ctx context.Context) error {
			_, err := Run(ctx, c.Do)
			return err
		})
		if err != nil && u.back && ctx.Err() == nil {
			u.warnings = append(u.warnings, "unable to run undo command: "+err.Error()) // certbot goes on as well
			continue
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *Runner) change(c Change) error {
	switch c.Op {
	case Symlink:
		return t.Durable.Relink([]durable.Pointer{{Path: c.Path, Target: c.Target}})
	case Delete:
		return t.Durable.Remove(c.Path)
	case Mkdir:
		if err := t.Durable.Mkdir(c.Path, c.Mode); err != nil || c.Owner == nil {
			return err
		}
		return os.Chown(c.Path, c.Owner.UID, c.Owner.GID)
	case Create:
		if c.as != nil {
			return t.Durable.CreateFile(c.Path, c.New, c.as.restored())
		}
		return t.Durable.CreateFile(c.Path, c.New, durable.Attr{Mode: c.Mode, Owner: c.Owner})
	}
	if c.as != nil {
		return t.Durable.WriteFileAs(c.Path, c.New, c.as.restored())
	}
	_, now, err := readFile(c.Path)
	if err != nil {
		return err
	}
	return t.Durable.WriteFileAs(c.Path, c.New, now.written())
}

// explain says what to do about errors of the file system whose own text does not.
func explain(err error) error {
	for errno, what := range map[syscall.Errno]string{
		syscall.EROFS:  "the file system is mounted read-only: mount it writable, or have the certificate installed where the file comes from",
		syscall.EBUSY:  "the file is a mount of its own, as containers have them: mount its folder instead",
		syscall.EPERM:  "the file or folder may be immutable: see lsattr, and chattr -i",
		syscall.EACCES: "run as root",
		syscall.ENOSPC: "make room on the file system",
		syscall.EDQUOT: "make room in the quota",
	} {
		if errors.Is(err, errno) {
			return fmt.Errorf("%w; %s", err, what)
		}
	}
	return err
}
