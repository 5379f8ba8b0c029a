package kubernetes

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"

	"edge/internal/edgetest/targettest"
)

const (
	token     = "eyJhbGciOi.token-of-the-test_account"
	namespace = "web"
	name      = "site-tls"
)

// object is a secret, with all fields that the API server knows (k8s.io/api core/v1 and
// meta/v1); others are refused, as with fieldValidation=Strict.
type object struct {
	APIVersion string            `json:"apiVersion"`
	Kind       string            `json:"kind"`
	Metadata   metadata          `json:"metadata"`
	Data       map[string]string `json:"data,omitempty"`
	StringData map[string]string `json:"stringData,omitempty"`
	Type       string            `json:"type,omitempty"`
	Immutable  bool              `json:"immutable,omitempty"`
}

type metadata struct {
	Name              string            `json:"name"`
	Namespace         string            `json:"namespace"`
	UID               string            `json:"uid,omitempty"`
	ResourceVersion   string            `json:"resourceVersion,omitempty"`
	CreationTimestamp string            `json:"creationTimestamp,omitempty"`
	Labels            map[string]string `json:"labels,omitempty"`
	Annotations       map[string]string `json:"annotations,omitempty"`
	OwnerReferences   []owner           `json:"ownerReferences,omitempty"`
	Finalizers        []string          `json:"finalizers,omitempty"`
	ManagedFields     json.RawMessage   `json:"managedFields,omitempty"`
}

type owner struct {
	APIVersion         string `json:"apiVersion"`
	Kind               string `json:"kind"`
	Name               string `json:"name"`
	UID                string `json:"uid"`
	Controller         bool   `json:"controller,omitempty"`
	BlockOwnerDeletion bool   `json:"blockOwnerDeletion,omitempty"`
}

// fake is an API server with one namespace, and the ingress controller that shows what
// is in its secrets of type kubernetes.io/tls.
type fake struct {
	*targettest.Service
	t *testing.T

	mu      sync.Mutex
	secrets map[string]*object
	version int
	// meanwhile, where set, is what somebody else does right before the next write.
	meanwhile func()
	writes    int
}

func newFake(t *testing.T) *fake {
	f := &fake{t: t, secrets: map[string]*object{}, version: 100}
	f.Service = targettest.NewService(t, http.HandlerFunc(f.serve))
	f.Deny = func(w http.ResponseWriter, _ *http.Request) { status(w, 401, "Unauthorized", "Unauthorized") }
	return f
}

func status(w http.ResponseWriter, code int, reason, message string) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(map[string]any{"kind": "Status", "apiVersion": "v1", "metadata": map[string]any{}, "status": "Failure", "message": message, "reason": reason, "code": code})
}

func (f *fake) serve(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	body, err := io.ReadAll(r.Body)
	rest, ok := strings.CutPrefix(r.URL.Path, "/api/v1/namespaces/"+namespace+"/secrets")
	rest = strings.TrimPrefix(rest, "/")
	switch {
	case err != nil:
		status(w, 400, "BadRequest", err.Error())
	case r.Header.Get("Authorization") != "Bearer "+token:
		f.Deny(w, r)
	case !ok:
		status(w, 403, "Forbidden", `secrets is forbidden: User "system:serviceaccount:web:edge" cannot get resource "secrets" in the namespace`)
	case r.Header.Get("Accept") != "application/json", len(body) > 0 && r.Header.Get("Content-Type") != "application/json":
		status(w, 415, "UnsupportedMediaType", "the body of the request was in an unknown format")
	case len(body) > 0 && r.ContentLength != int64(len(body)):
		status(w, 411, "BadRequest", "no length")
	case r.Method == http.MethodGet && rest != "":
		f.answer(w, 200, rest)
	case r.Method == http.MethodPost && rest == "", r.Method == http.MethodPut && rest != "":
		f.write(w, r.Method == http.MethodPost, rest, body)
	case r.Method == http.MethodDelete && rest != "":
		f.remove(w, rest, body)
	default:
		status(w, 405, "MethodNotAllowed", "the server does not allow this method on the requested resource")
	}
}

