package main

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"
)

// start brings up the backend; servers come when a work asks for them.
func (b *bench) start() error {
	addrs, err := freeAddrs(2)
	if err != nil {
		return err
	}
	if err := b.writePair(); err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	b.h2c = addrs[1]
	if b.backend, err = startProcess(b.dir, "backend", addrs[0], self, "child", "backend", addrs[0], addrs[1]); err != nil {
		return err
	}
	return b.backend.listening()
}

// server returns the running server of a player, started at its first use.
func (b *bench) server(p player) (*process, error) {
	key := fmt.Sprintf("%s-%d-%v-%v", p.server, p.setup.sites, p.setup.zip, p.setup.h2up)
	if s := b.servers[key]; s != nil {
		return s, nil
	}
	make := configs[p.server]
	if make == nil {
		return nil, fmt.Errorf("unknown server %q", p.server)
	}
	addrs, err := freeAddrs(1)
	if err != nil {
		return nil, err
	}
	dir := filepath.Join(b.dir, key)
	if err := os.Mkdir(dir, 0o700); err != nil && !errors.Is(err, fs.ErrExist) {
		return nil, err
	}
	for _, f := range []string{"cert.pem", "key.pem", "both.pem"} {
		if err := os.Link(filepath.Join(b.dir, f), filepath.Join(dir, f)); err != nil && !errors.Is(err, fs.ErrExist) {
			return nil, err
		}
	}
	c := config{dir: dir, addr: addrs[0], backend: b.backend.addr, edge: b.edge, setup: p.setup}
	if p.setup.h2up {
		c.backend = b.h2c
	}
	args, err := make(c)
	if err != nil {
		return nil, err
	}
	s, err := startProcess(dir, p.server, c.addr, args...)
	if err != nil {
		return nil, err
	}
	if b.servers == nil {
		b.servers = map[string]*process{}
	}
	s.sites = max(p.setup.sites, 1)
	b.servers[key] = s
	return s, s.listening()
}

func freeAddrs(n int) ([]string, error) {
	var addrs []string
	for range n {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()
		addrs = append(addrs, l.Addr().String())
	}
	return addrs, nil
}

func write(dir, name, content string) error {
	return os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600)
}

// authority signs the certificates of the bench.
type authority struct {
	key  *ecdsa.PrivateKey
	cert *x509.Certificate
	pem  []byte
}

func newAuthority() (*authority, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "bench CA"}, IsCA: true, BasicConstraintsValid: true,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(1, 0, 0), KeyUsage: x509.KeyUsageCertSign}
	der, err := x509.CreateCertificate(rand.Reader, t, t, &key.PublicKey, key)
	if err != nil {
		return nil, err
	}
	cert, err := x509.ParseCertificate(der)
	return &authority{key, cert, pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})}, err
}

// issue returns a chain and a key in PEM form.
func (a *authority) issue(serial int64, names ...string) (chain, key []byte, err error) {
	k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, nil, err
	}
	t := &x509.Certificate{SerialNumber: big.NewInt(serial), DNSNames: names, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().AddDate(0, 0, 90),
		KeyUsage: x509.KeyUsageDigitalSignature, ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageServerAuth}}
	der, err := x509.CreateCertificate(rand.Reader, t, a.cert, &k.PublicKey, a.key)
	if err != nil {
		return nil, nil, err
	}
	b, err := x509.MarshalECPrivateKey(k)
	if err != nil {
		return nil, nil, err
	}
	chain = append(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der}), a.pem...)
	return chain, pem.EncodeToMemory(&pem.Block{Type: "EC PRIVATE KEY", Bytes: b}), nil
}

func (b *bench) writePair() error {
	a, err := newAuthority()
	if err != nil {
		return err
	}
	chain, key, err := a.issue(2, host, "*."+host)
	if err != nil {
		return err
	}
	for name, content := range map[string][]byte{"cert.pem": chain, "key.pem": key, "both.pem": append(append([]byte{}, chain...), key...)} {
		if err := write(b.dir, name, string(content)); err != nil {
			return err
		}
	}
	return nil
}

