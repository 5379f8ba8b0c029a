package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"edge/acmeglue/lineage"
	"edge/internal/configobj"
	"edge/internal/edgetest"
)

// signer makes certificates for lineages that no CA was asked for, and answers for
// them as an OCSP responder does.
type signer struct {
	t         *testing.T
	key       *ecdsa.PrivateKey
	cert      *x509.Certificate
	pem       []byte
	responder *httptest.Server
	asked     atomic.Int64
}

func newSigner(t *testing.T) *signer {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "test intermediate"},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0),
		IsCA: true, BasicConstraintsValid: true, KeyUsage: x509.KeyUsageCertSign | x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	s := &signer{t: t, key: key, cert: cert, pem: pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}
	s.responder = httptest.NewServer(http.HandlerFunc(s.answer))
	t.Cleanup(s.responder.Close)
	return s
}

func (s *signer) answer(w http.ResponseWriter, req *http.Request) {
	s.asked.Add(1)
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return
	}
	question, err := ocsp.ParseRequest(raw)
	if err != nil {
		http.Error(w, err.Error(), http.StatusBadRequest)
		return
	}
	now := time.Now()
	answer, err := ocsp.CreateResponse(s.cert, s.cert, ocsp.Response{
		Status: ocsp.Good, SerialNumber: question.SerialNumber, ThisUpdate: now.Add(-time.Minute), NextUpdate: now.Add(12 * time.Hour),
	}, s.key)
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/ocsp-response")
	_, _ = w.Write(answer)
}

// issue returns a leaf and its key, in PEM form.
func (s *signer) issue(serial int64, name string) (leaf, key []byte) {
	s.t.Helper()
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		s.t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(serial), DNSNames: []string{name}, OCSPServer: []string{s.responder.URL},
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
	}
	der, err := x509.CreateCertificate(rand.Reader, template, s.cert, k.Public(), s.key)
	if err != nil {
		s.t.Fatal(err)
	}
	keyDER, err := x509.MarshalPKCS8PrivateKey(k)
	if err != nil {
		s.t.Fatal(err)
	}
	return pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: keyDER})
}

// fill makes lineages: the first as edge makes them, the others as copies of it, since
// a thousand take a while to reach the disk.
func (tr *tree) fill(s *signer, lineages int) {
	tr.t.Helper()
	const first = "n0000.test"
	leaf, key := s.issue(1000, first)
	config := tr.path("config")
	l, err := lineage.Open(lineage.Dirs{Config: config}, lineage.Options{}).Create(lineage.CreateOptions{
		Name: first, Chain: append(leaf, s.pem...), Key: key, Params: &lineage.Params{Renewal: lineage.Section{
			{Key: "account", Value: configobj.String("a22f1d8c8fe2f22450bde90034c068a5")},
			{Key: "authenticator", Value: configobj.String("standalone")},
			{Key: "server", Value: configobj.String(tr.ca.URL())},
			{Key: "key_type", Value: configobj.String("ecdsa")},
		}},
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	conf, err := os.ReadFile(l.ConfPath())
	if err != nil {
		tr.t.Fatal(err)
	}
	for n := 1; n < lineages; n++ {
		name := fmt.Sprintf("n%04d.test", n)
		leaf, key := s.issue(int64(1000+n), name)
		for _, dir := range []string{"archive", "live"} {
			if err := os.Mkdir(filepath.Join(config, dir, name), 0o755); err != nil {
				tr.t.Fatal(err)
			}
		}
		for kind, content := range map[string][]byte{"cert": leaf, "chain": s.pem, "fullchain": append(leaf, s.pem...), "privkey": key} {
			tr.write("config/archive/"+name+"/"+kind+"1.pem", string(content), 0o600)
			if err := os.Symlink("../../archive/"+name+"/"+kind+"1.pem", filepath.Join(config, "live", name, kind+".pem")); err != nil {
				tr.t.Fatal(err)
			}
		}
		tr.write("config/renewal/"+name+".conf", strings.ReplaceAll(string(conf), first, name), 0o644)
	}
}

// quickest is the shortest of several runs: the machine has other things to do as well.
func (tr *tree) quickest(program string, args ...string) (time.Duration, outcome) {
	tr.t.Helper()
	best, out := time.Hour, outcome{}
	for range 5 {
		start := time.Now()
		out = tr.must(program, args...)
		best = min(best, time.Since(start))
	}
	return best, out
}

// A tree with a thousand lineages.
func TestThousandLineages(t *testing.T) {
	const lineages = 1000
	tr := newTree(t, edgetest.CAOptions{})
	s := newSigner(t)
	tr.fill(s, lineages)
	var requests, windows atomic.Int64
	tr.ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		requests.Add(1)
		if !strings.Contains(r.URL.Path, "draft-ietf-acme-ari") && !strings.Contains(r.URL.Path, "renewal") {
			return false
		}
		windows.Add(1)
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Retry-After", "21600")
		start := time.Now().AddDate(0, 0, 60)
		fmt.Fprintf(w, `{"suggestedWindow":{"start":%q,"end":%q}}`, start.Format(time.RFC3339), start.AddDate(0, 0, 1).Format(time.RFC3339))
		return true
	})
	tr.must("edge", "renew", "--no-random-sleep-on-renew")
	if windows.Load() != lineages || s.asked.Load() != lineages {
		t.Fatalf("the CA was asked about %d lineages, the responder about %d", windows.Load(), s.asked.Load())
	}
	requests.Store(0)
	s.asked.Store(0)

	start, _ := tr.quickest("edge", "certificates", "--help")
	limit := func(what string, took, strict time.Duration) {
		t.Helper()
		if os.Getenv("EDGE_STRICT") == "" {
			strict *= 3
		}
		t.Logf("%s: %v", what, took)
		if took > strict {
			t.Errorf("%s: %v, at most %v", what, took, strict)
		}
	}
	took, out := tr.quickest("edge", "renew", "--no-random-sleep-on-renew")
	if n := strings.Count(out.stdout, "(skipped)"); n != lineages || !strings.Contains(out.stdout, "No renewals were attempted.") {
		t.Errorf("%d lineages were skipped", n)
	}
	limit("renew with nothing due", took, 500*time.Millisecond)
	took, out = tr.quickest("edge", "certificates")
	if n := strings.Count(out.stdout, "Certificate Name: "); n != lineages {
		t.Errorf("%d lineages are listed", n)
	}
	limit("certificates", took, 300*time.Millisecond)
	took, out = tr.quickest("edge", "certificates", "--cert-name", "n0500.test")
	if n := strings.Count(out.stdout, "Certificate Name: "); n != 1 {
		t.Errorf("%d lineages are listed", n)
	}
	limit("certificates of one, beyond the start of the process", took-start, 20*time.Millisecond)
	if requests.Load() != 0 || s.asked.Load() != 0 {
		t.Errorf("%d requests to the CA and %d to the responder, with answers that are fresh", requests.Load(), s.asked.Load())
	}

	one := newTree(t, edgetest.CAOptions{})
	one.fill(s, 1)
	begin := time.Now()
	one.must(debians, "certificates")
	t.Logf("Debian's certbot, with one lineage in all: %v", time.Since(begin))
}
