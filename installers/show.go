package installers

import (
	"errors"
	"io"
)

// Show prints what a plan is going to do: notes, diffs, commands, and what is looked at
// afterwards.
func Show(w io.Writer, p *Plan, s Server) error { return errors.New("show: not built yet") }
