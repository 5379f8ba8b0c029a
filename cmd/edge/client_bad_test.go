package main

import (
	"bytes"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"golang.org/x/sys/unix"

	"edge/internal/edgetest"
)

// bad is a command line that cannot succeed, how it ends, and what it says then.
type bad struct {
	line string
	code int
	says string
}

const order = "certonly -n --standalone --http-01-port PORT --no-preflight "

func (tr *tree) refuses(t *testing.T, b bad) {
	t.Helper()
	before := tr.ca.Orders()
	out := tr.run("edge", strings.Fields(b.line)...)
	all := out.stderr + out.stdout
	if out.code != b.code || !strings.Contains(all, strings.ReplaceAll(b.says, "ROOT", tr.root)) {
		t.Errorf("%.200s: exit status %d, want %d with %q\n%s", b.line, out.code, b.code, b.says, all)
	}
	if strings.Contains(all, "goroutine ") || strings.Contains(all, "\nedge: edge:") {
		t.Errorf("%.200s: not for people:\n%s", b.line, all)
	}
	if tr.ca.Orders() != before {
		t.Errorf("%.200s: the CA got an order", b.line)
	}
}

// What is wrong on the command line, or in what it names, is said before the CA is
// asked for anything that counts.
func TestBadCommandLines(t *testing.T) {
	tr := newTree(t, edgetest.CAOptions{})
	tr.must("edge", "register", "-n", "--agree-tos", "-m", "a@example.org")
	// The same name twice is one name.
	out := tr.must("edge", strings.Fields(order+"-d good.example.test -d GOOD.example.test --domains good.example.test")...)
	if !strings.Contains(out.stdout, "Requesting a certificate for good.example.test\n") {
		t.Errorf("the same name twice: %s", out.stdout)
	}
	tr.material()
	long := strings.Repeat("a", 64)
	for _, b := range []bad{
		{"certnoly -n -d a.test", 2, `edge: unknown command "certnoly"; did you mean certonly?`},
		{"frobnicate", 2, `edge: unknown command "frobnicate"; run 'edge --help' for the list`},
		{"certonly --webrot -w web -d a.test", 2, "unrecognized arguments: --webrot\ndid you mean --webroot?"},
		{"renew --dryrun", 2, "did you mean --dry-run?"},
		{"certificates extra", 2, "unrecognized arguments: extra"},
		{"--nosuch", 2, "unknown flag: --nosuch"},
		{"-n certonly --standalone -d http://a.example.test", 1, "appears to be a URL"}, // flags before the verb

		{order + "-d http://a.example.test", 1, `edge: Requested name http://a.example.test appears to be a URL, not a FQDN. Try again without the leading "http://".`},
		{order + "-d x_y.example.test", 1, `"x_y.example.test" is not a DNS name of letters, digits and hyphens`},
		{order + "-d bücher.example.test", 1, "use Punycode"},
		{order + "-d " + long + ".test", 1, "because label " + long + " is too long"},
		{order + "-d " + strings.Repeat("a.", 130) + "test", 1, "is not a FQDN because it is too long"},
		{order + "-d a..test", 1, "it contains an empty label"},
		{order + "-d 192.0.2.1", 1, "is an IP address"},
		{order + "-d a.test --cert-name ../a", 1, "invalid lineage name"},
		{order + "-d a.test --key-type frob", 2, "invalid choice: 'frob' (choose from 'rsa', 'ecdsa')"},
		{order + "-d a.test --key-type rsa --rsa-key-size 512", 1, "Unsupported RSA key length: 512"},
		{order + "-d a.test --key-type rsa --rsa-key-size 1000000", 1, "1000000"},
		{order + "-d a.test --http-01-port 99999", 1, "99999 is not a port"},
		{order + "-d a.test --preferred-challenges frob", 2, "Unrecognized challenges: frob"},
		{order + "-d a.test --account nosuch", 1, "/nosuch does not exist"},
		{order + "-d a.test --server nonsense", 1, `server "nonsense": not the URL of an ACME directory`},
		{order + "-d a.test --deploy-hook /nosuch/hook", 1, "Unable to find deploy-hook command /nosuch/hook in the PATH."},
		{order + "-d a.test --required-profile nosuch", 1, `profile is not offered: "nosuch"; the CA has default`},
		{"certonly -n --standalone", 1, "(You can set this with the --domains flag)"},
		{"certonly -n -d a.test", 1, "you will need to specify a plugin on the command line"},
		{"certonly -n --manual -d a.test", 1, "--manual-auth-hook"},
		{"certonly -n --nginx --nginx-server-root ROOT/nosuch -d a.test", 1, "nosuch"},
		{"run -n --nginx --nginx-ctl ROOT/nosuch -d a.test", 1, "Could not find a usable 'nginx' binary"},
		{"run -n --nginx --nginx-ctl ROOT/nosuch -d a.test", 1, "It was looked for as ROOT/nosuch, see --nginx-ctl (ctl below deliver)."},
		{"rollback -n --checkpoints 0", 1, "--checkpoints 0: rollback argument must be a positive integer"},
		{"rollback -n --checkpoints=-1", 1, "--checkpoints -1: rollback argument must be a positive integer"},
		{"install -n --nginx --nginx-server-root ROOT/nosuch --cert-name a.test", 1, "nosuch"},
		{"enhance -n --apache --hsts --apache-server-root ROOT/nosuch --cert-name a.test", 1, "nosuch"},
		{"rollback -n -i nosuch", 1, "nosuch"},
		{"certonly -n --webroot -d a.test", 1, "(You can set this with the --webroot-path flag)"},
		{"certonly -n --webroot -w ROOT/nosuch -d a.test", 1, "edge: ROOT/nosuch does not exist or is not a directory"},
		{"certonly -n --webroot -w ROOT/ca.pem -d a.test", 1, "ROOT/ca.pem does not exist or is not a directory"},
		{"certonly -n --webroot -w ROOT/loop -d a.test", 1, "ROOT/loop does not exist or is not a directory"},

		{order + "--csr ROOT/noname.csr", 1, "your CSR ROOT/noname.csr needs to have a SubjectAltName for every domain"},
		{order + "--csr ROOT/junk", 1, "Failed to parse CSR file: ROOT/junk"},
		{order + "--csr ROOT/nosuch", 2, "argument --csr: No such file or directory"},
		{order + "--csr ROOT/web", 2, "argument --csr: Is a directory"},

		{"renew --cert-name nosuch", 1, "No certificate found with name nosuch (expected ROOT/config/renewal/nosuch.conf)."},
		{"renew -d a.test", 1, "use the certonly command instead"},
		{"delete -n --cert-name nosuch", 1, "No certificate found with name nosuch"},
		{"revoke -n --cert-name nosuch", 1, "No certificate found with name nosuch"},
		{"revoke -n", 1, "Exactly one of --cert-path or --cert-name must be specified"},
		{"revoke -n --cert-name good.example.test --reason nonsense", 2, "invalid choice: 'nonsense'"},
		{"revoke -n --cert-path ROOT/junk", 1, "ROOT/junk: no certificate in PEM form"},
		{"revoke -n --cert-path ROOT/nosuch", 1, "ROOT/nosuch: no such file or directory"},
		{"revoke -n --cert-path ROOT/web", 1, "ROOT/web is not a file"},
		{"revoke -n --cert-path ROOT/config/live/good.example.test/cert.pem --key-path ROOT/other.key", 1, "matches the private key located at ROOT/other.key has failed"},
		{"revoke -n --cert-path ROOT/config/live/good.example.test/cert.pem --key-path ROOT/junk", 1, "ROOT/junk: no private key in PEM form"},
		{"revoke -n --cert-path ROOT/ca.pem", 1, "Unable to find specified certificate"},
		{"install -n", 1, "specify a plugin on the command line"},
		{"hooks test nosuch", 1, "No certificate found with name nosuch"},
	} {
		tr.refuses(t, b)
	}
}

