package acmeglue

import (
	"fmt"
	"os"

	"edge"
)

// readStatic reads the pairs of the configuration, in order.
func (m *Manager) readStatic(pairs []StaticPair) ([]*held, error) {
	out := make([]*held, len(pairs))
	for i, p := range pairs {
		chain, err := os.ReadFile(p.CertFile)
		if err != nil {
			return nil, fmt.Errorf("tls.cert: %w", err)
		}
		key, err := os.ReadFile(p.KeyFile)
		if err != nil {
			return nil, fmt.Errorf("tls.key: %w", err)
		}
		h, err := m.share.parse(chain, key)
		if err != nil {
			return nil, fmt.Errorf("certificate %s with key %s: %w", p.CertFile, p.KeyFile, err)
		}
		if leaf := leafOf(chain); leaf != nil {
			for _, n := range p.Hosts {
				if n != "*" && !covers(leaf, n) {
					m.log.Warn("a configured certificate is not for its host; clients will refuse it", "name", n, "file", p.CertFile)
				}
			}
		}
		out[i] = h
	}
	return out, nil
}

// staticIdentifier takes hosts as the configuration has them, "*" included.
func staticIdentifier(host string) edge.Identifier {
	if id, err := edge.ParseIdentifier(host); err == nil {
		return id
	}
	return edge.Identifier{Type: edge.DNS, Value: host}
}
