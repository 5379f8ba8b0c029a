package gandi

import (
	"bytes"
	"crypto/rsa"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

const (
	pat    = "pat0123456789abcdef0123456789abcdef01234"
	apiKey = "abcdefghijklmnopqrstuvwx"
	zone   = "example.test"
)

// livedns is a strict fake of LiveDNS with one zone, whose name server is real.
type livedns struct {
	*targettest.Service
	t   *testing.T
	dns *edgetest.DNS

	mu   sync.Mutex
	sets map[string]rrset // by name
	// after, where set, is what somebody else does right after the next write.
	after   func()
	scheme  string
	changed []string // methods of writes
	// late keeps what is written from the name server.
	late bool
}

func newLiveDNS(t *testing.T) *livedns {
	t.Helper()
	dns, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	f := &livedns{t: t, dns: dns, sets: map[string]rrset{}, scheme: "Bearer " + pat}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	return f
}

func problem(w http.ResponseWriter, code int, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"code": code, "message": message, "object": "HTTPError", "cause": http.StatusText(code)})
}

func (f *livedns) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	parts := strings.Split(strings.TrimPrefix(r.URL.EscapedPath(), "/v5/livedns/domains/"), "/")
	switch {
	case r.Header.Get("Authorization") != f.scheme:
		problem(w, 401, "The server could not verify that you authorized to access the document you requested.")
	case r.Header.Get("Accept") != "application/json" || r.URL.RawQuery != "":
		problem(w, 406, "not acceptable")
	case parts[0] == "denied.test":
		problem(w, 403, "Access was denied to this resource.")
	case parts[0] != zone:
		problem(w, 404, "The resource could not be found.")
	case len(parts) == 1 && r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"fqdn":%q,"automatic_snapshots":true,"domain_href":"x"}`, zone)
	case len(parts) == 4 && parts[1] == "records" && parts[3] == "TXT":
		f.records(w, r, parts[2])
	default:
		problem(w, 404, "The resource could not be found.")
	}
}

func (f *livedns) records(w http.ResponseWriter, r *http.Request, name string) {
	set, ok := f.sets[name]
	switch {
	case r.Method == http.MethodPut:
		f.write(w, r, name)
	case !ok:
		problem(w, 404, "Can't find the DNS record "+name+"/TXT in the zone")
	case r.Method == http.MethodGet:
		w.Header().Set("Content-Type", "application/json")
		_ = json.NewEncoder(w).Encode(map[string]any{"rrset_name": name, "rrset_type": "TXT", "rrset_ttl": set.TTL, "rrset_values": set.Values, "rrset_href": "x"})
	case r.Method == http.MethodDelete:
		f.set(name, rrset{})
		f.changed = append(f.changed, "DELETE")
		f.others()
		w.WriteHeader(204)
	default:
		problem(w, 405, "method not allowed")
	}
}

func (f *livedns) write(w http.ResponseWriter, r *http.Request, name string) {
	body, err := io.ReadAll(r.Body)
	var set rrset
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err != nil || r.Header.Get("Content-Type") != "application/json" || r.ContentLength != int64(len(body)) || d.Decode(&set) != nil {
		problem(w, 400, "the body is not what it has to be")
		return
	}
	if set.TTL < 300 || set.TTL > 2592000 || len(set.Values) == 0 {
		problem(w, 400, "rrset_ttl: must be between 300 and 2592000, rrset_values: min 1")
		return
	}
	seen := map[string]bool{}
	for i, v := range set.Values {
		// LiveDNS stores values in quotes, whether they came with them or not.
		if !strings.HasPrefix(v, `"`) {
			set.Values[i] = quote(v)
		}
		if seen[set.Values[i]] {
			problem(w, 400, "rrset_values: duplicate")
			return
		}
		seen[set.Values[i]] = true
	}
	f.set(name, set)
	f.changed = append(f.changed, "PUT")
	f.others()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(201)
	fmt.Fprint(w, `{"message":"DNS Record Created"}`)
}

func (f *livedns) others() {
	if after := f.after; after != nil {
		f.after = nil
		after()
	}
}

// set changes the records and publishes them.
func (f *livedns) set(name string, set rrset) {
	if f.sets[name] = set; len(set.Values) == 0 {
		delete(f.sets, name)
	}
	if f.late {
		return
	}
	var values []string
	for _, v := range set.Values {
		values = append(values, plain(v))
	}
	f.dns.SetTXT(name+"."+zone, values...)
}

func (f *livedns) left() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return strings.Join(slices.Sorted(maps.Keys(f.sets)), " ")
}

func (f *livedns) values(name string) []string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return slices.Clone(f.sets[name].Values)
}

// hosting is a strict fake of the certificate store, and of a front end that shows what
// is in it.
type hosting struct {
	*targettest.Service
	mu    sync.Mutex
	certs map[int64]string
	next  int64
}

