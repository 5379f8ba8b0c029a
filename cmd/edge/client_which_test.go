package main

import (
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// fails runs edge where it must not succeed, and say why.
func (tr *tree) fails(line, why string) {
	tr.t.Helper()
	out := tr.run("edge", strings.Fields(line)...)
	if out.code != exitFailed || !strings.Contains(out.stderr, why) {
		tr.t.Errorf("%s: exit status %d, %q is not said in\n%s", line, out.code, why, out.stderr)
	}
}

// lineages are those of the tree with their names.
func (tr *tree) lineages() map[string][]string {
	tr.t.Helper()
	dirs, err := filepath.Glob(tr.path("config/live/*/cert.pem"))
	if err != nil {
		tr.t.Fatal(err)
	}
	found := map[string][]string{}
	for _, path := range dirs {
		name := filepath.Base(filepath.Dir(path))
		for _, n := range tr.live(name).DNSNames {
			found[name] = append(found[name], strings.TrimSuffix(n, ".example.test"))
		}
	}
	return found
}

// The flags that say which lineage a certificate is for, and whether one is needed.
func TestClientWhichLineage(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	// has is what the tree has, with the orders that it took since last time.
	seen := 0
	has := func(what string, orders int, want map[string][]string) {
		t.Helper()
		got := tr.lineages()
		same := len(got) == len(want)
		for name, names := range want {
			slices.Sort(got[name])
			same = same && slices.Equal(got[name], names)
		}
		if n := tr.ca.Orders() - seen; !same || n != orders {
			t.Errorf("%s: %d orders, lineages %v; want %d and %v", what, n, got, orders, want)
		}
		seen = tr.ca.Orders()
	}
	certonly := "certonly" + standaloneFlags
	tr.edge(certonly + "-d a.example.test")
	has("first", 1, map[string][]string{"a.example.test": {"a"}})
	for _, keep := range []string{"--keep-until-expiring", "--keep", "--reinstall"} {
		p := tr.sit(strings.Fields("certonly --standalone --http-01-port PORT -d a.example.test " + keep)...)
		p.sees("Certificate not yet due for renewal; no action taken.") // and no question before
		p.leaves(0)
	}
	has("--keep", 0, map[string][]string{"a.example.test": {"a"}})
	for _, force := range []string{"--force-renewal", "--renew-by-default"} {
		tr.edge(certonly + "-d a.example.test " + force)
		has(force, 1, map[string][]string{"a.example.test": {"a"}})
	}
	tr.edge(certonly + "-d a.example.test --duplicate")
	has("--duplicate", 1, map[string][]string{"a.example.test": {"a"}, "a.example.test-0001": {"a"}})
	tr.edge("delete -n --cert-name a.example.test-0001")
	tr.edge(certonly + "-d a.example.test,b.example.test --expand")
	has("--expand", 1, map[string][]string{"a.example.test": {"a", "b"}})
	p := tr.sit(strings.Fields("certonly --standalone --http-01-port PORT --no-preflight --cert-name a.example.test -d c.example.test --renew-with-new-domains")...)
	p.sees("Successfully received certificate.")
	if screen := p.leaves(0); strings.Contains(screen, "(U)pdate certificate") {
		t.Errorf("--renew-with-new-domains asks:\n%s", screen)
	}
	has("--renew-with-new-domains", 1, map[string][]string{"a.example.test": {"c"}})
	tr.edge(certonly + "-d d.example.test --cert-name mine")
	has("--cert-name of a new one", 1, map[string][]string{"a.example.test": {"c"}, "mine": {"d"}})
	tr.edge(certonly + "--cert-name mine --force-renewal")
	has("--cert-name alone", 1, map[string][]string{"a.example.test": {"c"}, "mine": {"d"}})
	tr.fails(certonly+"--cert-name other", "--domains")
	tr.fails(certonly+"--cert-name a/b -d a.example.test", "a/b")
}

// A lineage that is not to be renewed is left alone, and one that is for a CA whose
// certificates somebody trusts is not replaced by one of a CA for tests.
func TestClientRenewWhat(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{Profiles: map[string]time.Duration{"default": 90 * 24 * time.Hour, "brief": time.Second}})
	// A CA without ARI: its windows would be shorter than the client's patience.
	base := strings.TrimSuffix(tr.ca.URL(), "/dir")
	tr.ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		if r.URL.Path != "/dir" {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		fmt.Fprintf(w, `{"newNonce":"%[1]s/nonce-plz","newAccount":"%[1]s/sign-me-up","newOrder":"%[1]s/order-plz","meta":{"profiles":{"default":"","brief":""}}}`, base)
		return true
	})
	certonly := "certonly" + standaloneFlags
	tr.edge(certonly + "-d auto.example.test --preferred-profile brief")
	tr.edge(certonly + "-d not.example.test --preferred-profile brief --no-autorenew")
	tr.edge("renew --no-preflight --no-random-sleep-on-renew --preferred-profile default")
	for name, renewed := range map[string]bool{"auto": true, "not": false} {
		if got := time.Until(tr.live(name+".example.test").NotAfter) > time.Hour; got != renewed {
			t.Errorf("%s was renewed: %v", name, got)
		}
	}
	staging := " --server " + tr.ca.URL() + "?staging "
	tr.fails(certonly+"-d auto.example.test --force-renewal"+staging, "--break-my-certs")
	before := tr.ca.Orders()
	tr.edge(certonly + "-d auto.example.test --force-renewal --break-my-certs" + staging)
	if tr.ca.Orders() != before+1 {
		t.Error("--break-my-certs breaks nothing")
	}
}

