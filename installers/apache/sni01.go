package apache

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"fmt"
	"math/big"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/apache/conf"
)

// sniAnswer is a certificate for the name that a CA asks for in TLS-SNI-01.
type sniAnswer struct {
	edge.Answer
	name      string
	cert, key []byte // PEM
	leaf      [32]byte
	addrs     []string // where it has to be shown
}

func newSNI(answer edge.Answer) (sniAnswer, error) {
	out := sniAnswer{Answer: answer, name: edge.SNI01Name(answer.KeyAuth)}
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return out, err
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		return out, err
	}
	now := time.Now()
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "edge"}, DNSNames: []string{out.name},
		NotBefore: now.Add(-time.Hour), NotAfter: now.Add(24 * time.Hour),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth},
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		return out, err
	}
	pkcs8, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		return out, err
	}
	out.cert = pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	out.key = pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: pkcs8})
	out.leaf = sha256.Sum256(der)
	return out, nil
}

// answerSNI adds a virtual host for each name, wherever a CA may arrive.
func (w *answerer) answerSNI() error {
	if err := w.needModules("ssl", "socache_shmcb"); err != nil {
		return err
	}
	if err := w.optionsFile(); err != nil {
		return err
	}
	port := fmt.Sprint(w.r.HTTPSPort)
	if err := w.listen(port, true); err != nil {
		return err
	}
	work, err := filepath.EvalSymlinks(w.o.WorkDir)
	if err != nil {
		return fmt.Errorf("answer TLS-SNI-01: %w", err)
	}
	var text strings.Builder
	text.WriteString("<IfModule mod_ssl.c>\n")
	for i := range w.sni {
		s := &w.sni[i]
		cert, key := filepath.Join(work, s.Token+".crt"), filepath.Join(work, s.Token+".pem")
		w.late = append(w.late,
			installers.Change{Path: cert, Op: installers.Create, New: s.cert, Mode: 0o600},
			installers.Change{Path: key, Op: installers.Create, New: s.key, Mode: 0o600})
		fmt.Fprintf(&text, "<VirtualHost %s>\n", strings.Join(w.sniAddresses(port), " "))
		text.WriteString(indent(
			conf.Line("ServerName", s.name), "UseCanonicalName on", "SSLStrictSNIVHostCheck on", "LimitRequestBody 1048576",
			conf.Line("Include", filepath.Join(w.r.ConfigDir, optionsName)),
			conf.Line("SSLCertificateFile", cert), conf.Line("SSLCertificateKeyFile", key),
			conf.Line("DocumentRoot", filepath.Join(work, "tls_sni_01_page")),
		))
		text.WriteString("\n</VirtualHost>\n")
	}
	text.WriteString("</IfModule>\n")
	path := filepath.Join(w.challenges, sniFile)
	w.edits.InsertLast(w.set.Main.Root, conf.Line("Include", path))
	w.checks = append(w.checks, w.findSNI)
	return w.write(path, text.String())
}

// sniAddresses are all that virtual hosts have on the port, and any: a specific one
// would hide what is on it.
func (w *answerer) sniAddresses(port string) []string {
	out := []string{"*:" + port}
	for _, v := range w.hosts {
		for _, a := range v.Addrs {
			if a.Port == port && a.Host != "*" && a.Host != "_default_" && !slices.Contains(out, a.String()) {
				out = append(out, a.String())
			}
		}
	}
	return out
}

// findSNI says where the certificates have to be shown.
func (w *answerer) findSNI() {
	for i := range w.sni {
		s := &w.sni[i]
		for _, v := range w.hosts {
			if v.ServerName == s.name {
				s.addrs = w.hostAddresses(v, w.r.HTTPSPort)
			}
		}
	}
}
