package display

import (
	"context"
	"fmt"
	"io"
	"strings"
)

// NonInteractive never asks anybody: every question has its default for an answer,
// or fails with a *MissingError.
type NonInteractive struct {
	printer
}

// NewNonInteractive prints to out: io.Discard for --quiet. Only Log of the options
// is used.
func NewNonInteractive(out io.Writer, o Options) *NonInteractive {
	return &NonInteractive{newPrinter(out, o.Log)}
}

// Pause is Notify with a frame.
func (n *NonInteractive) Pause(_ context.Context, text string) error {
	n.Notify(text, true)
	return nil
}

// Input returns the default.
func (n *NonInteractive) Input(_ context.Context, message string, o InputOptions) (string, error) {
	if o.Default == "" {
		return "", missing(message, "", o.Flag)
	}
	return o.Default, nil
}

// YesNo returns the default.
func (n *NonInteractive) YesNo(_ context.Context, message, _, _ string, o YesNoOptions) (bool, error) {
	if o.Default == nil {
		return false, missing(message, "", o.Flag)
	}
	return *o.Default, nil
}

// Menu returns the default.
func (n *NonInteractive) Menu(_ context.Context, message string, choices []Choice, o MenuOptions) (int, error) {
	if o.Default == nil {
		return 0, missing(message, "Choices: "+pythonList(choices), o.Flag)
	}
	return *o.Default, nil
}

// Checklist returns the default.
func (n *NonInteractive) Checklist(_ context.Context, message string, tags []string, o ChecklistOptions) ([]string, error) {
	if o.Default == nil {
		return nil, missing(message, strings.Join(cleanLines(tags), "? ")+"?", o.Flag)
	}
	return o.Default, nil
}

// pythonList writes choices as certbot's message has them: ['a', 'b'], or
// [('tag', 'text')].
func pythonList(choices []Choice) string {
	all := make([]string, len(choices))
	for i, c := range choices {
		switch {
		case c.Tag != "" && c.Text != "":
			all[i] = fmt.Sprintf("(%s, %s)", pythonString(c.Tag), pythonString(c.Text))
		default:
			all[i] = pythonString(c.String())
		}
	}
	return "[" + strings.Join(all, ", ") + "]"
}

func pythonString(s string) string {
	s = strings.ReplaceAll(CleanLine(s), `\`, `\\`)
	if strings.Contains(s, "'") && !strings.Contains(s, `"`) {
		return `"` + s + `"`
	}
	return "'" + strings.ReplaceAll(s, "'", `\'`) + "'"
}
