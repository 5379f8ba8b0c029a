package steward

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
	"edge/internal/durable"
	"edge/internal/edgetest"
)

const faultName = "fault.example.test"

// site is where runs fail: a tree, and a CA that comes to a port of this machine.
type site struct {
	root, server string
	port         int
}

// command is what is run, disturbed and then once more undisturbed.
type command struct {
	name, line string
	prepare    func(t *testing.T, s site) // makes the tree that it starts from
}

var faultCommands = []command{
	{"certonly", "certonly -d " + faultName + " --agree-tos -m a@example.org --required-profile default", func(*testing.T, site) {}},
	// The first certificate has expired by the clock of the runs; the next one has not.
	{"renew", "renew --no-random-sleep-on-renew --required-profile default", func(t *testing.T, s site) {
		line := "certonly -d " + faultName + " --agree-tos -m a@example.org --required-profile brief"
		if err := s.run(t.Context(), line, nil); err != nil {
			t.Fatal(err)
		}
	}},
}

// later is by how much the clock of the runs is ahead: enough for the profile
// "brief", too little for an order to run out.
const later = 15 * time.Minute

// run is what the client does for a command line, in this process, with a fault.
func (s site) run(ctx context.Context, line string, before func(durable.Step, string) error) error {
	return s.runHooked(ctx, line, before, deployed{root: s.root})
}

func (s site) runHooked(ctx context.Context, line string, before func(durable.Step, string) error, hooks Hooks) error {
	args := append(strings.Fields(line), "-n", "--standalone", "--http-01-port", strconv.Itoa(s.port), "--no-preflight", "--server", s.server,
		"--config-dir", filepath.Join(s.root, "config"), "--work-dir", filepath.Join(s.root, "work"), "--logs-dir", filepath.Join(s.root, "logs"))
	o, err := certbotcli.Parse(args, certbotcli.Env{ConfigFiles: []string{}})
	if err != nil {
		return err
	}
	storage, err := acmeglue.OpenFileStorage(filepath.Join(s.root, "work", "edge"))
	if err != nil {
		return err
	}
	raw, err := os.ReadFile(filepath.Join(s.root, "ca.pem"))
	if err != nil {
		return err
	}
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(raw)
	w := durable.Writer{Before: before}
	steward := New(ctx, Options{
		Tree:    lineage.Open(lineage.Dirs{Config: o.ConfigDir, Work: o.WorkDir, Logs: o.LogsDir}, lineage.Options{Durable: w}),
		Storage: storage.Through(w), Durable: w, Hooks: hooks, Roots: roots, Program: "edge", Version: "test", Out: io.Discard,
		Display: display.NewNonInteractive(io.Discard, display.Options{}),
		Now:     func() time.Time { return time.Now().Add(later) }, Rand: func() float64 { return 0.5 },
	})
	defer func() {
		for _, i := range steward.issuers {
			i.CloseIdleConnections()
		}
	}()
	if err := steward.Repair(ctx, o); err != nil {
		return err
	}
	return steward.Run(ctx, o)
}

// deployed is the hooks of a run: deploy hooks note the leaf that they were run for.
type deployed struct {
	noHooks
	root string
}

func (d deployed) Deploy(_ context.Context, _ HookCommands, live string, _ []string) error {
	leaf, err := os.ReadFile(filepath.Join(live, "cert.pem"))
	if err != nil {
		return err
	}
	f, err := os.OpenFile(filepath.Join(d.root, "deployed"), os.O_APPEND|os.O_CREATE|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	_, err = f.Write(leaf)
	return errors.Join(err, f.Close())
}

// faultCA is one CA for all runs of a test.
func faultCA(t *testing.T) (*edgetest.CA, int) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	l.Close()
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: port, Profiles: map[string]time.Duration{"default": 90 * day, "brief": later / 2}})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	return ca, port
}

