package redis

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers/pemfile"
)

// line is a directive of a configuration file.
type line struct {
	file     int // its number in conf.files
	from, to int // of the whole line in the file, without its end
	words    []string
}

// conf is a configuration with all that it includes, in the order in which Redis reads it.
type conf struct {
	paths []string // of files, the main one first; links resolved
	files [][]byte
	lines []line
}

const (
	maxIncludes = 100
	maxDepth    = 10
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
	lines, err := parse(raw)
	if err != nil {
		return fmt.Errorf("%s: %w", real, err)
	}
	for _, l := range lines {
		l.file = n
		if !strings.EqualFold(l.words[0], "include") || len(l.words) != 2 {
			c.lines = append(c.lines, l)
			continue
		}
		if err := c.include(l.words[1], depth); err != nil {
			return fmt.Errorf("%s: include %q: %w", real, l.words[1], err)
		}
	}
	return nil
}

// include reads the files of an include, which may be a pattern since Redis 7.
func (c *conf) include(pattern string, depth int) error {
	if !filepath.IsAbs(pattern) {
		return errors.New("the path is not absolute, so that it depends on where Redis was started; write it out")
	}
	if !strings.ContainsAny(pattern, "*?[") {
		return c.read(pattern, depth+1)
	}
	paths, err := filepath.Glob(pattern)
	if err != nil {
		return err
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := c.read(p, depth+1); err != nil {
			return err
		}
	}
	return nil
}

// parse finds the directives of one file.
func parse(raw []byte) ([]line, error) {
	var out []line
	at := 0
	for number, text := range strings.SplitAfter(string(raw), "\n") {
		from := at
		at += len(text)
		text = strings.TrimRight(text, "\r\n")
		to := from + len(text)
		trimmed := strings.Trim(text, " \t")
		if trimmed == "" || trimmed[0] == '#' {
			continue
		}
		words, err := split(trimmed)
		if err != nil {
			return nil, fmt.Errorf("line %d: %w", number+1, err)
		}
		if len(words) > 0 {
			out = append(out, line{from: from, to: to, words: words})
		}
	}
	return out, nil
}

// split is Redis's sdssplitargs: words, those in double quotes with escapes, those in
// single ones without but for \'.
func split(s string) ([]string, error) {
	var words []string
	for {
		s = strings.TrimLeft(s, " \t\r\n\v\f")
		if s == "" {
			return words, nil
		}
		word, rest, err := next(s)
		if err != nil {
			return nil, err
		}
		words, s = append(words, word), rest
	}
}

func next(s string) (word, rest string, err error) {
	var b strings.Builder
	quote := byte(0)
	for i := 0; i < len(s); i++ {
		c := s[i]
		switch {
		case quote == 0 && strings.IndexByte(" \t\r\n\v\f", c) >= 0:
			return b.String(), s[i:], nil
		case quote == 0 && (c == '"' || c == '\''):
			quote = c
		case quote == 0:
			b.WriteByte(c)
		case c == quote:
			if i+1 < len(s) && strings.IndexByte(" \t\r\n\v\f", s[i+1]) < 0 {
				return "", "", errors.New("something follows a closing quote")
			}
			quote = 0
		case c == '\\' && i+1 < len(s) && (quote == '"' || s[i+1] == '\''):
			var n int
			c, n = escape(s[i+1:], quote)
			b.WriteByte(c)
			i += n
		default:
			b.WriteByte(c)
		}
	}
	if quote != 0 {
		return "", "", errors.New("a quote is not closed")
	}
	return b.String(), "", nil
}

// escape is what follows a backslash, and how much of it there is.
func escape(s string, quote byte) (c byte, n int) {
	if quote == '\'' {
		return s[0], 1
	}
	if s[0] == 'x' && len(s) >= 3 {
		hi, lo := hex(s[1]), hex(s[2])
		if hi >= 0 && lo >= 0 {
			return byte(hi<<4 | lo), 3
		}
	}
	if i := strings.IndexByte("nrtba", s[0]); i >= 0 {
		return "\n\r\t\b\a"[i], 1
	}
	return s[0], 1
}

func hex(c byte) int { return strings.IndexByte("0123456789abcdef", c|0x20) }

// last is the directive of that name that counts: the last one. Nil where there is none.
func (c *conf) last(name string) *line {
	for i := len(c.lines) - 1; i >= 0; i-- {
		if strings.EqualFold(c.lines[i].words[0], name) {
			return &c.lines[i]
		}
	}
	return nil
}

// value is that of the directive that counts, "" where there is none.
func (c *conf) value(name string) string {
	if l := c.last(name); l != nil && len(l.words) == 2 {
		return l.words[1]
	}
	return ""
}

// secrets reports whether a file has passwords in it: then its lines are not for people to
// see.
func (c *conf) secrets(file int) bool {
	return slices.ContainsFunc(c.lines, func(l line) bool {
		return l.file == file && slices.Contains([]string{"requirepass", "masterauth", "user", "tls-key-file-pass", "tls-client-key-file-pass", "sentinel"}, strings.ToLower(l.words[0]))
	})
}

// set returns the files that change when directives get values, by their numbers. A
// directive that is not there is written at the end of the first file.
func (c *conf) set(names []string, value string) map[int][]byte {
	out := map[int][]byte{}
	type edit struct {
		line
		text string
	}
	var edits []edit
	missing := ""
	for _, name := range names {
		text := name + " " + quoted(value)
		switch l := c.last(name); {
		case l == nil:
			missing += text + "\n"
		case len(l.words) != 2 || l.words[1] != value:
			edits = append(edits, edit{*l, text})
		}
	}
	slices.SortFunc(edits, func(a, b edit) int { return b.from - a.from }) // from the end, so that places stay right
	for _, e := range edits {
		raw := out[e.file]
		if raw == nil {
			raw = slices.Clone(c.files[e.file])
		}
		out[e.file] = slices.Concat(raw[:e.from], []byte(e.text), raw[e.to:])
	}
	if missing != "" {
		raw := out[0]
		if raw == nil {
			raw = slices.Clone(c.files[0])
		}
		if len(raw) > 0 && raw[len(raw)-1] != '\n' {
			raw = append(raw, '\n')
		}
		out[0] = append(raw, missing...)
	}
	return out
}

// quoted is a path as a word of the configuration. New refuses those with characters that
// would have to be escaped.
func quoted(s string) string {
	if strings.ContainsAny(s, " \t'#") {
		return `"` + s + `"`
	}
	return s
}
