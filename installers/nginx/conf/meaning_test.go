package conf

import (
	"errors"
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"
)

// What listen takes, and what it means, as nginx -t says.
func TestListenAsNginx(t *testing.T) {
	dir := t.TempDir()
	for text, want := range map[string]string{
		"80": "0.0.0.0:80", "*": "0.0.0.0:80", "*:81": "0.0.0.0:81", "127.0.0.1": "127.0.0.1:80", "127.0.0.1:82": "127.0.0.1:82", "0.0.0.0:83": "0.0.0.0:83",
		"[::]:84": "[::]:84", "[::1]": "[::1]:80", "85-87": "0.0.0.0:85-87", "127.0.0.1:88-89": "127.0.0.1:88-89", "[::1]:90-91": "[::1]:90-91", "080": "0.0.0.0:80",
		"localhost:92": "localhost:92", "unix:DIR/s": "unix:DIR/s", "UNIX:DIR/t": "unix:DIR/t", "127.0.0.01:93": "127.0.0.1:93", "[::ffff:127.0.0.1]:94": "[::ffff:127.0.0.1]:94",
		"127...1:95": "127.0.0.1:95", "1-1": "0.0.0.0:1",
		"": "", "0": "", "65536": "", "-80": "-80:80", "80-": "80-:80", "80-x": "80-x:80", ":80": "", "*:": "", "127.0.0.1:x": "", "127.0.0.1:": "", "127.0.0.1:0": "", "90-80": "", "a:b:c": "", "[::1": "", "[::1]80": "",
		"[]:80": "", "[x]:80": "", "[::1%lo]:80": "", "[1.2.3.4]:80": "", "127.0.0.1/8": "", "http://x": "", "x?": "", "unix:": "", "80-70000": "", "[::1]:": "", "[::1]:80/": "", "80:80-": "",
	} {
		text, want = strings.ReplaceAll(text, "DIR", dir), strings.ReplaceAll(want, "DIR", dir)
		src := "events{}\nhttp { server { " + Line("listen", text) + " } }\n"
		write(t, dir, map[string]string{"nginx.conf": src})
		out, _ := nginx(t, dir, "-t")
		// Whether it can be resolved and bound to is not a question of the language.
		ok := strings.Contains(out, "syntax is ok") || strings.Contains(out, "host not found")
		h, err := mustLoad(t, dir+"/nginx.conf").HTTP(Env{})
		if ok != (err == nil) {
			t.Errorf("%q: nginx says %s, we %v", text, out, err)
		}
		if (want == "") != (err != nil) {
			t.Errorf("%q: %v", text, err)
		}
		if err != nil {
			var e *Error
			if !errors.As(err, &e) || e.Line != 2 || e.Col != 17 {
				t.Errorf("%q: %v", text, err)
			}
			continue
		}
		l := h.Servers[0].Listens[0]
		got := h.Sockets[0].String()
		if l.LastPort != l.Port {
			got += fmt.Sprint("-", l.LastPort)
		}
		if got != want || len(h.Sockets) != int(l.LastPort-l.Port)+1 {
			t.Errorf("%q: %s on %d sockets, want %s", text, got, len(h.Sockets), want)
		}
	}
}

func TestListenParameters(t *testing.T) {
	h := mustHTTP(t, loadFiles(t, map[string]string{"nginx.conf": `http { server {
    listen 443 ssl http2 default_server proxy_protocol backlog=5;
    listen [::]:443 "ssl" ipv6only=off;
    listen 443 quic reuseport;
    listen 80 default;
} server { } }`}), Env{})
	l := h.Servers[0].Listens
	if a := l[0]; !a.SSL || !a.HTTP2 || !a.Default || !a.ProxyProtocol || a.QUIC || a.IPv6Only != "" || len(a.Params) != 5 {
		t.Errorf("%+v", a)
	}
	if b := l[1]; !b.SSL || b.Default || b.IPv6Only != "off" || b.Addr != netip.IPv6Unspecified() {
		t.Errorf("%+v", b)
	}
	if c, d := l[2], l[3]; !c.QUIC || !d.Default {
		t.Errorf("%+v %+v", c, d)
	}
	if len(h.Sockets) != 4 || !h.Sockets[0].SSL || !h.Sockets[0].HTTP2 || !h.Sockets[0].ProxyProtocol || h.Sockets[1].IPv6Only || !h.Sockets[2].QUIC {
		t.Errorf("%+v", h.Sockets)
	}
	// The block without listen is on port 80, where the other one is marked as default.
	if s := h.Sockets[3]; !slices.Equal(s.Servers, h.Servers) || s.Default != h.Servers[0] || h.Servers[1].Listens[0].Directive != nil {
		t.Errorf("%+v", s)
	}
	if err := h.Conflict(); err != nil {
		t.Error(err)
	}
}

