package lineage

import (
	"context"
	"runtime"
	"sync"
	"sync/atomic"
)

// Entry is a lineage in a list, or why it cannot be used.
type Entry struct {
	Name    string
	Lineage *Lineage // nil where Err is not
	Err     error    // a *BrokenError
}

// List loads all lineages and checks them for damage, as certbot does for its list, in
// the order of Names. Several are looked at at a time. An error is one of the tree, or
// of ctx; those of lineages are in the list.
func (t *Tree) List(ctx context.Context) ([]Entry, error) {
	names, err := t.Names()
	if err != nil {
		return nil, err
	}
	out := make([]Entry, len(names))
	var next atomic.Int64
	var wg sync.WaitGroup
	for range min(len(names), runtime.GOMAXPROCS(0)) {
		wg.Go(func() {
			for ctx.Err() == nil {
				i := int(next.Add(1)) - 1
				if i >= len(names) {
					return
				}
				out[i] = t.entry(names[i])
			}
		})
	}
	wg.Wait()
	if err := ctx.Err(); err != nil {
		return nil, err
	}
	return out, nil
}

func (t *Tree) entry(name string) Entry {
	l, err := t.Load(name)
	if err == nil {
		err = l.Check()
		if err == nil {
			return Entry{Name: name, Lineage: l}
		}
		err = &BrokenError{Name: name, ConfPath: t.ConfPath(name), Problem: err.Error(), Err: err}
	}
	return Entry{Name: name, Err: err}
}
