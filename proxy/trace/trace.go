// Package trace reads the W3C trace context (https://www.w3.org/TR/trace-context/)
// that requests carry. It is pure.
package trace

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
