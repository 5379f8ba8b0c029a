package redis

import (
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers/directive"
)

// conf is a configuration with all that it includes.
type conf struct{ *directive.Set }

// load reads a configuration file and those that it includes.
func load(path string) (*conf, error) {
	set, err := directive.Reader{Parse: parse, Include: include}.Load(path)
	return &conf{set}, err
}

// include reads the files of an include, which may be a pattern since Redis 7.
func include(l directive.Line, _ string, more func(path string) error) (bool, error) {
	words, err := split(l.Value)
	switch {
	case !strings.EqualFold(l.Name, "include"):
		return false, nil
	case err != nil || len(words) != 1:
		return false, errors.New("one path is to be included")
	case !filepath.IsAbs(words[0]):
		return true, errors.New("the path is not absolute, so that it depends on where Redis was started; write it out")
	case !strings.ContainsAny(words[0], "*?["):
		return true, more(words[0])
	}
	paths, err := filepath.Glob(words[0])
	if err != nil {
		return true, err
	}
	slices.Sort(paths)
	for _, p := range paths {
		if err := more(p); err != nil {
			return true, err
		}
	}
	return true, nil
}

// parse finds the directives of one file.
func parse(raw []byte) ([]directive.Line, error) {
	var out []directive.Line
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
			out = append(out, directive.Line{From: from, To: to, Name: words[0], Value: strings.Join(words[1:], " ")})
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

// secrets reports whether a file has passwords in it: then its lines are not for people to
// see.
func (c *conf) secrets(file int) bool {
	return slices.ContainsFunc(c.Of(file), func(l directive.Line) bool {
		return slices.Contains([]string{"requirepass", "masterauth", "user", "tls-key-file-pass", "tls-client-key-file-pass", "sentinel"}, strings.ToLower(l.Name))
	})
}

// set returns the files that change when directives get a value, by their numbers.
func (c *conf) set(names []string, value string) map[int][]byte {
	var list []directive.Setting
	for _, n := range names {
		list = append(list, directive.Setting{Name: n, Value: value})
	}
	return c.Put(list, func(s directive.Setting) string { return s.Name + " " + quoted(s.Value) })
}

// quoted is a path as a word of the configuration. New refuses those with characters that
// would have to be escaped.
func quoted(s string) string {
	if strings.ContainsAny(s, " \t'#") {
		return `"` + s + `"`
	}
	return s
}
