package conf

import "strings"

// Quote returns a word that httpd reads as value: value itself where that is possible,
// else value in double quotes. A ${NAME} cannot be escaped in httpd's language. Value
// has no line ends.
func Quote(value string) string {
	if value != "" && !strings.ContainsAny(value, spaces+`"'\`) && value[0] != '#' && value[0] != '<' {
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

// Line writes a directive that is no section, each word quoted where it has to be.
func Line(name string, args ...string) string {
	var b strings.Builder
	b.WriteString(name)
	for _, a := range args {
		b.WriteByte(' ')
		b.WriteString(Quote(a))
	}
	return b.String()
}