// material makes the files that the command lines name.
func (tr *tree) material() {
	tr.t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		tr.t.Fatal(err)
	}
	csr, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{}, key)
	if err != nil {
		tr.t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		tr.t.Fatal(err)
	}
	tr.write("noname.csr", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: csr})), 0o644)
	tr.write("other.key", string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})), 0o600)
	tr.write("junk", "nothing", 0o644)
	if err := os.Symlink("loop", tr.path("loop")); err != nil {
		tr.t.Fatal(err)
	}
}

// Without an account, and without anybody to ask, the flag that is missing is named.
func TestBadRegistrations(t *testing.T) {
	tr := newTree(t, edgetest.CAOptions{})
	for _, b := range []bad{
		{order + "-d a.test", 1, "provide --agree-tos and --email"},
		{order + "-d a.test --agree-tos", 1, "provide --agree-tos and --email"},
		{order + "-d a.test --agree-tos -m nonsense", 1, "nonsense is an invalid email address"},
		{"show_account", 1, "Could not find an existing account for server"},
		{"unregister -n", 1, "Could not find existing account for server"},
		{"update_account -n -m b@example.org", 1, "Could not find an existing account for server"},
	} {
		tr.refuses(t, b)
	}
	if n := tr.ca.Accounts(); n != 0 {
		t.Errorf("%d accounts were made", n)
	}
	eab := newTree(t, edgetest.CAOptions{EAB: map[string]string{"kid": "zWNDZM6eQGHWpSRTPal5eIUYFTu7EajVIoguysqZ9wG44nMEtx3MUAsUDkMTQ12W"}})
	eab.refuses(t, bad{order + "-d a.test --agree-tos -m a@example.org", 1, "Please use --eab-kid and --eab-hmac-key."})
}

