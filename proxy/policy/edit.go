package policy

import (
	"errors"
	"fmt"
	"strings"
)

// edit is a HeaderEdit, compiled.
type edit struct {
	op    EditOp
	name  string
	value template
}

func newEdits(list []HeaderEdit) ([]edit, error) {
	out := make([]edit, 0, len(list))
	for _, h := range list {
		name := h.Name
		if h.Op == RemoveField {
			name = strings.TrimSuffix(name, "*")
		}
		if !isToken(name) {
			return nil, fmt.Errorf("header name %q is no token (RFC 9110 section 5.6.2)", h.Name)
		}
		if h.Op != RemoveField && framing(name) {
			return nil, fmt.Errorf("header %s frames the message and cannot be set", h.Name)
		}
		for i := 0; i < len(h.Value); i++ {
			if c := h.Value[i]; c < ' ' && c != '\t' || c == 0x7f {
				return nil, fmt.Errorf("value of header %s has a control character", h.Name)
			}
		}
		v, err := newTemplate(h.Value)
		if err != nil {
			return nil, fmt.Errorf("header %s: %w", h.Name, err)
		}
		out = append(out, edit{h.Op, h.Name, v})
	}
	return out, nil
}

// framing lists the fields that belong to the engine.
func framing(name string) bool {
	switch strings.ToLower(name) {
	case "connection", "keep-alive", "transfer-encoding", "content-length", "upgrade", "te", "trailer", "host", "proxy-connection":
		return true
	}
	return false
}

func isToken(s string) bool {
	for i := 0; i < len(s); i++ {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("!#$%&'*+-.^_`|~", c) >= 0 {
			continue
		}
		return false
	}
	return s != ""
}

// selects reports whether an edit is about a field.
func (e *edit) selects(name string) bool {
	if e.op == RemoveField && strings.HasSuffix(e.name, "*") {
		prefix := e.name[:len(e.name)-1]
		return len(name) >= len(prefix) && strings.EqualFold(name[:len(prefix)], prefix)
	}
	return strings.EqualFold(e.name, name)
}

// EditRequest carries the edits of what goes upstream out on fields, in place
// where it can.
func (r *Route) EditRequest(fields []Field, q *Request, d *Decision) []Field {
	return editFields(r.compiled.request, fields, q, d)
}

// EditResponse carries the edits of answers out on fields.
func (r *Route) EditResponse(fields []Field, q *Request, d *Decision) []Field {
	return editFields(r.compiled.response, fields, q, d)
}

// EditsResponse reports whether EditResponse has anything to do.
func (r *Route) EditsResponse() bool { return len(r.compiled.response) > 0 }

// EditsRequest reports whether EditRequest has anything to do.
func (r *Route) EditsRequest() bool { return len(r.compiled.request) > 0 }

func editFields(edits []edit, fields []Field, q *Request, d *Decision) []Field {
	for i := range edits {
		e := &edits[i]
		there := false
		if e.op == SetField || e.op == RemoveField {
			kept := fields[:0]
			for _, f := range fields {
				if !e.selects(f.Name) {
					kept = append(kept, f)
				}
			}
			fields = kept
		} else if e.op == DefaultField {
			for _, f := range fields {
				there = there || e.selects(f.Name)
			}
		}
		if e.op != RemoveField && !there {
			fields = append(fields, Field{e.name, e.value.expand(q, d)})
		}
	}
	return fields
}

// Security is the preset of header fields that make browsers careful.
type Security struct {
	HSTS              int    // seconds; 0: none. Only browsers that came over TLS heed it
	Frame             string // X-Frame-Options; "": none
	Referrer          string // Referrer-Policy; "": none
	ContentPolicy     string // Content-Security-Policy; "": none
	NoSniff           bool
	CrossOriginOpener string // Cross-Origin-Opener-Policy; "": none
}

// Edits are the fields of the preset. What a backend sets itself stays.
func (s Security) Edits() ([]HeaderEdit, error) {
	var out []HeaderEdit
	add := func(name, value string) {
		if value != "" {
			out = append(out, HeaderEdit{DefaultField, name, value})
		}
	}
	if s.HSTS < 0 {
		return nil, errors.New("hsts is negative")
	}
	if s.HSTS > 0 {
		add("Strict-Transport-Security", fmt.Sprintf("max-age=%d", s.HSTS))
	}
	add("X-Frame-Options", s.Frame)
	add("Referrer-Policy", s.Referrer)
	add("Content-Security-Policy", s.ContentPolicy)
	add("Cross-Origin-Opener-Policy", s.CrossOriginOpener)
	if s.NoSniff {
		add("X-Content-Type-Options", "nosniff")
	}
	return out, nil
}

// ErrorPage is the page that stands for an answer with a status; nil: none.
func (r *Route) ErrorPage(status int) *ErrorPage {
	if r == nil {
		return nil
	}
	for i := range r.Errors {
		if p := &r.Errors[i]; p.From <= status && status <= p.To {
			return p
		}
	}
	return nil
}
