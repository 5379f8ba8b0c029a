package haproxy

import (
	"cmp"
	"net"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
)

// conf is what matters of a configuration.
type conf struct {
	binds   []*bind
	sockets []string // of stats with level admin: a path or host:port
	bufsize int      // tune.bufsize
	base    string   // crt-base
	env     map[string]string
	maps    []string // files that rules look a value up in
	store   map[string]stored
}

// bind is a line of that name.
type bind struct {
	section string // "frontend www"
	http    bool   // mode http
	at      []installers.Endpoint
	ssl     bool
	certs   []source
	strict  bool // strict-sni
	acme    bool // HAProxy gets certificates for it itself
}

// source is where a bind line has certificates from.
type source struct {
	path string // of crt: a file, a folder, or @store/name
	list bool   // of crt-list
}

// stored is a certificate that a crt-store names.
type stored struct {
	path string
	acme bool
}

const defaultBufsize = 16384

// reader goes through the lines of a configuration.
type reader struct {
	*conf
	outer   env
	unset   map[string]bool
	section string // as it begins: "frontend www"
	kind    string
	mode    string            // of the section
	modes   map[string]string // of sections defaults, by name; the last one is ""
	inStore struct{ name, base string }
}

// parse reads files in the order in which HAProxy does. What it cannot understand it
// passes over: haproxy -c has the last word about the syntax. The outer variables are
// those of HAProxy's process.
func parse(files []string, outer env) *conf {
	r := &reader{
		conf:  &conf{bufsize: defaultBufsize, env: map[string]string{}, store: map[string]stored{}},
		outer: outer, unset: map[string]bool{}, modes: map[string]string{},
	}
	for _, text := range files {
		for line := range strings.Lines(text) {
			if w, err := words(strings.TrimSuffix(line, "\n"), r.lookup); err == nil && len(w) > 0 {
				r.line(w)
			}
		}
	}
	return r.conf
}

func (r *reader) lookup(name string) (string, bool) {
	if v, ok := r.env[name]; ok {
		return v, true
	}
	if r.unset[name] {
		return "", false
	}
	return r.outer(name)
}

// sections are the words that begin one.
func sections() []string {
	return []string{"global", "defaults", "frontend", "backend", "listen", "peers", "resolvers", "mailers", "userlist", "cache", "program",
		"ring", "log-forward", "log-profile", "http-errors", "fcgi-app", "crt-store", "acme", "traces"}
}

func (r *reader) line(w []string) {
	if slices.Contains(sections(), w[0]) {
		r.begin(w)
		return
	}
	switch r.kind {
	case "global":
		r.global(w)
	case "crt-store":
		r.crtStore(w)
	case "defaults":
		if w[0] == "mode" && len(w) > 1 {
			r.mode = w[1]
			r.modes[""] = w[1]
			r.modes[strings.TrimPrefix(r.section, "defaults ")] = w[1]
		}
	default:
		r.proxy(w)
	}
}

func (r *reader) begin(w []string) {
	r.kind, r.section, r.mode = w[0], w[0], ""
	name := ""
	if len(w) > 1 {
		name = w[1]
		r.section += " " + name
	}
	from := ""
	if len(w) == 4 && w[2] == "from" {
		from = w[3]
	}
	switch r.kind {
	case "defaults":
		r.modes[""] = r.modes[from]
		if from == "" {
			r.modes[""] = "" // nothing is inherited
		}
		if name != "" {
			r.modes[name] = r.modes[""]
		}
	case "crt-store":
		r.inStore.name, r.inStore.base = name, r.base
	case "frontend", "listen":
		r.mode = r.modes[from]
		if r.kind == "frontend" && len(w) == 3 && w[2] != "from" { // the old way
			r.proxy([]string{"bind", w[2]})
		}
	}
}

func (r *reader) global(w []string) {
	arg := func(n int) string {
		if n < len(w) {
			return w[n]
		}
		return ""
	}
	switch w[0] {
	case "crt-base":
		r.base = arg(1)
	case "tune.bufsize":
		if n, err := strconv.Atoi(arg(1)); err == nil && n > 0 {
			r.bufsize = n
		}
	case "setenv", "presetenv":
		if _, is := r.lookup(arg(1)); len(w) == 3 && (w[0] == "setenv" || !is) {
			r.env[w[1]] = w[2]
		}
	case "unsetenv":
		for _, name := range w[1:] {
			delete(r.env, name)
			r.unset[name] = true
		}
	case "stats":
		i := slices.Index(w, "level")
		if arg(1) == "socket" && i > 2 && arg(i+1) == "admin" {
			r.sockets = append(r.sockets, socketAddr(arg(2)))
		}
	}
}

