package nginx

import (
	"cmp"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// build is what nginx -V says.
type build struct {
	product, version string
	base             string // the version of nginx that it is, or was made of
	openssl          string // empty for other libraries
	// The defaults; absolute.
	prefix, conf, pid string
}

var (
	baseLine    = regexp.MustCompile(`(?m)^nginx version: [^/\s]+/([0-9.]+)`)
	versionLine = regexp.MustCompile(`(?mi)^\S+ version: ([^/\s]+)/([0-9.]+)`)
	opensslLine = regexp.MustCompile(`(?:running|built) with OpenSSL ([^ ]+) `)
	configArg   = regexp.MustCompile(` --(prefix|conf-path|pid-path)=(\S+)`)
)

// parseVersion reads what nginx -V says, and refuses what cannot serve certificates by
// name.
func parseVersion(out string) (build, error) {
	m := versionLine.FindStringSubmatch(out)
	switch {
	case m == nil:
		return build{}, certbotError("Unable to find Nginx version")
	case !strings.Contains(out, " --with-http_ssl_module"):
		return build{}, certbotError("Nginx build is missing SSL module (--with-http_ssl_module).")
	case !strings.Contains(strings.ToLower(out), "tls sni support enabled"):
		return build{}, certbotError("Nginx build doesn't support SNI")
	}
	b := build{product: m[1], version: m[2], base: m[2], prefix: "/usr/local/nginx"}
	if base := baseLine.FindStringSubmatch(out); base != nil {
		b.base = base[1]
	} else if strings.EqualFold(b.product, "angie") {
		b.base = "1.23.1" // what it began with; it counts on its own
	}
	if versions(b.base, "0.8.48") < 0 {
		// Older ones take the name of the machine for a missing server_name.
		return build{}, certbotError("Nginx version must be 0.8.48+")
	}
	// "running with" counts and comes last.
	if all := opensslLine.FindAllStringSubmatch(out, -1); all != nil {
		b.openssl = all[len(all)-1][1]
	}
	for _, m := range configArg.FindAllStringSubmatch(out, -1) {
		switch m[1] {
		case "prefix":
			b.prefix = m[2]
		case "conf-path":
			b.conf = m[2]
		case "pid-path":
			b.pid = m[2]
		}
	}
	return b, nil
}

func (b build) confPath() string {
	return under(b.prefix, cmp.Or(b.conf, "conf/nginx.conf"))
}

// under is a path as nginx reads it, relative to a folder.
func under(dir, path string) string {
	if !filepath.IsAbs(path) {
		path = filepath.Join(dir, path)
	}
	return filepath.Clean(path)
}

// versions compares numbers with dots; of letters behind a number ("1.0.2l") the
// first counts.
func versions(a, b string) int {
	split := func(s string) []int {
		var out []int
		for _, part := range strings.Split(s, ".") {
			digits := strings.TrimRight(part, "abcdefghijklmnopqrstuvwxyz-+")
			n, _ := strconv.Atoi(digits)
			out = append(out, n)
			if digits != part {
				out = append(out, int(part[len(digits)]))
			}
		}
		return out
	}
	return slices.Compare(split(a), split(b))
}

// tlsOptions is the file of options that suits the build, as certbot chooses: TLS 1.3 and
// session tickets are not for all.
func (b build) tlsOptions() string {
	noTickets := versions(b.base, "1.5.9") >= 0 && b.openssl != "" && versions(b.openssl, "1.0.2l") >= 0
	switch newer := versions(b.base, "1.13.0") >= 0; {
	case newer && noTickets:
		return "options-ssl-nginx.conf"
	case newer:
		return "options-ssl-nginx-tls13-session-tix-on.conf"
	case noTickets:
		return "options-ssl-nginx-tls12-only.conf"
	}
	return "options-ssl-nginx-old.conf"
}
