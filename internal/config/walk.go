package config

import (
	"fmt"
	"math"
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"go.yaml.in/yaml/v4"
)

// loader collects files, errors and what has been decoded so far.
type loader struct {
	files []*file
	errs  Errors
	cfg   Config
	trust *trust         // nil: files are read whoever can write them
	pos   map[string]Pos // of values, by path: "acme.email", "sites[2].hosts[0]"
	uses  []*Pool        // of proxy: {pool: NAME}, to be filled in when all files are read
}

func (l *loader) fault(f *file, line, col int, msg, hint string) {
	e := &Error{Pos: Pos{File: f.path, Line: line, Col: col}, Message: msg, Hint: hint}
	if line > 0 && line <= len(f.lines) {
		e.source = redact(shown(string(f.lines[line-1])))
	}
	l.errs = append(l.errs, e)
}

// at reports a mistake at a node.
func (l *loader) at(f *file, n *yaml.Node, msg, hint string) { l.fault(f, n.Line, n.Column, msg, hint) }

// atPos reports a mistake at a place that was remembered.
func (l *loader) atPos(p Pos, msg, hint string) {
	for _, f := range l.files {
		if f.path == p.File {
			l.fault(f, p.Line, p.Col, msg, hint)
			return
		}
	}
	l.errs = append(l.errs, &Error{Pos: p, Message: msg, Hint: hint})
}

// maxDepth bounds nesting; the schema itself is never deeper.
const maxDepth = 12

// valid checks a node against the table of keys, children included, and
// reports what does not fit. Only valid nodes are decoded.
func (l *loader) valid(f *file, n *yaml.Node, k *key, path string, depth int) bool {
	switch {
	case n.Kind == yaml.AliasNode || n.Anchor != "":
		l.at(f, n, "anchors and aliases are not supported", "write the value out")
		return false
	case depth > maxDepth:
		l.at(f, n, "nested too deeply", "")
		return false
	}
	switch k.kind {
	case kOneOf:
		return l.validForm(f, n, k, path, depth)
	case kObject:
		return l.validObject(f, n, k, path, depth)
	case kMap:
		return l.validMap(f, n, k, path, depth)
	case kList:
		if n.Kind != yaml.SequenceNode {
			hint := ""
			if n.Kind == yaml.ScalarNode && n.Value != "" {
				hint = "write it as a list: [" + strings.Join(strings.FieldsFunc(shown(n.Value), func(r rune) bool { return r == ' ' || r == ',' }), ", ") + "]"
			}
			l.at(f, n, fmt.Sprintf("%s: want a list, got %s", path, describe(n)), hint)
			return false
		}
		ok := true
		for _, c := range n.Content {
			ok = l.valid(f, c, k.item, path, depth+1) && ok
		}
		return ok
	}
	return l.validScalar(f, n, k, path)
}

// validForm finds the form that a value is written in.
func (l *loader) validForm(f *file, n *yaml.Node, k *key, path string, depth int) bool {
	form := pickForm(n, k)
	if form == nil {
		l.at(f, n, fmt.Sprintf("%s: got %s, want %s", path, describe(n), strings.ReplaceAll(typeName(k), "`", "")), "")
		return false
	}
	return l.valid(f, n, form, path, depth)
}

// pickForm chooses by what can be seen: object, list, or a scalar, where a
// boolean form takes booleans only.
func pickForm(n *yaml.Node, k *key) *key {
	for i := range k.forms {
		form := &k.forms[i]
		if n.Kind == yaml.ScalarNode && (form.kind == kInt && n.Tag == "!!int" || form.kind == kString && n.Tag == "!!str") {
			return form // before forms that would only have something to say against it
		}
	}
	for i := range k.forms {
		form := &k.forms[i]
		switch {
		case (form.kind == kObject || form.kind == kMap) && n.Kind == yaml.MappingNode,
			form.kind == kList && n.Kind == yaml.SequenceNode,
			form.kind == kBool && n.Kind == yaml.ScalarNode && n.Tag == "!!bool",
			form.kind < kObject && form.kind != kBool && n.Kind == yaml.ScalarNode && n.Tag != "!!bool" && n.Tag != "!!null":
			return form
		}
	}
	return nil
}

