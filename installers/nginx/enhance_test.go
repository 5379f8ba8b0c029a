package nginx

import (
	"context"
	"crypto/rand"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"os"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers"
)

// planned carries a plan out without a server, and returns the site's file then.
func planned(t *testing.T, src string, change func(*installers.Request)) (l *lab, after string, p *installers.Plan, err error) {
	t.Helper()
	l, http, https := newTwo(t, map[string]string{"sites/one": src})
	l.snakeoil(t)
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort = http, https
	if change != nil {
		change(&r)
	}
	makeCertificate(t, r)
	p, err = l.tryPlan(t, r)
	if err != nil {
		return l, "", nil, err
	}
	l.write(t, p)
	if err := l.nginx.Test(t.Context()); err != nil {
		t.Fatalf("%v\n%s", err, read(t, l.root+"/sites/one"))
	}
	if again := l.plan(t, r); !again.Empty() {
		t.Errorf("a second plan: %s", again.Changes[0].New)
	}
	ports := strings.NewReplacer(fmt.Sprint(https), "HTTPS", fmt.Sprint(http), "HTTP", l.dir, "@")
	return l, ports.Replace(read(t, l.root+"/sites/one")), p, nil
}

const tlsLines = `
    ssl_certificate @/le/c.pem;
    ssl_certificate_key @/le/k.pem;
`

// What comes of server blocks of several shapes.
func TestBlocks(t *testing.T) {
	t.Parallel()
	only := func(e installers.Enhancements) func(*installers.Request) {
		return func(r *installers.Request) { r.Deploy, r.Enhance = false, e }
	}
	for name, c := range map[string]struct {
		src     string
		request func(*installers.Request)
		want    []string // parts of what comes out
		not     []string
	}{
		"HSTS for TLS alone": {
			"server {\n    listen HTTP;\n    listen HTTPS ssl; # managed by Certbot\n    server_name one.test;\n    root /x;" + tlsLines + "}\n",
			only(installers.Enhancements{HSTS: true}),
			[]string{
				"server {\n    listen HTTPS ssl; # managed by Certbot\n    server_name one.test;\n    root /x;" + tlsLines + "    add_header Strict-Transport-Security \"max-age=31536000\" always; # managed by Certbot\n}\n",
				"server {\n    listen HTTP;\n    server_name one.test;\n    root /x;\n}\n",
			}, nil,
		},
		"other ports are not redirected": {
			"server {\n    listen HTTP;\n    listen 127.0.0.1:8;\n    server_name one.test;\n    root /x;\n}\n",
			func(r *installers.Request) { r.Enhance.Redirect = true },
			[]string{
				"server {\n    listen 127.0.0.1:8;\n    server_name one.test;\n    root /x;\n    listen HTTPS ssl; # managed",
				"    listen HTTP;\n    server_name one.test;\n    return 404; # managed by Certbot\n}\n",
			}, nil,
		},
		"a separate plain block is redirected in place": {
			"server { listen HTTP; server_name one.test; }\nserver {\n    listen HTTPS ssl;\n    server_name one.test;" + tlsLines + "}\n",
			only(installers.Enhancements{Redirect: true}),
			[]string{"if ($host = one.test) {", "server_name one.test; }\nserver {\n    listen HTTPS ssl;\n    server_name one.test;" + tlsLines + "}\n"},
			[]string{"return 404"},
		},
		"dual-stack by one socket": {
			"server {\n    listen [::1]:HTTP ipv6only=off;\n    server_name one.test;\n}\n", nil,
			[]string{"listen [::1]:HTTPS ssl ipv6only=off; # managed"}, nil,
		},
		"one block for each family": {
			"server {\n    listen 127.0.0.1:HTTPS ssl;\n    server_name one.test;" + tlsLines + "}\nserver {\n    listen [::1]:HTTPS ssl;\n    server_name one.test;" + tlsLines + "}\n",
			nil, []string{"::1", "live/one.test/fullchain.pem;"}, []string{"c.pem"},
		},
		"capital letters": {
			"server {\n    listen HTTP;\n    server_name One.Test;\n}\n", func(r *installers.Request) { r.Names, r.Enhance.Redirect = []string{"ONE.test"}, true },
			[]string{"if ($host = one.test) {"}, nil,
		},
		"tabs and a comment": {
			"server {\n\tlisten HTTPS ssl http2;\n\tserver_name one.test;\n\tssl_certificate @/le/c.pem; # old\n\tssl_certificate_key @/le/k.pem;\n}\n", nil,
			[]string{"\tlisten HTTPS ssl http2;\n", "\tssl_certificate @/le/live/one.test/fullchain.pem; # old\n\tssl_certificate_key @/le/live/one.test/privkey.pem; # managed by Certbot\n}"}, nil,
		},
		"options that are said already": {
			"server {\n    listen HTTP;\n    server_name one.test;\n    ssl_prefer_server_ciphers off;\n}\n", nil,
			[]string{"    # ssl_prefer_server_ciphers off; # duplicated in @/le/options-ssl-nginx.conf\n"}, nil,
		},
		"stapling": {
			"server {\n    listen HTTPS ssl;\n    server_name one.test;" + tlsLines + "    ssl_stapling on;\n}\n", only(installers.Enhancements{Staple: true}),
			[]string{"ssl_stapling on;\n    ssl_trusted_certificate @/le/live/one.test/chain.pem; # managed by Certbot\n    ssl_stapling_verify on; # managed"}, nil,
		},
		"an implied listen": {
			"server {\n    server_name one.test;\n}\n", func(r *installers.Request) { r.HTTPPort, r.Enhance.Redirect = 80, true },
			[]string{"server {\n    server_name one.test;\n    listen HTTPS ssl; # managed", "    listen 80;\n    server_name one.test;\n    return 404;"}, nil,
		},
	} {
		t.Run(name, func(t *testing.T) {
			_, after, _, err := planned(t, c.src, c.request)
			if err != nil {
				t.Fatal(err)
			}
			for _, want := range c.want {
				if !strings.Contains(after, want) {
					t.Errorf("there is no\n%s\nin\n%s", want, after)
				}
			}
			for _, not := range c.not {
				if strings.Contains(after, not) {
					t.Errorf("there is %q in\n%s", not, after)
				}
			}
		})
	}
}

