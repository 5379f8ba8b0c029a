package conf

import (
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Env is what the meaning of a configuration depends on besides its files.
type Env struct {
	// Hostname is what $hostname in server_name stands for, the one of this machine
	// where it is empty.
	Hostname string
	// Resolve looks up the host of a listen directive that is not an address, as nginx
	// does when it starts. Where it is nil or fails, choices that depend on it are errors.
	Resolve func(host string) ([]netip.Addr, error)
}

// HTTP is what a configuration says about web servers. Safe for concurrent use.
type HTTP struct {
	// Servers are the server blocks of http, in the order in which nginx reads them. A
	// block in a file that is included twice is here twice.
	Servers []*Server
	// Others are the server blocks of other protocols: stream, mail, rtmp.
	Others []*Directive
	// Sockets are what nginx listens on, in the order in which it reads them.
	Sockets []*Socket

	conflict error // why nginx would refuse the sockets
}

// Server is a server block of http.
type Server struct {
	// Directive is the block, HTTP the one around it, which may be in another file.
	Directive, HTTP *Directive
	Listens         []Listen
	// Names has "" alone for a block without server_name, as for nginx.
	Names []Name
	// TLS says that the block answers TLS on at least one of its sockets.
	TLS bool

	set *Set
}

// HTTP finds the server blocks. The error is an *Error at what nginx would refuse.
func (s *Set) HTTP(env Env) (*HTTP, error) {
	if env.Hostname == "" {
		// Without one, $hostname stays a name that nobody asks for.
		env.Hostname, _ = os.Hostname()
	}
	h := &HTTP{}
	r := serverReader{set: s, env: env, http: h}
	for d := range s.Directives(s.Main.Root) {
		var err error
		switch {
		case d.Name() == "server" && d.Block != nil:
			err = d.errorf("a server block outside of http, which nginx refuses")
		case d.Block == nil || d.Block.Lua:
		case d.Name() == "http":
			err = r.inHTTP(d)
		default:
			r.others(d)
		}
		if err != nil {
			return nil, err
		}
	}
	h.bind()
	return h, nil
}

type serverReader struct {
	set  *Set
	env  Env
	http *HTTP
}

func (r *serverReader) inHTTP(http *Directive) error {
	for d := range r.set.Directives(http.Block) {
		switch {
		case d.Name() != "server":
			if err := r.noServer(d, http); err != nil {
				return err
			}
		case d.Block == nil || len(d.Args()) > 0:
			return d.errorf("server in http takes a block and no arguments")
		default:
			if err := r.server(d, http); err != nil {
				return err
			}
		}
	}
	return nil
}

// noServer refuses server blocks below anything but http: one that is not where it
// should be would be missed.
func (r *serverReader) noServer(d, http *Directive) error {
	if d.Block == nil {
		return nil
	}
	for inner := range r.set.Directives(d.Block) {
		if inner.Name() == "server" && inner.Block != nil {
			return inner.errorf("a server block inside of %s, which nginx refuses", d.Name())
		}
		if err := r.noServer(inner, http); err != nil {
			return err
		}
	}
	return nil
}

func (r *serverReader) others(d *Directive) {
	for inner := range r.set.Directives(d.Block) {
		switch {
		case inner.Block == nil:
		case inner.Name() == "server":
			r.http.Others = append(r.http.Others, inner)
		default:
			r.others(inner)
		}
	}
}

func (r *serverReader) server(d, http *Directive) error {
	s := &Server{Directive: d, HTTP: http, set: r.set}
	for inner := range r.set.Directives(d.Block) {
		var err error
		switch inner.Name() {
		case "listen":
			err = r.listen(s, inner)
		case "server_name":
			err = r.serverName(s, inner)
		case "server":
			if inner.Block != nil {
				err = inner.errorf("a server block inside of server, which nginx refuses")
			}
		default:
			err = r.noServer(inner, http)
		}
		if err != nil {
			return err
		}
	}
	if len(s.Listens) == 0 {
		s.Listens = []Listen{{Text: "*:80", Addr: netip.IPv4Unspecified(), Port: 80, LastPort: 80}}
	}
	if len(s.Names) == 0 {
		s.Names = []Name{{Kind: ExactName}}
	}
	r.http.Servers = append(r.http.Servers, s)
	return nil
}

// Own returns the directives of a name that stand in the server block itself or in
// what it includes.
func (s *Server) Own(name string) []*Directive { return s.find(s.Directive.Block, name) }

// Inherited returns those that count: its own, or else those of http. It is right for
// what nginx inherits as a whole, which is nearly everything, the ssl directives included.
func (s *Server) Inherited(name string) []*Directive {
	if own := s.Own(name); len(own) > 0 {
		return own
	}
	return s.find(s.HTTP.Block, name)
}

func (s *Server) find(b *Block, name string) []*Directive {
	var out []*Directive
	for d := range s.set.Directives(b) {
		if d.Name() == name {
			out = append(out, d)
		}
	}
	return out
}

// Certificate is a pair of ssl_certificate and ssl_certificate_key.
type Certificate struct {
	// Cert and Key are the directives; nil where one is missing.
	Cert, Key *Directive
	// CertFile and KeyFile are absolute paths; empty where the directive names no file
	// but a variable, an engine, a store or data.
	CertFile, KeyFile string
}

// Certificates returns the pairs that a server block uses, its own or those of http, as
// nginx pairs them: by their order. There is more than one where key types differ.
func (s *Server) Certificates() []Certificate {
	certs, keys := s.Inherited("ssl_certificate"), s.Inherited("ssl_certificate_key")
	out := make([]Certificate, max(len(certs), len(keys)))
	for i, d := range certs {
		out[i].Cert, out[i].CertFile = d, s.set.fileOf(d)
	}
	for i, d := range keys {
		out[i].Key, out[i].KeyFile = d, s.set.fileOf(d)
	}
	return out
}

func (s *Set) fileOf(d *Directive) string {
	if len(d.Args()) != 1 {
		return ""
	}
	name := d.Args()[0].Value
	special := slices.ContainsFunc([]string{"data:", "engine:", "store:"}, func(p string) bool { return strings.HasPrefix(name, p) })
	if name == "" || special || strings.Contains(name, "$") {
		return ""
	}
	if !strings.HasPrefix(name, "/") {
		name = s.Prefix() + name
	}
	return filepath.Clean(name)
}
