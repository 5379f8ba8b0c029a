package certbotcli

import (
	"slices"
	"strings"

	"edge/installers/target"
	"edge/internal/configobj"
)

// targetParams are the settings that were said of the kinds in use, in the order of the
// table.
func (o *Options) targetParams() []Param {
	var params []Param
	for i := range o.flags {
		f := &o.flags[i]
		if f.setting == nil || f.Kind != o.Authenticator && f.Kind != o.Installer {
			continue
		}
		values := o.Targets[f.Kind][f.setting.Name]
		switch {
		case len(values) == 0:
		case f.isList():
			params = append(params, Param{f.Dest, configobj.List(values...)})
		default:
			params = append(params, Param{f.Dest, configobj.String(values[0])})
		}
	}
	return params
}

// targets restores the settings of kinds. Those that edge does not know, but which begin
// as those of a kind do, are kept.
func (r *restorer) targets() {
	own := map[string]bool{}
	for _, key := range r.section.Keys() {
		f, first := r.o.settingOf(key)
		switch {
		case f == nil && r.ofKind(key):
			if v, ok := r.section.Get(key); ok {
				r.o.Unknown = append(r.o.Unknown, Param{key, v})
			}
		case f == nil || r.o.IsSet(f.Dest) || own[f.Dest]:
		default:
			own[f.Dest] = first
			r.setting(f, key)
		}
	}
}

func (r *restorer) setting(f *Flag, key string) {
	v, ok := r.lookup(key)
	if !ok {
		return
	}
	values := v.Items
	if f.setting.Type == target.List {
		// certbot's plugins had texts with commas.
		if !v.List {
			values = strings.Split(v.String(), ",")
		}
	} else if _, ok := r.one(key, v); !ok {
		return
	}
	if len(values) == 1 && (values[0] == "" || values[0] == "None") {
		return
	}
	r.o.Targets.set(f.Kind, f.setting.Name, slices.Clone(values))
}

// ofKind reports whether an option begins with the name of a kind.
func (r *restorer) ofKind(dest string) bool {
	return slices.ContainsFunc(r.o.kinds, func(k target.Kind) bool {
		return slices.ContainsFunc(append([]string{k.Name}, k.Aliases...), func(name string) bool { return strings.HasPrefix(dest, destOf(name)+"_") })
	})
}
