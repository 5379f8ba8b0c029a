package installers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// RolledBack is what Rollback did.
type RolledBack struct {
	Checkpoints []Checkpoint // that are taken back, newest first
	Warnings    []string     // for people, some in certbot's words
}

// Rollback takes the newest n checkpoints back, whoever made them, tests and activates,
// and keeps everything as it is where a server refuses what was: the error is a
// *StepError. Where files have been changed since, the error is a *ChangedError unless
// force is true.
func (t *Runner) Rollback(ctx context.Context, n int, find Finder, force bool) (*RolledBack, error) {
	if n < 0 {
		return nil, errors.New("rollback argument must be a positive integer")
	}
	all, err := t.Checkpoints()
	if err != nil {
		return nil, err
	}
	out := &RolledBack{Checkpoints: all[:min(n, len(all))]}
	switch {
	case len(all) == 0:
		out.Warnings = append(out.Warnings, "Certbot hasn't modified your configuration, so rollback isn't available.")
	case len(all) < n:
		out.Warnings = append(out.Warnings, fmt.Sprintf("Unable to rollback %d checkpoints, only %d exist", n, len(all)))
	}
	if len(out.Checkpoints) == 0 {
		return out, nil
	}
	u := &run{Runner: t, at: dirInProgress, back: true}
	if err := u.planBack(ctx, out.Checkpoints, find, force); err != nil {
		return nil, err
	}
	if step, err := u.carryOut(ctx); err != nil {
		return nil, u.fail(ctx, step, err)
	}
	// From here on it is done: what is left is to remove what is no longer needed.
	if err := t.Durable.Move(t.dir(dirInProgress), t.dir(dirRolledBack)); err != nil {
		if there, perr := t.pending(dirRolledBack); perr != nil || !there {
			return nil, u.fail(ctx, Commit, err)
		}
	}
	if err := t.finishRollback(u.record); err != nil {
		u.warnings = append(u.warnings, fmt.Sprintf("delete what was rolled back: %v; the next run does", err))
	}
	out.Warnings = append(out.Warnings, u.warnings...)
	return out, nil
}

// planBack makes the plan that leads back, and finds the servers that are concerned.
func (u *run) planBack(ctx context.Context, checkpoints []Checkpoint, find Finder, force bool) error {
	u.record = &record{Version: 1}
	way := &wayBack{wants: map[string]*want{}}
	var owners []owner
	var records []*record
	for _, c := range checkpoints {
		r, err := way.add(u.dir(dirBackups, c.Name))
		if err != nil {
			return fmt.Errorf("unable to load the checkpoint %s: %w", u.dir(dirBackups, c.Name), err)
		}
		records = append(records, r)
		owners = append(owners, r.owners()...)
		u.record.RollsBack = append(u.record.RollsBack, c.Name)
	}
	plan, changed, err := way.plan()
	if err != nil {
		return err
	}
	if changed != nil && !force {
		return changed
	}
	u.plan = plan
	servers, unknown, others := found(owners, find)
	if len(others) > 0 {
		return fmt.Errorf("unable to roll back: %w", others[0])
	}
	u.server, u.warnings = servers, unknown
	for _, s := range servers {
		u.record.belongs(s)
	}
	u.record.Titles, u.record.Ran = plan.Titles, plan.Commands
	if err := u.checkStart(); err != nil {
		return u.fail(ctx, Precheck, err)
	}
	u.placesBack(ctx, records)
	return nil
}

// Checkpoint is one that was finished.
type Checkpoint struct {
	Name   string // "1700000000.123456"
	Time   time.Time
	Server string // "nginx"; empty where certbot made it
	Titles []string
	Paths  []string
}

// Checkpoints returns those that can be taken back, newest first.
func (t *Runner) Checkpoints() ([]Checkpoint, error) {
	names, err := t.names()
	if err != nil {
		return nil, err
	}
	var out []Checkpoint
	for _, name := range names {
		dir := t.dir(dirBackups, name)
		c := Checkpoint{Name: name}
		seconds, err := strconv.ParseFloat(name, 64)
		if err != nil {
			return nil, fmt.Errorf("the checkpoint %s is not named by a time: %w", dir, err)
		}
		c.Time = time.UnixMicro(int64(seconds * 1e6))
		if c.Titles, err = titlesOf(dir); err != nil {
			return nil, err
		}
		r, err := readRecord(dir)
		switch {
		case err == nil:
			c.Server, c.Paths = strings.Join(r.Servers, ", "), r.paths()
		case !errors.Is(err, errNoRecord):
			return nil, err
		default:
			saved, err1 := readLines(filepath.Join(dir, fileFilePaths))
			added, err2 := readLines(filepath.Join(dir, fileNewFiles))
			if err := errors.Join(err1, err2); err != nil {
				return nil, err
			}
			c.Paths = append(saved, added...)
		}
		out = append(out, c)
	}
	return out, nil
}

// titlesOf are those that certbot and we put on top of the notes.
func titlesOf(dir string) ([]string, error) {
	lines, err := readLines(filepath.Join(dir, fileChanges))
	var out []string
	for _, line := range lines {
		title, ok := strings.CutPrefix(line, "-- ")
		if title, end := strings.CutSuffix(title, " --"); ok && end {
			out = append(out, title)
		}
	}
	slices.Reverse(out)
	return out, err
}

// checkName refuses what is no name of a checkpoint.
func checkName(name string) error {
	if name == "" || name[0] < '0' || name[0] > '9' || strings.ContainsRune(name, filepath.Separator) {
		return fmt.Errorf("%q is not the name of a checkpoint", name)
	}
	return nil
}
