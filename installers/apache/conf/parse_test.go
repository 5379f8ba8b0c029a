package conf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// Every file of the corpus is accounted for byte by byte, but the one that is broken.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	files, hosts := 0, 0
	for _, name := range append(regularFiles(t, dir), regularFiles(t, shared(t, "golden/apache"))...) {
		base := filepath.Base(name)
		if filepath.Ext(name) == ".pem" || slices.Contains([]string{"envvars", "magic", "sites", "vhosts", "modules", "version", "config_file", "README.modules", "README"}, base) {
			continue // not in httpd's language
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(name, string(b))
		if base == "missing-quote-1724.conf" {
			var e *Error
			if !errors.As(err, &e) || e.Line != 9 || e.Col != 24 || e.File != name {
				t.Errorf("%s: %v", base, err)
			}
			continue
		}
		if base == "bad_conf_file.conf" { // not closed, and not enabled
			if err == nil || !strings.HasPrefix(err.Error(), name+":4:1: ") {
				t.Errorf("%s: %v", base, err)
			}
			continue
		}
		if err != nil {
			t.Error(err)
			continue
		}
		got, err := rebuild(f)
		if err != nil || got != string(b) {
			t.Errorf("%s: rebuilt differently (%v)", name, err)
		}
		files++
		hosts += count(f.Root, "VirtualHost")
	}
	if files < 180 || hosts < 40 {
		t.Errorf("%d files with %d virtual hosts only", files, hosts)
	}
}

func count(b *Block, name string) int {
	n := 0
	for d := range b.Directives() {
		if d.Block != nil {
			if d.Is(name) {
				n++
			}
			n += count(d.Block, name)
		}
	}
	return n
}

