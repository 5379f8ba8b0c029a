package installers

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"

	"edge/internal/diff"
)

// wayBack gathers what several checkpoints, the newest first, say about each path: the
// newest what is there now, the oldest what it was before all of them.
type wayBack struct {
	wants    map[string]*want
	order    []string
	titles   []string
	commands []Command
}

// state is what is at a path.
type state struct {
	kind    stateKind
	content []byte
	digest  string // of the content, where that is not at hand
	was     *attributes
	target  string // of a link
}

type stateKind int

const (
	unknown stateKind = iota // certbot does not say
	absent
	isFile
	isLink
	isOther
)

type want struct {
	left state // what the newest checkpoint left there
	was  state // what the oldest one found there
}

func (w *wayBack) note(path string, left, was state) {
	if w.wants[path] == nil {
		w.wants[path] = &want{left: left}
		w.order = append(w.order, path)
	}
	w.wants[path].was = was
}

// add takes the next older checkpoint. The record is nil where certbot made it.
func (w *wayBack) add(dir string) (*record, error) {
	if err := errors.Join(trustedPlace(filepath.Dir(dir)), trusted(dir)); err != nil {
		return nil, err
	}
	titles, err := titlesOf(dir)
	if err != nil {
		return nil, err
	}
	for _, t := range titles {
		w.titles = append(w.titles, "Rollback of "+t)
	}
	r, err := readRecord(dir)
	if errors.Is(err, errNoRecord) {
		return nil, w.addCertbots(dir)
	}
	if err != nil {
		return nil, err
	}
	for i, f := range r.Files {
		content, err := readBounded(copyPath(dir, f.Path, i), maxFile)
		if err != nil {
			return nil, err
		}
		left := state{kind: isFile, digest: f.Wrote}
		if f.Wrote == "" {
			left.kind = absent
		}
		w.note(f.Path, left, state{kind: isFile, content: content, was: &r.Files[i].Was})
	}
	for _, l := range r.Links {
		w.note(l.Path, state{kind: absent}, state{kind: isLink, target: l.Target})
	}
	for _, a := range slices.Backward(r.Added) {
		switch a.Kind {
		case newFile:
			w.note(a.Path, state{kind: isFile, digest: a.Wrote}, state{kind: absent})
		case newLink:
			w.note(a.Path, state{kind: isLink, target: a.Target}, state{kind: absent})
		}
	}
	for _, c := range slices.Backward(r.Ran) {
		if len(c.Undo) > 0 {
			w.commands = append(w.commands, Command{Do: c.Undo, Undo: c.Do})
		}
	}
	return r, nil
}

func (w *wayBack) addCertbots(dir string) error {
	saved, err1 := readLines(filepath.Join(dir, fileFilePaths))
	added, err2 := readLines(filepath.Join(dir, fileNewFiles))
	commands, err3 := readCommands(dir)
	if err := errors.Join(err1, err2, err3); err != nil {
		return err
	}
	for i, path := range saved {
		content, was, target, err := certbotsCopy(copyPath(dir, path, i), path)
		if err != nil {
			return err
		}
		w.note(target, state{}, state{kind: isFile, content: content, was: was})
	}
	for _, path := range added {
		if err := checkPath(path); err != nil {
			return err
		}
		folder, err := filepath.EvalSymlinks(filepath.Dir(path))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		w.note(filepath.Join(folder, filepath.Base(path)), state{}, state{kind: absent})
	}
	for _, argv := range slices.Backward(commands) {
		w.commands = append(w.commands, Command{Do: argv, Undo: inverse(argv)})
	}
	return nil
}

// inverse undoes what the undo commands of certbot for Apache do: "a2dismod -f ssl". What
// else it may be cannot be undone.
func inverse(argv []string) []string {
	opposite := map[string]string{"a2dismod": "a2enmod", "a2dissite": "a2ensite", "a2disconf": "a2enconf"}
	if len(argv) == 0 || opposite[filepath.Base(argv[0])] == "" {
		return nil
	}
	out := []string{filepath.Join(filepath.Dir(argv[0]), opposite[filepath.Base(argv[0])])}
	if filepath.Dir(argv[0]) == "." {
		out[0] = opposite[argv[0]]
	}
	for _, arg := range argv[1:] {
		if arg != "-f" {
			out = append(out, arg)
		}
	}
	return out
}

// plan compares with what is there now. What is neither as it was left nor as it shall
// become has been changed by somebody.
func (w *wayBack) plan() (*Plan, *ChangedError, error) {
	p := &Plan{Titles: w.titles, Commands: w.commands}
	var changed *ChangedError
	for _, path := range w.order {
		to := w.wants[path]
		now, err := stateOf(path)
		if err != nil {
			return nil, nil, err
		}
		if now.same(to.was) {
			continue
		}
		if to.left.kind != unknown && !now.same(to.left) && !now.sameContent(to.was) {
			if changed == nil {
				changed = new(ChangedError)
			}
			changed.Paths = append(changed.Paths, path)
			changed.Diff += difference(path, now, to.was)
		}
		c, err := step(path, now, to.was)
		if err != nil {
			return nil, nil, err
		}
		p.Changes = append(p.Changes, c)
	}
	return p, changed, nil
}

// step is the change from one state of a path to another one.
func step(path string, now, to state) (Change, error) {
	c := Change{Path: path, Old: now.content, New: to.content, as: to.was}
	switch {
	case to.kind == absent && now.kind != isOther:
		c.Op, c.Target = Delete, now.target
	case to.kind == isFile && now.kind == isFile:
		c.Op = Rewrite
	case to.kind == isFile && now.kind == absent:
		c.Op = Create
	case to.kind == isLink && now.kind == absent:
		c.Op, c.Target = Symlink, to.target
	default:
		return c, fmt.Errorf("%s is in the way of what was there: move it away", path)
	}
	return c, nil
}

func stateOf(path string) (state, error) {
	info, err := os.Lstat(path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return state{kind: absent}, nil
	case err != nil:
		return state{}, err
	case info.Mode().IsRegular():
		content, was, err := readFile(path)
		return state{kind: isFile, content: content, digest: digest(content), was: was}, err
	case info.Mode()&fs.ModeSymlink != 0:
		target, err := os.Readlink(path)
		return state{kind: isLink, target: target}, err
	}
	return state{kind: isOther}, nil
}

// same reports whether nothing differs, as far as b is known.
func (a state) same(b state) bool {
	return a.sameContent(b) && (b.was == nil || a.was.equal(b.was))
}

func (a state) sameContent(b state) bool {
	if a.kind != b.kind || a.target != b.target {
		return false
	}
	want := b.digest
	if b.content != nil {
		want = digest(b.content)
	}
	return a.kind != isFile || a.digest == want
}

func difference(path string, now, to state) string {
	from, into := path, path
	if now.kind == absent {
		from = "/dev/null"
	}
	if to.kind == absent {
		into = "/dev/null"
	}
	if now.kind == isLink || to.kind == isLink {
		return fmt.Sprintf("--- %s -> %s\n+++ %s -> %s\n", from, now.target, into, to.target)
	}
	if hasKey(now.content) || hasKey(to.content) {
		return fmt.Sprintf("--- %s\n+++ %s\n(a private key is in it: the difference is not shown)\n", from, into)
	}
	return diff.Unified(from, into, string(now.content), string(to.content))
}

func hasKey(content []byte) bool { return bytes.Contains(content, []byte("PRIVATE KEY-----")) }