// Names that nginx refuses, at once or when it makes its tables.
func TestNamesAsNginx(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{
		"a", "*.a", ".a", "a.*", "A.B", `""`, "a*", "*a", "*", "*.", ".", "..", "a..b", "*..a", ".a.", "*.a.*", "a.*.b", ".a*", ".*", "a/b", "-", "_", "~a", "~", `"~a{2}"`,
		"~*a", "~(", "~[", "~^(?!a)b", `"~\\"`, "$hostname", "~(?<x>a)(?<x>b)", "*.*", "a.b.*", "*.a*",
	} {
		for _, blocks := range []string{"server { listen 127.0.0.1:1; server_name %s; }", "server { listen 127.0.0.1:1; } server { listen 127.0.0.1:1; server_name %s; }"} {
			src := "events{}\nhttp {\n" + strings.ReplaceAll(blocks, "%s", name) + "\n}\n"
			write(t, dir, map[string]string{"nginx.conf": src})
			out, ok := nginx(t, dir, "-t")
			h, err := mustLoad(t, dir+"/nginx.conf").HTTP(Env{})
			if err == nil {
				err = h.Conflict()
			}
			pattern, regex := strings.CutPrefix(mustParse(t, "x "+name+";").Root.Items[0].(*Directive).Values()[0], "~")
			if err == nil && regex {
				// Which expressions are none is for PCRE to say; a choice by them is refused.
				_, err = translate(pattern)
				if ok && err != nil && name != "~^(?!a)b" || !ok && err == nil {
					t.Errorf("%s: nginx says %s, we %v", name, out, err)
				}
				continue
			}
			if ok != (err == nil) {
				t.Errorf("%s: nginx says %s, we %v", src, out, err)
			}
		}
	}
}

// Server blocks are those of http; those of other protocols are kept apart, and one
// that is nowhere is refused, as by nginx, since it would be missed.
func TestWhereServersAre(t *testing.T) {
	h := mustHTTP(t, loadFiles(t, map[string]string{"nginx.conf": `http {
    map $a $b { server x; listen y; }
    upstream u { server 127.0.0.1:1; }
    server { listen 1; location / { if ($a) { return 200; } } }
    content_by_lua_block { server { } }
}
stream { server { listen 2; } }
mail { server { listen 3; } }
rtmp { x { server { listen 4; } } }
`}), Env{})
	if len(h.Servers) != 1 || len(h.Others) != 3 || h.Others[2].Block.Items[0].(*Directive).Values()[0] != "4" {
		t.Errorf("%d servers, %d others", len(h.Servers), len(h.Others))
	}
	for src, at := range map[string]string{
		"server { }": "1:1", "http { server; }": "1:8", "http { server x { } }": "1:8", "http { server { server { } } }": "1:17", "http { server { location / { server { } } } }": "1:30",
		"http { upstream u { server { } } }": "1:21", "http { server { listen; } }": "1:17", "http { server { listen 80 { } } }": "1:17", "http { server { server_name; } }": "1:17",
		"http { server { server_name a { } } }": "1:17", "http { server { server_name a * b; } }": "1:31", "http { if (a) { x { server { } } } }": "1:21",
	} {
		dir := t.TempDir()
		write(t, dir, map[string]string{"nginx.conf": "events{} " + src})
		_, err := mustLoad(t, dir+"/nginx.conf").HTTP(Env{})
		var e *Error
		var line, col int
		fmt.Sscanf(at, "%d:%d", &line, &col)
		if !errors.As(err, &e) || e.Line != line || e.Col != col+len("events{} ") {
			t.Errorf("%s: %v, want %s", src, err, at)
		}
		if out, ok := nginx(t, dir, "-t"); ok {
			t.Errorf("%s: nginx takes it: %s", src, out)
		}
	}
}

