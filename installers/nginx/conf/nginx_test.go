package conf

import (
	"errors"
	"math/rand/v2"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

const modules = "/usr/lib/nginx/modules/"

func nginxBinary(t *testing.T) string {
	t.Helper()
	const bin = "/usr/sbin/nginx"
	for _, name := range []string{bin, modules + "ngx_http_lua_module.so"} {
		if _, err := os.Stat(name); err != nil {
			t.Fatalf("%v; install it: apt-get install nginx-light libnginx-mod-http-lua", err)
		}
	}
	return bin
}

// nginx runs Debian's nginx on the nginx.conf of a folder with more arguments.
func nginx(t *testing.T, dir string, args ...string) (out string, ok bool) {
	t.Helper()
	args = append([]string{"-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"), "-p", dir, "-g", "pid " + dir + "/nginx.pid;"}, args...)
	b, err := exec.CommandContext(t.Context(), nginxBinary(t), args...).CombinedOutput()
	var exit *exec.ExitError
	if err != nil && !errors.As(err, &exit) {
		t.Fatal(err)
	}
	return string(b), err == nil
}

// judge asks nginx about one configuration. A directive that it does not know is no
// mistake of the language; ours do not know any.
func judge(t *testing.T, dir, src string) (verdict string, line int) {
	t.Helper()
	write(t, dir, map[string]string{"nginx.conf": src})
	out, ok := nginx(t, dir, "-t")
	if ok {
		return "", 0
	}
	m := regexp.MustCompile(`(?s)\[emerg\] \d+#\d+: (.*?)(?: in ` + regexp.QuoteMeta(dir) + `/nginx\.conf:(\d+))?\n`).FindStringSubmatch(out)
	if m == nil {
		t.Fatalf("nginx says %q of %q", out, src)
	}
	line, _ = strconv.Atoi(m[2])
	return m[1], line
}

// ofLanguage says whether nginx's message is about the language itself.
func ofLanguage(verdict string) bool {
	for _, prefix := range []string{"unexpected ", "too long parameter", "Lua code block missing"} {
		if strings.HasPrefix(verdict, prefix) {
			return true
		}
	}
	return false
}

// agree compares what nginx and Parse say about a configuration: both take it, or both
// refuse it at the same line. What nginx refuses for its meaning, it does not read further.
func agree(t *testing.T, dir, src string) {
	t.Helper()
	verdict, line := judge(t, dir, src)
	_, err := Parse("nginx.conf", src)
	var e *Error
	errors.As(err, &e)
	ok := false
	switch {
	case ofLanguage(verdict):
		ok = e != nil && e.Line == line
	case verdict == "":
		ok = e == nil
	default:
		ok = e == nil || line == 0 || e.Line >= line
	}
	if !ok {
		t.Errorf("%.300q:\nnginx: %q at line %d\nParse: %v", src, verdict, line, err)
	}
}

