package main

import (
	"errors"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// person sits at a pseudo-terminal on which edge runs.
type person struct {
	t   *testing.T
	pty *edgetest.PTY
	cmd *exec.Cmd
}

// sit starts edge on a terminal of its own.
func (tr *tree) sit(args ...string) *person {
	tr.t.Helper()
	return tr.sitAt("edge", args...)
}

func (tr *tree) sitAt(program string, args ...string) *person {
	tr.t.Helper()
	p := &person{tr.t, edgetest.OpenPTY(tr.t), tr.command(program, args...)}
	p.pty.Start(p.cmd)
	return p
}

func (p *person) sees(text string) *person {
	p.t.Helper()
	p.pty.Sees(text)
	return p
}

func (p *person) types(keys string) *person {
	p.t.Helper()
	p.pty.Types(keys)
	return p
}

// picks answers a menu by the number that a plugin has in it.
func (p *person) picks(plugin string) *person {
	p.t.Helper()
	p.sees("(press 'c' to cancel): ")
	m := regexp.MustCompile(`(?s).*\n(\d+): [^\n]*(?:\r\n[^\n:]*)?\(` + plugin + `\)`).FindStringSubmatch(p.pty.Screen())
	if m == nil {
		p.t.Fatalf("no number of %s in\n%s", plugin, p.pty.Screen())
	}
	return p.types(m[1] + "\r")
}

// leaves waits for the end of edge.
func (p *person) leaves(code int) string {
	p.t.Helper()
	<-p.pty.Gone() // or the timeout of the tests
	if err := p.cmd.Wait(); p.cmd.ProcessState == nil {
		p.t.Fatal(err)
	}
	if got := p.cmd.ProcessState.ExitCode(); got != code {
		p.t.Errorf("%v: exit status %d, want %d; the screen shows\n%s", p.cmd.Args[1:], got, code, p.pty.Screen())
	}
	return p.pty.Screen()
}

const ctrlC = "\x03"

// From nothing to a certificate: how, who, the terms, and which names. What makes no
// sense is asked again.
func TestPersonObtains(t *testing.T) {
	tr := newTree(t, edgetest.CAOptions{})
	p := tr.sit("certonly", "--no-preflight", "--http-01-port", "PORT")
	p.sees("How would you like to authenticate with the ACME CA?").sees("(press 'c' to cancel): ").types("99\r")
	p.picks("standalone")
	p.sees("Enter email address").types("nonsense\r")
	p.sees("Enter email address").types("a@example.org\r")
	p.sees("Please read the Terms of Service at").sees("(Y)es/(N)o: ").types("y\r")
	p.sees("Account registered.")
	p.sees("Please enter the domain name(s)").types("http://a.example.test\r")
	p.sees("was not valid:").sees("is not a DNS name").sees("re-enter the names?").sees("(Y)es/(N)o: ").types("y\r")
	p.sees("Please enter the domain name(s)").types("a.example.test, b.example.test\r")
	p.sees("Requesting a certificate for a.example.test and b.example.test")
	p.sees("Successfully received certificate.")
	p.leaves(0)
	if out := tr.must("edge", "certificates"); !strings.Contains(out.stdout, "Domains: a.example.test b.example.test\n") {
		t.Errorf("listed: %s", out.stdout)
	}
	// Who does not agree to the terms gets no account.
	other := newTree(t, edgetest.CAOptions{})
	p = other.sit("certonly", "--standalone", "-m", "a@example.org", "-d", "a.example.test")
	p.sees("(Y)es/(N)o: ").types("n\r")
	p.leaves(1)
	if n := other.ca.Accounts(); n != 0 {
		t.Errorf("%d accounts", n)
	}
}

// What is there already is not replaced or deleted without a question.
func TestPersonConfirms(t *testing.T) {
	tr := newTree(t, edgetest.CAOptions{})
	standalone := strings.Fields("certonly --standalone --http-01-port PORT --no-preflight")
	with := func(args ...string) []string { return append(append([]string{}, standalone...), args...) }
	tr.must("edge", with("-n", "--agree-tos", "-m", "a@example.org", "-d", "a.example.test")...)
	orders := func(want int) {
		t.Helper()
		if got := tr.ca.Orders(); got != want {
			t.Errorf("%d orders, want %d", got, want)
		}
	}

	p := tr.sit(with("-d", "a.example.test", "-d", "b.example.test")...)
	p.sees("It contains these names: a.example.test").sees("(E)xpand/(C)ancel: ").types("c\r").sees("--duplicate")
	p.leaves(1)
	orders(1)
	p = tr.sit(with("-d", "a.example.test", "-d", "b.example.test")...)
	p.sees("(E)xpand/(C)ancel: ").types("e\r").sees("Successfully received certificate.")
	p.leaves(0)
	orders(2)

	p = tr.sit(with("-d", "a.example.test", "-d", "b.example.test")...)
	p.sees("exactly the same domains").sees("1: Keep").sees("2: Renew").sees("(press 'c' to cancel): ").types("1\r").sees("no action taken")
	p.leaves(0)
	orders(2)
	p = tr.sit(with("-d", "a.example.test", "-d", "b.example.test")...)
	p.sees("2: Renew").sees("(press 'c' to cancel): ").types("2\r").sees("Successfully received certificate.")
	p.leaves(0)
	orders(3)

	p = tr.sit(with("--cert-name", "a.example.test", "-d", "c.example.test")...)
	p.sees("+ c.example.test").sees("- a.example.test").sees("(U)pdate certificate/(C)ancel: ").types("c\r")
	p.leaves(1)
	orders(3)
	p = tr.sit(with("-d", "a.example.test", "-d", "b.example.test", "--key-type", "rsa")...)
	p.sees("key type to RSA?").sees("(U)pdate key type/(K)eep existing key type: ").types("k\r").sees("Please provide both --cert-name and --key-type")
	p.leaves(1)
	orders(3)

	name := tr.path("config", "live", "a.example.test")
	p = tr.sit("revoke", "--cert-name", "a.example.test")
	p.sees("Would you like to delete the certificate(s) you just revoked").sees("(Y)es (recommended)/(N)o: ").types("n\r").sees("successfully revoked")
	p.leaves(0)
	if _, err := os.Stat(name); err != nil {
		t.Errorf("deleted without a yes: %v", err)
	}
	p = tr.sit("delete", "--cert-name", "a.example.test")
	p.sees("* a.example.test").sees("(Y)es/(N)o: ").types("n\r")
	p.leaves(0)
	if _, err := os.Stat(name); err != nil {
		t.Errorf("deleted without a yes: %v", err)
	}
	p = tr.sit("delete")
	p.sees("Which certificate(s) would you like to delete?").sees("1: a.example.test").types("1\r")
	p.sees("(Y)es/(N)o: ").types("y\r").sees("Deleted all files relating to certificate a.example.test.")
	p.leaves(0)
	if _, err := os.Stat(name); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("not deleted: %v", err)
	}
}

