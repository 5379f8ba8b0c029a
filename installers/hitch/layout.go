package hitch

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"edge/installers"
)

// layout is what a configuration says about certificates.
type layout struct {
	src       []byte
	files     []pemFile // for all frontends that have none of their own
	dir, glob string    // pem-dir
	frontends []frontend
}

// pemFile is a certificate that the configuration names.
type pemFile struct {
	path string
	at   span // of the whole entry
	val  span // of the path, with its quotes
	drop []span
	line int
	// plus: it is the end of a frontend's address, and cannot be edited.
	plus bool
}

// frontend is where hitch listens.
type frontend struct {
	at     installers.Endpoint
	files  []pemFile // its own
	global bool      // it has the certificates of the others too
}

// read makes a layout of a configuration.
func read(src []byte) (*layout, error) {
	entries, err := parse(src)
	if err != nil {
		return nil, err
	}
	l := &layout{src: src}
	proxy := false
	for _, e := range entries {
		switch e.key {
		case "pem-file":
			l.files = append(l.files, pemOf(e))
		case "pem-dir":
			l.dir = e.value
		case "pem-dir-glob":
			l.glob = e.value
		case "proxy-proxy":
			proxy = truth(e.value)
		case "frontend":
			f, err := frontendOf(e)
			if err != nil {
				return nil, fmt.Errorf("line %d: %w", e.line, err)
			}
			l.frontends = append(l.frontends, f)
		}
	}
	if len(l.frontends) == 0 {
		l.frontends = []frontend{{at: installers.Endpoint{Addr: ":8443"}, global: true}} // hitch's own
	}
	for i := range l.frontends {
		l.frontends[i].at.ProxyProtocol = proxy
	}
	return l, nil
}

func pemOf(e entry) pemFile {
	f := pemFile{path: e.value, at: e.at, val: e.val, line: e.line}
	for _, in := range e.block {
		switch in.key {
		case "cert":
			f.path, f.val = in.value, in.val
		case "private-key", "ocsp-resp-file":
			f.drop = append(f.drop, in.at)
		}
	}
	return f
}

func frontendOf(e entry) (frontend, error) {
	var f frontend
	if !e.isMap {
		address, own, has := strings.Cut(e.value, "+")
		if has {
			f.files = []pemFile{{path: own, at: e.at, line: e.line, plus: true}}
		}
		host, port, ok := strings.Cut(strings.TrimPrefix(address, "["), "]:")
		if !ok || !strings.HasPrefix(address, "[") {
			return f, fmt.Errorf("frontend %.60q is not [HOST]:PORT", e.value)
		}
		f.at.Addr, f.global = net.JoinHostPort(host, port), !has
		return f, nil
	}
	host, port := "*", ""
	var global *bool
	for _, in := range e.block {
		switch in.key {
		case "host":
			host = in.value
		case "port":
			port = in.value
		case "pem-file":
			f.files = append(f.files, pemOf(in))
		case "match-global-certs":
			yes := truth(in.value)
			global = &yes
		}
	}
	if port == "" {
		return f, errors.New("frontend: it has no port")
	}
	f.at.Addr = net.JoinHostPort(host, port)
	f.global = len(f.files) == 0
	if global != nil {
		f.global = *global
	}
	return f, nil
}

// matches reports whether hitch takes a file of its pem-dir.
func (l *layout) matches(name string) bool {
	if l.glob == "" {
		return true
	}
	ok, err := filepath.Match(strings.ReplaceAll(l.glob, "[!", "[^"), name)
	return ok && err == nil
}

// maxDir bounds the files of a pem-dir that are looked at.
const maxDir = 100_000

// inDir are the paths of the files that hitch takes from its pem-dir.
func (l *layout) inDir() ([]string, error) {
	if l.dir == "" {
		return nil, nil
	}
	entries, err := os.ReadDir(l.dir)
	if err != nil {
		return nil, fmt.Errorf("pem-dir: %w", err)
	}
	if len(entries) > maxDir {
		return nil, fmt.Errorf("pem-dir: %s has more than %d files", l.dir, maxDir)
	}
	var list []string
	for _, e := range entries {
		if l.matches(e.Name()) {
			list = append(list, filepath.Join(l.dir, e.Name()))
		}
	}
	return list, nil
}

const maxPEM = 1 << 20 // bytes

// leafOf is the first certificate of a PEM file, with the whole content.
func leafOf(path string) (*x509.Certificate, []byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // only read
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, nil, errors.Join(err, fmt.Errorf("%s: %w", path, fs.ErrInvalid))
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxPEM+1))
	if err == nil && len(raw) > maxPEM {
		err = fmt.Errorf("%s has more than %d bytes", path, maxPEM)
	}
	if err != nil {
		return nil, nil, err
	}
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if strings.HasSuffix(block.Type, "CERTIFICATE") { // also TRUSTED CERTIFICATE
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil, raw, fmt.Errorf("%s: %w", path, err)
			}
			return c, raw, nil
		}
	}
	return nil, raw, fmt.Errorf("%s has no certificate", path)
}

// sni are the names that hitch answers with a certificate, in lower case.
func sni(c *x509.Certificate) map[string]bool {
	names := map[string]bool{}
	for _, n := range c.DNSNames {
		names[strings.ToLower(n)] = true
	}
	if len(names) == 0 && c.Subject.CommonName != "" {
		names[strings.ToLower(c.Subject.CommonName)] = true
	}
	return names
}
