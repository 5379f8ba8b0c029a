package main

import (
	"crypto/tls"
	"crypto/x509"
	"fmt"
	"net"
	"os"
	"strings"

	"edge"
	"edge/internal/config"
)

// This file maps configuration onto the options of the packages, and does
// nothing else: no sockets, no goroutines.

// siteName is the name under which a site appears in metrics and logs.
func siteName(s config.Site) string { return s.Hosts[0] }

// httpsPort is the port that redirects name: that of the first HTTPS listener.
func httpsPort(cfg *config.Config) string {
	for _, a := range cfg.Listen.HTTPS {
		if _, port, err := net.SplitHostPort(a); err == nil && !strings.HasPrefix(a, "fd:") {
			return port
		}
	}
	return "443"
}

// minVersions lists the sites that ask for more than TLS 1.2.
func minVersions(cfg *config.Config) map[string]uint16 {
	versions := map[string]uint16{}
	for _, s := range cfg.Sites {
		if s.TLS.MinVersion == "1.3" {
			for _, h := range s.Hosts {
				versions[h] = tls.VersionTLS13
			}
		}
	}
	return versions
}

// rootPool reads the CA's own roots; nil means those of the system.
func rootPool(files []string) (*x509.CertPool, error) {
	if len(files) == 0 {
		return nil, nil
	}
	pool := x509.NewCertPool()
	for _, f := range files {
		pem, err := os.ReadFile(f)
		if err != nil {
			return nil, fmt.Errorf("roots of the CA: %w", err)
		}
		if !pool.AppendCertsFromPEM(pem) {
			return nil, fmt.Errorf("roots of the CA: %s has no certificate in PEM form", f)
		}
	}
	return pool, nil
}

func challengeTypes(names []string) []edge.ChallengeType {
	types := make([]edge.ChallengeType, len(names))
	for i, n := range names {
		types[i] = edge.ChallengeType(n)
	}
	return types
}