func (l *loader) validObject(f *file, n *yaml.Node, k *key, path string, depth int) bool {
	if n.Kind != yaml.MappingNode {
		where := path
		if where == "" {
			where = "the file"
		}
		l.at(f, n, fmt.Sprintf("%s: want keys and values, got %s", where, describe(n)), "")
		return false
	}
	ok := true
	seen := map[string]*yaml.Node{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name, value := n.Content[i], n.Content[i+1]
		child := childKey(k, name)
		full := joinPath(path, name.Value)
		switch first := seen[name.Value]; {
		case name.Kind != yaml.ScalarNode || name.Tag == "!!merge" || name.Value == "<<" || name.Anchor != "":
			l.at(f, name, "a key must be a plain word; merge keys are not supported", "")
			ok = false
		case child == nil:
			l.unknown(f, name, k, path)
			ok = false
		case first != nil:
			l.at(f, name, fmt.Sprintf("%s is written twice, first in line %d", full, first.Line), "")
			ok = false
		default:
			ok = l.valid(f, value, child, full, depth+1) && ok
		}
		seen[name.Value] = name
	}
	for i := range k.fields {
		// At the top, what is missing here may be in another file.
		if k.fields[i].required && path != "" && seen[k.fields[i].name] == nil {
			l.at(f, n, fmt.Sprintf("%s is missing", joinPath(path, k.fields[i].name)), k.fields[i].doc)
			ok = false
		}
	}
	return ok
}

// validMap checks the values of a section whose keys are free.
func (l *loader) validMap(f *file, n *yaml.Node, k *key, path string, depth int) bool {
	if n.Kind != yaml.MappingNode {
		l.at(f, n, fmt.Sprintf("%s: want names and values, got %s", path, describe(n)), "")
		return false
	}
	ok := true
	seen := map[string]int{}
	for i := 0; i+1 < len(n.Content); i += 2 {
		name := n.Content[i]
		full := joinPath(path, shown(name.Value))
		switch {
		case name.Kind != yaml.ScalarNode || name.Tag == "!!merge" || name.Value == "<<" || name.Anchor != "" || name.Value == "":
			l.at(f, name, "a name must be a plain word; merge keys are not supported", "")
			ok = false
		case seen[name.Value] != 0:
			l.at(f, name, fmt.Sprintf("%s is written twice, first in line %d", full, seen[name.Value]), "")
			ok = false
		default:
			ok = l.valid(f, n.Content[i+1], k.item, full, depth+1) && ok
		}
		seen[name.Value] = name.Line
	}
	return ok
}

func childKey(k *key, name *yaml.Node) *key {
	for i := range k.fields {
		if k.fields[i].name == name.Value {
			return &k.fields[i]
		}
	}
	return nil
}

func (l *loader) unknown(f *file, name *yaml.Node, k *key, path string) {
	var names []string
	for i := range k.fields {
		names = append(names, k.fields[i].name)
	}
	hint := "keys here: " + strings.Join(names, ", ")
	if s := suggest(name.Value, names); s != "" {
		hint = "did you mean " + s + "?"
	}
	l.at(f, name, fmt.Sprintf("unknown key %s", joinPath(path, shown(name.Value))), hint)
}

func joinPath(path, name string) string {
	if path == "" {
		return name
	}
	return path + "." + name
}

func describe(n *yaml.Node) string {
	switch n.Kind {
	case yaml.MappingNode:
		return "keys and values"
	case yaml.SequenceNode:
		return "a list"
	}
	switch n.Tag {
	case "!!null":
		return "nothing"
	case "!!bool":
		return "the truth value " + n.Value
	case "!!int", "!!float":
		return "the number " + shown(n.Value)
	}
	return fmt.Sprintf("%q", shown(n.Value))
}

