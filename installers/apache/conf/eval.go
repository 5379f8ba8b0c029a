package conf

import (
	"os"
	"regexp"
	"strconv"
	"strings"
)

// onRead does what httpd does with some directives while it reads them, before it looks
// at any other (EXEC_ON_READ). done is false for all others.
func (l *loader) onRead(d *Directive, args []string, into *Node) (done bool, err error) {
	switch strings.ToLower(d.Name()) {
	case "include", "includeoptional":
		return true, l.include(d, args, into)
	case "define", "undefine":
		return true, l.define(d, args)
	case "macro":
		return true, l.macro(d, args)
	case "undefmacro":
		if len(args) > 0 {
			delete(l.macros, strings.ToLower(args[0]))
		}
		return true, nil
	case "use":
		return true, l.use(d, args, into)
	case "ifmodule", "ifdefine", "ifversion", "iffile", "ifdirective", "ifsection":
		if d.Block == nil {
			return false, nil
		}
		counts, err := l.holds(d, args)
		if err == nil && counts {
			err = l.walk(d.Block, into)
		}
		return true, err
	case "loadmodule":
		if len(args) > 0 {
			l.set.Modules[args[0]] = true
		}
	case "serverroot":
		if len(args) > 0 {
			l.root = args[0]
		}
	}
	return false, nil
}

func (l *loader) define(d *Directive, args []string) error {
	switch {
	case d.Is("UnDefine") && len(args) == 1:
		delete(l.defines, args[0])
		delete(l.vars, args[0])
	case d.Is("Define") && (len(args) == 1 || len(args) == 2 && args[1] == ""):
		l.defines[args[0]] = ""
	case d.Is("Define") && len(args) == 2:
		l.defines[args[0]] = ""
		l.vars[args[0]] = args[1]
	default:
		return d.errorf("%s takes a name, and Define may have a value", d.Name())
	}
	return nil
}

// holds decides a condition.
func (l *loader) holds(d *Directive, args []string) (bool, error) {
	if len(args) == 0 {
		return false, d.errorf("<%s> says no condition", d.Name())
	}
	arg, not := strings.CutPrefix(args[0], "!")
	if arg == "" && len(args) == 2 {
		arg = args[1]
	}
	var is bool
	switch strings.ToLower(d.Name()) {
	case "ifmodule":
		is = l.set.Modules[moduleName(arg)]
	case "ifdefine":
		_, is = l.defines[arg]
	case "iffile":
		_, err := os.Stat(l.path(arg))
		is = err == nil
	case "ifversion":
		return l.versionIs(d, args)
	default:
		// Which directives and sections the modules know is not known here. People
		// write these conditions for what may be missing in old versions.
		is = true
	}
	return is != not, nil
}

// versionIs is match_version of mod_version.
func (l *loader) versionIs(d *Directive, args []string) (bool, error) {
	op, want := "=", args[0]
	if len(args) > 1 {
		op, want = args[0], args[1]
	}
	op, not := strings.CutPrefix(op, "!")
	have := l.set.env.Version
	if have == "" {
		have = "2.999.0"
	}
	if rest, ok := strings.CutPrefix(want, "/"); ok && strings.HasSuffix(rest, "/") && (op == "=" || op == "==") {
		op, want = "~", strings.TrimSuffix(rest, "/")
	}
	var is bool
	order := compareVersions(have, want)
	switch op {
	case "=", "==", "":
		is = order == 0
	case ">":
		is = order > 0
	case ">=", "=>":
		is = order >= 0
	case "<":
		is = order < 0
	case "<=", "=<":
		is = order <= 0
	case "~":
		re, err := regexp.Compile(want)
		if err != nil {
			return false, d.errorf("the version %q cannot be evaluated: %w", want, err)
		}
		is = re.MatchString(have)
	default:
		return false, d.errorf("%q compares no versions", op)
	}
	return is != not, nil
}

// compareVersions compares three numbers; missing ones are 0.
func compareVersions(a, b string) int {
	as, bs := strings.Split(a, "."), strings.Split(b, ".")
	for i := range 3 {
		var x, y int
		if i < len(as) {
			x, _ = strconv.Atoi(as[i])
		}
		if i < len(bs) {
			y, _ = strconv.Atoi(bs[i])
		}
		if x != y {
			return x - y
		}
	}
	return 0
}

// maxExpanded bounds a line with its variables replaced, in bytes. A value that has
// itself twice doubles each time.
const maxExpanded = 1 << 20

// expand replaces ${NAME} as ap_resolve_env does: by what Define says, else by the
// environment; what neither knows stays. It is not ok where the text grows too long.
func (l *loader) expand(value string) (text string, ok bool) {
	var b strings.Builder
	for start := strings.Index(value, "${"); start >= 0; start = strings.Index(value, "${") {
		b.WriteString(value[:start])
		value = value[start:]
		end := strings.IndexByte(value, '}')
		if end < 0 {
			break
		}
		name := value[2:end]
		if v, ok := l.vars[name]; ok {
			b.WriteString(v)
		} else if v, ok := l.set.env.Vars[name]; ok {
			b.WriteString(v)
		} else {
			b.WriteString(value[:end+1])
		}
		value = value[end+1:]
		if b.Len() > maxExpanded {
			return "", false
		}
	}
	b.WriteString(value)
	return b.String(), b.Len() <= maxExpanded
}

// values returns the arguments of a directive. httpd replaces variables in the whole line
// before it splits it, with what they are at that place.
func (l *loader) values(d *Directive) ([]string, error) {
	raw := make([]string, 0, len(d.Args()))
	for _, w := range d.Args() {
		raw = append(raw, w.Value)
	}
	if d.Block == nil && !strings.Contains(d.Text(), "${") || d.Block != nil && !strings.Contains(d.File.Src[d.Start:d.Block.Open], "${") {
		return raw, nil
	}
	text, ok := l.expand(readLine(d.File.Src, d.lines.Start, 0).text)
	if l.bytes += len(text); !ok || l.bytes > maxSetBytes {
		return nil, d.errorf("variables grow to more than %d bytes here, or too many in all", maxExpanded)
	}
	if d.Block != nil {
		text, _, _ = cutLast(strings.TrimPrefix(text, "<"), ">")
	} else if strings.HasPrefix(text, "<") {
		return nil, d.errorf("a variable makes this a section; write it out")
	}
	var out []string
	name, _ := nextWord(text, 0)
	for from := name.end; ; {
		w, ok := nextWord(text, from)
		if !ok {
			return out, nil
		}
		out = append(out, w.value)
		from = w.end
	}
}

func cutLast(s, sep string) (before, after string, found bool) {
	if i := strings.LastIndex(s, sep); i >= 0 {
		return s[:i], s[i+len(sep):], true
	}
	return s, "", false
}
