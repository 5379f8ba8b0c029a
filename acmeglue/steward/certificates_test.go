package steward

import (
	"crypto/x509"
	"net/http"
	"os"
	"strings"
	"testing"

	"golang.org/x/crypto/ocsp"

	"edge/acmeglue/lineage"
)

// What is asked for is listed, whatever state the others are in, and responders are
// asked about nothing else.
func TestCertificatesOfOne(t *testing.T) {
	for _, c := range []struct {
		line      string
		asCertbot bool
		want      string // the names that are listed
		invalid   string
		asked     int
		nothing   bool
	}{
		{line: "", want: "a b", invalid: "broken", asked: 2},
		{line: "--cert-name a", want: "a", asked: 1},
		{line: "--cert-name a", asCertbot: true, want: "a", invalid: "broken", asked: 1},
		{line: "--cert-name broken", invalid: "broken"},
		{line: "--cert-name none", nothing: true},
		{line: "-d b.test", want: "b", invalid: "broken", asked: 1},
		{line: "-d b.test --cert-name a"},
	} {
		t.Run(c.line, func(t *testing.T) {
			r := newRig(t)
			answer := &responder{status: ocsp.Revoked, until: r.now.Add(day), now: r.o.Now}
			r.o.HTTP = &http.Client{Transport: answer}
			r.o.AsCertbot = c.asCertbot
			for _, name := range []string{"a", "b", "broken"} {
				l := r.create(name, ecKey(t), x509.Certificate{DNSNames: []string{name + ".test"}, OCSPServer: []string{"http://ocsp.test/"}}, "")
				if name == "broken" {
					if err := os.Remove(l.Path(lineage.Chain)); err != nil {
						t.Fatal(err)
					}
				}
			}
			if err := r.steward().Run(t.Context(), r.options("certificates "+c.line)); err != nil {
				t.Fatal(err)
			}
			out := r.out.String()
			for _, name := range []string{"a", "b"} {
				if got, want := strings.Contains(out, "Certificate Name: "+name+"\n"), strings.Contains(c.want, name); got != want {
					t.Errorf("%s is listed: %v", name, got)
				}
			}
			if got := strings.Contains(out, "broken.conf"); got != (c.invalid != "") {
				t.Errorf("the broken one is named: %v", got)
			}
			if got, want := strings.Contains(out, "no such file or directory"), c.invalid != "" && !c.asCertbot; got != want {
				t.Errorf("the reason is shown: %v", got)
			}
			if strings.Count(out, "INVALID: REVOKED") != len(strings.Fields(c.want)) || answer.asked != c.asked {
				t.Errorf("%d questions, want %d", answer.asked, c.asked)
			}
			if strings.Contains(out, "No certificates found.") != c.nothing {
				t.Error("nothing found")
			}
			if t.Failed() {
				t.Log(out)
			}
		})
	}
}
