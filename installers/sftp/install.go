package sftp

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"strings"

	"edge/installers/delivery"
)

// Target is files on another machine. It implements delivery.Target. Safe for concurrent
// use.
type Target struct {
	o FileOptions
	m *machine
}

var _ delivery.Target = (*Target)(nil)

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "sftp" }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.m.where() + " " + strings.Join(t.paths(), " ") }

func (t *Target) paths() []string {
	var list []string
	for _, p := range parts() {
		if at := t.o.Paths[p]; at != "" {
			list = append(list, at)
		}
	}
	return list
}

// Settings implements delivery.Target.
func (t *Target) Settings() string {
	return fmt.Sprintf("%v key-first=%t mode=%#o command=%q", t.o.Paths, t.o.KeyFirst, t.o.Mode, t.o.Command)
}

// Plan implements delivery.Target.
func (t *Target) Plan(context.Context, *delivery.Material) []string {
	var list []string
	for _, at := range t.paths() {
		list = append(list, fmt.Sprintf("write %s on %s", at, t.m.where()))
	}
	if t.o.Command != "" {
		list = append(list, "run there: "+t.o.Command)
	}
	return list
}

// wanted is a file to be.
type wanted struct {
	at string
	file
	old *file // what is there
}

// done reports whether it is as it is to be.
func (w *wanted) done() bool {
	return w.old != nil && bytes.Equal(w.old.data, w.data) && w.old.mode == w.mode
}

// wants are the files of a certificate, in the order in which they change.
func (t *Target) wants(m *delivery.Material) []*wanted {
	var list []*wanted
	for _, p := range parts() {
		at := t.o.Paths[p]
		if at == "" {
			continue
		}
		w := &wanted{at: at, file: file{mode: 0o644}}
		switch p {
		case Key:
			w.data, w.mode = m.KeyPEM, t.o.Mode
		case Cert:
			w.data = m.CertPEM
		case Chain:
			w.data = m.ChainPEM
		case Fullchain:
			w.data = m.FullChainPEM
		case Bundle:
			w.data, w.mode = append(bytes.Clone(m.FullChainPEM), m.KeyPEM...), t.o.Mode
			if t.o.KeyFirst {
				w.data = append(bytes.Clone(m.KeyPEM), m.FullChainPEM...)
			}
		}
		list = append(list, w)
	}
	return list
}

// see reads what is there.
func (r *remote) see(list []*wanted) error {
	for _, w := range list {
		var err error
		if w.old, err = r.read(w.at); err != nil {
			return err
		}
	}
	return nil
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, _ json.RawMessage) ([]string, error) {
	ctx, cancel := within(ctx, t.m.o.Timeout)
	defer cancel()
	r, err := t.m.open(ctx)
	if err != nil {
		return nil, err
	}
	defer r.close()
	list := t.wants(m)
	if err := r.see(list); err != nil {
		return nil, t.fail(ctx, err)
	}
	var why []string
	for _, w := range list {
		switch {
		case w.old == nil:
			why = append(why, w.at+" is missing")
		case !bytes.Equal(w.old.data, w.data):
			why = append(why, w.at+" is not what was put there")
		case w.old.mode != w.mode:
			why = append(why, fmt.Sprintf("%s has mode %#o, not %#o", w.at, w.old.mode, w.mode))
		}
	}
	return why, nil
}

// fail names the machine, and the time that is over.
func (t *Target) fail(ctx context.Context, err error) error {
	if err == nil {
		return nil
	}
	if cause := context.Cause(ctx); cause != nil {
		err = fmt.Errorf("%w (%w)", cause, err)
	}
	return fmt.Errorf("sftp %s: %w", t.m.where(), err)
}

