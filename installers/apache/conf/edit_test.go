package conf

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestEdits(t *testing.T) {
	src := "a 1\n<b x>\n\tc \"2\" 3\n\td \\\n\t  4\n</b>\ne"
	for _, c := range []struct {
		edit func(e *Edits, f *File)
		want string
	}{
		{func(e *Edits, f *File) { e.Remove(find(t, f.Root, "d")) }, "a 1\n<b x>\n\tc \"2\" 3\n</b>\ne"},
		{func(e *Edits, f *File) { e.Remove(find(t, f.Root, "b")) }, "a 1\ne"},
		{func(e *Edits, f *File) { e.Remove(find(t, f.Root, "e")) }, "a 1\n<b x>\n\tc \"2\" 3\n\td \\\n\t  4\n</b>\n"},
		{func(e *Edits, f *File) { e.CommentOut(find(t, f.Root, "d")) }, "a 1\n<b x>\n\tc \"2\" 3\n# \td \\\n# \t  4\n</b>\ne"},
		{func(e *Edits, f *File) { e.Replace(find(t, f.Root, "c"), "\tx y") }, "a 1\n<b x>\n\tx y\n\td \\\n\t  4\n</b>\ne"},
		{func(e *Edits, f *File) { e.ReplaceWord(find(t, f.Root, "c"), 1, "a b") }, "a 1\n<b x>\n\tc \"a b\" 3\n\td \\\n\t  4\n</b>\ne"},
		{func(e *Edits, f *File) { e.ReplaceWord(find(t, f.Root, "b"), 1, "*:443") }, "a 1\n<b *:443>\n\tc \"2\" 3\n\td \\\n\t  4\n</b>\ne"},
		{func(e *Edits, f *File) {
			b := find(t, f.Root, "b")
			e.InsertFirst(b.Block, f.Indent(b.Block)+"first")
			e.InsertLast(b.Block, "last\nlast2")
			e.InsertBefore(b, "before")
			e.InsertAfter(b, "after")
			e.InsertAfter(find(t, f.Root, "d"), "behind")
			e.InsertFirst(f.Root, "# top")
			e.InsertLast(f.Root, "end")
		}, "# top\na 1\nbefore\n<b x>\n\tfirst\n\tc \"2\" 3\n\td \\\n\t  4\nbehind\nlast\nlast2\n</b>\nafter\ne\nend"},
	} {
		f := mustParse(t, src)
		var e Edits
		c.edit(&e, f)
		next, err := f.With(&e)
		if err != nil || next.Src != c.want {
			t.Errorf("%v\n%s\nwant\n%s", err, next.Src, c.want)
		}
	}
}

// Line ends, and files that end in the middle of a line.
func TestEditEnds(t *testing.T) {
	for src, want := range map[string]string{
		"": "x y\n", "a": "a\nx y", "a\n": "a\nx y\n", "a\r\nb\r\n": "a\r\nb\r\nx y\r\n", "a\r\nb": "a\r\nb\r\nx y", "a\\\n": "a\\\n\nx y\n", "#\\\n": "#\\\n\nx y\n",
	} {
		f := mustParse(t, src)
		var e Edits
		e.InsertLast(f.Root, "x y")
		next, err := f.With(&e)
		if err != nil || next.Src != want || len(next.Root.Items) != len(f.Root.Items)+1 {
			t.Errorf("%q: %q, want %q (%v)", src, next.Src, want, err)
		}
	}
}

