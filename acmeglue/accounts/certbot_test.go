package accounts

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/authenticator"
	"edge/internal/durable"
	"edge/internal/edgetest"
)

// rig is a CA, and a folder that certbot and we share.
type rig struct {
	ca   *edgetest.CA
	root string
	port int // where the CA looks for HTTP-01 answers
}

func newRig(t testing.TB) *rig {
	t.Helper()
	r := &rig{root: t.TempDir(), port: freePort(t)}
	var err error
	if r.ca, err = edgetest.NewCA(edgetest.CAOptions{HTTPPort: r.port, Strict: true}); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.ca.Close)
	if err := os.WriteFile(filepath.Join(r.root, "roots.pem"), r.ca.ServerRoots(), 0o600); err != nil {
		t.Fatal(err)
	}
	return r
}

// freePort is below those that the kernel gives to others in the meantime.
func freePort(t testing.TB) int {
	t.Helper()
	for range 100 {
		port := 10000 + rand.IntN(20000)
		if ln, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			if err := ln.Close(); err != nil {
				t.Fatal(err)
			}
			return port
		}
	}
	t.Fatal("no port is free")
	return 0
}

func (r *rig) config() string { return filepath.Join(r.root, "config") }

// tryCertbot runs Debian's, and returns what it says.
func (r *rig) tryCertbot(t testing.TB, args ...string) (string, error) {
	t.Helper()
	bin, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append(args, "-n",
		"--logs-dir", filepath.Join(r.root, "logs"), "--config-dir", r.config(), "--work-dir", filepath.Join(r.root, "work"))...)
	// Nothing but the test's CA may be asked for anything.
	cmd.Env = append(os.Environ(), "no_proxy=*", "HTTPS_PROXY=http://127.0.0.1:1", "HOME="+r.root, "REQUESTS_CA_BUNDLE="+filepath.Join(r.root, "roots.pem"))
	out, err := cmd.CombinedOutput()
	return string(out), err
}

func (r *rig) certbot(t testing.TB, args ...string) string {
	t.Helper()
	out, err := r.tryCertbot(t, args...)
	if err != nil {
		t.Fatalf("certbot %v: %v\n%s", args, err, out)
	}
	return out
}

func (r *rig) order(t testing.TB, name string) {
	t.Helper()
	r.certbot(t, "certonly", "--server", r.ca.URL(), "--standalone", "--http-01-port", fmt.Sprint(r.port), "-d", name)
}

