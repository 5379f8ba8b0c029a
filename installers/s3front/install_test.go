package s3front

import (
	"bytes"
	"context"
	"crypto"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"math/big"
	"net/http"
	"slices"
	"strings"
	"testing"

	"edge/internal/edgetest/targettest"
)

// somebodyElse changes the distribution.
func somebodyElse(f *fakeAWS) {
	f.doc = strings.Replace(f.doc, "<Comment>first", "<Comment>x-first", 1)
}

// Somebody else changes the distribution between reading and writing: their change stays,
// and everything that nobody knows.
func TestConcurrentEdit(t *testing.T) {
	b := newBench(t)
	b.others = somebodyElse
	b.put(b.material(), nil)
	for _, stays := range []string{"<Comment>x-first", `<FutureSetting mode="new"><Deep>1 &amp; 2</Deep>`, "<FutureViewerSetting><On>yes</On>", "<!-- a comment -->"} {
		if !strings.Contains(b.doc, stays) {
			t.Errorf("%s is lost:\n%s", stays, b.doc)
		}
	}
	for _, goes := range []string{"CloudFrontDefaultCertificate", "CertificateSource", ">vip<", ">TLSv1<"} {
		if strings.Contains(b.doc, goes) {
			t.Errorf("%s stays:\n%s", goes, b.doc)
		}
	}
	if b.updates != 1 || len(b.certs) != 1 {
		t.Errorf("%d updates, %d certificates", b.updates, len(b.certs))
	}
}

// Who is always overtaken gives up, and has changed nothing.
func TestConcurrentEditsForEver(t *testing.T) {
	b := newBench(t)
	n := 0
	var always func(f *fakeAWS)
	always = func(f *fakeAWS) {
		n++
		somebodyElse(f)
		f.others = always
	}
	b.others = always
	_, err := b.target().Put(t.Context(), b.material(), nil)
	if !is(err, "PreconditionFailed") || n != maxTries || b.updates != 0 {
		t.Errorf("%v after %d", err, n)
	}
}

func TestCertificateNotKnownYet(t *testing.T) {
	b := newBench(t)
	b.unknown = 2
	b.put(b.material(), nil)
	if b.updates != 1 {
		t.Error(b.updates)
	}
}

// The second delivery is one import, and no word with the distribution but reading.
func TestRenewal(t *testing.T) {
	b := newBench(t)
	c := b.put(b.material(), nil)
	b.asked = nil
	b.put(b.material(), c.Data)
	if slices.ContainsFunc(b.asked, func(s string) bool { return strings.HasPrefix(s, "PUT") }) || b.updates != 1 || len(b.certs) != 1 {
		t.Errorf("%q", b.asked)
	}
	b.asked = nil
	m := b.material()
	b.put(m, c.Data)
	b.put(m, c.Data) // there already
	if imports := slices.DeleteFunc(slices.Clone(b.asked), func(s string) bool { return s != "ImportCertificate" }); len(imports) != 1 {
		t.Errorf("%q", b.asked)
	}
	b.asked = nil
	b.put(b.material(), nil) // whatever is not remembered is found
	if b.updates != 1 || len(b.certs) != 1 {
		t.Errorf("%q", b.asked)
	}
}

func TestProtocol(t *testing.T) {
	for _, c := range []struct{ has, want string }{
		{"TLSv1_2016", "TLSv1.2_2021"}, {"TLSv1.2_2021", "TLSv1.2_2021"}, {"TLSv1.3_2025", "TLSv1.3_2025"}, // the last is newer than this program
	} {
		b := newBench(t)
		from, to := strings.Index(b.doc, "<ViewerCertificate><Cloud"), strings.Index(b.doc, "<Restrictions/>")
		b.doc = b.doc[:from] + "<ViewerCertificate><IAMCertificateId>ASCA1</IAMCertificateId><MinimumProtocolVersion>" + c.has +
			"</MinimumProtocolVersion><SSLSupportMethod>sni-only</SSLSupportMethod></ViewerCertificate>" + b.doc[to:]
		b.put(b.material(), nil)
		if !strings.Contains(b.doc, "<MinimumProtocolVersion>"+c.want+"<") || strings.Contains(b.doc, "IAM") {
			t.Errorf("%s:\n%s", c.has, b.doc)
		}
		if raised := strings.Contains(b.said.String(), "is raised"); raised != (c.has != c.want) {
			t.Errorf("%s: %s", c.has, b.said)
		}
	}
}

