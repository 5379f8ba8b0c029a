package plesk

import (
	"bytes"
	"crypto/tls"
	"encoding/xml"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

const (
	secretKey = "9a8b7c6d-0000-4000-8000-a1b2c3d4e5f6"
	password  = "pass-word_1"
	newest    = "1.6.9.1"
)

// domain is a site of the fake.
type domain struct {
	id          int
	login       string
	certificate string
	ssl         bool
	pool        map[string]pems
	records     map[int]string // _acme-challenge.x VALUE
}

// fake is a strict fake of Plesk on this machine: agent.php, plesk bin, filemng, certmng,
// a name server and a web server.
type fake struct {
	*targettest.Service
	t       *testing.T
	dns     *edgetest.DNS
	web     *httptest.Server
	psa     string // folder with admin/bin
	program string
	vhosts  string

	mu      sync.Mutex
	version string
	domains map[string]*domain
	next    int
	panel   []byte
	calls   []string
	mute    int    // so many requests are answered with 401 and nothing
	lose    string // the answer to this is lost, once
	broken  bool
}

func newFake(t *testing.T) *fake {
	t.Helper()
	dns, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(dns.Close)
	f := &fake{t: t, dns: dns, version: newest, domains: map[string]*domain{}, next: 100, psa: t.TempDir(), vhosts: t.TempDir()}
	for i, name := range []string{"a.example.test", "b.example.test", "example.test"} {
		f.domains[name] = &domain{id: i + 1, login: "user" + strconv.Itoa(i), certificate: "default certificate", ssl: true, pool: map[string]pems{}, records: map[int]string{}}
		if err := os.MkdirAll(f.root(name), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	f.web = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.ServeFile(w, r, filepath.Join(f.root(r.Host), filepath.Clean(r.URL.Path)))
	}))
	t.Cleanup(f.web.Close)
	f.program = targettest.Program(t, "plesk", f.bin)
	if err := os.MkdirAll(filepath.Join(f.psa, "admin/bin"), 0o755); err != nil {
		t.Fatal(err)
	}
	for name, serve := range map[string]func([]string) (string, string, int){"filemng": f.filemng, "certmng": f.certmng} {
		if err := os.Symlink(targettest.Program(t, name, serve), filepath.Join(f.psa, "admin/bin", name)); err != nil {
			t.Fatal(err)
		}
	}
	return f
}

func (f *fake) root(name string) string { return filepath.Join(f.vhosts, name, "httpdocs") }

// node is an element.
type node struct {
	name, text string
	sub        []*node
}

func tree(raw []byte) (*node, error) {
	d := xml.NewDecoder(bytes.NewReader(raw))
	top := &node{}
	open := []*node{top}
	for {
		token, err := d.Token()
		if err == io.EOF {
			break
		}
		if err != nil {
			return nil, err
		}
		at := open[len(open)-1]
		switch x := token.(type) {
		case xml.StartElement:
			n := &node{name: x.Name.Local}
			at.sub, open = append(at.sub, n), append(open, n)
		case xml.EndElement:
			open = open[:len(open)-1]
		case xml.CharData:
			at.text += string(x)
		}
	}
	if len(top.sub) != 1 {
		return nil, fmt.Errorf("no document")
	}
	return top.sub[0], nil
}

// shape is the order of elements: site(get(filter(name),dataset(hosting))).
func (n *node) shape() string {
	var list []string
	for _, s := range n.sub {
		list = append(list, s.shape())
	}
	if len(list) == 0 {
		return n.name
	}
	return n.name + "(" + strings.Join(list, ",") + ")"
}

// at is the text of an element below, by the names on the way.
func (n *node) at(path string) string {
	for name := range strings.SplitSeq(path, "/") {
		i := slices.IndexFunc(n.sub, func(s *node) bool { return s.name == name })
		if i < 0 {
			return ""
		}
		n = n.sub[i]
	}
	return n.text
}

