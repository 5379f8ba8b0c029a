package proxmox

import (
	"bytes"
	"crypto/sha256"
	"crypto/tls"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"os"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/internal/edgetest/targettest"
)

const (
	theNode  = "pve1"
	theToken = "edge@pve!delivery=5e0b1a2c-0000-4000-8000-00000000%41"
	password = "pass word&1"
	ticket   = "PVE:root@pam:65A1B2C3::c2lnbmF0dXJl+/=="
	csrf     = "65A1B2C3:Y3NyZg"
)

// fake is a strict fake of a node: its API, pvenode, and its web server, which takes what
// is in the files a moment after it was told to.
type fake struct {
	*targettest.Service
	t       *testing.T
	product Product
	pvenode string

	mu      sync.Mutex
	files   pair // of pveproxy-ssl
	own     []byte
	nodes   []string
	cluster any
	config  map[string]string
	audit   bool // the token may read the configuration
	deny    int  // status of writes, where it is not 0
	calls   []string
	broken  bool // pvenode
	stuck   bool // the web server takes nothing
	stopped bool
}

type pair struct{ chain, key []byte }

func newFake(t *testing.T, p Product) *fake {
	t.Helper()
	f := &fake{t: t, product: p, nodes: []string{theNode}, audit: true, config: map[string]string{"acme": "account=default"}}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	f.Deny = func(w http.ResponseWriter, _ *http.Request) { reason(w, 401, "Authentication failed!", nil) }
	f.own = f.RootsPEM
	f.pvenode = targettest.Program(t, "pvenode", f.program)
	return f
}

// reason answers with a status line of its own, as this API does.
func reason(w http.ResponseWriter, status int, says string, data any) {
	body := []byte{}
	if data != nil {
		body, _ = json.Marshal(data)
	}
	h, ok := w.(http.Hijacker)
	if !ok {
		w.WriteHeader(status)
		_, _ = w.Write(body)
		return
	}
	c, b, err := h.Hijack()
	if err != nil {
		return
	}
	defer c.Close()
	fmt.Fprintf(b, "HTTP/1.1 %d %s\r\nContent-Type: application/json;charset=UTF-8\r\nContent-Length: %d\r\nConnection: close\r\n\r\n%s", status, says, len(body), body)
	_ = b.Flush()
}

func give(w http.ResponseWriter, data any) {
	w.Header().Set("Content-Type", "application/json;charset=UTF-8")
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	path, ok := strings.CutPrefix(r.URL.Path, "/api2/json")
	f.calls = append(f.calls, r.Method+" "+path)
	node := f.node()
	switch {
	case err != nil || len(r.TransferEncoding) > 0:
		reason(w, 501, "chunked transfer encoding not supported", nil)
	case len(body) > 512<<10:
		reason(w, 501, "for data too large", nil)
	case len(body) > 0 && r.Header.Get("Content-Type") != "application/x-www-form-urlencoded":
		reason(w, 400, "bad content type", nil)
	case !ok:
		reason(w, 501, "Method 'GET "+r.URL.Path+"' not implemented", nil)
	case r.Method == http.MethodPost && path == "/access/ticket":
		f.login(w, body)
	case !f.known(r):
		reason(w, 401, "Authentication failed!", nil)
	case r.Method == http.MethodGet && path == "/nodes" && f.product == VE:
		var list []map[string]any
		for _, n := range f.nodes {
			list = append(list, map[string]any{"node": n, "status": "online", "type": "node", "id": "node/" + n, "level": "", "ssl_fingerprint": "AA:BB"})
		}
		give(w, list)
	case r.Method == http.MethodGet && path == "/cluster/status" && f.product == VE:
		if !f.audit {
			reason(w, 403, "Permission check failed (/, Sys.Audit)", nil)
			return
		}
		give(w, f.cluster)
	case r.Method == http.MethodGet && path == "/nodes/"+node+"/config":
		if !f.audit {
			reason(w, 403, "Permission check failed (/nodes/"+node+", Sys.Audit)", nil)
			return
		}
		give(w, f.config)
	case r.Method == http.MethodGet && path == "/nodes/"+node+"/certificates/info" && len(body) == 0:
		give(w, f.info())
	case f.deny != 0:
		reason(w, f.deny, "Permission check failed (/nodes/"+node+", Sys.Modify)", nil)
	case r.Method == http.MethodPost && path == "/nodes/"+node+"/certificates/custom":
		f.upload(w, body)
	case r.Method == http.MethodDelete && path == "/nodes/"+node+"/certificates/custom" && len(body) == 0:
		q := r.URL.Query()
		f.remove(q.Get("restart") == "1")
		give(w, nil)
	default:
		reason(w, 501, "Method '"+r.Method+" "+path+"' not implemented", nil)
	}
}

