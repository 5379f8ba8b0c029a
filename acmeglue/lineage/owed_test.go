package lineage

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"

	"edge/internal/durable"
)

const owedName = "one.example"

// owes makes the second version of a lineage, whose hooks nobody has run yet.
func owes(t *testing.T) (*Tree, *Lineage) {
	t.Helper()
	tree := newTree(t)
	chain, key := pair(t, owedName)
	l, err := tree.Create(CreateOptions{Name: owedName, Chain: chain, Key: key, Params: sampleParams(), OweHooks: true})
	if err != nil {
		t.Fatal(err)
	}
	stillOwed(t, tree, "the deploy hooks for version 1 did not run to their end")
	chain, key = pair(t, owedName)
	if _, err := l.Renew(RenewOptions{Chain: chain, Key: key, OweHooks: true}); err != nil {
		t.Fatal(err)
	}
	return tree, l
}

func stillOwed(t *testing.T, tree *Tree, want string) {
	t.Helper()
	for range 2 {
		if done := repair(t, tree); len(done) != 1 || done[0] != (Repaired{owedName, want, true}) {
			t.Fatalf("repair found %+v", done)
		}
	}
}

func nothingOwed(t *testing.T, tree *Tree) {
	t.Helper()
	if done := repair(t, tree); len(done) > 0 {
		t.Errorf("repair found %+v", done)
	}
	if found := leftovers(t, tree); len(found) > 0 {
		t.Errorf("left behind: %v", found)
	}
}

func TestHooksAreOwedUntilTheyRan(t *testing.T) {
	tree, _ := owes(t)
	stillOwed(t, tree, "the deploy hooks for version 2 did not run to their end")
	if out := certbot(t, filepath.Dir(tree.Dirs().Config), "certificates"); !strings.Contains(out, "Certificate Name: "+owedName) || strings.Contains(out, "invalid") {
		t.Errorf("certbot says:\n%s", out)
	}
	if err := tree.HooksRan(owedName); err != nil {
		t.Error(err)
	}
	nothingOwed(t, tree)
	if err := tree.HooksRan(owedName); err != nil {
		t.Errorf("once more: %v", err)
	}
}

// certbot has run hooks for the version that it made.
func TestHooksOfAnOvertakenVersionAreNotOwed(t *testing.T) {
	tree, l := owes(t)
	renew(t, l)
	nothingOwed(t, tree)
}

func TestHooksOfADeletedLineageAreNotOwed(t *testing.T) {
	tree, l := owes(t)
	if _, err := l.Delete(); err != nil {
		t.Fatal(err)
	}
	nothingOwed(t, tree)

	tree, _ = owes(t)
	if err := os.Remove(tree.ConfPath(owedName)); err != nil { // as a person does
		t.Fatal(err)
	}
	nothingOwed(t, tree)
}

func TestHooksOfAVersionThatWasNotMadeAreNotOwed(t *testing.T) {
	tree, _ := owes(t)
	if err := tree.HooksRan(owedName); err != nil {
		t.Fatal(err)
	}
	failing := openTree(filepath.Dir(tree.Dirs().Config), func(_ durable.Step, path string) error {
		if strings.HasSuffix(path, jobSuffix) {
			return syscall.EIO
		}
		return nil
	})
	chain, key := pair(t, owedName)
	if _, err := load(t, failing, owedName).Renew(RenewOptions{Chain: chain, Key: key, OweHooks: true}); !errors.Is(err, syscall.EIO) {
		t.Fatalf("error is %v", err)
	}
	nothingOwed(t, tree)
	write(t, tree.owedPath(owedName), "x")
	nothingOwed(t, tree)
}