func failed(code int, says string) string {
	return fmt.Sprintf("<result><status>error</status><errcode>%d</errcode><errtext>%s</errtext></result>", code, text(says))
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	if err != nil || r.Method != http.MethodPost || r.URL.Path != "/enterprise/control/agent.php" || r.Header.Get("Content-Type") != "text/xml" || r.ContentLength != int64(len(body)) {
		w.WriteHeader(400)
		return
	}
	if f.mute > 0 {
		f.mute--
		w.WriteHeader(401)
		return
	}
	w.Header().Set("Content-Type", "text/xml")
	answer := func(inner string) {
		fmt.Fprintf(w, "<?xml version=\"1.0\" encoding=\"UTF-8\"?>\n<packet version=%q>%s</packet>", f.version, inner)
	}
	byLogin := r.Header.Get("HTTP_AUTH_LOGIN") == "admin" && r.Header.Get("HTTP_AUTH_PASSWD") == password
	if r.Header.Get("KEY") != secretKey && !byLogin || r.Header.Get("HTTP_PRETTY_PRINT") != "TRUE" {
		answer("<system><status>error</status><errcode>1001</errcode><errtext>You have entered incorrect username or password.</errtext></system>")
		return
	}
	p, err := tree(body)
	if err != nil || p.name != "packet" || len(p.sub) != 1 || len(p.sub[0].sub) != 1 {
		answer("<system><status>error</status><errcode>1014</errcode><errtext>Parser error: Request is not well-formed XML</errtext></system>")
		return
	}
	what, op := p.sub[0], p.sub[0].sub[0]
	result := f.do(what, op)
	if result == "" {
		f.t.Errorf("a request has another form than Plesk's: %s", what.shape())
		answer("<system><status>error</status><errcode>1014</errcode><errtext>Parser error: Cannot parse the XML from the source specified</errtext></system>")
		return
	}
	f.calls = append(f.calls, op.name)
	if f.lose == op.name {
		f.lose = ""
		panic(http.ErrAbortHandler)
	}
	answer("<" + what.name + "><" + op.name + ">" + result + "</" + op.name + "></" + what.name + ">")
}

const ok = "<result><status>ok</status><id>1</id></result>"

// do carries out a request of exactly the right form; "" for another.
func (f *fake) do(what, op *node) string {
	owner := "webspace"
	if !newer(f.version, [4]int{1, 6, 9, 0}) {
		owner = "site"
	}
	form := strings.ReplaceAll(what.shape(), owner+")", "OWNER)")
	form = strings.ReplaceAll(form, owner+",", "OWNER,")
	switch form {
	case "site(get(filter(name),dataset(hosting)))", "OWNER(get(filter(name),dataset(hosting)))", "site(get(filter(name),dataset(OWNER)))":
		return f.siteGet(op.at("filter/name"))
	case "site(set(filter(name),values(hosting(vrt_hst(property(name,value),property(name,value))))))":
		return f.siteSet(op)
	case "certificate(get-pool(filter(domain-name)))":
		return f.pool(op.at("filter/domain-name"))
	case "certificate(install(name,OWNER,content(csr,pvt,cert,ca)))":
		return f.putXML(op.at(owner), op.at("name"), op, false)
	case "certificate(update(name,OWNER,content(csr,pvt,cert,ca)))":
		if !newer(f.version, [4]int{1, 6, 8, 0}) {
			return ""
		}
		return f.putXML(op.at(owner), op.at("name"), op, true)
	case "certificate(remove(filter(name),OWNER))":
		return f.remove(op.at(owner), op.at("filter/name"))
	case "dns(add_rec(site-id,type,host,value))":
		return f.addRecord(op)
	case "dns(get_rec(filter(site-id)))":
		return f.records(op.at("filter/site-id"))
	case "dns(del_rec(filter(id)))":
		return f.delRecord(op.at("filter/id"))
	}
	return ""
}

func (f *fake) siteGet(name string) string {
	d := f.domains[name]
	if d == nil {
		return failed(1013, "Site does not exist")
	}
	return fmt.Sprintf(`<result><status>ok</status><filter-id>%s</filter-id><id>%[2]d</id><data><gen_info><name>%[1]s</name><htype>vrt_hst</htype></gen_info><hosting><vrt_hst>%[3]s<ip_address>192.0.2.1</ip_address></vrt_hst></hosting></data></result>`,
		name, d.id, property("ftp_login", d.login)+property("ftp_password", "seen-by-nobody")+property("ssl", fmt.Sprint(d.ssl))+property("www_root", f.root(name))+property("certificate_name", d.certificate))
}

func (f *fake) siteSet(op *node) string {
	d := f.domains[op.at("filter/name")]
	if d == nil {
		return failed(1013, "Site does not exist")
	}
	list := op.sub[1].sub[0].sub[0].sub
	if list[0].at("name") != "ssl" || list[1].at("name") != "certificate_name" {
		return ""
	}
	return f.assign(op.at("filter/name"), list[1].at("value"), list[0].at("value") == "true")
}

func (f *fake) assign(site, name string, ssl bool) string {
	d := f.domains[site]
	if _, there := d.pool[name]; !there && name != "default certificate" && !strings.HasPrefix(name, "Lets Encrypt") {
		return failed(1013, "The SSL certificate does not exist.")
	}
	d.certificate, d.ssl = name, ssl
	f.show(site)
	return ok
}

// show has the web server show what a site uses.
func (f *fake) show(site string) {
	d := f.domains[site]
	p := d.pool[d.certificate]
	_ = f.Install(site, append(bytes.Clone(p.leaf), p.chain...), p.key)
}

func (f *fake) pool(site string) string {
	d := f.domains[site]
	if d == nil {
		return failed(1015, "Domain does not exist")
	}
	var list string
	for _, name := range slices.Sorted(maps.Keys(d.pool)) {
		list += el("certificate", el("name", text(name)))
	}
	return "<result><status>ok</status><filter-id>" + site + "</filter-id><certificates>" + list + "</certificates></result>"
}

