package main

import (
	"fmt"
	"net/http"
	"os"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// What the CA sees of a client, and how long it is waited for.
func TestClientAtTheCA(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	var mu sync.Mutex
	agents, stuck := map[string]bool{}, false
	tr.ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
		mu.Lock()
		defer mu.Unlock()
		agents[r.UserAgent()] = true
		if !stuck || !strings.Contains(r.URL.Path, "/my-order/") {
			return false
		}
		w.Header().Set("Content-Type", "application/json")
		w.Header().Set("Replay-Nonce", "of-no-use")
		fmt.Fprintf(w, `{"status":"processing","identifiers":[{"type":"dns","value":"slow.example.test"}],"authorizations":[],"finalize":"%s/finalize-order/x"}`, strings.TrimSuffix(tr.ca.URL(), "/dir"))
		return true
	})
	order := "certonly" + standaloneFlags
	for flags, fits := range map[string]func(agent string) bool{
		"":                            func(a string) bool { return strings.HasPrefix(a, "edge/") && !strings.Contains(a, "remark") },
		"--user-agent-comment remark": func(a string) bool { return strings.HasPrefix(a, "edge/") && strings.Contains(a, "remark") },
		"--user-agent mine/1":         func(a string) bool { return a == "mine/1" || strings.HasPrefix(a, "mine/1 ") },
	} {
		mu.Lock()
		clear(agents)
		mu.Unlock()
		tr.edge(order + "--force-renewal -d a.example.test " + flags)
		mu.Lock()
		if len(agents) == 0 {
			t.Error("nobody came")
		}
		for a := range agents {
			if !fits(a) {
				t.Errorf("with %q, the CA sees %q", flags, a)
			}
		}
		mu.Unlock()
	}

	mu.Lock()
	stuck = true
	mu.Unlock()
	start := time.Now()
	tr.fails(order+"--issuance-timeout 1 -d slow.example.test", "")
	if took := time.Since(start); took < time.Second || took > 20*time.Second {
		t.Errorf("a CA that does not issue was waited for %v", took)
	}
	mu.Lock()
	stuck = false
	mu.Unlock()

	tr.write("ca.pem", string(edgetest.NewChain(t, time.Now().Add(time.Hour), "other.example.test").Chain), 0o644)
	tr.edge(order + "-d b.example.test --no-verify-ssl")
	tr.fails(order+"-d c.example.test", "failed to verify certificate")
}

// Where standalone listens.
func TestClientListens(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	order := "certonly" + standaloneFlags
	tr.edge(order + "-d a.example.test --http-01-address 127.0.0.1")
	tr.fails(order+"-d b.example.test --http-01-address 127.0.0.2 --preferred-challenges http", "challenges have failed")
	other := fmt.Sprint(edgetest.Port(reserve(t, 1)[0]))
	tr.fails(strings.Replace(order, "PORT", other, 1)+"-d b.example.test --preferred-challenges http", "challenges have failed")
}