// starts measures how long edge and Caddy take until every stored certificate
// can be served, each on a copy of the same storage.
func (b *bench) starts(edgeBin string) (result, error) {
	r := result{Work: "start", Unit: fmt.Sprintf("seconds until all of %d stored certificates are served", b.o.certs), Samples: map[string][]float64{}, Failures: map[string]int{}}
	a, err := newAuthority()
	if err != nil {
		return r, err
	}
	const issuer = "acme.bench.test-directory"
	names := make([]string, b.o.certs)
	for i := range names {
		names[i] = fmt.Sprintf("n%05d.bench.test", i)
		chain, key, err := a.issue(int64(i+2), names[i])
		if err != nil {
			return r, err
		}
		meta := fmt.Sprintf(`{"sans":[%q],"issuer_data":{"url":"https://acme.bench.test/cert/%d","ca":"https://acme.bench.test/directory"}}`, names[i], i)
		for _, storage := range []string{"s-edge", "s-caddy"} {
			dir := filepath.Join(b.dir, storage, "certificates", issuer, names[i])
			if err := os.MkdirAll(dir, 0o700); err != nil {
				return r, err
			}
			for ext, content := range map[string]string{"crt": string(chain), "key": string(key), "json": meta} {
				if err := write(dir, names[i]+"."+ext, content); err != nil {
					return r, err
				}
			}
		}
	}
	for range b.o.rounds {
		for _, name := range b.names {
			if name != "edge" && name != "caddy" {
				continue
			}
			seconds, err := b.startOnce(name, edgeBin, names)
			if err != nil {
				return r, fmt.Errorf("%s: %w", name, err)
			}
			r.Samples[name] = append(r.Samples[name], seconds)
		}
	}
	return r, nil
}

func (b *bench) startOnce(server, edgeBin string, names []string) (float64, error) {
	addrs, err := freeAddrs(2)
	if err != nil {
		return 0, err
	}
	addr := addrs[0]
	args := []string{edgeBin, "serve", "--config", filepath.Join(b.dir, "start.yaml")}
	err = write(b.dir, "start.yaml", fmt.Sprintf(`version: 1
listen: {http: ["127.0.0.1:0"], https: ["%s"]}
acme: {agree_tos: true, ca: "https://acme.bench.test/directory"}
storage: {dir: %s/s-edge}
admin: {socket: %s/start.sock}
log: {level: error}
sites:
  - proxy: http://127.0.0.1:1
    hosts: [%s]
`, addr, b.dir, b.dir, strings.Join(names, ", ")))
	if server == "caddy" {
		_, port, _ := net.SplitHostPort(addr)
		_, httpPort, _ := net.SplitHostPort(addrs[1])
		args = []string{"caddy", "run", "--config", filepath.Join(b.dir, "start.caddy"), "--adapter", "caddyfile"}
		err = write(b.dir, "start.caddy", fmt.Sprintf("{\n  admin off\n  http_port %s\n  https_port %s\n  default_bind 127.0.0.1\n  acme_ca https://acme.bench.test/directory\n  storage file_system %s/s-caddy\n  auto_https disable_redirects\n  log {\n    output discard\n  }\n}\n%s {\n  reverse_proxy 127.0.0.1:1\n}\n",
			httpPort, port, b.dir, strings.Join(names, ", ")))
	}
	if err != nil {
		return 0, err
	}
	begin := time.Now()
	p, err := startProcess(b.dir, "start-"+server, addr, args...)
	if err != nil {
		return 0, err
	}
	defer p.stop()
	if err := p.listening(); err != nil {
		return 0, err
	}
	// A sample over the whole, the last name included.
	for i := 0; i < len(names); i += max(1, len(names)/200) {
		if err := b.served(p, addr, names[min(i, len(names)-1)]); err != nil {
			return 0, err
		}
	}
	if err := b.served(p, addr, names[len(names)-1]); err != nil {
		return 0, err
	}
	return time.Since(begin).Seconds(), nil
}

// served waits until a handshake for a name gets its certificate.
func (b *bench) served(p *process, addr, name string) error {
	deadline := time.Now().Add(60 * time.Second)
	for {
		conn, err := tls.Dial("tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
		if err == nil {
			ok := conn.ConnectionState().PeerCertificates[0].VerifyHostname(name) == nil
			conn.Close()
			if ok {
				return nil
			}
		}
		if time.Now().After(deadline) {
			return fmt.Errorf("%s is not served: %v", name, err)
		}
		time.Sleep(5 * time.Millisecond)
	}
}
