package pritunl

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"math"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

const (
	token   = "p7g444S3IZ5wmFvmzWmx14qACXdzQ25b"
	secret  = "OpS9fjxkPI3DclkdKDDr6mqYVd0DJh4i"
	adminPW = "sso-secret-that-must-not-be-seen"
)

// fake is a strict fake of Pritunl's settings (handlers/settings.py): it looks at no
// certificate, keeps what it is given without blanks around, and takes it a moment later.
type fake struct {
	*targettest.Service
	t *testing.T

	mu     sync.Mutex
	all    map[string]any
	nonces map[string]bool
	now    func() time.Time
	calls  []string
	sso    bool // on, without its domain
	// meanwhile, where set, fails the next PUT of a certificate.
	meanwhile func(w http.ResponseWriter)
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, nonces: map[string]bool{}, now: time.Now, all: map[string]any{
		"username": "pritunl", "token": token, "secret": secret, "acme_domain": nil, "server_port": 443.0, "sso_secret": adminPW, "email_server": nil,
	}}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	f.selfSigned()
	return f
}

// selfSigned is create_server_cert.
func (f *fake) selfSigned() {
	b := edgetest.NewChain(f.t, time.Now().Add(time.Hour), "pritunl.test")
	f.all["server_cert"], f.all["server_key"] = strings.TrimSpace(string(b.Chain)), strings.TrimSpace(string(b.Key))
	f.restart()
}

func problem(w http.ResponseWriter, code int, word, says string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]string{"error": word, "error_msg": says})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w.Header().Set("Date", f.now().UTC().Format(http.TimeFormat))
	body, err := io.ReadAll(r.Body)
	switch {
	case err != nil || r.ContentLength != int64(len(body)):
		w.WriteHeader(411)
	case !f.authorized(r):
		w.WriteHeader(401)
	case r.URL.Path != "/settings" || r.URL.RawQuery != "":
		w.WriteHeader(404)
	case r.Method == http.MethodGet && len(body) == 0:
		f.calls = append(f.calls, "GET")
		f.answer(w)
	case r.Method == http.MethodPut:
		f.put(w, r, body)
	default:
		w.WriteHeader(405)
	}
}

func (f *fake) authorized(r *http.Request) bool {
	h := r.Header
	stamp, err := strconv.ParseInt(h.Get("Auth-Timestamp"), 10, 64)
	nonce := h.Get("Auth-Nonce")
	mac := hmac.New(sha256.New, []byte(secret))
	fmt.Fprintf(mac, "%s&%s&%s&%s&%s", token, h.Get("Auth-Timestamp"), nonce, r.Method, r.URL.Path)
	sum, serr := base64.StdEncoding.DecodeString(h.Get("Auth-Signature"))
	if err != nil || serr != nil || h.Get("Auth-Token") != token || len(nonce) < 8 || len(nonce) > 32 || f.nonces[nonce] ||
		math.Abs(float64(f.now().Unix()-stamp)) > 43200 || !hmac.Equal(sum, mac.Sum(nil)) {
		return false
	}
	f.nonces[nonce] = true
	return true
}

func (f *fake) answer(w http.ResponseWriter) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(f.all)
}

func (f *fake) put(w http.ResponseWriter, r *http.Request, body []byte) {
	var in map[string]any
	if r.Header.Get("Content-Type") != "application/json" || json.Unmarshal(body, &in) != nil {
		problem(w, 400, "bad_request", "no JSON")
		return
	}
	var names []string
	for _, name := range []string{"server_cert", "server_key", "acme_domain"} {
		v, ok := in[name]
		if _, text := v.(string); ok && v != nil && !text {
			problem(w, 400, "bad_request", name)
			return
		}
		if ok {
			names = append(names, name)
		}
	}
	f.calls = append(f.calls, "PUT "+strings.Join(names, " "))
	if len(names) != len(in) { // stricter than Pritunl: nothing else is edge's
		f.t.Errorf("settings were sent that are not edge's: %d of %v", len(in), names)
		problem(w, 400, "bad_request", "unknown")
		return
	}
	if m := f.meanwhile; m != nil && in["server_cert"] != nil {
		f.meanwhile = nil
		m(w)
		return
	}
	if f.sso {
		problem(w, 400, "sso_url_missing", "Missing required single sign-on domain.")
		return
	}
	changed := false
	for _, name := range []string{"server_cert", "server_key"} {
		if v, ok := in[name]; ok {
			if s, _ := v.(string); s != "" {
				v = strings.TrimSpace(s)
			} else {
				v = nil
			}
			changed = changed || f.all[name] != v
			f.all[name] = v
		}
	}
	if domain, ok := in["acme_domain"]; ok && domain != f.all["acme_domain"] {
		f.all["acme_domain"] = domain
		if domain == nil {
			f.selfSigned()
		}
	}
	if changed {
		f.restart()
	}
	f.answer(w)
}

// restart has the web server take what is there, half a second later in the real one.
func (f *fake) restart() {
	time.AfterFunc(50*time.Millisecond, func() {
		f.mu.Lock()
		defer f.mu.Unlock()
		chain, _ := f.all["server_cert"].(string)
		key, _ := f.all["server_key"].(string)
		_ = f.Install("console", []byte(chain), []byte(key))
	})
}

func (f *fake) snapshot(*testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	raw, _ := json.Marshal(f.all)
	return string(raw)
}

func (f *fake) asked() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	list := strings.Join(f.calls, ", ")
	f.calls = nil
	return list
}
