package lineage

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
)

// Repaired is one thing that Repair did.
type Repaired struct {
	Name     string // of the lineage
	Text     string // what was done, for people
	Deployed bool   // the links show a version that nobody was told of: deploy hooks are due, and HooksRan after them
}

// Repair brings the tree into a state that a crash of edge or certbot may have left it
// without: jobs are finished, links that were being changed are changed or changed back,
// a newer version that is not in use is put in use, empty renewal files and temporary
// files are removed. It goes on after errors, which are joined. Who writes calls it
// first.
func (t *Tree) Repair(ctx context.Context) ([]Repaired, error) {
	if !exists(t.dirs.Config) {
		return nil, nil
	}
	done, err := t.repairShared()
	errs := []error{err}
	names, err := t.jobs()
	errs = append(errs, err)
	for _, name := range names {
		r, err := t.repairJob(name)
		done, errs = append(done, r...), append(errs, err)
	}
	names, err = t.Names()
	errs = append(errs, err)
	for _, name := range names {
		if ctx.Err() != nil {
			errs = append(errs, ctx.Err())
			break
		}
		r, err := t.repairLineage(name)
		if err != nil {
			err = fmt.Errorf("repair lineage %s: %w", name, err)
		}
		done, errs = append(done, r...), append(errs, err)
	}
	owed, err := t.repairOwed()
	return append(done, owed...), errors.Join(append(errs, err)...)
}

// Repair does for one lineage what Tree.Repair does for all, and reads it anew.
func (l *Lineage) Repair() ([]Repaired, error) {
	done, err := l.tree.repairJob(l.name)
	if err != nil {
		return done, err
	}
	more, err := l.tree.repairLineage(l.name)
	if err != nil {
		return append(done, more...), err
	}
	return append(done, more...), l.reload()
}

// repairShared removes what is left in the folders that all lineages share.
func (t *Tree) repairShared() (done []Repaired, err error) {
	var errs []error
	for _, dir := range []string{t.renewalDir(), t.archiveDir(), t.liveDir()} {
		removed, err := t.sweep(dir, sharedLitter)
		if !errors.Is(err, fs.ErrNotExist) {
			errs = append(errs, err)
		}
		for _, path := range removed {
			done = append(done, Repaired{Text: "removed " + path + ", which was left behind by a process that was stopped"})
		}
	}
	names, err := t.Names()
	errs = append(errs, err)
	for _, name := range names {
		// certbot makes the file, to have the name, before it knows what goes into it.
		path := t.ConfPath(name)
		if info, err := os.Lstat(path); err != nil || !info.Mode().IsRegular() || info.Size() > 0 {
			continue
		}
		if err := t.w.Remove(path); err != nil {
			errs = append(errs, err)
			continue
		}
		done = append(done, Repaired{Name: name, Text: "removed the renewal file " + path + ", which was empty: a lineage that was never made"})
	}
	return done, errors.Join(errs...)
}

// repairJob finishes what was begun.
func (t *Tree) repairJob(name string) ([]Repaired, error) {
	j, err := t.readJob(name)
	if j == nil || err != nil {
		return nil, err
	}
	err = t.finish(j)
	if errors.Is(err, errObsolete) {
		return []Repaired{{Name: name, Text: fmt.Sprintf("gave up %s that was begun: %v", what(j), errObsolete)}}, nil
	}
	if err != nil {
		return nil, err
	}
	// Whoever began it has run no hooks, even where the links were changed already.
	return []Repaired{{Name: name, Text: "finished " + what(j) + " that was begun", Deployed: j.Action != actionDelete}}, nil
}

func what(j *job) string {
	switch j.Action {
	case actionCreate:
		return "the creation"
	case actionRenew:
		return fmt.Sprintf("the renewal to version %d", j.Version)
	default:
		return "the deletion"
	}
}

// repairLineage looks at the links of a lineage. What it does not understand it leaves
// to Load to complain about.
func (t *Tree) repairLineage(name string) (done []Repaired, err error) {
	c, err := readConf(t.ConfPath(name))
	if err != nil {
		return nil, nil
	}
	l := &Lineage{tree: t, name: name, conf: c}
	for _, kind := range Kinds() {
		path, ok, err := c.path(kind.String())
		if err != nil || !ok {
			return nil, nil
		}
		l.links[kind].path = path
	}
	if l.archive, _, err = c.path("archive_dir"); err != nil {
		return nil, nil
	}
	say := func(text string, deployed bool) { done = append(done, Repaired{name, text, deployed}) }
	restored, err := l.restorePrevious()
	if err != nil {
		return done, err
	}
	if restored {
		say("put the links back that certbot was changing when it was stopped", false)
	}
	old, now, err := l.relink()
	if err != nil {
		return done, err
	}
	if now != 0 {
		say(relinkText(old, now), true)
	}
	dirs := map[string]bool{l.archive: true}
	for _, link := range l.links {
		dirs[filepath.Dir(link.path)] = true
	}
	for dir := range dirs {
		removed, err := t.sweep(dir, isLitter)
		if err != nil && !errors.Is(err, fs.ErrNotExist) {
			return done, err
		}
		for _, path := range removed {
			say("removed "+path+", which was left behind by a process that was stopped", false)
		}
	}
	return done, nil
}

func relinkText(old [4]int, now int) string {
	if old[0] != 0 && old == [4]int{old[0], old[0], old[0], old[0]} {
		return "Found a new certificate /archive/ that was not linked to in /live/; fixing..."
	}
	return fmt.Sprintf("the links in /live/ were of different versions or missing; they are of version %d now", now)
}
