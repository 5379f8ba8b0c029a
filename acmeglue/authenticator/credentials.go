package authenticator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"strings"

	"edge/acmeglue"
	"edge/internal/configobj"
)

// maxCredentials is the size of a credentials file in bytes that nobody needs.
const maxCredentials = 64 << 10

// credentials are the keys of an INI file such as --dns-cloudflare-credentials
// names, which begin with the plugin's name.
type credentials struct {
	file   string
	prefix string // "dns_cloudflare_"
	values map[string]string
}

// readCredentials reads a file. Others that may read it are a reason to warn, as
// certbot does.
func readCredentials(file, plugin string, warn func(string)) (*credentials, error) {
	info, err := os.Stat(file)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return nil, textError("File not found: " + file)
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, textError("Path is a directory: " + file)
	case !info.Mode().IsRegular() || info.Size() > maxCredentials:
		return nil, fmt.Errorf("credentials configuration file %s: not a file of at most %d bytes", file, maxCredentials)
	case info.Mode().Perm()&0o007 != 0:
		warn("Unsafe permissions on credentials configuration file: " + file)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	c := &credentials{file, strings.ReplaceAll(plugin, "-", "_") + "_", map[string]string{}}
	if err := c.parse(text); err != nil {
		return nil, textError(fmt.Sprintf("Error parsing credentials configuration: %s: %v", file, err))
	}
	return c, nil
}

// parse takes the plugin's keys, which are before the first section. It never
// quotes a value: most are secret.
func (c *credentials) parse(text []byte) error {
	doc, err := configobj.Parse(text)
	if err != nil {
		return err
	}
	for _, key := range doc.Root().Keys() {
		if !strings.HasPrefix(key, c.prefix) {
			continue
		}
		v, _, err := doc.Root().Lookup(key)
		switch {
		case err != nil:
			return fmt.Errorf("%s refers to another key by %%(name)s, as it is read, and that is not there", key)
		case v.List:
			return fmt.Errorf("%s is a list; put what has a comma in quotes", key)
		}
		c.values[key] = v.Items[0]
	}
	return nil
}

func (c *credentials) get(key string) string { return c.values[c.prefix+key] }

// property is what a file has to have.
type property struct{ key, what string }

func (c *credentials) require(needed ...property) error {
	var missing []string
	for _, p := range needed {
		value, ok := c.values[c.prefix+p.key]
		if value == "" {
			state := "not set"
			if !ok {
				state = "not found"
			}
			missing = append(missing, fmt.Sprintf("Property %q %s (should be %s).", c.prefix+p.key, state, p.what))
		}
	}
	if len(missing) == 0 {
		return nil
	}
	noun := "property"
	if len(missing) > 1 {
		noun = "properties"
	}
	return textError(fmt.Sprintf("Missing %s in credentials configuration file %s:\n * %s", noun, c.file, strings.Join(missing, "\n * ")))
}

const cloudflareTokens = "https://dash.cloudflare.com/?to=/:account/profile/api-tokens"

// cloudflare checks the keys as certbot-dns-cloudflare does.
func (c *credentials) cloudflare(o *acmeglue.DNSOptions) error {
	o.Provider = "cloudflare"
	o.APIToken, o.Email, o.APIKey = c.get("api_token"), c.get("email"), c.get("api_key")
	switch {
	case o.APIToken != "" && (o.Email != "" || o.APIKey != ""):
		return textError(c.file + ": dns_cloudflare_email and dns_cloudflare_api_key are not needed when using an API Token")
	case o.APIToken != "":
		return nil
	case o.Email == "" && o.APIKey == "":
		return textError(c.file + ": Either dns_cloudflare_api_token (recommended), or dns_cloudflare_email and dns_cloudflare_api_key are required. (see " + cloudflareTokens + ")")
	case o.Email == "":
		return textError(c.file + ": dns_cloudflare_email is required when using a Global API Key. (should be email address associated with Cloudflare account)")
	case o.APIKey == "":
		return textError(c.file + ": dns_cloudflare_api_key is required when using a Global API Key. (see " + cloudflareTokens + ")")
	}
	return nil
}

// rfc2136 checks the keys as certbot-dns-rfc2136 does.
func (c *credentials) rfc2136(o *acmeglue.DNSOptions) error {
	if err := c.require(property{"name", "TSIG key name"}, property{"secret", "TSIG key secret"}, property{"server", "The target DNS server"}); err != nil {
		return err
	}
	ip, err := netip.ParseAddr(c.get("server"))
	if err != nil {
		return textError(fmt.Sprintf("The configured target DNS server (%s) is not a valid IPv4 or IPv6 address. A hostname is not allowed.", c.get("server")))
	}
	port := uint16(53)
	if p := c.get("port"); p != "" {
		at, err := netip.ParseAddrPort("[::]:" + p)
		if err != nil || at.Port() == 0 {
			return fmt.Errorf("%s: dns_rfc2136_port: %q is not a port", c.file, p)
		}
		port = at.Port()
	}
	signed := strings.ToLower(c.get("sign_query"))
	if signed != "" && signed != "true" && signed != "false" {
		return fmt.Errorf("%s: dns_rfc2136_sign_query: %q is neither true nor false", c.file, signed)
	}
	algorithm := strings.ToUpper(c.get("algorithm"))
	switch algorithm {
	case "HMAC-SHA1", "HMAC-SHA224", "HMAC-SHA256", "HMAC-SHA384", "HMAC-SHA512":
	case "HMAC-MD5", "":
		return fmt.Errorf("%s: dns_rfc2136_algorithm: HMAC-MD5, which certbot takes where none is named, is not supported any more; "+
			"make a key for HMAC-SHA256 or HMAC-SHA512 and name its algorithm here", c.file)
	default:
		return textError(fmt.Sprintf("Unknown algorithm: %s.", c.get("algorithm")))
	}
	o.Provider, o.Server = "rfc2136", netip.AddrPortFrom(ip, port).String()
	o.KeyName, o.KeySecret, o.KeyAlgorithm = c.get("name"), c.get("secret"), strings.ToLower(algorithm)
	if signed != "true" {
		// The server that takes the updates knows best where its zones begin. One
		// that wants questions signed would not say so to us: then it is the
		// resolvers of this machine who are asked.
		o.Resolvers = []string{o.Server}
	}
	return nil
}
