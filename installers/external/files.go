package external

import (
	"encoding/json"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge"
	"edge/installers/answer"
)

// files are those of a TLS challenge; empty for others.
type files struct{ name, cert, key string }

func (a *Authenticator) dir() string { return filepath.Join(a.o.WorkDir, "external") }

func (a *Authenticator) path(one edge.Answer, ext string) string {
	return filepath.Join(a.dir(), one.Token+ext)
}

// prepare notes that the script is going to know of a challenge, and writes its files.
func (a *Authenticator) prepare(one edge.Answer) ([]string, error) {
	note, err := json.Marshal(one)
	if err != nil {
		return nil, err
	}
	if err := a.o.Durable.Mkdir(a.dir(), 0o755); err != nil {
		return nil, err
	}
	a.ours = append(a.ours, one)
	if err := a.o.Durable.WriteFile(a.path(one, ".json"), note, 0o600); err != nil {
		return nil, err
	}
	var f files
	if one.Type == edge.TLSSNI01 || one.Type == edge.TLSALPN01 {
		if f, err = a.certificate(one); err != nil {
			return nil, err
		}
	}
	return performEnv(one, f, a.o.Port), nil
}

func (a *Authenticator) certificate(one edge.Answer) (files, error) {
	create := answer.NewSNI01
	if one.Type == edge.TLSALPN01 {
		create = answer.NewALPN01
	}
	c, err := create(one)
	if err != nil {
		return files{}, err
	}
	f := files{name: c.Name, cert: a.path(one, ".crt"), key: a.path(one, ".pem")}
	if err := a.o.Durable.WriteFile(f.cert, c.Cert, 0o644); err != nil {
		return files{}, err
	}
	return f, a.o.Durable.WriteFile(f.key, c.Key, 0o400)
}

// forget removes the files of a challenge, the note last.
func (a *Authenticator) forget(one edge.Answer) error {
	for _, ext := range []string{".crt", ".pem", ".json"} {
		if err := a.o.Durable.Remove(a.path(one, ext)); err != nil {
			return err
		}
	}
	return nil
}

// maxNote bounds what is taken for a note, in bytes.
const maxNote = 8 << 10

// left are the challenges that a run which was killed has noted. What else is in the
// folder goes: it was on the way to be a note or a key.
func (a *Authenticator) left() []edge.Answer {
	entries, err := os.ReadDir(a.dir())
	if err != nil {
		return nil // there is none
	}
	var list []edge.Answer
	for _, e := range entries {
		stem := strings.TrimSuffix(e.Name(), filepath.Ext(e.Name()))
		if slices.ContainsFunc(a.ours, func(o edge.Answer) bool { return o.Token == stem }) {
			continue
		}
		path := filepath.Join(a.dir(), e.Name())
		if one, ok := readNote(path, stem); ok && a.check(one) == nil {
			list = append(list, one)
			continue
		}
		if note := filepath.Join(a.dir(), stem+".json"); note != path && readable(note, stem) {
			continue // forget removes it
		}
		if err := a.o.Durable.Remove(path); err != nil {
			a.o.Log.Warn("what an interrupted run left cannot be removed", "component", "external", "error", err)
		}
	}
	return list
}

func readable(path, token string) bool {
	_, ok := readNote(path, token)
	return ok
}

func readNote(path, token string) (edge.Answer, bool) {
	var one edge.Answer
	info, err := os.Lstat(path)
	if err != nil || filepath.Ext(path) != ".json" || !info.Mode().IsRegular() || info.Size() > maxNote {
		return one, false
	}
	raw, err := os.ReadFile(path)
	return one, err == nil && json.Unmarshal(raw, &one) == nil && one.Token == token
}