func (f *fake) node() string {
	if f.product == Backup {
		return "localhost"
	}
	return theNode
}

func (f *fake) login(w http.ResponseWriter, body []byte) {
	form, err := url.ParseQuery(string(body))
	switch {
	case err != nil || len(form) != 2:
		reason(w, 400, "Parameter verification failed.", map[string]any{"data": nil})
	case form.Get("username") == "tfa@pve":
		give(w, map[string]any{"username": "tfa@pve", "ticket": "PVE:!tfa!%7B%22totp%22%3Atrue%7D:65A1::sig", "CSRFPreventionToken": csrf, "NeedTFA": 1})
	case form.Get("username") != "root@pam" || form.Get("password") != password:
		reason(w, 401, "authentication failure", nil)
	default:
		give(w, map[string]any{"username": "root@pam", "ticket": ticket, "CSRFPreventionToken": csrf, "cap": map[string]any{}, "clustername": "x"})
	}
}

func (f *fake) known(r *http.Request) bool {
	if c, err := r.Cookie(map[Product]string{VE: "PVEAuthCookie", Backup: "PBSAuthCookie"}[f.product]); err == nil {
		plain, err := url.QueryUnescape(c.Value)
		return err == nil && plain == ticket && (r.Method == http.MethodGet || r.Header.Get("CSRFPreventionToken") == csrf)
	}
	says := r.Header.Get("Authorization")
	if f.product == Backup {
		return says == "PBSAPIToken="+strings.Replace(theToken, "=", ":", 1)
	}
	says, ok := strings.CutPrefix(says, "PVEAPIToken=")
	plain, err := url.PathUnescape(says)
	return ok && err == nil && plain == theToken
}

// info is the list of certificates, as openssl reads them.
func (f *fake) info() []map[string]any {
	one := func(name string, chain []byte, subject, issuer string) map[string]any {
		block, _ := pem.Decode(chain)
		sum := sha256.Sum256(block.Bytes)
		hex := strings.TrimSuffix(regexp.MustCompile("..").ReplaceAllString(fmt.Sprintf("%X", sum), "$0:"), ":")
		return map[string]any{"filename": name, "fingerprint": hex, "subject": subject, "issuer": issuer, "notbefore": 1, "notafter": 2, "san": []string{"x"}, "pem": string(pem.EncodeToMemory(block)), "public-key-type": "id-ecPublicKey", "public-key-bits": 256}
	}
	name, self := "pveproxy-ssl.pem", "O = Proxmox Backup Server, OU = 1, CN = pbs"
	if f.product == Backup {
		name = "proxy.pem"
		if f.files.chain == nil {
			return []map[string]any{one(name, f.own, self, self)}
		}
		return []map[string]any{one(name, f.files.chain, "CN = x", "CN = y")}
	}
	list := []map[string]any{one("pve-root-ca.pem", f.own, self, self), one("pve-ssl.pem", f.own, "CN = pve1", self)}
	if f.files.chain != nil {
		list = append(list, one(name, f.files.chain, "CN = x", "CN = y"))
	}
	return list
}

var (
	chainFormat = regexp.MustCompile(`^(-----BEGIN CERTIFICATE-----\n([A-Za-z0-9+/=]+\n)+-----END CERTIFICATE-----\n?)+$`)
	keyFormat   = regexp.MustCompile(`^-----BEGIN ([A-Z ]+)-----\n([A-Za-z0-9+/=]+\n)+-----END ([A-Z ]+)-----\n?$`)
)

