package acmeglue

import (
	"iter"
	"maps"
	"net/netip"
	"strings"

	"edge"
)

// view is the table that handshakes read. It is never changed once published;
// a new name means a new view, a renewed certificate only a new slot.live.
type view struct {
	exact    map[string]*slot     // by name, also on-demand ones
	wild     map[string]*slot     // "*.b.c" by ".b.c", so that the lookup needs no new string
	addrs    map[netip.Addr]*slot // certificates for IP addresses
	catchAll *slot                // a static pair for "*"
	fallback []*slot              // of the default site
	rules    map[string]*rule     // by host pattern; nil: nothing on demand here
	lineages map[string][]*slot   // the hosts that use each
	issuers  []string             // storage keys of CAs, to look for certificates
}

func newView() *view {
	return &view{
		exact: make(map[string]*slot),
		wild:  make(map[string]*slot),
		addrs: make(map[netip.Addr]*slot),
		rules: make(map[string]*rule),

		lineages: make(map[string][]*slot),
	}
}

// suffix is what view.wild is searched by: ".b.c" for "a.b.c".
func suffix(name string) string {
	i := strings.IndexByte(name, '.')
	if i < 0 {
		return ""
	}
	return name[i:]
}

// put adds a slot under its name.
func (v *view) put(s *slot) {
	switch {
	case s.id.Value == "*":
		v.catchAll = s
	case s.id.Type == edge.IP:
		if a, err := netip.ParseAddr(s.id.Value); err == nil {
			v.addrs[a] = s
		}
	case s.id.IsWildcard():
		v.wild[s.id.Value[1:]] = s
	default:
		v.exact[s.id.Value] = s
	}
}

// remove takes a slot out again; only names that are no wildcards come and go.
func (v *view) remove(s *slot) {
	delete(v.exact, s.id.Value)
	if a, err := netip.ParseAddr(s.id.Value); err == nil {
		delete(v.addrs, a)
	}
}

// get is the slot of exactly this name or pattern, nil where there is none.
func (v *view) get(name string) *slot {
	if name == "*" {
		return v.catchAll
	}
	if strings.HasPrefix(name, "*.") {
		return v.wild[name[1:]]
	}
	if s := v.exact[name]; s != nil {
		return s
	}
	if a, err := netip.ParseAddr(name); err == nil {
		return v.addrs[a]
	}
	return nil
}

// all yields every slot once.
func (v *view) all() iter.Seq[*slot] {
	return func(yield func(*slot) bool) {
		for _, m := range []map[string]*slot{v.exact, v.wild} {
			for _, s := range m {
				if !yield(s) {
					return
				}
			}
		}
		for _, s := range v.addrs {
			if !yield(s) {
				return
			}
		}
		if v.catchAll != nil {
			yield(v.catchAll)
		}
	}
}

// edited is a copy of the view to which edit was applied.
func (v *view) edited(edit func(*view)) *view {
	w := *v
	w.exact, w.wild, w.addrs = maps.Clone(v.exact), maps.Clone(v.wild), maps.Clone(v.addrs)
	edit(&w)
	return &w
}

// rule is the on-demand rule for a name: that of the exact host, else of the
// wildcard, else of "*". A host of another kind in between hides what is wider.
func (v *view) rule(name string) *rule {
	if r, ok := v.rules[name]; ok {
		return r
	}
	if r, ok := v.rules["*"+suffix(name)]; ok {
		return r
	}
	return v.rules["*"]
}
