package nginx

import (
	"fmt"
	"os"
	"strings"
	"testing"

	"edge"
	"edge/installers/answer"
)

func (l *lab) authenticator(t testing.TB, http, https uint16) *answer.Authenticator {
	t.Helper()
	return l.detect(t).Authenticator(AuthenticatorOptions{
		Runner: l.runner(), HTTPPort: http, HTTPSPort: https, ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work", TLSSNI: true,
	})
}

// What the CA sends gets into the configuration as what it is, or not at all.
func TestAnswersRefused(t *testing.T) {
	good := http01("one.test")[0]
	for what, change := range map[string]func(*edge.Answer){
		"a token with a brace":    func(a *edge.Answer) { a.Token = "x{}" },
		"a token with a path":     func(a *edge.Answer) { a.Token = "../x" },
		"no token":                func(a *edge.Answer) { a.Token = "" },
		"a long token":            func(a *edge.Answer) { a.Token = strings.Repeat("x", 513) },
		"a variable":              func(a *edge.Answer) { a.KeyAuth = "$host" },
		"a line end":              func(a *edge.Answer) { a.KeyAuth = "x\n;" },
		"no key authorization":    func(a *edge.Answer) { a.KeyAuth = "" },
		"an address":              func(a *edge.Answer) { a.Identifier = edge.Identifier{Type: edge.IP, Value: "127.0.0.1"} },
		"a wildcard":              func(a *edge.Answer) { a.Identifier.Value = "*.one.test" },
		"a name with a semicolon": func(a *edge.Answer) { a.Identifier.Value = "one.test;" },
		"another type":            func(a *edge.Answer) { a.Type = edge.DNS01 },
	} {
		bad := good
		change(&bad)
		if err := checkAnswer(bad, AuthenticatorOptions{TLSSNI: true}); err == nil {
			t.Errorf("%s is taken", what)
		}
	}
	if err := checkAnswer(good, AuthenticatorOptions{}); err != nil {
		t.Error(err)
	}
	good.Type = edge.TLSSNI01
	if err := checkAnswer(good, AuthenticatorOptions{}); err == nil {
		t.Error("TLS-SNI-01 is not allowed")
	}
}

// Whatever socket a CA arrives at, and whatever block answers there, the answer is given.
func TestAnswersEverywhere(t *testing.T) {
	t.Parallel()
	for name, src := range map[string]string{
		// Another block answers on a specific address.
		"specific address": "server { listen 127.0.0.2:HTTP; server_name other.test; return 403; }\nserver { listen HTTP; server_name one.test; }\n",
		// Nobody has the name, and there is no default: a block of its own is made.
		"none": "server { listen 127.0.0.2:HTTP; server_name other.test; return 403; }\nserver { listen [::1]:HTTP; server_name b.test; }\n",
		// A block for redirects, and one that lets nobody in.
		"redirects": "server { listen HTTP; server_name one.test; return 301 https://$host$request_uri; }\nserver { listen 127.0.0.2:HTTP; server_name one.test; deny all; auth_basic x; auth_basic_user_file /none; limit_except GET { deny all; } }\n",
		// Only nginx knows whether the expression matches.
		"regular expression": "server { listen HTTP; server_name ~^(?>one)\\.(?<=.)test$; return 406; }\nserver { listen HTTP; server_name ~^one; return 405; }\n",
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src = strings.Replace(src, " limit_except GET { deny all; }", "", 1)
			base := strings.NewReplacer("default_server", "", "listen [::]:HTTP ;", "", "listen HTTP ;", "listen 127.0.0.3:HTTP;").Replace(two)
			l, http, https := newTwo(t, map[string]string{"nginx.conf": base, "sites/one": src})
			l.start(t)
			before := snapshot(t, l.dir+"/nginx")
			a := l.authenticator(t, http, https)
			batch := http01("one.test", "new.test")
			if err := a.Present(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			if status, _, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), "one.test", "/"); name == "regular expression" && status != 406 {
				t.Errorf("visitors get %d", status)
			}
			asked := 0
			for _, host := range []string{"127.0.0.1", "127.0.0.2", "127.0.0.3", "[::1]"} {
				for _, answer := range batch {
					status, body, _ := get(t, fmt.Sprintf("%s:%d", host, http), answer.Identifier.Value, edge.HTTP01Prefix+answer.Token)
					if strings.Contains(body, "refused") {
						continue
					}
					asked++
					if status != 200 || body != answer.KeyAuth {
						t.Errorf("%s at %s: %d %q", answer.Identifier.Value, host, status, body)
					}
				}
			}
			if asked < 4 {
				t.Errorf("asked only %d times", asked)
			}
			if err := a.Cleanup(t.Context(), batch); err != nil {
				t.Fatal(err)
			}
			same(t, l.dir+"/nginx", before)
		})
	}
}

// When the answers cannot be given, nothing is left of the attempt.
func TestPresentFails(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, nil)
	l.start(t)
	before := snapshot(t, l.root)
	a := l.authenticator(t, http, https)
	write(t, l.root+"/sites/bad", "server { nonsense on; }\n")
	batch := http01("one.test")
	if err := a.Present(t.Context(), batch); err == nil || !strings.Contains(err.Error(), "sites/bad:1") {
		t.Errorf("got %v", err)
	}
	before[l.root+"/sites/bad"] = snapshot(t, l.root)[l.root+"/sites/bad"]
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Error(err)
	}
	same(t, l.root, before)
	if err := os.Remove(l.root + "/sites/bad"); err != nil {
		t.Fatal(err)
	}
	// One that is left is not overwritten: it may be that of another run.
	write(t, l.dir+"/le/le_tls_sni_01_cert_challenge.conf", "")
	sni := batch[0]
	sni.Type = edge.TLSSNI01
	if err := a.Present(t.Context(), []edge.Answer{sni}); err == nil || !strings.Contains(err.Error(), "le_tls_sni_01_cert_challenge.conf is there already") {
		t.Errorf("got %v", err)
	}
	write(t, l.root+"/nginx.conf", "events {}\npid "+l.dir+"/work/nginx.pid;\n")
	if err := a.Present(t.Context(), batch); err == nil || err.Error() != "Certbot could not find a block to include challenges in "+l.root+"/nginx.conf." {
		t.Errorf("got %v", err)
	}
}
