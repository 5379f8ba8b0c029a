package haproxy

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
)

func lookupIn(m map[string]string) env {
	return func(name string) (string, bool) {
		v, ok := m[name]
		return v, ok
	}
}

// HAProxy itself is asked what each word is.
func TestWords(t *testing.T) {
	t.Parallel()
	vars := map[string]string{"A": "one two", "B_1": "x", "EMPTY": ""}
	cases := []string{
		`plain`, `a\ b`, `a\#b`, `"a b"`, `'a b'`, `"a"'b'c`, `a#comment`, `'a\b'`, `"a\"b"`, `\"`, `\'`, `"'"`, `'"'`, `a\\b`, `\x41b`, `a\tb`, `a\qb`,
		`$A`, `"$A"`, `"${A}"`, `"${A}x"`, `"$B_1/y"`, `"\$A"`, `'$A'`, `"${NONE-other}"`, `"${EMPTY-other}"`, `"${A-other}"`, `"$NONE"x`, `"${B_1[*]}"`, `a"b c"d`, `\x20`, `"\x24A"`,
	}
	for _, c := range cases {
		path := filepath.Join(t.TempDir(), "a.cfg")
		// The first line has HAProxy 2.6 make room: else it reads a line twice, and stumbles
		// over default values that it has cut out the first time.
		long := ".notice " + strings.Repeat("x", 200)
		if err := os.WriteFile(path, []byte(long+"\n.notice "+c+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(program, "-c", "-f", path)
		for k, v := range vars {
			cmd.Env = append(cmd.Env, k+"="+v)
		}
		out, _ := cmd.CombinedOutput() // there is no listener
		m := regexp.MustCompile(`(?s)config : parsing \[[^]]*:2\]: '(.*?)'\.\n`).FindSubmatch(out)
		if m == nil {
			t.Fatalf("%s: HAProxy says %s", c, out)
		}
		got, err := words(".notice "+c, lookupIn(vars))
		if err != nil || len(got) != 2 || got[1] != string(m[1]) {
			t.Errorf("%s: %q, %v; HAProxy has %q", c, got, err, m[1])
		}
	}
	for in, want := range map[string][]string{
		"": nil, "   # x": nil, `a "" b`: {"a", "", "b"}, `a "${A[*]}" b`: {"a", "one", "two", "b"}, "a\tb ": {"a", "b"},
	} {
		if got, err := words(in, lookupIn(vars)); err != nil || !slices.Equal(got, want) {
			t.Errorf("%q: %q, %v", in, got, err)
		}
	}
	for _, in := range []string{`"a`, `'a`, `a\`, `\x4`, `\xzz`, `"$"`, `"${"`, `"${A"`, `"${A!}"`, `"${1}"`} {
		if got, err := words(in, lookupIn(vars)); err == nil {
			t.Errorf("%q is %q", in, got)
		}
	}
}

func TestParse(t *testing.T) {
	text := `
global
	crt-base /etc/ssl/private
	stats socket /run/a.sock mode 600 level operator
	stats socket unix@/run/b.sock mode 600 level admin expose-fd listeners
	stats socket ipv4@127.0.0.1:9999 level admin
	tune.bufsize 32768
	setenv DIR /srv/certs
	presetenv DIR /other
	presetenv NEW "${OUTER}/x"
	setenv ACCOUNT_THUMBPRINT abc
	unsetenv GONE
defaults
	mode http
defaults plain
	mode tcp
frontend www from plain
	bind :443,[::]:443 v4v6 ssl crt "$DIR/" crt one.pem alpn h2
	bind quic4@:443 ssl crt "$DIR/"
	bind "${NEW}" ssl crt "$GONE/y"
	bind *:8443-8445 name acme ssl crt-list /etc/list accept-proxy strict-sni
	bind :::9443 ssl crt @store/a
	bind 10.0.0.1:443 namespace other ssl crt "$DIR"
frontend web
	mode http
	bind :80
	bind unix@/run/web.sock
	http-request return status 200 lf-string "%[path,map(/etc/haproxy/acme.map)]" if { path,map(/etc/haproxy/acme.map) -m found }
	http-request set-var(x) str(a),map_str(/etc/other.map,none)
listen both
	bind fd@3 ssl crt /a
	mode http
	bind abns@x
crt-store store
	crt-base /store
	load crt "a.pem" acme LE domains "a.test"
	load crt b.pem alias b
crt-store
	load crt c.pem
backend b
	server s 127.0.0.1:1 ssl crt /client.pem
`
	c := parse([]string{text}, lookupIn(map[string]string{"OUTER": "/run/outer", "GONE": "gone"}))
	if !slices.Equal(c.sockets, []string{"/run/b.sock", "127.0.0.1:9999"}) || c.bufsize != 32768 || c.base != "/etc/ssl/private" {
		t.Errorf("%q %d %q", c.sockets, c.bufsize, c.base)
	}
	if c.env["DIR"] != "/srv/certs" || c.env["NEW"] != "/run/outer/x" || c.env["ACCOUNT_THUMBPRINT"] != "abc" {
		t.Errorf("variables %v", c.env)
	}
	if !slices.Equal(c.maps, []string{"/etc/haproxy/acme.map", "/etc/other.map"}) {
		t.Errorf("maps %q", c.maps)
	}
	wantStore := map[string]stored{"@store/a.pem": {"/store/a.pem", true}, "@store/b": {"/store/b.pem", false}, "/etc/ssl/private/c.pem": {"/etc/ssl/private/c.pem", false}}
	if !reflect.DeepEqual(c.store, wantStore) {
		t.Errorf("crt-store %v", c.store)
	}
	var got []string
	for _, b := range c.binds {
		line := b.section
		for _, e := range b.at {
			line += " " + e.Addr
			if e.ProxyProtocol {
				line += "(proxy)"
			}
		}
		for _, s := range b.certs {
			line += fmt.Sprintf(" %s", s.path)
			if s.list {
				line += "(list)"
			}
		}
		got = append(got, fmt.Sprintf("%s ssl=%t http=%t strict=%t", line, b.ssl, b.http, b.strict))
		if b.acme {
			t.Errorf("%s: a name is taken for acme", line)
		}
	}
	want := []string{
		"frontend www :443 [::]:443 /srv/certs /etc/ssl/private/one.pem ssl=true http=false strict=false",
		"frontend www /srv/certs ssl=true http=false strict=false",
		"frontend www unix:/run/outer/x /y ssl=true http=false strict=false",
		"frontend www *:8443(proxy) /etc/list(list) ssl=true http=false strict=true",
		"frontend www [::]:9443 @store/a ssl=true http=false strict=false",
		"frontend www /srv/certs ssl=true http=false strict=false",
		"frontend web :80 ssl=false http=true strict=false",
		"frontend web unix:/run/web.sock ssl=false http=true strict=false",
		"listen both /a ssl=true http=true strict=false",
		"listen both ssl=false http=true strict=false",
	}
	if !slices.Equal(got, want) {
		t.Errorf("%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
}

func TestCrtLists(t *testing.T) {
	lines := parseCrtList("# x\n\n/a.pem [alpn h2 acme LE] *.a.test !x.a.test\nb.pem\n/c.pem c.test\n/d.pem[alpn h2]\n")
	var got []string
	for _, l := range lines {
		got = append(got, fmt.Sprintf("%s %q %t", l.file, l.filters, l.acme))
	}
	if want := []string{`/a.pem ["*.a.test" "!x.a.test"] true`, `b.pem [] false`, `/c.pem ["c.test"] false`, `/d.pem [] false`}; !slices.Equal(got, want) {
		t.Errorf("%q", got)
	}
	for name, want := range map[string]bool{"y.a.test": true, "x.a.test": false, "a.test": false, "*.a.test": true, "y.z.a.test": false, "Y.A.test": true} {
		if lines[0].covers(name) != want {
			t.Errorf("%s: %t", name, !want)
		}
	}
	if !lines[1].covers("any") {
		t.Error("without a filter, all names of the certificate count")
	}
	for in, want := range map[string]string{"": "x\n", "a": "a\nx\n", "a\n": "a\nx\n"} {
		if got := string(withLine([]byte(in), "x")); got != want {
			t.Errorf("%q", got)
		}
	}
}

func TestArguments(t *testing.T) {
	files, master := arguments([]string{"haproxy", "-Ws", "-f", "/a.cfg", "-f", "b", "-S", "/run/m.sock,uid,99", "-p", "/run/pid", "-sf"})
	if !slices.Equal(files, []string{"/a.cfg", "b"}) || master != "/run/m.sock" {
		t.Errorf("%q %q", files, master)
	}
	if files, _ := arguments([]string{"haproxy", "-W", "--", "a", "b"}); !slices.Equal(files, []string{"a", "b"}) {
		t.Errorf("%q", files)
	}
	for cgroup, want := range map[string]string{
		"0::/system.slice/haproxy.service\n": "haproxy.service", "0::/user.slice/session-3.scope\n": "", "": "",
		"1:name=systemd:/system.slice/haproxy@blue.service\n0::/\n": "haproxy@blue.service", "0::/system.slice/-x.service\n": "", "0::/a b.service\n": "",
	} {
		if got := unit(cgroup); got != want {
			t.Errorf("%q: %q", cgroup, got)
		}
	}
	if got := environment("A=1\x00HAPROXY_MWORKER_WAIT_ONLY=1\x00B=2\x00"); !slices.Equal(got, []string{"A=1", "B=2"}) {
		t.Errorf("%q", got)
	}
}

func FuzzConf(f *testing.F) {
	f.Add(someConf)
	f.Add("global\n setenv A \"${B[*]}\" \\x41\nfrontend f\n bind \"$A:443\",[::]:1-2 ssl crt '/a b' crt-list \"x\"\ncrt-store s\n load crt a acme\n")
	f.Fuzz(func(t *testing.T, text string) {
		c := parse([]string{text}, lookupIn(map[string]string{"B": "x y"}))
		for _, b := range c.binds {
			for _, e := range b.at {
				if e.Addr == "" {
					t.Errorf("an address is empty: %+v", b)
				}
			}
		}
		for _, l := range parseCrtList(text) {
			if l.file == "" || strings.ContainsAny(l.file, " \n") {
				t.Errorf("%+v", l)
			}
			l.covers("a.test")
		}
		unit(text)
	})
}
