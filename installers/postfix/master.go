package postfix

import (
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strings"

	"edge/installers"
)

// service is one of master.cf that speaks SMTP with clients at a socket of the network.
type service struct {
	name      string // "smtp/inet"
	host      string // empty: those of inet_interfaces
	port      string
	overrides map[string]string // -o
}

// parseServices reads what postconf -M says of services, and postconf -P of their own
// parameters.
func parseServices(master, params string) []service {
	var list []service
	for line := range strings.Lines(master) {
		f := strings.Fields(line)
		if len(f) < 8 || f[1] != "inet" || f[7] != "smtpd" && f[7] != "postscreen" {
			continue
		}
		s := service{name: f[0] + "/" + f[1], port: f[0], overrides: map[string]string{}}
		if host, port, err := net.SplitHostPort(f[0]); err == nil {
			s.host, s.port = host, port
		}
		for line := range strings.Lines(params) {
			name, value, ok := strings.Cut(strings.TrimSpace(line), "=")
			name, ours := strings.CutPrefix(strings.TrimSpace(name), s.name+"/")
			if ok && ours {
				s.overrides[name] = strings.TrimSpace(value)
			}
		}
		list = append(list, s)
	}
	return list
}

// parameters that say which certificate is shown. Those before the last are of the default
// chain, and of no use beside smtpd_tls_chain_files.
func certificates() []string {
	return []string{
		"smtpd_tls_cert_file", "smtpd_tls_key_file", "smtpd_tls_eccert_file", "smtpd_tls_eckey_file",
		"smtpd_tls_dcert_file", "smtpd_tls_dkey_file", "smtpd_tls_chain_files", "tls_server_sni_maps",
	}
}

// overridden are the parameters of the certificate that a service has for itself.
func (s *service) overridden() []string {
	var list []string
	for _, name := range certificates() {
		if value, ok := s.overrides[name]; ok {
			list = append(list, fmt.Sprintf("%s of %s (%.200s)", name, s.name, value))
		}
	}
	return list
}

// values are parameters with their values, variables expanded.
type values map[string]string

// parseValues reads what postconf says of parameters.
func parseValues(said string) values {
	v := values{}
	for line := range strings.Lines(said) {
		if name, value, ok := strings.Cut(line, "="); ok {
			v[strings.TrimSpace(name)] = strings.TrimSpace(value)
		}
	}
	return v
}

func (v values) list(name string) []string {
	return strings.FieldsFunc(v[name], func(r rune) bool { return r == ',' || strings.ContainsRune(blank+"\n", r) })
}

// level is the security level that a service announces TLS by.
func (v values) level(s *service) string {
	get := func(name string) string {
		if value, ok := s.overrides[name]; ok {
			return value
		}
		return v[name]
	}
	switch level := get("smtpd_tls_security_level"); {
	case level != "":
		return level
	case get("smtpd_enforce_tls") == "yes":
		return "encrypt"
	case get("smtpd_use_tls") == "yes":
		return "may"
	}
	return "none"
}

// endpoints are where the services with TLS are reached on this machine.
func (v values) endpoints(services []service) []installers.Endpoint {
	var list []installers.Endpoint
	for _, s := range services {
		wrapped, ok := s.overrides["smtpd_tls_wrappermode"]
		if !ok {
			wrapped = v["smtpd_tls_wrappermode"]
		}
		if wrapped != "yes" && v.level(&s) == "none" || len(s.overridden()) > 0 {
			continue
		}
		e := installers.Endpoint{Addr: net.JoinHostPort(v.host(s.host), s.port)}
		if wrapped != "yes" {
			e.StartTLS = "smtp"
		}
		proxy, ok := s.overrides["smtpd_upstream_proxy_protocol"]
		if !ok {
			proxy = v["smtpd_upstream_proxy_protocol"]
		}
		e.ProxyProtocol = proxy != ""
		if !slices.Contains(list, e) {
			list = append(list, e)
		}
	}
	return list
}

// host is an address at which a service is reached that says no other one.
func (v values) host(host string) string {
	if host != "" {
		return host
	}
	for _, name := range v.list("inet_interfaces") {
		name = strings.Trim(name, "[]")
		if _, err := netip.ParseAddr(name); err == nil {
			host = name
		}
		if name == "all" || name == "loopback-only" || name == "localhost" || name == "127.0.0.1" {
			host = ""
			break
		}
	}
	if host == "" && strings.TrimSpace(v["inet_protocols"]) == "ipv6" {
		return "::1"
	}
	if host == "" {
		return "127.0.0.1"
	}
	return host
}