// What is not known is not guessed, unless it makes no difference.
func TestUndecided(t *testing.T) {
	s := loadFiles(t, map[string]string{"nginx.conf": `http {
    server { listen 127.0.0.1:1; server_name a.test ~^(?!x) ~^b; }
    server { listen 127.0.0.1:1 default_server; server_name ~^c; }
    server { listen 127.0.0.1:2; server_name ~^(?!x) ~^b; }
    server { listen gone.test:3; }
    server { listen 127.0.0.1:3; }
    server { listen 127.0.0.1:4; server_name z.test; }
    server { listen 127.0.0.1:4; server_name ~^(x.*)?$; }
}`})
	h := mustHTTP(t, s, Env{Resolve: func(string) ([]netip.Addr, error) { return nil, errors.New("no") }})
	at := func(port uint16) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr("127.0.0.1"), port) }
	for host, want := range map[string]int{"a.test": 0, "b.test": 0, "c.test": -1, "d.test": -1} {
		c, err := h.Choose(at(1), host)
		var u *UndecidedError
		switch {
		case want < 0:
			if !errors.As(err, &u) || len(u.Candidates) != 2 || u.Place != s.Main.Path+":2:34" || !strings.Contains(err.Error(), s.Main.Path+":3:5") || !strings.Contains(err.Error(), "~^(?!x)") {
				t.Errorf("%s: %v", host, err)
			}
		case err != nil || c.Server != h.Servers[want]:
			t.Errorf("%s: %v", host, err)
		}
	}
	if c, err := h.Choose(at(2), "any.test"); err != nil || c.Server != h.Servers[2] {
		t.Errorf("the only server: %v", err)
	}
	if c, err := h.Choose(at(4), ""); err != nil || c.Server != h.Servers[5] || c.Name != nil {
		t.Errorf("an expression was tried for no host: %+v %v", c, err)
	}
	var u *UndecidedError
	if _, err := h.Choose(at(3), "a.test"); !errors.As(err, &u) || len(u.Candidates) != 2 || u.Text != "gone.test:3" {
		t.Errorf("a name that is not resolved: %v", err)
	}
	for _, host := range []string{"a..b", "a b", "a/b", ".", "a\x00", "é.test"} {
		if _, err := h.Choose(at(1), host); err == nil {
			t.Errorf("%q is taken for a host", host)
		}
	}
}

