package configobj

import (
	"regexp"
	"strings"
)

// What Python takes for white space, in expressions and when it strips.
const (
	spaceChars = "\t\n\v\f\r\x1c\x1d\x1e\x1f \u0085\u00a0\u1680\u2000\u2001\u2002\u2003\u2004\u2005\u2006\u2007\u2008\u2009\u200a\u2028\u2029\u202f\u205f\u3000"
	spaceClass = `\t-\r\x1c- \x{85}\x{a0}\x{1680}\x{2000}-\x{200a}\x{2028}\x{2029}\x{202f}\x{205f}\x{3000}`
	space      = `[` + spaceClass + `]`
	comment    = space + `*(#.*)?$`
	quoted     = `".*?"|'.*?'`
)

// The expressions are those of ConfigObj 5 with the same groups. Go's find what a
// backtracking matcher would find first, but in linear time.
var (
	// key = value
	keyLine = regexp.MustCompile(`^(` + space + `*)(` + quoted + `|[^'"=].*?)` + space + `*=` + space + `*(.*)$`)
	// [[section]]
	sectionLine = regexp.MustCompile(`^(` + space + `*)((?:\[` + space + `*)+)` +
		`("` + space + `*[^` + spaceClass + `].*?` + space + `*"|'` + space + `*[^` + spaceClass + `].*?` + space + `*'|[^'"` + spaceClass + `].*?)` +
		`((?:` + space + `*\])+)` + comment)
	// items that end in a comma; the last item, or the only value; a single comma
	valueText = regexp.MustCompile(`^(?:((?:(?:` + quoted + `|[^'",#][^,#]*?)` + space + `*,` + space + `*)*)` +
		`(` + quoted + `|[^'",#` + spaceClass + `][^,]*?|)?|(,))` + comment)
	listItem = regexp.MustCompile(`(` + quoted + `|[^'",#]?.*?)` + space + `*,` + space + `*`)
	// The rest of a line behind the quotes that open a value, or in a later line.
	tripleSingle = regexp.MustCompile(`^(.*?)'''` + comment)
	tripleDouble = regexp.MustCompile(`^(.*?)"""` + comment)
	// A reference to another key.
	reference = regexp.MustCompile(`%\(([^)]*)\)s`)
)

func trimSpace(s string) string { return strings.Trim(s, spaceChars) }

// unquote takes one pair of quotes off. ConfigObj does not look at what is between.
func unquote(s string) string {
	if s == "" || s[0] != s[len(s)-1] || s[0] != '"' && s[0] != '\'' {
		return s
	}
	if len(s) == 1 {
		return ""
	}
	return s[1 : len(s)-1]
}

// parseValue reads what stands behind "=" in one line: not a value in triple quotes.
func parseValue(text string) (v Value, remark string, ok bool) {
	if text != "" && !strings.ContainsAny(text, `'",#`+spaceChars) {
		return String(text), "", true // nearly all are like that, and a tree has thousands
	}
	m := valueText.FindStringSubmatchIndex(text)
	if m == nil {
		return v, "", false
	}
	remark = group(text, m, 4)
	if m[6] >= 0 {
		return List(), remark, true
	}
	items, last := group(text, m, 1), group(text, m, 2)
	if items == "" {
		return String(unquote(last)), remark, true
	}
	v.List = true
	for _, item := range listItem.FindAllStringSubmatch(items, -1) {
		if item[1] == "" {
			return v, "", false
		}
		v.Items = append(v.Items, unquote(item[1]))
	}
	if last != "" {
		v.Items = append(v.Items, unquote(last))
	}
	return v, remark, true
}

func group(text string, m []int, n int) string {
	if m[2*n] < 0 {
		return ""
	}
	return text[m[2*n]:m[2*n+1]]
}