// Who asks, and with which account.
func TestClientAccounts(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	register := func(flags string) (id string) {
		t.Helper()
		tr.edge("register -n --agree-tos " + flags)
		dirs, err := filepath.Glob(tr.path("config/accounts/*/*/*/regr.json"))
		if err != nil || len(dirs) != 1 {
			t.Fatalf("accounts %v, %v", dirs, err)
		}
		dir := filepath.Dir(dirs[0])
		if err := os.Rename(dir, tr.path(filepath.Base(dir))); err != nil {
			t.Fatal(err)
		}
		return filepath.Base(dir)
	}
	with, without := register("-m a@example.org --eff-email"), register("--register-unsafely-without-email --no-eff-email")
	home, err := filepath.Glob(tr.path("config/accounts/*/*"))
	if err != nil || len(home) != 1 {
		t.Fatalf("%v, %v", home, err)
	}
	for _, id := range []string{with, without} {
		if err := os.Rename(tr.path(id), filepath.Join(home[0], id)); err != nil {
			t.Fatal(err)
		}
	}
	// As with --no-eff-email, nobody is told of an account: no file says that somebody has to be.
	for _, id := range []string{with, without} {
		raw, err := os.ReadFile(filepath.Join(home[0], id, "meta.json"))
		var meta map[string]string
		if err == nil {
			err = json.Unmarshal(raw, &meta)
		}
		if _, told := meta["register_to_eff"]; err != nil || told {
			t.Errorf("%s: %s, %v", id, raw, err)
		}
	}
	order := "certonly -n --standalone --http-01-port PORT --no-preflight -d a.example.test "
	tr.fails(order, "--account")
	tr.fails(order+"--account nosuch", "does not exist")
	if out := tr.edge("show_account --account " + with); !strings.Contains(out.stdout, "a@example.org") {
		t.Errorf("the first account: %s", out.stdout)
	}
	tr.edge(order + "--account " + without)
	if conf := tr.raw("config/renewal/a.example.test.conf"); !strings.Contains(conf, "account = "+without) {
		t.Errorf("--account is not remembered:\n%s", conf)
	}
}

func (tr *tree) raw(name string) string {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.path(name))
	if err != nil {
		tr.t.Fatal(err)
	}
	return string(raw)
}
