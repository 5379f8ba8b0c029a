package apache

import (
	"context"
	"strings"
	"testing"

	"edge"
)

// The files of certbot, and lines that keep their layout, which Augeas takes from some.
func TestAnswersAsCertbot(t *testing.T) {
	s := withSSL(t, map[string]string{"site.conf": golden(t, "site.conf.before")})
	o := AuthenticatorOptions{ConfigDir: s.dir + "/le", WorkDir: s.dir + "/new/work"}
	answer := edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "ap1.example.test"}, Token: "tok", KeyAuth: "tok.key"}
	p, err := s.planAnswers(context.Background(), []edge.Answer{answer}, o)
	if err != nil {
		t.Fatal(err)
	}
	got := s.result(p)
	fill := strings.NewReplacer("/lab/work", s.dir+"/new/work", "/lab/ap/apache2", s.root)
	during := strings.Replace(golden(t, "site.conf.during-http01"), "\nRewriteRule", "\n    RewriteRule", 1)
	for name, want := range map[string]string{
		"apache2/" + preFile: fill.Replace(golden(t, preFile)), "apache2/" + postFile: fill.Replace(golden(t, postFile)),
		"apache2/sites-available/site.conf": fill.Replace(during), "new/work/http_challenges/tok": "tok.key", "new": "", "new/work": "", "new/work/http_challenges": "",
	} {
		if have, ok := got[name]; !ok || have != want {
			t.Errorf("%s:\n%s\nwant\n%s", name, have, want)
		}
		delete(got, name)
	}
	if len(got) != 0 || len(p.Checks) != 1 || p.Checks[0].WantBody != "tok.key" || p.Checks[0].Addr != "*:80" {
		t.Errorf("%v %v", got, p.Checks)
	}
}

// Who may be asked for an answer has it: hosts with the name, whatever their port, and
// those without a name. Asked is the port of HTTP.
func TestWhoAnswers(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "Listen 8080\n<VirtualHost *>\nServerName a.test\n</VirtualHost>\n<VirtualHost *:80>\n</VirtualHost>\n<VirtualHost *:80>\nServerName b.test\n</VirtualHost>\n<VirtualHost *:443>\nServerAlias *.test\n</VirtualHost>\n"})
	answer := edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "a.test"}, Token: "tok", KeyAuth: "tok.key"}
	p, err := s.planAnswers(context.Background(), []edge.Answer{answer}, AuthenticatorOptions{ConfigDir: s.dir + "/le", WorkDir: s.dir + "/work"})
	if err != nil {
		t.Fatal(err)
	}
	pre, post := "Include "+s.root+"/"+preFile+"\n", "Include "+s.root+"/"+postFile+"\n"
	want := "Listen 8080\n<VirtualHost *>\n" + pre + "ServerName a.test\n" + post + "</VirtualHost>\n<VirtualHost *:80>\n    " + pre + post + "</VirtualHost>\n<VirtualHost *:80>\nServerName b.test\n</VirtualHost>\n<VirtualHost *:443>\n" + pre + "ServerAlias *.test\n" + post + "</VirtualHost>\n"
	if got := s.result(p)["apache2/sites-available/a.conf"]; got != want {
		t.Errorf("%s\nwant\n%s", got, want)
	}
	if len(p.Checks) != 1 || p.Checks[0].Addr != "*:80" {
		t.Errorf("%v", p.Checks)
	}
}

