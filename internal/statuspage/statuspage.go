// Package statuspage shows people what the front door knows of itself: one page
// of HTML, without JavaScript, that changes nothing. It belongs on the metrics
// listener, which is no public address.
package statuspage

import (
	"bytes"
	_ "embed"
	"fmt"
	"html/template"
	"net/http"
	"slices"
	"sync"
	"time"

	"edge"
	"edge/internal/admin"
)

//go:embed page.html
var source string

// maxCertificates are shown; of more, those that are well are counted only.
const maxCertificates = 200

// Page makes the page. Safe for concurrent use.
type Page struct {
	status   func() admin.Status
	inFlight func() map[string]int64
	now      func() time.Time
	page     *template.Template
	rates    Rates
}

// New returns a page of what the functions say when somebody looks.
func New(status func() admin.Status, inFlight func() map[string]int64, now func() time.Time) *Page {
	t := template.Must(template.New("status").Funcs(template.FuncMap{"time": when}).Parse(source))
	return &Page{status: status, inFlight: inFlight, now: now, page: t}
}

func when(t time.Time) string {
	if t.IsZero() {
		return ""
	}
	return t.UTC().Format("2006-01-02 15:04 UTC")
}

// ServeHTTP implements http.Handler.
func (p *Page) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Method != http.MethodGet && r.Method != http.MethodHead {
		w.Header().Set("Allow", "GET, HEAD")
		http.Error(w, "method not allowed", http.StatusMethodNotAllowed)
		return
	}
	var b bytes.Buffer
	if err := p.page.Execute(&b, p.view()); err != nil {
		http.Error(w, "the page could not be made", http.StatusInternalServerError)
		return
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Security-Policy", "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'; base-uri 'none'; form-action 'none'")
	h.Set("X-Content-Type-Options", "nosniff")
	h.Set("Referrer-Policy", "no-referrer")
	h.Set("Cache-Control", "no-store")
	_, _ = w.Write(b.Bytes())
}

type view struct {
	Status       admin.Status
	Summary      string
	Certificates []certificate
	More         int
	Sites        []site
	Upstreams    []server
}

type certificate struct {
	Name, State, Class, Days, Issuer, Error string
	Renewal                                 time.Time
}

type site struct {
	admin.Site
	InFlight int64
}

type server struct {
	edge.UpstreamStatus
	Class string
	Rate  float64
}

func (p *Page) view() view {
	now := p.now()
	v := view{Status: p.status()}
	bad := 0
	all := slices.Clone(v.Status.Certificates)
	slices.SortStableFunc(all, func(a, b edge.CertificateStatus) int {
		if d := rank(&a) - rank(&b); d != 0 {
			return d
		}
		return a.NotAfter.Compare(b.NotAfter)
	})
	for i := range all {
		c := &all[i]
		if rank(c) == 0 {
			bad++
		}
		if i >= maxCertificates && rank(c) > 0 {
			v.More++
			continue
		}
		row := certificate{Name: c.Name, State: string(c.State), Class: [...]string{"bad", "soon", "good"}[rank(c)], Issuer: c.Issuer, Error: c.LastError, Renewal: c.RenewAfter}
		if !c.NotAfter.IsZero() {
			row.Days = fmt.Sprintf("%.1f", c.NotAfter.Sub(now).Hours()/24)
		}
		v.Certificates = append(v.Certificates, row)
	}
	flights := p.inFlight()
	for _, s := range v.Status.Sites {
		v.Sites = append(v.Sites, site{s, flights[s.Name]})
	}
	down := 0
	for _, u := range v.Status.Upstreams {
		row := server{UpstreamStatus: u, Class: "good", Rate: p.rates.Of(u.Site+" "+u.Address, u.Requests, now)}
		if row.State == "" {
			row.State = "up"
		}
		if !u.Healthy {
			row.Class = "bad"
			down++
		}
		v.Upstreams = append(v.Upstreams, row)
	}
	switch {
	case bad > 0:
		v.Summary = fmt.Sprintf("%d of %d certificates need attention", bad, len(all))
	case down > 0:
		v.Summary = fmt.Sprintf("%d of %d upstream servers are not well", down, len(v.Upstreams))
	default:
		v.Summary = fmt.Sprintf("all is well: %d sites, %d certificates", len(v.Sites), len(all))
	}
	return v
}

// rank is 0 for what needs somebody, 1 for what is on its way, 2 for what is well.
func rank(c *edge.CertificateStatus) int {
	switch c.State {
	case edge.StateValid:
		return 2
	case edge.StatePending, edge.StateExpiring:
		return 1
	}
	return 0
}

// Rates turns counters into rates, by what they were when somebody looked last.
// The zero value is ready. Safe for concurrent use.
type Rates struct {
	mu   sync.Mutex
	last map[string]count
}

type count struct {
	n    uint64
	at   time.Time
	rate float64
}

// Of returns how fast the counter of a key has grown a second since the last look.
func (r *Rates) Of(key string, n uint64, now time.Time) float64 {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.last == nil {
		r.last = map[string]count{}
	}
	was, ok := r.last[key]
	passed := now.Sub(was.at).Seconds()
	switch {
	case !ok || n < was.n:
		r.last[key] = count{n: n, at: now}
		return 0
	case passed < 1:
		return was.rate // two people look at the same time
	}
	rate := float64(n-was.n) / passed
	r.last[key] = count{n, now, rate}
	return rate
}
