package authenticator

import (
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge"
	"edge/acmeglue"
	"edge/internal/edgetest"
)

// hookRun is one run of a hook.
type hookRun struct {
	kind string
	env  map[string]string
}

// hookRunner runs hooks by the shell, or by a function, and remembers them.
type hookRunner struct {
	f func(ctx context.Context, kind string, env map[string]string) (string, int, error) // nil: the shell

	mu   sync.Mutex
	runs []hookRun
}

func (h *hookRunner) Run(ctx context.Context, kind, shell string, env map[string]string) (string, int, error) {
	h.mu.Lock()
	h.runs = append(h.runs, hookRun{kind, maps.Clone(env)})
	h.mu.Unlock()
	if h.f != nil {
		return h.f(ctx, kind, env)
	}
	cmd := exec.CommandContext(ctx, "/bin/sh", "-c", shell)
	cmd.Env = os.Environ()
	for k, v := range env {
		cmd.Env = append(cmd.Env, k+"="+v)
	}
	out, err := cmd.Output()
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return string(out), exit.ExitCode(), nil
	}
	return string(out), 0, err
}

// short is a run in a word: what it was for, and how many were to come.
func (h *hookRunner) short() (list []string) {
	for _, r := range h.runs {
		list = append(list, strings.TrimSuffix(strings.TrimPrefix(r.kind, "manual-"), "-hook")+" "+r.env["CERTBOT_DOMAIN"]+" "+r.env["CERTBOT_REMAINING_CHALLENGES"])
	}
	return list
}

