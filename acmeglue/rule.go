package acmeglue

import (
	"net/http"
	"reflect"
	"strings"
	"sync"
	"time"

	"edge"
)

// rule is an OnDemandRule at work.
type rule struct {
	OnDemandRule
	exact   map[string]bool // of Allow: exact names
	one     map[string]bool // of Allow: "*.x" as ".x"
	deep    []string        // of Allow: "**.x" as ".x"
	asker   *asker          // nil without Ask
	orders  chan struct{}   // holds one token for each order in progress
	newOnes *quota
}

func newRule(o OnDemandRule, now func() time.Time) *rule {
	o.MaxNewPerHour = orDefault(o.MaxNewPerHour, 60)
	o.MaxConcurrent = orDefault(o.MaxConcurrent, 8)
	r := &rule{
		OnDemandRule: o,
		exact:        make(map[string]bool),
		one:          make(map[string]bool),
		orders:       make(chan struct{}, o.MaxConcurrent),
		newOnes:      &quota{now: now, size: o.MaxNewPerHour, span: time.Hour},
	}
	for _, p := range o.Allow {
		p = strings.ToLower(p)
		if rest, ok := strings.CutPrefix(p, "**."); ok {
			r.deep = append(r.deep, "."+rest)
		} else if rest, ok := strings.CutPrefix(p, "*."); ok {
			r.one["."+rest] = true
		} else {
			r.exact[p] = true
		}
	}
	if o.Ask != "" {
		r.asker = newAsker(o.Ask, now)
	}
	return r
}

// allows reports whether a pattern of Allow has the name.
func (r *rule) allows(name string) bool {
	if r.exact[name] || r.one[suffix(name)] {
		return true
	}
	for _, s := range r.deep {
		if strings.HasSuffix(name, s) && len(name) > len(s) {
			return true
		}
	}
	return false
}

// covers reports whether the rule could have permitted a stored certificate.
// Where an endpoint decides it is not asked here: it may be down just now.
func (r *rule) covers(id edge.Identifier) bool {
	if id.Type == edge.IP && !r.AllowIP {
		return false
	}
	return r.asker != nil || r.allows(id.Value)
}

// addRules gives v the rules of the settings. A rule that did not change keeps
// its answers and its counts; where only the plan changed, too.
func (m *Manager) addRules(v, old *view, s *Settings) {
	for i := range s.OnDemand {
		o := s.OnDemand[i]
		r := newRule(o, m.now)
		if len(o.Hosts) > 0 {
			if before := old.rules[o.Hosts[0]]; before != nil {
				r.newOnes.inherit(before.newOnes)
				if reflect.DeepEqual(before.Allow, o.Allow) && before.Ask == o.Ask && before.MaxConcurrent == r.MaxConcurrent {
					r.asker, r.orders = before.asker, before.orders
				}
			}
		}
		for _, h := range o.Hosts {
			v.rules[h] = r
		}
	}
	for _, h := range s.Off {
		v.rules[h] = nil
	}
	// What has a plan of its own is not obtained under a wider rule.
	for i := range s.Sites {
		for _, id := range s.Sites[i].Hosts {
			v.rules[id.Value] = nil
		}
	}
	for _, l := range s.Lineages {
		for _, h := range l.Hosts {
			v.rules[h] = nil
		}
	}
	for _, p := range s.Static {
		for _, h := range p.Hosts {
			v.rules[h] = nil
		}
	}
}

// closeAskers lets go of the connections to permission endpoints that next, which
// may be nil, does not use.
func (v *view) closeAskers(next *view) {
	kept := make(map[*asker]bool)
	if next != nil {
		for _, r := range next.rules {
			if r != nil {
				kept[r.asker] = true
			}
		}
	}
	for _, r := range v.rules {
		if r != nil && r.asker != nil && !kept[r.asker] {
			r.asker.client.CloseIdleConnections()
		}
	}
}

// ruleFor is the rule for an identifier of either type.
func (v *view) ruleFor(id edge.Identifier) *rule {
	if id.Type == edge.IP {
		return v.rules["*"]
	}
	return v.rule(id.Value)
}

// quota counts events of the last span, up to size. Safe for concurrent use.
type quota struct {
	now  func() time.Time
	size int
	span time.Duration

	mu   sync.Mutex
	seen []time.Time // oldest first
}

// take notes one event, unless there were too many.
func (w *quota) take() bool {
	w.mu.Lock()
	defer w.mu.Unlock()
	now, past := w.now(), 0
	// An event in the future is of a clock that was set back: let it go, or the
	// window would be shut for that long.
	for past < len(w.seen) && (now.Sub(w.seen[past]) >= w.span || w.seen[past].After(now)) {
		past++
	}
	w.seen = w.seen[past:]
	if len(w.seen) >= w.size {
		return false
	}
	w.seen = append(w.seen, now)
	return true
}

// giveBack undoes the latest take, for an event that did not come about.
func (w *quota) giveBack() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if n := len(w.seen); n > 0 {
		w.seen = w.seen[:n-1]
	}
}

func (w *quota) inherit(from *quota) {
	from.mu.Lock()
	defer from.mu.Unlock()
	w.seen = append([]time.Time(nil), from.seen...)
}

// noRedirect keeps a permission endpoint from sending edge elsewhere.
func noRedirect(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
