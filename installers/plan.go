package installers

import (
	"context"
	"crypto/x509"
	"fmt"
	"io/fs"

	"edge/internal/durable"
)

// Server is one server on this machine, as the transaction needs it.
type Server interface {
	// Name is as in certbot's renewal files: "nginx".
	Name() string
	// Test has the server's own checker look at what is on the disk. The error has
	// what the checker said.
	Test(ctx context.Context) error
	// Activate has the running server take what is on the disk, or starts it where it
	// does not run. Success means that it was asked, not that it did.
	Activate(ctx context.Context) error
	// Commands are those of Test and Activate, for people.
	Commands() (test, activate []string)
}

// Installer makes plans for a server.
type Installer interface {
	Server
	// Root is the folder of the server's configuration, which is locked while a plan
	// is made and carried out.
	Root() string
	// Names are the names of hosts that the configuration has, sorted.
	Names(ctx context.Context) ([]string, error)
	// Plan says what has to change so that the server shows the certificate for the
	// names of the request, and nothing that need not. Where the server is there
	// already the plan is empty, but for what is to be verified.
	Plan(ctx context.Context, r Request) (*Plan, error)
}

// Request is what somebody wants of a server.
type Request struct {
	Names       []string // DNS names; "*.x" is a wildcard
	Certificate Certificate
	// Leaf is that of a certificate that is not in files, and was looked at already.
	Leaf *x509.Certificate
	// Deploy is false where only enhancements are wanted (certbot: enhance).
	Deploy  bool
	Enhance Enhancements

	HTTPPort, HTTPSPort uint16 // 0: 80, 443
	// ConfigDir is where files are that certbot keeps for servers, such as
	// options-ssl-nginx.conf: /etc/letsencrypt.
	ConfigDir string
	// UseDefault allows a copy of the default server block for a name that none has.
	UseDefault bool
	// Overwrite gives a block the certificate also where it answers other names with
	// TLS, for which the certificate is not; else that is an error. certbot does.
	Overwrite bool
	// Choose lets a person pick among candidates, by their numbers; one is allowed
	// unless many is true. Nil: nobody is there, and the error names the candidates.
	Choose func(ctx context.Context, question string, candidates []string, many bool) ([]int, error)
}

// Enhancements are what may be turned on beside the certificate.
type Enhancements struct {
	Redirect, HSTS, UIR, Staple bool
}

// Certificate is where a certificate lies: absolute paths, of PEM files. Paths go
// into configurations as they are, and may be symbolic links (live/NAME/...).
type Certificate struct {
	Lineage                     string
	Cert, Key, Chain, FullChain string
}

// Plan is all that an installation is going to do. Making it has changed nothing.
type Plan struct {
	Titles   []string // for the journal: "Deployed ACME Certificate"
	Notes    []string // what is done where, a line each, for people
	Warnings []string
	Changes  []Change  // made in this order
	Commands []Command // run in this order, before the changes
	// Serves are where the certificate has to be shown afterwards; Watch are where
	// the same has to be shown afterwards as before. A place of Watch that showed none
	// before may show what it likes.
	Serves, Watch []Endpoint
	// Checks are what plain requests have to bring afterwards: redirects, headers,
	// answers to challenges.
	Checks []HTTPCheck
	// Forget: no checkpoint is kept when all is done. For files that have keys in them,
	// which rollback is not to bring back, and which would pile up with each renewal.
	Forget bool
}

// Empty reports whether there is nothing to do.
func (p *Plan) Empty() bool { return len(p.Changes) == 0 && len(p.Commands) == 0 }

// Change is what happens to one file. Old has to be what is there when it is
// written, so that nothing that somebody else wrote in between is lost.
type Change struct {
	// Path is absolute; but for its last element, it has no symbolic links.
	Path string
	Op   Op
	// Old is the content that the plan was made for, New the one that it gets.
	Old, New []byte
	// Mode is that of a new file or folder; a file that is there keeps mode, owner and
	// attributes.
	Mode fs.FileMode
	// Owner is that of a new file; nil: this process.
	Owner *durable.Owner
	// Target is that of a new symbolic link.
	Target string
	// Secret: there is a private key in it, which is not for people to see.
	Secret bool

	as *attributes // what a file is to have that is put back as it was
}

// Op is the kind of a Change.
type Op int

// The kinds of changes. A file of Rewrite is no symbolic link: plan for the file that
// the link leads to.
const (
	Rewrite Op = iota // the file gets new content
	Create            // there is no such file yet
	Symlink           // a link that is not there yet
	Delete            // the file or link goes
	Mkdir             // a folder that is not there yet; its parent is
)

// Command is run before the changes, which may need what it does. Undo takes
// back what it did, and is noted before it runs: it has to do no harm where Do never
// ran. It runs when the old content of files is back and new files are still there
// (certbot runs it before either). Both are an argv, empty for nothing.
type Command struct{ Do, Undo []string }

// Endpoint is a name at a socket of this machine.
type Endpoint struct {
	// Addr is where to connect to: "127.0.0.1:443", "unix:/run/x.sock". Of an address
	// that servers bind to ("0.0.0.0:443", "[::]:443", "*:443", ":443"), the loopback is
	// asked.
	Addr string
	Name string // for SNI, empty for none
	// StartTLS is the protocol that is spoken before the handshake, empty for none:
	// "smtp", "lmtp", "imap", "pop3", "postgres", "mysql", "ldap", "ftp", "sieve",
	// "xmpp" (for which Name is the domain).
	StartTLS string
	// ProxyProtocol: the server wants its PROXY header before all else.
	ProxyProtocol bool
	// Leaf is the SHA-256 of the DER of the leaf that has to be shown, where it is
	// another one than that of the request's certificate.
	Leaf [32]byte
}

// String is for people.
func (e Endpoint) String() string {
	if e.Name == "" {
		return e.Addr
	}
	return fmt.Sprintf("%s (%s)", e.Addr, e.Name)
}

// HTTPCheck is a request, and what has to come of it. Redirects are not followed.
type HTTPCheck struct {
	Addr string // as in Endpoint
	Host string // the Host header, and SNI with TLS
	Path string // "/" where empty
	// TLS: not plain HTTP. What certificate is shown does not matter here.
	TLS           bool
	ProxyProtocol bool

	WantStatus         []int  // any of these; none: any at all
	WantBody           string // but for white space at its end; empty: any
	WantLocationPrefix string // "https://example.org/"; empty: any
	// WantHeader are headers that have to be there with exactly this value.
	WantHeader map[string]string
	// WantNone: whatever is there must not answer plain HTTP. A server that could not load
	// its certificate may speak that where TLS is expected.
	WantNone bool
}