func (f *fake) putXML(site, name string, op *node, update bool) string {
	return f.store(site, name, pems{[]byte(op.at("content/pvt")), []byte(op.at("content/cert")), []byte(op.at("content/ca"))}, update)
}

func (f *fake) store(site, name string, p pems, update bool) string {
	d := f.domains[site]
	if d == nil {
		return failed(1015, "domain does not exist")
	}
	_, there := d.pool[name]
	switch {
	case update && !there:
		return failed(1013, "The SSL certificate does not exist.")
	case !update && there:
		return failed(1007, "Unable to install the SSL certificate: a certificate with this name already exists.")
	}
	if _, err := tls.X509KeyPair(append(bytes.Clone(p.leaf), p.chain...), p.key); err != nil || !bytes.HasPrefix(p.key, []byte("-----BEGIN PRIVATE KEY-----\n")) || bytes.Count(p.leaf, []byte("BEGIN CERT")) != 1 {
		return failed(8002, "Unable to set pvt content to certificate : Probably, the private key format is invalid.")
	}
	d.pool[name] = p
	if d.certificate == name {
		f.show(site)
	}
	return ok
}

func (f *fake) remove(site, name string) string {
	d := f.domains[site]
	switch {
	case d == nil:
		return failed(1015, "domain does not exist")
	case d.certificate == name && newer(f.version, [4]int{1, 6, 8, 0}):
		return failed(1023, "Unable to remove the certificate: it is in use.")
	}
	if _, there := d.pool[name]; !there {
		return failed(1013, "The SSL certificate does not exist.")
	}
	delete(d.pool, name)
	if d.certificate == name { // of old versions
		d.certificate = "default certificate"
	}
	return ok
}

func (f *fake) byID(id string) (string, *domain) {
	for name, d := range f.domains {
		if strconv.Itoa(d.id) == id {
			return name, d
		}
	}
	return "", nil
}

func (f *fake) addRecord(op *node) string {
	site, d := f.byID(op.at("site-id"))
	if d == nil || op.at("type") != "TXT" {
		return failed(1013, "site does not exist")
	}
	f.next++
	host, value := op.at("host")+"."+site+".", op.at("value")
	d.records[f.next] = host + " " + value
	f.dns.AddTXT(host, value)
	return fmt.Sprintf("<result><status>ok</status><id>%d</id></result>", f.next)
}

func (f *fake) records(id string) string {
	_, d := f.byID(id)
	if d == nil || len(d.records) == 0 {
		return failed(1013, "DNS record does not exist")
	}
	list := `<result><status>ok</status><id>7</id><data><site-id>1</site-id><type>NS</type><host>example.test.</host><value>ns.example.test.</value><opt/></data></result>`
	for _, n := range slices.Sorted(maps.Keys(d.records)) {
		host, value, _ := strings.Cut(d.records[n], " ")
		list += fmt.Sprintf(`<result><status>ok</status><id>%d</id><data><site-id>%s</site-id><type>TXT</type><host>%s</host><value>%s</value><opt/></data></result>`, n, id, host, value)
	}
	return list
}

func (f *fake) delRecord(id string) string {
	n, _ := strconv.Atoi(id)
	for _, d := range f.domains {
		if r, ok := d.records[n]; ok {
			host, value, _ := strings.Cut(r, " ")
			f.dns.RemoveTXT(host, value)
			delete(d.records, n)
			return "<result><status>ok</status><id>" + id + "</id></result>"
		}
	}
	return failed(1013, "DNS record does not exist")
}

func (f *fake) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.domains)) {
		d := f.domains[name]
		fmt.Fprintf(&b, "%s uses %q, ssl %t\n", name, d.certificate, d.ssl)
		for _, c := range slices.Sorted(maps.Keys(d.pool)) {
			fmt.Fprintf(&b, "%s %s\n%s\n%s\n%s\n", name, c, strings.TrimSpace(string(d.pool[c].leaf)), strings.TrimSpace(string(d.pool[c].chain)), d.pool[c].key)
		}
	}
	return b.String() + string(f.panel)
}

// left are files and records that are not the site's own.
func (f *fake) left() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var list []string
	for name, d := range f.domains {
		for _, r := range d.records {
			list = append(list, r)
		}
		_ = filepath.WalkDir(f.root(name), func(path string, _ os.DirEntry, err error) error {
			if err == nil && path != f.root(name) {
				list = append(list, path)
			}
			return nil
		})
	}
	return strings.Join(list, " ")
}

func (f *fake) asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := strings.Join(f.calls, ", ")
	f.calls = nil
	return list
}

// using is what a site uses, for tests of one thing.
func (f *fake) using(site string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.domains[site].certificate
}
