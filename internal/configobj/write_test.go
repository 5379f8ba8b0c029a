package configobj

import (
	"math/rand/v2"
	"strings"
	"testing"
)

var values = []Value{
	String(""), String("a"), String("a b"), String(" a"), String("a "), String("a,b"), String("a#b"), String("#"), String("a # b"), String(`"`), String("'"),
	String(`"a"`), String("'a'"), String("it's"), String(`say "x"`), String(`it's "x"`), String("'''"), String(`"""`), String(`'''"`), String(`"""'`),
	String("'''\"\"\""), String("'''a\n"), String("\"\"\"a\n'"), String("a\nb"), String("\n"), String("\n[s]\nk = v\n"), String("a\r\nb"), String("a\r"), String("a\x0b"),
	String("a\u00a0"), String("a\x1c"), String("a\tb"), String("a\t"), String("None"), String("100%"), String("%(a)s"), String("[s]"), String("a = b"), String("="), String(`\`),
	String("é世"), String("a'"), String(`a"b'`), String(`'a"`), String(`systemctl reload nginx; echo 'a' "b"`), String(`a"b'c#d,e`), String("\u2028"), String("\ufeff"), String("a\x00b"),
	List(), List("a"), List(""), List("", ""), List("a", "b"), List("a,b", "c"), List("a b", " c"), List("#", "a#b"), List("it's", `"x"`), List(`it's "x"`), List(`'a"b`),
	List(`a'b",c`), List("a\nb"), List("a\r"), List("a\u00a0", "b"), List("/var/www", "/srv/www"), List("http-01"), List("'", `"`), List("a", ""), List("\x1f"), List("[", "]"),
}

var keys = []string{
	"a", "webroot_path", "example.com", "*.example.com", "a b", " a", "a=b", "=", "#a", "[a", "[a]", "a]", "a,b", "'a'", `"a"`, "it's", "", "a\nb", "a\tb", "'''", `a"b'c`,
	"é", "a\r", "a\u00a0", "b", "DEFAULT", "%(a)s", "-", "a:b", "2001:db8::1",
}

// For each value, what we write is what ConfigObj writes, and where it would not
// read that back, it reads what we write.
func TestWritesAsConfigObjDoes(t *testing.T) {
	o := startOracle(t)
	check := func(path []string, key string, v Value) (written, same bool) {
		t.Helper()
		theirs := o.ask(question{Do: "write", Path: path, Key: key, Value: &jsonValue{v.List, v.Items}})
		theirsIsGood := theirs.Error == "" && sees(t, o, theirs.Text, path, key, v)
		ours, ok := write(path, key, v)
		switch {
		case !ok && theirsIsGood:
			t.Errorf("%q %q %#v: not written; ConfigObj: %q", path, key, v, theirs.Text)
		case !ok:
			return false, false
		case theirsIsGood && ours != theirs.Text:
			t.Errorf("%q %q %#v:\n got %q\nwant %q", path, key, v, ours, theirs.Text)
		case !sees(t, o, ours, path, key, v):
			t.Errorf("%q %q %#v: ConfigObj does not see it in %q", path, key, v, ours)
		}
		return true, theirsIsGood
	}
	for _, v := range values {
		check(nil, "key", v)
		check([]string{"s", "t"}, "key", v)
	}
	for _, key := range keys {
		check(nil, key, String("v]"))
		check([]string{"s"}, key, List("a", "b"))
		check([]string{key}, "key", String("v"))
		check([]string{"s", key}, "key", String("v"))
	}
	r := rand.New(rand.NewPCG(3, 4))
	better := 0
	for range 3000 {
		v := String(piecesOf(r))
		if r.IntN(3) == 0 {
			v = List()
			for range r.IntN(4) {
				v.Items = append(v.Items, piecesOf(r))
			}
		}
		if written, same := check(nil, "key", v); written && !same {
			better++
		}
	}
	if better == 0 {
		t.Error("no value was written that ConfigObj writes badly: the other forms are untested")
	}
}

func piecesOf(r *rand.Rand) string {
	pieces := []string{"a", "b c", "'", "\"", "'''", "\"\"\"", ",", "#", " ", "\n", "\t", "=", "[x]", "%(a)s", "\r", "é", "\x0b", "\u00a0", "\\", "/bin/true"}
	var b strings.Builder
	for range r.IntN(6) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}

// write is a new file with one value. ConfigObj writes a newline for no lines.
func write(path []string, key string, v Value) (string, bool) {
	d := New()
	s := d.Root()
	for _, name := range path {
		s = s.AddSection(name)
	}
	if err := s.Set(key, v); err != nil {
		return string(d.Bytes()), false
	}
	return string(d.Bytes()), true
}

// sees reports whether ConfigObj reads that value, and nothing else.
func sees(t *testing.T, o *oracle, text string, path []string, key string, v Value) bool {
	t.Helper()
	want := any(map[string]any{"keys": [][2]any{{key, map[string]any{"list": v.List, "items": append([]string{}, v.Items...)}}}, "sections": [][2]any{}})
	for n := len(path) - 1; n >= 0; n-- {
		want = map[string]any{"keys": [][2]any{}, "sections": [][2]any{{path[n], want}}}
	}
	r := o.ask(question{Do: "read", Text: text})
	return r.Error == "" && asJSON(t, r.Tree) == asJSON(t, want)
}

func TestUnwritable(t *testing.T) {
	d := New()
	if err := d.Root().Set("good", String("x")); err != nil {
		t.Fatal(err)
	}
	before := string(d.Bytes())
	for _, v := range []Value{String("a\r\nb"), String("'''x\"\"\"\ny"), List("a\nb"), String("\xff"), {}, {Items: []string{"a", "b"}}} {
		for _, key := range []string{"bad", "good"} {
			if err := d.Root().Set(key, v); err == nil {
				t.Errorf("%#v was written as %q", v, d.Bytes())
			}
		}
	}
	for _, key := range []string{"a\nb", "\xff", "a\r\nb"} {
		if err := d.Root().Set(key, String("x")); err == nil {
			t.Errorf("key %q was written as %q", key, d.Bytes())
		}
	}
	for _, name := range []string{"", "good", "a\nb", "\xff"} {
		if s := d.Root().AddSection(name); s != nil {
			t.Errorf("section %q was written as %q", name, d.Bytes())
		}
	}
	if got := string(d.Bytes()); got != before {
		t.Errorf("failed edits changed %q to %q", before, got)
	}
}
