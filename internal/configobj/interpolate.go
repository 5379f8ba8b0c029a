package configobj

import (
	"fmt"
	"strings"
)

// InterpolationError says that a value cannot be expanded. certbot does not go on
// with a file that has such a value.
type InterpolationError struct {
	Key     string // that was looked up
	Problem string
}

func (e *InterpolationError) Error() string {
	return fmt.Sprintf("value of %s: %s", e.Key, e.Problem)
}

// NeedsInterpolation reports whether s refers to another key, as "%(name)s". Other
// percent signs are literal.
func NeedsInterpolation(s string) bool { return reference.MatchString(s) }

// Bounds of one expansion: values may refer to each other.
const (
	maxReferences = 1000
	maxExpanded   = 1 << 20 // bytes
)

// Lookup returns a value with its references expanded, as certbot reads it: each is
// looked for in the section, in a section DEFAULT within it, then the same one level
// up. The error is an *InterpolationError.
func (s *Section) Lookup(key string) (Value, bool, error) {
	v, ok := s.Get(key)
	if !ok {
		return v, false, nil
	}
	out := Value{List: v.List, Items: make([]string, len(v.Items))}
	for n, item := range v.Items {
		// ConfigObj looks from the section where it began, wherever a reference has led.
		x := expansion{from: s, open: map[string]bool{}}
		if out.Items[n] = x.expand(key, item); x.problem != "" {
			return Value{}, true, &InterpolationError{key, x.problem}
		}
	}
	return out, true, nil
}

type expansion struct {
	from       *Section
	open       map[string]bool // keys that are being expanded
	references int
	problem    string // the first
}

func (x *expansion) expand(key, value string) string {
	if x.open[key] {
		x.fail("it refers to itself by way of " + key)
	}
	if x.problem != "" {
		return ""
	}
	x.open[key] = true
	defer delete(x.open, key)
	var out strings.Builder
	for {
		m := reference.FindStringSubmatchIndex(value)
		if m == nil || x.problem != "" {
			break
		}
		out.WriteString(value[:m[0]])
		if x.references++; x.references > maxReferences {
			x.fail("it has too many references")
			break
		}
		name := group(value, m, 1)
		if found, ok := x.fetch(name); ok {
			out.WriteString(x.expand(name, found))
		}
		if out.Len() > maxExpanded {
			x.fail("it is too long when it is expanded")
		}
		value = value[m[1]:]
	}
	out.WriteString(value)
	return out.String()
}

// fetch finds what a reference names.
func (x *expansion) fetch(name string) (string, bool) {
	for s := x.from; s != nil; s = s.parent {
		v, ok := s.Get(name)
		if !ok {
			if _, bad := s.Get("DEFAULT"); bad {
				x.fail("DEFAULT has to be a section")
				return "", false
			}
			v, ok = s.Section("DEFAULT").Get(name)
		}
		switch {
		case ok && v.List:
			x.fail(fmt.Sprintf("%q, which it refers to, is a list", name))
			return "", false
		case ok:
			return v.Items[0], true
		}
	}
	x.fail(fmt.Sprintf("there is no %q, which it refers to", name))
	return "", false
}

func (x *expansion) fail(problem string) {
	if x.problem == "" {
		x.problem = problem
	}
}
