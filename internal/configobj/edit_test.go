package configobj

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const sample = "# renew_before_expiry = 30 days\nversion = 2.1.0   # by certbot\n  cert= '/le/cert.pem'\n\n# Options used in the renewal process\n[renewalparams]\n" +
	"account = abc\n# mine\nrenew_hook = '''a 'b'\n\"c\"'''  # d\nwebroot_path = /a, /b\n[[webroot_map]]\na.test = /a\n\n[other]\nx =\ny = # why\n# the end"

func parse(t testing.TB, text string) *Document {
	t.Helper()
	d, err := Parse([]byte(text))
	if err != nil {
		t.Fatalf("%q: %v", text, err)
	}
	return d
}

func set(t testing.TB, s *Section, key string, v Value) {
	t.Helper()
	if err := s.Set(key, v); err != nil {
		t.Fatal(err)
	}
}

// An edit changes the lines it has to, and no others.
func TestEditsInPlace(t *testing.T) {
	params := func(d *Document) *Section { return d.Root().Section("renewalparams") }
	for _, c := range []struct {
		name     string
		edit     func(d *Document)
		old, new string // the only part of the sample that changes
	}{
		{"same", func(d *Document) { set(t, d.Root(), "cert", String("/le/cert.pem")) }, "", ""},
		{"same list", func(d *Document) { set(t, params(d), "webroot_path", List("/a", "/b")) }, "", ""},
		{"comment behind", func(d *Document) { set(t, d.Root(), "version", String("5.6.0")) }, "2.1.0   #", "5.6.0   #"},
		{"indentation and no spaces", func(d *Document) { set(t, d.Root(), "cert", String("/x")) }, "cert= '/le/cert.pem'", "cert= /x"},
		{"several lines to one", func(d *Document) { set(t, params(d), "renew_hook", String("x")) }, "'''a 'b'\n\"c\"'''  # d", "x  # d"},
		{"one line to several", func(d *Document) { set(t, params(d), "account", String("x\ny")) }, "account = abc", "account = '''x\ny'''"},
		{"list to string", func(d *Document) { set(t, params(d), "webroot_path", String("/a, /b")) }, "/a, /b", `"/a, /b"`},
		{"empty value", func(d *Document) { set(t, d.Root().Section("other"), "x", String("1")) }, "x =\n", "x = 1\n"},
		{"empty value before a comment", func(d *Document) { set(t, d.Root().Section("other"), "y", String("1")) }, "y = # why", "y = 1 # why"},
		{"new key", func(d *Document) { set(t, d.Root(), "chain", String("/c")) }, "cert.pem'\n", "cert.pem'\nchain = /c\n"},
		{"new key in a section", func(d *Document) { set(t, params(d), "server", String("https://ca.test/dir")) }, "/a, /b\n", "/a, /b\n  server = https://ca.test/dir\n"},
		{"new key below", func(d *Document) { set(t, params(d).Section("webroot_map"), "b.test", String("/b")) }, "a.test = /a\n", "a.test = /a\n    b.test = /b\n"},
		{"new section", func(d *Document) { set(t, d.Root().AddSection("edge"), "k", String("v")) }, "# why\n", "# why\n[edge]\n  k = v\n"},
		{"section that is there", func(d *Document) { d.Root().AddSection("other") }, "", ""},
		{"new section below", func(d *Document) { set(t, params(d).AddSection("more"), "k", String("v")) }, "a.test = /a\n", "a.test = /a\n  [[more]]\n    k = v\n"},
		{"delete", func(d *Document) { params(d).Delete("renew_hook") }, "# mine\nrenew_hook = '''a 'b'\n\"c\"'''  # d\n", ""},
		{"delete the first", func(d *Document) { d.Root().Delete("version") }, "version = 2.1.0   # by certbot\n", ""},
		{"delete nothing", func(d *Document) { d.Root().Delete("other"); d.Root().DeleteSection("cert") }, "", ""},
		{"delete a section", func(d *Document) { params(d).DeleteSection("webroot_map") }, "[[webroot_map]]\na.test = /a\n", ""},
		{"comment", func(d *Document) { params(d).SetComment("renew_hook", []string{"", "one\ntwo = 2", "#three"}) }, "# mine\n", "\n  # one\n  # two = 2\n  #three\n"},
		{"comment of a section", func(d *Document) { d.Root().SetComment("other", nil) }, "\n[other]", "[other]"},
		{"comment of nothing", func(d *Document) { d.Root().SetComment("absent", []string{"x"}) }, "", ""},
		{"initial comment", func(d *Document) { d.SetInitialComment([]string{"x", ""}) }, "# renew_before_expiry = 30 days\n", "# x\n\n"},
	} {
		for _, newline := range []string{"\n", "\r\n"} {
			fix := func(s string) string { return strings.ReplaceAll(s, "\n", newline) }
			d := parse(t, fix(sample))
			c.edit(d)
			want := fix(strings.Replace(sample, c.old, c.new, 1))
			if c.old != "" && !strings.Contains(sample, c.old) {
				t.Fatalf("%s: the sample has no %q", c.name, c.old)
			}
			// A new value with several lines has plain newlines: both read as the same.
			if got := string(d.Bytes()); got != want && got != strings.Replace(want, "x\r\ny", "x\ny", 1) {
				t.Errorf("%s:\n got %q\nwant %q", c.name, got, want)
			}
			parse(t, string(d.Bytes()))
		}
	}
}

