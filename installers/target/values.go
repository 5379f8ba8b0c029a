package target

import (
	"errors"
	"fmt"
	"io"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"time"
)

// Values are what a target was told, checked. Safe for concurrent use.
type Values struct {
	kind   *Kind
	said   map[string]bool
	values map[string][]string
	getenv func(string) string
}

// IsSet reports whether somebody said something, beside the default.
func (v Values) IsSet(name string) bool { return v.said[name] }

// Text returns a Text, Path or Secret as it was written; "" where nothing was said and
// there is no default.
func (v Values) Text(name string) string {
	if list := v.values[name]; len(list) == 1 {
		return list[0]
	}
	return ""
}

// List returns a List; nil where nothing was said.
func (v Values) List(name string) []string { return slices.Clone(v.values[name]) }

// Number returns a Number, 0 where nothing was said.
func (v Values) Number(name string) int {
	n, _ := strconv.Atoi(v.Text(name)) // Parse has looked at it
	return n
}

// Bool returns a Bool, false where nothing was said.
func (v Values) Bool(name string) bool { return v.Text(name) == "true" }

// Duration returns a Duration, 0 where nothing was said.
func (v Values) Duration(name string) time.Duration {
	d, _ := time.ParseDuration(v.Text(name)) // Parse has looked at it
	return d
}

// String has all values but secrets, in the order of the kind's settings: for
// delivery.Target's Settings.
func (v Values) String() string {
	var b strings.Builder
	for i := range v.kind.Settings {
		s := &v.kind.Settings[i]
		if list, ok := v.values[s.Name]; ok {
			fmt.Fprintf(&b, "%s=%q ", s.Name, list) // of secrets, this is where they are
		}
	}
	return strings.TrimSuffix(b.String(), " ")
}

const maxSecret = 64 << 10

// Secret reads a secret from its file or the environment; "" where nothing was said. It
// is read anew each time: tokens are exchanged.
func (v Values) Secret(name string) (string, error) {
	said := v.Text(name)
	if said == "" {
		return "", nil
	}
	bad := func(err error) (string, error) {
		return "", fmt.Errorf("%s of %s: %w", name, v.kind.Name, err)
	}
	if env, ok := strings.CutPrefix(said, "env:"); ok {
		secret := ""
		if v.getenv != nil {
			secret = v.getenv(env)
		}
		if secret == "" {
			return bad(fmt.Errorf("the environment variable %s is empty", env))
		}
		return secret, nil
	}
	path := strings.TrimPrefix(said, "file:")
	raw, err := readSecret(path)
	if err != nil {
		return bad(err)
	}
	secret := strings.TrimRight(string(raw), "\r\n")
	if secret == "" {
		return bad(fmt.Errorf("%s is empty", path))
	}
	return secret, nil
}

func readSecret(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Mode().Perm()&0o007 != 0:
		return nil, fmt.Errorf("%s can be read by everybody (mode %#o): chmod 0600 %[1]s", path, info.Mode().Perm())
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err == nil && len(raw) > maxSecret {
		err = errors.New(path + " is too large for a secret")
	}
	return raw, err
}
