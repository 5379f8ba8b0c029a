package proxmox

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"net"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"time"

	"edge/installers/api"
	"edge/installers/delivery"
	"edge/installers/kept"
	"edge/installers/target"
	"edge/internal/durable"
)

// Kind describes proxmox for configuration, flags and docs.
func Kind() target.Kind {
	return target.Kind{
		Name:        "proxmox",
		Description: "The web interface and API of Proxmox VE and Proxmox Backup Server",
		Single:      true,
		Aliases:     []string{"letsencrypt-proxmox:proxmox", "certbot-proxmox:proxmox"},
		Settings: []target.Setting{
			{Name: "server", Type: target.Text, Doc: "HOST, HOST:PORT or https://HOST:PORT of the API; on a node of Proxmox VE, pvenode is used where nothing is said"},
			{Name: "product", Type: target.Text, Default: string(VE), Choices: []string{string(VE), string(Backup)}, Doc: "ve or backup"},
			{Name: "node", Type: target.Text, Doc: "name of the node; that of the API's machine is the default"},
			{Name: "address", Type: target.Text, Doc: "HOST:PORT where the node shows the certificate; where the API is, or its node, is the default"},
			{Name: "token", Type: target.Secret, Doc: "API token, USER@REALM!NAME=SECRET"},
			{Name: "user", Type: target.Text, Doc: "USER@REALM, for a login in place of a token"},
			{Name: "password", Type: target.Secret, Doc: "password of the user"},
			{Name: "ca", Type: target.Path, Doc: "file with roots for the API, PEM; those of the system are the default"},
			{Name: "fingerprint", Type: target.Text, Doc: "SHA-256 of the API's certificate, in place of roots; what edge delivered is trusted as well then"},
			{Name: "force", Type: target.Bool, Default: "false", Doc: "also replace a certificate that edge did not deliver, or that the node orders itself"},
			{Name: "restart", Type: target.Bool, Default: "true", Doc: "have the web server take the certificate at once"},
			{Name: "pvenode", Type: target.Path, Default: "/usr/bin/pvenode", Doc: "the program, where there is no server"},
			{Name: "timeout", Type: target.Duration, Default: "30s", Doc: "how long one request may take; a wrong password takes 3 seconds"},
		},
		Found: func(_ context.Context, v target.Values, _ *target.Env) (string, error) {
			if s := v.Text("server"); s != "" {
				return "API at " + s, nil
			}
			path := v.Text("pvenode")
			if _, err := os.Stat(path); err != nil {
				return "", fmt.Errorf("this is no node of Proxmox VE (%w); name the API with server", err)
			}
			return path, nil
		},
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o, err := options(v)
			if err != nil {
				return nil, err
			}
			o.Name, o.State, o.Durable, o.Run, o.API = env.Name, env.State, env.Durable, env.Run, env.API
			return New(o)
		},
	}
}

// Product is one of the two that have this API.
type Product string

// The products.
const (
	VE     Product = "ve"
	Backup Product = "backup"
)

// Options are what a Target is made of.
type Options struct {
	Name    string // of the lineage
	Server  string // https://HOST:PORT; empty: pvenode
	Product Product
	Node    string // empty: is asked for
	Address string // HOST:PORT where the node shows it; empty: is asked for

	Token          string // USER@REALM!NAME=SECRET
	User, Password string // in place of a token
	Roots          *x509.CertPool
	Fingerprint    string
	Force, Restart bool
	Timeout        time.Duration // of a request; zero: 30 seconds

	Pvenode string // absolute path
	Run     func(ctx context.Context, argv []string) (string, error)
	API     func(api.Options) (*api.Client, error)
	// State is a folder for what was delivered last; empty: it is not kept.
	State   string
	Durable durable.Writer
}

