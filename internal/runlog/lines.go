package runlog

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"time"
	"unicode/utf8"

	"edge/internal/display"
)

// maxMessage bounds a message or value, in bytes: what hooks print may be long.
const maxMessage = 256 << 10

// lines writes records as certbot's lines to the log, and their messages to the
// terminal.
type lines struct {
	mu      *sync.Mutex
	log     io.Writer
	stderr  io.Writer
	level   slog.Level // of what stderr gets
	colored bool
	now     func() time.Time
	broken  *bool // the log cannot be written, and that was said

	component string
	attrs     string // of WithAttrs
	group     string // "a.b."
}

func newLines(log io.Writer, o Options) *lines {
	h := &lines{mu: new(sync.Mutex), log: log, stderr: o.Stderr, level: slog.LevelWarn, now: o.Now, broken: new(bool)}
	switch {
	case o.Quiet:
		h.level = slog.LevelError
	case o.Verbosity == 1:
		h.level = slog.LevelInfo
	case o.Verbosity > 1:
		h.level = slog.LevelDebug
	}
	f, ok := o.Stderr.(*os.File)
	h.colored = ok && display.IsTerminal(f) && os.Getenv("NO_COLOR") == ""
	return h
}

func (h *lines) Enabled(context.Context, slog.Level) bool { return true }

func (h *lines) Handle(_ context.Context, r slog.Record) error {
	component, message := h.component, bounded(display.Clean(r.Message))
	var attrs strings.Builder
	attrs.WriteString(h.attrs)
	r.Attrs(func(a slog.Attr) bool {
		h.attr(&attrs, &component, h.group, a)
		return true
	})
	message += attrs.String()
	at := r.Time
	if h.now != nil {
		at = h.now()
	}
	name := "edge"
	if component != "" {
		name += "." + component
	}
	line := at.Format("2006-01-02 15:04:05,000") + ":" + levelName(r.Level) + ":" + name + ":" + unforged(message) + "\n"

	h.mu.Lock()
	defer h.mu.Unlock()
	_, err := io.WriteString(h.log, line)
	if err != nil && !*h.broken {
		*h.broken = true
		fmt.Fprintf(h.stderr, "edge: the log cannot be written: %v\n", err)
	}
	if r.Level < h.level {
		return nil
	}
	if h.colored && r.Level >= slog.LevelWarn {
		message = "\x1b[31m" + message + "\x1b[0m"
	}
	_, _ = io.WriteString(h.stderr, message+"\n") // there is nobody left to tell
	return nil
}

// attr appends " name=value". The component of a record is not part of its text.
func (h *lines) attr(b *strings.Builder, component *string, group string, a slog.Attr) {
	v := a.Value.Resolve()
	switch {
	case a.Equal(slog.Attr{}):
	case v.Kind() == slog.KindGroup:
		if a.Key != "" {
			group += a.Key + "."
		}
		for _, member := range v.Group() {
			h.attr(b, component, group, member)
		}
	case group == "" && a.Key == "component":
		*component = display.CleanLine(v.String())
	default:
		b.WriteString(" " + display.CleanLine(group+a.Key) + "=" + quoted(bounded(v.String())))
	}
}

// quoted is a value with nothing in it that would look like the next one.
func quoted(s string) string {
	if s == "" || strings.ContainsAny(s, " \"=") || display.CleanLine(s) != s {
		return strconv.Quote(s)
	}
	return s
}

func bounded(s string) string {
	if len(s) <= maxMessage {
		return s
	}
	end := maxMessage
	for end > 0 && !utf8.RuneStart(s[end]) {
		end--
	}
	return fmt.Sprintf("%s [%d bytes more]", s[:end], len(s)-end)
}

func (h *lines) WithAttrs(attrs []slog.Attr) slog.Handler {
	with := *h
	var b strings.Builder
	b.WriteString(h.attrs)
	for _, a := range attrs {
		h.attr(&b, &with.component, h.group, a)
	}
	with.attrs = b.String()
	return &with
}

func (h *lines) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	with := *h
	with.group += name + "."
	return &with
}

// levelName is Python's.
func levelName(l slog.Level) string {
	switch {
	case l < slog.LevelInfo:
		return "DEBUG"
	case l < slog.LevelWarn:
		return "INFO"
	case l < slog.LevelError:
		return "WARNING"
	case l < slog.LevelError+4:
		return "ERROR"
	}
	return "CRITICAL"
}

var looksLikeLine = regexp.MustCompile(`\n(\d{4}-\d\d-\d\d \d\d:\d\d:\d\d,)`)

// unforged keeps the lines of a message from looking like lines of the log: the
// message may come from a CA or a hook.
func unforged(message string) string { return looksLikeLine.ReplaceAllString(message, "\n $1") }
