package plesk

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"slices"
	"syscall"

	"edge"
	"edge/installers/answer"
)

// left is an entry as it is noted before it is begun, so that the next process takes away
// what one that was killed has left.
type left struct {
	Answer   edge.Answer `json:"answer"`
	ID       string      `json:"id"` // of the site
	Site     string      `json:"site"`
	Root     string      `json:"root"`
	Login    string      `json:"login"`
	Host     string      `json:"host"`
	Htaccess bool        `json:"htaccess"`
}

const maxLeft = 1 << 20 // bytes

func (a *Authenticator) noteFile() string { return filepath.Join(a.o.Env.State, "plesk-answers.json") }

// note writes down what is there of ours.
func (a *Authenticator) note() error {
	if a.o.Env.State == "" {
		return nil
	}
	var list []left
	for _, e := range a.ours {
		list = append(list, left{e.answer, e.site.id, e.site.name, e.site.root, e.site.login, e.host, e.htaccess})
	}
	err := a.o.Env.Durable.Mkdir(a.o.Env.State, 0o700)
	if err == nil && len(list) == 0 {
		err = a.o.Env.Durable.Remove(a.noteFile())
	} else if err == nil {
		var raw []byte
		if raw, err = json.Marshal(list); err == nil {
			err = a.o.Env.Durable.WriteFile(a.noteFile(), raw, 0o600)
		}
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("plesk: note of what is answered: %w", err)
	}
	return nil
}

// recover takes away what an earlier run left. That it cannot is no reason to prove
// nothing any more: it is tried once.
func (a *Authenticator) recover(ctx context.Context) {
	raw, err := readNote(a.noteFile())
	if errors.Is(err, fs.ErrNotExist) {
		return
	}
	var list []entry
	if err == nil {
		list, err = parseLeft(raw)
	}
	errs := []error{err}
	for _, e := range list {
		if slices.ContainsFunc(a.ours, func(o entry) bool { return o.answer == e.answer }) {
			continue
		}
		a.o.Env.Log.Warn("a run was interrupted, its answer is taken away", "component", "plesk", "name", e.answer.Identifier.Value)
		errs = append(errs, a.takeAway(ctx, &e))
	}
	if err := errors.Join(errs...); err != nil {
		a.o.Env.Log.Warn("what an interrupted run left is perhaps still there", "component", "plesk", "error", err)
	}
}

func readNote(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a file", path)
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxLeft+1))
	if err == nil && len(raw) > maxLeft {
		err = fmt.Errorf("%s has more than %d bytes", path, maxLeft)
	}
	return raw, err
}

// parseLeft reads a note. What is in it gets into command lines, as what Plesk says does.
func parseLeft(raw []byte) ([]entry, error) {
	var list []left
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("note of what was answered: %w", err)
	}
	var entries []entry
	for _, l := range list {
		s := &site{id: l.ID, name: l.Site, root: l.Root, login: l.Login}
		files := l.Answer.Type == edge.HTTP01
		if answer.Words(l.Answer) != nil || !siteName(l.Site) || files && !s.hasFiles() || !files && l.Answer.Type != edge.DNS01 {
			return nil, errors.New("note of what was answered: it is not edge's")
		}
		entries = append(entries, entry{l.Answer, s, l.Host, l.Htaccess})
	}
	return entries, nil
}

// hasFiles reports whether what Plesk says about a site's folder and user can be used.
func (s *site) hasFiles() bool {
	return systemUser.MatchString(s.login) && rootPath.MatchString(s.root) && path.Clean(s.root) == s.root
}
