package main

import (
	"bufio"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"

	"edge/internal/edgetest"
)

// do runs a command line with a program that may be either; preflight looks at
// the real DNS, which has none of the names.
func (tr *tree) do(program, line string) outcome {
	tr.t.Helper()
	args := strings.Fields(line)
	if verb := args[0]; program == "edge" && (verb == "certonly" || verb == "renew") {
		args = append(args, "--no-preflight")
	}
	return tr.must(program, args...)
}

// leafOf reads the certificate of a lineage by way of its live folder.
func (tr *tree) leafOf(live string) *x509.Certificate {
	tr.t.Helper()
	raw, err := os.ReadFile(tr.path("config", "live", live, "cert.pem"))
	if err != nil {
		tr.t.Fatal(err)
	}
	block, _ := pem.Decode(raw)
	if block == nil {
		tr.t.Fatalf("%s: no PEM in cert.pem", live)
	}
	leaf, err := x509.ParseCertificate(block.Bytes)
	if err != nil {
		tr.t.Fatal(err)
	}
	return leaf
}

// version is the number that the links of a live folder lead to, all of them.
func (tr *tree) version(live string) string {
	tr.t.Helper()
	var number string
	for _, kind := range []string{"cert", "chain", "fullchain", "privkey"} {
		to, err := os.Readlink(tr.path("config", "live", live, kind+".pem"))
		if err != nil {
			tr.t.Fatal(err)
		}
		n := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(to), kind), ".pem")
		if number != "" && n != number {
			tr.t.Errorf("%s: links lead to versions %s and %s", live, number, n)
		}
		number = n
	}
	return number
}

// renameByHand gives a lineage another name everywhere, as people do it in a shell.
func (tr *tree) renameByHand(from, to string) {
	tr.t.Helper()
	config := tr.path("config")
	conf, err := os.ReadFile(filepath.Join(config, "renewal", from+".conf"))
	if err != nil {
		tr.t.Fatal(err)
	}
	err = errorsOf(
		os.Rename(filepath.Join(config, "live", from), filepath.Join(config, "live", to)),
		os.Rename(filepath.Join(config, "archive", from), filepath.Join(config, "archive", to)),
		os.Remove(filepath.Join(config, "renewal", from+".conf")),
	)
	if err != nil {
		tr.t.Fatal(err)
	}
	conf = []byte(strings.ReplaceAll(strings.ReplaceAll(string(conf), "/"+from+"\n", "/"+to+"\n"), "/"+from+"/", "/"+to+"/"))
	tr.write("config/renewal/"+to+".conf", string(conf), 0o644)
	for _, kind := range []string{"cert", "chain", "fullchain", "privkey"} {
		link := filepath.Join(config, "live", to, kind+".pem")
		if err := errorsOf(os.Remove(link), os.Symlink("../../archive/"+to+"/"+kind+"1.pem", link)); err != nil {
			tr.t.Fatal(err)
		}
	}
}

// keyLike checks mode and group of a version of a key.
func (tr *tree) keyLike(name, version string, mode os.FileMode, group uint32) {
	tr.t.Helper()
	info, err := os.Stat(tr.path("config", "archive", name, "privkey"+version+".pem"))
	if err != nil {
		tr.t.Fatal(err)
	}
	if gid := info.Sys().(*syscall.Stat_t).Gid; info.Mode() != mode || gid != group {
		tr.t.Errorf("privkey%s of %s: %v of group %d, want %v of group %d", version, name, info.Mode(), gid, mode, group)
	}
}

// Lineages that one program obtains, by each way that certbot has, are renewed,
// listed, revoked and deleted by the other.
func TestInterop(t *testing.T) {
	for _, p := range []struct{ name, first, second string }{
		{"from certbot to edge", debians, "edge"}, {"from edge to certbot", "edge", debians},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			interop(newTree(t, edgetest.CAOptions{}), p.first, p.second)
		})
	}
}