func (f *fake) answer(w http.ResponseWriter, code int, name string) {
	s := f.secrets[name]
	if s == nil {
		status(w, 404, "NotFound", fmt.Sprintf("secrets %q not found", name))
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	_ = json.NewEncoder(w).Encode(s)
}

func (f *fake) interrupt() {
	if m := f.meanwhile; m != nil {
		f.meanwhile = nil
		m()
	}
}

func (f *fake) write(w http.ResponseWriter, create bool, rest string, body []byte) {
	f.interrupt()
	var o object
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil {
		status(w, 400, "BadRequest", "strict decoding error: "+err.Error())
		return
	}
	old := f.secrets[o.Metadata.Name]
	switch {
	case o.APIVersion != "v1" || o.Kind != "Secret" || o.Metadata.Namespace != namespace || !create && o.Metadata.Name != rest:
		status(w, 400, "BadRequest", "the object does not match the URL")
		return
	case create && o.Metadata.ResourceVersion != "":
		status(w, 400, "BadRequest", "resourceVersion should not be set on objects to be created")
		return
	case create && old != nil:
		status(w, 409, "AlreadyExists", fmt.Sprintf("secrets %q already exists", o.Metadata.Name))
		return
	case !create && old == nil:
		status(w, 404, "NotFound", "not found")
		return
	case !create && o.Metadata.ResourceVersion != old.Metadata.ResourceVersion:
		status(w, 409, "Conflict", "the object has been modified; please apply your changes to the latest version and try again")
		return
	case !create && (o.Type != old.Type || old.Immutable && !maps.Equal(o.Data, old.Data)):
		status(w, 422, "Invalid", "field is immutable")
		return
	case o.Type == "kubernetes.io/tls" && (!has(o.Data, "tls.crt") || !has(o.Data, "tls.key")):
		status(w, 422, "Invalid", "data[tls.crt]: Required value")
		return
	}
	for k, v := range o.Data {
		if _, err := base64.StdEncoding.DecodeString(v); err != nil {
			status(w, 400, "BadRequest", "illegal base64 data in "+k)
			return
		}
	}
	f.writes++
	if create {
		o.Metadata.UID, o.Metadata.CreationTimestamp = "uid-"+strconv.Itoa(f.version), "2026-01-01T00:00:00Z"
		o.Metadata.ManagedFields = json.RawMessage(`[{"manager":"edge","operation":"Update"}]`)
	}
	f.set(&o)
	code := 200
	if create {
		code = 201
	}
	f.answer(w, code, o.Metadata.Name)
}

func has(m map[string]string, key string) bool { _, ok := m[key]; return ok }

// set stores a secret, and the controller sees it. What is no certificate, it leaves.
func (f *fake) set(o *object) {
	f.version++
	o.Metadata.ResourceVersion = strconv.Itoa(f.version)
	f.secrets[o.Metadata.Name] = o
	chain, _ := base64.StdEncoding.DecodeString(o.Data["tls.crt"])
	private, _ := base64.StdEncoding.DecodeString(o.Data["tls.key"])
	_ = f.Install(o.Metadata.Name, chain, private)
}

func (f *fake) remove(w http.ResponseWriter, name string, body []byte) {
	f.interrupt()
	var o struct {
		APIVersion, Kind string
		Preconditions    struct{ UID, ResourceVersion string }
	}
	d := json.NewDecoder(bytes.NewReader(body))
	d.DisallowUnknownFields()
	if err := d.Decode(&o); err != nil || o.Kind != "DeleteOptions" {
		status(w, 400, "BadRequest", "no DeleteOptions")
		return
	}
	s := f.secrets[name]
	switch {
	case s == nil:
		status(w, 404, "NotFound", "not found")
	case o.Preconditions.UID != s.Metadata.UID || o.Preconditions.ResourceVersion != s.Metadata.ResourceVersion:
		status(w, 409, "Conflict", "Precondition failed")
	default:
		delete(f.secrets, name)
		_ = f.Install(name, nil, nil)
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprint(w, `{"kind":"Status","apiVersion":"v1","metadata":{},"status":"Success"}`)
	}
}

// snapshot is all but what changes with each write.
func (f *fake) snapshot(t *testing.T) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	var b strings.Builder
	for _, name := range slices.Sorted(maps.Keys(f.secrets)) {
		o := *f.secrets[name]
		o.Metadata.ResourceVersion = ""
		raw, err := json.Marshal(o)
		if err != nil {
			t.Fatal(err)
		}
		b.Write(append(raw, '\n'))
	}
	return b.String()
}

// put stores a secret as somebody else would.
func (f *fake) put(o object) {
	f.mu.Lock()
	defer f.mu.Unlock()
	o.APIVersion, o.Kind, o.Metadata.Name, o.Metadata.Namespace, o.Metadata.UID = "v1", "Secret", name, namespace, "uid-1"
	f.set(&o)
}

func (f *fake) secret() *object {
	f.mu.Lock()
	defer f.mu.Unlock()
	return f.secrets[name]
}
