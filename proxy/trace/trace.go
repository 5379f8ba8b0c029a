// Package trace reads and writes the W3C trace context
// (https://www.w3.org/TR/trace-context/) that requests carry.
package trace

import (
	"encoding/hex"
	"math/rand/v2"
)

// Context is what a traceparent says.
type Context struct {
	TraceID  string // 32 hexadecimal digits in lower case, not all zero
	ParentID string // of the caller's span: 16 of them
	Sampled  bool
}

// Parse reads a traceparent. It takes versions to come, as far as they begin like
// version 0 (section 3.2.4 there), and nothing else: who sends something else
// begins no trace.
func Parse(s string) (c Context, ok bool) {
	if len(s) < 55 || s[2] != '-' || s[35] != '-' || s[52] != '-' || !isHex(s[:2]) || s[:2] == "ff" {
		return c, false
	}
	if s[:2] == "00" && len(s) != 55 || len(s) > 55 && s[55] != '-' || len(s) > 256 {
		return c, false
	}
	trace, parent, flags := s[3:35], s[36:52], s[53:55]
	if !isHex(trace) || !isHex(parent) || !isHex(flags) || zero(trace) || zero(parent) {
		return c, false
	}
	low := flags[1]
	if low >= 'a' {
		low -= 'a' - 10
	}
	return Context{trace, parent, low&1 == 1}, true
}

func isHex(s string) bool {
	for i := range len(s) {
		if c := s[i]; (c < '0' || c > '9') && (c < 'a' || c > 'f') {
			return false
		}
	}
	return true
}

func zero(s string) bool {
	for i := range len(s) {
		if s[i] != '0' {
			return false
		}
	}
	return true
}

// Format makes a traceparent.
func Format(trace, span string, sampled bool) string {
	flags := "-00"
	if sampled {
		flags = "-01"
	}
	return "00-" + trace + "-" + span + flags
}

// NewTrace makes the identifier of a trace, and says whether it is one of the
// part that is sampled. Identifiers are no secrets: they need not be
// unpredictable, but different.
func NewTrace(part float64) (id string, sampled bool) {
	return identifier(16), rand.Float64() < part
}

// NewSpan makes the identifier of a span.
func NewSpan() string { return identifier(8) }

func identifier(n int) string {
	b := make([]byte, n)
	for i := range b {
		b[i] = byte(rand.Uint32())
	}
	b[0] |= 1 // not all zero
	return hex.EncodeToString(b)
}