func (r *rig) open(t testing.TB, o Options) *Store {
	t.Helper()
	s, err := Open(r.config(), r.ca.URL(), o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func (r *rig) issuer(t testing.TB, s *Store) *acmeglue.Issuer {
	t.Helper()
	standalone, err := authenticator.NewStandalone(authenticator.StandaloneOptions{HTTP: authenticator.Listen{Port: r.port}})
	if err != nil {
		t.Fatal(err)
	}
	i, err := acmeglue.NewIssuer(acmeglue.IssuerOptions{
		Directory: r.ca.URL(), Email: "ops@example.org", Roots: r.ca.ServerPool(), Accounts: s, Authenticator: standalone,
		Challenges: []edge.ChallengeType{edge.HTTP01},
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(i.CloseIdleConnections)
	return i
}

func (r *rig) issue(t testing.TB, i *acmeglue.Issuer, name string) {
	t.Helper()
	if _, err := i.Issue(t.Context(), acmeglue.Order{Identifiers: []edge.Identifier{{Type: edge.DNS, Value: name}}}); err != nil {
		t.Fatal(err)
	}
}

// shows fails unless certbot shows the account.
func (r *rig) shows(t testing.TB, uri, email string) {
	t.Helper()
	out := r.certbot(t, "show_account", "--server", r.ca.URL())
	if !strings.Contains(out, "Account URL: "+uri+"\n") || !strings.Contains(out, "Email contact: "+email+"\n") {
		t.Errorf("certbot does not show %s with %s:\n%s", uri, email, out)
	}
}

// showsNone fails unless certbot says that there is no account.
func (r *rig) showsNone(t testing.TB) {
	t.Helper()
	if out, _ := r.tryCertbot(t, "show_account", "--server", r.ca.URL()); !strings.Contains(out, "Could not find an existing account for server "+r.ca.URL()+".\n") {
		t.Errorf("certbot says %s", out)
	}
}

// certbot registers; we order, change and end.
func TestAccountOfCertbot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	r.certbot(t, "register", "--server", r.ca.URL(), "--agree-tos", "-m", "a@example.org", "--no-eff-email")
	s := r.open(t, Options{})
	a, err := s.Load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	before := tree(t, r.config())
	i := r.issuer(t, s)
	r.issue(t, i, "a.test")
	if shown, err := i.ShowAccount(t.Context()); err != nil || shown.Location != a.Location || !slices.Equal(shown.Contact, []string{"mailto:a@example.org"}) {
		t.Errorf("%+v, %v", shown, err)
	}
	if _, err := i.UpdateContact(t.Context(), []string{"mailto:b@example.org"}); err != nil {
		t.Fatal(err)
	}
	r.shows(t, a.Location, "b@example.org")
	if after := tree(t, r.config()); after != before || r.ca.Accounts() != 1 {
		t.Errorf("%d accounts, there was\n%s\nthere is\n%s", r.ca.Accounts(), before, after)
	}
	if err := i.DeactivateAccount(t.Context()); err != nil {
		t.Fatal(err)
	}
	if left := tree(t, r.config()); strings.Count(left, "\n") != 1 {
		t.Errorf("left behind:\n%s", left)
	}
	r.showsNone(t)
}

// We register and change the key; certbot shows it, orders, changes and ends it.
func TestAccountForCertbot(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.open(t, Options{})
	i := r.issuer(t, s)
	a, err := i.Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	r.shows(t, a.Location, "ops@example.org")
	r.order(t, "a.test")
	renewal := filepath.Join(r.config(), "renewal/a.test.conf")
	if id := idOf(t, a.Key); !strings.Contains(read(t, renewal), "account = "+id+"\n") {
		t.Errorf("%s has not account = %s:\n%s", renewal, id, read(t, renewal))
	}
	changed, err := i.RolloverKey(t.Context())
	if err != nil || sameKey(changed.Key, a.Key) {
		t.Fatal(changed, err)
	}
	r.shows(t, a.Location, "ops@example.org")
	r.order(t, "b.test")
	r.issue(t, i, "c.test")
	// What the lineages of before need, and what they need it for.
	if out, err := r.tryCertbot(t, "renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name", "a.test"); err == nil {
		t.Errorf("certbot finds an account by its former name: Info.Is need not be looked at any more:\n%s", out)
	}
	list, err := s.List(t.Context())
	if err != nil || len(list) != 1 || !list[0].Is(idOf(t, a.Key)) {
		t.Fatalf("%+v, %v", list, err)
	}
	write(t, renewal, strings.Replace(read(t, renewal), "account = "+idOf(t, a.Key), "account = "+list[0].ID, 1))
	for range 2 {
		r.certbot(t, "renew", "--force-renewal", "--no-random-sleep-on-renew", "--cert-name", "a.test")
	}
	r.certbot(t, "update_account", "--server", r.ca.URL(), "-m", "c@example.org", "--no-eff-email")
	r.shows(t, a.Location, "c@example.org")
	if r.ca.Accounts() != 1 {
		t.Errorf("%d accounts", r.ca.Accounts())
	}
	r.certbot(t, "unregister", "--server", r.ca.URL())
	if left := tree(t, r.config()); strings.Count(left, "\n") != 1 {
		t.Errorf("left behind:\n%s", left)
	}
}

// certbot takes accounts with EC keys, too.
func TestECAccount(t *testing.T) {
	t.Parallel()
	for _, curve := range []string{"P-256", "P-384"} {
		r := newRig(t)
		s := r.open(t, Options{})
		key := makeKey(t, curve)
		dir := s.Dir(idOf(t, key))
		if err := s.mkdir(dir); err != nil {
			t.Fatal(err)
		}
		if err := s.writeKey(filepath.Join(dir, keyFile), key); err != nil {
			t.Fatal(err)
		}
		i := r.issuer(t, s)
		a, err := i.Register(t.Context())
		if err != nil || !sameKey(a.Key, key) {
			t.Fatal(a, err)
		}
		r.shows(t, a.Location, "ops@example.org")
		r.order(t, "a.test")
		r.issue(t, i, "b.test")
	}
}

// A registration that is cut off is no account for certbot, and the next one of ours
// finds what the CA knows already.
func TestInterruptedRegistration(t *testing.T) {
	t.Parallel()
	for name, stop := range map[string]func(step durable.Step, path string) bool{
		"before the CA": func(step durable.Step, path string) bool {
			return step == durable.Rename && filepath.Base(path) == keyFile
		},
		"after the CA": func(step durable.Step, path string) bool {
			return step == durable.Create && filepath.Base(path) == metaFile
		},
		"between the files": func(step durable.Step, path string) bool {
			return step == durable.Write && filepath.Base(path) == regrFile
		},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := newRig(t)
			broken := r.open(t, Options{Durable: durable.Writer{Before: func(step durable.Step, path string) error {
				if stop(step, path) {
					return syscall.ENOSPC
				}
				return nil
			}}})
			if _, err := r.issuer(t, broken).Register(t.Context()); !errors.Is(err, syscall.ENOSPC) {
				t.Fatalf("%v, want ENOSPC", err)
			}
			r.showsNone(t)
			a, err := r.issuer(t, r.open(t, Options{})).Register(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			r.shows(t, a.Location, "ops@example.org")
			if r.ca.Accounts() != 1 {
				t.Errorf("%d accounts at the CA", r.ca.Accounts())
			}
		})
	}
}

// A change of the key whose answer got lost is completed by the next one, and certbot
// can use the account then.
func TestInterruptedRollover(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.open(t, Options{})
	a, err := r.issuer(t, s).Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	broken := r.open(t, Options{Durable: durable.Writer{Before: func(step durable.Step, path string) error {
		if filepath.Base(path) == metaFile {
			return syscall.EIO
		}
		return nil
	}}})
	if _, err := r.issuer(t, broken).RolloverKey(t.Context()); !errors.Is(err, syscall.EIO) {
		t.Fatalf("%v, want EIO", err)
	}
	changes := 0
	r.ca.Fault(func(_ http.ResponseWriter, q *http.Request) bool {
		if q.URL.Path == "/rollover-account-key" {
			changes++
		}
		return false
	})
	changed, err := r.issuer(t, s).RolloverKey(t.Context())
	if err != nil || changed.Location != a.Location || changes != 0 {
		t.Fatalf("%+v, %v, %d more changes", changed, err, changes)
	}
	r.shows(t, a.Location, "ops@example.org")
	r.order(t, "a.test")
}

// An account that the CA does not know any more is registered again, with its key.
func TestCAForgets(t *testing.T) {
	t.Parallel()
	r := newRig(t)
	s := r.open(t, Options{})
	a, err := r.issuer(t, s).Register(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	// Another CA at the same place: here, the old place under the new CA's name.
	other := newRig(t)
	other.root = r.root
	if err := os.WriteFile(filepath.Join(r.root, "roots.pem"), other.ca.ServerRoots(), 0o600); err != nil {
		t.Fatal(err)
	}
	to := other.open(t, Options{})
	if err := to.mkdir(filepath.Dir(to.Dir(""))); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(s.Dir(""), to.Dir("")); err != nil {
		t.Fatal(err)
	}
	regr := filepath.Join(to.Dir(idOf(t, a.Key)), regrFile)
	write(t, regr, strings.Replace(read(t, regr), strings.TrimSuffix(r.ca.URL(), "/dir"), strings.TrimSuffix(other.ca.URL(), "/dir"), 1))
	i := other.issuer(t, to)
	other.issue(t, i, "a.test")
	again, err := to.Load(t.Context())
	if err != nil || !sameKey(again.Key, a.Key) || again.Location == a.Location {
		t.Fatalf("%+v, %v", again, err)
	}
	other.shows(t, again.Location, "ops@example.org")
}