func (l *loader) validScalar(f *file, n *yaml.Node, k *key, path string) bool {
	if n.Kind != yaml.ScalarNode || n.Tag == "!!null" {
		l.at(f, n, fmt.Sprintf("%s: want %s, got %s", path, strings.ReplaceAll(typeName(k), "`", ""), describe(n)), "")
		return false
	}
	bad := func(msg, hint string) bool {
		l.at(f, n, path+": "+msg, hint)
		return false
	}
	if k.kind != kSecret && !l.expand(f, n, path) {
		return false
	}
	switch k.kind {
	case kBool:
		if n.Tag != "!!bool" {
			return bad(fmt.Sprintf("want true or false, got %s", describe(n)), "")
		}
	case kInt:
		if _, ok := plainInt(n.Value); !ok {
			hint := ""
			if n.Tag == "!!int" {
				hint = "write it in decimal digits, without a leading zero, sign or underscore"
			}
			return bad(fmt.Sprintf("want a number, got %s", describe(n)), hint)
		}
	case kFloat:
		if v, err := strconv.ParseFloat(n.Value, 64); err != nil || v < 0 || n.Tag != "!!float" && n.Tag != "!!int" || math.IsInf(v, 0) || math.IsNaN(v) {
			return bad(fmt.Sprintf("want a number, got %s", describe(n)), "write it as 0.2")
		}
	case kDuration, kSize, kRate:
		if msg, hint := unitFault(k.kind, n.Value); msg != "" {
			return bad(msg, hint)
		}
	case kSecret:
		if n.Tag != "!!str" {
			return bad("want text", "put the secret in quotes, or into a file: file:PATH")
		}
	case kString:
		if n.Tag != "!!str" && (k.enum == nil || n.Style&(yaml.SingleQuotedStyle|yaml.DoubleQuotedStyle) == 0) {
			return bad(fmt.Sprintf("want text, got %s", describe(n)), fmt.Sprintf("put it in quotes: %q", shown(n.Value)))
		}
	}
	if len(k.enum) > 0 && !slices.Contains(k.enum, n.Value) {
		hint := "possible: " + strings.Join(k.enum, ", ")
		if s := suggest(n.Value, k.enum); s != "" && k.kind == kString {
			hint = "did you mean " + s + "? " + hint
		}
		return bad(fmt.Sprintf("%q is not possible", shown(n.Value)), hint)
	}
	return true
}

func unitFault(k kind, v string) (msg, hint string) {
	var err error
	switch k {
	case kDuration:
		_, err = parseDuration(v)
		hint = "write it with a unit: 500ms, 30s, 5m, 1h30m, 7d"
	case kSize:
		_, err = parseSize(v)
		hint = "write it with a unit: 512B, 64KiB, 10MiB"
	case kRate:
		_, err = parseRate(v)
		hint = "write it with a unit: 240B/s, 1KiB/s"
	}
	if err == nil {
		return "", ""
	}
	if err == errUnit {
		return fmt.Sprintf("%s has no unit", v), hint
	}
	return err.Error(), hint
}

var variable = regexp.MustCompile(`\$?\$\{([^}]*)\}`)

// expand replaces ${NAME} in a scalar by the environment's value; $${ stands
// for ${ itself. The value is never parsed as YAML again.
func (l *loader) expand(f *file, n *yaml.Node, path string) bool {
	if !strings.Contains(n.Value, "${") {
		return true
	}
	ok := true
	n.Value = variable.ReplaceAllStringFunc(n.Value, func(m string) string {
		if strings.HasPrefix(m, "$$") {
			return m[1:]
		}
		name := m[2 : len(m)-1]
		v, found := os.LookupEnv(name)
		if !found {
			l.at(f, n, fmt.Sprintf("%s: the environment has no variable %q", path, shown(name)), "set it for the service (Environment= or EnvironmentFile= in the unit), or write $${ for a literal ${")
			ok = false
		}
		return v
	})
	return ok
}
