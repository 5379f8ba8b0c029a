package exim

import (
	"bytes"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"
)

// Only the option's own lines change, and it is written where Exim takes it.
func TestSet(t *testing.T) {
	for name, c := range map[string]struct{ in, want string }{
		"set":           {"a = b\n  hide tls_certificate = /x/\\\n    y\n# c\nbegin acl\ntls_certificate = no\n", "a = b\n  hide tls_certificate = V\n# c\nbegin acl\ntls_certificate = no\n"},
		"not there":     {"# x\na = b\\\n# in between\n  c\n\n# y\n\nbegin acl\n", "# x\na = b\\\n# in between\n  c\ntls_certificate = V\n\n# y\n\nbegin acl\n"},
		"no end":        {"a = b", "a = b\ntls_certificate = V\n"},
		"set, no end":   {"tls_certificate = x", "tls_certificate = V"},
		"empty":         {"", "tls_certificate = V\n"},
		"after .ifdef":  {".ifdef X\na = b\n.endif\nbegin acl\n", ".ifdef X\na = b\n.endif\ntls_certificate = V\nbegin acl\n"},
		"in a comment":  {"# tls_certificate = x\\\ntls_certificates = y\n", "# tls_certificate = x\\\ntls_certificates = y\ntls_certificate = V\n"},
		"in a value":    {"a = b\\\ntls_certificate = x\n", "a = b\\\ntls_certificate = x\ntls_certificate = V\n"},
		"long":          {"tls_certificate = \\\n\\\n  x\nb = c\n", "tls_certificate = V\nb = c\n"},
		"an .ifdef":     {".ifdef X\ntls_certificate = x\n.endif\n", ""},
		"twice":         {"tls_certificate = x\ntls_certificate = y\n", ""},
		"comments":      {"tls_certificate = \\\n# it is\nx\n", ""},
		"goes on":       {"a = b\\\n# x", ""},
		"begin in one":  {".ifdef X\nbegin acl\n.endif\n", ""},
		".endif before": {".endif\n", ""},
	} {
		parsed, err := parseConf([]byte(c.in))
		var got []byte
		if err == nil {
			got, err = parsed.set("tls_certificate", "V", false)
		}
		if string(got) != c.want || (err != nil) != (c.want == "") {
			t.Errorf("%s: %q %v, want %q", name, got, err, c.want)
		}
	}
	parsed, err := parseConf([]byte(".include /x\n"))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := parsed.set("tls_certificate", "V", true); !errors.Is(err, errByHand) {
		t.Errorf("set elsewhere: %v", err)
	}
}

func FuzzSet(f *testing.F) {
	for _, s := range []string{"tls_certificate = x\\\n y\nb = c\nbegin acl\n", ".ifdef X\n.endif\na=b", "#\\\n\\\n#\n", "hide a = \\", "hide a = \\\nb\n"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		parsed, err := parseConf(src)
		if err != nil {
			return
		}
		at := 0
		for _, s := range parsed.list {
			if s.from < at || s.to <= s.from || s.to > len(src) {
				t.Fatalf("%+v after %d", s, at)
			}
			at = s.to
		}
		once, err := parsed.set("tls_certificate", "V", false)
		if err != nil {
			return
		}
		again, err := parseConf(once)
		if err != nil || !again.has("tls_certificate") {
			t.Fatalf("%q: %v", once, err)
		}
		twice, err := again.set("tls_certificate", "V", false)
		if err != nil || !bytes.Equal(once, twice) {
			t.Errorf("%q, %q: %v", once, twice, err)
		}
		if !parsed.has("tls_certificate") { // it was put in between, whole lines
			whole := strings.TrimSuffix(strings.Replace("\n"+string(once), "\ntls_certificate = V\n", "\n", 1), "\n")
			if strings.TrimSuffix("\n"+string(src), "\n") != whole {
				t.Errorf("%q has become %q", src, once)
			}
		}
	})
}

