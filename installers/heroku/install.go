package heroku

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"edge/installers/delivery"
	"edge/installers/kept"
)

// Target is an app.
type Target struct {
	o       *Options
	api     *platform
	domains []domain // as they were seen last
}

var _ delivery.Placed = (*Target)(nil)
var _ delivery.Patient = (*Target)(nil)

// NewTarget makes a target of an app.
func NewTarget(o Options) (*Target, error) {
	if !appForm.MatchString(o.App) {
		return nil, fmt.Errorf("app %.70q is no name of an app", o.App)
	}
	p, err := newPlatform(&o)
	return &Target{o: &o, api: p}, err
}

// note is what a delivery remembers.
type note struct {
	Endpoint string `json:"endpoint"` // its id
}

func noted(data json.RawMessage) string {
	var n note
	if json.Unmarshal(data, &n) != nil {
		return ""
	}
	return n.Endpoint
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return name }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.App }

// Settings implements delivery.Target.
func (t *Target) Settings() string { return t.o.Settings }

// Within implements delivery.Patient.
func (t *Target) Within() time.Duration { return t.o.Within }

// state is what an app has.
type state struct {
	endpoints []endpoint
	domains   []domain
}

func (t *Target) look(ctx context.Context) (*state, error) {
	var app struct{ ACM bool }
	if err := t.api.do(ctx, http.MethodGet, t.o.App, "", nil, &app); err != nil {
		return nil, err
	}
	if app.ACM {
		return nil, fmt.Errorf("Heroku gets the certificates of %s itself and would replace this one; heroku certs:auto:disable -a %[1]s", t.o.App)
	}
	s := &state{}
	var err error
	if s.endpoints, err = list[endpoint](ctx, t.api, t.o.App, "/sni-endpoints"); err != nil {
		return nil, err
	}
	if s.domains, err = list[domain](ctx, t.api, t.o.App, "/domains"); err != nil {
		return nil, err
	}
	t.domains = s.domains
	return s, nil
}

// choose is the endpoint whose certificate is replaced, nil where a new one is made: that
// of the last delivery, else one with exactly the same names.
func (s *state) choose(m *delivery.Material, last string) *endpoint {
	for i := range s.endpoints {
		if last != "" && s.endpoints[i].ID == last {
			return &s.endpoints[i]
		}
	}
	want := nameSet(m.Certs[0].DNSNames)
	for i := range s.endpoints {
		if slices.Equal(nameSet(s.endpoints[i].Cert.Domains), want) {
			return &s.endpoints[i]
		}
	}
	return nil
}

// has reports whether an endpoint has a certificate with its chain already.
func (e *endpoint) has(m *delivery.Material) bool {
	return bytes.Equal(ders([]byte(e.Chain)), ders(m.FullChainPEM))
}

// ders are the certificates of a text in PEM form, without what is around them.
func ders(text []byte) []byte {
	var all []byte
	for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
		all = append(all, block.Bytes...)
	}
	return all
}

func nameSet(names []string) []string {
	var set []string
	for _, n := range names {
		set = append(set, strings.ToLower(n))
	}
	slices.Sort(set)
	return slices.Compact(set)
}

// Look implements delivery.Target.
func (t *Target) Look(ctx context.Context, m *delivery.Material, data json.RawMessage) ([]string, error) {
	s, err := t.look(ctx)
	if err != nil {
		return nil, err
	}
	id := noted(data)
	i := slices.IndexFunc(s.endpoints, func(e endpoint) bool { return e.ID == id })
	if i < 0 {
		return []string{"the app has no such SNI endpoint any more"}, nil
	}
	var list []string
	if !s.endpoints[i].has(m) {
		list = append(list, fmt.Sprintf("the SNI endpoint %s has another certificate", s.endpoints[i].Name))
	}
	for _, d := range wanted(s.domains, m, id) {
		if d.attached() != id {
			list = append(list, d.Hostname+" does not have the SNI endpoint "+s.endpoints[i].Name)
		}
	}
	return list, nil
}

// Plan implements delivery.Target.
func (t *Target) Plan(ctx context.Context, m *delivery.Material) []string {
	s, err := t.look(ctx)
	if err == nil {
		err = m.Whole()
	}
	if err != nil {
		return []string{"nothing can be planned: " + err.Error()}
	}
	e := s.choose(m, "")
	id, which, list := "", "the new one", []string(nil)
	switch {
	case e == nil:
		list = append(list, "make a new SNI endpoint of the app "+t.o.App)
	case !e.has(m):
		list = append(list, "put the certificate into the SNI endpoint "+e.Name)
	}
	if e != nil {
		id, which = e.ID, e.Name
	}
	for _, d := range wanted(s.domains, m, id) {
		if id == "" || d.attached() != id {
			list = append(list, fmt.Sprintf("have %s use the SNI endpoint %s", d.Hostname, which))
		}
		list = append(list, "look whether Heroku shows it for "+d.Hostname)
	}
	return list
}

// putting is one Put: what has been changed so far, and how that is taken back.
type putting struct {
	t     *Target
	id    string     // of the endpoint
	made  bool       // it is new
	over  bool       // its certificate was replaced
	old   *kept.Pair // by this one; nil: it is not known
	moved []domain   // those that were attached, as they were before
}