func TestExistingHSTS(t *testing.T) {
	_, _, p, err := planned(t, "server {\n    listen HTTPS ssl;\n    server_name one.test;"+tlsLines+"    location / { add_header strict-transport-security x; }\n}\n",
		func(r *installers.Request) { r.Deploy, r.Enhance.HSTS = false, true })
	if err != nil || !p.Empty() || !slices.ContainsFunc(p.Notes, func(n string) bool { return strings.Contains(n, "Existing Strict-Transport-Security header") }) {
		t.Errorf("%v %+v", err, p)
	}
}

// A person says where a certificate for a wildcard goes.
func TestWildcard(t *testing.T) {
	t.Parallel()
	src := "server { listen HTTP; server_name a.one.test b.one.test; }\nserver {\n    listen HTTPS ssl;\n    server_name c.one.test;" + tlsLines + "}\nserver { listen HTTP; server_name c.one.test d.one.test; }\n"
	for _, c := range []struct {
		pick  []int
		want  string
		serve int
	}{
		{[]int{1, 2}, "", 3},
		{[]int{3}, "nginx lets the server block at", 0},
		{nil, "none was chosen", 0},
	} {
		var asked []string
		_, after, p, err := planned(t, src, func(r *installers.Request) {
			r.Names = []string{"*.one.test"}
			r.Choose = func(_ context.Context, _ string, candidates []string, many bool) ([]int, error) {
				if asked == nil {
					asked = candidates
				}
				return c.pick, nil
			}
		})
		if len(asked) != 4 || !strings.Contains(asked[1], "Names: a.one.test, b.one.test\nHTTPS: No\n") || !strings.Contains(asked[2], "HTTPS: Yes") {
			t.Errorf("asked for %q", asked)
		}
		if c.want != "" {
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v: %v", c.pick, err)
			}
			continue
		}
		if err != nil || len(p.Serves) != c.serve || strings.Count(after, "fullchain.pem") != 2 {
			t.Errorf("%v: %v\n%+v\n%s", c.pick, err, p, after)
		}
	}
}