// Ctrl-C ends a question and the run; what was begun is cleaned up.
func TestPersonInterrupts(t *testing.T) {
	tr := newTree(t, edgetest.CAOptions{})
	p := tr.sit("certonly", "--standalone", "--http-01-port", "PORT", "--no-preflight")
	p.sees("Enter email address").types("half" + ctrlC)
	p.leaves(1)
	tr.must("edge", "register", "-n", "--agree-tos", "-m", "a@example.org")

	// While the challenges are there to be looked at.
	p = tr.sit(strings.Fields("certonly --webroot -w ROOT/web --no-preflight --debug-challenges -d a.example.test")...)
	p.sees("Challenges loaded.").sees("Press Enter to Continue")
	if found, err := filepath.Glob(tr.path("web/.well-known/acme-challenge/*")); err != nil || len(found) != 1 {
		t.Errorf("challenges in the webroot: %v, %v", found, err)
	}
	p.types(ctrlC)
	p.leaves(1)
	if found, err := filepath.Glob(tr.path("web/.well-known")); err != nil || len(found) > 0 {
		t.Errorf("left in the webroot: %v, %v", found, err)
	}
	p = tr.sit(strings.Fields("certonly --standalone --http-01-port PORT --no-preflight --debug-challenges -d a.example.test")...)
	p.sees("Press Enter to Continue").types(ctrlC)
	p.leaves(1)
	if l, err := net.Listen("tcp", tr.http); err != nil {
		t.Errorf("the port is taken still: %v", err)
	} else {
		l.Close()
	}
	for _, dir := range []string{"config", "work", "logs"} {
		if _, err := os.Stat(tr.path(dir, ".certbot.lock")); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the lock of %s was left: %v", dir, err)
		}
	}
	for _, pattern := range []string{"config/live/*", "config/archive/*", "config/renewal/*"} {
		if found, err := filepath.Glob(tr.path(pattern)); err != nil || len(found) > 0 {
			t.Errorf("half a lineage: %v, %v", found, err)
		}
	}
	// The same once more takes up the order, and ends well.
	p = tr.sit(strings.Fields("certonly --standalone --http-01-port PORT --no-preflight --debug-challenges -d a.example.test")...)
	p.sees("Press Enter to Continue").types("\r").sees("Successfully received certificate.")
	p.leaves(0)
	if n := tr.ca.Orders(); n > 2 {
		t.Errorf("%d orders", n)
	}
}

// With -n nobody is asked, even at a terminal; the flag that is missing is named.
func TestNobodyIsAsked(t *testing.T) {
	fresh, tr := newTree(t, edgetest.CAOptions{}), newTree(t, edgetest.CAOptions{})
	tr.must("edge", strings.Fields(order+"--agree-tos -m a@example.org -d a.example.test")...)
	for _, c := range []struct {
		tr   *tree
		line string
		flag string
	}{
		{fresh, "register -n", "--email"},
		{fresh, "register -n -m a@example.org", "--agree-tos"},
		{fresh, order + "-d a.example.test", "--email"},
		{tr, "certonly -n -d b.example.test", "specify a plugin on the command line"},
		{tr, order, "--domains"},
		{tr, order + "-d a.example.test -d b.example.test", "--expand"},
		{tr, "certonly -n --webroot -d b.example.test", "--webroot-path"},
		{tr, "certonly -n --manual -d b.example.test", "--manual-auth-hook"},
		{tr, "delete -n", "--cert-name"},
		{tr, "update_account -n", "--email"},
	} {
		p := c.tr.sit(strings.Fields(c.line)...)
		if screen := p.leaves(1); !strings.Contains(screen, c.flag) {
			t.Errorf("%s: does not name %s:\n%s", c.line, c.flag, screen)
		}
	}
	if n := tr.ca.Orders(); n != 1 {
		t.Errorf("%d orders", n)
	}
	tr.sit("delete", "-n", "--cert-name", "a.example.test").leaves(0)
}
