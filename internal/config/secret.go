package config

import (
	"fmt"
	"path/filepath"
	"strings"
	"syscall"

	"os"
)

// secret reads a secret: written out, from the environment, or from a file. Its
// value never appears in a message.
func (l *loader) secret(v value, to *string) {
	if v.n == nil {
		return
	}
	// The message of expand shows the line; a line with a variable holds no secret.
	if !l.expand(v.f, v.n, v.path) {
		return
	}
	path, ok := strings.CutPrefix(v.n.Value, "file:")
	if !ok {
		*to = v.n.Value
		if *to == "" {
			l.at(v.f, v.n, v.path+": the secret is empty", "")
		}
		return
	}
	path = beside(v.f.path, path)
	data, err := l.readFile(path)
	if err != nil {
		l.at(v.f, v.n, fmt.Sprintf("%s: secret file %s: %v", v.path, path, err), "")
		return
	}
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm()&0o007 != 0 {
		hint := "chmod 0600 " + path
		if st, ok := info.Sys().(*syscall.Stat_t); ok && int(st.Uid) != os.Geteuid() {
			hint = fmt.Sprintf("chmod 0640 %s, with a group that edge runs in", path)
		}
		l.at(v.f, v.n, fmt.Sprintf("%s: secret file %s can be read by everybody (mode %#o)", v.path, path, info.Mode().Perm()), hint)
		return
	}
	*to = strings.TrimRight(string(data), "\r\n")
	if *to == "" {
		l.at(v.f, v.n, fmt.Sprintf("%s: secret file %s is empty", v.path, path), "")
	}
}

// beside resolves a relative path against the folder of the file it is written in.
func beside(file, path string) string {
	if filepath.IsAbs(path) {
		return path
	}
	return filepath.Join(filepath.Dir(file), path)
}

func (l *loader) decodePrefix(v value) {
	l.cfg.TrustedProxies = append(l.cfg.TrustedProxies, l.prefixes(v)...)
}
