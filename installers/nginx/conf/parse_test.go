package conf

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Every file of the corpus is accounted for byte by byte, but the one that is broken.
func TestCorpus(t *testing.T) {
	dir := corpus(t)
	files, servers := 0, 0
	for _, name := range append(regularFiles(t, dir), regularFiles(t, shared(t, "golden/nginx"))...) {
		if filepath.Ext(name) == ".pem" || filepath.Ext(name) == ".json" || strings.HasPrefix(filepath.Base(name), "naxsi-ui.conf") {
			continue // not in nginx's language
		}
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		f, err := Parse(name, string(b))
		if strings.HasSuffix(name, "/etc_nginx/broken.conf") {
			var e *Error
			if !errors.As(err, &e) || e.Line != 13 || e.Col != 1 || e.File != name {
				t.Errorf("broken.conf: %v", err)
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
		servers += count(f.Root, "server")
	}
	if files < 200 || servers < 200 {
		t.Errorf("%d files with %d server blocks only", files, servers)
	}
}

// count returns how many blocks of a name there are below a block.
func count(b *Block, name string) int {
	n := 0
	for d := range b.Directives() {
		if d.Block != nil {
			if d.Name() == name {
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
		want []string // words; "{" where a block begins
	}{
		{`a b;`, []string{"a", "b"}},
		{"a\tb\r\n  c ;", []string{"a", "b", "c"}},
		{`"a" 'b';`, []string{"a", "b"}},
		{`a "b;{}#c";`, []string{"a", "b;{}#c"}},
		{`a b"c d'e f#g;`, []string{"a", `b"c`, `d'e`, "f#g"}},
		{`a "test")red;`, []string{"a", "test", ")red"}},
		{`if ("$x" = "y"){}`, []string{"if", `("$x"`, "=", "y", ")", "{"}},
		{`a ${scheme}://${http_host};`, []string{"a", "${scheme}://${http_host}"}},
		{`a $x{}`, []string{"a", "$x", "{"}},
		{`a $ {}`, []string{"a", "$", "{"}},
		{`a ${{b;`, []string{"a", "${{b"}},
		{`a b}c;`, []string{"a", "b}c"}},
		{`a \;b \{c;`, []string{"a", `\;b`, `\{c`}},
		{`a \#b;`, []string{"a", `\#b`}},
		{`a "\"\'\\\t\r\n\q\$";`, []string{"a", "\"'\\\t\r\n\\q\\$"}},
		{`a \t\ b;`, []string{"a", "\t\\ b"}},
		{"a \"x\ny\";", []string{"a", "x\ny"}},
		{"a # ; { }\n b;", []string{"a", "b"}},
		{"location = /x\n# {\n{}", []string{"location", "=", "/x", "{"}},
		{`a "" '';`, []string{"a", "", ""}},
		{"a b\u00a0c \u00e9;", []string{"a", "b\u00a0c", "\u00e9"}},
		{"a b\x00c \xff;", []string{"a", "b\x00c", "\xff"}},
		{"\ufeffa b;", []string{"\ufeffa", "b"}},
		{`init_by_lua_block{ x = "}" }`, []string{"init_by_lua_block", "{"}},
	} {
		f := mustParse(t, c.src)
		d := f.Root.Items[0].(*Directive)
		var got []string
		for _, w := range d.Words {
			got = append(got, w.Value)
		}
		if d.Block != nil {
			got = append(got, "{")
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%q: %q, want %q", c.src, got, c.want)
		}
		if back, err := rebuild(f); err != nil || back != c.src {
			t.Errorf("%q: rebuilt as %q (%v)", c.src, back, err)
		}
	}
}

func TestErrors(t *testing.T) {
	long := strings.Repeat("x", tokenLimit)
	for _, c := range []struct{ src, want string }{
		{"a;\n  b \"test\"one;", `2:11: unexpected 'o' after a quoted word`},
		{"a;\n b \"test;", `2:10: unexpected end of file: the quoted word that begins at 2:4 has no closing "`},
		{"a b", `1:4: unexpected end of file: the directive that begins at 1:1 has no ';'`},
		{"a b # c", `1:8: unexpected end of file: the directive that begins at 1:1 has no ';'`},
		{"a {\n b;\n", `3:1: unexpected end of file: the block "a" that begins at 1:3 has no closing }`},
		{"a { b; }\n}", `2:1: unexpected '}': no block is open`},
		{"a { b }", `1:7: unexpected '}': the directive before it has no ';'`},
		{";", `1:1: unexpected ';'`},
		{"{}", `1:1: unexpected '{'`},
		{`a "b"#c;`, `1:6: unexpected '#' after a quoted word`},
		{"a " + long + ";", `1:3: nginx reads no word and no comment of more than 4095 bytes`},
		{"a \"" + long + "\";", `1:4: nginx reads no word and no comment of more than 4095 bytes; probably a " is missing`},
		{"# " + long + "\n", `1:1: nginx reads no word and no comment of more than 4095 bytes`},
		{"x_by_lua_block { a = 1", `1:23: unexpected end of file: the block of Lua that begins at 1:16 has no closing }`},
		{"x_by_lua_block { [==[ ]=] }", `1:18: the Lua string has no closing long bracket`},
		{"x_by_lua_block { --[[ ] }", `1:20: the Lua comment has no closing long bracket`},
		{strings.Repeat("a{", maxNesting+1), `1:402: blocks are nested more than 200 deep`},
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
	if _, err := Parse("x.conf", "a"+strings.Repeat(" b", maxWords)+";"); err == nil {
		t.Error("words without bounds were read")
	}
}

// What is quoted for a configuration reads as what it was.
func TestQuote(t *testing.T) {
	for value, want := range map[string]string{
		"/etc/x.pem": "/etc/x.pem", "": `""`, "a b": `"a b"`, "a;": `"a;"`, `a"b`: `"a\"b"`, `a\nb`: `"a\\nb"`, "a}": `"a}"`,
	} {
		if got := Quote(value); got != want {
			t.Errorf("%q: %s, want %s", value, got, want)
		}
	}
	if got := Line("ssl_certificate", "/etc/a b.pem"); got != `ssl_certificate "/etc/a b.pem";` {
		t.Error(got)
	}
}

func FuzzParse(f *testing.F) {
	for _, seed := range append(seeds(f), []string{
		"", "a b;\r\n", "\ufeffserver{}", "http { server { listen 80; # x\n } }", `a "test")red;`, `a ${x}{}`, "a 'b\nc' \"d\\\"\";",
		"x_by_lua_block { --[==[ } ]==] '}' [[}]] }", "location = /x\n# {\n{\n}", "a \x00\xff;", "a\\", "#", "#\r\n#",
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
	for _, seed := range []string{"", "a", `a\`, "${", "a\"b'c", "#", "\n", ")", "\\t"} {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, value string) {
		if len(value) > tokenLimit/2-2 {
			return
		}
		file, err := Parse("x", Line("a", value, value)+Line("b"))
		if err != nil {
			t.Fatal(err)
		}
		d := file.Root.Items[0].(*Directive)
		if len(d.Words) != 3 || d.Words[1].Value != value || d.Words[2].Value != value {
			t.Fatalf("%q reads as %q", value, d.Values())
		}
	})
}
