package lineage

import (
	"errors"
	"fmt"
	"os"
	"slices"
	"testing"
	"time"
)

func TestList(t *testing.T) {
	tree := newTree(t)
	for _, name := range []string{"b", "a", "a-0001", "c"} {
		create(t, tree, name)
	}
	if err := os.Remove(load(t, tree, "b").Path(Cert)); err != nil {
		t.Fatal(err)
	}
	entries, err := tree.List(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name)
		var broken *BrokenError
		if (e.Name == "b") != errors.As(e.Err, &broken) || (e.Lineage == nil) != (e.Name == "b") {
			t.Errorf("%+v", e)
		}
	}
	if want := []string{"a-0001", "a", "b", "c"}; !slices.Equal(names, want) {
		t.Errorf("%q, want %q", names, want)
	}
}

// thousand is a tree of as many lineages.
func thousand(t testing.TB) *Tree {
	t.Helper()
	tree := newTree(t)
	key := ecKey(t)
	text := keyPEM(t, key)
	for n := range 1000 {
		name := fmt.Sprintf("site%03d.example", n)
		if _, err := tree.Create(CreateOptions{Name: name, Chain: chainFor(t, key, name, "www."+name), Key: text, Params: sampleParams()}); err != nil {
			t.Fatal(err)
		}
	}
	return tree
}

// A thousand lineages are listed in 300 ms, and one is loaded in 20. This allows three
// times as much, for noisy machines.
func TestListInTime(t *testing.T) {
	if testing.Short() {
		t.Skip("not run with -short: times under the race detector say nothing")
	}
	tree := thousand(t)
	best := time.Hour
	for range 3 {
		start := time.Now()
		if entries, err := tree.List(t.Context()); err != nil || len(entries) != 1000 || entries[999].Err != nil {
			t.Fatal(err)
		}
		best = min(best, time.Since(start))
	}
	if best > 900*time.Millisecond {
		t.Errorf("the list took %v", best)
	}
	start := time.Now()
	load(t, tree, "site500.example")
	if took := time.Since(start); took > 60*time.Millisecond {
		t.Errorf("loading took %v", took)
	}
}

func BenchmarkThousand(b *testing.B) {
	tree := thousand(b)
	b.Run("list", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.List(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("load", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Load("site500.example"); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("repair", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.Repair(b.Context()); err != nil {
				b.Fatal(err)
			}
		}
	})
	b.Run("users", func(b *testing.B) {
		for b.Loop() {
			if _, err := tree.users("site500.example"); err != nil {
				b.Fatal(err)
			}
		}
	})
}
