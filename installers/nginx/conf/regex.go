package conf

import (
	"fmt"
	"regexp"
	"strings"
)

// translate makes a Go regular expression of one for PCRE, for host names: ASCII, in
// lower case, without line ends. It lets through what means the same for both and
// refuses the rest (look-around, back references, atomic groups, recursion, verbs; Go
// refuses possessive quantifiers itself): a guess would choose the wrong server block.
func translate(pattern string) (*regexp.Regexp, error) {
	t := translator{in: pattern}
	if err := t.run(); err != nil {
		return nil, err
	}
	out := t.out.String()
	// nginx matches without case once the pattern has a capital letter, \D included.
	if strings.ContainsAny(pattern, "ABCDEFGHIJKLMNOPQRSTUVWXYZ") {
		out = "(?i)" + out
	}
	re, err := regexp.Compile(out)
	if err != nil {
		return nil, fmt.Errorf("only PCRE can evaluate it, or nobody: %w", err)
	}
	return re, nil
}

type translator struct {
	in  string
	pos int
	out strings.Builder
}

func (t *translator) rest() string { return t.in[t.pos:] }

func (t *translator) copy(n int) {
	t.out.WriteString(t.in[t.pos : t.pos+n])
	t.pos += n
}

func (t *translator) run() error {
	for t.pos < len(t.in) {
		c := t.in[t.pos]
		var err error
		switch {
		case c >= 0x80:
			return t.unknown("a byte that is not ASCII", 1)
		case c == '\\':
			err = t.escape(false)
		case c == '[':
			err = t.class()
		case c == '(':
			err = t.group()
		case c == '{':
			err = t.braces()
		default:
			t.copy(1)
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (t *translator) unknown(what string, n int) error {
	return fmt.Errorf("it has %s, %q at byte %d, which only PCRE can evaluate", what, t.in[t.pos:min(t.pos+n, len(t.in))], t.pos+1)
}

var (
	repeat      = regexp.MustCompile(`^\{[0-9]+(,[0-9]*)?\}`)
	maybeRepeat = regexp.MustCompile(`^\{[0-9 ]*,?[0-9 ]*\}`)
	flags       = regexp.MustCompile(`^\(\?[ims]*(-[ims]+)?[:)]`)
	named       = regexp.MustCompile(`^\(\?(?:P?<([A-Za-z_][A-Za-z0-9_]*)>|'([A-Za-z_][A-Za-z0-9_]*)')`)
	hexByte     = regexp.MustCompile(`^\\x[0-7][0-9A-Fa-f]`)
	posixClass  = regexp.MustCompile(`^\[:\^?(?:alpha|digit|alnum|upper|lower|space|blank|punct|xdigit|word|ascii|cntrl|graph|print):\]`)
)

func (t *translator) braces() error {
	if m := repeat.FindString(t.rest()); m != "" {
		t.copy(len(m))
		return nil
	}
	if m := maybeRepeat.FindString(t.rest()); m != "" && m != "{}" {
		return t.unknown("braces that versions of PCRE understand differently", len(m))
	}
	t.out.WriteByte('\\')
	t.copy(1)
	return nil
}

func (t *translator) group() error {
	rest := t.rest()
	if !strings.HasPrefix(rest, "(?") {
		if strings.HasPrefix(rest, "(*") {
			return t.unknown("a verb", 2)
		}
		t.copy(1)
		return nil
	}
	if m := named.FindStringSubmatch(rest); m != nil {
		if strings.Contains(t.out.String(), "(?P<"+m[1]+m[2]+">") {
			return t.unknown("a second group of the same name", len(m[0]))
		}
		t.out.WriteString("(?P<" + m[1] + m[2] + ">")
		t.pos += len(m[0])
		return nil
	}
	if m := flags.FindString(rest); m != "" && m != "(?)" {
		t.copy(len(m))
		return nil
	}
	return t.unknown("a kind of group", 4)
}

// escape copies a backslash with what it escapes; in a class fewer of them exist.
func (t *translator) escape(inClass bool) error {
	rest := t.rest()
	if len(rest) < 2 {
		return t.unknown("a backslash at the end", 1)
	}
	c := rest[1]
	switch {
	case c >= 0x80:
		return t.unknown("a byte that is not ASCII", 2)
	case !isAlnum(c):
		t.copy(2) // itself
	case strings.IndexByte("dDwWsS", c) >= 0:
		t.copy(2)
	case !inClass && strings.IndexByte("bBAz", c) >= 0:
		t.copy(2)
	case !inClass && c == 'Z':
		t.out.WriteString(`\z`) // no line end can be there
		t.pos += 2
	case hexByte.MatchString(rest):
		t.copy(4)
	default:
		return t.unknown("an escape", 2)
	}
	return nil
}

func isAlnum(c byte) bool {
	return '0' <= c && c <= '9' || 'a' <= c && c <= 'z' || 'A' <= c && c <= 'Z'
}

// class copies [...].
func (t *translator) class() error {
	t.copy(1)
	if strings.HasPrefix(t.rest(), "^") {
		t.copy(1)
	}
	for first := true; t.pos < len(t.in); first = false {
		rest := t.rest()
		var err error
		switch m := posixClass.FindString(rest); {
		case rest[0] == ']' && !first:
			t.copy(1)
			return nil
		case m != "":
			t.copy(len(m))
		case rest[0] == '[':
			if len(rest) > 1 && strings.IndexByte(":.=", rest[1]) >= 0 {
				return t.unknown("a named class", 2)
			}
			t.out.WriteByte('\\')
			t.copy(1)
		case rest[0] == ']':
			t.out.WriteByte('\\')
			t.copy(1)
		case rest[0] == '\\':
			err = t.escape(true)
		case rest[0] >= 0x80:
			err = t.unknown("a byte that is not ASCII", 1)
		default:
			t.copy(1)
		}
		if err != nil {
			return err
		}
	}
	return t.unknown("a class without an end", 1)
}