// store has somebody put a certificate into ACM.
func (b *bench) store(lineage string, names ...string) string {
	b.t.Helper()
	m := b.material(names...)
	arn, err := b.target().acm.put(b.t.Context(), "", lineage, m.CertPEM, m.ChainPEM, m.KeyPEM)
	if err != nil {
		b.t.Fatal(err)
	}
	return arn
}

// Certificates are found by exactly their names, among those of this lineage, on
// whatever page they are.
func TestFind(t *testing.T) {
	b := newBench(t)
	b.pageSize = 1
	others := []string{
		b.store("another", "a.example.test"), b.store("site", "www.a.example.test"), b.store("site", "example.test"),
		b.store("site", "a.example.test", "b.example.test"),
	}
	before := b.snapshot(t)
	b.put(b.material(), nil)
	if len(b.certs) != len(others)+1 {
		t.Errorf("%d certificates", len(b.certs))
	}
	mine := b.viewerARN()
	if slices.Contains(others, mine) || !strings.Contains(b.snapshot(t), before[:strings.LastIndex(before, "[{edge site}]")]) {
		t.Errorf("%s", mine)
	}
	// Nobody remembers, and the distribution shows something else.
	b.doc = fakeConfig
	b.put(b.material(), nil)
	if b.viewerARN() != mine || len(b.certs) != len(others)+1 {
		t.Errorf("%s, was %s", b.viewerARN(), mine)
	}
	// Another lineage's stays, though the distribution shows it.
	b.env.Name = "third"
	b.put(b.material(), nil)
	if b.viewerARN() == mine || len(b.certs) != len(others)+2 {
		t.Errorf("%s", b.viewerARN())
	}
}

func TestManyNames(t *testing.T) {
	b := newBench(t)
	names := []string{"a.example.test"}
	for i := range 120 {
		names = append(names, fmt.Sprintf("n%d.example.test", i))
	}
	b.put(b.material(names...), nil)
	b.doc = fakeConfig
	b.put(b.material(names...), nil)
	if len(b.certs) != 1 {
		t.Errorf("%d certificates", len(b.certs))
	}
	b.doc = fakeConfig
	b.put(b.material(append(names, "one.more.test")...), nil) // the list does not say that it is another
	if len(b.certs) != 2 {
		t.Errorf("%d certificates", len(b.certs))
	}
}

// ACM keeps the kind of a key, and what it is for: then there is a new certificate.
func TestAnotherKind(t *testing.T) {
	b := newBench(t)
	server, both := x509.ExtKeyUsageServerAuth, []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth, x509.ExtKeyUsageClientAuth}
	p256 := ecKey(t, elliptic.P256())
	c := b.put(b.keyed(p256, both...), nil)
	for n, m := range []struct{ certs, updates int }{{1, 1}, {2, 2}, {3, 3}} {
		switch n {
		case 0:
			c = b.put(b.keyed(p256, both...), c.Data)
		case 1:
			c = b.put(b.keyed(p256, server), c.Data)
		case 2:
			c = b.put(b.keyed(rsaKey(t, 2048), server), c.Data)
		}
		if len(b.certs) != m.certs || b.updates != m.updates {
			t.Errorf("%d: %d certificates, %d updates", n, len(b.certs), b.updates)
		}
	}
	b.o.ARN = b.store("site", "a.example.test")
	if _, err := b.target().Put(t.Context(), b.keyed(p256), nil); !is(err, "ValidationException") { // ACM's own words
		t.Error(err)
	}
	b.o.ARN = b.viewerARN()
	if _, err := b.target().Put(t.Context(), b.keyed(p256, server), nil); err == nil || !strings.Contains(err.Error(), "another kind") {
		t.Error(err)
	}
}

