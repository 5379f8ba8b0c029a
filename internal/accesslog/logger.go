package accesslog

import (
	"fmt"
	"io"
	"log/slog"
	"strings"
)

// NewLogger makes edge's own log: format is "json" or "text", level is "debug",
// "info", "warn" or "error". The level can be changed while it is in use.
func NewLogger(w io.Writer, format, level string) (*slog.Logger, *slog.LevelVar, error) {
	v := new(slog.LevelVar)
	if err := SetLevel(v, level); err != nil {
		return nil, nil, err
	}
	o := &slog.HandlerOptions{Level: v, ReplaceAttr: redact}
	switch format {
	case "json":
		return slog.New(slog.NewJSONHandler(w, o)), v, nil
	case "text":
		return slog.New(slog.NewTextHandler(w, o)), v, nil
	}
	return nil, nil, fmt.Errorf("log format %q: use json or text", format)
}

// SetLevel changes the level by its name.
func SetLevel(v *slog.LevelVar, level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil || strings.ToLower(level) != level {
		return fmt.Errorf("log level %q: use debug, info, warn or error", level)
	}
	v.Set(l)
	return nil
}

// redact is the last line of defence: no attribute with such a name is printed.
func redact(_ []string, a slog.Attr) slog.Attr {
	switch strings.ToLower(a.Key) {
	case "token", "key_authorization", "keyauth", "password", "secret", "hmac", "api_token", "authorization", "cookie", "private_key":
		return slog.String(a.Key, "***")
	}
	return a
}
