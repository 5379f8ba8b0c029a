package conf

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"path/filepath"
	"testing"
	"time"
)

// certificates makes NAME.pem and NAME.key for each name, NAME the subject.
func certificates(t *testing.T, dir string, names ...string) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	der, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	for _, name := range names {
		tmpl := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: name}, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
		cert, err := x509.CreateCertificate(rand.Reader, tmpl, tmpl, &key.PublicKey, key)
		if err != nil {
			t.Fatal(err)
		}
		write(t, dir, map[string]string{
			name + ".pem": string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: cert})),
			name + ".key": string(pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})),
		})
	}
}

// The certificate that a handshake shows is the one of Choice.TLS: by SNI, inherited
// from http, of the default server where the chosen block has none, or none at all.
func TestCertificateAsNginx(t *testing.T) {
	dir := t.TempDir()
	certificates(t, dir, "default", "a", "b", "http")
	write(t, dir, map[string]string{"nginx.conf": `events{}
http {
    access_log off;
    server { listen 443 ssl; server_name first.test; ssl_certificate default.pem; ssl_certificate_key default.key; }
    server { listen 443; listen 127.0.0.2:443 ssl; server_name a.test *.a.test; include a.tls; }
    server { listen 443 ssl; server_name bare.test; }
    server { listen 127.0.0.1:8443 ssl default_server; ssl_reject_handshake on; }
    server { listen 127.0.0.1:8443; server_name ~^b\d*\.test$; ssl_certificate b.pem; ssl_certificate_key b.key; }
    server { listen [::1]:443 ssl; server_name six.test; ssl_certificate b.pem; ssl_certificate_key b.key; }
    server { listen 80; listen 8080; server_name plain.test; }
}
`, "a.tls": "ssl_certificate a.pem;\r\nssl_certificate_key a.key;\r\n"})
	h := mustHTTP(t, mustLoad(t, filepath.Join(dir, "nginx.conf")), Env{})
	start(t, dir)
	for _, at := range []string{"127.0.0.1:443", "127.0.0.2:443", "127.0.0.3:443", "127.0.0.1:8443", "[::1]:443"} {
		for _, name := range []string{"", "first.test", "a.test", "x.y.a.test", "A.TEST", "bare.test", "b.test", "b22.test", "other.test", "six.test"} {
			want := shown(t, at, name)
			c, err := h.Choose(netip.MustParseAddrPort(at), name)
			if err != nil {
				t.Fatal(err)
			}
			got := ""
			if certs := c.TLS.Certificates(); len(certs) == 1 {
				got = filepath.Base(certs[0].CertFile)
			}
			if want != "" {
				want += ".pem"
			}
			if got != want || !c.Socket.TLS() {
				t.Errorf("%s %q: nginx shows %q, we expect %q", at, name, want, got)
			}
		}
	}
	if s := h.Socket(netip.MustParseAddrPort("127.0.0.1:80")); s.TLS() {
		t.Error("TLS on port 80")
	}
	for i, want := range []bool{true, true, true, true, true, true, false} {
		if h.Servers[i].TLS != want {
			t.Errorf("server %d: TLS is %v", i, h.Servers[i].TLS)
		}
	}
}

// shown returns the subject of the certificate that a handshake shows, "" if it is refused.
func shown(t *testing.T, at, name string) string {
	t.Helper()
	d := tls.Dialer{Config: &tls.Config{ServerName: name, InsecureSkipVerify: true}} // the test looks at the certificate itself
	conn, err := d.DialContext(t.Context(), "tcp", at)
	if err != nil {
		return ""
	}
	defer conn.Close()
	return conn.(*tls.Conn).ConnectionState().PeerCertificates[0].Subject.CommonName
}

// What is inherited from http, and pairs of certificates.
func TestInherited(t *testing.T) {
	s := loadFiles(t, map[string]string{"nginx.conf": `http {
    ssl_certificate rsa.pem;
    ssl_certificate_key rsa.key;
    server { listen 443 ssl; }
    server { listen 443 ssl; ssl_certificate /x/../y/ec.pem; ssl_certificate $name.pem; ssl_certificate_key engine:e:k; }
    ssl_certificate ec.pem;
    ssl_certificate_key ec.key;
    include tls;
}
`, "tls": "ssl_protocols TLSv1.3;"})
	h := mustHTTP(t, s, Env{})
	first, second := h.Servers[0].Certificates(), h.Servers[1].Certificates()
	if len(first) != 2 || first[1].CertFile != s.Prefix()+"ec.pem" || first[1].KeyFile != s.Prefix()+"ec.key" || first[0].Cert.Place() != s.Main.Path+":2:5" {
		t.Errorf("%+v", first)
	}
	if len(second) != 2 || second[0].CertFile != "/y/ec.pem" || second[0].KeyFile != "" || second[1].CertFile != "" || second[1].Key != nil {
		t.Errorf("%+v", second)
	}
	if d := h.Servers[0].Inherited("ssl_protocols"); len(d) != 1 || d[0].Values()[0] != "TLSv1.3" {
		t.Errorf("%v", d)
	}
	if len(h.Servers[0].Own("ssl_certificate")) != 0 || len(h.Servers[1].Own("ssl_certificate")) != 2 {
		t.Error("own directives are mixed with those of http")
	}
}