// Put implements delivery.Target.
func (t *Target) Put(ctx context.Context, m *delivery.Material, data json.RawMessage) (delivery.Change, error) {
	var c delivery.Change
	if err := m.Whole(); err != nil {
		return c, err
	}
	s, err := t.look(ctx)
	if err != nil {
		return c, err
	}
	if len(wanted(s.domains, m, "")) == 0 {
		return c, fmt.Errorf("the app %s has none of the names %s; add them: heroku domains:add NAME -a %[1]s", t.o.App, strings.Join(m.Hosts, ", "))
	}
	for _, h := range m.Hosts {
		if !slices.ContainsFunc(s.domains, func(d domain) bool { return covered(h, d.Hostname) }) {
			c.Warnings = append(c.Warnings, fmt.Sprintf("%s is no domain of the app %s: heroku domains:add %[1]s -a %[2]s", h, t.o.App))
		}
	}
	p := &putting{t: t}
	if err := p.store(ctx, m, s.choose(m, noted(data))); err != nil {
		return c, errors.Join(err, p.undo(context.WithoutCancel(ctx)))
	}
	for _, d := range wanted(s.domains, m, p.id) {
		if d.attached() == p.id {
			continue
		}
		p.moved = append(p.moved, d) // perhaps: an answer may get lost
		if err := t.attach(ctx, d.Hostname, p.id); err != nil {
			return c, errors.Join(err, p.undo(context.WithoutCancel(ctx)))
		}
	}
	if c.Data, err = json.Marshal(note{p.id}); err != nil {
		return c, err
	}
	if p.over && p.old == nil {
		c.Warnings = append(c.Warnings, "the certificate that the SNI endpoint had before was not delivered from here, and Heroku gives no keys back: it cannot be put back")
	}
	if !p.over || p.old != nil || len(p.moved) > 0 {
		c.Undo = p.undo
	}
	c.Commit = func(context.Context) error { return t.keptAs(p.id).Save(m.FullChainPEM, m.KeyPEM) }
	return c, nil
}

// pair is the body that makes or fills an endpoint.
type pair struct {
	Chain string `json:"certificate_chain"`
	Key   string `json:"private_key"`
}

// store brings the certificate into an endpoint, or into a new one.
func (p *putting) store(ctx context.Context, m *delivery.Material, e *endpoint) error {
	t := p.t
	body := pair{string(m.FullChainPEM), string(m.KeyPEM)}
	if e == nil {
		var made endpoint
		if err := t.api.do(ctx, http.MethodPost, t.o.App, "/sni-endpoints", body, &made); err != nil {
			return err
		}
		if made.ID == "" {
			return errors.New("POST /sni-endpoints: the answer has no id")
		}
		p.id, p.made = made.ID, true
		return nil
	}
	p.id = e.ID
	if e.has(m) {
		return nil
	}
	old, err := t.keptAs(e.ID).Load()
	if err != nil {
		t.o.Env.Log.Warn("an undo would have nothing to put back", "target", name, "error", err)
	} else if old != nil && bytes.Equal(ders(old.Chain), ders([]byte(e.Chain))) {
		p.old = old
	}
	err = t.fill(ctx, e.ID, body)
	p.over = err == nil || status(err)/100 != 4 // what was refused is not there
	return err
}

func (t *Target) fill(ctx context.Context, id string, body pair) error {
	return t.api.do(ctx, http.MethodPatch, t.o.App, "/sni-endpoints/"+url.PathEscape(id), body, nil)
}

// attach has a domain use an endpoint; "" for none.
func (t *Target) attach(ctx context.Context, hostname, id string) error {
	body := map[string]any{"sni_endpoint": nil}
	if id != "" {
		body["sni_endpoint"] = id
	}
	return t.api.do(ctx, http.MethodPatch, t.o.App, "/domains/"+url.PathEscape(hostname), body, nil)
}

// undo takes back what was done: domains first, since an endpoint that is in use cannot
// be removed.
func (p *putting) undo(ctx context.Context) error {
	t := p.t
	var errs []error
	for _, d := range slices.Backward(p.moved) {
		errs = append(errs, t.attach(ctx, d.Hostname, d.attached()))
	}
	switch {
	case p.made:
		err := t.api.do(ctx, http.MethodDelete, t.o.App, "/sni-endpoints/"+url.PathEscape(p.id), nil, nil)
		if status(err) == http.StatusNotFound {
			err = nil
		}
		errs = append(errs, err)
	case p.over && p.old == nil:
		errs = append(errs, errors.New("the SNI endpoint has the new certificate; the one before was not delivered from here, and Heroku gives no keys back"))
	case p.over:
		errs = append(errs, t.fill(ctx, p.id, pair{string(p.old.Chain), string(p.old.Key)}))
	}
	return errors.Join(errs...)
}

// keptAs is where the pair is kept that was put into an endpoint last.
func (t *Target) keptAs(id string) *kept.File {
	return &kept.File{Dir: t.o.Env.State, Kind: name, Name: t.o.Env.Name, Where: t.o.App + " " + id, Durable: t.o.Env.Durable}
}
