package lineage

import (
	"os"
	"os/exec"
	"path/filepath"
	"testing"
)

// certbotCommand is Debian's, on the folders of a tree of the tests.
func certbotCommand(t testing.TB, root string, args ...string) *exec.Cmd {
	t.Helper()
	bin, err := exec.LookPath("certbot")
	if err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	cmd := exec.CommandContext(t.Context(), bin, append(args, "-n",
		"--logs-dir", filepath.Join(root, "logs"), "--config-dir", filepath.Join(root, "config"), "--work-dir", filepath.Join(root, "work"))...)
	// Nothing but the test's server may be asked for anything.
	cmd.Env = append(os.Environ(), "no_proxy=*", "HTTPS_PROXY=http://127.0.0.1:1", "HOME="+root)
	return cmd
}

// certbot returns what it says.
func certbot(t testing.TB, root string, args ...string) string {
	t.Helper()
	out, err := certbotCommand(t, root, args...).CombinedOutput()
	if err != nil {
		t.Fatalf("certbot %v: %v\n%s", args, err, out)
	}
	return string(out)
}
