package conf

import (
	"fmt"
	"strings"
)

// tokenLimit is the size of nginx's buffer in bytes (NGX_CONF_BUFFER). A word or a
// comment that does not fit is an error for nginx, so it is one here.
const tokenLimit = 4096

// ending is what a run of words ends with.
type ending byte

const (
	endFile      ending = 0
	endDirective ending = ';'
	beginBlock   ending = '{'
	endBlock     ending = '}'
	goOn         ending = 1 // the run has not ended yet
)

// lexer splits a file into words the way ngx_conf_read_token does; in the comments
// are the names that its states have there, so that the two can be compared.
type lexer struct {
	src   string
	pos   int
	total int // words of the whole file

	words          []Word
	leading, inner []*Comment // before the first word, after it

	start    int  // where the word, comment or space began
	between  bool // last_space: a word may begin here
	closed   bool // need_space: a quoted word has just ended
	comment  bool // sharp_comment
	variable bool // the last byte was $: a { does not end the word
	skip     bool // quoted: the last byte was a backslash
	quote    byte // d_quoted, s_quoted
}

// syntaxError is an error at a byte of the file; Parse turns it into an Error.
type syntaxError struct {
	at  int
	msg string
}

func (e *syntaxError) Error() string { return e.msg }

func failf(at int, format string, args ...any) error {
	return &syntaxError{at, fmt.Sprintf(format, args...)}
}

func isSpace(c byte) bool { return c == ' ' || c == '\t' || c == '\r' || c == '\n' }

// next reads one run of words with its end. The words are empty for endBlock and
// endFile. The byte that ended the run is the one before l.pos.
func (l *lexer) next() (ending, error) {
	*l = lexer{src: l.src, pos: l.pos, total: l.total, start: l.pos, between: true}
	for {
		if l.pos == len(l.src) {
			return endFile, l.atEnd()
		}
		if l.pos-l.start == tokenLimit {
			return 0, failf(l.start, "nginx reads no word and no comment of more than %d bytes%s", tokenLimit-1, l.probably())
		}
		ch := l.src[l.pos]
		l.pos++
		if l.comment {
			if ch != '\n' {
				continue
			}
			l.endComment(l.pos - 1)
		}
		if l.skip {
			l.skip = false
			continue
		}
		end, err := l.step(ch)
		if err != nil || end != goOn {
			return end, err
		}
	}
}

func (l *lexer) step(ch byte) (ending, error) {
	if l.closed {
		switch {
		case isSpace(ch):
			l.between, l.closed = true, false
			return goOn, nil
		case ch == ';' || ch == '{':
			return ending(ch), nil
		case ch == ')': // begins a word of its own, as in if ("$x")
			l.between, l.closed = true, false
		default:
			return 0, failf(l.pos-1, "unexpected %q after a quoted word", ch)
		}
	}
	if l.between {
		return l.begin(ch)
	}
	return l.inside(ch)
}

// begin looks at a byte that may be the first of a word.
func (l *lexer) begin(ch byte) (ending, error) {
	l.start = l.pos - 1
	switch ch {
	case ' ', '\t', '\r', '\n':
		return goOn, nil
	case ';', '{':
		if len(l.words) == 0 {
			return 0, failf(l.start, "unexpected %q", ch)
		}
		return ending(ch), nil
	case '}':
		if len(l.words) != 0 {
			return 0, failf(l.start, "unexpected '}': the directive before it has no ';'")
		}
		return endBlock, nil
	case '#':
		l.comment = true
		return goOn, nil
	case '\\':
		l.skip = true
	case '"', '\'':
		l.start++
		l.quote = ch
	case '$':
		l.variable = true
	}
	l.between = false
	return goOn, nil
}

// inside looks at a byte after the first of a word.
func (l *lexer) inside(ch byte) (ending, error) {
	if ch == '{' && l.variable {
		return goOn, nil
	}
	l.variable = false
	switch {
	case ch == '\\':
		l.skip = true
	case ch == '$':
		l.variable = true
	case l.quote != 0:
		if ch != l.quote {
			break
		}
		l.quote, l.closed = 0, true
		return goOn, l.word(Span{l.start - 1, l.pos}, l.src[l.start:l.pos-1])
	case isSpace(ch) || ch == ';' || ch == '{':
		l.between = true
		if err := l.word(Span{l.start, l.pos - 1}, l.src[l.start:l.pos-1]); err != nil {
			return 0, err
		}
		if ch == ';' || ch == '{' {
			return ending(ch), nil
		}
	}
	return goOn, nil
}

func (l *lexer) word(s Span, text string) error {
	if l.total++; l.total > maxWords {
		return failf(s.Start, "the file has more than %d words", maxWords)
	}
	l.words = append(l.words, Word{s, unescape(text)})
	return nil
}

// endComment notes the comment that ends at a line end or with the file. The line
// end is not part of it.
func (l *lexer) endComment(end int) {
	l.comment = false
	if end > l.start && end < len(l.src) && l.src[end-1] == '\r' {
		end--
	}
	c := &Comment{Span{l.start, end}}
	if len(l.words) == 0 {
		l.leading = append(l.leading, c)
	} else {
		l.inner = append(l.inner, c)
	}
}

// atEnd says whether the file may end here.
func (l *lexer) atEnd() error {
	if l.comment {
		l.endComment(l.pos)
	}
	if l.quote != 0 {
		return failf(l.pos, "unexpected end of file: the quoted word that begins at %s has no closing %c", lineCol(l.src, l.start-1), l.quote)
	}
	if len(l.words) == 0 && l.between {
		return nil
	}
	begin := l.start
	if len(l.words) > 0 {
		begin = l.words[0].Start
	}
	return failf(l.pos, "unexpected end of file: the directive that begins at %s has no ';'", lineCol(l.src, begin))
}

func (l *lexer) probably() string {
	if l.quote == 0 {
		return ""
	}
	return fmt.Sprintf("; probably a %c is missing", l.quote)
}

// unescape decodes the text between the quotes of a word, or a bare word. nginx knows
// six escapes and leaves every other backslash in place.
func unescape(s string) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) {
			if j := strings.IndexByte(escapes, s[i+1]); j >= 0 {
				b = append(b, unescaped[j])
				i++
				continue
			}
		}
		b = append(b, s[i])
	}
	return string(b)
}

const (
	escapes   = `"'\trn`
	unescaped = "\"'\\\t\r\n"
)
