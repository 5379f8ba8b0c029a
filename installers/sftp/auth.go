package sftp

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"slices"
	"strings"
	"sync"

	"edge"
	"edge/installers/answer"
	"edge/internal/durable"
)

// Authenticator answers HTTP-01 from folders of another machine. Safe for concurrent use;
// one batch at a time is there.
type Authenticator struct {
	m     *machine
	roots map[string]string // by name; "" for all others

	mu   sync.Mutex
	ours []presented
	made []string // folders, outermost first
}

// presented is the file of an answer.
type presented struct {
	answer edge.Answer
	file   string
}

// Name implements target.Authenticator.
func (a *Authenticator) Name() string { return "sftp" }

// Types implements target.Authenticator.
func (a *Authenticator) Types() []edge.ChallengeType { return []edge.ChallengeType{edge.HTTP01} }

// root is the folder for a name.
func (a *Authenticator) root(name string) (string, error) {
	if root, ok := a.roots[name]; ok {
		return root, nil
	}
	if root, ok := a.roots[""]; ok {
		return root, nil
	}
	return "", fmt.Errorf("sftp %s: there is no webroot for %s", a.m.where(), name)
}

func (a *Authenticator) check(one edge.Answer) error {
	id, err := edge.ParseIdentifier(one.Identifier.Value)
	switch {
	case one.Type != edge.HTTP01:
		return fmt.Errorf("sftp: %s is not done here", one.Type)
	case err != nil || id != one.Identifier || id.IsWildcard():
		return fmt.Errorf("sftp: %q is no single name", one.Identifier.Value)
	}
	if err := answer.Words(one); err != nil {
		return fmt.Errorf("sftp: %w", err)
	}
	_, err = a.root(one.Identifier.Value)
	return err
}

// Present implements target.Authenticator.
func (a *Authenticator) Present(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	for _, one := range batch {
		if err := a.check(one); err != nil {
			return err
		}
	}
	ctx, cancel := within(ctx, a.m.o.Timeout)
	defer cancel()
	r, err := a.m.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	for _, one := range batch {
		if err := a.put(r, one); err != nil {
			if cause := context.Cause(ctx); cause != nil {
				err = fmt.Errorf("%w (%w)", cause, err)
			}
			return fmt.Errorf("sftp %s: %s: %w", a.m.where(), one.Identifier.Value, err)
		}
	}
	return nil
}

// put writes an answer. Each thing that is made is noted before: Cleanup is called also
// after an error.
func (a *Authenticator) put(r *remote, one edge.Answer) error {
	root, err := a.root(one.Identifier.Value)
	if err != nil {
		return err
	}
	if info, err := r.files.Stat(root); err != nil {
		return fmt.Errorf("webroot %s: %w", root, err)
	} else if !info.IsDir() {
		return fmt.Errorf("webroot %s is no folder there", root)
	}
	p := presented{answer: one, file: path.Join(root, edge.HTTP01Prefix, one.Token)}
	a.ours = append(a.ours, p)
	at := root
	for elem := range strings.SplitSeq(strings.Trim(edge.HTTP01Prefix, "/"), "/") {
		at = path.Join(at, elem)
		if info, err := r.files.Stat(at); err == nil && info.IsDir() {
			continue
		}
		a.made = append(a.made, at)
		if err := r.mkdir(at); err != nil {
			return err
		}
	}
	if err := r.m.o.Before(durable.Create, p.file); err != nil {
		return err
	}
	return r.writeAnswer(p.file, one.KeyAuth)
}

func (r *remote) mkdir(at string) error {
	if err := r.m.o.Before(durable.Mkdir, at); err != nil {
		return err
	}
	if err := r.files.Mkdir(at); err != nil {
		return fmt.Errorf("folder %s: %w", at, err)
	}
	// The umask may be for secrets, and these are for everybody.
	if err := r.files.Chmod(at, 0o755); err != nil {
		return fmt.Errorf("folder %s: %w", at, err)
	}
	return nil
}

func (r *remote) writeAnswer(at, content string) error {
	out, err := r.files.OpenFile(at, os.O_WRONLY|os.O_CREATE|os.O_TRUNC)
	if err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	_, err = out.Write([]byte(content))
	if err == nil {
		err = out.Chmod(0o644)
	}
	if err = errors.Join(err, out.Close()); err != nil {
		return fmt.Errorf("%s: %w", at, err)
	}
	return nil
}

// Ready implements target.Authenticator: what is in the folder is there at once. Whether
// the web server shows it is for the CA: it may be reached from elsewhere only.
func (a *Authenticator) Ready(context.Context, []edge.Answer) error { return nil }

// Cleanup implements target.Authenticator. Folders go where they were made here and
// nothing is in them. What could not be removed is tried again when it is called again.
func (a *Authenticator) Cleanup(ctx context.Context, batch []edge.Answer) error {
	a.mu.Lock()
	defer a.mu.Unlock()
	var known []presented
	for _, p := range a.ours {
		if slices.Contains(batch, p.answer) {
			known = append(known, p)
		}
	}
	if len(known) == 0 {
		return nil
	}
	ctx, cancel := within(ctx, a.m.o.Timeout)
	defer cancel()
	r, err := a.m.open(ctx)
	if err != nil {
		return err
	}
	defer r.close()
	var errs []error
	for _, p := range known {
		if err := r.remove(p.file, p.file); err != nil {
			errs = append(errs, fmt.Errorf("sftp %s: %w", a.m.where(), err))
		}
	}
	for i, dir := range slices.Backward(a.made) {
		// One with something in it stays, and is tried again with the next answers.
		if err := r.files.RemoveDirectory(dir); err == nil || errors.Is(err, fs.ErrNotExist) {
			a.made = slices.Delete(a.made, i, i+1)
		}
	}
	if len(errs) == 0 {
		a.ours = slices.DeleteFunc(a.ours, func(p presented) bool { return slices.Contains(batch, p.answer) })
	}
	return errors.Join(errs...)
}
