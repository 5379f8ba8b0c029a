package proxy

import (
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/summerwind/h2spec/config"
	"github.com/summerwind/h2spec/generic"
	"github.com/summerwind/h2spec/hpack"
	"github.com/summerwind/h2spec/http2"
	"github.com/summerwind/h2spec/spec"
	"go.uber.org/goleak"
)

// TestH2Spec runs h2spec against the TLS port. The failures that are known are
// net/http's own; docs/security.md says why each is harmless.
func TestH2Spec(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		io.WriteString(w, strings.Repeat("0123456789", 20))
	}), func(_ *Options, s *Settings) {
		leaf := newCerts().leaf("h2spec.example")
		s.Certificates = certFunc(func(string) (*tls.Certificate, error) { return leaf, nil })
	})
	before := goleak.IgnoreCurrent()
	a, _ := net.ResolveTCPAddr("tcp", r.https)
	c := &config.Config{Host: "127.0.0.1", Port: a.Port, Path: "/", Timeout: 2 * time.Second, MaxHeaderLen: 4000, TLS: true, Insecure: true}
	silence(t)
	passed, failed := 0, []string{}
	for _, g := range []*spec.TestGroup{generic.Spec(), http2.Spec(), hpack.Spec()} {
		g.Test(c)
		passed += g.PassedCount
		failed = append(failed, failures(g)...)
	}
	if passed < 143 {
		t.Errorf("passed %d, want 143 at least: %s", passed, strings.Join(failed, "; "))
	}
	// net/http keeps a connection that broke the protocol for a second.
	r.Shutdown(t.Context())
	eventually(t, "the connections are gone", func() bool { return goleak.Find(before) == nil })
	t.Logf("h2spec: %d passed, failed: %s", passed, strings.Join(failed, "; "))
}

func failures(g *spec.TestGroup) (out []string) {
	for _, tc := range g.Tests {
		if tc.Result != nil && tc.Result.Failed {
			out = append(out, g.ID()+" "+tc.Desc)
		}
	}
	for _, sub := range g.Groups {
		out = append(out, failures(sub)...)
	}
	return out
}

// silence keeps h2spec's report out of the test's output.
func silence(t *testing.T) {
	null, err := os.OpenFile(os.DevNull, os.O_WRONLY, 0)
	if err != nil {
		t.Fatal(err)
	}
	old := os.Stdout
	os.Stdout = null
	t.Cleanup(func() { os.Stdout = old; null.Close() })
}
