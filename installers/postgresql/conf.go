package postgresql

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers/pemfile"
)

// line is a setting in a configuration file.
type line struct {
	file        int // its number in conf.files
	from, to    int // of name and value in the file, without the comment behind them
	name, value string
}

// conf is a configuration with all that it includes, in the order in which PostgreSQL
// reads it.
type conf struct {
	paths []string // of files, the main one first; links resolved
	files [][]byte
	lines []line
}

const (
	maxIncludes = 100
	maxDepth    = 10 // CONF_FILE_MAX_DEPTH
)

// load reads a configuration file and those that it includes.
func load(path string) (*conf, error) {
	c := &conf{}
	return c, c.read(path, 0)
}

func (c *conf) read(path string, depth int) error {
	if depth > maxDepth || len(c.files) >= maxIncludes {
		return fmt.Errorf("%s: too many files are included", path)
	}
	real, err := pemfile.Real(path)
	if err != nil {
		return err
	}
	raw, err := pemfile.Read(real)
	if err != nil {
		return err
	}
	n := len(c.files)
	c.paths, c.files = append(c.paths, real), append(c.files, raw)
	lines, err := parse(string(raw))
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	for _, l := range lines {
		l.file = n
		name := strings.ToLower(l.name)
		if name != "include" && name != "include_if_exists" && name != "include_dir" {
			c.lines = append(c.lines, l)
			continue
		}
		if err := c.include(name, l.value, filepath.Dir(real), depth); err != nil {
			return fmt.Errorf("%s: %s '%s': %w", real, name, l.value, err)
		}
	}
	return nil
}

// include reads what a directive names: a path is relative to the file that it is in.
func (c *conf) include(directive, path, dir string, depth int) error {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	switch directive {
	case "include_if_exists":
		if _, err := os.Stat(path); errors.Is(err, fs.ErrNotExist) {
			return nil
		}
	case "include_dir":
		entries, err := os.ReadDir(path)
		if err != nil {
			return err
		}
		for _, e := range entries { // sorted by bytes, as in the C locale
			if name := e.Name(); name[0] != '.' && strings.HasSuffix(name, ".conf") && !e.IsDir() {
				if err := c.read(filepath.Join(path, name), depth+1); err != nil {
					return err
				}
			}
		}
		return nil
	}
	return c.read(path, depth+1)
}

// parse finds the settings of one file (guc-file.l).
func parse(text string) ([]line, error) {
	var out []line
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
		l.from += start + len(raw) - len(s)
		l.to += start + len(raw) - len(s)
		out = append(out, l)
	}
	return out, nil
}

func nameByte(c byte) bool {
	return c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || c == '_' || c == '.' || c == '$' || c >= 0x80
}

// parseLine reads NAME = VALUE, NAME VALUE, or NAME 'VALUE'; a comment may follow.
func parseLine(s string) (line, error) {
	const blanks = " \t\v\f\r"
	i := 0
	for i < len(s) && nameByte(s[i]) {
		i++
	}
	if i == 0 {
		return line{}, fmt.Errorf("%.40q is no setting", s)
	}
	l := line{name: s[:i]}
	rest := strings.TrimLeft(s[i:], blanks)
	rest = strings.TrimLeft(strings.TrimPrefix(rest, "="), blanks)
	begin := len(s) - len(rest)
	n := 0
	if strings.HasPrefix(rest, "'") {
		var err error
		if l.value, n, err = quoted(rest); err != nil {
			return line{}, err
		}
	} else {
		for n < len(rest) && strings.IndexByte(blanks+"#'=", rest[n]) < 0 {
			n++
		}
		l.value = rest[:n]
	}
	if n == 0 {
		return line{}, fmt.Errorf("%s has no value", l.name)
	}
	l.to = begin + n
	if after := strings.TrimLeft(rest[n:], blanks); after != "" && after[0] != '#' {
		return line{}, fmt.Errorf("something follows the value of %s", l.name)
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

// last is the setting of that name that counts: the last one. Nil where there is none.
func (c *conf) last(name string) *line {
	for i := len(c.lines) - 1; i >= 0; i-- {
		if strings.EqualFold(c.lines[i].name, name) {
			return &c.lines[i]
		}
	}
	return nil
}

// value is that of the setting that counts, "" where there is none.
func (c *conf) value(name string) string {
	if l := c.last(name); l != nil {
		return l.value
	}
	return ""
}

// setting is one to be.
type setting struct{ name, value string }

// set returns the files that change when settings get values, by their numbers. One that
// is not there is written at the end of the first file.
func (c *conf) set(list []setting) map[int][]byte {
	out := map[int][]byte{}
	of := func(n int) []byte {
		if out[n] == nil {
			return slices.Clone(c.files[n])
		}
		return out[n]
	}
	type edit struct {
		line
		text string
	}
	var edits []edit
	missing := ""
	for _, s := range list {
		text := s.name + " = '" + s.value + "'"
		switch l := c.last(s.name); {
		case l == nil:
			missing += text + "\n"
		case l.value != s.value:
			edits = append(edits, edit{*l, text})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from }) // from the end, so that places stay right
	for _, e := range edits {
		raw := of(e.file)
		out[e.file] = slices.Concat(raw[:e.from], []byte(e.text), raw[e.to:])
	}
	if missing != "" {
		raw := of(0)
		if len(raw) > 0 && raw[len(raw)-1] != '\n' {
			raw = append(raw, '\n')
		}
		out[0] = append(raw, missing...)
	}
	return out
}

// on is a boolean as PostgreSQL reads it.
func on(value string) bool {
	v := strings.ToLower(value)
	return v == "1" || v == "on" || v != "" && v != "o" && (strings.HasPrefix("true", v) || strings.HasPrefix("yes", v))
}
