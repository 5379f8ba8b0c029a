package authenticator

import (
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

// certbot is Debian's, on folders of its own, with a CA of ours.
func certbot(t *testing.T, ca *edgetest.CA, args ...string) (string, error) {
	t.Helper()
	bin, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	root := t.TempDir()
	roots := filepath.Join(root, "roots.pem")
	write(t, roots, string(ca.ServerRoots()))
	cmd := exec.CommandContext(t.Context(), bin, append([]string{"certonly", "-n", "--agree-tos", "--register-unsafely-without-email", "--server", ca.URL(),
		"--logs-dir", root + "/logs", "--config-dir", root + "/config", "--work-dir", root + "/work"}, args...)...)
	cmd.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+roots, "no_proxy=*", "HOME="+root)
	out, err := cmd.CombinedOutput()
	t.Logf("%v: %s", args, out)
	return string(out), err
}

// dump is a hook that writes down what it is told.
func dump(file, kind string) string {
	return fmt.Sprintf("echo KIND=%s >> %[2]s; { env | grep -a ^CERTBOT_ | sort; echo; } >> %[2]s; echo made by $CERTBOT_DOMAIN", kind, file)
}

// dumped reads that, with what differs from order to order made the same.
func dumped(t *testing.T, file string) (runs []map[string]string) {
	t.Helper()
	for _, run := range strings.Split(strings.TrimSpace(read(t, file)), "\n\n") {
		env := map[string]string{}
		for _, line := range strings.Split(run, "\n") {
			key, value, _ := strings.Cut(line, "=")
			env[key] = value
		}
		if token, ok := env["CERTBOT_TOKEN"]; ok {
			if !strings.HasPrefix(env["CERTBOT_VALIDATION"], token+".") {
				t.Errorf("token %s, validation %s", token, env["CERTBOT_VALIDATION"])
			}
			env["CERTBOT_TOKEN"] = "T"
		}
		env["CERTBOT_VALIDATION"] = fmt.Sprintf("%d bytes", len(env["CERTBOT_VALIDATION"]))
		// The CA's order of authorizations is another one each time.
		all := strings.Split(env["CERTBOT_ALL_DOMAINS"], ",")
		slices.Sort(all)
		env["CERTBOT_ALL_DOMAINS"] = strings.Join(all, ",")
		if out, ok := env["CERTBOT_AUTH_OUTPUT"]; ok && out != "made by "+env["CERTBOT_DOMAIN"] {
			t.Errorf("output %q for %s", out, env["CERTBOT_DOMAIN"])
		}
		delete(env, "CERTBOT_AUTH_OUTPUT")
		env["CERTBOT_DOMAIN"] = ""
		runs = append(runs, env)
	}
	return runs
}

// Hooks are told the same, in the same order, by certbot and by us; we also say
// what certbot says since 5.3.
func TestManualEnvironmentIsCertbots(t *testing.T) {
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.DNS01} {
		t.Run(string(kind), func(t *testing.T) {
			t.Parallel()
			ca := newCA(t, edgetest.CAOptions{HTTPPort: freePort(t)})
			dir := t.TempDir()
			theirs, ours := dir+"/theirs", dir+"/ours"
			names := []string{"a.test", "b.test", "c.test"}
			if kind == edge.DNS01 {
				names[1] = "*.a.test"
			}
			// The CA will find nothing: what hooks are told is the same.
			_, err := certbot(t, ca, "--manual", "--preferred-challenges", string(kind), "-d", strings.Join(names, ","),
				"--manual-auth-hook", dump(theirs, "auth"), "--manual-cleanup-hook", dump(theirs, "cleanup"))
			if err == nil {
				t.Error("certbot obtained a certificate")
			}
			m := newManual(t, ManualOptions{Hooks: &hookRunner{}, AuthHook: dump(ours, "auth"), CleanupHook: dump(ours, "cleanup")})
			if _, err := issue(t, ca, m, []edge.ChallengeType{kind}, names...); err == nil {
				t.Error("a certificate was obtained")
			}
			want, got := dumped(t, theirs), dumped(t, ours)
			for _, env := range got {
				for _, since := range []string{"CERTBOT_IDENTIFIER", "CERTBOT_ALL_IDENTIFIERS"} {
					if env[since] == "" {
						t.Errorf("%s is not set", since)
					}
					delete(env, since)
				}
			}
			if len(want) != 6 || !slices.EqualFunc(want, got, maps.Equal[map[string]string, map[string]string]) {
				t.Errorf("certbot's hooks are told\n%v\nours\n%v", want, got)
			}
		})
	}
}

