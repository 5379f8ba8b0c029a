package s3front

import (
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

func (b *bench) authenticator() *Authenticator {
	b.t.Helper()
	a, err := NewAuthenticator(b.o)
	if err != nil {
		b.t.Fatal(err)
	}
	return a
}

func one(token string) []edge.Answer {
	return []edge.Answer{targettest.Answer(edge.HTTP01, "a.example.test", token)}
}

func TestDirectoryAndACL(t *testing.T) {
	b := newBench(t)
	b.o.Directory, b.o.ACL, b.withACLs = "/site/ä $x/", "public-read", true
	a := b.authenticator()
	if err := a.Present(t.Context(), one("tok")); err != nil {
		t.Fatal(err)
	}
	if b.objects["site/ä $x/.well-known/acme-challenge/tok"] == "" {
		t.Errorf("%q", b.objects)
	}
	if err := a.Cleanup(t.Context(), one("tok")); err != nil || len(b.objects) > 0 {
		t.Errorf("%v %q", err, b.objects)
	}
	b.withACLs = false
	if err := a.Present(t.Context(), one("tok")); err == nil || !strings.Contains(err.Error(), "leave acl out") {
		t.Error(err)
	}
	b.withACLs, b.o.ACL = true, ""
	if err := b.authenticator().Present(t.Context(), one("tok")); err == nil || !strings.Contains(err.Error(), "s3:PutObject and s3:DeleteObject on /"+fakeBucket+"/site/") {
		t.Error(err)
	}
}

// The site does not give the answer: the CA is not asked. Switched off, it is.
func TestSelfCheck(t *testing.T) {
	b := newBench(t)
	a := b.authenticator()
	if err := a.Ready(t.Context(), one("tok")); err == nil || !strings.Contains(err.Error(), "403 Forbidden") || !strings.Contains(err.Error(), "self_check: false") {
		t.Error(err)
	}
	b.o.SelfCheck = false
	if err := b.authenticator().Ready(t.Context(), one("tok")); err != nil {
		t.Error(err)
	}
}

func TestOtherRegion(t *testing.T) {
	s := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Amz-Bucket-Region", "eu-west-1")
		w.WriteHeader(http.StatusMovedPermanently)
	}))
	defer s.Close()
	b := newBench(t)
	b.o.S3 = s.URL
	if err := b.authenticator().Present(t.Context(), one("tok")); err == nil || !strings.Contains(err.Error(), "the bucket is in eu-west-1: set region") {
		t.Error(err)
	}
}

// Half of a batch is not left behind.
func TestHalfABatch(t *testing.T) {
	b := newBench(t)
	b.full = 1
	if err := b.authenticator().Present(t.Context(), append(one("tokOne"), one("tokTwo")...)); err == nil || !strings.Contains(err.Error(), "QuotaExceeded") || len(b.objects) > 0 {
		t.Errorf("%v %q", err, b.objects)
	}
}

type tripper func(*http.Request) (*http.Response, error)

func (f tripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Where requests go: a bucket with dots has no certificate of its own name.
func TestBucketAddress(t *testing.T) {
	for _, c := range []struct{ bucket, s3, want string }{
		{"plain", "", "https://plain.s3.eu-central-1.amazonaws.com/.well-known/acme-challenge/tok"},
		{"www.example.org", "", "https://s3.eu-central-1.amazonaws.com/www.example.org/.well-known/acme-challenge/tok"},
		{"plain", "https://minio.example.org:9000", "https://minio.example.org:9000/plain/.well-known/acme-challenge/tok"},
	} {
		b := newBench(t)
		b.o.Bucket, b.o.S3 = c.bucket, c.s3
		got := ""
		b.env.Transport = func(http.RoundTripper) http.RoundTripper {
			return tripper(func(r *http.Request) (*http.Response, error) {
				got = r.URL.String()
				return nil, http.ErrHandlerTimeout
			})
		}
		if err := b.authenticator().Present(t.Context(), one("tok")); err == nil || got != c.want {
			t.Errorf("%s, want %s", got, c.want)
		}
	}
}

func TestBadAuthenticators(t *testing.T) {
	for says, change := range map[string]func(o *Options){
		"no name of a bucket":   func(o *Options) { o.Bucket = "a/b" },
		"no name of a region":   func(o *Options) { o.Region = "x.evil.example" },
		"no folder of a bucket": func(o *Options) { o.Directory = "a/../b" },
		"over https only":       func(o *Options) { o.S3 = "http://minio.example.org" },
	} {
		b := newBench(t)
		change(&b.o)
		if _, err := NewAuthenticator(b.o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}

// What the plugins of certbot were told is understood, and gets where it belongs.
func TestKind(t *testing.T) {
	b := newBench(t)
	k, v := parsed(t, map[string][]string{
		"distribution": {fakeDist}, "certificate_arn": {"arn:aws:acm:us-east-1:123456789012:certificate/x"}, "bucket": {"plain"}, "directory": {"d"},
		"access_key_id": {"AKIA"}, "secret_access_key": {"env:SECRET"}, "within": {"3m"},
	})
	tg, err := k.Target(t.Context(), v, b.env)
	if err != nil || tg.Where() != fakeDist || tg.Kind() != "s3front" || tg.(*Target).Within().Minutes() != 3 || tg.(*Target).o.ARN == "" || !strings.Contains(tg.Settings(), fakeDist) {
		t.Errorf("%+v %v", tg, err)
	}
	a, err := k.Authenticator(t.Context(), v, b.env)
	if err != nil || a.Name() != "s3front" || a.(*Authenticator).under != "/d/.well-known/acme-challenge" || a.(*Authenticator).o.Region != "us-east-1" || !a.(*Authenticator).o.SelfCheck {
		t.Errorf("%+v %v", a, err)
	}
	if _, _, err := tg.(*Target).o.Told(); err == nil || !strings.Contains(err.Error(), "SECRET is empty") {
		t.Error(err)
	}
	for env, set := range map[string]string{"S3_BUCKET": "bucket", "CF_DISTRIBUTION_ID": "distribution"} {
		k := Kind()
		v, _ := target.Parse(&k, nil, func(n string) string { return map[string]string{env: "VALUE"}[n] }, true, true)
		if v.Text(set) != "VALUE" {
			t.Errorf("%s does not stand for %s", env, set)
		}
	}
}
