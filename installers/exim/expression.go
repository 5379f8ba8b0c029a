package exim

import (
	"bytes"
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
)

// around is what stands before and after the value for all other names. A name that is not
// in the table itself is looked up again with a star in the place of its first label: that
// is what a wildcard is for.
func around(table string) (before, after string) {
	lookup := func(key string) string { return "${lookup{" + key + "}lsearch{" + table + "}{$value}{" }
	return lookup("$tls_in_sni") + lookup(`${sg{$tls_in_sni}{\N^[^.]+\N}{*}}`), "}}}}"
}

// pair is the value of tls_certificate and that of tls_privatekey.
type pair struct{ cert, key string }

// wrap makes what both options are to be, of what all other names get.
func (p pair) wrap(table string) (pair, error) {
	for _, v := range []string{p.cert, p.key} {
		if err := nests(v); err != nil {
			return pair{}, fmt.Errorf("%.200q: %w", v, err)
		}
	}
	before, after := around(table)
	return pair{before + p.cert + after, before + p.key + after}, nil
}

// unwrap is what all other names get.
func (p pair) unwrap(table string) pair {
	before, after := around(table)
	inner := func(v string) string {
		if in, ok := strings.CutPrefix(v, before); ok {
			if in, ok := strings.CutSuffix(in, after); ok {
				return in
			}
		}
		return v
	}
	p = pair{inner(p.cert), inner(p.key)}
	if p.key == "" {
		p.key = p.cert // Exim's default
	}
	return p
}

// nests wants a value that can stand between braces.
func nests(v string) error {
	depth := 0
	for _, c := range v {
		switch c {
		case '{':
			depth++
		case '}':
			depth--
		case '\n':
			return errors.New("it has more than one line")
		}
		if depth < 0 {
			break
		}
	}
	if depth != 0 {
		return errors.New("its braces are not in pairs, so that it cannot stand inside of a lookup")
	}
	return nil
}

const tableHeader = "# edge: the names that clients ask for, and the PEM file of each (key, certificates)\n"

// entry is a line of the table.
type entry struct {
	name, path string
	line       string // as it is written
}

// parseTable takes the table apart. Comments and empty lines are entries without a name.
func parseTable(raw []byte) ([]entry, error) {
	var list []entry
	n := 0
	for l := range bytes.Lines(raw) {
		n++
		e := entry{line: string(l)}
		text := strings.TrimSpace(e.line)
		if text != "" && text[0] != '#' {
			name, path, ok := strings.Cut(text, ":")
			e.name, e.path = strings.ToLower(strings.TrimSpace(name)), strings.TrimSpace(path)
			if !ok || !isName(e.name) || !strings.HasPrefix(e.path, "/") || strings.ContainsAny(e.line[:1], " \t") {
				return nil, fmt.Errorf("line %d: %.100q is not NAME: PATH", n, text)
			}
		}
		list = append(list, e)
	}
	return list, nil
}

// putTable gives a file exactly these names, and takes the names away from files that are
// not there any more. Other lines stay as they are.
func putTable(list []entry, path string, names []string, there func(path string) bool) (_ []entry, gone []string, err error) {
	var out []entry
	has := map[string]bool{}
	for i, e := range list {
		switch {
		case e.name == "":
		case e.path == path && (!slices.Contains(names, e.name) || has[e.name]):
			continue
		case e.path == path:
			has[e.name] = true
		case !there(e.path):
			gone = append(gone, e.name+" ("+e.path+")")
			continue
		case slices.Contains(names, e.name):
			return nil, nil, fmt.Errorf("line %d: %s has %s already; take the name out of one of the two certificates, or that line away", i+1, e.name, e.path)
		}
		if !strings.HasSuffix(e.line, "\n") {
			e.line += "\n"
		}
		out = append(out, e)
	}
	if len(list) == 0 {
		out = append(out, entry{line: tableHeader})
	}
	for _, n := range names {
		if !has[n] {
			out, has[n] = append(out, entry{n, path, n + ": " + path + "\n"}), true
		}
	}
	return out, gone, nil
}

func printTable(list []entry) []byte {
	var b bytes.Buffer
	for _, e := range list {
		b.WriteString(e.line)
	}
	return b.Bytes()
}

// sni are the names that clients can ask for, as keys of the table.
func sni(hosts []string) ([]string, error) {
	var out []string
	for _, h := range hosts {
		if _, err := netip.ParseAddr(h); err == nil {
			continue // clients name no addresses
		}
		h = strings.ToLower(h)
		if !isName(h) {
			return nil, fmt.Errorf("%.100q is no name that can be written into its table", h)
		}
		if !slices.Contains(out, h) {
			out = append(out, h)
		}
	}
	return out, nil
}

// isName reports whether a name, or one with a star as its first label, needs no quotes.
func isName(n string) bool {
	n = strings.TrimPrefix(n, "*.")
	return n != "" && !strings.ContainsFunc(n, func(c rune) bool {
		return (c < 'a' || c > 'z') && (c < '0' || c > '9') && c != '-' && c != '_' && c != '.'
	})
}
