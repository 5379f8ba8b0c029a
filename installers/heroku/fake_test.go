package heroku

import (
	"bytes"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

const (
	fakeToken = "HRKU-01234567-89ab-cdef-SECRETTOKEN"
	fakeApp   = "shop-prod"
	variable  = "LETS_ENCRYPT_CHALLENGE"
)

// fakeEndpoint is an SNI endpoint.
type fakeEndpoint struct {
	id, name, chain, key string
	leaf                 *x509.Certificate
}

// fakeHeroku has one app, and answers as its schema says.
type fakeHeroku struct {
	t    *testing.T
	at   *targettest.Service
	site *httptest.Server // the router

	mu        sync.Mutex
	acm       bool
	endpoints []*fakeEndpoint
	made      int
	domains   map[string]string // hostname, id of its endpoint
	names     []string          // of the domains, in order
	pageSize  int
	locked    string // endpoint whose domains cannot be changed: an error in between

	vars    map[string]string
	release int
	running int               // release of the dynos
	booting int               // looks at the dynos until they run the newest release
	live    map[string]string // the variables of those that answer
	preboot int               // requests that the old dynos still answer after that
	enabled bool              // preboot
	dynos   string            // their type
	state   string            // other than the usual one
	whole   bool              // the app answers with all of its variable
	asked   []string
}

func newFake(t *testing.T) *fakeHeroku {
	f := &fakeHeroku{
		t: t, domains: map[string]string{}, pageSize: 3, vars: map[string]string{"DATABASE_URL": "postgres://SECRETDATABASE"}, release: 7, running: 7, dynos: "web",
		names: []string{"shop-prod.herokuapp.com", "example.test", "*.example.test", "a.example.test", "b.example.test", "other.test"},
	}
	f.at = targettest.NewService(t, f)
	f.at.Deny = func(w http.ResponseWriter, _ *http.Request) {
		refuse(w, http.StatusUnauthorized, "unauthorized", "Invalid credentials provided: "+fakeToken)
	}
	f.site = httptest.NewServer(http.HandlerFunc(f.serveSite))
	t.Cleanup(f.site.Close)
	return f
}

// options are of this Heroku, for the world of a test.
func (f *fakeHeroku) options(env *target.Env) Options {
	f.t.Helper()
	env.Getenv = func(name string) string { return map[string]string{"HEROKU_API_KEY": fakeToken}[name] }
	dial := env.Dial
	env.Dial = func(ctx context.Context, network, addr string) (net.Conn, error) {
		if strings.HasSuffix(addr, ".example.test:80") {
			addr = f.site.Listener.Addr().String()
		}
		return dial(ctx, network, addr)
	}
	k := Kind()
	v, problems := target.Parse(&k, map[string][]string{"app": {fakeApp}}, env.Getenv, true, true)
	if len(problems) > 0 {
		f.t.Fatal(problems)
	}
	o, err := options(v, env)
	if err != nil {
		f.t.Fatal(err)
	}
	o.Base, o.Roots, o.At, o.Timeout = f.at.URL, f.at.Roots, []installers.Endpoint{f.at.At}, 700*time.Millisecond
	return o
}

func refuse(w http.ResponseWriter, status int, id, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]string{"id": id, "message": message})
}

func give(w http.ResponseWriter, status int, v any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(v)
}

func (f *fakeHeroku) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	if err != nil {
		return
	}
	f.mu.Lock()
	defer f.mu.Unlock()
	path, ok := strings.CutPrefix(r.URL.Path, "/apps/"+fakeApp)
	f.asked = append(f.asked, r.Method+" "+path)
	switch {
	case r.Header.Get("Accept") != "application/vnd.heroku+json; version=3":
		refuse(w, http.StatusNotAcceptable, "not_acceptable", "Version 3 only")
	case r.Header.Get("Authorization") != "Bearer "+fakeToken:
		refuse(w, http.StatusUnauthorized, "unauthorized", "Invalid credentials provided.")
	case len(body) > 0 && (r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(len(body))):
		refuse(w, http.StatusBadRequest, "bad_request", "Content-Type or Content-Length")
	case !ok || r.URL.RawQuery != "":
		refuse(w, http.StatusNotFound, "not_found", "Couldn't find that app.")
	default:
		f.route(w, r, path, body)
	}
}

func (f *fakeHeroku) route(w http.ResponseWriter, r *http.Request, path string, body []byte) {
	kind, id, _ := strings.Cut(strings.TrimPrefix(path, "/"), "/")
	switch r.Method + " " + kind {
	case "GET ":
		give(w, 200, map[string]any{"name": fakeApp, "acm": f.acm})
	case "GET sni-endpoints":
		var all []any
		for _, e := range f.endpoints {
			all = append(all, f.endpoint(e))
		}
		f.page(w, r, all)
	case "POST sni-endpoints", "PATCH sni-endpoints":
		f.putEndpoint(w, r.Method, id, body)
	case "DELETE sni-endpoints":
		f.deleteEndpoint(w, id)
	case "GET domains":
		var all []any
		for _, name := range f.names {
			all = append(all, f.domain(name))
		}
		f.page(w, r, all)
	case "PATCH domains":
		f.patchDomain(w, id, body)
	default:
		f.routeDynos(w, r, kind, id, body)
	}
}

// page is a part of a list, by Range and Next-Range.
func (f *fakeHeroku) page(w http.ResponseWriter, r *http.Request, all []any) {
	from := 0
	if span := r.Header.Get("Range"); span != "" {
		if _, err := fmt.Sscanf(span, "id ]%d..", &from); err != nil {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "invalid_range", span)
			return
		}
	}
	to := min(from+f.pageSize, len(all))
	if to < len(all) {
		w.Header().Set("Next-Range", fmt.Sprintf("id ]%d..; max=%d", to, f.pageSize))
		give(w, http.StatusPartialContent, all[from:to])
		return
	}
	give(w, 200, append([]any{}, all[from:to]...))
}

