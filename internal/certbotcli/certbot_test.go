package certbotcli

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"testing"

	"edge/internal/configobj"
	"edge/internal/edgetest"
)

// freePort is a port that nobody listens on just now.
func freePort(t *testing.T) int {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return edgetest.Port(l.Addr().String())
}

// A renewal file that certbot wrote after a real order has the parameters that we
// would save for that command line, in the same order, and nothing else.
func TestRenewalFileOfCertbot(t *testing.T) {
	port := freePort(t)
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: port})
	if err != nil {
		t.Fatal(err)
	}
	defer ca.Close()
	dir := t.TempDir()
	args := []string{"certonly", "-n", "--standalone", "-d", "a.example.test,b.example.test", "--server", ca.URL(), "--no-verify-ssl",
		"--agree-tos", "--register-unsafely-without-email", "--config-dir", dir + "/c", "--work-dir", dir + "/w", "--logs-dir", dir + "/l",
		"--http-01-address", "127.0.0.1", fmt.Sprintf("--http-01-port=%d", port), "--preferred-challenges", "http", "--key-type=ecdsa", "--elliptic-curve", "secp384r1",
		"--reuse-key", "--no-autorenew", "--pre-hook", `true "a, b" 'c' # d`, "--deploy-hook", "true x", "--post-hook", "true '1' > /dev/null",
		"--user-agent", "me, myself", "--allow-subset-of-names", "--preferred-chain", "Nobody, Inc.", "--nginx-ctl", "/x/nginx", "--manual-auth-hook", "true"}
	cmd := exec.Command("certbot", args...)
	cmd.Env = append(os.Environ(), "HOME="+dir, "XDG_CONFIG_HOME="+dir)
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("certbot: %v (apt-get install certbot)\n%s", err, out)
	}
	data, err := os.ReadFile(filepath.Join(dir, "c/renewal/a.example.test.conf"))
	if err != nil {
		t.Fatal(err)
	}
	doc, err := configobj.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	theirs := doc.Root().Section("renewalparams")
	o, err := Parse(args, Env{AsCertbot: true, ConfigFiles: []string{"/etc/letsencrypt/cli.ini"}})
	if err != nil {
		t.Fatal(err)
	}
	o.Authenticator = "standalone"
	account, _ := theirs.Get("account")
	o.Account = account.String()

	ours, webroots := o.RenewalParams()
	if webroots != nil || len(o.EdgeParams()) != 0 {
		t.Errorf("we would save %v and %v besides", webroots, o.EdgeParams())
	}
	keys := theirs.Keys()
	for i := range max(len(keys), len(ours)) {
		if i >= len(keys) || i >= len(ours) || keys[i] != ours[i].Key {
			t.Fatalf("parameter %d differs: certbot saved %q, we would save %v", i, keys, ours)
		}
		if v, _ := theirs.Get(keys[i]); !v.Equal(ours[i].Value) {
			t.Errorf("%s: certbot saved %v, we would save %v", keys[i], v, ours[i].Value)
		}
	}
	if len(keys) < 18 {
		t.Errorf("certbot saved only %q", keys)
	}
}