func TestBadEdits(t *testing.T) {
	f := mustParse(t, "<a>\nb\n</a>\n<Macro x>\n</Macro>\n")
	a, b := find(t, f.Root, "a"), find(t, f.Root, "b")
	for name, edit := range map[string]func(e *Edits){
		"in a macro":       func(e *Edits) { e.InsertLast(find(t, f.Root, "macro").Block, "x") },
		"half a section":   func(e *Edits) { e.InsertLast(f.Root, "<x>") },
		"half a line":      func(e *Edits) { e.InsertLast(f.Root, "x \\") },
		"nothing":          func(e *Edits) { e.InsertLast(f.Root, "") },
		"twice":            func(e *Edits) { e.Remove(b); e.Remove(b) },
		"in what goes":     func(e *Edits) { e.Remove(a); e.InsertAfter(b, "x") },
		"two lines a word": func(e *Edits) { e.ReplaceWord(b, 0, "x\ny") },
		"relative":         func(e *Edits) { e.NewFile("x", "") },
		"broken":           func(e *Edits) { e.NewFile("/x", "<a>") },
		"relative link":    func(e *Edits) { e.NewLink("/x", "y") },
	} {
		var e Edits
		edit(&e)
		if _, err := f.With(&e); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
}

func TestEndsWithABackslash(t *testing.T) {
	f := mustParse(t, `a\`)
	var e Edits
	e.InsertLast(f.Root, "x")
	if _, err := f.With(&e); err == nil || !strings.HasPrefix(err.Error(), "x.conf:1:3: the file ends with a backslash") {
		t.Error(err)
	}
}

// outline writes the directives of a block with the changes that are expected.
func outline(b *Block, plan map[spot]string) []string {
	var out []string
	say := func(at any, where string) {
		if s := plan[spot{at, where}]; s != "" {
			out = append(out, strings.Split(s, "\n")...)
		}
	}
	say(b, "first")
	for d := range b.Directives() {
		say(d, "before")
		if instead, ok := plan[spot{d, "instead"}]; !ok {
			var words []string
			for _, w := range d.Words {
				words = append(words, w.Value)
			}
			out = append(out, fmt.Sprintf("%q", words))
			if d.Block != nil {
				out = append(append(out, outline(d.Block, plan)...), "end")
			}
			if d.Block != nil && d.Block.Opaque {
				out = append(out, b.File.Src[d.Block.Open:d.Block.Close])
			}
		} else if instead != "" {
			out = append(out, instead)
		}
		say(d, "after")
	}
	say(b, "last")
	return out
}

type spot struct {
	at    any
	where string
}

// collect returns the directives and blocks of a file, at any depth.
func collect(b *Block) (ds []*Directive, bs []*Block) {
	if !b.Opaque {
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
	plan    map[spot]string
	gone    map[*Directive]bool
	touched []Span
}

func (e *randomEdits) expect(at any, where, line string) {
	key := spot{at, where}
	e.plan[key] = strings.TrimPrefix(e.plan[key]+"\n"+line, "\n")
}

// any does one edit at a directive or, where d is nil or chance wants so, in a block.
func (e *randomEdits) any(rng *rand.Rand, text string, d *Directive, b *Block) {
	line := fmt.Sprintf("%q", strings.Fields(text))
	op := rng.IntN(7)
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
		e.CommentOut(d)
	case 6:
		e.Replace(d, text)
		instead = line
	}
	if op >= 4 {
		e.gone[d] = true
		e.plan[spot{d, "instead"}] = instead
	}
	if op < 2 {
		e.touched = append(e.touched, Span{b.Open, b.end})
	} else {
		e.touched = append(e.touched, d.lines)
	}
}

// collide says whether there is an edit inside of a directive that goes.
func (e *randomEdits) collide() bool {
	return slices.ContainsFunc(e.touched, func(s Span) bool {
		for d := range e.gone {
			if d.lines.Start <= s.Start && s.End <= d.lines.End && d.lines != s {
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
	e := &randomEdits{plan: map[spot]string{}, gone: map[*Directive]bool{}}
	for i := range 1 + rng.IntN(6) {
		e.any(rng, fmt.Sprintf("new%d a", i), ds[rng.IntN(len(ds))], bs[rng.IntN(len(bs))])
	}
	got, err := f.With(&e.Edits)
	if err != nil {
		if errors.Is(err, errOverlap) != e.collide() && !f.endsInBackslash() {
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
		"a", "<s>\na\nb\n</s>\n", "<s>\n</s>", "a \\\n b\nc\\", "\\\na\n", "# x \\\ny\nz", "", "<Macro x>\n<y>\n</Macro>\nz", "a\r\nb\r\n", "<a>\n<b>\n<c>\n</c>\n</b>\n</a>", "a\\\n", "\\\r",
	}...) {
		f.Add(seed, uint64(i))
	}
	f.Fuzz(checkEdits)
}

// The same on real files.
func TestEditsOnCorpus(t *testing.T) {
	for i, name := range regularFiles(t, corpus(t)) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		for seed := range 5 {
			checkEdits(t, string(b), uint64(i*5+seed))
		}
	}
}

// Edits to several files, one behind a symbolic link, a new file and a link to it: the
// new Set sees all of it, the disk nothing.
func TestWith(t *testing.T) {
	dir := realDir(t)
	write(t, dir, map[string]string{
		"apache2.conf": "Include sites/*.conf\nDefine N n.test", "avail/a.conf": "<VirtualHost *:80>\r\n\tServerName a.test\r\n\tInclude common\r\n</VirtualHost>", "common": "ServerAlias c.test\n", "sites/a.conf": "-> ../avail/a.conf",
	})
	s := mustLoad(t, dir+"/apache2.conf", Env{})
	host := s.Hosts()[0]
	if len(s.Changes()) != 0 || !s.Reads(dir+"/sites/new.conf") || s.Reads(dir+"/avail/new.conf") || !s.Reads(dir+"/avail/a.conf") {
		t.Errorf("%v", s.Changes())
	}
	var e Edits
	e.InsertLast(host.Block, "ServerAlias ${N}")
	e.Replace(host.All("ServerAlias")[0].Directive, "ServerAlias d.test")
	e.InsertFirst(s.Main.Root, "Define N first.test")
	e.NewFile(dir+"/avail/b.conf", "<VirtualHost *:81>\nServerName b.test\n</VirtualHost>\n")
	e.NewLink(dir+"/sites/b.conf", dir+"/avail/b.conf")
	next, err := s.With(&e)
	if err != nil {
		t.Fatal(err)
	}
	hosts := next.Hosts()
	if len(hosts) != 2 || !slices.Equal(hosts[0].Names(), []string{"a.test", "d.test", "first.test"}) || hosts[1].ServerName != "b.test" || hosts[1].Where() != dir+"/sites/b.conf:1" {
		t.Fatalf("%d hosts: %q", len(hosts), hosts[0].Names())
	}
	var late Edits
	late.Remove(host.Directive)
	if _, err := next.With(&late); err == nil || !strings.Contains(err.Error(), "not of this configuration") {
		t.Errorf("an edit of an old tree: %v", err)
	}
	want := map[string]string{
		"apache2.conf": "Define N first.test\nInclude sites/*.conf\nDefine N n.test", "avail/a.conf": "<VirtualHost *:80>\r\n\tServerName a.test\r\n\tInclude common\r\nServerAlias ${N}\r\n</VirtualHost>",
		"common": "ServerAlias d.test\n", "avail/b.conf": "<VirtualHost *:81>\nServerName b.test\n</VirtualHost>\n",
	}
	for _, c := range next.Changes() {
		name, _ := filepath.Rel(dir, c.Path)
		if c.New != want[name] || c.Created != (name == "avail/b.conf") || c.Diff() == "" {
			t.Errorf("%s: %q (%v)", name, c.New, c.Created)
		}
		if now, _ := os.ReadFile(c.Path); string(now) != c.Old {
			t.Errorf("%s: on disk is %q", name, now)
		}
		delete(want, name)
	}
	if len(want) != 0 {
		t.Errorf("unchanged: %v", want)
	}
	var again Edits
	again.NewFile(dir+"/common", "")
	if _, err := s.With(&again); err == nil {
		t.Error("a new file took the place of another")
	}
	var link Edits
	link.NewLink(dir+"/sites/a.conf", dir+"/common")
	if _, err := s.With(&link); err == nil {
		t.Error("a new link took the place of another")
	}
}
