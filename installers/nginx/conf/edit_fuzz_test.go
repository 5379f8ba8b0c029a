package conf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"slices"
	"strings"
	"testing"
)

// outline writes the directives of a block, with the changes that are expected at some
// of them. Comments and layout are left out.
func outline(b *Block, plan map[any]string) []string {
	var out []string
	say := func(key any) {
		if plan[key] != "" {
			out = append(out, strings.Split(plan[key], "\n")...)
		}
	}
	say(place{b, "first"})
	for d := range b.Directives() {
		say(place{d, "before"})
		if instead, ok := plan[place{d, "instead"}]; ok {
			if instead != "" {
				out = append(out, instead)
			}
		} else {
			out = append(out, outlineOf(d, plan)...)
		}
		say(place{d, "after"})
	}
	say(place{b, "last"})
	return out
}

type place struct {
	at    any
	where string
}

func outlineOf(d *Directive, plan map[any]string) []string {
	line := fmt.Sprintf("%q", append([]string{d.Name()}, d.Values()...))
	switch {
	case d.Block == nil:
		return []string{line}
	case d.Block.Lua:
		return []string{line, d.File.Src[d.Block.Open:d.Block.Close]}
	}
	return slices.Concat([]string{line + "{"}, outline(d.Block, plan), []string{"}"})
}

// collect returns the directives and blocks of a file, at any depth.
func collect(b *Block) (ds []*Directive, bs []*Block) {
	if !b.Lua {
		bs = append(bs, b)
	}
	for d := range b.Directives() {
		ds = append(ds, d)
		if d.Block != nil {
			inner, blocks := collect(d.Block)
			ds, bs = append(ds, inner...), append(bs, blocks...)
		}
	}
	return ds, bs
}

// randomEdits are edits with what they should lead to.
type randomEdits struct {
	Edits
	plan    map[any]string
	gone    map[*Directive]bool
	touched []Span
}

func (e *randomEdits) expect(at any, where, line string) {
	key := place{at, where}
	if e.plan[key] != "" {
		e.plan[key] += "\n"
	}
	e.plan[key] += line
}

// any does one edit at a directive or, where d is nil or chance wants so, in a block.
func (e *randomEdits) any(rng *rand.Rand, name string, d *Directive, b *Block) {
	text := name + " a;" + []string{"", " # c"}[rng.IntN(2)]
	line := fmt.Sprintf("%q", []string{name, "a"})
	op := rng.IntN(8)
	if d == nil {
		op %= 2
	}
	if op >= 4 && e.gone[d] {
		return
	}
	instead := ""
	switch op {
	case 0:
		e.InsertFirst(b, text)
		e.expect(b, "first", line)
	case 1:
		e.InsertLast(b, text)
		e.expect(b, "last", line)
	case 2:
		e.InsertBefore(d, text)
		e.expect(d, "before", line)
	case 3:
		e.InsertAfter(d, text)
		e.expect(d, "after", line)
	case 4:
		e.Remove(d)
	case 5:
		e.CommentOut(d, "note")
	case 6:
		e.Replace(d, text)
		instead = line
	case 7:
		e.RemoveLine(d)
	}
	if op >= 4 {
		e.gone[d] = true
		e.plan[place{d, "instead"}] = instead
	}
	if op < 2 {
		e.touched = append(e.touched, Span{b.Open + 1, b.Close})
	} else {
		e.touched = append(e.touched, d.Span)
	}
}

// collide says whether there is an edit inside of a directive that goes.
func (e *randomEdits) collide() bool {
	return slices.ContainsFunc(e.touched, func(s Span) bool {
		for d := range e.gone {
			if d.Start <= s.Start && s.End <= d.End && d.Span != s {
				return true
			}
		}
		return false
	})
}

// checkEdits makes edits at random and compares the tree that comes out with the one
// that should. Edits that collide have to be refused, and only they.
func checkEdits(t *testing.T, src string, seed uint64) {
	f, err := Parse("x", src)
	if err != nil {
		return
	}
	rng := rand.New(rand.NewPCG(seed, 0))
	ds, bs := collect(f.Root)
	ds = append(ds, nil)
	e := &randomEdits{plan: map[any]string{}, gone: map[*Directive]bool{}}
	for i := range 1 + rng.IntN(6) {
		e.any(rng, fmt.Sprint("new", i), ds[rng.IntN(len(ds))], bs[rng.IntN(len(bs))])
	}
	got, err := f.With(&e.Edits)
	if err != nil {
		var place *Error
		tooLong := strings.Contains(err.Error(), "more than 4095 bytes")
		if errors.Is(err, errOverlap) != e.collide() && !tooLong || !errors.As(err, &place) {
			t.Fatalf("%q: %v", src, err)
		}
		return
	}
	if e.collide() {
		t.Fatalf("%q: edits inside of what goes were taken: %q", src, got.Src)
	}
	if have, want := outline(got.Root, nil), outline(f.Root, e.plan); !slices.Equal(have, want) {
		t.Fatalf("%q became\n%q:\n%q, want\n%q", src, got.Src, have, want)
	}
}

func FuzzEdits(f *testing.F) {
	for i, seed := range append(seeds(f), []string{
		"a;", "s { a; b; }", "s {\n  a; # c\n  b {\n  c 'x\ny';}\n}\n", "s {a;b;}c;", "a 'x')b;\r\n\r\ns\r\n{\r\n}\r\n", "#", "", "x_by_lua_block { } a;", "a {b {c {}}}", "a # c\n{ # d\n b # e\n; # f\n}",
	}...) {
		f.Add(seed, uint64(i))
	}
	f.Fuzz(checkEdits)
}

// The same on real files.
func TestEditsOnCorpus(t *testing.T) {
	dir := corpus(t)
	for i, name := range regularFiles(t, dir) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range 5 {
			checkEdits(t, string(b), uint64(i*5+seed))
		}
	}
}
