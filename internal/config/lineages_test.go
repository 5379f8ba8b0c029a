package config

import (
	"errors"
	"reflect"
	"strings"
	"testing"
	"time"
)

// Everything that certificates can say, read back, from two files.
func TestCertificates(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "conf.d/mail.yaml", `certificates:
  - name: mail
    hosts: [Mail.example.org, "*.example.org", bücher.example]
    challenges: [dns-01]
    dns: {provider: rfc2136, server: "[::1]", key_name: k., key_secret: c2VjcmV0, propagation_timeout: 5s}
    key_type: rsa2048
    ca: [{directory: "https://ca.example.test/dir", preferred_chain: Root X}]
    profile: shortlived
`, 0o644)
	path := write(t, dir, "edge.yaml", minimal+`  - hosts: [app.example.org, deep.app.example.org]
    tls: {lineage: app, min_version: "1.3"}
    proxy: http://127.0.0.1:1
  - hosts: ["*"]
    tls: {lineage: made-by-certbot}
    proxy: http://127.0.0.1:1
certificates:
  - name: app
    hosts: [app.example.org, "*.app.example.org", 192.0.2.7]
    challenges: [http-01, dns-01]
    dns: {provider: cloudflare, api_token: x}
`, 0o644)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	if got := []string{c.Sites[1].TLS.Lineage, c.Sites[1].TLS.MinVersion, c.Sites[2].TLS.Lineage}; !reflect.DeepEqual(got, []string{"app", "1.3", "made-by-certbot"}) {
		t.Errorf("lineages of sites: %q", got)
	}
	want := []Certificate{{
		Name: "app", Hosts: []string{"app.example.org", "*.app.example.org", "192.0.2.7"}, Challenges: []string{"http-01", "dns-01"},
		DNS: &DNS{Provider: "cloudflare", APIToken: "x", KeyAlgorithm: "hmac-sha256", PropagationTimeout: 2 * time.Minute},
		Pos: Pos{path, 13, 5},
	}, {
		Name: "mail", Hosts: []string{"mail.example.org", "*.example.org", "xn--bcher-kva.example"}, Challenges: []string{"dns-01"},
		CAs: []CA{{Directory: "https://ca.example.test/dir", PreferredChain: "Root X"}}, KeyType: "rsa2048", Profile: "shortlived",
		DNS: &DNS{Provider: "rfc2136", Server: "[::1]:53", KeyName: "k.", KeySecret: "c2VjcmV0", KeyAlgorithm: "hmac-sha256", PropagationTimeout: 5 * time.Second},
		Pos: Pos{dir + "/conf.d/mail.yaml", 2, 5},
	}}
	if !reflect.DeepEqual(c.Certificates, want) {
		t.Errorf("got  %+v\nwant %+v", c.Certificates, want)
	}
	// A machine with a steward and no front door.
	if c, err := Load(write(t, t.TempDir(), "edge.yaml", "version: 1\nacme: {agree_tos: true}\ncertificates: [{name: a, hosts: [a.test]}]\n", 0o644)); err != nil || len(c.Certificates) != 1 {
		t.Errorf("without sites: %v", err)
	}
}