// template is the tree that a command starts from.
func (c command) template(t *testing.T, ca *edgetest.CA, port int) site {
	t.Helper()
	s := site{t.TempDir(), ca.URL(), port}
	if err := os.WriteFile(filepath.Join(s.root, "ca.pem"), ca.ServerRoots(), 0o644); err != nil {
		t.Fatal(err)
	}
	c.prepare(t, s)
	_ = os.Remove(filepath.Join(s.root, "deployed"))
	return s
}

// copied is another tree like it. Renewal files have absolute paths in them.
func (s site) copied(t *testing.T) site {
	t.Helper()
	to := s
	to.root = t.TempDir()
	if out, err := exec.Command("cp", "-a", s.root+"/.", to.root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := filepath.Join(to.root, "config", "renewal", faultName+".conf")
	if text, err := os.ReadFile(path); err == nil {
		if err := os.WriteFile(path, []byte(strings.ReplaceAll(string(text), s.root, to.root)), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	return to
}

// at fails the nth step, or every step from there on.
func at(n int, forever bool, fail func() error) (before func(durable.Step, string) error, steps *atomic.Int64) {
	steps = new(atomic.Int64)
	return func(durable.Step, string) error {
		if i := int(steps.Add(1)) - 1; i == n || forever && i > n {
			return fail()
		}
		return nil
	}, steps
}

// verify runs the command again, undisturbed: it needs nobody's help.
func (c command) verify(t *testing.T, s site, ca *edgetest.CA, before int, certbot bool) {
	t.Helper()
	if err := s.run(t.Context(), c.line, nil); err != nil {
		t.Fatalf("the next run: %v", err)
	}
	if n := ca.Orders() - before; n < 1 || n > 2 {
		t.Errorf("%d orders, one was needed", n)
	}
	tree := lineage.Open(lineage.Dirs{Config: filepath.Join(s.root, "config")}, lineage.Options{})
	names, err := tree.Names()
	if err != nil || !slices.Equal(names, []string{faultName}) {
		t.Errorf("lineages %q, %v", names, err)
	}
	l, err := tree.Load(faultName)
	if err == nil {
		err = l.Check()
	}
	if err != nil {
		t.Fatal(err)
	}
	if end, err := l.NotAfter(); err != nil || time.Until(end) < 80*day {
		t.Errorf("it ends at %v, %v: not renewed", end, err)
	}
	leaf, err1 := l.Read(lineage.Cert)
	noted, err2 := os.ReadFile(filepath.Join(s.root, "deployed"))
	if err1 != nil || err2 != nil || !strings.Contains(string(noted), string(leaf)) {
		t.Errorf("no deploy hook was run for what is in use: %v, %v", err1, err2)
	}
	if accounts, err := filepath.Glob(filepath.Join(s.root, "config/accounts/*/*/*/regr.json")); err != nil || len(accounts) != 1 {
		t.Errorf("accounts %q, %v", accounts, err)
	}
	if found := litter(t, filepath.Join(s.root, "config")); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
	if !certbot && os.Getenv("EDGE_SOAK") == "" {
		return
	}
	out, err := exec.Command("/usr/bin/certbot", "certificates", "--config-dir", filepath.Join(s.root, "config"),
		"--work-dir", filepath.Join(s.root, "work"), "--logs-dir", filepath.Join(s.root, "logs")).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "Certificate Name: "+faultName) || !strings.Contains(string(out), "(VALID: 8") || strings.Contains(string(out), "invalid") {
		t.Errorf("certbot lists: %v\n%s", err, out)
	}
}

// litter is what no run may leave behind.
func litter(t *testing.T, dir string) (found []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		name := filepath.Base(path)
		if strings.Contains(name, ".tmp-") || strings.HasSuffix(name, ".job") || strings.HasSuffix(name, ".owed") || strings.HasPrefix(name, "previous_") {
			found = append(found, path)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// Disks that fail or are full at any step of a run, once or from there on, and
// processes that die there: the same command once more is all that it takes.
func TestFaultAtEachStep(t *testing.T) {
	if os.Getenv("EDGE_STEWARD_ROOT") != "" {
		dieInChild(t)
	}
	ca, port := faultCA(t)
	for _, c := range faultCommands {
		template := c.template(t, ca, port)
		counting, steps := at(-1, false, nil)
		orders, whole := ca.Orders(), template.copied(t)
		if err := whole.run(t.Context(), c.line, counting); err != nil {
			t.Fatal(err)
		}
		c.verify(t, whole, ca, orders, true)
		if noted, err := os.ReadFile(filepath.Join(whole.root, "deployed")); strings.Count(string(noted), "BEGIN") != 1 {
			t.Errorf("deploy hooks ran %d times, %v", strings.Count(string(noted), "BEGIN"), err)
		}
		total := int(steps.Load())
		t.Logf("%s: %d steps", c.name, total)
		for n := range total {
			for i, fault := range []string{"EIO", "ENOSPC", "KILL"} {
				if os.Getenv("EDGE_SOAK") == "" && (n+3*i)%13 != 0 && n < total-4 {
					continue
				}
				t.Run(fmt.Sprintf("%s/%d/%s", c.name, n, fault), func(t *testing.T) {
					s, orders := template.copied(t), ca.Orders()
					switch fault {
					case "EIO":
						before, _ := at(n, false, func() error { return syscall.EIO })
						_ = s.run(t.Context(), c.line, before) // it may get over it
					case "ENOSPC":
						before, _ := at(n, true, func() error { return syscall.ENOSPC })
						_ = s.run(t.Context(), c.line, before)
					default:
						killChild(t, s, c, n)
					}
					c.verify(t, s, ca, orders, n == total/2)
				})
			}
		}
	}
}

// A run dies when its deploy hooks begin: the next one runs them, once.
func TestKilledBeforeHooks(t *testing.T) {
	ca, port := faultCA(t)
	for _, c := range faultCommands {
		s, orders := c.template(t, ca, port), ca.Orders()
		killChild(t, s, c, atHooks)
		noted := filepath.Join(s.root, "deployed")
		if _, err := os.Stat(noted); err == nil {
			t.Fatal("the hooks ran")
		}
		c.verify(t, s, ca, orders, true)
		if err := s.run(t.Context(), c.line, nil); err != nil {
			t.Fatal(err)
		}
		if text, err := os.ReadFile(noted); strings.Count(string(text), "BEGIN") != 1 {
			t.Errorf("%s: deploy hooks ran %d times, %v", c.name, strings.Count(string(text), "BEGIN"), err)
		}
	}
}

// atHooks is the step of a run at which its deploy hooks begin.
const atHooks = -1

type dying struct{ noHooks }

func (dying) Deploy(context.Context, HookCommands, string, []string) error {
	return syscall.Kill(os.Getpid(), syscall.SIGKILL)
}

func killChild(t *testing.T, s site, c command, n int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestFaultAtEachStep$")
	child.Env = append(os.Environ(), "EDGE_STEWARD_ROOT="+s.root, "EDGE_STEWARD_SERVER="+s.server,
		"EDGE_STEWARD_PORT="+strconv.Itoa(s.port), "EDGE_STEWARD_LINE="+c.line, "EDGE_STEWARD_STEP="+strconv.Itoa(n))
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
}

// dieInChild is the process that is killed.
func dieInChild(t *testing.T) {
	port, err1 := strconv.Atoi(os.Getenv("EDGE_STEWARD_PORT"))
	n, err2 := strconv.Atoi(os.Getenv("EDGE_STEWARD_STEP"))
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	s := site{os.Getenv("EDGE_STEWARD_ROOT"), os.Getenv("EDGE_STEWARD_SERVER"), port}
	if n == atHooks {
		t.Fatalf("still alive: %v", s.runHooked(t.Context(), os.Getenv("EDGE_STEWARD_LINE"), nil, dying{}))
	}
	before, _ := at(n, false, func() error { return syscall.Kill(os.Getpid(), syscall.SIGKILL) })
	t.Fatalf("still alive: %v", s.run(t.Context(), os.Getenv("EDGE_STEWARD_LINE"), before))
}
