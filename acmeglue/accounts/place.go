package accounts

import (
	"fmt"
	"path/filepath"
	"strings"
)

// earlier has the servers whose accounts another server takes over, by their places
// (certbot: constants.py, LE_REUSE_SERVERS).
var earlier = map[string]string{
	"acme-v02.api.letsencrypt.org/directory":         "acme-v01.api.letsencrypt.org/directory",
	"acme-staging-v02.api.letsencrypt.org/directory": "acme-staging.api.letsencrypt.org/directory",
}

// later is earlier the other way round, or "".
func later(place string) string {
	for l, e := range earlier {
		if e == place {
			return l
		}
	}
	return ""
}

// placeOf is where the accounts at a server are, below accounts/: its host and path,
// cut out as Python's urlparse does.
func placeOf(server string) (string, error) {
	_, rest, ok := strings.Cut(server, "://")
	rest, _, _ = strings.Cut(rest, "#")
	rest, _, _ = strings.Cut(rest, "?")
	host, path, _ := strings.Cut(rest, "/")
	if dir, last := filepath.Split(path); strings.Contains(last, ";") {
		last, _, _ = strings.Cut(last, ";")
		path = dir + last
	}
	parts := strings.Split(path, "/")
	for _, part := range append(parts, host) {
		if part == ".." || part == "." || strings.ContainsRune(part, 0) {
			ok = false
		}
	}
	if !ok || host == "" {
		return "", fmt.Errorf("server %q: not the URL of an ACME directory", server)
	}
	return filepath.Join(append([]string{host}, parts...)...), nil
}