// answer is a CA that has only one thing to say about what has part in its path.
func answer(part, contentType string, status int, body string) func(http.ResponseWriter, *http.Request) bool {
	return func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, part) {
			return false
		}
		w.Header().Set("Content-Type", contentType)
		w.WriteHeader(status)
		fmt.Fprint(w, body)
		return true
	}
}

// CAs that say no, or that are none.
func TestBadCAs(t *testing.T) {
	const problem = "application/problem+json"
	for name, c := range map[string]struct {
		fault func(http.ResponseWriter, *http.Request) bool
		code  int
		says  []string
	}{
		"HTML":       {answer("", "text/html", 200, "<html>"), 1, []string{"no ACME server", "text/html came in the place of JSON", "proxy"}},
		"HTML later": {answer("order", "text/html", 200, "<html>"), 1, []string{"no ACME server"}},
		"a gateway":  {answer("", "text/html", 502, "<html>bad gateway"), 1, []string{"502"}},
		"in a circle": {func(w http.ResponseWriter, r *http.Request) bool {
			http.Redirect(w, r, r.URL.Path, http.StatusFound)
			return true
		}, 1, []string{"stopped after 10 redirects"}},
		"new terms": {answer("order", problem, 403, `{"type":"urn:ietf:params:acme:error:userActionRequired","detail":"the terms have changed","instance":"https://ca.test/terms/2"}`),
			1, []string{"the terms have changed", "https://ca.test/terms/2"}},
		"too often": {answer("order", problem, 429, `{"type":"urn:ietf:params:acme:error:rateLimited","detail":"too many of these"}`), 75, []string{"too many of these"}},
		"nobody":    {func(http.ResponseWriter, *http.Request) bool { panic(http.ErrAbortHandler) }, 1, []string{"EOF"}},
	} {
		t.Run(name, func(t *testing.T) {
			tr := newTree(t, edgetest.CAOptions{})
			tr.must("edge", "register", "-n", "--agree-tos", "-m", "a@example.org")
			tr.ca.Fault(c.fault)
			for _, says := range c.says[:1] {
				tr.refuses(t, bad{order + "-d a.example.test", c.code, says})
			}
			log, err := os.ReadFile(tr.path("logs", "letsencrypt.log"))
			if err != nil {
				t.Fatal(err)
			}
			for _, says := range c.says {
				if !strings.Contains(string(log), says) {
					t.Errorf("the log has no %q:\n%s", says, log)
				}
			}
		})
	}
	tr := newTree(t, edgetest.CAOptions{})
	tr.refuses(t, bad{order + "-d a.test --agree-tos -m a@example.org --server https://127.0.0.1:1/dir", 1,
		"Unable to register an account with ACME server. CA https://127.0.0.1:1/dir: connection: "})
}

// forOthers is a copy of the program that another user can run.
func forOthers(t *testing.T) string {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("only root can try what others may")
	}
	path, err := exec.LookPath("edge")
	if err != nil {
		t.Fatal(err)
	}
	to := filepath.Join(t.TempDir(), "edge")
	if out, err := exec.Command("cp", "-L", path, to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	if err := os.Chmod(filepath.Dir(filepath.Dir(to)), 0o755); err != nil {
		t.Fatal(err)
	}
	return to
}

