package hooks

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// given are the variables that hooks are told something by. Other names that
// begin like these, such as a CERTBOT_EMAIL of the user's own, pass.
var given = []string{
	"CERTBOT_DOMAIN", "CERTBOT_IDENTIFIER", "CERTBOT_VALIDATION", "CERTBOT_TOKEN", "CERTBOT_REMAINING_CHALLENGES",
	"CERTBOT_ALL_DOMAINS", "CERTBOT_ALL_IDENTIFIERS", "CERTBOT_AUTH_OUTPUT", "CERTBOT_CERT_PATH", "CERTBOT_KEY_PATH",
	"CERTBOT_SNI_DOMAIN", "RENEWED_LINEAGE", "RENEWED_DOMAINS", "FAILED_DOMAINS", "EDGE_FAILED_LINEAGE", "EDGE_ERROR",
}

const (
	// maxValue is the longest value of a variable in bytes. Linux takes 128 KiB
	// with the name (MAX_ARG_STRLEN).
	maxValue = 100 << 10
	// maxValues is for all that we add; together with what is there already and
	// the command it must stay below a quarter of the stack limit, 2 MiB.
	maxValues = 512 << 10
)

// base returns the environment that hooks start from.
func (r *Runner) base() []string {
	env := r.Env
	if env == nil {
		env = os.Environ()
	}
	path := r.Path
	out := make([]string, 0, len(env)+1)
	for _, kv := range env {
		name, value, _ := strings.Cut(kv, "=")
		switch {
		case name == "PATH":
			path = or(path, value)
		case slices.Contains(given, strings.TrimSuffix(name, "_FILE")):
		default:
			out = append(out, kv)
		}
	}
	if r.Path == "" {
		path = widen(path)
	}
	return append(out, "PATH="+path)
}

// widen adds the folders that certbot looks into as well to a PATH (certbot:
// plugins/util.py, path_surgery).
func widen(path string) string {
	if path == "" {
		path = "/usr/bin:/bin"
	}
	have := filepath.SplitList(path)
	for _, dir := range []string{"/usr/sbin", "/usr/local/bin", "/usr/local/sbin"} {
		if !slices.Contains(have, dir) {
			path += string(os.PathListSeparator) + dir
		}
	}
	return path
}

// environment adds variables to a base. What does not fit goes into files, which
// tidy removes. They can be read by the user that hooks run as and nobody else.
func environment(base []string, add map[string]string) (env []string, tidy func(), err error) {
	names := slices.Sorted(maps.Keys(add))
	total := 0
	for _, name := range names {
		if name == "" || strings.ContainsAny(name, "=\x00") {
			return nil, nil, fmt.Errorf("%q cannot be the name of an environment variable", name)
		}
		total += len(add[name])
	}
	// The longest first, until the rest fits.
	slices.SortStableFunc(names, func(a, b string) int { return len(add[b]) - len(add[a]) })
	env = slices.Clone(base)
	dir := ""
	tidy = func() {
		if dir != "" {
			_ = os.RemoveAll(dir) // in the temporary folder: somebody else tidies up too
		}
	}
	remove := tidy // a return of an error has made tidy nil when this runs
	defer func() {
		if err != nil {
			remove()
		}
	}()
	for _, name := range names {
		value := add[name]
		env = slices.DeleteFunc(env, func(kv string) bool { return strings.HasPrefix(kv, name+"=") })
		if len(value) <= maxValue && total <= maxValues && !strings.Contains(value, "\x00") {
			env = append(env, name+"="+value)
			continue
		}
		total -= len(value)
		if dir == "" {
			if dir, err = os.MkdirTemp("", "edge-hook-"); err != nil {
				return nil, nil, err
			}
		}
		file := filepath.Join(dir, name)
		if err := os.WriteFile(file, []byte(value), 0o600); err != nil {
			return nil, nil, err
		}
		env = append(env, name+"_FILE="+file)
	}
	return env, tidy, nil
}