func TestRefuses(t *testing.T) {
	b := newBench(t)
	_, ed, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	before := b.snapshot(t)
	for says, key := range map[string]crypto.Signer{"P-384": ecKey(t, elliptic.P384()), "Ed25519": ed} {
		if _, err := b.target().Put(t.Context(), b.keyed(key), nil); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
	big8k := b.material()
	big8k.Certs[0].PublicKey = &rsa.PublicKey{N: new(big.Int).Lsh(big.NewInt(1), 8191), E: 65537}
	if err := precheck(big8k); err == nil || !strings.Contains(err.Error(), "not of 8192") {
		t.Error(err)
	}
	if _, err := b.target().Put(t.Context(), b.material("b.example.test"), nil); err == nil || !strings.Contains(err.Error(), "has the name a.example.test") {
		t.Error(err)
	}
	long := b.material()
	long.KeyPEM = append(long.KeyPEM, bytes.Repeat([]byte("\n"), maxKey)...)
	if _, err := b.target().Put(t.Context(), long, nil); err == nil || !strings.Contains(err.Error(), "ACM takes at most 5120") {
		t.Error(err)
	}
	if b.snapshot(t) != before {
		t.Error("something was changed")
	}
}

// A distribution without names cannot get them without the certificate.
func TestNoNamesYet(t *testing.T) {
	b := newBench(t)
	without := strings.Replace(b.doc, "<Quantity>1</Quantity><Items><CNAME>a.example.test</CNAME></Items>", "<Quantity>0</Quantity>", 1)
	b.doc = without
	for range 2 { // again makes no second certificate
		_, err := b.target().Put(t.Context(), b.material(), nil)
		if err == nil || !strings.Contains(err.Error(), "is in ACM as arn:aws:acm:us-east-1:") || len(b.certs) != 1 || b.doc != without {
			t.Errorf("%v, %d certificates", err, len(b.certs))
		}
	}
}

// What was there before is back, in both services.
func TestUndo(t *testing.T) {
	b := newBench(t)
	first, err := b.target().Put(t.Context(), b.material(), nil)
	if err != nil {
		t.Fatal(err)
	}
	b.others = somebodyElse
	if err := first.Undo(t.Context()); err != nil || b.doc != strings.Replace(fakeConfig, "<Comment>first", "<Comment>x-first", 1) {
		t.Errorf("%v\n%s", err, b.doc)
	}
	first = b.put(b.material(), nil)
	before := b.snapshot(t)
	second, err := b.target().Put(t.Context(), b.material(), first.Data)
	if err != nil || b.snapshot(t) == before {
		t.Fatal(err)
	}
	if err := second.Undo(t.Context()); err != nil || b.snapshot(t) != before {
		t.Errorf("%v\n%s\nnow\n%s", err, before, b.snapshot(t))
	}
}

// A run that died after it had imported a certificate, first or later ones, leaves what the
// next run needs to put that back.
func TestUndoAfterADeath(t *testing.T) {
	b := newBench(t)
	var data []byte
	for n := range 2 {
		died, err := b.target().Put(t.Context(), b.material(), data)
		if err != nil {
			t.Fatal(err)
		}
		before := b.snapshot(t)
		c, err := b.target().Put(t.Context(), b.material(), died.Data)
		if err != nil || c.Undo == nil || len(c.Warnings) > 0 {
			t.Fatalf("%d: %v %q", n, err, c.Warnings)
		}
		if err := c.Undo(t.Context()); err != nil || b.snapshot(t) != before {
			t.Errorf("%d: %v\n%s\nnow\n%s", n, err, before, b.snapshot(t))
		}
		data = b.put(b.material(), died.Data).Data
	}
}

// Somebody chose another certificate in the meantime: that is theirs.
func TestUndoAfterOthers(t *testing.T) {
	b := newBench(t)
	c, err := b.target().Put(t.Context(), b.material(), nil)
	if err != nil {
		t.Fatal(err)
	}
	theirs := b.store("another", "a.example.test")
	b.doc = strings.Replace(b.doc, b.viewerARN(), theirs, 1)
	if err := c.Undo(t.Context()); err == nil || !strings.Contains(err.Error(), "somebody else") || b.viewerARN() != theirs {
		t.Errorf("%v, %s", err, b.viewerARN())
	}
}

// What was not delivered from here cannot be put back: that is said before, and after.
func TestCannotUndo(t *testing.T) {
	b := newBench(t)
	b.o.ARN = b.store("by hand", "a.example.test")
	c, err := b.target().Put(t.Context(), b.material(), nil)
	if err != nil || len(c.Warnings) != 1 || !strings.Contains(c.Warnings[0], "cannot be put back") {
		t.Fatalf("%v %q", err, c.Warnings)
	}
	if err := c.Undo(t.Context()); err == nil || !strings.Contains(err.Error(), "ACM gives no keys back") || b.doc != fakeConfig {
		t.Errorf("%v\n%s", err, b.doc)
	}
	// Somebody has put another one there since the last delivery.
	b.o.ARN = b.store("by hand", "a.example.test")
	b.put(b.material(), nil)
	m := b.material()
	if _, err := b.target().acm.put(t.Context(), b.o.ARN, "", m.CertPEM, m.ChainPEM, m.KeyPEM); err != nil {
		t.Fatal(err)
	}
	if c, err = b.target().Put(t.Context(), b.material(), nil); err != nil || c.Undo != nil {
		t.Errorf("%v %q", err, c.Warnings)
	}
	b.doc = fakeConfig
	// With nothing but the import, there is nothing to undo at all.
	b.o.ARN = b.store("by hand", "a.example.test")
	b.doc = strings.Replace(b.doc, "<CloudFrontDefaultCertificate>true</CloudFrontDefaultCertificate><SSLSupportMethod>vip</SSLSupportMethod>", "<ACMCertificateArn>"+b.o.ARN+"</ACMCertificateArn>", 1)
	if c, err = b.target().Put(t.Context(), b.material(), nil); err != nil || c.Undo != nil || len(c.Warnings) != 1 {
		t.Errorf("%v %q", err, c.Warnings)
	}
}

// The distribution refuses, so what the ARN had before is imported again.
func TestPutTakesBack(t *testing.T) {
	b := newBench(t)
	c := b.put(b.material(), nil)
	b.doc = fakeConfig // somebody has put it back
	before := b.snapshot(t)
	b.unknown = 100
	if _, err := b.target().Put(t.Context(), b.material(), c.Data); !is(err, "InvalidViewerCertificate") {
		t.Error(err)
	}
	if after := b.snapshot(t); after != before {
		t.Errorf("%s\nnow\n%s", before, after)
	}
}

// lose has answers get lost, though what was asked for is done.
func (b *bench) lose(n int, which func(r *http.Request) bool) {
	b.env.Transport = func(next http.RoundTripper) http.RoundTripper {
		return tripper(func(r *http.Request) (*http.Response, error) {
			resp, err := next.RoundTrip(r)
			if err == nil && which(r) && n > 0 {
				n--
				resp.Body.Close()
				return nil, io.ErrUnexpectedEOF
			}
			return resp, err
		})
	}
}

// Nobody knows whether the import was done: it was, so it is taken back.
func TestLostImport(t *testing.T) {
	b := newBench(t)
	c := b.put(b.material(), nil)
	before := b.snapshot(t)
	b.lose(4, func(r *http.Request) bool {
		return strings.HasSuffix(r.Header.Get("X-Amz-Target"), ".ImportCertificate")
	})
	if _, err := b.target().Put(t.Context(), b.material(), c.Data); !errors.Is(err, io.ErrUnexpectedEOF) || b.snapshot(t) != before {
		t.Errorf("%v\n%s\nnow\n%s", err, before, b.snapshot(t))
	}
}

// The answer to an update is lost. The next try finds it done, and the undo knows what
// was there before it.
func TestLostUpdate(t *testing.T) {
	b := newBench(t)
	b.lose(1, func(r *http.Request) bool { return r.Method == http.MethodPut })
	c, err := b.target().Put(t.Context(), b.material(), nil)
	if err != nil || b.updates != 1 {
		t.Fatalf("%v, %d updates", err, b.updates)
	}
	if err := c.Undo(t.Context()); err != nil || b.doc != fakeConfig {
		t.Errorf("%v\n%s", err, b.doc)
	}
}

func TestThrottled(t *testing.T) {
	b := newBench(t)
	b.throttle = 3
	b.put(b.material(), nil)
	b.throttle = 100
	if _, err := b.target().Put(t.Context(), b.material(), nil); !is(err, "ThrottlingException") || b.throttle != 96 {
		t.Errorf("%v, %d", err, b.throttle)
	}
}

// A distribution that is never done gets its old certificate back.
func TestNeverDeployed(t *testing.T) {
	b := newBench(t)
	b.stuck = true
	b.o.Within = 4 * pollEvery
	if _, err := b.target().Put(t.Context(), b.material(), nil); err == nil || !strings.Contains(err.Error(), "is still InProgress after 1m0s") || b.doc != fakeConfig {
		t.Errorf("%v\n%s", err, b.doc)
	}
	if b.updates != 2 || !strings.Contains(b.said.String(), "bringing the change") {
		t.Errorf("%d updates, %s", b.updates, b.said)
	}
}

func TestLook(t *testing.T) {
	b := newBench(t)
	m := b.material()
	c := b.put(m, nil)
	look := func(want string) {
		t.Helper()
		list, err := b.target().Look(t.Context(), m, c.Data)
		if err != nil || strings.Join(list, "; ") != want {
			t.Errorf("%q %v, want %q", list, err, want)
		}
	}
	look("")
	arn := b.viewerARN()
	mine := b.doc
	b.doc = fakeConfig
	look("distribution " + fakeDist + " does not have the certificate " + arn)
	b.doc = mine
	other := b.material()
	if _, err := b.target().acm.put(t.Context(), arn, "site", other.CertPEM, other.ChainPEM, other.KeyPEM); err != nil {
		t.Fatal(err)
	}
	look("ACM has another certificate as " + arn)
	delete(b.certs, arn)
	look("ACM has no certificate " + arn)
	c.Data = nil
	look("nobody knows which certificate of ACM it is")
}

func TestPlan(t *testing.T) {
	b := newBench(t)
	before := b.snapshot(t)
	plan := func(want ...string) {
		t.Helper()
		got := strings.Join(b.target().Plan(t.Context(), b.material()), "\n")
		for _, w := range want {
			if !strings.Contains(got, w) {
				t.Errorf("%q is not in\n%s", w, got)
			}
		}
	}
	plan("as a new one", "have distribution "+fakeDist+" show the new certificate", "shows it for a.example.test")
	if b.snapshot(t) != before {
		t.Error("a plan changed something")
	}
	b.put(b.material(), nil)
	plan("in place of " + b.viewerARN())
	b.at.Fault(t, targettest.Unauthorized)
	plan("nothing can be planned: cloudfront GetDistribution")
}

func TestPlaces(t *testing.T) {
	b := newBench(t)
	b.doc = strings.Replace(b.doc, "<CNAME>a.example.test</CNAME>", "<CNAME>a.example.test</CNAME><CNAME>*.example.test</CNAME><CNAME>b.test</CNAME>", 1)
	b.o.At = nil
	b.o.Lookup = func(context.Context, string) ([]string, error) {
		return []string{"2001:db8::1", "192.0.2.1", "192.0.2.2", "192.0.2.3", "192.0.2.4"}, nil
	}
	at, err := b.target().Places(t.Context(), b.material("*.example.test"), nil)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range at {
		got = append(got, e.Name+"@"+e.Addr)
	}
	want := "a.example.test@192.0.2.1:443 a.example.test@192.0.2.2:443 a.example.test@192.0.2.3:443 edge-probe.example.test@192.0.2.1:443 edge-probe.example.test@192.0.2.2:443 edge-probe.example.test@192.0.2.3:443"
	if strings.Join(got, " ") != want {
		t.Errorf("%q", got)
	}
	b.o.Lookup = func(context.Context, string) ([]string, error) { return nil, context.Canceled }
	if at, err = b.target().Places(t.Context(), b.material(), nil); err != nil || len(at) != 1 || at[0].Addr != "d111111abcdef8.cloudfront.net:443" {
		t.Errorf("%v %v", at, err)
	}
}

func TestBadOptions(t *testing.T) {
	for says, change := range map[string]func(o *Options){
		"no id of CloudFront":     func(o *Options) { o.Distribution = "../E1" },
		"no certificate of ACM":   func(o *Options) { o.ARN = "arn:aws:acm:eu-central-1:123456789012:certificate/x" },
		"no address of a service": func(o *Options) { o.ACM = "nowhere" },
	} {
		b := newBench(t)
		change(&b.o)
		if _, err := NewTarget(b.o); err == nil || !strings.Contains(err.Error(), says) {
			t.Errorf("%s: %v", says, err)
		}
	}
}
