package kept

import (
	"path/filepath"
	"slices"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// Whatever a run was killed between, what the service may have is found.
func TestBoth(t *testing.T) {
	b := NewBoth(File{Dir: filepath.Join(t.TempDir(), "kept"), Kind: "toy", Name: "a.test"})
	var leaves [][32]byte
	for range 3 {
		bundle := edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test")
		if err := b.Begin(bundle.Chain, bundle.Key); err != nil {
			t.Fatal(err)
		}
		p, err := b.next.load()
		if err != nil {
			t.Fatal(err)
		}
		leaves = append(leaves, p.Leaf())
		for _, leaf := range leaves[max(0, len(leaves)-2):] { // it and the last one
			if found, err := b.Find(leaf); err != nil || found == nil || found.Leaf() != leaf {
				t.Errorf("%x: %v %v", leaf[:4], found, err)
			}
		}
		if list, err := b.Fingerprints(); err != nil || len(list) != min(len(leaves), 2) || len(slices.Compact(slices.Clone(list))) != len(list) {
			t.Errorf("%v %v", list, err)
		}
		if err := b.Done(bundle.Chain, bundle.Key); err != nil {
			t.Fatal(err)
		}
		if p, err = b.Last(); err != nil || p.Leaf() != leaves[len(leaves)-1] {
			t.Errorf("%v %v", p, err)
		}
	}
	if p, err := b.Find(leaves[0]); p != nil || err != nil {
		t.Errorf("an old one is kept: %v %v", p, err)
	}
}
