package conf

import "strings"

// isLua says whether the block of a directive is Lua. lua-nginx-module and its
// stream twin name all of theirs alike.
func isLua(name string) bool { return strings.HasSuffix(name, "_by_lua_block") }

// luaEnd returns where the } is that ends the block whose Lua begins at pos. It looks
// for what the lexer of lua-nginx-module looks for: braces, strings of one line, long
// brackets and comments. Lua that this lexer misreads (a string continued over a line
// by a backslash) is misread alike, since nginx is what has to accept the file.
func luaEnd(src string, pos int) (int, error) {
	begin, level := pos, 1
	for pos < len(src) {
		switch c := src[pos]; c {
		case '{':
			level++
		case '}':
			if level--; level == 0 {
				return pos, nil
			}
		case '"', '\'':
			pos += luaString(src[pos:])
			continue
		case '-':
			if !strings.HasPrefix(src[pos:], "--") {
				break
			}
			if n := longBracket(src[pos+2:]); n > 0 {
				pos += 2
				end := luaLong(src[pos:], n)
				if end < 0 {
					return 0, failf(pos, "the Lua comment has no closing long bracket")
				}
				pos += end
				continue
			}
			if n := strings.IndexByte(src[pos:], '\n'); n >= 0 {
				pos += n
				continue
			}
			pos = len(src)
			continue
		case '[':
			n := longBracket(src[pos:])
			if n == 0 {
				break
			}
			end := luaLong(src[pos:], n)
			if end < 0 {
				return 0, failf(pos, "the Lua string has no closing long bracket")
			}
			pos += end
			continue
		}
		pos++
	}
	return 0, failf(len(src), "unexpected end of file: the block of Lua that begins at %s has no closing }", lineCol(src, begin-1))
}

// luaString returns the length of the string literal at the beginning of s, or 1 where
// the quote begins none, as far as nginx's buffer reaches.
func luaString(s string) int {
	s = s[:min(len(s), tokenLimit)]
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case s[0]:
			return i + 1
		case '\n':
			return 1
		case '\\':
			if i++; i < len(s) && s[i] == '\n' {
				return 1
			}
		}
	}
	return 1
}

// longBracket returns the length of the opening long bracket, [[ or [=[ or longer, at
// the beginning of s, or 0.
func longBracket(s string) int {
	if s == "" || s[0] != '[' {
		return 0
	}
	for i := 1; i < len(s); i++ {
		switch s[i] {
		case '=':
		case '[':
			return i + 1
		default:
			return 0
		}
	}
	return 0
}

// luaLong returns the length of the long string at the beginning of s, whose opening
// bracket has n bytes, or -1.
func luaLong(s string, n int) int {
	closing := "]" + s[1:n-1] + "]"
	i := strings.Index(s[n:], closing)
	if i < 0 {
		return -1
	}
	return n + i + n
}
