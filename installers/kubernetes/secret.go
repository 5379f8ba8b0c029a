package kubernetes

import (
	"bytes"
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"net/http"
	"net/url"
	"strings"

	"edge/installers/api"
)

// The keys of a secret with a certificate.
const (
	crt     = "tls.crt"
	key     = "tls.key"
	tlsType = "kubernetes.io/tls"
)

// secret is a secret as the API server has it. What is not looked at here stays as it is.
type secret struct {
	all  map[string]json.RawMessage
	data map[string]string // base64
	known
}

// known is what is looked at.
type known struct {
	Type      string `json:"type"`
	Immutable bool   `json:"immutable"`
	Metadata  struct {
		UID             string            `json:"uid"`
		ResourceVersion string            `json:"resourceVersion"`
		Labels          map[string]string `json:"labels"`
		Annotations     map[string]string `json:"annotations"`
		Owners          []struct {
			APIVersion string `json:"apiVersion"`
			Kind       string `json:"kind"`
			Name       string `json:"name"`
			Controller bool   `json:"controller"`
		} `json:"ownerReferences"`
	} `json:"metadata"`
}

func parseSecret(raw []byte) (*secret, error) {
	s := &secret{}
	if err := json.Unmarshal(raw, &s.all); err != nil {
		return nil, err
	}
	if err := json.Unmarshal(raw, &s.known); err != nil {
		return nil, err
	}
	if d := s.all["data"]; d != nil {
		if err := json.Unmarshal(d, &s.data); err != nil {
			return nil, err
		}
	}
	if s.Metadata.ResourceVersion == "" {
		return nil, errors.New("it has no resourceVersion")
	}
	return s, nil
}

// value is that of a key, decoded; nil where there is none.
func (s *secret) value(name string) []byte {
	v, ok := s.data[name]
	if !ok {
		return nil
	}
	raw, err := base64.StdEncoding.DecodeString(v)
	if err != nil {
		return nil
	}
	return raw
}

func (s *secret) has(chain, private []byte) bool {
	return bytes.Equal(s.value(crt), chain) && bytes.Equal(s.value(key), private)
}

// with is the secret with another certificate and key; nil takes one away.
func (s *secret) with(chain, private []byte) *secret {
	next := *s
	next.all, next.data = maps.Clone(s.all), maps.Clone(s.data)
	if next.data == nil {
		next.data = map[string]string{}
	}
	for name, v := range map[string][]byte{crt: chain, key: private} {
		if v == nil {
			delete(next.data, name)
		} else {
			next.data[name] = base64.StdEncoding.EncodeToString(v)
		}
	}
	return &next
}

// json is the secret for a request.
func (s *secret) json() []byte {
	all := maps.Clone(s.all)
	all["data"] = must(s.data)
	return must(all)
}

// must encodes maps of texts and of JSON, which has no errors.
func must(v any) json.RawMessage {
	raw, err := json.Marshal(v)
	if err != nil {
		return nil
	}
	return raw
}

// fresh is a secret that is not there yet.
func (t *Target) fresh(chain, private []byte) *secret {
	s := &secret{all: map[string]json.RawMessage{
		"apiVersion": must("v1"), "kind": must("Secret"), "type": must(tlsType),
		"metadata": must(map[string]any{
			"name": t.o.Secret, "namespace": t.o.Namespace, "labels": map[string]string{"app.kubernetes.io/managed-by": "edge"},
		}),
	}}
	return s.with(chain, private)
}