// Odd words, where nginx takes any: types. The rest of the file is as it should be.
func TestOddWordsAsNginx(t *testing.T) {
	dir := t.TempDir()
	for _, odd := range []string{
		`a;`, `"a";`, `a"b;`, `a'b"c;`, `"test")red;`, `"test" )red;`, `"test"one;`, `"test;`, `'test;`, `"a"'b';`, `"a"#b;`, "\"a\"\n#b\n;",
		`"a"}`, `"a"{`, `a{`, `a}b;`, `}a;`, `${a};`, `${a;`, `$a{b};`, `$a{`, `$ {`, `${{a};`, `a${b}c{`, `"${"a;`, `"${";`,
		`\;a;`, `a\;b;`, `a\`, `a\{b;`, `a\ b;`, `\"a;`, `"a\"b";`, `"a\\";`, `"a\\"b;`, `\\;`, `\`, `"\`,
		"a#b;", "a #b;", "a #b\n;", "#b\na;", "a;#b", "a;# \"\n", "a\rb;", "a\r\nb\r\n;", "#a\rb;\nc;",
		"\"a\nb\";", "\"a\n\nb\"c;", "a\x00b;", "\x00;", "a\xff\xfe;", "a\u00a0b;", "\u00a0;", "\ufeffa;", "\v;", "a\fb;",
		"(a);", "\"a\");", "\"a\"));", "\"a\")\"b\";", "\"a\")'b';", "'a')b c;", `"";`, `'';`, `""x;`, `;`, `;;`, `a;;`, `a; }`, `a; { }`,
		"#" + strings.Repeat("x", 4094) + "\na;", "#" + strings.Repeat("x", 4095) + "\na;", "a;#" + strings.Repeat("x", 5000),
		strings.Repeat("x", 4094) + " ;", strings.Repeat("x", 4095) + ";", strings.Repeat("x", 4095) + " ;", strings.Repeat("x", 4096) + ";",
		`"` + strings.Repeat("x", 4094) + `";`, `"` + strings.Repeat("x", 4095) + `";`, `"` + strings.Repeat("x", 4096) + `";`, "\"" + strings.Repeat("\n", 4096) + "\";",
		strings.Repeat(" ", 9000) + "a;", "\n\n\n\"a\"b;", "a\\\nb\n\"c\"d;",
	} {
		agree(t, dir, "events{}\nhttp{\n types { f "+odd+"\n}\n}\n")
	}
}

// Whole files: blocks, ends, comments in odd places.
func TestOddFilesAsNginx(t *testing.T) {
	dir := t.TempDir()
	for _, src := range []string{
		"", "\n", "#", "#x\n", "events{}", "events{}\r\nhttp{}\r\n", "events {}\nhttp {", "events {}\nhttp {}}", "events {}\n\n}", "events", "events{}http", "events{}\"http\"{}",
		"\ufeff", "\ufeffevents{}", "events{}\nhttp{server{location = /x\n# {\n{return 200;}}}", "events{}http{server{location / # }\n{}}}",
		"events{}#{\nhttp{}#}", "events{};", "events{}\nhttp{server{;}}", "events{}\nhttp{server{{}}}", "events{}http{server{if ($host = \"a\"){return 200;}}}",
		"events{}http{server{if ($host ~ \"a{2}\"){return 200;}}}", "events{}http{server{location ~ a{2} {return 200;}}}", "events{}http{server{location ~ \"a{2}\" {return 200;}}}",
		"events{}http{map $host $x {\"a;{b\" c; } }", "events{}http{map $host $x {a b} }", "events{}http{types{a b; }}", "events{}http{server{return 200 \"a\nb\nc\";}", "events { #x\n }",
		"'ev'ents{}", "e\\vents{}", "events{}\nhttp{\n\n\"a\"b;}",
	} {
		agree(t, dir, src)
	}
}

// Random text made of what means something to nginx.
func TestRandomTextAsNginx(t *testing.T) {
	dir := t.TempDir()
	rng := rand.New(rand.NewPCG(1, 2))
	pieces := []string{" ", "\n", "\r\n", "a", "b", ";", ";\n", "\"", "'", "\\", "$", "${", "{", "}", "#", ")", "\"x\"", "'y'", "\t", "\x00"}
	refused := 0
	const runs = 120
	for range runs {
		var b strings.Builder
		b.WriteString("events{}\nhttp{\n types { f ") // takes any words
		for range 2 + rng.IntN(14) {
			b.WriteString(pieces[rng.IntN(len(pieces))])
		}
		b.WriteString(";\n}\n}\n")
		src := b.String()
		agree(t, dir, src)
		if _, err := Parse("x", src); err != nil {
			refused++
		}
	}
	if refused < runs/5 || refused > runs*4/5 {
		t.Errorf("%d of %d are refused: that tells little", refused, runs)
	}
}

// Words are decoded as nginx decodes them: it repeats a name that it does not know.
func TestDecodedAsNginx(t *testing.T) {
	dir := t.TempDir()
	for _, word := range []string{
		`plain`, `a"b`, `a\"b`, `a\'b`, `a\\b`, `a\tb`, `a\qb`, `a\\\\b`, `\a`, `a\;b`, `a\ b`, `"a b"`, `'a"b'`, `"a\"b"`, `"a;{}#"`, `'a\\'`,
		`${a}b`, `a}b`, `a#b`, `)x`, `"é"`, `a\\tb`,
	} {
		verdict, _ := judge(t, dir, word+" x;\nevents{}")
		d := mustParse(t, word+" x;").Root.Items[0].(*Directive)
		if want := `unknown directive "` + d.Name() + `"`; verdict != want {
			t.Errorf("%s: nginx says %q, we read %q", word, verdict, d.Name())
		}
	}
}

// Blocks of Lua end where lua-nginx-module ends them.
func TestLuaAsNginx(t *testing.T) {
	dir := t.TempDir()
	for _, lua := range []string{
		"", " local x = 1 ", "if a then b = {} end", "a = { { } }", "a = {", "a = }", "a = '}'", "a = \"{\"", "a = \"\\\"}\"", "a = '\\'{'",
		"-- }", "-- }\n", "-- don't {\n", "a = 1 -- {\n", "--[[ } ]]", "--[[ } ]", "--[==[ ]] } ]==]", "--[==[ ]] }\n]==] }", "--[ } ]]\n", "--[= {\n",
		"a = [[ } ]]", "a = [=[ ]] } ]=]", "a = [==[ ]=] }", "a = b[c[1]]", "a = b[ [[x}]] ]", "a = [=] {", "a = ]] {", "a = ]] }",
		"a = \"x\\\n}\"", "a = 'it\n}'", "a = \"unfinished }\n", "a = 'x\\z'", "a = \"\\\\\" {", "a = \"\\\\\" { }", "a = '\"' .. \"'\" .. \"{\"", "goto x ::x::", "a = b - -c", "a = b --c",
		"a='x'--[[}]]b={}", "-- \"\n a = '{'", "a = [[\n}\n]] -- }\n{", "# }", "a = $x {", "a = #b", "'''", "\"'\" { } '\"'",
	} {
		write(t, dir, map[string]string{"nginx.conf": "load_module " + modules + "ndk_http_module.so;\nload_module " + modules + "ngx_http_lua_module.so;\nevents{}\n" +
			"http{server{\nlocation / { set $x 1; rewrite_by_lua_block {" + lua + "}\n }\n}}\n"})
		out, ok := nginx(t, dir, "-t")
		_, err := Parse("x", "http{server{\nlocation / { set $x 1; rewrite_by_lua_block {"+lua+"}\n }\n}}\n")
		// Lua that does not compile is found when the file has been read.
		language := !ok && (strings.Contains(out, ": unexpected ") || strings.Contains(out, "Lua code block missing"))
		if language != (err != nil) {
			t.Errorf("%q: nginx says %q, Parse %v", lua, out, err)
		}
	}
}