func (f *fakeHeroku) endpoint(e *fakeEndpoint) map[string]any {
	var domains []string
	for _, name := range f.names {
		if f.domains[name] == e.id {
			domains = append(domains, "domain-"+name)
		}
	}
	return map[string]any{
		"id": e.id, "name": e.name, "display_name": nil, "domains": domains, "certificate_chain": e.chain, "created_at": time.Now(), "updated_at": time.Now(),
		"ssl_cert": map[string]any{"cert_domains": e.leaf.DNSNames, "expires_at": e.leaf.NotAfter, "issuer": e.leaf.Issuer.String(), "id": "x"},
	}
}

func (f *fakeHeroku) domain(name string) map[string]any {
	d := map[string]any{"id": "domain-" + name, "hostname": name, "kind": "custom", "cname": name + ".herokudns.com", "status": "succeeded", "acm_status": nil, "sni_endpoint": nil}
	if strings.HasSuffix(name, ".herokuapp.com") {
		d["kind"], d["cname"] = "heroku", nil
	}
	if id := f.domains[name]; id != "" {
		d["sni_endpoint"] = map[string]string{"id": id, "name": f.byID(id).name}
	}
	return d
}

func (f *fakeHeroku) byID(id string) *fakeEndpoint {
	i := slices.IndexFunc(f.endpoints, func(e *fakeEndpoint) bool { return e.id == id || e.name == id })
	if i < 0 {
		return nil
	}
	return f.endpoints[i]
}

func strict(w http.ResponseWriter, body []byte, in any) bool {
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(in); err != nil {
		refuse(w, 422, "invalid_params", err.Error())
		return false
	}
	return true
}

func (f *fakeHeroku) putEndpoint(w http.ResponseWriter, method, id string, body []byte) {
	var in struct {
		Chain *string `json:"certificate_chain"`
		Key   *string `json:"private_key"`
	}
	if !strict(w, body, &in) {
		return
	}
	if in.Chain == nil || in.Key == nil {
		refuse(w, 422, "invalid_params", "Require params: certificate_chain, private_key.")
		return
	}
	pair, err := tls.X509KeyPair([]byte(*in.Chain), []byte(*in.Key))
	if err == nil {
		err = ordered(pair.Certificate)
	}
	if err != nil {
		refuse(w, 422, "invalid_params", "Key doesn't match the PEM certificate: "+err.Error())
		return
	}
	e := f.byID(id)
	switch {
	case method == "PATCH" && (e == nil || e.id != id):
		refuse(w, 404, "not_found", "Couldn't find that SNI endpoint.")
		return
	case method == "POST":
		f.made++
		e = &fakeEndpoint{id: fmt.Sprintf("01234567-0000-4000-8000-%012d", f.made), name: fmt.Sprintf("tyrannosaurs-%05d", f.made)}
		f.endpoints = append(f.endpoints, e)
	}
	e.chain, e.key, e.leaf = *in.Chain, *in.Key, pair.Leaf
	f.show()
	give(w, map[string]int{"POST": 201, "PATCH": 200}[method], f.endpoint(e))
}

func ordered(chain [][]byte) error {
	var last *x509.Certificate
	for _, der := range chain {
		c, err := x509.ParseCertificate(der)
		if err != nil {
			return err
		}
		if last != nil && last.CheckSignatureFrom(c) != nil {
			return errors.New("the chain is out of order")
		}
		last = c
	}
	return nil
}

// show has the TLS port show what the domains have.
func (f *fakeHeroku) show() {
	for _, name := range f.names {
		var chain, key []byte
		if e := f.byID(f.domains[name]); e != nil {
			chain, key = []byte(e.chain), []byte(e.key)
		}
		if err := f.at.Install(name, chain, key); err != nil {
			f.t.Error(err)
		}
	}
}

func (f *fakeHeroku) deleteEndpoint(w http.ResponseWriter, id string) {
	e := f.byID(id)
	switch {
	case e == nil:
		refuse(w, 404, "not_found", "Couldn't find that SNI endpoint.")
	case len(f.endpoint(e)["domains"].([]string)) > 0:
		refuse(w, 422, "invalid_params", "The endpoint still has domains.")
	default:
		f.endpoints = slices.DeleteFunc(f.endpoints, func(x *fakeEndpoint) bool { return x == e })
		give(w, 200, map[string]string{"id": id})
	}
}

func (f *fakeHeroku) patchDomain(w http.ResponseWriter, hostname string, body []byte) {
	var in map[string]*string
	if !strict(w, body, &in) {
		return
	}
	to, said := in["sni_endpoint"]
	switch {
	case !said || len(in) != 1:
		refuse(w, 422, "invalid_params", "Require params: sni_endpoint.")
		return
	case !slices.Contains(f.names, hostname):
		refuse(w, 404, "not_found", "Couldn't find that domain name.")
		return
	case hostname == f.locked:
		refuse(w, 422, "invalid_params", "it is locked")
		return
	case to == nil:
		delete(f.domains, hostname)
	default:
		e := f.byID(*to)
		if e == nil || e.leaf.VerifyHostname(strings.Replace(hostname, "*", "any", 1)) != nil {
			refuse(w, 422, "invalid_params", "SNI endpoint is not for this domain.")
			return
		}
		f.domains[hostname] = e.id
	}
	f.show()
	give(w, 200, f.domain(hostname))
}
