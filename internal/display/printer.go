package display

import (
	"io"
	"log/slog"
	"os"
)

// printer is the half of a display that tells.
type printer struct {
	out io.Writer
	tty bool // out is a terminal
	log *slog.Logger
}

func newPrinter(out io.Writer, log *slog.Logger) printer {
	if log == nil {
		log = slog.New(slog.DiscardHandler)
	}
	f, _ := out.(*os.File)
	return printer{out: out, tty: IsTerminal(f), log: log}
}

// Notify prints a text.
func (p *printer) Notify(text string, frame bool) {
	text = Clean(text)
	if frame {
		text = wrapLines(text)
	}
	p.notify(text, frame)
}

// Listing prints a text in a frame and does not wrap it.
func (p *printer) Listing(text string) { p.notify(Clean(text), true) }

// Heading prints a line in bold on a terminal, unless NO_COLOR is set.
func (p *printer) Heading(text string) {
	p.log.Debug("Notifying user: " + text)
	text = Clean(text) + "\n"
	switch {
	case p.tty && os.Getenv("NO_COLOR") == "":
		text = "\x1b[1m\n" + text + "\x1b[0m"
	case p.tty:
		text = "\n" + text
	}
	_ = p.print(text)
}

func (p *printer) notify(text string, frame bool) {
	p.log.Debug("Notifying user: " + text)
	if frame {
		text = framed(text)
	} else {
		text += "\n"
	}
	_ = p.print(text) // a standard output that is gone must not keep the work from being done
}

func (p *printer) print(s string) error {
	_, err := io.WriteString(p.out, s)
	return err
}
