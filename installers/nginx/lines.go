package nginx

import (
	"fmt"
	"strings"

	"edge/installers/nginx/conf"
)

// certbotError is an error in certbot's words, which scripts may look for.
func certbotError(format string, args ...any) error { return fmt.Errorf(format, args...) }

// managed is what certbot writes behind its directives, and looks for.
const managed = " # managed by Certbot"

// lines are directives to insert, as Edits wants them.
type lines []string

func (l *lines) add(name string, args ...string) {
	*l = append(*l, conf.Line(name, args...)+managed)
}

func (l lines) String() string { return strings.Join(l, "\n") }

// render writes a directive without its comments and without the words that keep
// refuses, the others as they are.
func render(d *conf.Directive, keep func(word string) bool) string {
	var out []string
	for _, w := range d.Words {
		if keep == nil || keep(w.Value) {
			out = append(out, d.File.Text(w.Span))
		}
	}
	return strings.Join(out, " ") + ";"
}

// removeWithNote removes a directive, and certbot's comment behind it.
func removeWithNote(e *conf.Edits, d *conf.Directive) {
	if c := d.Trailing(); c != nil && d.File.Text(c.Span) == strings.TrimSpace(managed) {
		e.RemoveLine(d)
		return
	}
	e.Remove(d)
}

// setValue has a directive of one argument say something else, with certbot's comment.
func setValue(e *conf.Edits, d *conf.Directive, value string) {
	switch {
	case len(d.Args()) == 1 && d.Args()[0].Value == value:
	case d.Trailing() == nil:
		e.Replace(d, conf.Line(d.Name(), value)+managed)
	default:
		e.Replace(d, conf.Line(d.Name(), value))
	}
}

// own returns the directives of a name that stand in the block of a server itself.
func own(s *conf.Server, name string) []*conf.Directive {
	var out []*conf.Directive
	for d := range s.Directive.Block.Directives() {
		if d.Name() == name {
			out = append(out, d)
		}
	}
	return out
}
