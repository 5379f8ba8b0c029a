package certbotcli

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"unicode/utf8"

	"edge/installers/target"
)

// width is that of help, in letters, as of argparse on a usual terminal.
const width = 79

// topic is a section of help.
type topic struct{ name, title string }

// topics are those of certbot, in its order; the flags without a topic come first.
func topics(kinds []target.Kind) []topic {
	list := []topic{
		{"", ""},
		{"automation", "running without a person"},
		{"security", "keys and the security of servers"},
		{"testing", "trying things out"},
		{"paths", "folders, files and the CA"},
		{"manage", "looking after lineages, with certificates, delete, renew and revoke"},
	}
	for _, v := range Verbs() {
		if !v.Hidden && v.Name != "plugins" {
			list = append(list, topic{v.Name, v.Help})
		}
	}
	list = append(list,
		topic{"plugins", "which plugin proves control, and which installs"},
		topic{"apache", "proves control by Apache, and installs there"},
		topic{"dns-cloudflare", "proves control by DNS records at Cloudflare"},
		topic{"dns-rfc2136", "proves control by DNS records at BIND, Knot, PowerDNS and other servers with RFC 2136 updates"},
		topic{"edge", "what certbot does not have: the front door, and more"},
		topic{"manual", "proves control by hooks, or by asking a person"},
		topic{"nginx", "proves control by nginx, and installs there"},
		topic{"standalone", "proves control by a server of our own on ports 80 and 443, while it is needed"},
		topic{"webroot", "proves control by files that a web server serves"},
	)
	for _, k := range kinds {
		list = append(list, topic{k.Name, strings.TrimSuffix(k.Description, ".")})
	}
	return list
}

// topicOf resolves what stands behind --help.
func topicOf(word string, kinds []target.Kind) (name string, ok bool) {
	switch word {
	case "all", "commands":
		return word, true
	case "command", "subcommand", "subcommands", "verbs":
		return "commands", true
	}
	if verb, ok := verbOf(word); ok {
		return verb, true
	}
	if i := slices.IndexFunc(kinds, func(k target.Kind) bool { return slices.Contains(k.Aliases, word) }); i >= 0 {
		return kinds[i].Name, true
	}
	return word, word != "" && slices.ContainsFunc(topics(kinds), func(t topic) bool { return t.name == word })
}

// Topic is what help about a word is called, if there is any: "hitch", "all", and "certonly"
// for its old name "auth".
func Topic(word string, env Env) (name string, ok bool) { return topicOf(word, env.kinds()) }

// topicNames are what Help knows, besides the overview.
func topicNames(kinds []target.Kind) []string {
	list := []string{"all", "commands"}
	for _, t := range topics(kinds)[1:] {
		list = append(list, t.name)
	}
	return list
}

// Help is what --help prints, for a topic, or "" for the overview.
func Help(word string, env Env) string {
	s := newSchema(env)
	h := &helpText{program: env.program(), flags: s.flags, kinds: s.kinds}
	switch name, _ := topicOf(word, s.kinds); name {
	case "all":
		h.overview()
		for _, t := range topics(s.kinds) {
			h.section(t, func(f *Flag) bool { return home(f) == t.name })
		}
	case "commands":
		h.usage("")
		h.commands()
	case "":
		h.overview()
		h.line("More: %s --help TOPIC. The topics are:", h.program)
		h.wrap("  ", 2, strings.Join(topicNames(s.kinds), ", "))
	default:
		h.topic(name)
	}
	return h.b.String()
}

// shortUsage is the head of usage errors.
func shortUsage(program string) string {
	return fmt.Sprintf("  %[1]s [SUBCOMMAND] [options] [-d DOMAIN] [-d DOMAIN] ...\n\n"+
		"%[1]s --help has the overview, %[1]s --help all every flag.\n", program)
}

type helpText struct {
	b       strings.Builder
	program string
	flags   []Flag
	kinds   []target.Kind
}