func interop(tr *tree, first, second string) {
	t := tr.t
	t.Helper()
	const standalone = "certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT "
	for _, kind := range []string{"auth", "cleanup"} {
		tr.write("hook_"+kind, strings.ReplaceAll(strings.ReplaceAll(authHook, "ROOT", tr.root), "$1", kind), 0o755)
	}
	tr.do(first, standalone+"-d s.example.test -d t.example.test")
	tr.do(first, standalone+"-d s.example.test -d t.example.test --duplicate --key-type rsa")
	tr.do(first, standalone+"-d old.example.test")
	stop := tr.serveFiles()
	tr.do(first, "certonly -n --webroot -w ROOT/web -d w.example.test")
	tr.do(first, "certonly -n --manual --manual-auth-hook ROOT/hook_auth --manual-cleanup-hook ROOT/hook_cleanup -d m.example.test")
	stop()
	tr.renameByHand("old.example.test", "renamed")
	group := uint32(os.Getegid())
	if os.Geteuid() == 0 {
		group = 4242
	}
	key := tr.path("config", "archive", "s.example.test", "privkey1.pem")
	if err := errorsOf(os.Chown(key, -1, int(group)), os.Chmod(key, 0o640)); err != nil {
		t.Fatal(err)
	}
	tr.keyLike("w.example.test", "1", 0o600, uint32(os.Getegid()))

	// Standalone binds the port that the web server has for the others.
	names := []string{"s.example.test", "s.example.test-0001", "renamed", "w.example.test", "m.example.test"}
	serials := map[string]string{}
	for _, name := range names {
		serials[name] = tr.leafOf(name).SerialNumber.String()
	}
	for n, name := range names {
		stop := func() {}
		if n > 2 {
			stop = tr.serveFiles()
		}
		tr.do(second, "renew --force-renewal --no-random-sleep-on-renew --cert-name "+name)
		stop()
		if v := tr.version(name); v != "2" || tr.leafOf(name).SerialNumber.String() == serials[name] {
			t.Errorf("%s is not renewed: version %s", name, v)
		}
	}
	tr.keyLike("s.example.test", "2", 0o640, group)
	tr.keyLike("w.example.test", "2", 0o600, uint32(os.Getegid()))
	if alg := tr.leafOf("s.example.test-0001").PublicKeyAlgorithm; alg != x509.RSA {
		t.Errorf("the renewal of an RSA lineage has a key of %v", alg)
	}
	// And back: what the second wrote is fine for the first.
	tr.do(first, "renew --force-renewal --no-random-sleep-on-renew --cert-name s.example.test")
	if v := tr.version("s.example.test"); v != "3" {
		t.Errorf("renewed by one, then by the other: version %s", v)
	}
	tr.keyLike("s.example.test", "3", 0o640, group)
	tr.sameListing(5)

	tr.do(second, "revoke -n --cert-name m.example.test --no-delete-after-revoke")
	tr.do(second, "revoke -n --cert-path ROOT/config/live/w.example.test/cert.pem --delete-after-revoke")
	tr.do(second, "delete -n --cert-name renamed")
	tr.do(second, "delete -n --cert-name s.example.test-0001")
	list := tr.sameListing(2)
	for _, want := range []string{"Certificate Name: s.example.test\n", "Certificate Name: m.example.test\n"} {
		if !strings.Contains(list, want) {
			t.Errorf("no %q in:\n%s", want, list)
		}
	}
	for _, name := range []string{"renamed", "s.example.test-0001", "w.example.test"} {
		if left, err := filepath.Glob(tr.path("config", "*", name+"*")); err != nil || len(left) > 0 {
			t.Errorf("left of %s: %v %v", name, left, err)
		}
	}
}

// sameListing compares what the programs say about the tree, and returns it.
func (tr *tree) sameListing(lineages int) string {
	tr.t.Helper()
	theirs, own := tr.must(debians, "certificates").stdout, tr.must(ours, "certificates").stdout
	if tr.neutral(theirs) != tr.neutral(own) {
		tr.t.Errorf("certificates:\n%s\ncertbot's:\n%s", own, theirs)
	}
	if n := strings.Count(own, "Certificate Name: "); n != lineages {
		tr.t.Errorf("%d lineages are listed, want %d:\n%s", n, lineages, own)
	}
	if edges := tr.must("edge", "certificates").stdout; strings.Count(edges, "Certificate Name: ") != lineages {
		tr.t.Errorf("edge certificates:\n%s", edges)
	}
	return own
}

