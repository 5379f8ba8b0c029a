package certbotcli

// UsageError is what argparse says to a command line or a cli.ini that it
// cannot read. certbot exits with 2.
type UsageError struct {
	Message string // argparse's, without the name of the program
	Hint    string // ours: what was perhaps meant; may be empty

	program string
}

func (e *UsageError) Error() string {
	if e.Hint == "" {
		return e.Message
	}
	return e.Message + "; " + e.Hint
}

// Text is for standard error: usage, error, hint.
func (e *UsageError) Text() string {
	s := "usage: \n" + shortUsage(e.program) + "\n" + e.program + ": error: " + e.Message + "\n"
	if e.Hint != "" {
		s += e.Hint + "\n"
	}
	return s
}

// RefusedError is a command line that can be read, but whose values do not go
// together or cannot be. The text is certbot's; it exits with 1.
type RefusedError struct{ Message string }

func (e *RefusedError) Error() string { return e.Message }

// HelpRequest is -h, --help or the verb help. Topic is empty for the overview;
// it is one that Help knows.
type HelpRequest struct{ Topic string }

func (e *HelpRequest) Error() string { return "help was asked for" }

// VersionRequest is --version.
type VersionRequest struct{}

func (e *VersionRequest) Error() string { return "the version was asked for" }
