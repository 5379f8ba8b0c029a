package dovecot

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/pemfile"
	"edge/installers/process"
)

// names are those of the settings, which Dovecot 2.4 has changed.
type names struct {
	cert, key string
	file      string // what comes before a path
}

func namesOf(version string) names {
	major, minor, _ := strings.Cut(version, ".")
	minor, _, _ = strings.Cut(minor, ".")
	a, errA := strconv.Atoi(major)
	b, errB := strconv.Atoi(minor)
	if errA == nil && errB == nil && (a > 2 || a == 2 && b >= 4) {
		return names{"ssl_server_cert_file", "ssl_server_key_file", ""}
	}
	return names{"ssl_cert", "ssl_key", "<"}
}

// doveconf asks what counts, a line for each setting. Warnings do not matter.
func (d *Dovecot) doveconf(ctx context.Context, args ...string) (string, error) {
	argv := append([]string{d.o.Doveconf, "-c", d.o.Config}, args...)
	said, err := d.o.Exec(ctx, installers.Program{Argv: argv})
	if err != nil {
		return "", err
	}
	if said.Code != 0 {
		return "", fmt.Errorf("%s: %s", strings.Join(argv, " "), clip(strings.TrimSpace(said.Stderr)))
	}
	return said.Stdout, nil
}

// values are those of settings, for a name that a client asks for; empty: for those that
// name none.
func (d *Dovecot) values(ctx context.Context, name string, settings ...string) ([]string, error) {
	var args []string
	if name != "" {
		args = []string{"-f", "lname=" + name}
	}
	out, err := d.doveconf(ctx, append(append(args, "-h"), settings...)...)
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimSuffix(out, "\n"), "\n")
	if len(lines) != len(settings) {
		return nil, fmt.Errorf("doveconf printed %d lines for %s, want %d", len(lines), strings.Join(settings, ", "), len(settings))
	}
	for i := range lines {
		lines[i] = strings.TrimSpace(lines[i])
	}
	return lines, nil
}

// state is what Dovecot says of itself.
type state struct {
	names
	at          []installers.Endpoint
	defaultFile string // that counts for clients that name no host; empty: none
}

// look asks doveconf, and whether Dovecot runs.
func (d *Dovecot) look(ctx context.Context) (*state, error) {
	said, err := d.o.Exec(ctx, installers.Program{Argv: []string{d.o.Dovecot, "--version"}})
	if err != nil {
		return nil, err
	}
	s := &state{names: namesOf(said.Stdout)}
	v, err := d.values(ctx, "", "ssl", "base_dir", "protocols", "listen", s.cert)
	if err != nil {
		return nil, err
	}
	if v[0] == "no" {
		return nil, fmt.Errorf("ssl = no in %s: write ssl = yes, or required", d.o.Config)
	}
	if err := d.runs(v[1]); err != nil {
		return nil, err
	}
	s.defaultFile = strings.TrimPrefix(v[4], "<")
	out, err := d.doveconf(ctx, "service/imap-login", "service/pop3-login", "service/submission-login")
	if err != nil {
		return nil, err
	}
	if s.at = listeners(out, strings.Fields(v[2]), v[3]); len(s.at) == 0 {
		return nil, fmt.Errorf("it has no listener for imap, pop3 or submission that speaks TLS (protocols = %s)", clip(v[2]))
	}
	return s, nil
}

// runs wants the master process to be there.
func (d *Dovecot) runs(base string) error {
	path := filepath.Join(base, "master.pid")
	raw, err := pemfile.Read(path)
	if err == nil {
		var pid int
		if pid, err = strconv.Atoi(strings.TrimSpace(string(raw))); err == nil {
			_, err = process.Read(pid)
		}
	}
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("it does not run (%s names no process that is there); start it", path)
	case err != nil:
		return fmt.Errorf("%s: %w", path, err)
	}
	return nil
}

// listeners finds out where clients are served, from what doveconf prints of services.
func listeners(text string, protocols []string, listen string) []installers.Endpoint {
	var out []installers.Endpoint
	service, set := "", map[string]string(nil)
	for l := range strings.Lines(text) {
		words := strings.Fields(l)
		switch {
		case len(words) == 3 && words[0] == "service" && words[2] == "{":
			service = words[1]
		case len(words) == 3 && words[0] == "inet_listener" && words[2] == "{":
			set = map[string]string{}
		case len(words) == 1 && words[0] == "}" && set != nil:
			for _, e := range endpoints(service, set, protocols, listen) {
				if !slices.Contains(out, e) {
					out = append(out, e)
				}
			}
			set = nil
		case len(words) >= 2 && words[1] == "=" && set != nil:
			set[words[0]] = strings.Join(words[2:], " ")
		}
	}
	return out
}

// endpoints are those of one inet_listener: one for each family of addresses.
func endpoints(service string, set map[string]string, protocols []string, listen string) []installers.Endpoint {
	protocol, login := strings.CutSuffix(service, "-login")
	start := map[string]string{"imap": "imap", "pop3": "pop3", "submission": "smtp"}[protocol]
	port, err := strconv.ParseUint(set["port"], 10, 16)
	if !login || start == "" || !slices.Contains(protocols, protocol) || err != nil || port == 0 {
		return nil
	}
	if set["ssl"] == "yes" {
		start = ""
	}
	addresses := set["address"]
	if addresses == "" {
		addresses = listen
	}
	var out []installers.Endpoint
	for _, a := range strings.FieldsFunc(addresses, func(c rune) bool { return c == ',' || c == ' ' }) {
		a = strings.Trim(a, "[]")
		if a == "*" {
			a = "0.0.0.0"
		}
		if a == "::" && strings.Contains(addresses, "*") {
			continue // the same listener, where there may be no IPv6
		}
		if net.ParseIP(a) == nil {
			continue // a name: which address it is today, is Dovecot's to say
		}
		out = append(out, installers.Endpoint{Addr: net.JoinHostPort(a, set["port"]), StartTLS: start, ProxyProtocol: set["haproxy"] == "yes"})
	}
	return out
}

func clip(s string) string {
	if len(s) > 600 {
		return s[:600] + "..."
	}
	return s
}
