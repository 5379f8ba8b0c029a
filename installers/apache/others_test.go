package apache

import (
	"fmt"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
)

// shop is a host for two names, with its certificate.
func shop(cert installers.Certificate, aliases string) string {
	return fmt.Sprintf("<VirtualHost *:443>\nServerName shop.test\nServerAlias %s\nSSLEngine on\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\n</VirtualHost>\n", aliases, cert.FullChain, cert.Key)
}

// A host that shows a certificate for several names does not get one for some of them.
func TestOtherNames(t *testing.T) {
	t.Parallel()
	const http = "<VirtualHost *:80>\nServerName shop.test\nServerAlias www.shop.test\n</VirtualHost>\n"
	old := certificate(t, folder(t)+"/old", "shop.test", "www.shop.test")
	inherits := fmt.Sprintf("<VirtualHost *:443>\nServerName shop.test\nServerAlias www.shop.test\nSSLEngine on\n</VirtualHost>\nSSLCertificateFile %s\nSSLCertificateKeyFile %s\n", old.FullChain, old.Key)
	const also = "also answers shop.test, for which this certificate is not"
	for name, c := range map[string]struct {
		site      string
		names     []string // of the certificate, none: it cannot be read
		asked     []string
		overwrite bool
		refused   string
		warned    string
	}{
		"another name": {shop(old, "www.shop.test"), []string{"www.shop.test"}, []string{"www.shop.test"}, false,
			"sites-enabled/a.conf:1 " + also + ": obtain one for all of its names (-d shop.test -d www.shop.test), or give www.shop.test a host of its own", ""},
		"not readable":            {shop(old, "www.shop.test"), nil, []string{"www.shop.test"}, false, also, ""},
		"of the main server":      {inherits, []string{"www.shop.test"}, []string{"www.shop.test"}, false, also, ""},
		"as certbot":              {shop(old, "www.shop.test"), []string{"www.shop.test"}, []string{"www.shop.test"}, true, "", also},
		"all names asked":         {shop(old, "www.shop.test"), nil, []string{"www.shop.test", "shop.test"}, false, "", ""},
		"the certificate has it":  {shop(old, "www.shop.test"), []string{"www.shop.test", "SHOP.test"}, []string{"www.shop.test"}, false, "", ""},
		"a wildcard has it":       {shop(old, "a.shop.test b.shop.test"), []string{"*.shop.test", "shop.test"}, []string{"a.shop.test"}, false, "", ""},
		"a wildcard below it":     {shop(old, "b.a.shop.test"), []string{"*.shop.test", "shop.test"}, []string{"shop.test"}, false, "also answers b.a.shop.test", ""},
		"names that no CA has":    {shop(old, "localhost 10.0.0.1 intranet *.shop.test"), []string{"shop.test"}, []string{"shop.test"}, false, "", ""},
		"the first of a TLS host": {strings.Replace(http, ":80", ":443", 1), []string{"www.shop.test"}, []string{"www.shop.test"}, false, "", also + ", and will do so over HTTPS, too: obtain one for all of its names (-d shop.test -d www.shop.test)"},
		"the first":               {http, []string{"www.shop.test"}, []string{"www.shop.test"}, false, "", also},
		"the first, for all":      {http, nil, []string{"shop.test", "www.shop.test"}, false, "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			s := withSSL(t, map[string]string{"a.conf": c.site})
			cert := lineage
			if len(c.names) > 0 {
				cert = certificate(t, s.dir+"/le/live/new", c.names...)
			}
			r := s.request(cert, c.asked...)
			r.Overwrite = c.overwrite
			p, err := s.Plan(t.Context(), r)
			if c.refused != "" {
				if err == nil || !strings.Contains(err.Error(), c.refused) {
					t.Fatalf("got %v", err)
				}
				return
			}
			if err != nil {
				t.Fatal(err)
			}
			if warned := strings.Join(p.Warnings, "\n"); !strings.Contains(warned, c.warned) || c.warned == "" && strings.Contains(warned, "also answers") {
				t.Errorf("warned: %q", warned)
			}
		})
	}
	// One that has the certificate already keeps it, whatever it answers.
	s := withSSL(t, map[string]string{"a.conf": shop(old, "www.shop.test other.test")})
	s.plan(t, s.request(old, "www.shop.test"))
}

// Where a new host for HTTPS would stand before one that has a name already, that one is
// watched: it shows the same afterwards.
func TestTwinInFront(t *testing.T) {
	t.Parallel()
	old := certificate(t, folder(t)+"/old", "shop.test")
	s := withSSL(t, map[string]string{
		"a.conf": "<VirtualHost *:80>\nServerName shop.test\nServerAlias www.shop.test\n</VirtualHost>\n",
		"z.conf": strings.Replace(shop(old, ""), "ServerAlias \n", "", 1),
	})
	dir := filepath.Join(s.dir, "le/live/new")
	for want, names := range map[string][]string{"[*:443 (shop.test)]": {"www.shop.test"}, "[]": {"www.shop.test", "shop.test"}} {
		if p := s.plan(t, s.request(certificate(t, dir, names...), "www.shop.test")); fmt.Sprint(p.Watch) != want {
			t.Errorf("%q: watched %v, want %s", names, p.Watch, want)
		}
	}
}