func TestTable(t *testing.T) {
	there := func(path string) bool { return path != "/gone" }
	text := "# x\na.test: /ours\n*.b.test: /theirs\nc.test: /gone\n\nd.test: /ours"
	list, err := parseTable([]byte(text))
	if err != nil || string(printTable(list)) != text {
		t.Fatalf("%q %v", printTable(list), err)
	}
	list, gone, err := putTable(list, "/ours", []string{"d.test", "*.a.test"}, there)
	if want := "# x\n*.b.test: /theirs\n\nd.test: /ours\n*.a.test: /ours\n"; err != nil || string(printTable(list)) != want || fmt.Sprint(gone) != "[c.test (/gone)]" {
		t.Errorf("%q %v %v", printTable(list), gone, err)
	}
	if _, _, err := putTable(list, "/ours", []string{"*.b.test"}, there); err == nil || !strings.Contains(err.Error(), "line 2: *.b.test has /theirs already") {
		t.Errorf("%v", err)
	}
	for _, bad := range []string{"a.test /x\n", "a.test: x\n", " a.test: /x\n", "\"a\": /x\n", "a b: /x\n", ": /x\n"} {
		if _, err := parseTable([]byte(bad)); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
	if names, err := sni([]string{"A.test", "192.0.2.1", "*.b.test", "a.TEST"}); err != nil || fmt.Sprint(names) != "[a.test *.b.test]" {
		t.Errorf("%q %v", names, err)
	}
	for _, h := range []string{"a b", "a{", "*.", "a\nb", "$x", "a:b", "a*"} {
		if _, err := sni([]string{h}); err == nil {
			t.Errorf("%q is taken for a name", h)
		}
	}
}

func FuzzTable(f *testing.F) {
	f.Add([]byte("# x\na.test: /ours\n*.b.test: /theirs\n\nd.test: /ours"))
	f.Fuzz(func(t *testing.T, raw []byte) {
		list, err := parseTable(raw)
		if err != nil {
			return
		}
		if got := printTable(list); !bytes.Equal(got, raw) {
			t.Fatalf("%q is printed as %q", raw, got)
		}
		list, _, err = putTable(list, "/ours", []string{"n.test"}, func(string) bool { return true })
		if err != nil {
			return
		}
		once := printTable(list)
		if list, err = parseTable(once); err == nil {
			list, _, err = putTable(list, "/ours", []string{"n.test"}, func(string) bool { return true })
		}
		if err != nil || !bytes.Equal(printTable(list), once) {
			t.Errorf("%q, then %q: %v", once, printTable(list), err)
		}
	})
}

func TestWrap(t *testing.T) {
	for _, p := range []pair{{"/a.crt", "/a.key"}, {"${if eq{a}{b}{/c}{/d}}", "/x"}} {
		w, err := p.wrap("/t")
		if err != nil || w.unwrap("/t") != p || w.unwrap("/u") != w {
			t.Errorf("%+v: %+v %v", p, w, err)
		}
	}
	if got := (pair{"/a", ""}).unwrap("/t"); got.key != "/a" {
		t.Errorf("%+v", got)
	}
	for _, bad := range []string{"{", "}", "}{", "a\nb"} {
		if _, err := (pair{bad, "/x"}).wrap("/t"); err == nil {
			t.Errorf("%q is taken", bad)
		}
	}
}

func TestEndpoints(t *testing.T) {
	for _, c := range []struct {
		addresses, ports string
		want             []string
	}{
		{"<; ::0 ; 0.0.0.0", "smtp : 465", []string{"0.0.0.0:25", "0.0.0.0:465"}},
		{"127.0.0.1 : ::::1", "25", []string{"127.0.0.1:25", "[::1]:25"}},
		{"<; [192.0.2.1]:26 ; 192.0.2.2.27;[2001:db8::1]:28;2001:db8::1.29;x", "nonsense:99999:0", []string{"192.0.2.1:26", "192.0.2.2:27", "[2001:db8::1]:28", "[2001:db8::1]:29"}},
		{"<; ::0", "<, 25, 25", []string{"[::]:25"}},
	} {
		var got []string
		for _, e := range endpoints(items(c.addresses), items(c.ports)) {
			got = append(got, e.Addr)
		}
		if !slices.Equal(got, c.want) {
			t.Errorf("%s, %s: %v", c.addresses, c.ports, got)
		}
	}
	if got := endpoints(nil, []string{"[::1]:25", "26"}); len(got) != 1 || got[0].Addr != "[::1]:25" {
		t.Errorf("%v", got)
	}
}

func FuzzEndpoints(f *testing.F) {
	f.Add("<; ::0 ; 0.0.0.0", "smtp : 465")
	f.Add("a.::1.5:[::1]:x", "<")
	f.Fuzz(func(t *testing.T, addresses, ports string) {
		if strings.ContainsFunc(ports, func(c rune) bool { return c >= 'a' && c <= 'z' }) {
			return // names of services are looked up
		}
		for _, e := range endpoints(items(addresses), items(ports)) {
			if e.Addr == "" || e.StartTLS != "smtp" {
				t.Errorf("%+v", e)
			}
		}
	})
}
