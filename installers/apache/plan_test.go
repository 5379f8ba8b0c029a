package apache

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strings"
	"testing"

	"edge/installers"
)

// The result of certbot 2.1, byte for byte.
func TestInstallAsCertbot(t *testing.T) {
	s := debianTree(t, map[string]string{"site.conf": golden(t, "site.conf.before")}).detect(t)
	write(t, s.root, map[string]string{"mods-enabled/rewrite.load": "-> ../mods-available/rewrite.load"})
	live := "/lab/le/live/ap1.example.test/"
	r := s.request(installers.Certificate{Cert: live + "cert.pem", Key: live + "privkey.pem", Chain: live + "chain.pem", FullChain: live + "fullchain.pem"}, "ap1.example.test", "www.ap1.example.test")
	r.Enhance.Redirect = true
	p := s.plan(t, r)
	got := s.result(p)
	want := map[string]string{
		"apache2/sites-available/site-le-ssl.conf": strings.ReplaceAll(golden(t, "site-le-ssl.conf.after-install-redirect"), "/lab/le/options", s.dir+"/le/options"),
		"apache2/sites-available/site.conf":        golden(t, "site.conf.after-install-redirect"),
		"apache2/sites-enabled/site-le-ssl.conf":   "-> " + s.root + "/sites-available/site-le-ssl.conf",
		"le/options-ssl-apache.conf":               currentOptions,
		"le/" + digestName:                         digestOf(currentOptions),
	}
	for name, text := range want {
		if got[name] != text {
			t.Errorf("%s:\n%s\nwant\n%s", name, got[name], text)
		}
		delete(got, name)
	}
	if len(got) != 0 {
		t.Errorf("changed as well: %v", got)
	}
	var commands []string
	for _, c := range p.Commands {
		commands = append(commands, strings.Join(c.Do[2:], " ")+" / "+strings.Join(c.Undo[2:], " "))
	}
	if text := strings.Join(commands, "; "); text != "/usr/sbin/a2enmod socache_shmcb / /usr/sbin/a2dismod -f socache_shmcb; /usr/sbin/a2enmod ssl / /usr/sbin/a2dismod -f ssl" {
		t.Errorf("commands: %s", text)
	}
	if text := fmt.Sprint(p.Serves); text != "[*:443 (ap1.example.test) *:443 (www.ap1.example.test)]" || len(p.Watch) != 0 {
		t.Errorf("%s %v", text, p.Watch)
	}
	if len(p.Titles) != 2 || p.Titles[0] != "Deployed ACME Certificate" {
		t.Errorf("%q", p.Titles)
	}
}

// A module comes with those that it needs, each by a command that can be taken back.
func TestModules(t *testing.T) {
	s := debianTree(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	for _, gone := range []string{"mime.load", "mime.conf"} {
		if err := os.Remove(s.root + "/mods-enabled/" + gone); err != nil {
			t.Fatal(err)
		}
	}
	p := s.detect(t).plan(t, s.request(lineage, "a.test"))
	var done, undone []string
	for _, c := range p.Commands {
		done, undone = append(done, c.Do[len(c.Do)-1]), append(undone, c.Undo[len(c.Undo)-1])
	}
	if want := []string{"mime", "socache_shmcb", "ssl"}; !slices.Equal(done, want) || !slices.Equal(undone, want) {
		t.Errorf("%q %q", done, undone)
	}
	if err := os.Remove(s.root + "/mods-available/ssl.load"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.Plan(context.Background(), s.request(lineage, "a.test")); err == nil || !strings.Contains(err.Error(), "enable the module ssl") {
		t.Error(err)
	}
	no := false
	a, err := Detect(context.Background(), Options{ServerRoot: s.root, OSRelease: osRelease(t), HandleModules: &no, HandleSites: &no})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Plan(context.Background(), s.request(lineage, "a.test")); err == nil || err.Error() != "Could not find ssl_module; not installing certificate." {
		t.Error(err)
	}
}
