package main

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"syscall"
	"testing"

	"edge/internal/edgetest"
)

// The programs that tests of the certificate client run. Of ours, "certbot" is
// this test binary under that name.
const (
	debians = "/usr/bin/certbot"
	ours    = "certbot"
)

// tree is a certbot tree of its own with a CA of its own.
type tree struct {
	t      *testing.T
	root   string
	ca     *edgetest.CA
	http   string // where the CA looks for HTTP-01
	tls    string // where it looks for TLS-ALPN-01 and TLS-SNI-01
	stdin  *os.File
	extras []string // environment
}

func newTree(t *testing.T, o edgetest.CAOptions) *tree {
	t.Helper()
	plain, tls := wellKnown(t)
	o.HTTPPort, o.TLSPort = edgetest.Port(plain), edgetest.Port(tls)
	ca, err := edgetest.NewCA(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	tr := &tree{t: t, root: t.TempDir(), ca: ca, http: plain, tls: tls}
	tr.write("ca.pem", string(ca.ServerRoots()), 0o644)
	if err := os.Mkdir(filepath.Join(tr.root, "web"), 0o755); err != nil {
		t.Fatal(err)
	}
	return tr
}

func (tr *tree) path(elem ...string) string {
	return filepath.Join(append([]string{tr.root}, elem...)...)
}

func (tr *tree) write(name, content string, mode fs.FileMode) string {
	tr.t.Helper()
	path := tr.path(name)
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		tr.t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		tr.t.Fatal(err)
	}
	return path
}

// outcome is what a program said and how it ended.
type outcome struct {
	stdout, stderr string
	code           int
}

// command is a run of a program on the tree, not started yet.
func (tr *tree) command(program string, args ...string) *exec.Cmd {
	tr.t.Helper()
	for i := range args {
		args[i] = strings.ReplaceAll(strings.ReplaceAll(args[i], "ROOT", tr.root), "PORT", fmt.Sprint(edgetest.Port(tr.http)))
	}
	args = append(slices.Clone(args), "--config-dir", tr.path("config"), "--work-dir", tr.path("work"), "--logs-dir", tr.path("logs"))
	if !slices.Contains(args, "--server") {
		args = append(args, "--server", tr.ca.URL())
	}
	cmd := exec.CommandContext(tr.t.Context(), program, args...)
	cmd.Dir, cmd.Stdin = tr.root, nil
	if tr.stdin != nil {
		cmd.Stdin = tr.stdin
	}
	// Nothing but the CA of the test may be asked for anything.
	cmd.Env = append(os.Environ(), "REQUESTS_CA_BUNDLE="+tr.path("ca.pem"), "no_proxy=*", "HOME="+tr.root, "EDGE_TEXTFILE_DIR=", "HTTP_PORT="+fmt.Sprint(edgetest.Port(tr.http)))
	cmd.Env = append(cmd.Env, tr.extras...)
	return cmd
}

func (tr *tree) run(program string, args ...string) outcome {
	tr.t.Helper()
	cmd := tr.command(program, args...)
	var stdout, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &stdout, &stderr
	err := cmd.Run()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		tr.t.Fatalf("%s %v: %v", program, args, err)
	}
	return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
}

// must is run for what has to succeed.
func (tr *tree) must(program string, args ...string) outcome {
	tr.t.Helper()
	out := tr.run(program, args...)
	if out.code != 0 {
		tr.t.Fatalf("%s %v: exit status %d\n%s%s", program, args, out.code, out.stdout, out.stderr)
	}
	return out
}

// files lists the tree: mode, owner, name and where links lead to. What certbot
// has and edge has not, or the other way, is passed over: see docs/certbot-differences.md.
func (tr *tree) files() []string {
	tr.t.Helper()
	var list []string
	err := filepath.WalkDir(tr.root, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, _ := filepath.Rel(tr.root, path)
		switch {
		case slices.Contains([]string{"config/csr", "config/keys", "work/edge", "work/backups"}, rel):
			return fs.SkipDir
		case strings.HasPrefix(rel, "logs/letsencrypt.log."):
			return nil
		}
		if d.IsDir() && strings.HasPrefix(rel, "config/accounts/") {
			if found, _ := filepath.Glob(filepath.Join(path, "*/*/regr.json")); len(found) == 0 && strings.Count(rel, "/") == 2 {
				return fs.SkipDir // certbot makes it when it looks for accounts
			}
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		link := ""
		if info.Mode()&fs.ModeSymlink != 0 {
			link, _ = os.Readlink(path)
		}
		list = append(list, fmt.Sprintf("%v %d:%d %s %s", info.Mode(), st.Uid, st.Gid, tr.neutral(rel), link))
		return nil
	})
	if err != nil {
		tr.t.Fatal(err)
	}
	slices.Sort(list)
	return list
}

var varying = []struct {
	find *regexp.Regexp
	with string
}{
	{regexp.MustCompile(`Serial Number: [0-9a-f]+`), "Serial Number: X"},
	{regexp.MustCompile(`my-account/[0-9a-f]+`), "my-account/X"},
	{regexp.MustCompile(`\b[0-9a-f]{32}\b`), "ID"},
	{regexp.MustCompile(`\d\d:\d\d:\d\d`), "TIME"},
	{regexp.MustCompile(`acme-challenge/[\w-]{43}`), "acme-challenge/TOKEN"},
	{regexp.MustCompile(`127\.0\.0\.1:\d+`), "ADDRESS"},
	{regexp.MustCompile(`example\.test:\d+`), "example.test:PORT"},
	{regexp.MustCompile(`on port \d+`), "on port PORT"},
	{regexp.MustCompile(`http01_port = \d+`), "http01_port = PORT"},
}

// neutral takes out of a text what differs from run to run.
func (tr *tree) neutral(s string) string {
	s = strings.ReplaceAll(s, tr.root, "ROOT")
	for _, v := range varying {
		s = v.find.ReplaceAllString(s, v.with)
	}
	return s
}

// conf is a renewal file without what differs from run to run.
func (tr *tree) conf(name string) string {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.path("config", "renewal", name))
	if err != nil {
		tr.t.Fatal(err)
	}
	return tr.neutral(string(raw))
}

// serveFiles is the web server of the webroot, where the CA looks.
func (tr *tree) serveFiles() (stop func()) {
	l, err := net.Listen("tcp", tr.http)
	if err != nil {
		tr.t.Error(err)
		return func() {}
	}
	srv := &http.Server{Handler: http.FileServer(http.Dir(tr.path("web")))}
	ended := make(chan struct{})
	go func() {
		defer close(ended)
		_ = srv.Serve(l)
	}()
	return func() {
		srv.Close()
		<-ended
	}
}