// ours refuses a secret that is for something else, or that a controller keeps, which
// would write its own certificate over ours.
func (t *Target) ours(s *secret) error {
	refuse := func(why string) error {
		return fmt.Errorf("kubernetes: secret %s: %s; take another name, or say take_over: true", t.name(), why)
	}
	if s.Immutable {
		return fmt.Errorf("kubernetes: secret %s is immutable; delete it, it is then created anew", t.name())
	}
	if t.o.TakeOver {
		return nil
	}
	if s.Type != tlsType {
		return refuse(fmt.Sprintf("it is of type %q, not %s", clip(s.Type), tlsType))
	}
	for name := range s.Metadata.Annotations {
		if strings.HasPrefix(name, "cert-manager.io/") {
			return refuse("cert-manager keeps it (annotation " + clip(name) + ")")
		}
	}
	for name := range s.Metadata.Labels {
		if strings.HasPrefix(name, "controller.cert-manager.io/") {
			return refuse("cert-manager keeps it (label " + clip(name) + ")")
		}
	}
	for _, o := range s.Metadata.Owners {
		if o.Controller || strings.HasPrefix(o.APIVersion, "cert-manager.io/") {
			return refuse(fmt.Sprintf("it is kept by %s %s", clip(o.Kind), clip(o.Name)))
		}
	}
	return nil
}

func (t *Target) path(name string) string {
	p := "/api/v1/namespaces/" + url.PathEscape(t.o.Namespace) + "/secrets"
	if name != "" {
		p += "/" + url.PathEscape(name)
	}
	return p
}

// get returns nil where there is no such secret.
func (t *Target) get(ctx context.Context) (*secret, error) {
	resp, err := t.api.Do(ctx, api.Request{Method: http.MethodGet, Path: t.path(t.o.Secret)})
	var status *api.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound && reason(status) == "NotFound" {
		return nil, nil
	}
	if err != nil {
		return nil, t.explain(err)
	}
	s, err := parseSecret(resp.Body)
	if err != nil {
		return nil, fmt.Errorf("kubernetes: secret %s: what the server says is none: %w", t.name(), err)
	}
	return s, nil
}

func manager() url.Values { return url.Values{"fieldManager": {"edge"}} }

// create may be sent again: a second one is a conflict, and the secret is looked at then.
func (t *Target) create(ctx context.Context, s *secret) error {
	_, err := t.api.Do(ctx, api.Request{Method: http.MethodPost, Path: t.path(""), Query: manager(), Body: s.json(), Type: "application/json", Again: true})
	return t.explain(err)
}

// update is refused by the server when the secret was changed since it was read.
func (t *Target) update(ctx context.Context, s *secret) error {
	_, err := t.api.Do(ctx, api.Request{Method: http.MethodPut, Path: t.path(t.o.Secret), Query: manager(), Body: s.json(), Type: "application/json"})
	return t.explain(err)
}

// delete removes the secret as it was read, and no other.
func (t *Target) delete(ctx context.Context, s *secret) error {
	body := must(map[string]any{"apiVersion": "v1", "kind": "DeleteOptions", "preconditions": map[string]string{"uid": s.Metadata.UID, "resourceVersion": s.Metadata.ResourceVersion}})
	_, err := t.api.Do(ctx, api.Request{Method: http.MethodDelete, Path: t.path(t.o.Secret), Body: body, Type: "application/json"})
	var status *api.StatusError
	if errors.As(err, &status) && status.Status == http.StatusNotFound {
		return nil
	}
	return t.explain(err)
}

func conflict(err error) bool {
	var status *api.StatusError
	return errors.As(err, &status) && status.Status == http.StatusConflict
}

// reason is the word for a failure, of the object Status.
func reason(e *api.StatusError) string {
	var s struct {
		Kind, Reason string
	}
	if json.Unmarshal(e.Body, &s) != nil || s.Kind != "Status" {
		return ""
	}
	return s.Reason
}

// explain says what to do.
func (t *Target) explain(err error) error {
	if err == nil {
		return nil
	}
	do := ""
	var status *api.StatusError
	if errors.As(err, &status) {
		switch status.Status {
		case http.StatusUnauthorized:
			do = "; the token is not valid (any more)"
		case http.StatusForbidden:
			do = "; the account needs get, create, update and delete on secrets in the namespace " + t.o.Namespace
		case http.StatusNotFound:
			do = "; is the server the API server, and is there a namespace " + t.o.Namespace + "?"
		}
	}
	return fmt.Errorf("kubernetes: secret %s: %w%s", t.name(), err, do)
}

// clip bounds what is quoted of somebody else's text.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
