package conf

import (
	"sort"
	"strings"
)

// isSpace is apr_isspace in the C locale.
func isSpace(c byte) bool { return c == ' ' || '\t' <= c && c <= '\r' }

const spaces = " \t\n\v\f\r"

// line is what httpd reads as one: physical lines joined by backslashes, without the
// space around it.
type line struct {
	text string
	// begin is where the line begins in the file, start where its text does, next where
	// the next line begins.
	begin, start, next int
	// joints are where text goes on in the file after a backslash; empty where text is
	// a piece of the file.
	joints []joint
	number int // of the last physical line
}

// joint says that the text from a byte on is at another byte of the file.
type joint struct{ text, file int }

// at returns where a byte of the text is in the file.
func (l *line) at(i int) int {
	j := sort.Search(len(l.joints), func(j int) bool { return l.joints[j].text > i })
	if j == 0 {
		return l.start + i
	}
	return l.joints[j-1].file + i - l.joints[j-1].text
}

// span returns where the bytes from i to j are, with the joints between them.
func (l *line) span(i, j int) Span {
	if i == j {
		return Span{l.at(i), l.at(i)}
	}
	return Span{l.at(i), l.at(j-1) + 1}
}

// readLine reads the line that begins at pos, as ap_cfg_getline does: a backslash
// before a line end joins, whatever is before it. number is that of the line before.
func readLine(src string, pos, number int) line {
	end := strings.IndexByte(src[pos:], '\n')
	if end < 0 {
		return trim(line{text: src[pos:], begin: pos, start: pos, next: len(src), number: number + 1})
	}
	end += pos
	number++
	if _, joined := cutBackslash(src[pos:end]); !joined {
		return trim(line{text: src[pos:end], begin: pos, start: pos, next: end + 1, number: number})
	}
	l := line{begin: pos, start: pos, next: pos, number: number - 1}
	var b strings.Builder
	for joined := true; joined && l.next < len(src); {
		if b.Len() > 0 || l.next > pos {
			l.joints = append(l.joints, joint{b.Len(), l.next})
		}
		rest := src[l.next:]
		size := strings.IndexByte(rest, '\n')
		l.number++
		if size < 0 {
			b.WriteString(rest)
			l.next = len(src)
			break
		}
		var piece string
		piece, joined = cutBackslash(rest[:size])
		b.WriteString(piece)
		l.next += size + 1
	}
	l.text = b.String()
	return trim(l)
}

// cutBackslash takes off the backslash at the end of a physical line.
func cutBackslash(s string) (before string, joined bool) {
	before = strings.TrimSuffix(s, "\r")
	if strings.HasSuffix(before, `\`) {
		return before[:len(before)-1], true
	}
	return s, false
}

func trim(l line) line {
	text := strings.TrimLeft(l.text, spaces)
	cut := len(l.text) - len(text)
	start := l.at(cut)
	var joints []joint
	for _, j := range l.joints {
		if j.text > cut {
			joints = append(joints, joint{j.text - cut, j.file})
		}
	}
	l.text, l.start, l.joints = strings.TrimRight(text, spaces), start, joints
	return l
}

// word is what ap_getword_conf takes off the front of a line.
type word struct {
	start, end int // in the text, quotes included
	value      string
	unclosed   bool // there is no quote at its end
}

// nextWord returns the first word of text from a byte on; ok is false at the end.
func nextWord(text string, from int) (w word, ok bool) {
	for from < len(text) && isSpace(text[from]) {
		from++
	}
	if from == len(text) {
		return word{}, false
	}
	quote := text[from]
	if quote != '"' && quote != '\'' {
		end := from
		for end < len(text) && !isSpace(text[end]) {
			end++
		}
		return word{from, end, unescape(text[from:end], 0), false}, true
	}
	end := from + 1
	for end < len(text) && text[end] != quote {
		if text[end] == '\\' && end+1 < len(text) && (text[end+1] == quote || text[end+1] == '\\') {
			end++
		}
		end++
	}
	value := unescape(text[from+1:end], quote)
	if end == len(text) {
		return word{from, end, value, true}, true
	}
	return word{from, end + 1, value, false}, true
}

// unescape decodes a word: a backslash takes away the meaning of another, and of the
// quote that is around the word.
func unescape(s string, quote byte) string {
	if strings.IndexByte(s, '\\') < 0 {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		if s[i] == '\\' && i+1 < len(s) && (s[i+1] == '\\' || quote != 0 && s[i+1] == quote) {
			i++
		}
		b = append(b, s[i])
	}
	return string(b)
}
