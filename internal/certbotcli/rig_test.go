package certbotcli

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"fmt"
	"testing"
)

// newCSR makes a request for a common name, if there is one, and names.
func newCSR(t *testing.T, cn, names []string) []byte {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	req := &x509.CertificateRequest{DNSNames: names}
	if cn != nil {
		req.Subject = pkix.Name{CommonName: cn[0]}
	}
	der, err := x509.CreateCertificateRequest(rand.Reader, req, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

// compareSaved looks at what would be in the renewal file.
func compareSaved(t *testing.T, o *Options, auth, inst string, want reply) {
	t.Helper()
	if want.Saved == nil || inst != "" && !certbotInstalls(inst) { // an installer that certbot lacks is for [edge]
		return
	}
	c := o.Clone()
	c.Authenticator, c.Installer = auth, inst
	if c.Account == "" {
		c.Account = "0123456789abcdef"
	}
	params, webroots := c.RenewalParams()
	var got, wanted []string
	for _, p := range params {
		got = append(got, fmt.Sprintf("%s = %q", p.Key, p.Value.Items))
	}
	if webroots != nil {
		got = append(got, fmt.Sprintf("webroot_map = %v", webroots))
	}
	for _, p := range want.Saved {
		if p[0] == "webroot_map" { // written behind all others, being a section
			continue
		}
		wanted = append(wanted, fmt.Sprintf("%s = %q", p[0], texts(p[1])))
	}
	for _, p := range want.Saved {
		if p[0] == "webroot_map" {
			wanted = append(wanted, fmt.Sprintf("webroot_map = %v", pairs(p[1])))
		}
	}
	if fmt.Sprint(got) != fmt.Sprint(wanted) {
		t.Errorf("certbot saves\n%v\nwe save\n%v", wanted, got)
	}
}

// texts is a value of certbot's as a renewal file has it.
func texts(v any) []string {
	switch v := v.(type) {
	case nil:
		return []string{"None"}
	case bool:
		if v {
			return []string{"True"}
		}
		return []string{"False"}
	case float64:
		return []string{fmt.Sprint(int64(v))}
	case []any:
		list := []string{}
		for _, e := range v {
			list = append(list, fmt.Sprint(e))
		}
		return list
	}
	return []string{fmt.Sprint(v)}
}

func pairs(v any) WebrootMap {
	m := WebrootMap{}
	for _, e := range v.([]any) {
		pair := e.([]any)
		m = append(m, Webroot{fmt.Sprint(pair[0]), fmt.Sprint(pair[1])})
	}
	return m
}
