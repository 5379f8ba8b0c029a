package display

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

// Options are those of both kinds of display. The zero value is ready to use.
type Options struct {
	// ForceInteractive asks where input or output is no terminal, too.
	ForceInteractive bool
	// Timeout is how long a question waits for its answer. Zero: ten hours, as
	// certbot, so that a run that is forgotten ends before the next day's.
	Timeout time.Duration
	// Program is the name in the message about a missing terminal. Empty: Certbot.
	Program string
	// Log, where set, gets what was told and which defaults were taken, at debug
	// level, and the warning that nobody can be asked.
	Log *slog.Logger
}

// Terminal asks a person. It is for one input: two Terminals that read from the
// same file take each other's answers.
type Terminal struct {
	printer
	in      *os.File
	o       Options
	turn    chan struct{} // holds one token, which a question takes
	skipped sync.Once
}

// NewTerminal asks on out and reads answers from in, byte by byte, so that what
// follows an answer is left for others.
func NewTerminal(in *os.File, out io.Writer, o Options) *Terminal {
	if o.Timeout == 0 {
		o.Timeout = 10 * time.Hour
	}
	if o.Program == "" {
		o.Program = "Certbot"
	}
	return &Terminal{printer: newPrinter(out, o.Log), in: in, o: o, turn: make(chan struct{}, 1)}
}

// Pause prints a text in a frame and waits for Enter, where there is a terminal.
func (t *Terminal) Pause(ctx context.Context, text string) error {
	t.Notify(text, true)
	if !t.canAsk(false) {
		t.log.Debug("Not pausing for user confirmation")
		return nil
	}
	return t.question(ctx, "", "", func(ask asker) error {
		_, err := ask("Press Enter to Continue")
		return err
	})
}

// Input asks for a line.
func (t *Terminal) Input(ctx context.Context, message string, o InputOptions) (answer string, err error) {
	if o.Default != "" && !t.canAsk(o.Always) {
		t.fallBack(o.Default, message)
		return o.Default, nil
	}
	err = t.question(ctx, "", o.Flag, func(ask asker) error {
		answer, err = t.input(ask, message)
		return err
	})
	return answer, err
}

func (t *Terminal) input(ask asker, message string) (string, error) {
	answer, err := ask(wrapLines(Clean(message)+" (Enter 'c' to cancel):") + " ")
	if err == nil && (answer == "c" || answer == "C") {
		err = ErrCancelled
	}
	return answer, err
}

// YesNo asks until the answer begins with the first letter of a label.
func (t *Terminal) YesNo(ctx context.Context, message, yes, no string, o YesNoOptions) (answer bool, err error) {
	if o.Default != nil && !t.canAsk(o.Always) {
		t.fallBack(*o.Default, message)
		return *o.Default, nil
	}
	text := framed(wrapLines(Clean(message)))
	prompt := parens(yes) + "/" + parens(no) + ": "
	err = t.question(ctx, text, o.Flag, func(ask asker) error {
		for {
			line, err := ask(prompt)
			if err != nil {
				return err
			}
			if answer = startsAs(line, yes); answer || startsAs(line, no) {
				return nil
			}
		}
	})
	return answer, err
}

// parens puts the first letter of a label in parentheses: (Y)es.
func parens(label string) string {
	_, n := utf8.DecodeRuneInString(label)
	return "(" + label[:n] + ")" + label[n:]
}

func startsAs(line, label string) bool {
	_, n := utf8.DecodeRuneInString(label)
	return strings.HasPrefix(line, strings.ToLower(label[:n])) || strings.HasPrefix(line, strings.ToUpper(label[:n]))
}

