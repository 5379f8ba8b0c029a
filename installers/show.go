package installers

import (
	"bufio"
	"fmt"
	"io"
	"strings"

	"edge/internal/diff"
)

// Show prints what a plan is going to do: notes, diffs, commands, and what is looked at
// afterwards. It reads and writes nothing else.
func Show(w io.Writer, p *Plan, s Server) error {
	b := bufio.NewWriter(w)
	for _, line := range p.Warnings {
		fmt.Fprintf(b, "warning: %s\n", line)
	}
	if p.Empty() {
		fmt.Fprintf(b, "%s: nothing to change\n", s.Name())
	} else {
		p.show(b, s)
	}
	p.showVerified(b)
	return b.Flush()
}

func (p *Plan) show(b *bufio.Writer, s Server) {
	fmt.Fprintf(b, "%s: this is what would be done; nothing is changed.\n", s.Name())
	for _, line := range p.Notes {
		fmt.Fprintf(b, "%s: %s\n", s.Name(), line)
	}
	for _, c := range p.Changes {
		b.WriteString(c.show())
	}
	b.WriteString("commands:\n")
	var all [][]string
	for _, c := range p.Commands {
		all = append(all, c.Do)
	}
	for _, argv := range append(all, commands(s)...) {
		if len(argv) > 0 {
			fmt.Fprintf(b, "  %s\n", strings.Join(argv, " "))
		}
	}
}

// show is a change as a unified diff, or in words.
func (c Change) show() string {
	if c.Secret && (c.Op == Create || c.Op == Rewrite) {
		return fmt.Sprintf("%s: new content, %d bytes, not shown since a key or a password is in it\n", c.Path, len(c.New))
	}
	switch c.Op {
	case Create:
		return diff.Unified("/dev/null", c.Path, "", string(c.New))
	case Delete:
		if c.Target != "" {
			return fmt.Sprintf("delete the link %s -> %s\n", c.Path, c.Target)
		}
		return diff.Unified(c.Path, "/dev/null", string(c.Old), "")
	case Symlink:
		return fmt.Sprintf("new link %s -> %s\n", c.Path, c.Target)
	case Mkdir:
		return fmt.Sprintf("new folder %s\n", c.Path)
	}
	return diff.Unified(c.Path, c.Path, string(c.Old), string(c.New))
}

func (p *Plan) showVerified(b *bufio.Writer) {
	if len(p.Serves)+len(p.Watch)+len(p.Checks) > 0 {
		b.WriteString("verified afterwards:\n")
	}
	for _, e := range p.Serves {
		fmt.Fprintf(b, "  %s shows the certificate\n", e)
	}
	for _, c := range p.Checks {
		fmt.Fprintf(b, "  %s %s\n", c, c.wants())
	}
	for _, e := range p.Watch {
		fmt.Fprintf(b, "  %s shows what it does now\n", e)
	}
}
