package edge

import (
	"errors"
	"strings"
	"testing"
)

func TestParseIdentifier(t *testing.T) {
	long := strings.Repeat("a", 63)
	for _, c := range []struct {
		in, want string
		typ      IdentifierType
	}{
		{"example.org", "example.org", DNS},
		{"Example.ORG.", "example.org", DNS},
		{"*.Example.org", "*.example.org", DNS},
		{"xn--bcher-kva.example", "xn--bcher-kva.example", DNS},
		{"localhost", "localhost", DNS},
		{long + ".org", long + ".org", DNS},
		{"3.example", "3.example", DNS},
		{"192.0.2.1", "192.0.2.1", IP},
		{"2001:DB8::1", "2001:db8::1", IP},
		{"", "", ""}, {".", "", ""}, {"a..b", "", ""}, {".a.b", "", ""}, {"-a.b", "", ""}, {"a-.b", "", ""}, {"a.b-", "", ""},
		{"a_b.c", "", ""}, {"a b.c", "", ""}, {"a/b", "", ""}, {"*", "", ""}, {"*.org", "", ""}, {"a.*.b", "", ""}, {"bücher.example", "", ""},
		{long + "a.org", "", ""}, {strings.Repeat("a.", 127) + "org", "", ""}, {"fe80::1%eth0", "", ""}, {"::ffff:192.0.2.1", "", ""},
		{"192.0.2.256", "", ""}, {"1.2.3", "", ""}, {"0x7f.1", "", ""}, {"a\x00.b", "", ""},
	} {
		id, err := ParseIdentifier(c.in)
		if c.want == "" {
			if !errors.Is(err, ErrName) {
				t.Errorf("%q: got %v %v, want ErrName", c.in, id, err)
			}
			continue
		}
		if err != nil || id.Value != c.want || id.Type != c.typ || id.IsWildcard() != strings.HasPrefix(c.want, "*.") {
			t.Errorf("%q: got %v %v", c.in, id, err)
		}
	}
}

func TestCleanNameAllocatesNothing(t *testing.T) {
	ok := true
	if n := testing.AllocsPerRun(100, func() { _, clean := CleanName("www.example.org"); ok = ok && clean }); n != 0 || !ok {
		t.Errorf("%v allocations", n)
	}
}

func TestParent(t *testing.T) {
	for in, want := range map[string]string{"a.b.c": "*.b.c", "a.b": "", "a": "", "": "", "x.a.b.c": "*.a.b.c"} {
		if got := Parent(in); got != want {
			t.Errorf("%q: got %q, want %q", in, got, want)
		}
	}
}

func TestIsACMEInvalid(t *testing.T) {
	for in, want := range map[string]bool{
		"acme.invalid": true, "x.acme.invalid": true, "X.ACME.Invalid.": true, "a.b.acme.invalid": true,
		"xacme.invalid": false, "acme.invalid.org": false, "": false, "invalid": false,
	} {
		if IsACMEInvalid(in) != want {
			t.Errorf("%q: want %v", in, want)
		}
	}
}

// What passes the gate is in one form, and safe as a file name and in a header.
func FuzzParseIdentifier(f *testing.F) {
	for _, s := range []string{"example.org", "*.a.b", "::1", "a..b", "A.B.", "xn--a"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		id, err := ParseIdentifier(s)
		if err != nil {
			return
		}
		if again, err := ParseIdentifier(id.Value); err != nil || again != id {
			t.Errorf("%q: %v is not stable: %v %v", s, id, again, err)
		}
		if strings.ContainsAny(id.Value, "/\\ \r\n\x00") || strings.Contains(id.Value, "..") || id.Value != strings.ToLower(id.Value) {
			t.Errorf("%q was accepted as %q", s, id.Value)
		}
	})
}
