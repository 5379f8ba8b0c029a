package conf

import "strings"

// Quote returns a word that nginx reads as value: value itself where that is possible,
// else value in double quotes. A $ cannot be escaped in nginx's language; directives
// that know variables see one there.
func Quote(value string) string {
	if value != "" && !strings.ContainsAny(value, " \t\r\n;{}\"'\\#$") {
		return value
	}
	var b strings.Builder
	b.WriteByte('"')
	for i := 0; i < len(value); i++ {
		if value[i] == '"' || value[i] == '\\' {
			b.WriteByte('\\')
		}
		b.WriteByte(value[i])
	}
	b.WriteByte('"')
	return b.String()
}

// Line writes a directive without a block, each word quoted where it has to be.
func Line(name string, args ...string) string {
	var b strings.Builder
	b.WriteString(Quote(name))
	for _, a := range args {
		b.WriteByte(' ')
		b.WriteString(Quote(a))
	}
	b.WriteByte(';')
	return b.String()
}
