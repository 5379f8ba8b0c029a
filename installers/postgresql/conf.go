package postgresql

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"

	"edge/installers/directive"
)

// conf is a configuration with all that it includes.
type conf struct{ *directive.Set }

// load reads a configuration file and those that it includes.
func load(path string) (*conf, error) {
	parsed := func(raw []byte) ([]directive.Line, error) { return parse(string(raw)) }
	set, err := directive.Reader{Parse: parsed, Include: include}.Load(path)
	return &conf{set}, err
}

// include reads what a directive names: a path is relative to the file that it is in.
func include(l directive.Line, in string, more func(path string) error) (bool, error) {
	path := l.Value
	if !filepath.IsAbs(path) {
		path = filepath.Join(filepath.Dir(in), path)
	}
	switch strings.ToLower(l.Name) {
	default:
		return false, nil
	case "include":
	case "include_if_exists":
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return true, nil
		}
	case "include_dir":
		entries, err := os.ReadDir(path)
		if err != nil {
			return true, err
		}
		for _, e := range entries { // sorted by bytes, as in the C locale
			if name := e.Name(); name[0] != '.' && strings.HasSuffix(name, ".conf") && !e.IsDir() {
				if err := more(filepath.Join(path, name)); err != nil {
					return true, err
				}
			}
		}
		return true, nil
	}
	return true, more(path)
}

// parse finds the settings of one file (guc-file.l).
func parse(text string) ([]directive.Line, error) {
	var out []directive.Line
	at := 0
	for number, raw := range strings.SplitAfter(text, "\n") {
		start := at
		at += len(raw)
		raw = strings.TrimRight(raw, "\r\n")
		s := strings.TrimLeft(raw, " \t\v\f\r")
		if s == "" || s[0] == '#' {
			continue
		}
		l, err := parseLine(s)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		l.From += start + len(raw) - len(s)
		l.To += start + len(raw) - len(s)
		out = append(out, l)
	}
	return out, nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '$' || c >= 0x80
}

// parseLine reads NAME = VALUE, NAME VALUE, or NAME 'VALUE'; a comment may follow.
func parseLine(s string) (directive.Line, error) {
	const blanks = " \t\v\f\r"
	i := 0
	for i < len(s) && nameByte(s[i]) {
		i++
	}
	if i == 0 {
		return directive.Line{}, fmt.Errorf("%.40q is no setting", s)
	}
	l := directive.Line{Name: s[:i]}
	rest := strings.TrimLeft(s[i:], blanks)
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), blanks)
	begin := len(s) - len(rest)
	n := 0
	if strings.HasPrefix(rest, "'") {
		var err error
		if l.Value, n, err = quoted(rest); err != nil {
			return directive.Line{}, err
		}
	} else {
		for n < len(rest) && strings.IndexByte(blanks+"#'=", rest[n]) < 0 {
			n++
		}
		l.Value = rest[:n]
	}
	if n == 0 {
		return directive.Line{}, fmt.Errorf("%s has no value", l.Name)
	}
	l.To = begin + n
	if after := strings.TrimLeft(rest[n:], blanks); after != "" && after[0] != '#' {
		return directive.Line{}, fmt.Errorf("something follows the value of %s", l.Name)
	}
	return l, nil
}

// quoted reads a value between single quotes: a doubled one, and one behind a backslash, is
// part of it.
func quoted(s string) (value string, n int, err error) {
	var b strings.Builder
	for i := 1; i < len(s); i++ {
		switch c := s[i]; {
		case c == '\'' && i+1 < len(s) && s[i+1] == '\'':
			b.WriteByte('\'')
			i++
		case c == '\'':
			return b.String(), i + 1, nil
		case c == '\\' && i+1 < len(s):
			i++
			if at := strings.IndexByte("bfnrt", s[i]); at >= 0 {
				b.WriteByte("\b\f\n\r\t"[at])
			} else {
				b.WriteByte(s[i]) // octal digits would be a byte: no path of ours has one
			}
		default:
			b.WriteByte(c)
		}
	}
	return "", 0, errors.New("a quote is not closed")
}

// set returns the files that change when settings get values, by their numbers.
func (c *conf) set(list []directive.Setting) map[int][]byte {
	return c.Put(list, func(s directive.Setting) string { return s.Name + " = '" + s.Value + "'" })
}

// on is a boolean as PostgreSQL reads it.
func on(value string) bool {
	v := strings.ToLower(value)
	return v == "1" || v == "on" || v != "" && v != "o" && (strings.HasPrefix("true", v) || strings.HasPrefix("yes", v))
}
