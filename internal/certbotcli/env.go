package certbotcli

import (
	"os"
	"os/user"
	"path/filepath"
	"strings"

	"edge/installers/target"
	"edge/installers/targets"
)

// Env is what Parse needs to know of the process. The zero value is edge's own
// command line in this process.
type Env struct {
	// ConfigFiles are read where they are there, each stronger than those before
	// it. Nil: certbot's, /etc/letsencrypt/cli.ini and that of the user.
	ConfigFiles []string
	// AsCertbot is the name under which we were called: without a verb it is run,
	// hooks are not strict, and nobody waits for locks.
	AsCertbot bool
	Program   string // for usage; empty: certbot or edge
	// Getenv is os.Getenv where nil. Only HOME, XDG_CONFIG_HOME and PATH are asked for.
	Getenv func(string) string
	// Kinds are the targets that there are flags for. Nil: targets.All.
	Kinds []target.Kind
	// Defaults are other defaults than Debian's, by certbot's word: apache_ctl.
	Defaults map[string]string
}

func (e Env) program() string {
	switch {
	case e.Program != "":
		return e.Program
	case e.AsCertbot:
		return "certbot"
	}
	return "edge"
}

func (e Env) getenv(name string) string {
	if e.Getenv != nil {
		return e.Getenv(name)
	}
	return os.Getenv(name)
}

func (e Env) kinds() []target.Kind {
	if e.Kinds != nil {
		return e.Kinds
	}
	return targets.All()
}

// configFiles are those that are read unasked.
func (e Env) configFiles() []string {
	if e.ConfigFiles != nil {
		return e.ConfigFiles
	}
	home := e.getenv("XDG_CONFIG_HOME")
	if home == "" {
		home = "~/.config"
	}
	return []string{"/etc/letsencrypt/cli.ini", filepath.Join(home, "letsencrypt/cli.ini")}
}

// expandUser is Python's os.path.expanduser.
func (e Env) expandUser(path string) string {
	name, rest, _ := strings.Cut(path, "/")
	if !strings.HasPrefix(name, "~") {
		return path
	}
	home := ""
	if name == "~" {
		home = e.getenv("HOME")
		if u, err := user.Current(); home == "" && err == nil {
			home = u.HomeDir
		}
	} else if u, err := user.Lookup(name[1:]); err == nil {
		home = u.HomeDir
	}
	if home == "" {
		return path
	}
	return filepath.Join(home, rest)
}
