package runlog

import (
	"cmp"
	"context"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync"
)

// Hidden stands where a secret was, as in the access log of the front door.
const Hidden = "***"

// Redactor takes secrets out of texts: those that it was told, and what looks like
// one. It hides too much rather than too little. The zero value is ready to use, and
// safe for concurrent use.
type Redactor struct {
	mu    sync.RWMutex
	known []string
}

// minSecret is the length of what Hide takes, in bytes: shorter ones would tear
// harmless texts apart and show by that what they are.
const minSecret = 6

// Hide names secrets as they are written: a password, the HMAC key of an external
// account binding, the token of a DNS provider. Very short ones are left alone.
func (r *Redactor) Hide(secrets ...string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	known := slices.Clone(r.known) // others may be reading the slice that there is
	for _, s := range secrets {
		if len(s) >= minSecret {
			known = append(known, s)
		}
	}
	// The longest first: it may contain a shorter one.
	slices.SortFunc(known, func(a, b string) int { return cmp.Compare(len(b), len(a)) })
	r.known = known
}

// Text returns s without secrets.
func (r *Redactor) Text(s string) string {
	r.mu.RLock()
	known := r.known
	r.mu.RUnlock()
	for _, secret := range known {
		s = strings.ReplaceAll(s, secret, Hidden)
	}
	return hidePatterns(s)
}

// Handler takes secrets out of records, messages and attributes, before h gets them.
func (r *Redactor) Handler(h slog.Handler) slog.Handler { return &redacting{h, r} }

type redacting struct {
	next slog.Handler
	r    *Redactor
}

func (h *redacting) Enabled(ctx context.Context, l slog.Level) bool { return h.next.Enabled(ctx, l) }

func (h *redacting) Handle(ctx context.Context, rec slog.Record) error {
	clean := slog.NewRecord(rec.Time, rec.Level, h.r.Text(rec.Message), rec.PC)
	rec.Attrs(func(a slog.Attr) bool {
		clean.AddAttrs(h.r.attr(a))
		return true
	})
	return h.next.Handle(ctx, clean)
}

func (h *redacting) WithAttrs(attrs []slog.Attr) slog.Handler {
	clean := make([]slog.Attr, len(attrs))
	for i, a := range attrs {
		clean[i] = h.r.attr(a)
	}
	return &redacting{h.next.WithAttrs(clean), h.r}
}

func (h *redacting) WithGroup(name string) slog.Handler {
	return &redacting{h.next.WithGroup(name), h.r}
}

func (r *Redactor) attr(a slog.Attr) slog.Attr {
	v := a.Value.Resolve()
	if v.Kind() == slog.KindGroup {
		members := make([]slog.Attr, 0, len(v.Group()))
		for _, m := range v.Group() {
			members = append(members, r.attr(m))
		}
		return slog.Attr{Key: a.Key, Value: slog.GroupValue(members...)}
	}
	if secretName(a.Key) {
		return slog.String(a.Key, Hidden)
	}
	switch v.Kind() {
	case slog.KindString:
		return slog.String(a.Key, r.Text(v.String()))
	case slog.KindAny:
		return slog.String(a.Key, r.Text(anyText(v.Any())))
	}
	return slog.Attr{Key: a.Key, Value: v}
}

// anyText is the text of a value that may have one. What else there is (structures,
// maps, bytes) may be or contain a key, which no pattern finds in Go's notation.
func anyText(v any) string {
	switch v := v.(type) {
	case nil:
		return "<nil>"
	case error, fmt.Stringer:
		return fmt.Sprint(v)
	case []string:
		return fmt.Sprint(v)
	}
	switch rv := reflect.ValueOf(v); rv.Kind() {
	case reflect.Bool, reflect.String, reflect.Float32, reflect.Float64,
		reflect.Int, reflect.Int8, reflect.Int16, reflect.Int32, reflect.Int64,
		reflect.Uint, reflect.Uint8, reflect.Uint16, reflect.Uint32, reflect.Uint64:
		return fmt.Sprint(v)
	case reflect.Slice, reflect.Array, reflect.Map:
		return fmt.Sprintf("(%T of length %d)", v, rv.Len())
	}
	return fmt.Sprintf("(%T)", v)
}

// secretName tells by its name that an attribute is one. Paths of files with
// secrets in them (credentials, privkey) are none.
func secretName(name string) bool {
	name = strings.NewReplacer("-", "", "_", "", ".", "").Replace(strings.ToLower(name))
	for _, part := range []string{"passw", "passphrase", "secret", "token", "hmac", "apikey", "privatekey", "keyauth", "authorization", "cookie", "jwk"} {
		if strings.Contains(name, part) {
			return true
		}
	}
	return false
}
