package apache

import (
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/answer"
	"edge/installers/apache/conf"
)

// sniAnswer is a certificate, and where it has to be shown.
type sniAnswer struct {
	answer.SNI01
	addrs []string
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
			installers.Change{Path: cert, Op: installers.Create, New: s.Cert, Mode: 0o600},
			installers.Change{Path: key, Op: installers.Create, New: s.Key, Mode: 0o600})
		fmt.Fprintf(&text, "<VirtualHost %s>\n", strings.Join(w.sniAddresses(port), " "))
		text.WriteString(indent(
			conf.Line("ServerName", s.Name), "UseCanonicalName on", "SSLStrictSNIVHostCheck on", "LimitRequestBody 1048576",
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
			if v.ServerName == s.Name {
				s.addrs = w.hostAddresses(v, w.r.HTTPSPort)
			}
		}
	}
}
