package delivery

import (
	"context"
	"encoding/json"
	"errors"
	"path/filepath"
	"testing"
	"time"
)

// timed is a target that takes certificates at times.
type timed struct {
	nowhere
	now  *error // what Put returns
	puts *int
}

func (t timed) Put(context.Context, *Material, json.RawMessage) (Change, error) {
	*t.puts++
	return Change{Verified: *t.now == nil}, *t.now
}

// What waits for its time is pending and no failure, is tried by each run, and is in sync
// when its time has come.
func TestLater(t *testing.T) {
	for _, there := range []bool{false, true} {
		var says error
		var puts int
		e := &Engine{Dir: filepath.Join(t.TempDir()), Now: time.Now, BackOff: true}
		it := Item{Name: "a", Target: timed{now: &says, puts: &puts}}
		m, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		is := func(when string, r Result, want State, why string) {
			t.Helper()
			if r.State != want || r.Later != why || !r.OK() || r.Error != "" || r.Failures != 0 {
				t.Errorf("there %t, %s: %+v", there, when, r)
			}
		}
		says = &Later{Why: "at night", There: there}
		is("the first time", e.Apply(t.Context(), it, m), Pending, "at night")
		is("looking", e.Look(t.Context(), it, m), Pending, "at night")
		is("known", e.Known(it), Pending, "at night")
		is("again", e.Apply(t.Context(), it, m), Pending, "at night")
		if r, err := e.load(&it); err != nil || (r.Leaf != "") != there || r.Begun != "" {
			t.Errorf("there %t: the record is %+v, %v", there, r, err)
		}
		says = nil
		is("at night", e.Apply(t.Context(), it, m), InSync, "")
		is("afterwards", e.Apply(t.Context(), it, m), InSync, "")
		if puts != 3 {
			t.Errorf("there %t: put %d times", there, puts)
		}
		m2, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		says = errors.Join(&Later{Why: "at night"}, nil)
		is("joined with nothing", e.Apply(t.Context(), it, m2), Pending, "at night")
		says = errors.Join(&Later{Why: "at night"}, errors.New("broken"))
		if r := e.Apply(t.Context(), it, m2); r.State != Failed || r.OK() || r.Later != "" {
			t.Errorf("with a failure it is %+v", r)
		}
		m2.Leaf[0]++ // another one, since failures are left alone for a while
		says = errors.New("broken")
		if r := e.Apply(t.Context(), it, m2); r.State != Failed || r.OK() || r.Later != "" {
			t.Errorf("a failure is %+v", r)
		}
	}
}
