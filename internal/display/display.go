package display

import (
	"context"
	"errors"
)

// Display asks and tells. Questions of several goroutines wait for each other.
// Every question may fail with ErrCancelled, a *MissingError, an *EOFError, the
// cause of ctx, or the error of the terminal.
type Display interface {
	// Notify prints a text. With a frame it stands between two dashed lines and
	// its lines are wrapped, as of certbot's display.notification; without, it is
	// printed as it is.
	Notify(text string, frame bool)
	// Listing prints a text in a frame and does not wrap it.
	Listing(text string)
	// Heading prints a line in bold where that can be seen.
	Heading(text string)
	// Pause prints a text in a frame and waits for Enter. Where there is nobody to
	// wait for, it does not wait.
	Pause(ctx context.Context, text string) error
	// Input asks for a line. "c" cancels.
	Input(ctx context.Context, message string, o InputOptions) (string, error)
	// YesNo asks for the first letter of one of two labels, which must differ in it.
	YesNo(ctx context.Context, message, yes, no string, o YesNoOptions) (bool, error)
	// Menu asks for one of several choices and returns its index, from 0.
	Menu(ctx context.Context, message string, choices []Choice, o MenuOptions) (int, error)
	// Checklist asks for one or more of several tags and returns them in the order
	// of tags. A blank answer selects all.
	Checklist(ctx context.Context, message string, tags []string, o ChecklistOptions) ([]string, error)
}

// Choice is a line of a menu: "tag - text", or one of the two where the other is
// empty.
type Choice struct{ Tag, Text string }

func (c Choice) String() string {
	if c.Tag == "" || c.Text == "" {
		return c.Tag + c.Text
	}
	return c.Tag + " - " + c.Text
}

// Choices makes choices of plain lines.
func Choices(lines []string) []Choice {
	out := make([]Choice, len(lines))
	for i, l := range lines {
		out[i].Text = l
	}
	return out
}

// InputOptions are the options of Display.Input.
//
// Default, here and below, answers where nobody can be asked: in non-interactive
// mode, and where input or output is no terminal. A question without one is asked
// wherever standard input comes from, so that answers can be piped in. So is one
// with Always (certbot's force_interactive).
type InputOptions struct {
	Default string // "": none
	Always  bool
	Flag    string // the command line flag that would answer
}

// YesNoOptions are the options of Display.YesNo.
type YesNoOptions struct {
	Default *bool
	Always  bool
	Flag    string
}

// MenuOptions are the options of Display.Menu.
type MenuOptions struct {
	Default *int
	Always  bool
	Flag    string
}

// ChecklistOptions are the options of Display.Checklist.
type ChecklistOptions struct {
	Default []string // nil: none
	Always  bool
	Flag    string
}

// ErrCancelled is wrapped by the errors for a person who does not want to go on.
var ErrCancelled = errors.New("cancelled")

// refused is certbot's text for a person who does not want to go on.
type refused string

func (r refused) Error() string { return string(r) }
func (r refused) Unwrap() error { return ErrCancelled }

// MissingError says that a question would have had to be asked, and which flag
// would answer it, as certbot's MissingCommandlineFlag.
type MissingError struct {
	Flag string // "--email"; "" where there is none
	Text string // all of certbot's text
}

func (e *MissingError) Error() string { return e.Text }

func missing(message, extra, flag string) error {
	text := "Missing command line flag or config entry for this setting:\n" + message
	if extra != "" {
		text += "\n" + extra
	}
	if flag != "" {
		text += "\n\n(You can set this with the " + flag + " flag)"
	}
	return &MissingError{Flag: flag, Text: Clean(text)}
}

// EOFError says that standard input ended while a question was open.
type EOFError struct {
	Flag string // as in MissingError
}

// Error begins as certbot's does, which has a Python error there and no advice.
func (e *EOFError) Error() string {
	advice := "run in a terminal, or with --non-interactive"
	if e.Flag != "" {
		advice += " and " + e.Flag
	}
	return "An unexpected error occurred:\nEOFError: standard input ended before the question was answered; " + advice
}

// framed is a text as certbot's notifications have it.
func framed(text string) string {
	return "\n" + SideFrame + "\n" + text + "\n" + SideFrame + "\n"
}
