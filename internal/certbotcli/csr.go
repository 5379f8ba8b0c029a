package certbotcli

import (
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// CSR is a certificate signing request from a file.
type CSR struct {
	Path string // absolute
	DER  []byte
	// Domains and IPs are the names that it asks for: the common name first, as
	// certbot has it.
	Domains, IPs []string

	content []byte
}

const maxFile = 1 << 20 // bytes, of a CSR or a cli.ini

// readFile reads a file that is not endless.
func readFile(path string) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close()
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err == nil && len(data) > maxFile {
		err = fmt.Errorf("more than %d bytes", maxFile)
	}
	return data, err
}

// reason is the system's word for an error, as Python has it.
func reason(err error) string {
	var errno syscall.Errno
	if errors.As(err, &errno) {
		s := errno.Error()
		return strings.ToUpper(s[:1]) + s[1:]
	}
	return err.Error()
}

func (p *parser) readCSR(f *Flag, value string) error {
	path, err := filepath.Abs(value)
	if err != nil {
		return &RefusedError{err.Error()}
	}
	content, err := readFile(path)
	if err != nil {
		return p.argument(f, reason(err))
	}
	p.o.CSR = &CSR{Path: path, content: content}
	return nil
}

// derOf is the request in a file that is DER, or PEM with perhaps more in it.
func derOf(content []byte) []byte {
	for rest := content; ; {
		block, after := pem.Decode(rest)
		if block == nil {
			return content
		}
		if strings.HasSuffix(block.Type, "CERTIFICATE REQUEST") {
			return block.Bytes
		}
		rest = after
	}
}

// useCSR takes the names from the request, which must be those that were asked
// for, if any were (certbot: handle_csr).
func (p *parser) useCSR() error {
	o, c := p.o, p.o.CSR
	if o.Verb != "certonly" {
		return &RefusedError{"Currently, a CSR file may only be specified when obtaining a new or replacement via the certonly command. Please try the certonly command instead."}
	}
	if o.AllowSubsetOfNames {
		return &RefusedError{"--allow-subset-of-names cannot be used with --csr"}
	}
	c.DER = derOf(c.content)
	req, err := x509.ParseCertificateRequest(c.DER)
	if err != nil {
		return &RefusedError{"Failed to parse CSR file: " + c.Path}
	}
	names := req.DNSNames
	if cn := req.Subject.CommonName; cn != "" {
		names = slices.Concat([]string{cn}, slices.DeleteFunc(slices.Clone(names), func(s string) bool { return s == cn }))
	}
	for _, name := range names {
		added, err := p.addDomains(name)
		if err != nil {
			return err
		}
		for _, d := range added {
			if !slices.Contains(c.Domains, d) {
				c.Domains = append(c.Domains, d)
			}
		}
	}
	for _, ip := range req.IPAddresses {
		c.IPs = append(c.IPs, ip.String())
		p.addOnce(&o.IPs, ip.String())
	}
	if len(c.Domains)+len(c.IPs) == 0 {
		return &RefusedError{fmt.Sprintf("Unfortunately, your CSR %s needs to have a SubjectAltName for every domain", c.Path)}
	}
	if more := len(o.Domains) + len(o.IPs) - len(c.Domains) - len(c.IPs); more > 0 {
		return &RefusedError{fmt.Sprintf("Inconsistent domain requests:\nFrom the CSR: %s\nFrom command line/config: %s",
			strings.Join(slices.Concat(c.Domains, c.IPs), ", "), strings.Join(slices.Concat(o.Domains, o.IPs), ", "))}
	}
	return nil
}
