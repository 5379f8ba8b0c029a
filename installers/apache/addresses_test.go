package apache

import (
	"fmt"
	"net/netip"
	"slices"
	"strings"
	"testing"

	"edge/installers"
)

// What is for all addresses is asked where nothing is for one alone.
func TestWhereToAsk(t *testing.T) {
	t.Parallel()
	const a = "<VirtualHost %s>\nServerName a.test\nSSLEngine on\nSSLCertificateFile /live/x/fullchain.pem\nSSLCertificateKeyFile /live/x/privkey.pem\n</VirtualHost>\n"
	const other = "<VirtualHost %s>\nServerName status.test\n</VirtualHost>\n"
	for name, c := range map[string]struct {
		listen, host string
		others       []string
		no6          bool
		want         string
		warns        string
	}{
		"nobody else":               {"443", "*:443", nil, false, "[*:443 (a.test)]", ""},
		"the loopback is another's": {"443", "*:443", []string{"127.0.0.1:443"}, false, "[127.0.0.2:443 (a.test)]", ""},
		"by default":                {"443", "_default_:443", []string{"127.0.0.1", "127.0.0.2:443"}, false, "[127.0.0.3:443 (a.test)]", ""},
		"another port's":            {"443", "*:443", []string{"127.0.0.1:80"}, false, "[*:443 (a.test)]", ""},
		"any port's":                {"443", "0.0.0.0:443", []string{"127.0.0.1:*"}, false, "[127.0.0.2:443 (a.test)]", ""},
		"by name":                   {"443", "*:443", []string{"localhost:443"}, false, "[127.0.0.2:443 (a.test)]", ""},
		"both":                      {"443", "*:443 127.0.0.1:443", nil, false, "[127.0.0.2:443 (a.test) 127.0.0.1:443 (a.test)]", ""},
		"its own Listen":            {"443\nListen 127.0.0.1:443", "*:443", []string{"127.0.0.1:443"}, false, "[127.0.0.2:443 (a.test)]", ""},
		"a Listen without a host":   {"0.0.0.0:443\nListen 127.0.0.1:443", "*:443", nil, false, "[127.0.0.2:443 (a.test) 127.0.0.1:443 (a.test)]", ""},
		"only that Listen":          {"127.0.0.1:443", "*:443", []string{"127.0.0.1:443"}, false, "[]", "does not listen on an address"},
		"IPv6":                      {"[::]:443", "*:443", nil, false, "[[::1]:443 (a.test)]", ""},
		"IPv6 of another":           {"[::]:443", "*:443", []string{"[::1]:443"}, false, "[]", "What Apache shows at [::]:443 is not looked at"},
		"IPv6 is off":               {"[::]:443", "*:443", nil, true, "[*:443 (a.test)]", ""},
		"IPv6 at IPv4":              {"0.0.0.0:443", "[::1]:443", nil, false, "[]", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			sites := fmt.Sprintf(a, c.host)
			for _, o := range c.others {
				sites += fmt.Sprintf(other, o)
			}
			s := withSSL(t, map[string]string{"a.conf": sites})
			write(t, s.root, map[string]string{"ports.conf": "Listen 80\nListen " + c.listen + "\n"})
			p, err := s.start(t.Context(), s.request(lineage, "a.test"), true)
			if err != nil {
				t.Fatal(err)
			}
			p.local = slices.DeleteFunc(p.local, func(a netip.Addr) bool { return a == netip.IPv6Loopback() })
			if !c.no6 {
				p.local = append(p.local, netip.IPv6Loopback())
			}
			if err := p.deploy(t.Context()); err != nil {
				t.Fatal(err)
			}
			plan, err := p.finish()
			if err != nil {
				t.Fatal(err)
			}
			if got := fmt.Sprint(plan.Serves); got != c.want {
				t.Errorf("asks %s, want %s", got, c.want)
			}
			if !strings.Contains(strings.Join(plan.Warnings, "\n"), c.warns) {
				t.Errorf("warnings %q", plan.Warnings)
			}
		})
	}
}

// A status page on the loopback address, as many have it, does not undo an installation.
func TestStatusPageLive(t *testing.T) {
	t.Parallel()
	const page = "<VirtualHost 127.0.0.1:80>\n\tServerName localhost\n\tDocumentRoot /var/www/html\n</VirtualHost>\n"
	s := debianTree(t, map[string]string{"000-status.conf": page, "two.conf": twoSites}).live(t)
	r := s.request(certificate(t, s.dir+"/le/live/a", "a.example.test", "www.a.example.test"), "a.example.test", "www.a.example.test")
	r.Enhance = installers.Enhancements{Redirect: true}
	if _, err := s.runner().Apply(t.Context(), s, s.plan(t, r), r); err != nil {
		t.Fatal(err)
	}
}
