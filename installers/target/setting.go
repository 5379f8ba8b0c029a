package target

import (
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Type is that of a value.
type Type uint8

// The types.
const (
	Text     Type = iota
	Path          // an absolute path
	Number        // decimal, not negative
	Bool          // true or false
	Duration      // 30s, 2m
	Secret        // file:PATH or env:NAME; never written out
	List          // of texts
)

// Setting is one thing that a target can be told. Its name is that of the key in the
// configuration ("crt_dir"); the flag is made of it ("--haproxy-crt-dir").
type Setting struct {
	Name    string
	Type    Type
	Doc     string // a line, without a full stop
	Default string // as written; of a list, with commas
	Must    bool
	Choices []string // of Text; none: anything
	// Old are flags of certbot's plugin with the same meaning, without the dashes:
	// "certbot-haproxy:haproxy-installer-haproxy-crt-dir".
	Old []string
	// Env are environment variables that stand for it where nothing is said.
	Env []string
	// Proves and Installs say that it concerns one of the two alone; neither: both.
	Proves, Installs bool
}

// Flag is the name of its flag for a kind, without the dashes.
func (s *Setting) Flag(kind string) string {
	return kind + "-" + strings.ReplaceAll(s.Name, "_", "-")
}

// Problem is what is wrong with a setting.
type Problem struct {
	Setting string // empty: none in particular
	Why, Do string
}

// Error is for people.
func (p *Problem) Error() string {
	says := p.Why
	if p.Setting != "" {
		says = p.Setting + ": " + says
	}
	if p.Do != "" {
		says += "; " + p.Do
	}
	return says
}

// Parse checks what was said about a kind, by the names of settings. Only lists have more
// than one value. Proves and installs say what it is wanted for: a setting that must be
// there must be there where it matters, so nowhere when it is wanted for neither.
func Parse(k *Kind, said map[string][]string, getenv func(string) string, proves, installs bool) (Values, []Problem) {
	v := Values{kind: k, said: map[string]bool{}, values: map[string][]string{}, getenv: getenv}
	var problems []Problem
	for name := range said {
		if k.Setting(name) == nil {
			problems = append(problems, Problem{name, k.Name + " has no such setting", "possible: " + strings.Join(names(k), ", ")})
		}
	}
	for i := range k.Settings {
		s := &k.Settings[i]
		values, ok := said[s.Name]
		if !ok {
			values, ok = s.fromEnvironment(getenv)
		}
		both := !s.Proves && !s.Installs
		concerned := (both || s.Proves) && proves || (both || s.Installs) && installs
		switch {
		case ok:
			v.said[s.Name] = true
		case s.Must && concerned:
			problems = append(problems, Problem{s.Name, k.Name + " needs it", s.Doc})
			continue
		case s.Default == "":
			continue
		case s.Type == List:
			values = strings.Split(s.Default, ",")
		default:
			values = []string{s.Default}
		}
		clean, p := s.check(values)
		if p != nil {
			problems = append(problems, *p)
			continue
		}
		v.values[s.Name] = clean
	}
	slices.SortFunc(problems, func(a, b Problem) int { return strings.Compare(a.Setting, b.Setting) })
	return v, problems
}

func names(k *Kind) []string {
	var list []string
	for i := range k.Settings {
		list = append(list, k.Settings[i].Name)
	}
	return list
}

func (s *Setting) fromEnvironment(getenv func(string) string) ([]string, bool) {
	for _, name := range s.Env {
		if getenv == nil || getenv(name) == "" {
			continue
		}
		if s.Type == Secret {
			return []string{"env:" + name}, true
		}
		return []string{getenv(name)}, true
	}
	return nil, false
}

var envName = regexp.MustCompile(`^[A-Za-z_][A-Za-z0-9_]*$`)

// check returns the values in their plain form.
func (s *Setting) check(values []string) ([]string, *Problem) {
	bad := func(do, why string, args ...any) ([]string, *Problem) {
		return nil, &Problem{s.Name, fmt.Sprintf(why, args...), do}
	}
	if s.Type != List && len(values) != 1 {
		return bad("write one", "there are %d values", len(values))
	}
	for _, v := range values {
		if strings.ContainsAny(v, "\x00\r\n") {
			return bad("", "it has a character that cannot be")
		}
	}
	if s.Type == List {
		return values, nil
	}
	v := values[0]
	switch s.Type {
	case Path:
		if !filepath.IsAbs(v) {
			return bad("write an absolute path", "%q is not where a file can be found", short(v))
		}
		return []string{filepath.Clean(v)}, nil
	case Number:
		if n, err := strconv.ParseUint(v, 10, 31); err != nil || strconv.FormatUint(n, 10) != v {
			return bad("write it in digits", "%q is no number", short(v))
		}
	case Bool:
		b, err := strconv.ParseBool(strings.ToLower(v))
		if err != nil {
			return bad("", "%q is neither true nor false", short(v))
		}
		return []string{strconv.FormatBool(b)}, nil
	case Duration:
		if d, err := time.ParseDuration(v); err != nil || d < 0 {
			return bad("write it as 30s or 2m", "%q is no span of time", short(v))
		}
	case Secret:
		path, file := strings.CutPrefix(v, "file:")
		name, env := strings.CutPrefix(v, "env:")
		switch { // the value may be a secret: it is not shown
		case file && !filepath.IsAbs(path):
			return bad("write file: and an absolute path", "the path of the file is not absolute")
		case env && !envName.MatchString(name):
			return bad("write env: and a name", "this is no name of an environment variable")
		case !file && !env:
			return bad("put it into a file that only root can read, and write file:PATH (or env:NAME)", "the secret is written out")
		}
	case Text:
		if len(s.Choices) > 0 && !slices.Contains(s.Choices, v) {
			return bad("possible: "+strings.Join(s.Choices, ", "), "%q is not possible", short(v))
		}
		if v == "" {
			return bad("leave it out, or write it", "it is empty")
		}
	}
	return values, nil
}

func short(s string) string {
	if len(s) > 60 {
		return s[:60] + "..."
	}
	return s
}