// Menu asks until the answer is one of the numbers.
func (t *Terminal) Menu(ctx context.Context, message string, choices []Choice, o MenuOptions) (index int, err error) {
	if o.Default != nil && !t.canAsk(o.Always) {
		t.fallBack(*o.Default, message)
		return *o.Default, nil
	}
	if len(choices) == 0 {
		return 0, fmt.Errorf("menu %q: there is nothing to choose from", message)
	}
	prompt := "Press 1 [enter] to confirm the selection (press 'c' to cancel): "
	if len(choices) > 1 {
		prompt = fmt.Sprintf("Select the appropriate number [1-%d] then [enter] (press 'c' to cancel): ", len(choices))
	}
	lines := make([]string, len(choices))
	for i, c := range choices {
		lines[i] = c.String()
	}
	err = t.question(ctx, list(message, lines), o.Flag, func(ask asker) error {
		for {
			line, err := ask(prompt)
			switch {
			case err != nil:
				return err
			case strings.HasPrefix(line, "c") || strings.HasPrefix(line, "C"):
				return ErrCancelled
			}
			if n, err := strconv.Atoi(strings.TrimSpace(line)); err == nil && n >= 1 && n <= len(choices) {
				index = n - 1
				return nil
			}
			if err := t.print("\n** Invalid input **\n"); err != nil {
				return err
			}
		}
	})
	return index, err
}

// Checklist asks until every number of the answer is one of the list's.
func (t *Terminal) Checklist(ctx context.Context, message string, tags []string, o ChecklistOptions) (selected []string, err error) {
	if o.Default != nil && !t.canAsk(o.Always) {
		t.fallBack(o.Default, message)
		return o.Default, nil
	}
	if len(tags) == 0 {
		return nil, fmt.Errorf("checklist %q: there is nothing to choose from", message)
	}
	err = t.question(ctx, "", o.Flag, func(ask asker) error {
		for {
			if err := t.print(list(message, tags)); err != nil {
				return err
			}
			line, err := t.input(ask, "Select the appropriate numbers separated by commas and/or spaces, or leave input blank to select all options shown")
			if err != nil {
				return err
			}
			if selected = pick(line, tags); len(selected) > 0 {
				return nil
			}
			if err := t.print("** Error - Invalid selection **\n"); err != nil {
				return err
			}
		}
	})
	return selected, err
}

// pick returns the tags of the numbers in a line, or nil where one is wrong.
func pick(line string, tags []string) []string {
	if strings.TrimSpace(line) == "" {
		return slices.Clone(tags)
	}
	chosen := make([]bool, len(tags))
	for _, field := range splitList(line) {
		n, err := strconv.Atoi(field)
		if err != nil || n < 1 || n > len(tags) {
			return nil
		}
		chosen[n-1] = true
	}
	var out []string
	for i, tag := range tags {
		if chosen[i] {
			out = append(out, tag)
		}
	}
	return out
}

// splitList cuts a line at its commas and blanks.
func splitList(line string) []string {
	return strings.Fields(strings.ReplaceAll(line, ",", " "))
}

// list is a message with numbered lines below it.
func list(message string, lines []string) string {
	var b strings.Builder
	fmt.Fprintf(&b, "\n%s\n%s\n", Clean(message), SideFrame)
	for i, l := range lines {
		fmt.Fprintf(&b, "%s\n", wrapLines(fmt.Sprintf("%d: %s", i+1, CleanLine(l))))
	}
	b.WriteString(SideFrame + "\n")
	return b.String()
}

func (t *Terminal) fallBack(answer any, message string) {
	t.log.Debug(fmt.Sprintf("Falling back to default %v for the prompt:\n%s", answer, message))
}

// canAsk is certbot's rule for who can be asked. It warns once.
func (t *Terminal) canAsk(always bool) bool {
	if t.o.ForceInteractive || always || IsTerminal(t.in) && t.tty {
		return true
	}
	t.skipped.Do(func() {
		t.log.Warn("Skipped user interaction because " + t.o.Program + " doesn't appear to be running in a terminal. " +
			"You should probably include --non-interactive or --force-interactive on the command line.")
	})
	return false
}

// IsTerminal says whether a file is a terminal. Nil is none.
func IsTerminal(f *os.File) (is bool) {
	if f == nil {
		return false
	}
	c, err := f.SyscallConn()
	if err != nil {
		return false
	}
	err = c.Control(func(fd uintptr) {
		_, terr := unix.IoctlGetTermios(int(fd), unix.TCGETS)
		is = terr == nil
	})
	return is && err == nil
}