func options(v target.Values) (Options, error) {
	o := Options{
		Product: Product(v.Text("product")), Node: v.Text("node"), Address: v.Text("address"), User: v.Text("user"), Fingerprint: v.Text("fingerprint"),
		Force: v.Bool("force"), Restart: v.Bool("restart"), Timeout: v.Duration("timeout"), Pvenode: v.Text("pvenode"), Server: v.Text("server"),
	}
	var err error
	if o.Token, err = v.Secret("token"); err != nil {
		return o, err
	}
	if o.Password, err = v.Secret("password"); err != nil {
		return o, err
	}
	if o.Roots, err = api.Roots(v.Text("ca")); err != nil {
		return o, fmt.Errorf("proxmox: ca: %w", err)
	}
	return o, nil
}

var (
	nodeName = regexp.MustCompile(`^[A-Za-z0-9]([A-Za-z0-9-]{0,61}[A-Za-z0-9])?$`)
	tokenID  = regexp.MustCompile(`^([^\s:/]+@[A-Za-z0-9._-]+![A-Za-z0-9._-]+)[=:]([\x21-\x7e]+)$`)
	userID   = regexp.MustCompile(`^[^\s:/]+@[A-Za-z0-9._-]+$`)
)

// New checks the options. Where the web server is told to take the certificate, the
// target says where it is to be seen (delivery.Placed).
func New(o Options) (delivery.Target, error) {
	bad := func(format string, args ...any) (delivery.Target, error) {
		return nil, fmt.Errorf("proxmox: "+format, args...)
	}
	if o.Node != "" && !nodeName.MatchString(o.Node) {
		return bad("%q is no name of a node", o.Node)
	}
	if o.Address != "" {
		if _, _, err := net.SplitHostPort(o.Address); err != nil {
			return bad("address: write %q as HOST:PORT", o.Address)
		}
	}
	switch {
	case o.Server == "" && o.Product == Backup:
		return bad("name the API of the backup server with server, also on its own machine: https://localhost:8007")
	case o.Server == "":
		if o.Token != "" || o.Password != "" || o.Node != "" || o.Fingerprint != "" {
			return bad("token, user, password, node and fingerprint are for an API; name it with server")
		}
		if !filepath.IsAbs(o.Pvenode) {
			return bad("pvenode: %q is no absolute path", o.Pvenode)
		}
		o.Address = cmp.Or(o.Address, "localhost:8006")
	default:
		var err error
		if o.Server, err = base(o.Server, o.Product); err != nil {
			return bad("%w", err)
		}
		if err := o.credentials(); err != nil {
			return bad("%w", err)
		}
	}
	t := &Target{o: o}
	t.kept = kept.NewBoth(kept.File{Dir: o.State, Kind: "proxmox", Name: o.Name, Where: t.Where(), Durable: o.Durable})
	if !o.Restart {
		return t, nil
	}
	return &Shown{t}, nil
}

func (o *Options) credentials() error {
	switch {
	case o.Token == "" && o.Password == "":
		return errors.New("a token is needed; write token: file:PATH, with USER@REALM!NAME=SECRET in the file")
	case o.Token != "" && (o.Password != "" || o.User != ""):
		return errors.New("there is a token, and a user or password: write one of the two")
	case o.Token != "" && !tokenID.MatchString(o.Token):
		return errors.New("the token is not written as USER@REALM!NAME=SECRET")
	case o.Password != "" && !userID.MatchString(o.User):
		return fmt.Errorf("%q is no user; write USER@REALM, such as root@pam", o.User)
	}
	return nil
}

// base is the address of the API without its path.
func base(server string, p Product) (string, error) {
	if !strings.Contains(server, "://") {
		server = "https://" + server
	}
	u, err := url.Parse(server)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || strings.Trim(u.Path, "/") != "" || u.RawQuery != "" || u.User != nil {
		return "", errors.New("server: write HOST, HOST:PORT or https://HOST:PORT")
	}
	port := "8006"
	if p == Backup {
		port = "8007"
	}
	return "https://" + net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), port)), nil
}