// socketAddr is where to connect to for the address of a stats or master socket.
func socketAddr(s string) string {
	for _, tag := range []string{"unix@", "UNIX:", "ipv4@", "ipv6@", "TCP4:", "TCP:"} {
		if rest, ok := strings.CutPrefix(s, tag); ok {
			s = rest
		}
	}
	if strings.HasPrefix(s, "/") {
		return filepath.Clean(s)
	}
	if e, ok := endpoint(s); ok {
		return e
	}
	return s
}

// crtStore reads a line of a section crt-store (HAProxy 3.0 and later).
func (r *reader) crtStore(w []string) {
	switch {
	case w[0] == "crt-base" && len(w) > 1:
		r.inStore.base = w[1]
	case w[0] == "load":
		value := func(key string) string {
			if i := slices.Index(w, key); i > 0 && i+1 < len(w) {
				return w[i+1]
			}
			return ""
		}
		crt := value("crt")
		if crt == "" {
			return
		}
		s := stored{path: below(r.inStore.base, crt), acme: slices.Contains(w[1:], "acme")}
		name := "@" + r.inStore.name + "/" + cmp.Or(value("alias"), crt)
		if r.inStore.name == "" {
			name = s.path
		}
		r.store[name] = s
	}
}

var mapFile = regexp.MustCompile(`\bmap[a-z_]*\(([^,()]+)`)

// proxy reads a line of a frontend or the like.
func (r *reader) proxy(w []string) {
	switch {
	case w[0] == "mode" && len(w) > 1:
		r.mode = w[1]
		for _, b := range r.binds {
			if b.section == r.section {
				b.http = r.mode == "http"
			}
		}
	case w[0] == "http-request":
		for _, word := range w {
			for _, m := range mapFile.FindAllStringSubmatch(word, -1) {
				if !slices.Contains(r.maps, m[1]) {
					r.maps = append(r.maps, m[1])
				}
			}
		}
	case w[0] == "bind" && len(w) > 1:
		r.binds = append(r.binds, r.bind(w[1], w[2:]))
	}
}

// valued are words of a bind line that another word belongs to.
func valued() []string {
	return []string{"alpn", "ca-file", "ca-sign-file", "ca-verify-file", "ciphers", "ciphersuites", "crl-file", "crt", "crt-list", "curves",
		"default-crt", "ecdhe", "gid", "group", "guid-prefix", "id", "interface", "level", "maxconn", "mode", "mss", "name", "namespace", "nbconn",
		"nice", "npn", "process", "proto", "shards", "sigalgs", "client-sigalgs", "ssl-max-ver", "ssl-min-ver", "tcp-ut", "thread",
		"tls-ticket-keys", "uid", "user", "verify"}
}

func (r *reader) bind(addresses string, args []string) *bind {
	b := &bind{section: r.section, http: r.mode == "http"}
	proxy, elsewhere := false, false
	for i := 0; i < len(args); i++ {
		word, value := args[i], ""
		if slices.Contains(valued(), word) && i+1 < len(args) {
			i++
			value = args[i]
		}
		switch word {
		case "ssl":
			b.ssl = true
		case "crt", "default-crt":
			b.certs = append(b.certs, source{path: below(r.base, value)})
		case "crt-list":
			b.certs = append(b.certs, source{path: value, list: true})
		case "strict-sni":
			b.strict = true
		case "accept-proxy":
			proxy = true
		case "acme":
			b.acme = true
		case "namespace":
			elsewhere = true
		}
	}
	for one := range strings.SplitSeq(addresses, ",") {
		if at, ok := endpoint(one); ok && !elsewhere {
			b.at = append(b.at, installers.Endpoint{Addr: at, ProxyProtocol: proxy})
		}
	}
	return b
}

// below is a path that may be relative to a base.
func below(base, path string) string {
	switch {
	case path == "" || strings.HasPrefix(path, "@"):
		return path
	case !filepath.IsAbs(path):
		path = filepath.Join(base, path)
	}
	return filepath.Clean(path)
}

// endpoint is an address of a bind line as one to connect to; those that nobody can
// connect to by TCP or a Unix socket are none. Of a range, its first port.
func endpoint(s string) (string, bool) {
	for _, tag := range []string{"ipv4@", "ipv6@", "tcp@", "tcp4@", "tcp6@"} {
		s = strings.TrimPrefix(s, tag)
	}
	if path := strings.TrimPrefix(s, "unix@"); strings.HasPrefix(path, "/") {
		return "unix:" + path, true
	}
	i := strings.LastIndexByte(s, ':')
	if i < 0 || strings.Contains(s, "@") {
		return "", false
	}
	host := strings.Trim(s[:i], "[]")
	port, _, _ := strings.Cut(s[i+1:], "-")
	if n, err := strconv.ParseUint(port, 10, 16); err != nil || n == 0 {
		return "", false
	}
	return net.JoinHostPort(host, port), true
}
