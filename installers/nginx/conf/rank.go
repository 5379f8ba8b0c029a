package conf

import (
	"cmp"
	"slices"
	"strings"
)

// Ranked is a server block that has a name for a host, whatever it listens on.
type Ranked struct {
	Server *Server
	Name   *Name
	// Kind is as what Name counts: a .x is exact for x.
	Kind NameKind

	err error // why the regular expression of Name cannot be evaluated
}

// Rank returns the server blocks that certbot would give a certificate for host to, best
// first: those with TLS before those without, then exact names, *.x, x.*, regular
// expressions, longer wildcards before shorter, else the order of the configuration.
// It answers which block is meant where no socket is known yet; Choose says which one
// nginx takes. The error is an *UndecidedError when a regular expression that cannot be
// evaluated might come first.
func (h *HTTP) Rank(host string) ([]Ranked, error) {
	var out []Ranked
	for _, s := range h.Servers {
		if r, ok := s.rank(host); ok {
			out = append(out, r)
		}
	}
	slices.SortStableFunc(out, func(a, b Ranked) int {
		return cmp.Or(cmp.Compare(a.class(), b.class()), cmp.Compare(b.wildcard(), a.wildcard()))
	})
	known := out[:0:0]
	var unknown []Ranked
	for _, r := range out {
		if r.err != nil {
			unknown = append(unknown, r)
		} else {
			known = append(known, r)
		}
	}
	if len(unknown) == 0 || len(known) > 0 && known[0].class() < unknown[0].class() {
		return known, nil
	}
	u := unknown[0]
	e := &UndecidedError{Host: host, Place: u.Name.Directive.Place(), Text: u.Name.Text, Err: u.err}
	for _, r := range out {
		e.Candidates = append(e.Candidates, r.Server)
	}
	return nil, e
}

// class orders as certbot does: rank of the name, four more without TLS.
func (r Ranked) class() int {
	class := map[NameKind]int{ExactName: 0, DottedName: 0, LeadingName: 1, TrailingName: 2, RegexName: 3}[r.Kind]
	if !r.Server.TLS {
		class += 4
	}
	return class
}

// wildcard is how specific a wildcard is.
func (r Ranked) wildcard() int {
	if r.Kind == LeadingName || r.Kind == TrailingName {
		return len(r.Name.Text)
	}
	return 0
}

func (s *Server) rank(host string) (Ranked, bool) {
	kind, i, err, ok := bestName(s.Names, host)
	if !ok {
		return Ranked{}, false
	}
	return Ranked{s, &s.Names[i], kind, err}, true
}

// bestName is certbot's choice among the names of one block: the shortest exact one, the
// longest *.x, the longest x.*, the first regular expression. A .x counts as exact for
// x and as a wildcard for what is below.
func bestName(names []Name, host string) (kind NameKind, index int, err error, ok bool) {
	host = lower(host)
	best := -1
	for i := range names {
		k, matches := names[i].matches(host)
		if !matches {
			continue
		}
		better := best < 0 || k < kind
		if k == kind && best >= 0 {
			longer := len(names[i].Text) - len(names[best].Text)
			switch k {
			case ExactName:
				better = longer < 0
			case RegexName: // one that does match beats one that may
				better = names[best].re == nil && names[i].re != nil
			default:
				better = longer > 0
			}
		}
		if better {
			best, kind = i, k
		}
	}
	if best < 0 {
		return 0, 0, nil, false
	}
	if kind == RegexName {
		err = names[best].why
	}
	return kind, best, err, true
}

// matches says whether a name is one for host, and as which kind it counts: a .x is
// exact for x itself. One that cannot be evaluated is taken for a match.
func (n *Name) matches(host string) (NameKind, bool) {
	switch n.Kind {
	case ExactName:
		return ExactName, n.key == host && host != ""
	case DottedName:
		if n.key == host {
			return ExactName, true
		}
		return LeadingName, strings.HasSuffix(host, "."+n.key)
	case LeadingName:
		return LeadingName, strings.HasSuffix(host, "."+n.key)
	case TrailingName:
		return TrailingName, strings.HasPrefix(host, n.key+".")
	}
	return RegexName, n.re == nil || n.re.MatchString(host)
}