// Who may not write is told which folder, and how to have others.
func TestUnprivileged(t *testing.T) {
	edge := forOthers(t)
	tr := newTree(t, edgetest.CAOptions{})
	tr.must("edge", strings.Fields(order+"--agree-tos -m a@example.org -d a.example.test")...)
	asNobody := func(args ...string) outcome {
		t.Helper()
		cmd := tr.command(edge, args...)
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}}
		var stdout, stderr bytes.Buffer
		cmd.Stdout, cmd.Stderr = &stdout, &stderr
		if err := cmd.Run(); cmd.ProcessState == nil {
			t.Fatal(err)
		}
		return outcome{stdout.String(), stderr.String(), cmd.ProcessState.ExitCode()}
	}
	const either = "Either run as root, or set --config-dir, --work-dir, and --logs-dir to writeable paths."
	for _, args := range [][]string{{"renew"}, strings.Fields(order + "-d b.example.test"), {"delete", "-n", "--cert-name", "a.example.test"}} {
		if out := asNobody(args...); out.code != 1 || !strings.Contains(out.stderr, either) || !strings.Contains(out.stderr, "Permission denied") {
			t.Errorf("%v: exit status %d\n%s", args, out.code, out.stderr)
		}
	}
	// Who only reads needs to write nothing, and is told what he may not read.
	if out := asNobody("certificates"); out.code != 0 || !strings.Contains(out.stdout, "a.example.test.conf\n") || !strings.Contains(out.stdout, "permission denied") {
		t.Errorf("certificates: exit status %d\n%s%s", out.code, out.stdout, out.stderr)
	}
	// Folders of one's own are all that it takes.
	own := newTree(t, edgetest.CAOptions{})
	for _, dir := range []string{"config", "work", "logs"} {
		if err := errorsOf(os.Mkdir(own.path(dir), 0o755), os.Chown(own.path(dir), 65534, 65534)); err != nil {
			t.Fatal(err)
		}
	}
	tr = own
	if out := asNobody(strings.Fields(order + "--agree-tos -m a@example.org -d a.example.test")...); out.code != 0 {
		t.Errorf("in folders of one's own: exit status %d\n%s", out.code, out.stderr)
	}
}

func errorsOf(errs ...error) error {
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}

// A disk that is full is named as the cause; nothing of a lineage is left; and with
// space again, the certificate that was paid for is used.
func TestFullDisk(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("only root can mount a small disk")
	}
	tr := newTree(t, edgetest.CAOptions{})
	config := tr.path("config")
	if err := os.Mkdir(config, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := unix.Mount("tmpfs", config, "tmpfs", 0, "size=64k"); err != nil {
		t.Fatalf("a small disk for the test: %v", err)
	}
	t.Cleanup(func() {
		if err := unix.Unmount(config, unix.MNT_DETACH); err != nil {
			t.Error(err)
		}
	})
	tr.must("edge", "register", "-n", "--agree-tos", "-m", "a@example.org")
	filler := filepath.Join(config, "filler")
	f, err := os.Create(filler)
	if err != nil {
		t.Fatal(err)
	}
	for err == nil {
		_, err = f.Write(make([]byte, 4096))
	}
	if err := f.Close(); err != nil {
		t.Fatal(err)
	}
	out := tr.run("edge", strings.Fields(order+"-d a.example.test")...)
	if out.code != 1 || !strings.Contains(out.stderr, "no space left on device") {
		t.Errorf("exit status %d\n%s", out.code, out.stderr)
	}
	if err := os.Remove(filler); err != nil {
		t.Fatal(err)
	}
	if out := tr.must("edge", "certificates"); !strings.Contains(out.stdout, "No certificates found.") {
		t.Errorf("half a lineage: %s", out.stdout)
	}
	tr.must("edge", strings.Fields(order+"-d a.example.test")...)
	if n := tr.ca.Orders(); n != 1 {
		t.Errorf("%d orders for one certificate", n)
	}
	if out := tr.must(debians, "certificates"); !strings.Contains(out.stdout, "Certificate Name: a.example.test\n") {
		t.Errorf("certbot lists: %s", out.stdout)
	}
}
