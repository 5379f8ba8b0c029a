package lineage

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"edge/internal/configobj"
	"edge/internal/durable"
)

// operation is a change that crashes. It starts from the tree that prepare made, and
// ends, by whatever way, in the old state or in the new one.
type operation struct {
	name    string
	prepare func(t testing.TB, tree *Tree)
	run     func(tree *Tree, root string) error
	check   func(t *testing.T, tree *Tree, root string) (changed bool)
}

const crashName = "crash.example"

var operations = []operation{
	{"create", func(testing.TB, *Tree) {}, runCreate, checkCreate},
	{"renew", prepareRenew, runRenew, checkRenew},
	{"delete", func(t testing.TB, tree *Tree) { create(t, tree, crashName) }, runDelete, checkDelete},
	{"params", func(t testing.TB, tree *Tree) { create(t, tree, crashName) }, runParams, checkParams},
}

// The material of an operation lies in root, for the process that is killed.
func material(t testing.TB, root string) {
	t.Helper()
	chain, key := pair(t, crashName)
	write(t, filepath.Join(root, "chain"), string(chain))
	write(t, filepath.Join(root, "key"), string(key))
}

func readMaterial(root string) (chain, key []byte, err error) {
	chain, err1 := os.ReadFile(filepath.Join(root, "chain"))
	key, err2 := os.ReadFile(filepath.Join(root, "key"))
	return chain, key, errors.Join(err1, err2)
}

func runCreate(tree *Tree, root string) error {
	chain, key, err := readMaterial(root)
	if err != nil {
		return err
	}
	_, err = tree.Create(CreateOptions{Name: crashName, Chain: chain, Key: key, Params: sampleParams()})
	return err
}

// isNew reports whether the lineage has the material.
func isNew(t *testing.T, l *Lineage, root string) bool {
	t.Helper()
	chain, key, err := readMaterial(root)
	if err != nil {
		t.Fatal(err)
	}
	full, err1 := l.Read(FullChain)
	priv, err2 := l.Read(PrivKey)
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	if bytes.Equal(full, chain) != bytes.Equal(priv, key) {
		t.Error("chain and key are of different versions")
	}
	return bytes.Equal(full, chain)
}

func checkCreate(t *testing.T, tree *Tree, root string) bool {
	if tree.Exists(crashName) {
		if !isNew(t, load(t, tree, crashName), root) {
			t.Error("a lineage of something else")
		}
		return true
	}
	for _, dir := range []string{"archive", "live"} {
		if path := filepath.Join(tree.Dirs().Config, dir, crashName); lexists(path) {
			t.Errorf("%s was left behind", path)
		}
	}
	return false
}

// prepareRenew makes so many versions that the next one removes the first.
func prepareRenew(t testing.TB, tree *Tree) {
	l := create(t, tree, crashName)
	for range keepVersions {
		renew(t, l)
	}
}

func newParams() *Params {
	p := sampleParams()
	p.Renewal[2].Value = configobj.String("webroot")
	p.Renewal = append(p.Renewal, Param{Key: "webroot_map", Sub: Section{{Key: crashName, Value: configobj.String("/srv")}}})
	p.Edge = Section{{Key: "authenticator", Value: configobj.String("door")}}
	return p
}

func runRenew(tree *Tree, root string) error {
	chain, key, err := readMaterial(root)
	if err != nil {
		return err
	}
	l, err := tree.Load(crashName)
	if err != nil {
		return err
	}
	_, err = l.Renew(RenewOptions{Chain: chain, Key: key, Params: newParams()})
	return err
}

func authenticatorOf(t *testing.T, l *Lineage) string {
	t.Helper()
	p, err := l.Params()
	if err != nil {
		t.Fatal(err)
	}
	return p.Renewal.String("authenticator")
}