func newManual(t testing.TB, o ManualOptions) *Manual {
	t.Helper()
	m, err := NewManual(o)
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// Shell hooks put files below a web server's root and take them away: auth hooks in
// the CA's order, then cleanup hooks in the same one.
func TestManualIssuesByHooks(t *testing.T) {
	root := t.TempDir()
	srv := httptest.NewServer(http.FileServer(http.Dir(root)))
	defer srv.Close()
	ca := newCA(t, edgetest.CAOptions{HTTPPort: edgetest.Port(srv.Listener.Addr().String())})
	dir := filepath.Join(root, challengeDir)
	h := &hookRunner{}
	m := newManual(t, ManualOptions{Hooks: h,
		AuthHook:    "mkdir -p " + dir + " && printf %s \"$CERTBOT_VALIDATION\" > " + dir + "/$CERTBOT_TOKEN && echo ' made it '",
		CleanupHook: "test \"$CERTBOT_AUTH_OUTPUT\" = 'made it' && rm " + dir + "/$CERTBOT_TOKEN"})
	mustIssue(t, ca, m, []edge.ChallengeType{edge.HTTP01}, "a.test", "b.test", "127.0.0.1")
	order := h.short()
	if len(order) != 6 || order[0][:4] != "auth" || order[3][:7] != "cleanup" || !strings.HasSuffix(order[2], " 0") ||
		!slices.Equal(order[:3], cut(order[3:], "cleanup", "auth")) {
		t.Errorf("hooks ran as %q", order)
	}
	for _, r := range h.runs {
		all := strings.Split(r.env["CERTBOT_ALL_DOMAINS"], ",")
		slices.Sort(all)
		if fmt.Sprint(all) != "[127.0.0.1 a.test b.test]" || r.env["CERTBOT_ALL_IDENTIFIERS"] != r.env["CERTBOT_ALL_DOMAINS"] || r.env["CERTBOT_IDENTIFIER"] != r.env["CERTBOT_DOMAIN"] {
			t.Errorf("%v", r.env)
		}
	}
	if files, _ := os.ReadDir(dir); len(files) != 0 || len(m.ran) != 0 {
		t.Errorf("left behind: %v", files)
	}
}

func cut(list []string, old, with string) (out []string) {
	for _, s := range list {
		out = append(out, strings.Replace(s, old, with, 1))
	}
	return out
}

// A wildcard and its name by DNS-01: two values at one name.
func TestManualIssuesByDNS(t *testing.T) {
	d, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	defer d.Close()
	ca := newCA(t, edgetest.CAOptions{DNS: d.Addr()})
	h := &hookRunner{f: func(_ context.Context, kind string, env map[string]string) (string, int, error) {
		name := "_acme-challenge." + env["CERTBOT_DOMAIN"]
		if kind == authHook {
			d.AddTXT(name, env["CERTBOT_VALIDATION"])
		} else {
			d.RemoveTXT(name, env["CERTBOT_VALIDATION"])
		}
		if _, ok := env["CERTBOT_TOKEN"]; ok {
			t.Error("a token in DNS-01")
		}
		return "", 0, nil
	}}
	m := newManual(t, ManualOptions{Hooks: h, AuthHook: "x", CleanupHook: "x"})
	mustIssue(t, ca, m, []edge.ChallengeType{edge.DNS01}, "a.test", "*.a.test")
	want := []string{"auth a.test 1", "auth a.test 0", "cleanup a.test 1", "cleanup a.test 0"}
	if got := h.short(); !slices.Equal(got, want) || len(d.TXT("_acme-challenge.a.test")) != 0 {
		t.Errorf("%q, left %v", got, d.TXT("_acme-challenge.a.test"))
	}
}

// TLS-SNI-01: a hook gets the files for a server, for a CA that offers nothing else.
func TestManualIssuesByTLSSNI(t *testing.T) {
	dir := t.TempDir()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	var mu sync.Mutex
	pairs := map[string]*tls.Certificate{}
	server := tls.NewListener(l, &tls.Config{GetCertificate: func(h *tls.ClientHelloInfo) (*tls.Certificate, error) {
		mu.Lock()
		defer mu.Unlock()
		return pairs[h.ServerName], nil
	}})
	defer server.Close()
	go func() {
		for {
			c, err := server.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			c.Close()
		}
	}()
	h := &hookRunner{f: func(_ context.Context, kind string, env map[string]string) (string, int, error) {
		for _, name := range []string{"CERTBOT_VALIDATION", "CERTBOT_TOKEN"} {
			if _, ok := env[name]; ok {
				t.Errorf("%s is set", name)
			}
		}
		pair, err := tls.LoadX509KeyPair(env["CERTBOT_CERT_PATH"], env["CERTBOT_KEY_PATH"])
		if err != nil {
			t.Error(err) // also the cleanup hook still has them
		}
		mu.Lock()
		defer mu.Unlock()
		pairs[env["CERTBOT_SNI_DOMAIN"]] = &pair
		if files := fmt.Sprint(tree(t, dir)); !strings.Contains(files, ".pem -r--------") || !strings.Contains(files, ".crt -rw-r--r--") {
			t.Errorf("%s: files %s", kind, files)
		}
		return "", 0, nil
	}}
	m := newManual(t, ManualOptions{Hooks: h, AuthHook: "x", CleanupHook: "x", SNI: true, WorkDir: dir})
	ca := newCA(t, edgetest.CAOptions{TLSPort: edgetest.Port(l.Addr().String()), SNIOnly: true})
	mustIssue(t, ca, m, nil, "a.test", "b.test")
	if left := tree(t, dir); len(h.runs) != 4 || len(left) != 0 {
		t.Errorf("%d runs, left behind: %v", len(h.runs), left)
	}
	// Files that a killed run has left are replaced.
	a := answer(t, edge.TLSSNI01, "a.test")
	write(t, filepath.Join(dir, a.Token+".crt"), "old")
	write(t, filepath.Join(dir, a.Token+".pem"), "old")
	h.f = func(context.Context, string, map[string]string) (string, int, error) { return "", 0, nil }
	placeAll(t, m, a)
	if !strings.HasPrefix(read(t, filepath.Join(dir, a.Token+".pem")), "-----BEGIN PRIVATE KEY") {
		t.Error("the old key was kept")
	}
	cleanAll(t, m, a)
	a.Token = "../x"
	if err := m.Present(t.Context(), []edge.Answer{a}); err == nil {
		t.Error("a token with a slash was taken")
	}
}

// posts counts what a CA is asked to validate.
func posts(ca *edgetest.CA) func() int {
	var mu sync.Mutex
	n := 0
	ca.Fault(func(_ http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		if strings.HasPrefix(r.URL.Path, "/chalZ/") {
			n++
		}
		return false
	})
	return func() int {
		mu.Lock()
		defer mu.Unlock()
		return n
	}
}

// A failing auth hook is the end, before the CA is asked to validate anything; what
// was done so far is cleaned up. With KeepGoing it is a warning.
func TestManualAuthHookFails(t *testing.T) {
	ca := newCA(t, edgetest.CAOptions{HTTPPort: freePort(t)})
	asked := posts(ca)
	h := &hookRunner{}
	var log logged
	o := ManualOptions{Hooks: h, AuthHook: `test "$CERTBOT_REMAINING_CHALLENGES" != 1 || { echo half; exit 3; }`, CleanupHook: "exit 4", Log: log.logger()}
	_, err := issue(t, ca, newManual(t, o), []edge.ChallengeType{edge.HTTP01}, "a.test", "b.test", "c.test")
	bad := h.runs[1].env["CERTBOT_DOMAIN"]
	want := fmt.Sprintf("validation of %s by http-01: Hook '--manual-auth-hook' for %s reported error code 3", bad, bad)
	if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), ";") {
		t.Errorf("got %v, not %q", err, want)
	}
	if n := asked(); n != 0 {
		t.Errorf("the CA was asked to validate %d times", n)
	}
	if got := h.short(); len(got) != 4 || !strings.HasPrefix(got[2], "cleanup") || !strings.HasSuffix(got[3], bad+" 1") {
		t.Errorf("hooks ran as %q", got)
	}
	if out := h.runs[3].env["CERTBOT_AUTH_OUTPUT"]; out != "half" {
		t.Errorf("the output is %q", out)
	}
	o.KeepGoing, h.runs = true, nil
	if _, err = issue(t, ca, newManual(t, o), []edge.ChallengeType{edge.HTTP01}, "a.test", "b.test", "c.test"); err == nil {
		t.Error("it was issued")
	}
	if n := asked(); n != 3 || len(h.runs) != 6 || strings.Count(log.String(), "level=WARN") != 1 || !strings.Contains(log.String(), "reported error code 3") {
		t.Errorf("the CA was asked %d times; hooks %q; log %s", n, h.short(), log.String())
	}
	// One that cannot be run is the end in any case.
	h.f = func(context.Context, string, map[string]string) (string, int, error) { return "", 0, os.ErrPermission }
	if err := newManual(t, o).Present(t.Context(), []edge.Answer{answer(t, edge.HTTP01, "a.test")}); !errors.Is(err, os.ErrPermission) {
		t.Errorf("got %v", err)
	}
}