func (h *helpText) line(format string, args ...any) { fmt.Fprintf(&h.b, format+"\n", args...) }

func (h *helpText) usage(verb string) {
	usage := "[SUBCOMMAND] [options] [-d DOMAIN] [-d DOMAIN] ..."
	for _, v := range Verbs() {
		if v.Name == verb {
			usage = v.Usage
		}
	}
	h.line("usage:\n  %s %s\n", h.program, usage)
}

// topic is the help of one topic: a verb or a group of flags.
func (h *helpText) topic(name string) {
	h.usage(name)
	for _, t := range topics(h.kinds) {
		if t.name == name {
			n := h.b.Len()
			h.section(t, func(f *Flag) bool { return slices.Contains(f.Topics, name) })
			if h.b.Len() == n { // a plugin without flags
				h.wrap("", 0, sentence(t.title))
				h.line("")
			}
		}
	}
	list := examples(name)
	if i := slices.IndexFunc(h.kinds, func(k target.Kind) bool { return k.Name == name }); i >= 0 {
		list = examplesOf(&h.kinds[i])
	}
	if len(list) > 0 {
		h.line("examples:")
		for _, e := range list {
			h.line("  %s %s", h.program, e)
		}
		h.line("")
	}
	h.line("%s --help all has every flag.", h.program)
}

// section lists the flags that belong to it.
func (h *helpText) section(t topic, belongs func(*Flag) bool) {
	var flags []*Flag
	for i := range h.flags {
		if f := &h.flags[i]; !f.Hidden && belongs(f) {
			flags = append(flags, f)
		}
	}
	if len(flags) == 0 {
		return
	}
	if h.line("%s:", cmp.Or(t.name, "options")); t.title != "" {
		h.wrap("  ", 2, sentence(t.title))
		h.line("")
	}
	for _, f := range flags {
		h.flag(f)
	}
	h.line("")
}

func sentence(s string) string { return strings.ToUpper(s[:1]) + s[1:] + "." }

// home is the topic under which --help all has a flag.
func home(f *Flag) string {
	if len(f.Topics) == 0 {
		return ""
	}
	return f.Topics[0]
}

// column is where the texts of flags begin.
const column = 24

func (h *helpText) flag(f *Flag) {
	var names []string
	for _, n := range f.Names {
		if f.Arg != "" {
			n += " " + f.Arg
		}
		names = append(names, n)
	}
	head := "  " + strings.Join(names, ", ")
	if utf8.RuneCountInString(head) > column-2 {
		h.line("%s", head)
		head = ""
	}
	text := f.Help
	if f.Arg != "" && f.Default != "" {
		text += " (default: " + f.Default + ")"
	}
	if f.Choices != nil && !strings.Contains(f.Arg, ",") {
		text += " [" + strings.Join(f.Choices, ", ") + "]"
	}
	h.wrap(fmt.Sprintf("%-*s", column, head), column, text)
}

// wrap writes a text behind a head, its further lines indented.
func (h *helpText) wrap(head string, indent int, text string) {
	line, used := head, utf8.RuneCountInString(head)
	empty := true
	for word := range strings.FieldsSeq(text) {
		n := utf8.RuneCountInString(word)
		if !empty && used+1+n > width {
			h.line("%s", line)
			line, used, empty = strings.Repeat(" ", indent), indent, true
		}
		if !empty {
			line, used = line+" ", used+1
		}
		line, used, empty = line+word, used+n, false
	}
	h.line("%s", strings.TrimRight(line, " "))
}

// commands lists the verbs.
func (h *helpText) commands() {
	h.line("commands:")
	for _, v := range Verbs() {
		if v.Hidden {
			continue
		}
		name := v.Name
		if name == "run" && h.program == "certbot" {
			name += " (default)"
		}
		h.wrap(fmt.Sprintf("  %-*s", column-2, name), column, v.Help)
	}
	h.line("")
}
