package certbotcli

import (
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers/target"
)

// TargetSettings are what was said about targets: by the kind, then by the name of the
// setting, as written. Only lists have more than one value. What a kind makes of them,
// defaults and the environment included, is target.Parse's business.
type TargetSettings map[string]map[string][]string

func (t TargetSettings) clone() TargetSettings {
	c := make(TargetSettings, len(t))
	for kind, said := range t {
		c[kind] = make(map[string][]string, len(said))
		for name, values := range said {
			c[kind][name] = slices.Clone(values)
		}
	}
	return c
}

// set replaces a value; none takes it away.
func (t *TargetSettings) set(kind, name string, values []string) {
	if len(values) == 0 {
		delete((*t)[kind], name)
		return
	}
	if *t == nil {
		*t = TargetSettings{}
	}
	if (*t)[kind] == nil {
		(*t)[kind] = map[string][]string{}
	}
	(*t)[kind][name] = values
}

// SaidOf is what was said about one kind, for target.Parse.
func (o *Options) SaidOf(kind string) map[string][]string { return maps.Clone(o.Targets[kind]) }

// targetFlags are the settings of all kinds as flags.
func targetFlags(kinds []target.Kind) []Flag {
	var flags []Flag
	for i := range kinds {
		k := &kinds[i]
		for j := range k.Settings {
			s := &k.Settings[j]
			f := Flag{
				Names: on("--" + s.Flag(k.Name)), Default: s.Default, Topics: on(k.Name), Origin: EdgesOwn,
				Help: s.Doc, Kind: k.Name, setting: s, act: action{kind: kindStore, takesValue: true, do: (*parser).storeSetting},
			}
			for _, old := range s.Old {
				f.Old = append(f.Old, "--"+old)
			}
			switch s.Type {
			case target.Bool:
				f.act.alone = "true"
				f.Choices = on("true", "false")
			case target.List:
				f.Help += "; may be repeated, or with commas"
			case target.Secret:
				f.Arg = "SECRET"
				f.Help += ", as file:PATH or env:NAME"
			case target.Text:
				f.Choices = s.Choices
			}
			if s.Must {
				f.Help += "; must be there"
			}
			for _, e := range s.Env {
				f.Help += "; or " + e + " in the environment"
			}
			flags = append(flags, f)
		}
	}
	return flags
}

func (f *Flag) isList() bool { return f.setting != nil && f.setting.Type == target.List }

// storeSetting takes a setting of a target, if the kind could. An empty value takes back
// what a weaker source says.
func (p *parser) storeSetting(f *Flag, value string) error {
	if value == "" {
		p.o.Targets.set(f.Kind, f.setting.Name, nil)
		return nil
	}
	values := []string{value}
	var err error
	switch s := f.setting; s.Type {
	case target.Path:
		values[0], err = filepath.Abs(p.o.env.expandUser(value))
	case target.Secret:
		if path, ok := strings.CutPrefix(value, "file:"); ok && path != "" {
			path, err = filepath.Abs(p.o.env.expandUser(path))
			values[0] = "file:" + path
		}
	case target.List:
		values = strings.Split(value, ",")
	case target.Text:
		if s.Choices != nil && !slices.Contains(s.Choices, value) {
			return p.badChoice(f, value)
		}
	}
	if err != nil {
		return &RefusedError{err.Error()}
	}
	// Whether all is there that must be is found out once it is known what for.
	alone := target.Kind{Name: f.Kind, Settings: []target.Setting{*f.setting}}
	if _, problems := target.Parse(&alone, map[string][]string{f.setting.Name: values}, nil, false, false); len(problems) > 0 {
		wrong := problems[0]
		wrong.Setting = ""
		return p.argument(f, wrong.Error())
	}
	if f.isList() {
		values = append(slices.Clone(p.o.Targets[f.Kind][f.setting.Name]), values...)
	}
	p.o.Targets.set(f.Kind, f.setting.Name, values)
	return nil
}

// Kind returns a kind by its name, or by one that a plugin of certbot's had; nil where
// there is none.
func (s *schema) Kind(name string) *target.Kind {
	for i := range s.kinds {
		if k := &s.kinds[i]; k.Name == name || slices.Contains(k.Aliases, name) {
			return k
		}
	}
	return nil
}

// plugin is the name that edge has for a plugin.
func (s *schema) plugin(name string) string {
	if k := s.Kind(name); k != nil && name != "" {
		return k.Name
	}
	return name
}

// settingOf finds the flag of an option as renewal files have it: haproxy_crt_dir, or by
// the name of certbot's plugin, certbot_haproxy:haproxy_installer_haproxy_crt_dir. First
// says that it is edge's own name.
func (s *schema) settingOf(dest string) (f *Flag, first bool) {
	for i := range s.flags {
		f := &s.flags[i]
		if f.setting == nil {
			continue
		}
		if f.Dest == dest {
			return f, true
		}
		if slices.ContainsFunc(f.Old, func(old string) bool { return destOf(old) == dest }) {
			return f, false
		}
	}
	return nil, false
}

// destOf is argparse's name for what a flag sets.
func destOf(flag string) string {
	return strings.ReplaceAll(strings.TrimLeft(flag, "-"), "-", "_")
}
