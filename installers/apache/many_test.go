package apache

import (
	"fmt"
	"testing"
	"time"

	"edge/installers"
)

// A thousand virtual hosts, each a file: a plan takes a second; three are allowed where
// others use the machine as well.
func TestThousandHosts(t *testing.T) {
	sites := map[string]string{}
	for i := range 1000 {
		sites[fmt.Sprintf("site%03d.conf", i)] = fmt.Sprintf("<VirtualHost *:80>\n\tServerName site%[1]d.example.test\n\tServerAlias www.site%[1]d.example.test\n\tDocumentRoot /var/www/html\n\tErrorLog ${APACHE_LOG_DIR}/error.log\n\t<Directory /var/www/html>\n\t\tRequire all granted\n\t</Directory>\n</VirtualHost>\n", i)
	}
	s := debianTree(t, sites).detect(t)
	r := s.request(installers.Certificate{Cert: "/x/cert.pem", Key: "/x/privkey.pem", Chain: "/x/chain.pem", FullChain: "/x/fullchain.pem"}, "site777.example.test", "www.site777.example.test", "site3.example.test")
	r.Enhance.Redirect = true
	start := time.Now()
	p := s.plan(t, r)
	took := time.Since(start)
	t.Logf("planned in %v", took)
	if took > 3*time.Second {
		t.Errorf("planned in %v", took)
	}
	if len(p.Serves) != 3 || s.result(p)["apache2/sites-available/site777-le-ssl.conf"] == "" {
		t.Errorf("%v", p.Notes)
	}
	// A certificate for a hundred of them.
	r.Names = nil
	for i := range 100 {
		r.Names = append(r.Names, fmt.Sprintf("site%d.example.test", i))
	}
	start = time.Now()
	s.plan(t, r)
	if took := time.Since(start); took > 3*time.Second {
		t.Errorf("a hundred names planned in %v", took)
	} else {
		t.Logf("a hundred names planned in %v", took)
	}
}
