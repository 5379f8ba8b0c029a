package heroku

import (
	"bytes"
	"context"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"edge/installers/delivery"
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
		return nil, fmt.Errorf("the certificates of %s are got by Heroku itself, which would replace this one; heroku certs:auto:disable -a %[1]s", t.o.App)
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
