package installers

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"strings"
	"syscall"
)

// Finder returns the server of a name that is noted in the journal ("nginx"), nil where
// it is not known. The name is empty for what certbot noted, which does not say whose
// it is. One with a Root that is not that of the journal is another server of the name,
// and is left alone.
type Finder func(server string) Server

// Recovered is something unfinished that Recover took back, or brought to its end.
type Recovered struct {
	// Checkpoint is "temp_checkpoint", "IN_PROGRESS", or, for a rollback that only had
	// to be tidied up, "EDGE_ROLLED_BACK".
	Checkpoint string
	Server     string // "nginx"; empty where certbot left it behind, "apache, nginx" for a rollback of both
	Titles     []string
	Paths      []string // files that are as they were before
	Notes      []string // for people
	// Err says why a server was not activated, or what else is as it should not be: it may
	// still run with what was taken back.
	Err error
}

// Recover takes back what a run that died left behind, temporary changes first, and
// has the servers concerned take the files that are back. Everyone who is about to
// change something calls it first. An error means that files could not be put back:
// nothing may be changed then.
func (t *Runner) Recover(ctx context.Context, find Finder) ([]Recovered, error) {
	var out []Recovered
	there, err := t.pending(dirRolledBack)
	if err != nil {
		return nil, err
	}
	if there {
		r, err := readRecord(t.dir(dirRolledBack))
		if err != nil {
			return nil, err
		}
		if err := t.finishRollback(r); err != nil {
			return nil, err
		}
		out = append(out, Recovered{Checkpoint: dirRolledBack, Server: strings.Join(r.Servers, ", "), Titles: r.Titles, Paths: r.paths()})
	}
	// This order: what is temporary came later, and is never in both.
	for _, name := range []string{dirTemporary, dirInProgress} {
		one, err := t.recoverOne(ctx, name, find)
		if err != nil {
			return out, err
		}
		if one != nil {
			out = append(out, *one)
		}
	}
	for _, name := range []string{dirPrepared, dirGone} {
		if err := t.remove(t.dir(name)); err != nil {
			return out, err
		}
	}
	return out, nil
}

// recoverOne goes on when ctx has ended: what undoes commands, and the activation, would
// fail at once, and nobody would come back to them.
func (t *Runner) recoverOne(ctx context.Context, name string, find Finder) (*Recovered, error) {
	caller := ctx
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), undoTimeout)
	defer cancel()
	if there, err := t.pending(name); err != nil || !there {
		return nil, err
	}
	if err := trustedPlace(t.Work); err != nil {
		return nil, err
	}
	back, err := t.revert(ctx, t.dir(name), nil)
	if err != nil {
		return nil, fmt.Errorf("incomplete or failed recovery of %s: %w; the files as they were are in there: put them back by hand and delete that folder, or repair what failed and run this again", t.dir(name), err)
	}
	titles, _ := titlesOf(t.dir(name)) // for people only
	one := &Recovered{Checkpoint: name, Titles: titles, Paths: back.paths, Notes: back.notes}
	if back.record != nil {
		one.Server = strings.Join(back.record.Servers, ", ")
	}
	servers, unknown, others := found(back.record.owners(), find)
	if err := context.Cause(caller); err != nil && len(unknown) > 0 {
		// It may only not be known because find was cut short.
		return nil, fmt.Errorf("recovery of %s: the files are back, but %w before the server was found; run this again", t.dir(name), err)
	}
	one.Notes = append(one.Notes, unknown...)
	one.Err = errors.Join(back.commandErr, t.activateTested(ctx, servers))
	for _, other := range others {
		other.back = true
		one.Err = errors.Join(one.Err, other)
	}
	return one, t.discard(t.dir(name))
}

// found looks servers up, and says which are not known, and which are others of the name.
func found(owners []owner, find Finder) (servers together, unknown []string, others []*otherServerError) {
	seen := map[string]Server{}
	for _, o := range owners {
		s, again := seen[o.name]
		if !again && find != nil {
			s = find(o.name)
		}
		seen[o.name] = s
		switch {
		case s != nil:
			if other := o.is(s); other != nil {
				others = append(others, other)
			} else if !again {
				servers = append(servers, s)
			}
		case again:
		case o.name == "":
			unknown = append(unknown, "certbot made the checkpoint, which does not say for which server: have the server load its configuration again")
		default:
			unknown = append(unknown, fmt.Sprintf("the server %s is not known here: have it load its configuration again", o.name))
		}
	}
	return servers, unknown, others
}

// activateTested has a server take what is on the disk, unless it refuses that itself.
func (t *Runner) activateTested(ctx context.Context, s Server) error {
	if err := t.within(ctx, s.Test); err != nil {
		return fmt.Errorf("the configuration that was put back does not pass the test of %s: %w", s.Name(), err)
	}
	return t.within(ctx, s.Activate)
}

// finishRollback removes what is no longer needed when a rollback is done: it may be
// called as often as need be.
func (t *Runner) finishRollback(r *record) error {
	for _, name := range r.RollsBack {
		if err := checkName(name); err != nil {
			return err
		}
		dir := t.dir(dirBackups, name)
		if there, err := t.pending(filepath.Join(dirBackups, name)); err != nil || !there {
			if err != nil {
				return err
			}
			continue
		}
		if err := t.removeFolders(dir); err != nil {
			return err
		}
		if err := t.discard(dir); err != nil {
			return err
		}
	}
	return t.discard(t.dir(dirRolledBack))
}

// removeFolders removes the folders that a checkpoint made, where nothing is in them.
func (t *Runner) removeFolders(dir string) error {
	r, err := readRecord(dir)
	if errors.Is(err, errNoRecord) {
		return nil
	}
	if err != nil {
		return err
	}
	for i := len(r.Added) - 1; i >= 0; i-- {
		if a := r.Added[i]; a.Kind == newFolder {
			if err := t.Durable.Rmdir(a.Path); err != nil && !errors.Is(err, syscall.ENOTEMPTY) {
				return err
			}
		}
	}
	return nil
}