func newHostingFake(t *testing.T) *hosting {
	t.Helper()
	f := &hosting{certs: map[int64]string{}, next: 1000}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	f.Deny = func(w http.ResponseWriter, _ *http.Request) {
		answerFault(w, 510150, "Error on object : OBJECT_ACCOUNT (CAUSE_NORIGHT) [Invalid API key "+apiKey+"]")
	}
	return f
}

func answerFault(w http.ResponseWriter, code int, says string) {
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, "<?xml version='1.0'?>\n<methodResponse><fault><value><struct><member><name>faultCode</name><value><int>%d</int></value></member><member><name>faultString</name><value><string>%s</string></value></member></struct></value></fault></methodResponse>", code, says)
}

func (f *hosting) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/xmlrpc/" || r.Header.Get("Content-Type") != "text/xml" || r.ContentLength != int64(len(body)) {
		w.WriteHeader(400)
		return
	}
	method, params, err := decodeCall(body)
	if err != nil || len(params) != 2 {
		answerFault(w, -503, "Malformed request")
		return
	}
	if params[0] != any(apiKey) {
		f.Deny(w, r)
		return
	}
	id, _ := params[1].(int64)
	switch method {
	case "cert.hosted.create":
		f.create(w, params[1])
	case "cert.hosted.info", "cert.hosted.delete":
		subject, ok := f.certs[id]
		switch {
		case !ok:
			answerFault(w, 510042, "Error on object : OBJECT_CERT (CAUSE_NOTFOUND) [Certificate not found]")
		case method == "cert.hosted.info":
			answerStruct(w, id, subject)
		default:
			delete(f.certs, id)
			_ = f.Install(fmt.Sprint(id), nil, nil)
			w.Header().Set("Content-Type", "text/xml")
			fmt.Fprint(w, "<methodResponse><params><param><value><boolean>1</boolean></value></param></params></methodResponse>")
		}
	default:
		answerFault(w, -32601, "Method does not exist")
	}
}

func answerStruct(w http.ResponseWriter, id int64, subject string) {
	w.Header().Set("Content-Type", "text/xml")
	fmt.Fprintf(w, `<?xml version='1.0'?>
<methodResponse><params><param><value><struct>
<member><name>id</name><value><int>%d</int></value></member>
<member><name>subject</name><value><string>%s</string></value></member>
<member><name>state</name><value>created</value></member>
<member><name>date_expire</name><value><nil/></value></member>
<member><name>date_created</name><value><dateTime.iso8601>20160112T10:10:10</dateTime.iso8601></value></member>
<member><name>fqdns</name><value><array><data><value><string>%[2]s</string></value></data></array></value></member>
</struct></value></param></params></methodResponse>`, id, subject)
}

func (f *hosting) create(w http.ResponseWriter, param any) {
	m, _ := param.(map[string]any)
	crt, ok1 := m["crt"].(string)
	key, ok2 := m["key"].(string)
	block, rest := pem.Decode([]byte(crt))
	pair, err := tls.X509KeyPair([]byte(crt), []byte(key))
	switch {
	case !ok1 || !ok2 || len(m) != 2 || block == nil || len(bytes.TrimSpace(rest)) > 0 || err != nil:
		answerFault(w, 510202, "Error on object : OBJECT_CERT (CAUSE_BADPARAMETER) [crt and key do not match, or there is a chain]")
		return
	}
	if public, ok := pair.Leaf.PublicKey.(*rsa.PublicKey); !ok || public.N.BitLen() != 2048 {
		answerFault(w, 510202, "Error on object : OBJECT_CERT (CAUSE_BADPARAMETER) [Only RSA 2048 bits are supported]")
		return
	}
	f.next++
	f.certs[f.next] = pair.Leaf.Subject.CommonName
	if err := f.Install(fmt.Sprint(f.next), []byte(crt), []byte(key)); err != nil {
		answerFault(w, 1, err.Error())
		return
	}
	answerStruct(w, f.next, pair.Leaf.Subject.CommonName)
}

func (f *hosting) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.certs)
}

// decodeCall is the other side of encodeCall.
func decodeCall(raw []byte) (method string, params []any, err error) {
	doc, err := tree(raw)
	if err != nil || doc.name != "methodCall" || len(doc.sub) != 2 || doc.sub[0].name != "methodName" || doc.sub[1].name != "params" {
		return "", nil, fmt.Errorf("it is no methodCall: %w", err)
	}
	for _, p := range doc.sub[1].sub {
		v, err := p.path("value")
		if err != nil {
			return "", nil, err
		}
		one, err := v.value()
		if err != nil {
			return "", nil, err
		}
		params = append(params, one)
	}
	return doc.sub[0].text, params, nil
}