// While certbot works, edge waits and says for whom; under certbot's name it gives
// up as certbot does; and who only looks need not wait.
func TestCertbotIsAtWork(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	asked, answer := make(chan struct{}, 1), make(chan struct{})
	finish := sync.OnceFunc(func() { close(answer) })
	t.Cleanup(finish)
	tr.ca.Fault(func(http.ResponseWriter, *http.Request) bool {
		select {
		case asked <- struct{}{}:
		default:
		}
		<-answer
		return false
	})
	theirs := tr.command(debians, strings.Fields("register -n --agree-tos -m a@example.org")...)
	if err := theirs.Start(); err != nil {
		t.Fatal(err)
	}
	exited := make(chan error, 1)
	go func() { exited <- theirs.Wait() }()
	select {
	case <-asked:
	case err := <-exited:
		t.Fatalf("certbot ended before it asked the CA: %v", err)
	}

	const obtain = "certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT -d l.example.test"
	if out := tr.run(ours, strings.Fields(obtain)...); out.code != 1 || !strings.Contains(out.stderr, "Another instance of Certbot is already running.") {
		t.Errorf("as certbot: exit status %d\n%s", out.code, out.stderr)
	}
	if out := tr.must("edge", "certificates"); !strings.Contains(out.stdout, "No certificates found.") {
		t.Errorf("certificates: %s", out.stdout)
	}
	if out := tr.run("edge", append(strings.Fields(obtain), "--lock-timeout", "0")...); out.code != 1 || !strings.Contains(out.stderr, fmt.Sprintf("process %d", theirs.Process.Pid)) {
		t.Errorf("without waiting: exit status %d\n%s", out.code, out.stderr)
	}
	own := tr.command("edge", append(strings.Fields(obtain), "--no-preflight")...)
	stderr, err := own.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := own.Start(); err != nil {
		t.Fatal(err)
	}
	said := bufio.NewReader(stderr)
	line, err := said.ReadString('\n')
	if want := fmt.Sprintf("process %d", theirs.Process.Pid); err != nil || !strings.Contains(line, "waiting up to") || !strings.Contains(line, want) {
		t.Errorf("the first words are %q %v, want %q", line, err, want)
	}
	finish()
	rest, err := io.ReadAll(said)
	if err := errorsOf(err, own.Wait()); err != nil {
		t.Errorf("after the wait: %v\n%s", err, rest)
	}
	if err := <-exited; err != nil {
		t.Errorf("certbot: %v", err)
	}
	if n := tr.ca.Accounts(); n != 1 {
		t.Errorf("%d accounts: edge did not see the one that it waited for", n)
	}
	tr.sameListing(1)
}

// A CA that has had enough is left alone for as long as it says, by later runs, too.
func TestCAHasHadEnough(t *testing.T) {
	t.Parallel()
	for program, code := range map[string]int{"edge": exitTryLater, ours: exitFailed} {
		tr := newTree(t, edgetest.CAOptions{})
		tr.must(program, "register", "-n", "--agree-tos", "-m", "a@example.org")
		var orders atomic.Int64
		tr.ca.Fault(func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "order") {
				return false
			}
			orders.Add(1)
			w.Header().Set("Retry-After", "3600")
			return answer("", "application/problem+json", 429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many of these"}`)(w, r)
		})
		args := strings.Fields("certonly -n --standalone --http-01-port PORT -d a.example.test")
		if program == "edge" {
			args = append(args, "--no-preflight")
		}
		for n := range 2 {
			out := tr.run(program, args...)
			if out.code != code || !strings.Contains(out.stderr, "too many of these") {
				t.Errorf("%s, run %d: exit status %d, want %d\n%s", program, n, out.code, code, out.stderr)
			}
			if orders.Load() != 1 {
				t.Errorf("%s, run %d: the CA was asked for %d orders", program, n, orders.Load())
			}
		}
	}
}
