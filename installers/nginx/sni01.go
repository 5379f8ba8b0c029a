package nginx

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"math/big"
	"net/netip"
	"path/filepath"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/nginx/conf"
)

var anyIPv6 = twin{host: "[::]", addr: netip.IPv6Unspecified()}

// sniAnswer is a certificate for the name that a CA asks for in TLS-SNI-01.
type sniAnswer struct {
	edge.Answer
	name      string
	cert, key []byte // PEM
	leaf      [32]byte
}

func (a *answerer) newSNI(answer edge.Answer) (sniAnswer, error) {
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

// certPath and keyPath are where certbot had them.
func (a *answerer) certPath(s sniAnswer) string { return filepath.Join(a.o.WorkDir, s.Token+".crt") }
func (a *answerer) keyPath(s sniAnswer) string  { return filepath.Join(a.o.WorkDir, s.Token+".pem") }

func (a *answerer) sni01Files() []installers.Change {
	var out []installers.Change
	for _, s := range a.sni01 {
		out = append(out,
			installers.Change{Path: realPath(a.certPath(s)), Op: installers.Create, New: s.cert, Mode: 0o600},
			installers.Change{Path: realPath(a.keyPath(s)), Op: installers.Create, New: s.key, Mode: 0o600})
	}
	return out
}

// realPath has no symbolic links in its folder, where there is one.
func realPath(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path // writing it fails, and says why
	}
	return filepath.Join(dir, filepath.Base(path))
}

// tlsSockets are where a CA may arrive with TLS.
func (a *answerer) tlsSockets(h *conf.HTTP) []*conf.Socket {
	var out []*conf.Socket
	for _, s := range h.Sockets {
		if !s.QUIC && s.Unix == "" && s.Addr.Port() == a.https && s.TLS() {
			out = append(out, s)
		}
	}
	return out
}

// sni01Blocks are a block for each name, on every socket where the CA may arrive.
func (a *answerer) sni01Blocks() string {
	text := ""
	for i, s := range a.sni01 {
		var listens []string
		for _, socket := range a.tlsSockets(a.site.http) {
			listens = append(listens, conf.Line("listen", socket.String(), "ssl"))
		}
		if len(listens) == 0 {
			listens = a.defaultListens(a.https, i == 0, "ssl")
		}
		text += "server {\n"
		for _, line := range append(listens,
			conf.Line("server_name", s.name),
			conf.Line("access_log", "off"),
			conf.Line("ssl_certificate", a.certPath(s)),
			conf.Line("ssl_certificate_key", a.keyPath(s)),
			"location / { "+conf.Line("root", filepath.Join(a.o.WorkDir, "tls_sni_01_page"))+" }",
		) {
			text += "    " + line + "\n"
		}
		text += "}\n"
	}
	return text
}

func (a *answerer) sni01Endpoints(after *site) []installers.Endpoint {
	var out []installers.Endpoint
	for _, s := range a.sni01 {
		for _, socket := range a.tlsSockets(after.http) {
			if addr, ok := reach(socket); ok {
				out = append(out, installers.Endpoint{Addr: addr, Name: s.name, Leaf: s.leaf, ProxyProtocol: socket.ProxyProtocol})
			}
		}
	}
	return out
}
