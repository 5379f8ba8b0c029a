package acmeglue

import (
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/caddyserver/certmagic"
	"github.com/libdns/cloudflare"
	"github.com/libdns/rfc2136"
)

// DNSOptions say how DNS-01 records are written.
type DNSOptions struct {
	Provider           string // "cloudflare" or "rfc2136"
	APIToken           string // cloudflare; secret
	Server             string // rfc2136: host:port
	KeyName            string
	KeyAlgorithm       string // "hmac-sha256", ...
	KeySecret          string // base64; secret
	OverrideDomain     string // where the records go instead: the target of a CNAME
	Resolvers          []string
	PropagationTimeout time.Duration
	HTTPClient         *http.Client // cloudflare; nil: one of our own
}

// dnsSolver is certmagic's, which removes each record by what the provider
// said it made, also where two values live at one name (a wildcard and its apex).
type dnsSolver = certmagic.DNS01Solver

func newDNSSolver(o *DNSOptions) (*dnsSolver, error) {
	m := &dnsSolver{}
	m.TTL, m.PropagationTimeout = 2*time.Minute, o.PropagationTimeout
	m.Resolvers, m.OverrideDomain = o.Resolvers, o.OverrideDomain
	switch o.Provider {
	case "cloudflare":
		p := &cloudflare.Provider{APIToken: o.APIToken, HTTPClient: &http.Client{Timeout: 30 * time.Second}}
		if o.HTTPClient != nil {
			p.HTTPClient = o.HTTPClient
		}
		m.DNSProvider = p
	case "rfc2136":
		alg := strings.TrimSuffix(o.KeyAlgorithm, ".")
		m.DNSProvider = &rfc2136.Provider{Server: o.Server, KeyName: strings.TrimSuffix(o.KeyName, ".") + ".", KeyAlg: alg, Key: o.KeySecret}
		m.TTL = time.Minute
	default:
		return nil, fmt.Errorf("unknown DNS provider %q; have cloudflare and rfc2136", o.Provider)
	}
	return m, nil
}
