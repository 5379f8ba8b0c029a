package s3front

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
)

// maxProfiles bounds a file of profiles, in bytes.
const maxProfiles = 1 << 20

// fromFiles reads a profile from AWS's two files. Where it must be there, its absence is
// an error of its own.
func (c *chain) fromFiles(name string, must bool) (*credentials, error) {
	var where []string
	var odd string // what the profile has that is not done
	for _, file := range []struct{ env, base, section string }{
		{"AWS_SHARED_CREDENTIALS_FILE", "credentials", name},
		{"AWS_CONFIG_FILE", "config", "profile " + name},
	} {
		path := c.getenv(file.env)
		if path == "" {
			home := c.getenv("HOME")
			if home == "" {
				continue
			}
			path = filepath.Join(home, ".aws", file.base)
		}
		where = append(where, path)
		raw, err := readProfiles(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		var sections map[string]map[string]string
		if err == nil {
			sections, err = parseProfiles(raw)
		}
		if err != nil {
			return nil, fmt.Errorf("profiles in %s: %w", path, err)
		}
		keys := sections[file.section]
		if keys == nil && name == "default" {
			keys = sections["default"] // without "profile" in the one file too
		}
		id, secret := keys["aws_access_key_id"], keys["aws_secret_access_key"]
		if id != "" && secret != "" {
			return &credentials{id: id, secret: secret, session: keys["aws_session_token"]}, nil
		}
		for _, k := range []string{"credential_process", "role_arn", "sso_session", "sso_start_url", "web_identity_token_file"} {
			if keys[k] != "" {
				odd = k
			}
		}
	}
	switch {
	case odd != "":
		return nil, fmt.Errorf("the profile %s has %s, which is not done here: give it an access key, or use the environment or a role of the machine", name, odd)
	case must:
		return nil, fmt.Errorf("the profile %s has no access key in %s", name, strings.Join(where, " or "))
	}
	return nil, errNone
}

func readProfiles(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	if info, err := f.Stat(); err != nil || !info.Mode().IsRegular() {
		return nil, errors.Join(err, errors.New("this is no file"))
	}
	raw, err := io.ReadAll(io.LimitReader(f, maxProfiles+1))
	if err == nil && len(raw) > maxProfiles {
		err = fmt.Errorf("more than %d bytes", maxProfiles)
	}
	return raw, err
}

// parseProfiles reads AWS's form of INI: sections with keys in lower case. Lines that are
// indented belong to the key above them and mean nothing here. Errors never quote a line.
func parseProfiles(raw []byte) (map[string]map[string]string, error) {
	sections := map[string]map[string]string{}
	var current map[string]string
	lines := bufio.NewScanner(bytes.NewReader(raw))
	lines.Buffer(nil, maxProfiles+1)
	for n := 1; lines.Scan(); n++ {
		line := lines.Text()
		trimmed := strings.TrimSpace(line)
		switch {
		case trimmed == "" || strings.HasPrefix(trimmed, "#") || strings.HasPrefix(trimmed, ";"):
		case line[0] == ' ' || line[0] == '\t':
		case trimmed[0] == '[':
			name, rest, ok := strings.Cut(trimmed[1:], "]")
			if rest = strings.TrimSpace(rest); !ok || rest != "" && !strings.ContainsAny(rest[:1], "#;") {
				return nil, fmt.Errorf("line %d is no header of a section", n)
			}
			name = strings.Join(strings.Fields(name), " ")
			if sections[name] == nil {
				sections[name] = map[string]string{}
			}
			current = sections[name]
		default:
			key, value, ok := strings.Cut(trimmed, "=")
			if key = strings.ToLower(strings.TrimSpace(key)); !ok || key == "" {
				return nil, fmt.Errorf("line %d is no KEY = VALUE", n)
			}
			if current == nil {
				return nil, fmt.Errorf("line %d is before the first section", n)
			}
			current[key] = uncommented(value)
		}
	}
	return sections, lines.Err()
}

// uncommented is a value without the comment behind it: that begins after white space.
func uncommented(s string) string {
	words := strings.FieldsFunc(s, func(r rune) bool { return r == ' ' || r == '\t' })
	if i := slices.IndexFunc(words, func(w string) bool { return w[0] == '#' || w[0] == ';' }); i >= 0 {
		words = words[:i]
	}
	return strings.Join(words, " ")
}
