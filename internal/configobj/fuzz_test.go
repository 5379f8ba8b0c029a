package configobj

import (
	"bytes"
	"testing"
)

// Whatever a file is, it is refused, or comes back as it was, and its values can
// be set anew to what they are and to something else.
func FuzzParse(f *testing.F) {
	for _, text := range append(texts, sample, references) {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		d, err := Parse(data)
		if err != nil {
			return
		}
		if got := d.Bytes(); !bytes.Equal(got, data) {
			t.Fatalf("%q comes back as %q", data, got)
		}
		before := asJSON(t, treeOf(d.Root()))
		for _, other := range []Value{String("it's \"new\",\n#"), List("a", "it's")} {
			everyKey(d.Root(), func(s *Section, key string) {
				_, _, _ = s.Lookup(key)
				old, _ := s.Get(key)
				set(t, s, key, other)
				changed := parse(t, string(d.Bytes()))
				if err := s.Set(key, old); err != nil {
					t.Fatalf("%q: %v", data, err) // it was written once
				}
				if got, want := asJSON(t, treeOf(changed.Root())), asJSON(t, treeOf(d.Root())); got == want && !old.Equal(other) {
					t.Fatalf("%q: setting %q changed nothing", data, key)
				}
			})
		}
		if got := asJSON(t, treeOf(parse(t, string(d.Bytes())).Root())); got != before {
			t.Fatalf("%q is %s after edits were undone, was %s", data, got, before)
		}
	})
}

func everyKey(s *Section, f func(s *Section, key string)) {
	for _, key := range s.Keys() {
		f(s, key)
	}
	for _, name := range s.Sections() {
		everyKey(s.Section(name), f)
	}
}

// What is set is what is read, whatever is around it.
func FuzzSet(f *testing.F) {
	for n, v := range values {
		second := ""
		if len(v.Items) > 1 {
			second = v.Items[1]
		}
		f.Add(texts[n%len(texts)], keys[n%len(keys)], append(v.Items, "")[0], second, v.List)
	}
	f.Add("", "\ufeffa", "b", "", false)
	f.Add("[s]\n", "k", "[", "]", false) // depth counts
	f.Add("\ufeff", "\ufeffa", "\ufeffb", "\ufeff", true)
	f.Fuzz(func(t *testing.T, text, key, a, b string, list bool) {
		d, err := Parse([]byte(text))
		if err != nil {
			return
		}
		v := String(a)
		if list {
			v = List(a, b)
		}
		sections := []*Section{d.Root(), d.Root().AddSection(b), d.Root().AddSection("s").AddSection(a)}
		for _, s := range sections {
			if s == nil || s.Set(key, v) != nil {
				continue
			}
			d.SetInitialComment([]string{a, b})
			s.SetComment(key, []string{b, a})
			again := parse(t, string(d.Bytes()))
			if got, want := asJSON(t, treeOf(again.Root())), asJSON(t, treeOf(d.Root())); got != want {
				t.Fatalf("%q: after the edit it reads %s, want %s", d.Bytes(), got, want)
			}
			if got, ok := s.Get(key); !ok || !got.Equal(v) {
				t.Fatalf("%q: got %#v, want %#v", d.Bytes(), got, v)
			}
		}
	})
}