// Cleanup hooks run for all that an auth hook ran for, whatever they come to, and
// also where there is no time left.
func TestManualCleanupAlways(t *testing.T) {
	h := &hookRunner{}
	m := newManual(t, ManualOptions{Hooks: h, AuthHook: "true", CleanupHook: "exit 1"})
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.DNS01, "b.test")}
	placeAll(t, m, batch...)
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	err := m.Cleanup(ctx, append(batch, answer(t, edge.HTTP01, "never.test")))
	want := "Hook '--manual-cleanup-hook' for a.test reported error code 1\nHook '--manual-cleanup-hook' for b.test reported error code 1"
	if err == nil || err.Error() != want || len(h.runs) != 4 {
		t.Errorf("got %v after %q", err, h.short())
	}
	if err := m.Cleanup(t.Context(), batch); err != nil || len(h.runs) != 4 {
		t.Errorf("a second time: %v", err)
	}
	if err := m.Present(ctx, batch); !errors.Is(err, context.Canceled) || len(h.runs) != 4 {
		t.Errorf("after the end: %v", err)
	}
	m = newManual(t, ManualOptions{Hooks: h, AuthHook: "true"})
	placeAll(t, m, batch...)
	cleanAll(t, m, batch...)
	if len(h.runs) != 6 {
		t.Errorf("without a cleanup hook: %q", h.short())
	}
}

// person presses Enter once a text is there, and sees it.
type person struct {
	mu   sync.Mutex
	seen bytes.Buffer
	keys chan byte
}

func (p *person) Write(b []byte) (int, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.seen.Write(b)
	if bytes.HasSuffix(p.seen.Bytes(), []byte(enterText)) {
		p.keys <- '\n'
	}
	return len(b), nil
}

func (p *person) Read(b []byte) (int, error) {
	key, ok := <-p.keys
	if !ok {
		return 0, io.EOF
	}
	b[0] = key
	return 1, nil
}

// A person is told one thing after the other, and waited for.
func TestManualAsksPerson(t *testing.T) {
	p := &person{keys: make(chan byte, 10)}
	m := newManual(t, ManualOptions{In: p, Out: p, SNI: true, WorkDir: t.TempDir()})
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.TLSSNI01, "b.test")}
	placeAll(t, m, batch...)
	text := p.seen.String()
	if strings.Count(text, enterText) != 2 || !strings.Contains(text, batch[0].KeyAuth) ||
		!strings.Contains(text, "\nwhen it receives a TLS ClientHello with the SNI extension set to\n"+edge.SNI01Name(batch[1].KeyAuth)+"\n") {
		t.Errorf("%s", text)
	}
	cleanAll(t, m, batch...)
	// Nobody is there any more.
	close(p.keys)
	err := newManual(t, ManualOptions{In: strings.NewReader(""), Out: io.Discard}).Present(t.Context(), batch[:1])
	if err == nil || !strings.Contains(err.Error(), "standard input ended before Enter was pressed") {
		t.Errorf("got %v", err)
	}
	// Ctrl-C ends the wait, of who asks and of who waits for his turn.
	r, w := io.Pipe()
	m = newManual(t, ManualOptions{In: r, Out: io.Discard})
	ctx, cancel := context.WithCancelCause(t.Context())
	done := make(chan error, 2)
	for range 2 {
		go func() { done <- m.Present(ctx, batch[:1]) }()
	}
	stopped := errors.New("stopped")
	cancel(stopped)
	for range 2 {
		if err := <-done; !errors.Is(err, stopped) {
			t.Errorf("got %v", err)
		}
	}
	w.Close()
}

func TestManualOptions(t *testing.T) {
	for want, o := range map[string]ManualOptions{
		"An authentication script must be provided with --manual-auth-hook when using the manual plugin non-interactively.": {},
		"nothing to run hooks with": {AuthHook: "x"},
		"needs a folder":            {In: strings.NewReader(""), SNI: true},
	} {
		if _, err := NewManual(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("got %v, not %q", err, want)
		}
	}
	m := newManual(t, ManualOptions{In: strings.NewReader("")})
	err := m.Present(t.Context(), []edge.Answer{answer(t, edge.TLSSNI01, "a.test")})
	var failed *acmeglue.AuthorizationError
	if !errors.As(err, &failed) || len(m.Types()) != 2 {
		t.Errorf("TLS-SNI-01 that nobody asked for: %v", err)
	}
}
