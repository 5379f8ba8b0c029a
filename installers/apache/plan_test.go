package apache

import (
	"fmt"
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
