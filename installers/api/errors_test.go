package api

import (
	"bytes"
	"compress/gzip"
	"crypto/x509"
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
)

func emptyPool() *x509.CertPool { return x509.NewCertPool() }

func packed(t *testing.T, b []byte) []byte {
	t.Helper()
	var out bytes.Buffer
	w := gzip.NewWriter(&out)
	if _, err := w.Write(b); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	return out.Bytes()
}

// Secrets are in no error, wherever a service or the library repeats them, nor are keys.
func TestSecrets(t *testing.T) {
	const secret = "hunter2/+ sesame"
	key := "-----BEGIN EC PRIVATE KEY-----\nMHcCAQEEI\n-----END EC PRIVATE KEY-----"
	for name, handle := range map[string]func(w http.ResponseWriter, r *http.Request){
		"body":     func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "bad token "+secret+" "+key, 400) },
		"key only": func(w http.ResponseWriter, _ *http.Request) { http.Error(w, key+strings.Repeat(" x", 1000), 400) },
		"half a key": func(w http.ResponseWriter, _ *http.Request) {
			http.Error(w, `{"key":"-----BEGIN RSA PRIVATE KEY-----\nMHcCAQEEI`, 400)
		},
		"redirect": func(w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, "https://other.test/"+url.PathEscape(secret)+"?t="+url.QueryEscape(secret), http.StatusFound)
		},
		"cut off": func(w http.ResponseWriter, _ *http.Request) {
			w.Header().Set("Content-Length", "10")
			_, _ = w.Write([]byte("x"))
		},
		"gone": func(http.ResponseWriter, *http.Request) { panic(http.ErrAbortHandler) },
	} {
		s := newService(t, func(_ int, w http.ResponseWriter, r *http.Request) { handle(w, r) })
		c := s.client(t, Options{Secrets: []string{"", secret}, Tries: 1})
		_, err := c.Do(t.Context(), Request{Method: http.MethodGet, Path: "/x/" + url.PathEscape(secret), Query: url.Values{"token": {secret}}})
		if err == nil {
			t.Errorf("%s: no error", name)
			continue
		}
		for _, s := range []string{"hunter2/", "hunter2%2F", "sesame", "MHcCAQ", "PRIVATE"} {
			if strings.Contains(err.Error(), s) {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
	s := newService(t, func(int, http.ResponseWriter, *http.Request) {})
	inner := errors.New("no signature with " + secret)
	_, err := s.client(t, Options{Secrets: []string{secret}, Sign: func(*http.Request, []byte) error { return inner }}).Do(t.Context(), get("/"))
	if !errors.Is(err, inner) || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%v", err)
	}
	if _, err := s.client(t, Options{Secrets: []string{secret}}).Do(t.Context(), get("/\x7f"+secret)); err == nil || strings.Contains(err.Error(), "sesame") {
		t.Errorf("%v", err)
	}
	// In a status line, as it is in HTTP/1.
	c := s.client(t, Options{Secrets: []string{secret}})
	refused := c.refused(get("/"), &http.Response{StatusCode: 401, Status: "401 no " + secret, Header: http.Header{}}, nil)
	if strings.Contains(refused.Error(), "sesame") || !strings.Contains(refused.Error(), "401 no [secret]") {
		t.Errorf("%v", refused)
	}
}

func TestStatusError(t *testing.T) {
	s := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("X-Why", "because")
		http.Error(w, " two\n lines ", http.StatusUnprocessableEntity)
	})
	_, err := s.client(t, Options{}).Do(t.Context(), get("/x"))
	var status *StatusError
	if !errors.As(err, &status) || status.Status != 422 || status.Header.Get("X-Why") != "because" || string(status.Body) != " two\n lines \n" {
		t.Fatalf("%+v", err)
	}
	if want := "GET " + strings.TrimPrefix(s.URL, "https://") + "/x: 422 Unprocessable Entity: two lines"; err.Error() != want {
		t.Errorf("%q, want %q", err, want)
	}
}
