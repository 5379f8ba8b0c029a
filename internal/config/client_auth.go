package config

import (
	"crypto/x509"
	"encoding/pem"
	"fmt"
)

func clientAuthKey() key {
	return obj("client_auth", "ask clients for certificates; {client_cert_subject} and its like in `headers` tell the backend",
		of(str("mode", "require", "require: nobody comes in without; verify_if_given: who shows one must show a good one; request: any, unverified"), "require", "verify_if_given", "request"),
		list("roots", "", "PEM files with the CAs that issue them; needed but for `request`", text()),
		list("crl", "", "revocation lists, PEM or DER; what they list is refused. One that is out of date goes on refusing what it lists, and the log says so", text()))
}

func (l *loader) decodeClientAuth(v value) *ClientAuth {
	if v.n == nil {
		return nil
	}
	a := &ClientAuth{Mode: "require"}
	v.get("mode").text(&a.Mode)
	a.Roots = l.readRoots(v.get("roots"))
	for _, i := range v.get("crl").items(0) {
		file := beside(v.f.path, i.n.Value)
		data, err := l.readFile(file)
		if block, _ := pem.Decode(data); block != nil {
			data = block.Bytes
		}
		if err == nil {
			_, err = x509.ParseRevocationList(data)
		}
		if err != nil {
			l.at(v.f, i.n, fmt.Sprintf("%s: %s: %v", i.path, file, err), "")
			continue
		}
		a.CRLs = append(a.CRLs, data)
	}
	switch request := a.Mode == "request"; {
	case !request && v.get("roots").n == nil:
		l.at(v.f, v.n, v.path+".roots is missing", "name the CAs that issue clients' certificates; without, every certificate of the Web would do")
	case request && (a.Roots != nil || a.CRLs != nil):
		l.at(v.f, v.n, v.path+": mode request verifies nothing", "remove roots and crl, or choose require or verify_if_given")
	}
	return a
}

// readRoots reads PEM files with certificates of CAs.
func (l *loader) readRoots(v value) (roots []byte) {
	for _, i := range v.items(0) {
		file := beside(v.f.path, i.n.Value)
		data, err := l.readFile(file)
		switch {
		case err != nil:
			l.at(v.f, i.n, fmt.Sprintf("%s: %s: %v", i.path, file, err), "")
		case !x509.NewCertPool().AppendCertsFromPEM(data):
			l.at(v.f, i.n, fmt.Sprintf("%s: %s holds no certificate in PEM form", i.path, file), "")
		}
		roots = append(append(roots, data...), '\n')
	}
	return roots
}

// checkClientAuth refuses what would let requests around the certificate.
func (l *loader) checkClientAuth(path string, s *Site) {
	if s.TLS.ClientAuth != nil && s.Redirect == 0 {
		l.bad(path+".client_auth", "remove redirect: false", "beside redirect: false, plain HTTP would need no certificate")
	}
}
