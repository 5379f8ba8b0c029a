package mariadb

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

// option is a line of an option file.
type option struct {
	path        string // of the file, links resolved
	line        int
	group       string
	name, value string // the name with underscores
}

// conf are the option files of a server, in the order in which it reads them.
type conf struct {
	options []option
	read    []string // files
	dirs    []string // of !includedir, in order
}

const (
	maxFiles = 200
	maxDepth = 10
)

// load reads an option file and those that it includes. Over is a file that is to be
// written, with its content; empty: none.
func load(path string, over string, text []byte) (*conf, error) {
	c := &conf{}
	return c, c.file(path, over, text, 0)
}

func (c *conf) file(path, over string, text []byte, depth int) error {
	if depth > maxDepth || len(c.read) >= maxFiles {
		return fmt.Errorf("%s: too many files are included", path)
	}
	raw := text
	if path != over {
		real, err := pemfile.Real(path)
		if err != nil {
			return err
		}
		if raw, err = pemfile.Read(real); err != nil {
			return err
		}
		path = real
	}
	c.read = append(c.read, path)
	group := ""
	for number, l := range strings.Split(string(raw), "\n") {
		l = strings.TrimSpace(l)
		switch {
		case l == "" || l[0] == '#' || l[0] == ';':
		case l[0] == '!':
			if err := c.include(l, over, text, depth); err != nil {
				return fmt.Errorf("%s, line %d: %w", path, number+1, err)
			}
		case l[0] == '[':
			name, _, ok := strings.Cut(l[1:], "]")
			if !ok {
				return fmt.Errorf("%s, line %d: the name of a group does not end", path, number+1)
			}
			group = strings.TrimSpace(name)
		default:
			name, value, _ := strings.Cut(l, "=")
			name = strings.ReplaceAll(strings.TrimSpace(uncommented(name)), "-", "_")
			c.options = append(c.options, option{path, number + 1, group, strings.TrimPrefix(name, "loose_"), unquoted(value)})
		}
	}
	return nil
}

func (c *conf) include(directive, over string, text []byte, depth int) error {
	words := strings.Fields(directive)
	if len(words) != 2 {
		return fmt.Errorf("%.100q is no directive", directive)
	}
	switch words[0] {
	case "!include":
		return c.file(words[1], over, text, depth+1)
	case "!includedir":
	default:
		return fmt.Errorf("%.100q is no directive", directive)
	}
	dir, err := pemfile.Real(words[1])
	if errors.Is(err, fs.ErrNotExist) {
		return nil // MariaDB says nothing either
	}
	if err != nil {
		return err
	}
	c.dirs = append(c.dirs, dir)
	entries, err := os.ReadDir(dir)
	if err != nil {
		return err
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	if filepath.Dir(over) == dir && !slices.Contains(names, filepath.Base(over)) {
		names = append(names, filepath.Base(over))
	}
	slices.Sort(names)
	for _, name := range names {
		if strings.HasSuffix(name, ".cnf") {
			if err := c.file(filepath.Join(dir, name), over, text, depth+1); err != nil {
				return err
			}
		}
	}
	return nil
}

// uncommented is a line without the comment at its end.
func uncommented(s string) string {
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case quote != 0:
			if c == quote {
				quote = 0
			}
		case c == '\'' || c == '"':
			quote = c
		case c == '#':
			return s[:i]
		}
	}
	return s
}

// unquoted is a value as the server takes it (my_default.c).
func unquoted(s string) string {
	s = strings.TrimSpace(uncommented(s))
	if n := len(s); n >= 2 && (s[0] == '\'' || s[0] == '"') && s[n-1] == s[0] {
		s = s[1 : n-1]
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if at := strings.IndexByte(`btnrs\`, s[i+1]); at >= 0 {
				b.WriteByte("\b\t\n\r \\"[at])
				i++
				continue
			}
		}
		b.WriteByte(s[i])
	}
	return b.String()
}

// forServer reports whether a server of a version reads a group.
func forServer(group, version string) bool {
	series := version
	if p := strings.SplitN(version, ".", 3); len(p) == 3 {
		series = p[0] + "." + p[1]
	}
	return slices.Contains([]string{"mysqld", "server", "mariadb", "mariadbd", "client-server", "mysqld-" + series, "mariadb-" + series, "mariadbd-" + series}, group)
}

// last is the option that counts for a server, nil where there is none.
func (c *conf) last(name, version string) *option {
	for i := len(c.options) - 1; i >= 0; i-- {
		if o := &c.options[i]; o.name == name && forServer(o.group, version) {
			return o
		}
	}
	return nil
}

// value is that of the option that counts, "" where there is none.
func (c *conf) value(name, version string) string {
	if o := c.last(name, version); o != nil {
		return o.value
	}
	return ""
}
