package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"encoding/pem"
	"errors"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/internal/admin"
	"edge/internal/edgetest"
)

// lineage has the CA issue a certificate of several names while the door answers
// for them, as the steward does.
func (r *rig) lineage(names ...string) edge.Bundle {
	r.t.Helper()
	storage, err := acmeglue.OpenFileStorage(r.t.TempDir())
	if err != nil {
		r.t.Fatal(err)
	}
	issuer, err := acmeglue.NewIssuer(acmeglue.IssuerOptions{
		Directory: r.ca.URL(), Roots: r.ca.ServerPool(), Registry: r.door.registry,
		Storage: storage, Email: "ops@example.org",
	})
	if err != nil {
		r.t.Fatal(err)
	}
	defer issuer.CloseIdleConnections()
	o := acmeglue.Order{Challenges: []edge.ChallengeType{edge.TLSALPN01, edge.HTTP01}}
	for _, n := range names {
		o.Identifiers = append(o.Identifiers, edge.Identifier{Type: edge.DNS, Value: n})
	}
	issued, err := issuer.Issue(r.t.Context(), o)
	if err != nil {
		r.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(issued.Key)
	if err != nil {
		r.t.Fatal(err)
	}
	return edge.Bundle{Chain: issued.Chain, Key: pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})}
}

func leafSum(b edge.Bundle) string {
	block, _ := pem.Decode(b.Chain)
	sum := sha256.Sum256(block.Bytes)
	return hex.EncodeToString(sum[:])
}

// serves waits until a name is served with the leaf of a bundle.
func (r *rig) serves(name string, b edge.Bundle) {
	r.t.Helper()
	deadline := time.Now().Add(time.Second)
	for {
		leaf, err := r.handshake(name)
		if err == nil {
			if sum := sha256.Sum256(leaf.Raw); hex.EncodeToString(sum[:]) == leafSum(b) {
				return
			}
			err = fmt.Errorf("serial %s", leaf.SerialNumber)
		}
		if time.Now().After(deadline) {
			r.t.Fatalf("%s is not served with the leaf of the lineage within a second: %v", name, err)
		}
	}
}

const lineageSite = "  - hosts: [app.example.test, www.app.example.test]\n    tls: {lineage: app}\n    proxy: BACKEND\n"

// A lineage is put through the admin socket and seen in handshakes: the first,
// its renewal, and after a restart. The door itself orders nothing.
func TestLineageThroughTheDoor(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	ctx := t.Context()
	if _, err := r.handshake("app.example.test"); err == nil || !strings.Contains(err.Error(), "unrecognized name") {
		t.Errorf("before anything was put: %v", err)
	}
	if l, err := client.Lineages(ctx); err != nil || len(l) != 1 || l[0].Name != "app" || l[0].SHA256 != "" || !slices.Equal(l[0].Sites, []string{"app.example.test"}) {
		t.Errorf("before anything was put: %+v %v", l, err)
	}
	var last edge.Bundle
	for range 2 {
		last = r.lineage("app.example.test", "www.app.example.test")
		st, err := client.PutLineage(ctx, "app", last)
		if err != nil || st.SHA256 != leafSum(last) || !slices.Equal(st.Sites, []string{"app.example.test"}) || len(st.Uncovered) > 0 {
			t.Fatalf("put: %+v %v", st, err)
		}
		r.serves("app.example.test", last)
		r.serves("www.app.example.test", last)
	}
	// The site works, and metrics and status know where its certificate is from.
	if status, body := r.get(r.client(true), "https://www.app.example.test/"); status != 200 || !strings.HasPrefix(body, "backend host=www.app") {
		t.Errorf("got %d %q", status, body)
	}
	_, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics")
	for _, want := range []string{`edge_certificates{source="lineage",state="valid"} 2`, `name="www.app.example.test",source="lineage"} `} {
		if !strings.Contains(body, want) {
			t.Errorf("the metrics have no %s", want)
		}
	}
	// What the door does not use, or cannot serve, changes nothing.
	if _, err := client.PutLineage(ctx, "other", last); !errors.Is(err, admin.ErrNotFound) || !strings.Contains(err.Error(), "tls: {lineage: other}") {
		t.Errorf("a lineage that no site uses: %v", err)
	}
	mixed := edge.Bundle{Chain: r.lineage("app.example.test").Chain, Key: last.Key}
	if _, err := client.PutLineage(ctx, "app", mixed); !errors.Is(err, admin.ErrRefused) || !strings.Contains(err.Error(), "does not belong") {
		t.Errorf("the key of another: %v", err)
	}
	r.serves("app.example.test", last)
	if files, err := filepath.Glob(r.dir + "/state/edge/lineages/*"); err != nil || len(files) != 1 || filepath.Base(files[0]) != "app.json" {
		t.Errorf("files %v %v", files, err)
	}
	r.stop()
	r.start()
	r.serves("www.app.example.test", last)
	if l, err := client.Lineages(ctx); err != nil || l[0].SHA256 != leafSum(last) {
		t.Errorf("after a restart: %+v %v", l, err)
	}
	if n := r.ca.Orders(); n != 3 {
		t.Errorf("the CA saw %d orders, want the three of this test", n)
	}
	if strings.Contains(r.log.String(), "PRIVATE KEY") {
		t.Error("there is a key in the log")
	}
}

