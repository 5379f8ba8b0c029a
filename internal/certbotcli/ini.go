package certbotcli

import (
	"bytes"
	"encoding/json"
	"fmt"
	"regexp"
	"strings"
	"unicode/utf8"
)

// INI is a configuration file in the syntax of ConfigArgParse, which is that of
// cli.ini. It keeps every byte: Bytes gives back what was parsed.
type INI struct {
	Path  string
	Lines []Line
}

// Line is one line of an INI. Key is empty where nothing is set: a blank line, a
// comment, a [section], which means nothing.
type Line struct {
	Raw    string // with the end of the line
	Number int    // from 1
	Key    string
	Value  string   // "true" where the key stands alone
	List   []string // of [a, b]; nil where the value is none
}

// The grammar is the expression of ConfigArgParse's DefaultConfigFileParser. Its
// back reference to the opening quote is three branches here, tried in its order.
// \s is Python's: of Unicode.
var setting = regexp.MustCompile(strings.NewReplacer(
	`\s`, `[\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`,
	`\S`, `[^:=;#\t-\r\x1c-\x20\x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}]`,
).Replace(`^(\S+)\s*(?:([:=]|\s)\s*(?:"(.+?)?"|'(.+?)?'|(.+?)?))?\s*(?:\s[;#]\s*(.*?)\s*)?$`))

// ParseINI reads a file. The error names file and line.
func ParseINI(path string, data []byte) (*INI, error) {
	if !utf8.Valid(data) {
		return nil, fmt.Errorf("%s: not in UTF-8", path)
	}
	ini := &INI{Path: path}
	for len(data) > 0 {
		n := endOfLine(data)
		l := Line{Raw: string(data[:n]), Number: len(ini.Lines) + 1}
		data = data[n:]
		if err := l.parse(); err != nil {
			return nil, fmt.Errorf("%s:%d: %w", path, l.Number, err)
		}
		ini.Lines = append(ini.Lines, l)
	}
	return ini, nil
}

// endOfLine is where a line ends: behind \n, \r or \r\n, as in Python.
func endOfLine(data []byte) int {
	n := bytes.IndexAny(data, "\r\n")
	switch {
	case n < 0:
		return len(data)
	case data[n] == '\r' && n+1 < len(data) && data[n+1] == '\n':
		return n + 2
	}
	return n + 1
}

func (l *Line) parse() error {
	s := strip(l.Raw)
	if s == "" || strings.ContainsAny(s[:1], "#;[") || strings.HasPrefix(s, "---") {
		return nil
	}
	m := setting.FindStringSubmatchIndex(s)
	if m == nil {
		return fmt.Errorf("expected \"key = value\" or a key alone, found %s", quoteLine(s))
	}
	l.Key = s[m[2]:m[3]]
	switch {
	case m[6] >= 0:
		l.Value = s[m[6]:m[7]]
	case m[8] >= 0:
		l.Value = s[m[8]:m[9]]
	case m[10] >= 0:
		l.Value = s[m[10]:m[11]]
	case m[4] >= 0 && s[m[4]:m[5]] != " ":
		l.Value = "" // "key =" is empty, not true
	default:
		l.Value = "true"
	}
	if strings.HasPrefix(l.Value, "[") && strings.HasSuffix(l.Value, "]") && len(l.Value) > 1 {
		l.List = listOf(l.Value)
	}
	return nil
}

// quoteLine shows where a line goes wrong without what may be a secret in it.
func quoteLine(s string) string {
	i := strings.IndexAny(s, ":=;# \t'\"")
	if i < 0 || i > 40 {
		i = min(len(s), 40)
	}
	return repr(strings.ToValidUTF8(s[:max(i, 1)], "") + "...")
}

// listOf reads [a, b]: JSON, or else what is between commas. Elements that are no
// strings are as Python prints them.
func listOf(s string) []string {
	list := []string{}
	var elements []any
	d := json.NewDecoder(strings.NewReader(s))
	d.UseNumber()
	if d.Decode(&elements) == nil && d.InputOffset() == int64(len(s)) {
		for _, e := range elements {
			list = append(list, pyString(e))
		}
		return list
	}
	for e := range strings.SplitSeq(s[1:len(s)-1], ",") {
		list = append(list, strip(e))
	}
	return list
}

func pyString(v any) string {
	switch x := v.(type) {
	case string:
		return x
	case nil:
		return "None"
	case bool:
		if x {
			return "True"
		}
		return "False"
	}
	return fmt.Sprint(v)
}

// Bytes is the file as it was parsed.
func (ini *INI) Bytes() []byte {
	var b bytes.Buffer
	for _, l := range ini.Lines {
		b.WriteString(l.Raw)
	}
	return b.Bytes()
}
