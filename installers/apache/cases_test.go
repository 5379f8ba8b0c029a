package apache

import (
	"context"
	"errors"
	"os"
	"strings"
	"testing"

	"edge/installers"
)

var lineage = installers.Certificate{Cert: "/live/x/cert.pem", Key: "/live/x/privkey.pem", Chain: "/live/x/chain.pem", FullChain: "/live/x/fullchain.pem"}

// withSSL is a Debian server that has mod_ssl.
func withSSL(t *testing.T, sites map[string]string) *server {
	t.Helper()
	s := debianTree(t, sites)
	files := map[string]string{}
	for _, m := range []string{"ssl", "socache_shmcb", "rewrite", "headers", "macro"} {
		files["mods-enabled/"+m+".load"] = "-> ../mods-available/" + m + ".load"
	}
	write(t, s.root, files)
	return s.detect(t)
}

// put makes a plan's changes as the transaction would.
func put(t *testing.T, p *installers.Plan) {
	t.Helper()
	for _, c := range p.Changes {
		var err error
		switch c.Op {
		case installers.Symlink:
			err = os.Symlink(c.Target, c.Path)
		case installers.Mkdir:
			err = os.Mkdir(c.Path, c.Mode)
		default:
			if old, _ := os.ReadFile(c.Path); string(old) != string(c.Old) {
				t.Errorf("%s is %q, the plan was made for %q", c.Path, old, c.Old)
			}
			err = os.WriteFile(c.Path, c.New, 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// What becomes of files. OPTIONS stands for the path of the options file.
func TestFiles(t *testing.T) {
	t.Parallel()
	const add = "Include OPTIONS\nSSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\n"
	http := "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"
	for _, c := range []struct {
		name    string
		sites   map[string]string
		names   []string
		enhance installers.Enhancements
		want    map[string]string // below sites-available
	}{
		{"in place, layout kept", map[string]string{"a.conf": "<VirtualHost *:443>\n\tServerName  a.test\n\tSSLEngine on\n\tSSLCertificateFile \"/old/cert\"\n\tSSLCertificateFile   /old/two\n\tSSLCertificateKeyFile\t'/old/key'\n\tSSLCertificateChainFile /old/chain\n  # end\n</VirtualHost>"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"a.conf": "<VirtualHost *:443>\n\tServerName  a.test\n\tSSLEngine on\n\tSSLCertificateFile   /live/x/fullchain.pem\n\tSSLCertificateKeyFile\t/live/x/privkey.pem\n  # end\nInclude OPTIONS\n</VirtualHost>"}},
		{"in a condition, CRLF", map[string]string{"a.conf": "<VirtualHost *:443>\r\nServerName a.test\r\n<IfModule mod_ssl.c>\r\nSSLCertificateFile /old\r\nSSLCertificateKeyFile /old\r\n</IfModule>\r\nInclude OPTIONS\r\n</VirtualHost>\r\n"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"a.conf": "<VirtualHost *:443>\r\nServerName a.test\r\n<IfModule mod_ssl.c>\r\nSSLCertificateFile /live/x/fullchain.pem\r\nSSLCertificateKeyFile /live/x/privkey.pem\r\n</IfModule>\r\nInclude OPTIONS\r\n</VirtualHost>\r\n"}},
		{"what others read as well stays", map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nInclude ROOT/snippet\n</VirtualHost>\n<VirtualHost *:443>\nServerName b.test\nInclude ROOT/snippet\n</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nInclude ROOT/snippet\n" + add + "</VirtualHost>\n<VirtualHost *:443>\nServerName b.test\nInclude ROOT/snippet\n</VirtualHost>\n"}},
		{"a file that is read twice", map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nSSLCertificateFile /old\nSSLCertificateKeyFile /old\n</VirtualHost>\n", "b.conf": "Include sites-available/a.conf\n"}, []string{"a.test"}, installers.Enhancements{HSTS: true},
			map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nSSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\nInclude OPTIONS\nHeader always set Strict-Transport-Security \"max-age=31536000\"\n</VirtualHost>\n"}},
		{"what only one reads does not", map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nInclude ROOT/snippet\nInclude OPTIONS\n</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"../snippet": "SSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\n"}},
		{"a name is added", map[string]string{"a.conf": "<VirtualHost *:443>\n</VirtualHost>\n"}, []string{"a.test", "b.test"}, installers.Enhancements{},
			map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nServerAlias b.test\n" + add + "</VirtualHost>\n"}},
		{"a twin, CRLF, variables, addresses", map[string]string{"a.conf": "Define P 80\r\n  <VirtualHost *:${P} [::1] 10.0.0.1:*>\r\n\tServerName a.test\r\n  </VirtualHost>\r\n"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"a-le-ssl.conf": "<IfModule mod_ssl.c>\r\n<VirtualHost *:443 [::1]:443 10.0.0.1:443>\r\n\tServerName a.test\r\n\r\n" + strings.ReplaceAll(add, "\n", "\r\n") + "</VirtualHost>\r\n</IfModule>\r\n"}},
		{"two twins in one file", map[string]string{"a.conf": http + strings.ReplaceAll(http, "a.test", "b.test")}, []string{"a.test", "b.test"}, installers.Enhancements{Staple: true},
			map[string]string{"a-le-ssl.conf": "<IfModule mod_ssl.c>\n" + staplingCache + "\n<VirtualHost *:443>\nServerName a.test\n\n" + add + "SSLUseStapling on\n</VirtualHost>\n</IfModule>\n<IfModule mod_ssl.c>\n<VirtualHost *:443>\nServerName b.test\n\n" + add + "SSLUseStapling on\n</VirtualHost>\n</IfModule>\n"}},
		{"a twin beside another", map[string]string{"a.conf": http, "a-le-ssl.conf": "<VirtualHost *:443>\nServerName b.test\n</VirtualHost>"}, []string{"a.test"}, installers.Enhancements{},
			map[string]string{"a-le-ssl.conf": "<VirtualHost *:443>\nServerName b.test\n</VirtualHost>\n<IfModule mod_ssl.c>\n<VirtualHost *:443>\nServerName a.test\n\n" + add + "</VirtualHost>\n</IfModule>"}},
		{"headers and stapling in place", map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nSSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\nInclude OPTIONS\nHeader set Strict-Transport-Security x\n</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{HSTS: true, UIR: true, Staple: true},
			map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nSSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\nInclude OPTIONS\nHeader set Strict-Transport-Security x\nSSLUseStapling on\nHeader always set Content-Security-Policy upgrade-insecure-requests\n</VirtualHost>\n<IfModule mod_ssl.c>\n" + staplingCache + "\n</IfModule>\n"}},
		{"an old rule of certbot", map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\nRewriteEngine On\n  RewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,QSA,R=permanent]\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\n" + add + "</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{Redirect: true},
			map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\nRewriteEngine On\nRewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\n" + add + "</VirtualHost>\n"}},
		{"a pattern among the names", map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\nServerAlias *.a.test\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\nServerAlias *.a.test\n" + add + "</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{Redirect: true},
			map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\nServerAlias *.a.test\nRewriteEngine on\nRewriteCond %{SERVER_NAME} =a.test [OR]\nRewriteCond %{SERVER_NAME} ^.*\\.a\\.test$\nRewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\nServerAlias *.a.test\n" + add + "</VirtualHost>\n"}},
		{"a host for HTTP without a name", map[string]string{"a.conf": "<VirtualHost *:80>\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\n" + add + "</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{Redirect: true},
			map[string]string{"a.conf": "<VirtualHost *:80>\nRewriteEngine on\nRewriteCond %{SERVER_NAME} =a.test\nRewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]\n</VirtualHost>\n<VirtualHost *:443>\nServerName a.test\n" + add + "</VirtualHost>\n"}},
		{"no host for HTTP", map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nServerAlias b.test\n" + add + "</VirtualHost>\n"}, []string{"a.test"}, installers.Enhancements{Redirect: true},
			map[string]string{"le-redirect-a.test.conf": "<VirtualHost *:80>\nServerName a.test \nServerAlias b.test \nServerSignature Off\n\nRewriteEngine On\nRewriteRule ^ https://%{SERVER_NAME}%{REQUEST_URI} [END,NE,R=permanent]\n\nErrorLog /var/log/apache2/redirect.error.log\nLogLevel warn\n</VirtualHost>\n"}},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := withSSL(t, c.sites)
			fill := strings.NewReplacer("OPTIONS", s.dir+"/le/"+optionsName, "ROOT", s.root)
			write(t, s.root, map[string]string{"snippet": "SSLCertificateFile /old\nSSLCertificateKeyFile /old\n"})
			for name, src := range c.sites {
				write(t, s.root, map[string]string{"sites-available/" + name: fill.Replace(src)})
			}
			r := s.request(lineage, c.names...)
			r.Enhance = c.enhance
			write(t, s.dir, map[string]string{"le/" + optionsName: currentOptions, "le/" + digestName: digestOf(currentOptions)})
			p := s.plan(t, r)
			got := s.result(p)
			for name, text := range c.want {
				name = strings.ReplaceAll("apache2/sites-available/"+name, "sites-available/../", "")
				if got[name] != fill.Replace(text) {
					t.Errorf("%s:\n%s\nwant\n%s", name, got[name], fill.Replace(text))
				}
				delete(got, name)
			}
			for name, text := range got {
				if !strings.HasPrefix(text, "-> ") && name != "apache2/sites-available/a.conf" {
					t.Errorf("%s is changed as well:\n%s", name, text)
				}
			}
			put(t, p)
			if again := s.plan(t, r); !again.Empty() {
				t.Errorf("again: %v %v", again.Notes, s.result(again))
			}
		})
	}
}

// Where httpd listens, on Debian and elsewhere.
func TestListen(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	for _, c := range []struct {
		ports, want string
		port        uint16
	}{
		{"Listen 80\n", "Listen 80\n<IfModule mod_ssl.c>\nListen 443\n</IfModule>\n", 443},
		{"Listen 10.0.0.1:80\nListen [::1]:80\n<IfModule mod_ssl.c>\n  # x\n</IfModule>\n", "Listen 10.0.0.1:80\nListen [::1]:80\n<IfModule mod_ssl.c>\nListen 10.0.0.1:443\nListen [::1]:443\n  # x\n</IfModule>\n", 443},
		{"Listen 80\n", "Listen 80\n<IfModule mod_ssl.c>\nListen 8443 https\n</IfModule>\n", 8443},
		{"", "<IfModule mod_ssl.c>\nListen 443\n</IfModule>\n", 443},
		{"Listen 80\nListen 10.0.0.1:443\n", "", 443},
		{"Listen 80\n<IfModule mod_ssl.c>\nListen [::]:443\n</IfModule>\n", "", 443},
	} {
		write(t, s.root, map[string]string{"ports.conf": c.ports})
		r := s.request(lineage, "a.test")
		r.HTTPSPort = c.port
		if got := s.result(s.plan(t, r))["apache2/ports.conf"]; got != c.want {
			t.Errorf("%q: %q, want %q", c.ports, got, c.want)
		}
	}
}

// A distribution without a2enmod and sites-enabled.
func TestOtherLayout(t *testing.T) {
	dir := folder(t)
	s := &server{dir: dir, root: dir + "/httpd"}
	s.httpPort, s.tlsPort = 80, 443
	base := "Listen 80\nLoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\n"
	write(t, s.root, map[string]string{"conf/httpd.conf": base + "IncludeOptional conf.d/*.conf\n", "conf.d/a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n", "os": "ID=arch\n"})
	write(t, dir, map[string]string{"le/x": ""})
	var err error
	s.Apache, err = Detect(context.Background(), Options{ServerRoot: s.root, OSRelease: s.root + "/os", Ctl: "apache2ctl"})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(context.Background(), s.request(lineage, "a.test")); err == nil || err.Error() != "Could not find ssl_module; not installing certificate." {
		t.Error(err)
	}
	write(t, s.root, map[string]string{"conf/httpd.conf": base + "LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nInclude conf.d/a.conf\n"})
	r := s.request(lineage, "a.test")
	p := s.plan(t, r)
	got := s.result(p)
	if got["httpd/conf/httpd.conf"] != base+"LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nInclude conf.d/a.conf\n<IfModule mod_ssl.c>\nListen 443\n</IfModule>\nInclude "+s.root+"/conf.d/a-le-ssl.conf\n" &&
		got["httpd/conf/httpd.conf"] != base+"LoadModule ssl_module /usr/lib/apache2/modules/mod_ssl.so\nInclude conf.d/a.conf\nInclude "+s.root+"/conf.d/a-le-ssl.conf\n<IfModule mod_ssl.c>\nListen 443\n</IfModule>\n" {
		t.Errorf("%s", got["httpd/conf/httpd.conf"])
	}
	put(t, p)
	if again := s.plan(t, r); !again.Empty() {
		t.Errorf("again: %v", again.Notes)
	}
	r.Enhance.HSTS, r.Deploy = true, false
	if _, err := s.Plan(context.Background(), r); err == nil || !strings.HasPrefix(err.Error(), `Apache needs to have module  "headers" active`) {
		t.Error(err)
	}
}

// The file that certbot keeps: updated where it is certbot's, left alone where it is not.
func TestOptionsFile(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	r := s.request(lineage, "a.test")
	write(t, s.dir, map[string]string{"le/" + optionsName: oldOptions})
	if got := s.result(s.plan(t, r)); got["le/"+optionsName] != currentOptions {
		t.Errorf("an old version became %q", got["le/"+optionsName])
	}
	write(t, s.dir, map[string]string{"le/" + optionsName: "SSLEngine on\n"})
	p := s.plan(t, r)
	if _, changed := s.result(p)["le/"+optionsName]; changed || len(p.Warnings) != 1 || !strings.Contains(p.Warnings[0], "has been manually modified") {
		t.Errorf("%q", p.Warnings)
	}
	put(t, p)
	if p = s.plan(t, r); !p.Empty() || len(p.Warnings) != 0 {
		t.Errorf("again: %q %q", p.Warnings, p.Notes)
	}
}

// Before 2.4.8 the chain is a file of its own, and session tickets cannot be turned off
// before 2.4.11.
func TestOldVersion(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:443>\nServerName a.test\nSSLCertificateChainFile /old\n</VirtualHost>\n"})
	s.version = "2.4.7"
	r := s.request(lineage, "a.test")
	got := s.result(s.plan(t, r))
	want := "<VirtualHost *:443>\nServerName a.test\nSSLCertificateChainFile /live/x/chain.pem\nInclude " + s.dir + "/le/" + optionsName + "\nSSLCertificateFile /live/x/cert.pem\nSSLCertificateKeyFile /live/x/privkey.pem\n</VirtualHost>\n"
	if got["apache2/sites-available/a.conf"] != want || got["le/"+optionsName] != oldOptions {
		t.Errorf("%s", got["apache2/sites-available/a.conf"])
	}
	r.Certificate.Chain = ""
	if _, err := s.Plan(context.Background(), r); err == nil || err.Error() != "--chain-path is required for your version of Apache" {
		t.Error(err)
	}
	s.version = "2.4.62"
	r.Certificate.FullChain = ""
	if _, err := s.Plan(context.Background(), r); err == nil || !strings.HasPrefix(err.Error(), "Please provide the --fullchain-path option") {
		t.Error(err)
	}
}

// An enhancement that is not possible costs nobody the certificate.
func TestNoRedirect(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost 10.0.0.1:443>\nServerName a.test\n</VirtualHost>\n<VirtualHost *:80>\nServerName b.test\n</VirtualHost>\n"})
	r := s.request(lineage, "a.test")
	r.Enhance.Redirect = true
	p := s.plan(t, r)
	want := "Unable to set the redirect enhancement for a.test: Unable to find corresponding HTTP vhost; Unable to create one as intended addresses conflict; Current configuration does not support automated redirection"
	if len(p.Warnings) != 2 || p.Warnings[0] != want || !strings.Contains(p.Warnings[1], "cannot be seen from here") || len(p.Titles) != 1 || len(p.Changes) == 0 {
		t.Errorf("%q %q", p.Warnings, p.Titles)
	}
	r.Deploy = false
	if _, err := s.Plan(context.Background(), r); err == nil || !strings.HasPrefix(err.Error(), "Unable to find corresponding HTTP vhost") {
		t.Error(err)
	}
}

// A twin for a file of twins that was turned off.
func TestTwinNotEnabled(t *testing.T) {
	s := withSSL(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	write(t, s.root, map[string]string{"sites-available/a-le-ssl.conf": "# mine\n"})
	r := s.request(lineage, "a.test")
	p := s.plan(t, r)
	got := s.result(p)
	if !strings.HasPrefix(got["apache2/sites-available/a-le-ssl.conf"], "# mine\n<IfModule mod_ssl.c>\n<VirtualHost *:443>\nServerName a.test\n") || len(p.Warnings) != 1 || got["apache2/sites-enabled/a-le-ssl.conf"] == "" {
		t.Errorf("%v %q", got, p.Warnings)
	}
	put(t, p)
	if again := s.plan(t, r); !again.Empty() {
		t.Errorf("again: %v", again.Notes)
	}
}

// Names that no host has, wildcards, and hosts that a macro makes.
func TestChoosing(t *testing.T) {
	t.Parallel()
	ctx := context.Background()
	two := "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n<VirtualHost *:80>\nServerName b.a.test\n</VirtualHost>\n<VirtualHost *:443>\nServerName b.a.test\n</VirtualHost>\n<VirtualHost *:80>\nServerName c.b.a.test\n</VirtualHost>\n"
	s := withSSL(t, map[string]string{"a.conf": two})
	r := s.request(lineage, "none.test")
	if _, err := s.Plan(ctx, r); err == nil || !strings.HasPrefix(err.Error(), "Certbot could not find a VirtualHost for none.test in the Apache configuration. Please create a VirtualHost with a ServerName matching none.test and try again.") {
		t.Error(err)
	}
	r.Choose = func(_ context.Context, question string, candidates []string, many bool) ([]int, error) {
		if many || len(candidates) != 4 || !strings.Contains(question, "none.test") || !strings.Contains(candidates[2], "HTTPS") {
			t.Errorf("%q %q %v", question, candidates, many)
		}
		return []int{2}, nil
	}
	if p := s.plan(t, r); !strings.Contains(s.result(p)["apache2/sites-available/a.conf"], "<VirtualHost *:443>\nServerName b.a.test\nServerAlias none.test\n") {
		t.Errorf("%v", s.result(p))
	}
	r.Choose = func(context.Context, string, []string, bool) ([]int, error) { return nil, errors.New("cancelled") }
	if _, err := s.Plan(ctx, r); err == nil || !strings.Contains(err.Error(), "cancelled") {
		t.Error(err)
	}
	r = s.request(lineage, "*.a.test")
	r.Choose = func(_ context.Context, _ string, candidates []string, many bool) ([]int, error) {
		if !many || len(candidates) != 1 || !strings.Contains(candidates[0], "HTTPS") {
			t.Errorf("%q %v", candidates, many)
		}
		return []int{0}, nil
	}
	if p := s.plan(t, r); len(p.Serves) != 1 || p.Serves[0].Name != "b.a.test" || strings.Contains(s.result(p)["apache2/sites-available/a.conf"], "*.a.test") {
		t.Errorf("%v", p.Serves)
	}
	r.Deploy, r.Names, r.Enhance.HSTS = false, []string{"c.b.a.test"}, true
	if _, err := s.Plan(ctx, r); err == nil || !strings.HasPrefix(err.Error(), "Certbot was not able to find SSL VirtualHost for a domain c.b.a.test") {
		t.Error(err)
	}
	r.Names = []string{"b.a.test"}
	if p := s.plan(t, r); len(p.Titles) != 1 || len(p.Changes) != 1 || len(p.Checks) != 1 || len(p.Serves) != 0 || len(p.Watch) != 1 || p.Watch[0].Name != "b.a.test" {
		t.Errorf("%+v", p)
	}
	// The only host that is not there for all is taken for any name.
	only := withSSL(t, map[string]string{"a.conf": "<VirtualHost _default_:443>\nServerName b.test\n</VirtualHost>\n<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	if got := only.result(only.plan(t, only.request(lineage, "other.test")))["apache2/sites-available/a-le-ssl.conf"]; !strings.Contains(got, "ServerName a.test\n\nServerAlias other.test\n") {
		t.Errorf("%s", got)
	}
	made := withSSL(t, map[string]string{"m.conf": "<Macro M $n>\n<VirtualHost *:80>\nServerName $n\n</VirtualHost>\n</Macro>\nUse M a.test\nUse M b.test\n"})
	if _, err := made.Plan(ctx, made.request(lineage, "a.test")); err == nil || !strings.HasPrefix(err.Error(), "Certbot could not find a VirtualHost for a.test") {
		t.Error(err)
	}
}