// Expressions that PCRE and Go read alike are translated, the rest is refused.
func TestTranslate(t *testing.T) {
	for pattern, want := range map[string]string{
		`^a\.b$`: `^a\.b$`, `(?<n>a)`: `(?P<n>a)`, `(?P<n>a)`: `(?i)(?P<n>a)`, `(?'n'a)`: `(?P<n>a)`, `A`: `(?i)A`, `\D`: `(?i)\D`, `a\Z`: `(?i)a\z`,
		`a{2}`: `a{2}`, `a{2,}?`: `a{2,}?`, `a{b`: `a\{b`, `{}`: `\{}`, `[]a]`: `[\]a]`, `[^]a]`: `[^\]a]`, `[[]`: `[\[]`, `[[:alpha:]_]`: `[[:alpha:]_]`, `[\w.-]`: `[\w.-]`, `\x41`: `\x41`,
		`(?i:a)`: `(?i:a)`, `(?:a|b)`: `(?:a|b)`, `a+?`: `a+?`, `\-\_`: `\-\_`,
	} {
		re, err := translate(pattern)
		if err != nil || re.String() != want {
			t.Errorf("%s: %v %v, want %s", pattern, re, err, want)
		}
	}
	for _, pattern := range []string{
		`(?=a)`, `(?!a)`, `(?<=a)`, `(?<!a)`, `(?>a)`, `(?|a)`, `(?#a)`, `(?R)`, `(?1)`, `(?&n)`, `(*UTF8)a`, `a(*FAIL)`, `a++`, `a*+`, `a?+`, `a{2}+`, `(a)\1`, `\k<n>`, `\h`, `\R`, `\Qa\E`, `\K`,
		`a{,2}`, `a{2}{3}`, `é`, `[é]`, `\é`, `[a`, `(`, `a)`, `*a`, `a**`, `\`, `[[.a.]]`, `[[=a=]]`, `[\b]`, `\x{41}`, `\x4`, `\xff`, `\0`, `(?x)a`, `a{1001}`, `(?)`, `(?^i)a`,
	} {
		if re, err := translate(pattern); err == nil {
			t.Errorf("%s became %s", pattern, re)
		}
	}
}

// Listens that nginx refuses together, and one that goes on and on.
func TestConflicts(t *testing.T) {
	dir := t.TempDir()
	for src, want := range map[string]string{
		"server { listen 127.0.0.1:1; listen 127.0.0.1:1; }":                                                "1:44: listen: the server block listens twice on 127.0.0.1:1",
		"server { listen 127.0.0.1:1 default; } server { listen 127.0.0.1:1 default_server; }":              "1:63: listen: there is a default server already for 127.0.0.1:1",
		"server { listen 127.0.0.1:1 backlog=5; } server { listen 127.0.0.1:1 bind; }":                      "1:65: listen: another listen has set options of 127.0.0.1:1",
		"server { listen unix:DIR/s; } server { listen unix:DIR/s default; listen unix:DIR/s; }":            "",
		"server { listen 127.0.0.1:1; } server { listen 127.0.0.1:1; server_name a b*; }":                   "1:75: server_name: nginx refuses the name \"b*\" on 127.0.0.1:1",
		"server { listen 127.0.0.1:1 default; listen [::1]:1 default; } server { listen 127.0.0.1:1 ssl; }": "-",
		"server { listen 127.0.0.1:1-3; listen 127.0.0.1:3; }":                                              "1:46: listen: the server block listens twice on 127.0.0.1:3",
	} {
		src = strings.ReplaceAll("events{}http{ "+src+" }", "DIR", dir)
		write(t, dir, map[string]string{"nginx.conf": src})
		h := mustHTTP(t, mustLoad(t, dir+"/nginx.conf"), Env{})
		err := h.Conflict()
		if _, cerr := h.Choose(netip.MustParseAddrPort("127.0.0.1:1"), "a"); err != nil && cerr != err {
			t.Errorf("%s: %v", src, cerr)
		}
		out, ok := nginx(t, dir, "-t")
		switch {
		case want == "-": // TLS without a certificate is not a matter of sockets
			if err != nil || ok {
				t.Errorf("%s: %v", src, err)
			}
		case (err == nil) != ok, want != "" && (err == nil || !strings.HasSuffix(err.Error(), "nginx.conf:"+want)):
			t.Errorf("%s: %v, nginx: %s", src, err, out)
		}
	}
	all := strings.Repeat("server { listen 1-65535; }", 5)
	h := mustHTTP(t, loadFiles(t, map[string]string{"nginx.conf": "http {" + all + "}"}), Env{})
	if err := h.Conflict(); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("%v", err)
	}
}

func FuzzHTTP(f *testing.F) {
	for _, seed := range []string{
		"listen 80; server_name a *.b c.* ~^d .e;", "listen [::1]:443 ssl; ssl on;", "listen unix:/x; } server { listen unix:/x; server_name a..b;", "listen 1-9 default; server_name $hostname \"~a{1,2}\";",
		"listen x:1; server_name ~(?<n>[[:alpha:]]+)\\.;", "ssl_certificate a;", "listen 127...1; server_name ~[^]a]{2}?;",
	} {
		f.Add(seed, "www.a.test")
	}
	f.Fuzz(func(t *testing.T, src, host string) {
		file, err := Parse("x", "http{server{listen 127.0.0.1:1;"+src+"}}")
		if err != nil {
			return
		}
		h, err := (&Set{Main: file}).HTTP(Env{Hostname: "h"})
		if err != nil {
			return
		}
		h.Rank(host)
		for _, s := range h.Sockets[:min(len(h.Sockets), 3)] {
			if c, err := h.ChooseOn(s, host); err == nil && (c.Server == nil || c.TLS == nil || !slices.Contains(s.Servers, c.Server)) {
				t.Fatalf("%q at %s: %+v", src, s, c)
			}
		}
		for _, s := range h.Servers {
			s.Certificates()
		}
	})
}