// Where nobody is here to choose, a certificate for a wildcard stays where it is: a renewal
// and a delivery are to succeed.
func TestWildcardAgain(t *testing.T) {
	t.Parallel()
	const lines = "ssl_certificate @/le/live/one.test/fullchain.pem; ssl_certificate_key @/le/live/one.test/privkey.pem;"
	block := func(name, more string) string {
		return "server { listen HTTPS ssl; server_name " + name + "; " + more + " }\n"
	}
	plain := "server { listen HTTP; server_name b.one.test; }\n"
	other := "server { listen HTTPS ssl; server_name c.one.test;" + tlsLines + "}\n"
	redirect := func(r *installers.Request) { r.Enhance.Redirect = true }
	for name, c := range map[string]struct {
		src     string
		request func(*installers.Request)
		changed string // what is new, nothing where empty
		served  []string
		err     string
	}{
		"named":              {plain + other + block("a.one.test", lines) + block(".two.test *.one.test", lines), nil, "", []string{"a.one.test", "www.one.test"}, ""},
		"included":           {block("a.one.test", "include @/nginx/snippet;"), nil, "", []string{"a.one.test"}, ""},
		"named in http":      {lines + plain + other + block("a.one.test", ""), nil, "", []string{"a.one.test"}, ""},
		"for whoever comes":  {plain + block("_", lines), nil, "", []string{"www.one.test"}, ""},
		"without TLS so far": {"server { listen HTTP; server_name a.one.test; " + lines + " }\n", nil, "listen HTTPS ssl; # managed", []string{"a.one.test"}, ""},
		"a redirect":         {plain + "server { listen HTTP; listen HTTPS ssl; server_name a.one.test; " + lines + " }\n", redirect, "return 301", []string{"a.one.test"}, ""},
		"nowhere":            {plain + other, nil, "", nil, "nobody is here to choose"},
		"a person, who is asked": {block("a.one.test", lines), func(r *installers.Request) {
			r.Choose = func(context.Context, string, []string, bool) ([]int, error) { return nil, nil }
		}, "", nil, "none was chosen"},
		"a redirect that nobody meant": {plain + block("a.one.test", lines), redirect, "", nil, "nobody is here to choose"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, http, https := newTwo(t, map[string]string{"sites/one": c.src, "snippet": lines})
			l.snakeoil(t)
			r := l.request("one.test")
			r.Names, r.HTTPPort, r.HTTPSPort = []string{"*.one.test"}, http, https
			if c.request != nil {
				c.request(&r)
			}
			makeCertificate(t, r)
			p, err := l.tryPlan(t, r)
			if c.err != "" || err != nil {
				if c.err == "" || err == nil || !strings.Contains(err.Error(), c.err) {
					t.Error(err)
				}
				return
			}
			l.write(t, p)
			after := strings.ReplaceAll(read(t, l.root+"/sites/one"), fmt.Sprint(https), "HTTPS")
			if p.Empty() != (c.changed == "") || c.changed != "" && strings.Count(after, c.changed) != 1 {
				t.Errorf("after the plan:\n%s", after)
			}
			var served []string
			for _, e := range p.Serves {
				served = append(served, e.Name)
			}
			if !slices.Equal(served, c.served) || len(p.Warnings) > 0 {
				t.Errorf("served: %q, warnings: %q", served, p.Warnings)
			}
			if again := l.plan(t, r); !again.Empty() {
				t.Errorf("a second plan: %s", again.Changes[0].New)
			}
		})
	}
}

// Of certificates for two kinds of keys, the one of the same kind is replaced.
func TestTwoKindsOfKeys(t *testing.T) {
	t.Parallel()
	src := "server {\n    listen HTTPS ssl;\n    server_name one.test;\n    ssl_certificate @/le/rsa.pem;\n    ssl_certificate_key @/le/rsa.key;" + tlsLines + "}\n"
	_, after, p, err := planned(t, src, func(r *installers.Request) { writeRSA(t, r.ConfigDir) })
	if err != nil || !strings.Contains(after, "ssl_certificate @/le/rsa.pem;\n    ssl_certificate_key @/le/rsa.key;\n    ssl_certificate @/le/live/one.test/fullchain.pem; # managed") || len(p.Warnings) != 1 {
		t.Errorf("%v %v\n%s", err, p.Warnings, after)
	}
}

func writeRSA(t *testing.T, dir string) {
	t.Helper()
	key, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(5), DNSNames: []string{"one.test"}, NotBefore: time.Now(), NotAfter: time.Now().Add(time.Hour)}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	write(t, dir+"/rsa.pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})))
	write(t, dir+"/rsa.key", string(pem.EncodeToMemory(&pem.Block{Type: "RSA PRIVATE KEY", Bytes: x509.MarshalPKCS1PrivateKey(key)})))
}

// Sites that speak the PROXY protocol are asked by it, others watched.
func TestProxyProtocolAndWatch(t *testing.T) {
	t.Parallel()
	l, _, https := newTwo(t, map[string]string{"sites/one": "server {\n    listen 127.0.0.1:HTTPS ssl proxy_protocol;\n    server_name one.test;" + tlsLines + "}\n" +
		"server {\n    listen 127.0.0.1:HTTPS ssl;\n    server_name other.test;" + tlsLines + "}\n"})
	l.snakeoil(t)
	old := time.Now().Add(-time.Hour)
	if err := os.Chtimes(l.dir+"/le/c.pem", old, old); err != nil {
		t.Fatal(err)
	}
	l.start(t)
	r := l.request("one.test")
	r.HTTPSPort = https
	makeCertificate(t, r)
	p := l.plan(t, r)
	addr := fmt.Sprintf("127.0.0.1:%d", https)
	if want := (installers.Endpoint{Addr: addr, Name: "one.test", ProxyProtocol: true}); len(p.Serves) != 1 || p.Serves[0] != want {
		t.Errorf("served at %+v", p.Serves)
	}
	if want := (installers.Endpoint{Addr: addr, Name: "other.test", ProxyProtocol: true}); len(p.Watch) != 1 || p.Watch[0] != want {
		t.Errorf("watched: %+v", p.Watch)
	}
	// A certificate that was renewed since nginx read it is shown by the next reload,
	// which must not be taken for damage.
	l.snakeoil(t)
	if p = l.plan(t, r); len(p.Watch) != 0 {
		t.Errorf("watched, though it is going to change: %+v", p.Watch)
	}
	if _, err := l.runner().Apply(t.Context(), l.nginx, p, r); err != nil {
		t.Fatal(err)
	}
}