// A reload hands a site over to a lineage, and takes it back, without a moment
// in which it has no certificate.
func TestSiteBecomesLineage(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	managed := strings.Replace(lineageSite, "    tls: {lineage: app}\n", "", 1)
	r.configure(managed)
	r.start()
	for _, n := range []string{"app.example.test", "www.app.example.test"} {
		r.eventually(func() error { _, err := r.handshake(n); return err })
	}
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	reload := func(sites string) {
		t.Helper()
		r.configure(sites)
		if err := client.Reload(t.Context()); err != nil {
			t.Fatal(err)
		}
		if _, err := r.handshake("app.example.test"); err != nil {
			t.Errorf("after the reload: %v", err)
		}
	}
	reload(lineageSite)
	s, err := client.Status(t.Context())
	if err != nil || s.Sites[0].TLS != "lineage" || s.Certificates[0].State != edge.StatePending || s.Certificates[0].Lineage != "app" {
		t.Errorf("status %+v %v", s, err)
	}
	var out bytes.Buffer
	printStatus(&out, s, time.Now())
	if !strings.Contains(out.String(), "\napp.example.test: lineage app was never put; edge renew does it") {
		t.Errorf("status for people:\n%s", &out)
	}
	b := r.lineage("app.example.test", "www.app.example.test")
	if _, err := client.PutLineage(t.Context(), "app", b); err != nil {
		t.Fatal(err)
	}
	r.serves("app.example.test", b)
	reload(managed)
	reload("  - hosts: [plain.example.test]\n    tls: off\n    proxy: BACKEND\n" + lineageSite)
	r.serves("app.example.test", b)
	if n := r.ca.Orders(); n != 3 {
		t.Errorf("the CA saw %d orders, want two of the site and one of the lineage", n)
	}
}

// Who is neither root nor in admin.allow_uids cannot put anything.
func TestLineageOfStranger(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root to become another user")
	}
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure(lineageSite)
	r.start()
	b := r.lineage("app.example.test", "www.app.example.test")
	for _, path := range []string{filepath.Dir(r.dir), r.dir} {
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	// For this test only, so that the answer is the door's and not the file system's.
	if err := os.Chmod(r.dir+"/admin.sock", 0o666); err != nil {
		t.Fatal(err)
	}
	body := fmt.Sprintf(`{"chain": %q, "key": %q}`, b.Chain, b.Key)
	put := func(uid uint32) string {
		cmd := exec.CommandContext(t.Context(), "curl", "-sS", "--unix-socket", r.dir+"/admin.sock", "-X", "PUT", "--data-binary", "@-",
			"-w", " %{http_code}", "http://edge/v1/lineages/app")
		cmd.Stdin = strings.NewReader(body)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: uid, Gid: uid}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		return string(out)
	}
	if out := put(4000); !strings.HasSuffix(out, " 403") || !strings.Contains(out, "user 4000 may not do this") {
		t.Errorf("a stranger: %s", out)
	}
	if _, err := r.handshake("app.example.test"); err == nil {
		t.Error("what a stranger put is served")
	}
	if out := put(0); !strings.HasSuffix(out, " 200") {
		t.Errorf("root: %s", out)
	}
	r.serves("app.example.test", b)
}

// What the steward reports is in the metrics, and still there after a restart.
func TestStewardReportThroughTheDoor(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	r.configure("  - hosts: [plain.example.test]\n    tls: off\n    proxy: BACKEND\n")
	r.start()
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	end := time.Now()
	report := edge.StewardReport{Verb: "renew", Start: end.Add(-time.Minute), End: end, HookSeconds: 3, Lineages: []edge.LineageReport{
		{Name: "mail", Result: edge.ResultFailed, Reason: edge.ReasonCAA, NotAfter: end.Add(time.Hour)},
	}}
	for n := range 2 {
		if err := client.PutStewardReport(context.Background(), report); err != nil {
			t.Fatal(err)
		}
		r.stop()
		r.start()
		_, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics")
		for _, want := range []string{
			fmt.Sprintf(`edge_steward_renewals_total{reason="caa",result="failure"} %d`, n+1), fmt.Sprintf(`edge_lineage_renewal_failures{lineage="mail"} %d`, n+1),
			fmt.Sprintf("edge_steward_hook_seconds_total %d", 3*(n+1)), `edge_steward_last_run_timestamp_seconds{verb="renew"} `, `edge_lineage_not_after_timestamp_seconds{lineage="mail"} `,
		} {
			if !strings.Contains(body, "\n"+want) {
				t.Errorf("the metrics have no %s", want)
			}
		}
	}
}
