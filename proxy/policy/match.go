package policy

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// matches reports whether a request is one of a route. path is normalised.
func (c *compiled) matches(m *Match, path string, r *Request, host string, client netip.Addr) bool {
	if len(c.paths) > 0 && !slices.ContainsFunc(c.paths, func(p pattern) bool { return p.matches(path) }) {
		return false
	}
	if len(m.Methods) > 0 && !slices.Contains(m.Methods, r.Method) {
		return false
	}
	if len(m.Hosts) > 0 && !slices.ContainsFunc(m.Hosts, func(h string) bool { return hostMatches(h, host) }) {
		return false
	}
	if len(m.Clients) > 0 && !contains(m.Clients, client) {
		return false
	}
	for i := range m.Header {
		if !m.Header[i].holds(headerValues(r.Header, m.Header[i].Name)) {
			return false
		}
	}
	for i := range m.Query {
		if !m.Query[i].holds(queryValues(r.Query, m.Query[i].Name)) {
			return false
		}
	}
	return true
}

// hostMatches compares a clean host with an exact name or "*.suffix" (one label).
func hostMatches(want, host string) bool {
	suffix, wild := strings.CutPrefix(want, "*")
	if !wild {
		return want == host
	}
	label, ok := strings.CutSuffix(host, suffix)
	return ok && label != "" && !strings.Contains(label, ".")
}

func contains(list []netip.Prefix, a netip.Addr) bool {
	for _, p := range list {
		if p.Contains(a) {
			return true
		}
	}
	return false
}

// holds is given all values of the field.
func (f *FieldMatch) holds(values []string) bool {
	if f.Absent || len(values) == 0 {
		return f.Absent && len(values) == 0
	}
	if len(f.Values) == 0 {
		return true
	}
	for _, v := range values {
		for _, want := range f.Values {
			if matchGlob(want, v) {
				return true
			}
		}
	}
	return false
}

func headerValues(h []Field, name string) (values []string) {
	for i := range h {
		if strings.EqualFold(h[i].Name, name) {
			values = append(values, h[i].Value)
		}
	}
	return values
}

// queryValues are the values of a parameter, decoded as applications decode
// them. A pair that cannot be decoded counts as it is written.
func queryValues(query, name string) (values []string) {
	for query != "" {
		var pair string
		pair, query, _ = strings.Cut(query, "&")
		k, v, _ := strings.Cut(pair, "=")
		if pair != "" && queryText(k) == name {
			values = append(values, queryText(v))
		}
	}
	return values
}

func queryText(s string) string {
	if !strings.ContainsAny(s, "%+") {
		return s
	}
	b := make([]byte, 0, len(s))
	for i := 0; i < len(s); i++ {
		switch {
		case s[i] == '+':
			b = append(b, ' ')
		case s[i] == '%' && i+2 < len(s) && isHex(s[i+1]) && isHex(s[i+2]):
			b = append(b, unhex(s[i+1])<<4|unhex(s[i+2]))
			i += 2
		default:
			b = append(b, s[i])
		}
	}
	return string(b)
}

// UnreachableError is a route that no request can reach, since an earlier one
// of its site matches all that it matches.
type UnreachableError struct {
	Site      string
	Route, By int // indexes into Site.Routes
	Names     [2]string
}

func (e *UnreachableError) Error() string {
	return fmt.Sprintf("site %s: route %d (%s) can never be reached: route %d (%s) before it matches everything that it matches; change their order or make the first one narrower",
		e.Site, e.Route+1, e.Names[0], e.By+1, e.Names[1])
}

// covers reports whether a matches whatever b matches, where that is plain to see.
func (a *compiled) covers(b *compiled, am, bm *Match) bool {
	for i := range am.Header {
		if !slices.ContainsFunc(bm.Header, func(f FieldMatch) bool { return implied(&am.Header[i], &f, strings.EqualFold) }) {
			return false
		}
	}
	same := func(x, y string) bool { return x == y }
	for i := range am.Query {
		if !slices.ContainsFunc(bm.Query, func(f FieldMatch) bool { return implied(&am.Query[i], &f, same) }) {
			return false
		}
	}
	return coversAll(a.paths, b.paths, func(p, q pattern) bool { return p.covers(&q) }) &&
		coversAll(am.Methods, bm.Methods, same) &&
		coversAll(am.Hosts, bm.Hosts, hostMatches) &&
		coversAll(am.Clients, bm.Clients, func(p, q netip.Prefix) bool { return p.Bits() <= q.Bits() && p.Contains(q.Addr()) })
}

// coversAll: an empty list matches everything.
func coversAll[T any](a, b []T, covers func(T, T) bool) bool {
	if len(a) == 0 {
		return true
	}
	return len(b) > 0 && !slices.ContainsFunc(b, func(y T) bool {
		return !slices.ContainsFunc(a, func(x T) bool { return covers(x, y) })
	})
}

// implied reports whether a holds wherever b does.
func implied(a, b *FieldMatch, same func(x, y string) bool) bool {
	if !same(a.Name, b.Name) || a.Absent != b.Absent {
		return false
	}
	return a.Absent || coversAll(a.Values, b.Values, matchGlob)
}
