package proxmox

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
)

// host is a node, as it is spoken to.
type host interface {
	// certificates are those that the node has.
	certificates(ctx context.Context) ([]certificate, error)
	// acme says how the node orders certificates itself, "" where it does not; known is
	// false where that cannot be seen.
	acme(ctx context.Context) (how string, known bool, err error)
	// set puts a certificate and its key; force is needed where there is one already.
	set(ctx context.Context, chain, key []byte, force bool) error
	// remove has the node use its own one again.
	remove(ctx context.Context) error
	// address is HOST:PORT where the node shows its certificate.
	address() string
}

// certificate is one of a node's, with what is looked at.
type certificate struct {
	Filename    string `json:"filename"`
	Fingerprint string `json:"fingerprint"` // SHA-256, with colons
	Subject     string `json:"subject"`
	Issuer      string `json:"issuer"`
}

func (c *certificate) leaf() ([sha256.Size]byte, error) {
	raw, err := hex.DecodeString(strings.ReplaceAll(c.Fingerprint, ":", ""))
	if err != nil || len(raw) != sha256.Size {
		return [sha256.Size]byte{}, fmt.Errorf("proxmox: what the node says about %s is no fingerprint", clip(c.Filename))
	}
	return [sha256.Size]byte(raw), nil
}

// custom is the certificate that was put in the place of the node's own; nil where none was.
func custom(list []certificate, p Product) *certificate {
	name := "pveproxy-ssl.pem"
	if p == Backup {
		name = "proxy.pem"
	}
	i := slices.IndexFunc(list, func(c certificate) bool { return c.Filename == name })
	// The backup server's own one is in the same file.
	if i < 0 || p == Backup && list[i].Subject == list[i].Issuer && strings.Contains(list[i].Subject, "Proxmox Backup Server") {
		return nil
	}
	return &list[i]
}

// maxCertificates is far more than a node has.
const maxCertificates = 100

func parseCertificates(raw []byte) ([]certificate, error) {
	var list []certificate
	if err := json.Unmarshal(raw, &list); err != nil {
		return nil, fmt.Errorf("proxmox: what the node says are no certificates: %w", err)
	}
	if len(list) > maxCertificates {
		return nil, fmt.Errorf("proxmox: the node says that it has %d certificates", len(list))
	}
	return list, nil
}

// orders says how a node's configuration has it order certificates, "" where it does not.
// An account alone orders nothing.
func orders(config map[string]string) string {
	var how []string
	for name, v := range config {
		if strings.HasPrefix(name, "acmedomain") || name == "acme" && strings.Contains(v, "domains=") {
			how = append(how, name+": "+clip(v))
		}
	}
	slices.Sort(how)
	return strings.Join(how, "; ")
}

// clip bounds what is quoted of somebody else's text.
func clip(s string) string {
	if len(s) > 80 {
		return strings.ToValidUTF8(s[:80], "") + "..."
	}
	return s
}
