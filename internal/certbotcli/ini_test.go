package certbotcli

import (
	"bytes"
	"fmt"
	"math/rand/v2"
	"strings"
	"testing"
	"unicode/utf8"
)

// compareINI reads a file by both.
func compareINI(t *testing.T, o *oracle, text string) (bad bool) {
	t.Helper()
	want := o.ask(question{INI: text})
	if want.Crash != "" {
		t.Fatalf("%q: certbot crashes: %s: %s", text, want.Crash, want.Error)
	}
	ini, err := ParseINI("x.ini", []byte(text))
	if err != nil || want.Exit != 0 {
		if (err != nil) != (want.Exit != 0) {
			t.Errorf("%q: certbot says %q, we say %v", text, want.Error, err)
		}
		return true
	}
	var theirs, ours []string
	for _, item := range want.Items {
		theirs = append(theirs, fmt.Sprintf("%q: %q", item[0], texts(item[1])))
	}
	for _, l := range ini.settings() {
		values := []string{l.Value}
		if l.List != nil {
			values = l.List
		}
		ours = append(ours, fmt.Sprintf("%q: %q", l.Key, values))
	}
	if fmt.Sprint(ours) != fmt.Sprint(theirs) {
		t.Errorf("%q: certbot reads\n%s\nwe read\n%s", text, theirs, ours)
	}
	if !bytes.Equal(ini.Bytes(), []byte(text)) {
		t.Errorf("%q prints as %q", text, ini.Bytes())
	}
	return false
}

// Lines of all sorts mean what they mean to ConfigArgParse.
func TestINIAsCertbots(t *testing.T) {
	o := startOracle(t)
	for _, text := range []string{
		"a = b\r\nc = d\re = f\n\n", "a", "a # b", "a ; b", "a #b", "a;b", "a = 'b", "a = 'b'c'", `a = "b'`, "a = b ' # c", "a: b: c", "a=\"\"", "a='' # x", "a = #b", "a =  # b",
		"[a]\n-- a\n---- a\n# a\n; a\n-a = b", "a = [1, 2.5, true, null, \"x\"]", "a = [x, y ,]", "a = []", "a = [ ]", "a = [1] ", "a = [\"x\"", "a = [\"x\"] # y", "a = [[1], 2]",
		"a\u00a0=\u2003b", "a\x0b=\x0cb", "a\x1cb", "a b c", "a\tb", "a \t = b", "a:", "a=", "a :", "a = b\u2028c", "é = ü", "a = \"x\"\"y\"", "a = '#' ; '", "a==b", "a = = b", "a : = b",
		"email = a@b.c\nemail = d@e.f\nx = y\nemail = g", "a = ' b '", "a = \" b \" # c", "a = {\"b\": \"c\"}", "a = b\\", "%a = b", "a = %(x)s",
	} {
		compareINI(t, o, text)
	}
	r := rand.New(rand.NewPCG(1, 2))
	parts := []string{"a", "b", "key", " ", "  ", "\t", "=", ":", "#", ";", "'", `"`, "[", "]", ",", "-", "\u00a0", "1", "x y", "{", "é"}
	bad := 0
	for range 3000 {
		var b strings.Builder
		for range 1 + r.IntN(9) {
			b.WriteString(parts[r.IntN(len(parts))])
		}
		if compareINI(t, o, b.String()) {
			bad++
		}
	}
	if bad < 100 || bad > 2500 {
		t.Errorf("%d of 3000 random lines are errors; they say little", bad)
	}
}

// Errors name the place and do not show values, which may be secrets.
func TestINIErrors(t *testing.T) {
	for _, c := range []struct{ text, want string }{
		{"a = b\n=secret", `x.ini:2: expected "key = value" or a key alone, found '=...'`},
		{"a\r\n\r\ntoken#secret = hunter2", `x.ini:3: expected "key = value" or a key alone, found 'token...'`},
		{"a = \xff", "x.ini: not in UTF-8"},
	} {
		if _, err := ParseINI("x.ini", []byte(c.text)); err == nil || err.Error() != c.want {
			t.Errorf("%q: %v", c.text, err)
		}
	}
}

func FuzzINI(f *testing.F) {
	for _, s := range []string{"a = b\r\n# c\n[d]\n", "email = 'x' ; y\ra:[1,2]\n\n---", "a\u00a0b", "a='b\"c' #", "= x"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		ini, err := ParseINI("x", data)
		if err != nil {
			return
		}
		if !utf8.Valid(data) || !bytes.Equal(ini.Bytes(), data) {
			t.Fatalf("%q prints as %q", data, ini.Bytes())
		}
		for _, l := range ini.settings() {
			if strings.ContainsAny(l.Key, ":=;#\r\n") || strings.ContainsAny(l.Value, "\r\n") {
				t.Fatalf("%q sets %q to %q", data, l.Key, l.Value)
			}
		}
	})
}