// Which hooks run, and what becomes of their failures.
func TestClientHookFlags(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	order := "certonly" + standaloneFlags + "--force-renewal -d a.example.test "
	tr.edge(order)
	folder := func(kind string) string {
		return tr.write("config/renewal-hooks/"+kind+"/hook", "#!/bin/sh\necho folder-"+kind+" >>"+tr.path("ran")+"\n", 0o755)
	}
	folder("pre")
	folder("deploy")
	folder("post")
	own := []string{"--pre-hook", "echo pre >>ran", "--deploy-hook", "echo deploy $RENEWED_DOMAINS >>ran", "--post-hook", "echo post >>ran"}
	for flags, want := range map[string][]string{
		"":                               {"folder-pre", "pre", "folder-deploy", "deploy a.example.test", "folder-post", "post"},
		"--no-directory-hooks":           {"pre", "deploy a.example.test", "post"},
		"--dry-run":                      {"folder-pre", "pre", "folder-post", "post"},
		"--dry-run --run-deploy-hooks":   {"folder-pre", "pre", "folder-deploy", "deploy a.example.test", "folder-post", "post"},
		"--dry-run --no-directory-hooks": {"pre", "post"},
	} {
		_ = os.Remove(tr.path("ran"))
		tr.must("edge", append(strings.Fields(order+flags), own...)...)
		if ran := strings.Split(strings.TrimSpace(tr.raw("ran")), "\n"); !slices.Equal(ran, want) {
			t.Errorf("with %q ran %q, want %q", flags, ran, want)
		}
	}

	quoted := append(strings.Fields(order), "--no-directory-hooks", "--pre-hook", "X=set; echo $X >>ran")
	if out := tr.run("edge", quoted...); out.code != exitFailed || !strings.Contains(out.stderr, "--disable-hook-validation") {
		t.Errorf("a hook whose first word is no program: %d %s", out.code, out.stderr)
	}
	_ = os.Remove(tr.path("ran"))
	tr.must("edge", append(quoted, "--disable-hook-validation")...)
	if ran := tr.raw("ran"); ran != "set\n" {
		t.Errorf("ran %q", ran)
	}

	for _, c := range []struct {
		program, flag, hook string
		code                int
		says                string
	}{
		{"edge", "", "false", exitFailed, "reported error code 1"},
		{"edge", "--strict-hooks", "false", exitFailed, "reported error code 1"},
		{"edge", "--no-strict-hooks", "false", exitOK, "reported error code 1"},
		{ours, "", "false", exitOK, "reported error code 1"},
		{ours, "--strict-hooks", "false", exitFailed, "reported error code 1"},
		{"edge", "--hook-timeout=50ms", "sleep 3600", exitFailed, "took longer than --hook-timeout allows"},
	} {
		args := append(strings.Fields(order+c.flag), "--no-directory-hooks", "--deploy-hook", c.hook)
		if out := tr.run(c.program, args...); out.code != c.code || !strings.Contains(out.stderr, c.says) {
			t.Errorf("%s %s with the hook %s: exit status %d, want %d; %s", c.program, c.flag, c.hook, out.code, c.code, out.stderr)
		}
	}

	_ = os.Remove(tr.path("ran"))
	failing := append(strings.Fields(strings.Replace(order, "--standalone", "--webroot -w ROOT/web", 1)), "--no-directory-hooks",
		"--pre-hook", "", "--post-hook", "", "--deploy-hook", "", "--on-failure-hook", `echo $EDGE_FAILED_LINEAGE $FAILED_DOMAINS "$EDGE_ERROR" >>ran`)
	if out := tr.run("edge", failing...); out.code != exitFailed {
		t.Errorf("no web server, and still: %d %s", out.code, out.stderr)
	}
	if ran := tr.raw("ran"); !strings.HasPrefix(ran, "a.example.test a.example.test ") || len(strings.Fields(ran)) < 4 {
		t.Errorf("--on-failure-hook: %q", ran)
	}
}

// What is printed, what is logged, and who may read keys.
func TestClientFiles(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	tr.edge("register -n --agree-tos -m a@example.org")
	if out := tr.edge("update_account -q -m c@example.org"); out.stdout+out.stderr != "" {
		t.Errorf("-q says %s%s", out.stdout, out.stderr)
	}
	for flags, want := range map[string][2]bool{"": {}, "-v": {true, false}, "-vv": {true, true}} {
		out := tr.edge("certonly" + standaloneFlags + "-d a.example.test --keep " + flags)
		if got := [2]bool{strings.Contains(out.stderr, "Plugins selected"), strings.Contains(out.stderr, "edge version")}; got != want {
			t.Errorf("%q says %s", flags, out.stderr)
		}
	}

	logs := func() int {
		t.Helper()
		found, err := filepath.Glob(tr.path("logs/letsencrypt.log*"))
		if err != nil {
			t.Fatal(err)
		}
		return len(found)
	}
	for _, most := range []int{1, 2} {
		if err := os.RemoveAll(tr.path("logs")); err != nil {
			t.Fatal(err)
		}
		for range most + 2 {
			tr.edge(fmt.Sprintf("update_account -n -m a@example.org --max-log-backups %d", most))
		}
		if n := logs(); n != most+1 {
			t.Errorf("--max-log-backups %d leaves %d", most, n)
		}
	}
	before := len(tr.raw("logs/letsencrypt.log"))
	tr.edge("update_account -n -m a@example.org --max-log-backups 0")
	if n := logs(); n != 3 || len(tr.raw("logs/letsencrypt.log")) <= before {
		t.Errorf("--max-log-backups 0 leaves %d, or does not append", n)
	}

	if err := os.Chmod(tr.path("work"), 0o777); err != nil {
		t.Fatal(err)
	}
	tr.edge("update_account -n -m a@example.org")
	tr.fails("update_account -n -m a@example.org --strict-permissions", "should be owned by current user with permissions 0o755")

	group := ownGroup(t)
	tr.edge("certonly" + standaloneFlags + "-d key.example.test --key-mode 0640 --key-group " + group.Name)
	info, err := os.Stat(tr.path("config/archive/key.example.test/privkey1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if gid := fmt.Sprint(info.Sys().(*syscall.Stat_t).Gid); info.Mode().Perm() != 0o640 || gid != group.Gid {
		t.Errorf("the key has mode %v and group %s", info.Mode(), gid)
	}
}

// ownGroup is one that files may be given to: any other than the usual one, for root.
func ownGroup(t *testing.T) *user.Group {
	t.Helper()
	id := fmt.Sprint(os.Getgid())
	if os.Geteuid() == 0 {
		id = "33" // www-data, on every Debian
	}
	g, err := user.LookupGroupId(id)
	if err != nil {
		t.Fatal(err)
	}
	return g
}