func checkRenew(t *testing.T, tree *Tree, root string) bool {
	l := load(t, tree, crashName)
	changed := isNew(t, l, root)
	version, authenticator := keepVersions+1, "standalone"
	if changed {
		version, authenticator = version+1, "webroot"
	}
	if l.Version() != version || authenticatorOf(t, l) != authenticator {
		t.Errorf("version %d with authenticator %s, want %d with %s", l.Version(), authenticatorOf(t, l), version, authenticator)
	}
	if latest, err := l.LatestVersion(); err != nil || latest != version {
		t.Errorf("latest version %d, %v, want %d", latest, err, version)
	}
	return changed
}

func runDelete(tree *Tree, _ string) error {
	left, err := tree.Delete(crashName)
	if len(left) > 0 {
		return fmt.Errorf("left: %v", left)
	}
	return err
}

func checkDelete(t *testing.T, tree *Tree, _ string) bool {
	if tree.Exists(crashName) {
		load(t, tree, crashName)
		return false
	}
	return !checkCreate(t, tree, "")
}

func runParams(tree *Tree, _ string) error {
	l, err := tree.Load(crashName)
	if err != nil {
		return err
	}
	return l.SetParams(*newParams())
}

func checkParams(t *testing.T, tree *Tree, _ string) bool {
	return authenticatorOf(t, load(t, tree, crashName)) == "webroot"
}

// template is the tree that an operation starts from.
func (o operation) template(t testing.TB) (root string) {
	t.Helper()
	root = t.TempDir()
	material(t, root)
	o.prepare(t, openTree(root, nil))
	return root
}

// start copies a template. Renewal files have absolute paths in them.
func start(t testing.TB, template string) (root string) {
	t.Helper()
	root = t.TempDir()
	if out, err := exec.Command("cp", "-a", template+"/.", root).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	path := openTree(root, nil).ConfPath(crashName)
	if text, err := os.ReadFile(path); err == nil {
		write(t, path, strings.ReplaceAll(string(text), template, root))
	}
	return root
}

// steps counts those of an operation that goes well.
func (o operation) steps(t *testing.T, template string) int {
	t.Helper()
	root := start(t, template)
	n := 0
	tree := openTree(root, func(durable.Step, string) error { n++; return nil })
	if err := o.run(tree, root); err != nil {
		t.Fatal(err)
	}
	if !o.check(t, tree, root) {
		t.Fatal("nothing has changed")
	}
	return n
}

// verify looks at a tree after a failure: Repair makes it whole, and the operation goes
// through afterwards if it did not before.
func (o operation) verify(t *testing.T, root string, failed bool) {
	t.Helper()
	tree := openTree(root, nil)
	repair(t, tree)
	changed := o.check(t, tree, root)
	if found := leftovers(t, tree); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
	if !failed && !changed {
		t.Error("no error was reported, and nothing has changed")
	}
	if again := repair(t, tree); len(again) > 0 {
		t.Errorf("the second repair found %v", again)
	}
	if !changed {
		if err := o.run(tree, root); err != nil {
			t.Errorf("afterwards: %v", err)
		}
		if !o.check(t, tree, root) {
			t.Error("afterwards, nothing has changed")
		}
	}
}

// Every step of every change fails, once or from there on, as on a full disk.
func TestErrorAtEachStep(t *testing.T) {
	for _, o := range operations {
		template := o.template(t)
		for n := range o.steps(t, template) {
			for _, fault := range []struct {
				err     error
				forever bool
			}{{syscall.EIO, false}, {syscall.ENOSPC, false}, {syscall.ENOSPC, true}} {
				t.Run(fmt.Sprintf("%s/%d/%v/%v", o.name, n, fault.err, fault.forever), func(t *testing.T) {
					root := start(t, template)
					seen := 0
					tree := openTree(root, func(durable.Step, string) error {
						seen++
						if seen-1 == n || fault.forever && seen-1 > n {
							return fault.err
						}
						return nil
					})
					err := o.run(tree, root)
					if err != nil && !errors.Is(err, fault.err) {
						t.Errorf("error %v, want %v", err, fault.err)
					}
					var pending *PendingError
					changed := err == nil || errors.As(err, &pending)
					o.verify(t, root, err != nil)
					if now := o.check(t, openTree(root, nil), root); changed && !now {
						t.Errorf("reported as %v, and it is not there", err)
					}
				})
			}
		}
	}
}