func TestWhereLinesAreAdded(t *testing.T) {
	for text, want := range map[string]string{"a = b": "a = b\nc = d\n", "a = b\n# end": "a = b\nc = d\n# end", "# only": "# only\nc = d\n", "\ufeff": "\ufeffc = d\n", "a = b\r\na2 = b": "a = b\r\na2 = b\r\nc = d\r\n"} {
		d := parse(t, text)
		set(t, d.Root(), "c", String("d"))
		if got := string(d.Bytes()); got != want {
			t.Errorf("%q: got %q, want %q", text, got, want)
		}
	}
	d := parse(t, "[s]\n  a = b\n\tc = d\n")
	set(t, d.Root().Section("s"), "e", String("f"))
	if got, want := string(d.Bytes()), "[s]\n  a = b\n\tc = d\n  e = f\n"; got != want {
		t.Errorf("indentation: got %q, want %q", got, want)
	}
	d = parse(t, "[s]\na = b")
	set(t, d.Root(), "c", String("d"))
	d.Root().Section("s").Delete("a")
	if got, want := string(d.Bytes()), "c = d\n[s]\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
}

// Reading what is not there finds nothing, also in a section that is not there.
func TestAbsent(t *testing.T) {
	var s *Section = parse(t, sample).Root().Section("absent").Section("below")
	if _, ok := s.Get("x"); ok || s != nil || s.Keys() != nil || s.Sections() != nil || s.AddSection("x") != nil {
		t.Error("something was found in a section that is not there")
	}
	if _, ok, err := s.Lookup("x"); ok || err != nil {
		t.Errorf("lookup: %v, %v", ok, err)
	}
	if err := s.Set("x", String("y")); err == nil {
		t.Error("a value was set in a section that is not there")
	}
	s.Delete("x")
	s.DeleteSection("x")
	root := parse(t, "a = 1\n[s]\n").Root()
	if err := root.Set("s", String("x")); err == nil {
		t.Error("a section was replaced by a key")
	}
	if _, ok := root.Get("s"); ok {
		t.Error("a section is a key")
	}
}

// A value that was handed in or out is the caller's.
func TestValuesAreCopies(t *testing.T) {
	items := []string{"a", "b"}
	d := New()
	set(t, d.Root(), "k", List(items...))
	items[0] = "x"
	got, _ := d.Root().Get("k")
	got.Items[1] = "y"
	if again, _ := d.Root().Get("k"); !again.Equal(List("a", "b")) || again.String() != "a, b" {
		t.Errorf("%q", again)
	}
}

func TestSyntaxErrors(t *testing.T) {
	for text, want := range map[string]string{
		"a = 1\nsecret\n":         "line 2: neither key = value nor [section]",
		"a = 1\n\na = 2\n":        "line 3: this key or section is there already",
		"[s]\n[[t]]\n[s]\n":       "line 3: this key or section is there already",
		"a = '''x\ny\n":           "line 1: a value in triple quotes has no end",
		"# c\na = '''x\ny''' z":   "line 2: there is something behind a value in triple quotes",
		"a = 'secret\n":           "line 1: the value cannot be read: look at its quotes and commas",
		"[s]\n[[[t]]]\n":          "line 2: a section one level up is missing: too many brackets",
		"[[s]\n":                  "line 1: as many brackets have to close a section's name as open it",
		"a = 1\nb = \xffsecret":   "line 2: not UTF-8",
		"\xff\xfea\x00=\x00b\x00": "line 1: not UTF-8",
	} {
		_, err := Parse([]byte(text))
		var s *SyntaxError
		if !errors.As(err, &s) || err.Error() != want {
			t.Errorf("%q: %v, want %s", text, err, want)
		}
	}
	if _, err := Parse(make([]byte, MaxSize+1)); err == nil {
		t.Error("a file of any size is read")
	}
}

// What certbot wrote is written again, byte for byte, from its values.
func TestGolden(t *testing.T) {
	dir := os.Getenv("EDGE_SHARED")
	if dir == "" {
		dir = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(dir, "golden", "letsencrypt", "*.conf"))
	if err != nil || len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatalf("certbot's recorded files are missing: set EDGE_SHARED (%v)", err)
		}
		t.Skip("not run: certbot's recorded files are missing")
	}
	for _, file := range files {
		b, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		d := parse(t, string(b))
		if string(d.Bytes()) != string(b) {
			t.Errorf("%s: parse then print changes it", file)
		}
		anew := New()
		anew.SetInitialComment([]string{"renew_before_expiry = 30 days"})
		fill(t, anew.Root(), d.Root())
		anew.Root().SetComment("renewalparams", []string{"", "Options used in the renewal process"})
		if got := string(anew.Bytes()); got != string(b) {
			t.Errorf("%s: written anew it is\n%s", file, got)
		}
	}
}

func fill(t *testing.T, to, from *Section) {
	for _, key := range from.Keys() {
		v, _ := from.Get(key)
		set(t, to, key, v)
	}
	for _, name := range from.Sections() {
		fill(t, to.AddSection(name), from.Section(name))
	}
}
