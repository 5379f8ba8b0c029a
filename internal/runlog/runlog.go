package runlog

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"time"

	"edge/internal/display"
)

// Name is the name of the log in its folder.
const Name = "letsencrypt.log"

// Options are the options of Open.
type Options struct {
	// Dir is the folder (certbot: --logs-dir), made with MakeDir before it is
	// locked. Empty: none can be used, so the log goes to a temporary folder.
	Dir string
	// MaxBackups is how many older logs are kept (--max-log-backups; certbot's
	// default is 1000). Zero: all runs go into one file, which others rotate.
	MaxBackups int
	// Verbosity counts the -v: 1 shows what is informative, 2 everything.
	Verbosity int
	// Quiet shows errors only, and not where the log is.
	Quiet bool
	// Stderr is the terminal. Nil: nothing is shown.
	Stderr io.Writer
	// Now is the clock of the lines. Nil: the time of each record.
	Now func() time.Time
	// Temp is where temporary folders are made. Empty: os.TempDir().
	Temp string
	// Secrets never appear, beyond what looks like one. See Redactor.Hide.
	Secrets []string
}

// Log is the log of one run. Safe for concurrent use.
type Log struct {
	Redactor *Redactor // hides secrets that become known later

	handler *lines
	file    interface {
		io.WriteCloser
		Path() string
	}
}

// Open starts the log. The *Log is of use whatever the error, which is a *DirError:
// then it writes to a temporary folder. Close it.
func Open(o Options) (*Log, error) {
	if o.Stderr == nil {
		o.Stderr = io.Discard
	}
	l := &Log{Redactor: &Redactor{}}
	l.Redactor.Hide(o.Secrets...)
	var rotation, err error
	if o.Dir != "" {
		o.Dir, err = filepath.Abs(o.Dir)
		var f *file
		if err == nil {
			f, rotation, err = openFile(o.Dir, o.MaxBackups)
		}
		if err == nil {
			l.file = f
		}
	}
	if l.file == nil {
		l.file = &tempFile{base: o.Temp}
	} else if !o.Quiet {
		fmt.Fprintf(o.Stderr, "Saving debug log to %s\n", display.CleanLine(l.file.Path()))
	}
	l.handler = newLines(l.file, o)
	if rotation != nil {
		l.Logger().Warn("Keep older logs: " + rotation.Error() + "; this run is added to the last one")
	}
	if err != nil {
		l.Logger().Debug("Open the log: " + err.Error())
		return l, &DirError{Err: err}
	}
	return l, nil
}

// Logger writes to the log. An attribute "component" names the part of edge that a
// line comes from; other attributes follow the message as name=value.
func (l *Log) Logger() *slog.Logger { return slog.New(l.Redactor.Handler(l.handler)) }

// Path is where the log is. Empty: nothing was logged, and there was no folder.
func (l *Log) Path() string { return l.file.Path() }

// Advice is what certbot says below an error. Program is the name that it has here.
func (l *Log) Advice(program string) string {
	text := "Ask for help or search for solutions at https://community.letsencrypt.org. "
	if path := l.Path(); path != "" {
		return text + "See the logfile " + display.CleanLine(path) + " or re-run " + program + " with -v for more details."
	}
	return text + "Re-run " + program + " with -v for more details."
}

// Close ends the log. What is logged later is lost.
func (l *Log) Close() error {
	l.handler.mu.Lock()
	defer l.handler.mu.Unlock()
	if err := l.file.Close(); err != nil && !errors.Is(err, os.ErrClosed) {
		return fmt.Errorf("close the log %s: %w", l.file.Path(), err)
	}
	return nil
}