// The process is killed ahead of every step of every change.
func TestKilledAtEachStep(t *testing.T) {
	if root := os.Getenv("EDGE_LINEAGE_ROOT"); root != "" {
		dieAt(t, root)
	}
	for _, o := range operations {
		template := o.template(t)
		steps := o.steps(t, template)
		for n := range steps {
			if testing.Short() && n%7 != 0 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", o.name, n), func(t *testing.T) {
				root := start(t, template)
				kill(t, o, root, n)
				certbotSees(t, o, root, false, n == steps/2)
				o.verify(t, root, true)
				certbotSees(t, o, root, true, n == steps/2 || n == steps-1)
			})
		}
	}
}

// dieAt is the process that is killed.
func dieAt(t *testing.T, root string) {
	n, err := strconv.Atoi(os.Getenv("EDGE_LINEAGE_STEP"))
	if err != nil {
		t.Fatal(err)
	}
	seen := 0
	tree := openTree(root, func(durable.Step, string) error {
		if seen++; seen-1 == n {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	})
	for _, o := range operations {
		if o.name == os.Getenv("EDGE_LINEAGE_OPERATION") {
			t.Fatalf("still alive: %v", o.run(tree, root))
		}
	}
}

func kill(t *testing.T, o operation, root string, n int) {
	t.Helper()
	child := exec.Command(os.Args[0], "-test.run=^TestKilledAtEachStep$")
	child.Env = append(os.Environ(), "EDGE_LINEAGE_ROOT="+root, "EDGE_LINEAGE_STEP="+strconv.Itoa(n), "EDGE_LINEAGE_OPERATION="+o.name)
	out, err := child.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("the child was not killed: %v\n%s", err, out)
	}
}

// certbotSees asks certbot, in a sample of the cases, and in all of them when there is
// time. Before the repair it may find that links are of different versions.
func certbotSees(t *testing.T, o operation, root string, repaired, sample bool) {
	t.Helper()
	if !sample && os.Getenv("EDGE_SOAK") == "" {
		return
	}
	out := certbot(t, root, "certificates")
	listed := strings.Contains(out, "Certificate Name: "+crashName)
	damaged := strings.Contains(out, "were invalid") || strings.Contains(out, "unexpected error")
	if damaged && (repaired || o.name != "renew") {
		t.Errorf("certbot sees damage:\n%s", out)
	}
	if there := openTree(root, nil).Exists(crashName); !damaged && there != listed {
		t.Errorf("the lineage is there: %v; certbot lists it: %v\n%s", there, listed, out)
	}
}

var errKilled = errors.New("killed")

// The process that repairs is killed as well, at every step of what it does.
func TestRepairKilledAtEachStep(t *testing.T) {
	for _, o := range operations {
		template := o.template(t)
		for n := range o.steps(t, template) {
			if os.Getenv("EDGE_SOAK") == "" && n%9 != 4 {
				continue
			}
			t.Run(fmt.Sprintf("%s/%d", o.name, n), func(t *testing.T) {
				for m := 0; ; m++ {
					root := start(t, template)
					if !dies(n, func(b func(durable.Step, string) error) { _ = o.run(openTree(root, b), root) }) {
						t.Fatal("it went through")
					}
					died := dies(m, func(b func(durable.Step, string) error) {
						_, _ = openTree(root, b).Repair(context.Background())
					})
					o.verify(t, root, true)
					if !died {
						return
					}
				}
			})
		}
	}
}

// dies stops f ahead of a step. Unlike an error it leaves temporary files behind.
func dies(n int, f func(before func(durable.Step, string) error)) (died bool) {
	defer func() {
		if r := recover(); r != nil {
			if r != errKilled {
				panic(r)
			}
			died = true
		}
	}()
	seen := 0
	f(func(durable.Step, string) error {
		if seen++; seen-1 == n {
			panic(errKilled)
		}
		return nil
	})
	return false
}
