package config

import (
	"fmt"
	"net"
	"strings"
)

// The directories of Let's Encrypt.
const (
	LetsEncrypt        = "https://acme-v02.api.letsencrypt.org/directory"
	LetsEncryptStaging = "https://acme-staging-v02.api.letsencrypt.org/directory"
)

// DefaultSocket is where the admin socket is unless the configuration says otherwise.
const DefaultSocket = "/run/edge/admin.sock"

// Flags describe one site without a file.
type Flags struct {
	Domains  []string
	To       string // "host:port" or URL
	Email    string
	AgreeTOS bool
	Staging  bool
	CA       string
	CARoot   string
	Storage  string
	HTTP     []string
	HTTPS    []string
	Admin    string
	Metrics  string
}

// FromFlags builds the configuration that a file with the same content would
// give: it passes the same checks. The error is Errors.
func FromFlags(fl Flags) (*Config, error) {
	l := &loader{pos: map[string]Pos{}}
	c := defaults()
	c.Version = 1
	c.ACME.Email, c.ACME.AgreeTOS = fl.Email, fl.AgreeTOS
	flag := func(name string) Pos { return Pos{File: "--" + name} }
	for path, name := range map[string]string{
		"sites[0]": "domain", "sites[0].proxy": "to", "acme": "agree-tos", "acme.email": "email", "acme.ca": "ca", "acme.ca.roots": "ca-root",
		"listen.http": "http", "listen.https": "https", "storage.dir": "storage", "admin.socket": "admin", "metrics.listen": "metrics",
	} {
		l.pos[path] = flag(name)
	}
	switch {
	case fl.CA != "" && fl.Staging:
		l.atPos(flag("staging"), "cannot be combined with --ca", "name the CA's own staging directory with --ca")
	case fl.Staging:
		c.ACME.CAs = []CA{{Directory: LetsEncryptStaging}}
	case fl.CA != "":
		c.ACME.CAs = []CA{{Directory: fl.CA}}
	}
	if fl.CARoot != "" {
		c.ACME.CAs[0].Roots = []string{fl.CARoot}
	}
	if fl.HTTP != nil {
		c.Listen.HTTP = fl.HTTP
	}
	if fl.HTTPS != nil {
		c.Listen.HTTPS = fl.HTTPS
	}
	setIf(&c.Storage.Dir, fl.Storage)
	setIf(&c.Admin.Socket, fl.Admin)
	setIf(&c.Metrics.Listen, fl.Metrics)
	to := fl.To
	if !strings.Contains(to, "://") {
		if _, _, err := net.SplitHostPort(to); err != nil {
			l.atPos(flag("to"), fmt.Sprintf("%q is neither host:port nor a URL", to), "write --to 127.0.0.1:3000")
		}
		to = "http://" + to
	}
	proxy := defaultPool()
	proxy.Servers, proxy.Pos = []Server{{To: to, Weight: 1}}, flag("to")
	l.checkServer("sites[0].proxy", &proxy.Servers[0])
	site := Site{Hosts: fl.Domains, Redirect: 308, Routes: []Route{{Proxy: &proxy, Pos: flag("domain")}}, Pos: flag("domain")}
	c.Sites = []Site{site}
	l.cfg = c
	l.check()
	if len(l.errs) > 0 {
		return nil, l.errs
	}
	return &l.cfg, nil
}

func setIf(to *string, v string) {
	if v != "" {
		*to = v
	}
}
