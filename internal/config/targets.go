package config

import (
	"fmt"
	"os"
	"strings"

	"go.yaml.in/yaml/v4"

	"edge/installers/target"
	"edge/installers/targets"
)

// Target is a server or service that package targets has a kind for.
type Target struct {
	Kind   *target.Kind
	Values target.Values
}

// installing are the kinds that certificates can be delivered to.
func installing() []target.Kind {
	var list []target.Kind
	for _, k := range targets.All() {
		if k.Installs() {
			list = append(list, k)
		}
	}
	return list
}

// targetKeys are the keys of deliver that the kinds have, made of their settings.
func targetKeys() []key {
	var keys []key
	for _, k := range installing() {
		o := obj(k.Name, k.Description)
		for i := range k.Settings {
			if s := &k.Settings[i]; !s.Proves {
				o.fields = append(o.fields, settingKey(s))
			}
		}
		keys = append(keys, o)
	}
	return keys
}

func settingKey(s *target.Setting) key {
	k := key{name: s.Name, def: s.Default, doc: s.Doc, enum: s.Choices, required: s.Must && len(s.Env) == 0}
	switch s.Type {
	case target.Number:
		k.kind = kInt
	case target.Bool:
		k.kind = kBool
	case target.Duration:
		k.kind = kDuration
	case target.Secret:
		k.kind = kSecret
		k.doc += ": `file:PATH` or `env:NAME`"
	case target.List:
		return list(s.Name, s.Default, s.Doc, text())
	}
	return k
}

// decodeTarget reads the kind of an entry; nil where it has none.
func (l *loader) decodeTarget(entry value) *Target {
	var found *Target
	for _, k := range installing() {
		v := entry.get(k.Name)
		if v.n == nil {
			continue
		}
		if found != nil {
			l.at(v.f, v.n, entry.path+": two targets in one entry", "write an entry for each")
			continue
		}
		said := map[string][]string{}
		for i := 0; i+1 < len(v.n.Content); i += 2 {
			name := v.n.Content[i].Value
			said[name] = l.settingValues(v.get(name), k.Setting(name))
		}
		values, problems := target.Parse(&k, said, os.Getenv, false, true)
		for _, p := range problems {
			at := v
			if s := v.get(p.Setting); s.n != nil {
				at = s
			}
			l.at(at.f, at.n, fmt.Sprintf("%s: %s", joinPath(v.path, p.Setting), p.Why), p.Do)
		}
		found = &Target{&k, values}
	}
	return found
}

func (l *loader) settingValues(v value, s *target.Setting) []string {
	if v.n.Kind == yaml.SequenceNode {
		var list []string
		v.texts(&list)
		return list
	}
	is := v.n.Value
	if path, file := strings.CutPrefix(is, "file:"); file && s != nil && s.Type == target.Secret {
		is = "file:" + beside(v.f.path, path)
	}
	return []string{is}
}

// Kind is the word for the target: "files", "nginx", "haproxy".
func (d *Deliver) Kind() string {
	switch {
	case d.Files != nil:
		return "files"
	case d.Exec != nil:
		return "exec"
	case d.Server != nil:
		return d.Server.Kind
	case d.Target != nil:
		return d.Target.Kind.Name
	}
	return ""
}
