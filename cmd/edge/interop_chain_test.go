package main

import (
	"crypto/tls"
	"os"
	"strings"
	"testing"

	"edge/acmeglue"
	"edge/internal/edgetest"
)

// chainLength is the number of certificates that the door presents for a name.
func (r *rig) chainLength(name string) int {
	r.t.Helper()
	conn, err := tls.Dial("tcp", r.https, &tls.Config{ServerName: name, InsecureSkipVerify: true}) // it may lack the intermediate
	if err != nil {
		r.t.Fatal(err)
	}
	defer conn.Close()
	return len(conn.ConnectionState().PeerCertificates)
}

// Who mends the chain of a leaf that the door has, has it served by the next run;
// what the door has is not put again.
func TestDoorGetsAnotherChain(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	tr := r.beside()
	tr.ask(r, "certonly -n --agree-tos -m a@example.org --cert-name app -d app.example.test -d www.app.example.test")
	full, err := os.ReadFile(tr.path("config", "live", "app", "fullchain.pem"))
	if err != nil {
		t.Fatal(err)
	}
	leaf, _ := acmeglue.SplitChain(full)
	puts := func() int {
		t.Helper()
		tr.ask(r, "renew")
		raw, err := os.ReadFile(tr.path("logs", "letsencrypt.log")) // of all runs
		if err != nil {
			t.Fatal(err)
		}
		return strings.Count(string(raw), "the front door serves the lineage")
	}
	for n, c := range []struct {
		chain []byte
		long  int
	}{{full, 2}, {leaf, 1}, {full, 2}} {
		tr.write("config/archive/app/fullchain1.pem", string(c.chain), 0o644)
		for range 2 {
			if got, long := puts(), r.chainLength("app.example.test"); got != n+1 || long != c.long {
				t.Errorf("chain %d: put %d times, and the door presents %d certificates, want %d", n, got, long, c.long)
			}
		}
	}
	if n := r.ca.Orders(); n != 1 {
		t.Errorf("%d orders", n)
	}
}