func TestCertificateMistakes(t *testing.T) {
	cert := func(s string) string { return minimal + "certificates:\n  - " + s + "\n" }
	site := func(tls string) string {
		return "version: 1\nacme: {agree_tos: true}\nsites:\n  - {hosts: [a.test, b.test], proxy: 'http://127.0.0.1:1', tls: {" + tls + "}}\n"
	}
	for name, c := range map[string]struct{ yaml, at, want string }{
		"no name":               {cert("{hosts: [a.test]}"), ":7:5", "certificates.name is missing"},
		"no hosts":              {cert("{name: a}"), ":7:5", "certificates.hosts is missing"},
		"empty hosts":           {cert("{name: a, hosts: []}"), ":7:22", "no host"},
		"misspelt":              {cert("{name: a, host: [a.test]}"), ":7:5", "did you mean hosts?"},
		"slash":                 {cert("{name: ../a, hosts: [a.test]}"), ":7:12", "begins with a dot"},
		"slash inside":          {cert("{name: a/b, hosts: [a.test]}"), ":7:12", "has a slash"},
		"long name":             {cert("{name: " + strings.Repeat("x", 201) + ", hosts: [a.test]}"), ":7:12", "200 are possible"},
		"name of an option":     {cert("{name: -x, hosts: [a.test]}"), ":7:12", "a hyphen"},
		"name twice":            {cert("{name: a, hosts: [a.test]}\n  - {name: a, hosts: [b.test]}"), ":8:12", "described already, at"},
		"host twice":            {cert("{name: a, hosts: [a.test, A.test]}"), ":7:31", "a.test is named twice"},
		"bad host":              {cert("{name: a, hosts: [a_b.test]}"), ":7:23", "without scheme"},
		"star":                  {cert("{name: a, hosts: ['*']}"), ":7:23", "no certificate for every name"},
		"acme.invalid":          {cert("{name: a, hosts: [x.acme.invalid]}"), ":7:23", "reserved for validation"},
		"wildcard":              {cert("{name: a, hosts: ['*.a.test'], challenges: [http-01]}"), ":7:23", "needs dns-01"},
		"wildcard by default":   {cert("{name: a, hosts: ['*.a.test']}"), ":7:23", "needs dns-01"},
		"dns-01 without dns":    {cert("{name: a, hosts: [a.test], challenges: [dns-01]}"), ":7:44", "dns-01 without acme.dns"},
		"incomplete dns":        {cert("{name: a, hosts: [a.test], dns: {provider: cloudflare}}"), ":7:37", "api_token is missing"},
		"address by dns-01":     {cert("{name: a, hosts: [192.0.2.1], challenges: [dns-01], dns: {provider: cloudflare, api_token: x}}"), ":7:23", "cannot be validated by dns-01"},
		"key type":              {cert("{name: a, hosts: [a.test], key_type: p265}"), ":7:42", "did you mean p256?"},
		"plain directory":       {cert("{name: a, hosts: [a.test], ca: 'http://ca.test/d'}"), ":7:36", "use https"},
		"sni with public CA":    {cert("{name: a, hosts: [a.test], challenges: [tls-sni-01]}"), ":7:5", "public CA"},
		"no agreement":          {strings.Replace(cert("{name: a, hosts: [a.test]}"), "true", "false", 1), ":2:7", "terms of service"},
		"no agreement, no site": {"version: 1\ncertificates: [{name: a, hosts: [a.test]}]\n", "", "terms of service"},
		"lineage name":          {site("lineage: .x"), ":4:75", "begins with a dot"},
		"lineage empty":         {site("lineage: ''"), ":4:75", "the name is empty"},
		"lineage and key":       {site("lineage: a, cert: x.pem, key: x.pem"), ":4:65", "make no sense beside it"},
		"lineage and ca":        {site("lineage: a, ca: 'https://ca.test/d'"), ":4:65", "make no sense beside it"},
		"lineage, on demand":    {site("lineage: a, on_demand: {allow: [x.test]}"), ":4:65", "make no sense beside it"},
		"misspelt lineage":      {site("linage: a"), ":4:66", "did you mean lineage?"},
		"not its host":          {site("lineage: a") + "certificates: [{name: a, hosts: ['*.a.test', a.test], challenges: [dns-01], dns: {provider: cloudflare, api_token: x}}]\n", ":4:75", "lineage a is not for b.test"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir(), "edge.yaml", c.yaml, 0o644)
			_, err := Load(path)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want Errors", err)
			}
			if !strings.HasPrefix(err.Error(), path+c.at) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q at %s, got:\n%s", c.want, c.at, err)
			}
		})
	}
}
