package configobj

import (
	"errors"
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

const references = `name = root
plain = 100% %F %% %(open %()
a = x%(name)sy
both = %(name)s%(a)s
items = %(name)s, plain, "%(a)s,"
missing = %(absent)s
empty = %()s
loop = %(loop2)s
loop2 = %(loop)s
self = %(self)s
uselist = %(items)s
usesection = %(s)s
up = %(low)s
hollow = %(nothing)s|
nothing =
[DEFAULT]
fallback = default
name = never
[s]
a = %(name)s %(fallback)s
name = s
over = %(up)s
twice = %(both)s
useroot = %(plain)s
[[t]]
b = %(a)s %(name)s %(fallback)s
low = 1
over = %(up)s
same = %(a)s
[[DEFAULT]]
fallback = of s
`

func TestExpandsAsConfigObjDoes(t *testing.T) {
	o := startOracle(t)
	expanded := 0
	check := func(text string) {
		t.Helper()
		d := parse(t, text)
		for _, path := range [][]string{{}, {"DEFAULT"}, {"s"}, {"s", "t"}} {
			s := d.Root()
			for _, name := range path {
				s = s.Section(name)
			}
			for _, key := range s.Keys() {
				theirs := o.ask(question{Do: "lookup", Text: text, Path: path, Key: key})
				got, ok, err := s.Lookup(key)
				var bad *InterpolationError
				switch {
				case !ok:
					t.Errorf("%q %s is not there", path, key)
				case (theirs.Error != "") != (err != nil):
					t.Errorf("%s\n%q %s: %v; ConfigObj: %q", text, path, key, err, theirs.Error)
				case err != nil && (!errors.As(err, &bad) || bad.Key != key):
					t.Errorf("%q %s: %v", path, key, err)
				case err == nil && (got.List != theirs.Value.List || !slices.Equal(got.Items, theirs.Value.Items)):
					t.Errorf("%s\n%q %s: %q; ConfigObj: %q", text, path, key, got.Items, theirs.Value.Items)
				}
				if raw, _ := s.Get(key); err == nil && !raw.Equal(got) {
					expanded++
				}
			}
		}
	}
	check(references)
	if expanded < 10 {
		t.Errorf("only %d values were expanded", expanded)
	}
	r := rand.New(rand.NewPCG(5, 6))
	for range 150 {
		var b strings.Builder
		section := func(header string) {
			b.WriteString(header)
			for _, key := range []string{"a", "b", "c", "d"} {
				if r.IntN(4) > 0 {
					fmt.Fprintf(&b, "%s = %s\n", key, []string{"x", "%(a)s", "%(b)s-%(c)s", "%(d)s", "x, %(b)s", "%(DEFAULT)s", "%(s)s", "%(t)s"}[r.IntN(8)])
				}
			}
		}
		section("")
		section("[DEFAULT]\n")
		section("[s]\n")
		section("[[t]]\n")
		check(b.String())
	}
}

func TestNeedsInterpolation(t *testing.T) {
	o := startOracle(t)
	for _, s := range []string{"", "a", "%", "%%", "%F", "%(a)s", "x%(a)sy", "%()s", "%(a)", "%(a)d", "%%(a)s", "%(a b)s", "%(a\nb)s", "$(date +%s)", "(%)s", "%(a))s", "%((a)s", "100%(x"} {
		text, ok := write(nil, "key", String(s))
		if !ok {
			t.Fatalf("%q is not written", s)
		}
		theirs := o.ask(question{Do: "lookup", Text: text, Key: "key"})
		untouched := theirs.Error == "" && slices.Equal(theirs.Value.Items, []string{s})
		if NeedsInterpolation(s) == untouched {
			t.Errorf("%q: %v; ConfigObj reads %q %s", s, !untouched, theirs.Value.Items, theirs.Error)
		}
	}
}

// A small file cannot make much work.
func TestExpansionIsBounded(t *testing.T) {
	for _, leaf := range []string{"", "x", strings.Repeat("x", 100)} {
		var b strings.Builder
		for n := range 60 {
			fmt.Fprintf(&b, "k%d = %%(k%d)s%%(k%d)s\n", n, n+1, n+1)
		}
		fmt.Fprintf(&b, "k60 = '%s'\n", leaf)
		_, _, err := parse(t, b.String()).Root().Lookup("k0")
		var bad *InterpolationError
		if !errors.As(err, &bad) {
			t.Errorf("2^60 times %q: %v", leaf, err)
		}
	}
	long := "a = " + strings.Repeat("%(b)s", 900) + "\nb = " + strings.Repeat("x", 10000) + "\n"
	if _, _, err := parse(t, long).Root().Lookup("a"); err == nil {
		t.Error("a value of nine megabytes was made of ten kilobytes")
	}
}