func TestWords(t *testing.T) {
	for _, c := range []struct {
		src  string
		want []string
	}{
		{"a b", []string{"a", "b"}},
		{" \ta\t b\r\n", []string{"a", "b"}},
		{`"a" 'b c' "d"e`, []string{"a", "b c", "d", "e"}},
		{`a b"c d"`, []string{"a", `b"c`, `d"`}},
		{`a "b\"c\\d\'e\n"`, []string{"a", `b"c\d\'e\n`}},
		{`a 'b\'c\"'`, []string{"a", `b'c\"`}},
		{`a b\\c\"d`, []string{"a", `b\c\"d`}},
		{"a b \\\n c\\\r\nd\n", []string{"a", "b", "cd"}},
		{"a \\\n\\\n b\\\n", []string{"a", "b"}},
		{"\\\n a b", []string{"a", "b"}},
		{"a b\\", []string{"a", `b\`}},
		{"a b\\ \n", []string{"a", `b\`}},
		{"a b#c # d", []string{"a", "b#c", "#", "d"}},
		{"a ${b} \"${c d}\"", []string{"a", "${b}", "${c d}"}},
		{"a \xff\xa0 \u00a0", []string{"a", "\xff\xa0", "\u00a0"}},
		{"<a b c>\n</A>", []string{"a", "b", "c"}},
		{"<a>\n</a> junk", []string{"a"}},
		{"<a \"b > c\" > junk\n</a>", []string{"a", "b > c"}},
		{"<a \\\n b\\\nc>\n</a>", []string{"a", "bc"}},
		{"ErrorDocument 404 \"not closed", []string{"ErrorDocument", "404", "not closed"}},
	} {
		f := mustParse(t, c.src)
		d := f.Root.Items[0].(*Directive)
		var got []string
		for _, w := range d.Words {
			got = append(got, w.Value)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.src, got, c.want)
		}
		if back, err := rebuild(f); err != nil || back != c.src {
			t.Errorf("%q: rebuilt as %q (%v)", c.src, back, err)
		}
	}
}

// What looks like a line of a comment or of a macro is none.
func TestItems(t *testing.T) {
	f := mustParse(t, "# a \\\n <b>\n<Macro X>\n<c>\n# </Macro>\n<Macro Y>\n</macro>\n</MACRO>\n<Perl>\n if (1 < 2) {\n</Perl>\nd")
	if len(f.Root.Items) != 4 || !f.Root.Items[1].(*Directive).Block.Opaque || f.Root.Items[3].(*Directive).Line != 12 || f.Root.Items[1].(*Directive).Line != 3 {
		t.Errorf("%d items", len(f.Root.Items))
	}
	if back, err := rebuild(f); err != nil || back != f.Src {
		t.Errorf("rebuilt as %q (%v)", back, err)
	}
}

func TestErrors(t *testing.T) {
	for _, c := range []struct{ src, want string }{
		{"a\n  b \"c\n", `2:5: the quoted word has no closing "`},
		{"a\n<b>\n c\n", `4:1: unexpected end of file: <b> that begins at line 2 is not closed`},
		{"a\n </b>\n", `2:2: unexpected </b>: no section is open`},
		{"<a>\n</b>\n", `2:1: expected </a> for the section of line 1, found </b>`},
		{"<a>\n<b>\n</a>\n</b>", `3:1: expected </b> for the section of line 2, found </a>`},
		{"<a\n</a>", `1:1: <a has no closing >`},
		{"<a>\n</a >", `2:1: </a has no closing >`},
		{"< a>\n</a>", `1:1: the section has no name behind <`},
		{"a\nb\x00c", `2:2: the file has a zero byte`},
		{strings.Repeat("<a>\n", maxNesting+1), `201:1: sections are nested more than 200 deep`},
	} {
		f, err := Parse("x.conf", c.src)
		var e *Error
		if f != nil || !errors.As(err, &e) || err.Error() != "x.conf:"+c.want {
			t.Errorf("%.40q: %v, want %s", c.src, err, c.want)
		}
	}
	if _, err := Parse("x.conf", strings.Repeat(" ", maxFileBytes+1)); err == nil {
		t.Error("a file without bounds was read")
	}
	if _, err := Parse("x.conf", "a"+strings.Repeat(" b", maxWords)); err == nil {
		t.Error("words without bounds were read")
	}
}

// Four times as much takes about four times as long, whatever it is that repeats.
func TestLinear(t *testing.T) {
	for name, unit := range map[string]string{
		"joined": "a b \\\n", "lines": "a b\n", "words": "a ", "quotes": `"\\" `, "sections": "<a>\n</a>\n", "comments": "# \\\n", "backslashes": `\`, "blank": "\\\n\n", "errors": "a \"b\n",
	} {
		measure := func(n int) time.Duration {
			src := strings.Repeat(unit, n/len(unit))
			best := time.Hour
			for range 3 {
				start := time.Now()
				if f, err := Parse("x", src); err == nil && name == "sections" {
					var e Edits
					for d := range f.Root.Directives() {
						e.InsertBefore(d, "x")
					}
					if _, err := f.With(&e); err != nil {
						t.Fatal(err)
					}
				}
				best = min(best, time.Since(start))
			}
			return best
		}
		small, big := measure(256<<10), measure(1<<20)
		if big > 12*small+150*time.Millisecond {
			t.Errorf("%s: %v for 256 KiB, %v for 1 MiB", name, small, big)
		}
	}
}

func TestQuote(t *testing.T) {
	for value, want := range map[string]string{
		"/etc/x.pem": "/etc/x.pem", "": `""`, "a b": `"a b"`, `a"b`: `"a\"b"`, `a\nb`: `"a\\nb"`, "'a'": `"'a'"`, "#a": `"#a"`,
	} {
		if got := Quote(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := Line("SSLCertificateFile", "/etc/a b.pem"); got != `SSLCertificateFile "/etc/a b.pem"` {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range append(seeds(f), []string{
		"", "a b\r\n", "\ufeffa", "<VirtualHost *:80>\n ServerName x # y\n</VirtualHost>\n", "a \"b\\\"c\" \\\n d\\", "<Macro X $a>\n<b>\n</Macro>", "# \\\n#\r\n\\\n", "<a b\\\n c>\n</a\\\n>\n",
	}...) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		file, err := Parse("x", src)
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line < 1 || e.Col < 1 {
				t.Fatalf("%v", err)
			}
			return
		}
		if got, err := rebuild(file); err != nil || got != src {
			t.Fatalf("%q: rebuilt as %q (%v)", src, got, err)
		}
	})
}

func FuzzQuote(f *testing.F) {
	for _, seed := range []string{"", "a", `a\`, "${", "a\"b'c", "#", "<", ")", "\\t", `\"`} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if strings.ContainsAny(value, "\n\x00") {
			return
		}
		file, err := Parse("x", Line("a", value, value)+"\n"+Line("b"))
		if err != nil {
			t.Fatal(err)
		}
		d := file.Root.Items[0].(*Directive)
		if len(d.Words) != 3 || d.Words[1].Value != value || d.Words[2].Value != value {
			t.Fatalf("%q reads as %v", value, d.Words)
		}
	})
}