// TLS-SNI-01 is answered at specific addresses as well, which would hide any other.
func TestSNIAddresses(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost 10.0.0.1:443 _default_:443 [::1]:443>\nServerName a.test\n</VirtualHost>\n<VirtualHost 10.0.0.2:80>\n</VirtualHost>\n"})
	answer := edge.Answer{Type: edge.TLSSNI01, Identifier: edge.Identifier{Type: edge.DNS, Value: "a.test"}, Token: "tok", KeyAuth: "tok.key"}
	p, err := s.planAnswers(context.Background(), []edge.Answer{answer}, AuthenticatorOptions{ConfigDir: s.dir + "/le", WorkDir: s.dir + "/work", TLSSNI: true})
	if err != nil {
		t.Fatal(err)
	}
	got := s.result(p)
	z := edge.SNI01Name("tok.key")
	want := "<IfModule mod_ssl.c>\n<VirtualHost *:443 10.0.0.1:443 [::1]:443>\n    ServerName " + z + "\n    UseCanonicalName on\n    SSLStrictSNIVHostCheck on\n    LimitRequestBody 1048576\n    Include " + s.dir + "/le/" + optionsName +
		"\n    SSLCertificateFile " + s.dir + "/work/tok.crt\n    SSLCertificateKeyFile " + s.dir + "/work/tok.pem\n    DocumentRoot " + s.dir + "/work/tls_sni_01_page\n</VirtualHost>\n</IfModule>\n"
	if got["apache2/"+sniFile] != want || !strings.HasSuffix(got["apache2/apache2.conf"], "\nInclude "+s.root+"/"+sniFile+"\n") {
		t.Errorf("%s", got["apache2/"+sniFile])
	}
	for _, c := range p.Changes {
		if strings.HasSuffix(c.Path, ".pem") && c.Mode != 0o600 {
			t.Errorf("%s has mode %v", c.Path, c.Mode)
		}
	}
	if len(p.Serves) != 2 || p.Serves[0].Name != z || p.Serves[0].Leaf == [32]byte{} || p.Serves[0].Addr != "*:443" || p.Serves[1].Addr != "[::1]:443" {
		t.Errorf("%v", p.Serves)
	}
}

// Nothing of a CA gets into a path or a configuration that is not made for it.
func TestBadAnswers(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	good := edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "a.test"}, Token: "tok", KeyAuth: "tok.key"}
	for name, change := range map[string]func(*edge.Answer){
		"dns-01":      func(a *edge.Answer) { a.Type = edge.DNS01 },
		"tls-sni-01":  func(a *edge.Answer) { a.Type = edge.TLSSNI01 },
		"wildcard":    func(a *edge.Answer) { a.Identifier.Value = "*.a.test" },
		"address":     func(a *edge.Answer) { a.Identifier = edge.Identifier{Type: edge.IP, Value: "10.0.0.1"} },
		"odd name":    func(a *edge.Answer) { a.Identifier.Value = "a.test\nUse x" },
		"path":        func(a *edge.Answer) { a.Token = "../x" },
		"no token":    func(a *edge.Answer) { a.Token = "" },
		"long token":  func(a *edge.Answer) { a.Token = strings.Repeat("a", 300) },
		"odd keyauth": func(a *edge.Answer) { a.KeyAuth = "a b" },
	} {
		bad := good
		change(&bad)
		if _, err := s.planAnswers(context.Background(), []edge.Answer{good, bad}, AuthenticatorOptions{ConfigDir: s.dir + "/le", WorkDir: s.dir + "/work"}); err == nil {
			t.Errorf("%s: taken", name)
		}
	}
	made := withSSL(t, map[string]string{"m.conf": "<Macro M $n>\n<VirtualHost *:80>\nServerName $n\n</VirtualHost>\n</Macro>\nUse M a.test\n", "b.conf": "<VirtualHost *:80>\nServerName b.test\n</VirtualHost>\n"})
	if _, err := made.planAnswers(context.Background(), []edge.Answer{good}, AuthenticatorOptions{ConfigDir: made.dir + "/le", WorkDir: made.dir + "/work"}); err == nil || !strings.Contains(err.Error(), "made by a macro") {
		t.Error(err)
	}
	none := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\n</VirtualHost>\n"})
	if _, err := none.planAnswers(context.Background(), []edge.Answer{{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: "b.test"}, Token: "t", KeyAuth: "t.k"}}, AuthenticatorOptions{WorkDir: none.dir + "/work"}); err == nil || !strings.HasPrefix(err.Error(), "Unable to find a virtual host listening on port 80 which") {
		t.Error(err)
	}
}