// put is upload_custom_cert. Problems are those of the schema, says is another error.
func (f *fake) custom(v url.Values) (problems map[string]string, says string) {
	problems = map[string]string{}
	for name := range v {
		if !strings.Contains(" certificates key force restart ", " "+name+" ") {
			problems[name] = "property is not defined in schema and the schema does not allow additional properties"
		}
	}
	chain, key := v.Get("certificates"), v.Get("key")
	if !chainFormat.MatchString(chain) {
		problems["certificates"] = "invalid format - value does not look like a valid PEM-encoded certificate chain"
	}
	if m := keyFormat.FindStringSubmatch(key); m == nil || m[1] != m[3] {
		problems["key"] = "invalid format - value does not look like a valid PEM-encoded private key"
	}
	if len(problems) > 0 {
		return problems, ""
	}
	if f.files.chain != nil && v.Get("force") != "1" {
		return nil, "Custom certificate file exists but force flag is not set."
	}
	if _, err := tls.X509KeyPair([]byte(chain), []byte(key)); err != nil {
		return nil, "Setting certificate files failed - key does not match the certificate (chain)"
	}
	f.files = pair{[]byte(chain), []byte(key)}
	if v.Get("restart") == "1" || f.product == Backup {
		f.reload()
	}
	return nil, ""
}

func (f *fake) upload(w http.ResponseWriter, body []byte) {
	form, err := url.ParseQuery(string(body))
	if err != nil {
		reason(w, 400, "bad form", nil)
		return
	}
	problems, says := f.custom(form)
	switch {
	case problems != nil:
		reason(w, 400, "Parameter verification failed.", map[string]any{"data": nil, "errors": problems, "message": "Parameter verification failed.\n"})
	case says != "":
		reason(w, 500, says, map[string]any{"data": nil, "message": says + "\n"})
	default:
		list := f.info()
		give(w, list[len(list)-1])
	}
}

func (f *fake) remove(restart bool) {
	f.files = pair{}
	if restart || f.product == Backup {
		f.reload()
	}
}

// reload has the web server take the files, later.
func (f *fake) reload() {
	time.AfterFunc(50*time.Millisecond, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.take()
	})
}

func (f *fake) take() {
	if !f.stuck && !f.stopped {
		_ = f.Install("node", f.files.chain, f.files.key)
	}
}

// program is pvenode.
func (f *fake) program(args []string) (stdout, stderr string, code int) {
	f.mu.Lock()
	defer f.mu.Unlock()
	line := strings.Join(args, " ")
	f.calls = append(f.calls, line)
	switch {
	case f.broken:
		return "", "ipcc_send_rec[1] failed: Connection refused\nUnable to load access control list: Connection refused\n", 111
	case line == "cert info --output-format json":
		raw, _ := json.Marshal(f.info())
		return string(raw) + "\n", "", 0
	case line == "config get":
		var b bytes.Buffer
		for name, v := range f.config {
			fmt.Fprintf(&b, "%s: %s\n", name, v)
		}
		return b.String(), "", 0
	case line == "cert delete" || line == "cert delete 1":
		f.remove(line == "cert delete 1")
		return "Deleting custom certificate files\n", "", 0
	case len(args) < 4 || args[0] != "cert" || args[1] != "set":
		return "", "ERROR: unknown command 'pvenode " + line + "'\n", 255
	}
	v := url.Values{}
	for i, name := range []string{"certificates", "key"} {
		info, err := os.Stat(args[i+2])
		if err != nil || info.Mode().Perm() != 0o600 {
			return "", "the file is not there, or others can read it: " + args[i+2] + "\n", 255
		}
		raw, err := os.ReadFile(args[i+2])
		if err != nil {
			return "", err.Error(), 255
		}
		v.Set(name, string(raw))
	}
	for rest := args[4:]; len(rest) > 0; rest = rest[2:] {
		if len(rest) == 1 || !strings.HasPrefix(rest[0], "--") {
			return "", "400 wrong number of arguments\n", 255
		}
		v.Set(rest[0][2:], rest[1])
	}
	problems, says := f.custom(v)
	if len(problems) > 0 || says != "" {
		return "", fmt.Sprintln(says, problems), 255
	}
	return "Setting custom certificate files\nRestarting pveproxy\nCertificate 'pveproxy-ssl.pem'\n", "", 0
}

func (f *fake) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return string(f.files.chain) + string(f.files.key)
}

func (f *fake) asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := strings.Join(f.calls, ", ")
	f.calls = nil
	return list
}
