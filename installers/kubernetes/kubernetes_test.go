package kubernetes

import (
	"context"
	"encoding/base64"
	"errors"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

func write(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// said are the settings for a secret of the fake.
func (f *fake) said(secret string) map[string][]string {
	return map[string][]string{
		"server": {f.URL}, "namespace": {namespace}, "secret": {secret}, "timeout": {"300ms"},
		"token": {"file:" + write(f.t, "token", token+"\n")}, "ca": {write(f.t, "ca.pem", string(f.RootsPEM))},
	}
}

func values(t *testing.T, said map[string][]string) target.Values {
	t.Helper()
	k := Kind()
	v, problems := target.Parse(&k, said, nil, false, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	return v
}

func TestTarget(t *testing.T) {
	targettest.Run(t, func(t *testing.T) *targettest.Rig {
		f := newFake(t)
		return &targettest.Rig{
			Target: func(ctx context.Context, env *target.Env) (delivery.Target, error) {
				said := f.said(env.Name + "-tls")
				said["verify"] = []string{f.At.Addr}
				return Kind().Target(ctx, values(t, said), env)
			},
			At:       []installers.Endpoint{f.At},
			Snapshot: f.snapshot, Secrets: []string{token}, Fault: f.Fault,
		}
	})
}

func client(t *testing.T, f *fake, change func(o *Options)) *Target {
	t.Helper()
	o, err := options(values(t, f.said(name)), os.Getenv, "/nowhere")
	if err != nil {
		t.Fatal(err)
	}
	if change != nil {
		change(&o)
	}
	env := &target.Env{Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }}
	tg, err := newTarget(o, env.API)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func material(t *testing.T) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

func b64(b []byte) string { return base64.StdEncoding.EncodeToString(b) }

// theirs is a secret that somebody else has made.
func theirs(t *testing.T) object {
	m := material(t)
	return object{
		Type: tlsType, Data: map[string]string{crt: b64(m.FullChainPEM), key: b64(m.KeyPEM), "ca.crt": "Y2E="},
		Metadata: metadata{Labels: map[string]string{"team": "web"}, Annotations: map[string]string{"note": "x<y&z"}, Finalizers: []string{"a/b"}},
	}
}

// What is not tls.crt and tls.key stays, what others change at the same time as well, and
// an undo brings the old certificate back.
func TestKeepsTheRest(t *testing.T) {
	f := newFake(t)
	f.put(theirs(t))
	before := f.secret()
	f.meanwhile = func() {
		o := *f.secrets[name]
		o.Metadata.Labels = map[string]string{"team": "web", "new": "label"}
		f.set(&o)
	}
	tg, m := client(t, f, nil), material(t)
	change, err := tg.Put(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	now := f.secret()
	if now.Data[crt] != b64(m.FullChainPEM) || now.Data[key] != b64(m.KeyPEM) || now.Data["ca.crt"] != "Y2E=" {
		t.Errorf("data: %v", now.Data)
	}
	if now.Metadata.Labels["new"] != "label" || now.Metadata.Annotations["note"] != "x<y&z" || len(now.Metadata.Finalizers) != 1 {
		t.Errorf("metadata: %+v", now.Metadata)
	}
	if err := change.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	if now = f.secret(); !maps.Equal(now.Data, before.Data) || now.Metadata.Labels["new"] != "label" {
		t.Errorf("after the undo: %+v", now)
	}
}

// A secret that edge created goes again, one that somebody else has changed since stays.
func TestUndoOfTheFirst(t *testing.T) {
	f := newFake(t)
	tg := client(t, f, nil)
	change, err := tg.Put(t.Context(), material(t), nil)
	if err != nil {
		t.Fatal(err)
	}
	if s := f.secret(); s.Type != tlsType || s.Metadata.Labels["app.kubernetes.io/managed-by"] != "edge" {
		t.Errorf("%+v", s)
	}
	f.meanwhile = func() { // of an age, not of the certificate
		o := *f.secrets[name]
		o.Metadata.Labels = nil
		f.set(&o)
	}
	if err := change.Undo(t.Context()); err != nil || f.secret() != nil {
		t.Errorf("%v, %+v", err, f.secret())
	}
	if change, err = tg.Put(t.Context(), material(t), nil); err != nil {
		t.Fatal(err)
	}
	f.put(theirs(t))
	if err := change.Undo(t.Context()); err != nil || f.secret() == nil || f.secret().Data["ca.crt"] == "" {
		t.Errorf("%v, %+v", err, f.secret())
	}
}

// Somebody creates the secret at the same time.
func TestCreatedMeanwhile(t *testing.T) {
	f := newFake(t)
	o := theirs(t)
	o.APIVersion, o.Kind, o.Metadata.Name, o.Metadata.Namespace = "v1", "Secret", name, namespace
	f.meanwhile = func() { f.set(&o) }
	m := material(t)
	if _, err := client(t, f, nil).Put(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if s := f.secret(); s.Data[crt] != b64(m.FullChainPEM) || s.Data["ca.crt"] == "" {
		t.Errorf("%+v", s)
	}
}

// Endless conflicts end.
func TestConflicts(t *testing.T) {
	f := newFake(t)
	f.put(theirs(t))
	var again func()
	again = func() {
		o := *f.secrets[name]
		f.set(&o)
		f.meanwhile = again
	}
	f.meanwhile = again
	if _, err := client(t, f, nil).Put(t.Context(), material(t), nil); err == nil || !strings.Contains(err.Error(), "somebody else changes it") {
		t.Errorf("%v", err)
	}
	if f.writes != 0 {
		t.Errorf("%d writes", f.writes)
	}
}

// Secrets of others are refused, and changed where that was allowed.
func TestOthers(t *testing.T) {
	for why, spoil := range map[string]func(o *object){
		"is of type":         func(o *object) { o.Type = "Opaque" },
		"cert-manager keeps": func(o *object) { o.Metadata.Annotations = map[string]string{"cert-manager.io/certificate-name": "x"} },
		"keeps it (label": func(o *object) {
			o.Metadata.Labels = map[string]string{"controller.cert-manager.io/fao": "true"}
		},
		"kept by SealedSecret": func(o *object) {
			o.Metadata.OwnerReferences = []owner{{APIVersion: "bitnami.com/v1alpha1", Kind: "SealedSecret", Name: "x", Controller: true}}
		},
		"kept by Certificate": func(o *object) {
			o.Metadata.OwnerReferences = []owner{{APIVersion: "cert-manager.io/v1", Kind: "Certificate", Name: "x"}}
		},
		"immutable": func(o *object) { o.Immutable = true },
	} {
		f := newFake(t)
		o := theirs(t)
		spoil(&o)
		f.put(o)
		m := material(t)
		if _, err := client(t, f, nil).Put(t.Context(), m, nil); err == nil || !strings.Contains(err.Error(), why) || f.writes != 0 {
			t.Errorf("%s: %v, %d writes", why, err, f.writes)
		}
		_, err := client(t, f, func(o *Options) { o.TakeOver = true }).Put(t.Context(), m, nil)
		if (err == nil) != (why != "immutable") {
			t.Errorf("%s, with take_over: %v", why, err)
		}
		if s := f.secret(); err == nil && (s.Data[crt] != b64(m.FullChainPEM) || s.Type != o.Type) {
			t.Errorf("%s, with take_over: %+v", why, s)
		}
	}
}

// What is wrong with the account or the place is said in a way that helps.
func TestExplains(t *testing.T) {
	f := newFake(t)
	for want, change := range map[string]func(o *Options){
		"401 Unauthorized":                     func(o *Options) { o.Token = "another" },
		"needs get, create, update and delete": func(o *Options) { o.Namespace = "other" },
		"fingerprint":                          func(o *Options) { o.Fingerprint = strings.Repeat("00", 32) },
		"unknown authority":                    func(o *Options) { o.Roots = nil },
	} {
		_, err := client(t, f, change).Look(t.Context(), material(t), nil)
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if _, err := client(t, f, func(o *Options) { o.Fingerprint, o.Roots = f.Fingerprint, nil }).Look(t.Context(), material(t), nil); err != nil {
		t.Errorf("with the right fingerprint: %v", err)
	}
}

// A pod needs to say the name of the secret and nothing else.
func TestInAPod(t *testing.T) {
	f := newFake(t)
	pod := t.TempDir()
	for file, content := range map[string]string{"token": token, "namespace": namespace, "ca.crt": string(f.RootsPEM)} {
		if err := os.WriteFile(filepath.Join(pod, file), []byte(content), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	host, port, _ := strings.Cut(strings.TrimPrefix(f.URL, "https://"), ":")
	env := map[string]string{"KUBERNETES_SERVICE_HOST": host, "KUBERNETES_SERVICE_PORT": port}
	v := values(t, map[string][]string{"secret": {name}})
	o, err := options(v, func(n string) string { return env[n] }, pod)
	if err != nil {
		t.Fatal(err)
	}
	tg, err := newTarget(o, (&target.Env{}).API)
	if err != nil {
		t.Fatal(err)
	}
	if why, err := tg.Look(t.Context(), material(t), nil); err != nil || len(why) != 1 {
		t.Errorf("%v %v", why, err)
	}
	if _, err := options(v, func(string) string { return "" }, pod); err == nil || !strings.Contains(err.Error(), "server") {
		t.Errorf("elsewhere: %v", err)
	}
	// The pod's token does not go to another server.
	v = values(t, map[string][]string{"secret": {name}, "server": {"https://elsewhere.test"}, "namespace": {"x"}})
	if _, err := options(v, func(n string) string { return env[n] }, pod); err == nil || !strings.Contains(err.Error(), "token") {
		t.Errorf("another server: %v", err)
	}
}

func TestBadOptions(t *testing.T) {
	good := Options{Server: "https://k.test", Namespace: "web", Secret: "site", Token: "t"}
	for name, spoil := range map[string]func(o *Options){
		"namespace": func(o *Options) { o.Namespace = "../x" },
		"secret":    func(o *Options) { o.Secret = "a/b" },
		"token":     func(o *Options) { o.Token = "a\nb" },
		"https":     func(o *Options) { o.Server = "http://k.test" },
	} {
		o := good
		spoil(&o)
		if _, err := newTarget(o, api.New); err == nil {
			t.Errorf("%s was taken", name)
		}
	}
	if _, err := newTarget(good, func(api.Options) (*api.Client, error) { return nil, errors.New("x") }); err == nil {
		t.Error("an error was lost")
	}
}

// FuzzSecret: whatever a server says, nothing panics, and what is taken is printed with
// all its fields.
func FuzzSecret(f *testing.F) {
	f.Add([]byte(`{"metadata":{"resourceVersion":"1"},"data":{"tls.crt":"YQ=="},"type":"x"}`))
	f.Add([]byte(`{"metadata":{"resourceVersion":"1"},"data":null,"future":{"a":[1,2]}}`))
	f.Add([]byte(`{"metadata":[],"data":{"tls.crt":1}}`))
	f.Add([]byte(`null`))
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseSecret(raw)
		if err != nil {
			return
		}
		next, err := parseSecret(s.with([]byte("c"), []byte("k")).json())
		if err != nil {
			t.Fatal(err)
		}
		if !next.has([]byte("c"), []byte("k")) || next.Metadata.ResourceVersion != s.Metadata.ResourceVersion {
			t.Errorf("%s", next.json())
		}
		for field := range s.all {
			if _, ok := next.all[field]; !ok {
				t.Errorf("%s is lost", field)
			}
		}
	})
}
