package nginx

import (
	"net/netip"
	"path/filepath"

	"edge/installers"
	"edge/installers/answer"
	"edge/installers/nginx/conf"
)

var anyIPv6 = twin{host: "[::]", addr: netip.IPv6Unspecified()}

// certPath and keyPath are where certbot had them.
func (a *answerer) certPath(s answer.SNI01) string { return filepath.Join(a.o.WorkDir, s.Token+".crt") }
func (a *answerer) keyPath(s answer.SNI01) string  { return filepath.Join(a.o.WorkDir, s.Token+".pem") }

func (a *answerer) sni01Files() []installers.Change {
	var out []installers.Change
	for _, s := range a.sni01 {
		out = append(out,
			installers.Change{Path: realPath(a.certPath(s)), Op: installers.Create, New: s.Cert, Mode: 0o600},
			installers.Change{Path: realPath(a.keyPath(s)), Op: installers.Create, New: s.Key, Mode: 0o600})
	}
	return out
}

// realPath has no symbolic links in its folder, where there is one.
func realPath(path string) string {
	dir, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return path // writing it fails, and says why
	}
	return filepath.Join(dir, filepath.Base(path))
}

// tlsSockets are where a CA may arrive with TLS.
func (a *answerer) tlsSockets(h *conf.HTTP) []*conf.Socket {
	var out []*conf.Socket
	for _, s := range h.Sockets {
		if !s.QUIC && s.Unix == "" && s.Addr.Port() == a.https && s.TLS() {
			out = append(out, s)
		}
	}
	return out
}

// sni01Blocks are a block for each name, on every socket where the CA may arrive.
func (a *answerer) sni01Blocks() string {
	text := ""
	for i, s := range a.sni01 {
		var listens []string
		for _, socket := range a.tlsSockets(a.site.http) {
			listens = append(listens, conf.Line("listen", socket.String(), "ssl"))
		}
		if len(listens) == 0 {
			listens = a.defaultListens(a.https, i == 0, "ssl")
		}
		text += "server {\n"
		for _, line := range append(listens,
			conf.Line("server_name", s.Name),
			conf.Line("access_log", "off"),
			conf.Line("ssl_certificate", a.certPath(s)),
			conf.Line("ssl_certificate_key", a.keyPath(s)),
			"location / { "+conf.Line("root", filepath.Join(a.o.WorkDir, "tls_sni_01_page"))+" }",
		) {
			text += "    " + line + "\n"
		}
		text += "}\n"
	}
	return text
}

func (a *answerer) sni01Endpoints(after *site) []installers.Endpoint {
	var out []installers.Endpoint
	for _, s := range a.sni01 {
		for _, socket := range a.tlsSockets(after.http) {
			if addr, ok := reach(socket, after.http); ok {
				out = append(out, installers.Endpoint{Addr: addr, Name: s.Name, Leaf: s.Leaf, ProxyProtocol: socket.ProxyProtocol})
			}
		}
	}
	return out
}
