package exim

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/pemfile"
	"edge/installers/process"
)

// program is Exim, by the name that Debian gives it, or its own.
func (x *Exim) program() (string, error) {
	if x.o.Program != "" {
		return x.o.Program, nil
	}
	for _, p := range []string{"exim4", "exim", "/usr/sbin/exim4", "/usr/sbin/exim", "/usr/exim/bin/exim"} {
		if path, err := exec.LookPath(p); err == nil {
			return path, nil
		}
	}
	return "", errors.New("there is no program exim4 or exim; say with exim: where it is")
}

// exim runs it with the configuration, for what it says.
func (x *Exim) exim(ctx context.Context, args ...string) (string, error) {
	program, err := x.program()
	if err != nil {
		return "", err
	}
	argv := []string{program}
	if x.o.Config != "" {
		argv = append(argv, "-C", x.o.Config)
	}
	argv = append(argv, args...)
	said, err := x.o.Exec(ctx, installers.Program{Argv: argv})
	if err != nil {
		return "", err
	}
	if said.Code != 0 {
		return "", fmt.Errorf("%s: %s", clip(strings.Join(argv, " ")), clip(strings.TrimSpace(said.Stderr+"\n"+said.Stdout)))
	}
	return said.Stdout, nil
}

// ask returns values of options.
func (x *Exim) ask(ctx context.Context, names ...string) (map[string]string, error) {
	out, err := x.exim(ctx, append([]string{"-bP"}, names...)...)
	if err != nil {
		return nil, err
	}
	values := map[string]string{}
	for l := range strings.Lines(out) {
		if name, value, ok := strings.Cut(l, "="); ok {
			values[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	for _, n := range names {
		if _, ok := values[n]; !ok {
			return nil, fmt.Errorf("it says nothing of %s: %s", n, clip(out))
		}
	}
	return values, nil
}

// state is what Exim says of itself.
type state struct {
	config string // the file that it reads
	now    pair   // what is in force
	group  string
	at     []installers.Endpoint
}

func (x *Exim) look(ctx context.Context) (*state, error) {
	v, err := x.ask(ctx, "tls_certificate", "tls_privatekey", "tls_advertise_hosts", "tls_on_connect_ports", "exim_group", "local_interfaces", "daemon_smtp_ports",
		"pid_file_path", "spool_directory", "exim_path")
	if err != nil {
		return nil, err
	}
	s := &state{now: pair{v["tls_certificate"], v["tls_privatekey"]}, group: v["exim_group"], config: x.o.Config}
	if s.config == "" {
		out, err := x.exim(ctx, "-bP", "configure_file")
		if err != nil {
			return nil, err
		}
		if s.config = strings.TrimSpace(out); !filepath.IsAbs(s.config) {
			return nil, fmt.Errorf("%s is not the path of its configuration; say with config: which it is", clip(s.config))
		}
	}
	x.debian = x.macros(s.config) != ""
	ports := x.o.Ports
	if len(ports) == 0 {
		ports = items(v["daemon_smtp_ports"])
	}
	wrapped := items(v["tls_on_connect_ports"])
	for _, e := range endpoints(items(v["local_interfaces"]), ports) {
		_, port, _ := net.SplitHostPort(e.Addr) // it was joined
		if slices.ContainsFunc(wrapped, func(w string) bool { return number(w) == port }) {
			e.StartTLS = ""
		} else if v["tls_advertise_hosts"] == "" {
			continue
		}
		s.at = append(s.at, e)
	}
	if len(s.at) == 0 {
		return nil, errors.New("no port of its is for TLS; write tls_advertise_hosts = *, or say with ports: where it listens")
	}
	if len(x.o.Reload) == 0 {
		if x.pid, err = x.daemon(v); err != nil {
			return nil, err
		}
	}
	return s, nil
}

// daemon is the process that listens. It is not root's: Exim gives up its rights.
func (x *Exim) daemon(v map[string]string) (pid int, err error) {
	path := x.o.PIDFile
	if path == "" {
		path = v["pid_file_path"]
	}
	if path == "" {
		path = filepath.Join(v["spool_directory"], "exim-daemon.pid")
	}
	raw, err := pemfile.Read(path)
	if err == nil {
		if pid, err = strconv.Atoi(strings.TrimSpace(string(raw))); err != nil || pid <= 1 {
			return 0, fmt.Errorf("%s has no process id in it", path)
		}
		var p process.Process
		if p, err = process.Read(pid); err == nil {
			if real, rerr := filepath.EvalSymlinks(v["exim_path"]); rerr != nil || p.Program != real {
				return 0, fmt.Errorf("%s names process %d, which is not %s; say with pid_file: which file is the daemon's", path, pid, v["exim_path"])
			}
		}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return 0, fmt.Errorf("it does not run (%s names no process that is there): %w; start it, or say with pid_file: where its process id is", path, fs.ErrNotExist)
	}
	return pid, err
}

// items are those of a list (spec.txt, section 6.21): the separator is a colon, two of
// which are one of an item, or what comes after a <.
func items(list string) []string {
	sep := byte(':')
	list = strings.TrimSpace(list)
	if len(list) > 1 && list[0] == '<' {
		sep, list = list[1], list[2:]
	}
	var out []string
	var item strings.Builder
	for i := 0; i <= len(list); i++ {
		switch {
		case i+1 < len(list) && list[i] == sep && list[i+1] == sep:
			item.WriteByte(sep)
			i++
		case i == len(list) || list[i] == sep:
			if s := strings.TrimSpace(item.String()); s != "" {
				out = append(out, s)
			}
			item.Reset()
		default:
			item.WriteByte(list[i])
		}
	}
	return out
}

// endpoints are where clients get in, by STARTTLS as yet: each address at each port, but
// for addresses and ports that come with the other.
func endpoints(addresses, ports []string) []installers.Endpoint {
	var out []installers.Endpoint
	add := func(host, port string) {
		e := installers.Endpoint{Addr: net.JoinHostPort(host, number(port)), StartTLS: "smtp"}
		if number(port) != "" && !slices.Contains(out, e) {
			out = append(out, e)
		}
	}
	var plain []string
	for _, p := range ports {
		if host, port, err := net.SplitHostPort(p); err == nil {
			add(host, port)
		} else {
			plain = append(plain, p)
		}
	}
	for _, a := range addresses {
		if host, port, err := net.SplitHostPort(a); err == nil && strings.HasPrefix(a, "[") { // [192.0.2.1]:26
			add(host, port)
			continue
		}
		ip, err := netip.ParseAddr(a)
		if i := strings.LastIndexByte(a, '.'); err != nil && i > 0 { // 192.0.2.1.26
			if ip, err = netip.ParseAddr(a[:i]); err == nil {
				add(ip.String(), a[i+1:])
			}
			continue
		}
		if err != nil || ip == netip.IPv6Unspecified() && slices.Contains(addresses, "0.0.0.0") {
			continue // the other one is asked: there may be no IPv6
		}
		for _, p := range plain {
			add(ip.String(), p)
		}
	}
	return out
}

// number is that of a port, "" for what is none.
func number(port string) string {
	n, err := net.LookupPort("tcp", port)
	if err != nil || n == 0 {
		return ""
	}
	return strconv.Itoa(n)
}

func clip(s string) string {
	if len(s) > 600 {
		return s[:600] + "..."
	}
	return s
}
