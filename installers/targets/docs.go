package targets

import (
	"fmt"
	"strings"

	"edge/installers/target"
)

// Markdown is what docs/targets/settings.md has of the kinds: all settings, as keys of the
// configuration and as flags.
func Markdown() string {
	var b strings.Builder
	for _, k := range All() {
		fmt.Fprintf(&b, "## %s\n\n%s. %s\n\n| key | flag | default | meaning |\n|---|---|---|---|\n", k.Name, k.Description, ways(&k))
		for i := range k.Settings {
			s := &k.Settings[i]
			key, doc := "`"+s.Name+"`", s.Doc
			if s.Proves {
				key = ""
			}
			if len(s.Choices) > 0 {
				doc += ": `" + strings.Join(s.Choices, "`, `") + "`"
			}
			switch s.Type {
			case target.Secret:
				doc += "; `file:PATH` or `env:NAME`"
			case target.List:
				doc += "; a list"
			}
			for _, e := range s.Env {
				doc += "; or `" + e + "` in the environment"
			}
			def := ""
			if s.Default != "" {
				def = "`" + s.Default + "`"
			}
			if s.Must {
				def = "must be there"
			}
			flags := "`--" + s.Flag(k.Name) + "`"
			for _, old := range s.Old {
				flags += ", `--" + old + "`"
			}
			fmt.Fprintf(&b, "| %s | %s | %s | %s |\n", key, flags, def, strings.ReplaceAll(doc, "|", "\\|"))
		}
		b.WriteString("\n")
	}
	return b.String()
}

// ways is how the kind is named on the command line.
func ways(k *target.Kind) string {
	var list []string
	if k.Proves() {
		list = append(list, "`-a "+k.Name+"`")
	}
	if k.Installs() {
		list = append(list, "`-i "+k.Name+"`, `deliver: [{"+k.Name+": ...}]`")
	}
	says := strings.Join(list, ", ")
	if len(k.Aliases) > 0 {
		says += "; also known as `" + strings.Join(k.Aliases, "`, `") + "`"
	}
	return says + "."
}