// Put implements delivery.Target. The command runs also where all files are as they are
// to be: a run may have been killed before it.
func (t *Target) Put(ctx context.Context, m *delivery.Material, _ json.RawMessage) (delivery.Change, error) {
	if _, err := tls.X509KeyPair(m.FullChainPEM, m.KeyPEM); err != nil {
		return delivery.Change{}, fmt.Errorf("sftp %s: %w", t.m.where(), err)
	}
	list := t.wants(m)
	renamed, err := t.bring(ctx, list)
	if err == nil {
		return delivery.Change{Undo: func(ctx context.Context) error { return t.takeBack(ctx, list) }}, nil
	}
	if !renamed {
		return delivery.Change{}, err
	}
	berr := t.takeBack(context.WithoutCancel(ctx), list)
	var command *commandError
	switch {
	case errors.As(berr, &command):
		err = fmt.Errorf("%w; what was there before is back, and the command fails with that as well", err)
	case berr != nil:
		err = fmt.Errorf("%w; and what was there before is not back: %w", err, berr)
	}
	return delivery.Change{}, err
}

// bring writes all files that are not there yet and has the server take them.
func (t *Target) bring(ctx context.Context, list []*wanted) (renamed bool, err error) {
	err = t.do(ctx, func(r *remote) error {
		if err := r.see(list); err != nil {
			return err
		}
		renamed, err = r.write(list)
		return err
	})
	return renamed, err
}

// takeBack puts back what was there, where it is still ours that is there, and has the
// server take it.
func (t *Target) takeBack(ctx context.Context, list []*wanted) error {
	return t.do(ctx, func(r *remote) error { return r.putBack(list) })
}

// do changes files over a connection, and then runs the command. Each has its own time.
func (t *Target) do(ctx context.Context, change func(r *remote) error) error {
	files, cancel := within(ctx, t.m.o.Timeout)
	defer cancel()
	r, err := t.m.open(files)
	if err != nil {
		return err
	}
	defer r.close()
	if _, ok := r.files.HasExtension("posix-rename@openssh.com"); !ok {
		return t.fail(files, errors.New("its SFTP server cannot replace a file in one step (posix-rename@openssh.com); OpenSSH's can"))
	}
	if err := change(r); err != nil {
		return t.fail(files, err)
	}
	if t.o.Command == "" {
		return nil
	}
	ctx, cancel = within(ctx, t.o.CommandTimeout)
	defer cancel()
	r.until(ctx)
	return t.fail(ctx, r.run(t.o.Command))
}

// write stages all files and then gives them their names, with nothing in between.
func (r *remote) write(list []*wanted) (renamed bool, err error) {
	var staged []*wanted
	for _, w := range list {
		if w.done() { // but an undo that was killed may have left the old key
			if err = r.clear(w.at); err != nil {
				break
			}
			continue
		}
		if err = r.stage(w.at, &w.file, w.old); err != nil {
			break
		}
		staged = append(staged, w)
	}
	for _, w := range staged {
		if err == nil {
			err = r.replace(w.at)
			renamed = renamed || err == nil
		}
		if err != nil {
			_ = r.files.Remove(temp(w.at)) // the first error says more; the next run does it
			_ = r.files.RemoveDirectory(private(w.at))
		}
	}
	return renamed, err
}

func (r *remote) putBack(list []*wanted) error {
	var back []*wanted
	for _, w := range list {
		now, err := r.read(w.at)
		switch {
		case err != nil:
			return err
		case w.done() || now == nil || !bytes.Equal(now.data, w.data):
			continue // it was not put, or somebody else has written it since
		case w.old == nil:
			if err := r.remove(w.at, w.at); err != nil {
				return err
			}
		default:
			back = append(back, &wanted{at: w.at, file: *w.old, old: now})
		}
	}
	for _, w := range back {
		// The owner is that of what was there before, which the new file got.
		if err := r.stage(w.at, &w.file, &w.file); err != nil {
			return err
		}
	}
	var errs []error
	for _, w := range back {
		errs = append(errs, r.replace(w.at))
	}
	return errors.Join(errs...)
}