// texts has certbot's own text for each challenge of a batch.
const texts = `
import io, json, sys
from unittest import mock
from certbot._internal.plugins import manual
from certbot._internal.display import obj
from acme import challenges

def perform(q):
    out = io.StringIO()
    obj.set_display(obj.FileDisplay(out, False))
    config = mock.MagicMock(http01_port=80, manual_auth_hook=None, manual_cleanup_hook=None)
    with mock.patch("certbot.reverter.Reverter"):
        auth = manual.Authenticator(config, "manual")
    batch = []
    for a in q:
        kind = {"http-01": challenges.HTTP01, "dns-01": challenges.DNS01}[a["type"]]
        chall = mock.MagicMock()
        chall.chall, chall.domain = kind(token=b"0" * 32), a["domain"]
        chall.validation.return_value = a["validation"]
        chall.validation_domain_name.side_effect = lambda d: "_acme-challenge." + d
        batch.append(chall)
    with mock.patch("certbot._internal.display.util.input_with_timeout", side_effect=lambda p: out.write(p)):
        auth.perform(batch)
    token = challenges.HTTP01(token=b"0" * 32).encode("token")
    return out.getvalue().replace(token, "TOKEN")

for line in sys.stdin:
    print(json.dumps(perform(json.loads(line))), flush=True)
`

// What a person is told is what certbot tells, byte for byte.
func TestManualTextsAreCertbots(t *testing.T) {
	t.Parallel()
	var batches [][]edge.Answer
	var questions [][]map[string]string
	for _, kinds := range [][]edge.ChallengeType{
		{edge.HTTP01}, {edge.DNS01}, {edge.HTTP01, edge.DNS01, edge.HTTP01, edge.DNS01}, {edge.DNS01, edge.HTTP01, edge.DNS01},
	} {
		var batch []edge.Answer
		var question []map[string]string
		for n, kind := range kinds {
			a := answer(t, kind, fmt.Sprintf("%c.test", 'a'+n))
			q := map[string]string{"type": string(kind), "domain": a.Identifier.Value, "validation": a.KeyAuth}
			if a.Token = "TOKEN"; kind == edge.DNS01 {
				q["validation"] = dnsValue(a)
			}
			batch, question = append(batch, a), append(question, q)
		}
		batches, questions = append(batches, batch), append(questions, question)
	}
	oracle := edgetest.StartOracle(t, "-c", texts)
	for n, batch := range batches {
		p := &person{keys: make(chan byte, 10)}
		placeAll(t, newManual(t, ManualOptions{In: p, Out: p}), batch...)
		var want string
		oracle.Ask(t, questions[n], &want)
		if got := p.seen.String(); got != want {
			t.Errorf("%v: certbot says\n%s\nwe say\n%s", questions[n], want, got)
		}
	}
}

// Files and folders of webroots are made as certbot makes them.
func TestWebrootIsCertbots(t *testing.T) {
	t.Parallel()
	var mu sync.Mutex
	var seen [2][]string
	root := t.TempDir()
	if os.Getuid() == 0 {
		if err := os.Chown(root, 1234, 2345); err != nil {
			t.Fatal(err)
		}
	}
	who := 0
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		mu.Lock()
		defer mu.Unlock()
		token := filepath.Base(r.URL.Path)
		seen[who] = nil
		for _, line := range tree(t, root) {
			seen[who] = append(seen[who], strings.Replace(line, token, "TOKEN", 1))
		}
		b, err := os.ReadFile(filepath.Join(root, r.URL.Path))
		if err != nil {
			w.WriteHeader(404)
		}
		_, _ = w.Write(b)
	}))
	defer srv.Close()
	ca := newCA(t, edgetest.CAOptions{HTTPPort: edgetest.Port(srv.Listener.Addr().String())})
	if _, err := certbot(t, ca, "--webroot", "-w", root, "-d", "a.test"); err != nil {
		t.Fatal(err)
	}
	mu.Lock()
	who = 1
	mu.Unlock()
	mustIssue(t, ca, NewWebroot(WebrootOptions{Path: root}), nil, "a.test")
	mu.Lock()
	defer mu.Unlock()
	if len(seen[0]) != 3 || !slices.Equal(seen[0], seen[1]) || len(tree(t, root)) != 0 {
		t.Errorf("certbot made %v, we %v; left %v", seen[0], seen[1], tree(t, root))
	}
}

// We know certbot's standalone server for what it is, wait for it to end, and say
// what it says about a port that is taken.
func TestStandaloneKnowsCertbots(t *testing.T) {
	t.Parallel()
	port := freePort(t)
	ca := newCA(t, edgetest.CAOptions{HTTPPort: port})
	s := newStandalone(t, func(o *StandaloneOptions) { o.HTTP.Port, o.Wait = port, time.Minute })
	a := answer(t, edge.HTTP01, "b.test")
	ours := make(chan error, 1)
	begin := sync.OnceFunc(func() {
		if !isRun(t.Context(), serverKey{s.o.HTTP, false}) {
			t.Error("certbot's server was not known")
		}
		go func() { ours <- s.Present(t.Context(), []edge.Answer{a}) }()
	})
	ca.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		if strings.HasPrefix(r.URL.Path, "/chalZ/") {
			begin()
		}
		return false
	})
	args := []string{"--standalone", "--http-01-port", fmt.Sprint(port), "-d", "a.test"}
	if _, err := certbot(t, ca, args...); err != nil {
		t.Fatal(err)
	}
	if err := <-ours; err != nil {
		t.Fatal(err)
	}
	defer cleanAll(t, s, a)
	out, err := certbot(t, ca, args...)
	if want := (&BindError{Port: port, Err: syscall.EADDRINUSE}).Error(); err == nil || !strings.Contains(out, want) {
		t.Errorf("certbot does not say %q", want)
	}
}
