package redis

import (
	"context"
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/installers/process"
	"edge/internal/durable"
)

// The directives that name the pair.
const (
	certFile = "tls-cert-file"
	keyFile  = "tls-key-file"
)

// running is what a server says of itself.
type running struct {
	product, version string
	tlsPort, bind    string
	owner            durable.Owner // of a file that it can read: root's, with its group
}

// Plan implements delivery.Planner.
func (r *Redis) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	c, err := load(r.o.Config)
	if err != nil {
		return nil, err
	}
	is, err := r.ask(ctx, c)
	if err != nil {
		return nil, err
	}
	raw, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	path := r.pem()
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to " + is.product}}
	// The file is root's, so that who takes the server over cannot exchange it.
	if err := pemfile.Plan(p, pemfile.File{Path: path, Content: raw, Mode: 0o640, Owner: &is.owner, Dir: 0o755}); err != nil {
		return nil, err
	}
	changed := c.set([]string{certFile, keyFile}, path)
	for _, n := range slices.Sorted(maps.Keys(changed)) {
		text := changed[n]
		p.Changes = append(p.Changes, installers.Change{Path: c.Paths[n], Op: installers.Rewrite, Old: c.Files[n], New: text, Secret: c.secrets(n)})
	}
	at := installers.Endpoint{Addr: net.JoinHostPort(firstAddress(is.bind), is.tlsPort)}
	p.Serves = delivery.Asked([]installers.Endpoint{at}, m)
	return p, nil
}

// firstAddress is one that the server listens on, and that can be connected to.
func firstAddress(bind string) string {
	for _, a := range strings.Fields(bind) {
		a = strings.TrimPrefix(a, "-")
		if ip := net.ParseIP(a); ip != nil && !ip.IsUnspecified() {
			return a
		}
	}
	return "127.0.0.1"
}

// where finds out where commands are taken.
func (r *Redis) where(c *conf) error {
	port := c.Value("port")
	switch {
	case r.o.Address != "":
		r.control = r.o.Address
	case c.Value("unixsocket") != "":
		r.control = c.Value("unixsocket")
	case port == "":
		r.control = net.JoinHostPort(firstAddress(c.bind()), "6379")
	case port != "0":
		r.control = net.JoinHostPort(firstAddress(c.bind()), port)
	default:
		return fmt.Errorf("%s: commands are taken by TLS only (port 0), and edge says them over a socket or a plain port; add a unixsocket, or say with address: where they are taken", r.o.Config)
	}
	return nil
}

func (c *conf) bind() string {
	return c.Value("bind")
}

// ask looks at the server, and keeps what it uses now.
func (r *Redis) ask(ctx context.Context, c *conf) (*running, error) {
	if err := r.where(c); err != nil {
		return nil, err
	}
	t, err := r.dial(ctx)
	if err != nil {
		return nil, err
	}
	defer t.close()
	answer, err := t.do("INFO", "server")
	if err != nil && strings.Contains(err.Error(), "NOAUTH") {
		err = fmt.Errorf("%w; say with password (--redis-password file:PATH) where it is", err)
	}
	if err != nil {
		return nil, err
	}
	text, _ := answer.(string)
	is := &running{product: "Redis", version: info(text, "redis_version")}
	if v := info(text, "valkey_version"); v != "" {
		is.product, is.version = "Valkey", v
	}
	if major, err := strconv.Atoi(strings.SplitN(is.version, ".", 2)[0]); err != nil || major < 7 {
		return nil, fmt.Errorf("version %.20q cannot change certificate and key in one command, which 7.0 can; update it", is.version)
	}
	if err := r.same(info(text, "config_file")); err != nil {
		return nil, err
	}
	if is.owner, err = ownerOf(info(text, "process_id")); err != nil {
		return nil, err
	}
	for name, to := range map[string]*string{"tls-port": &is.tlsPort, "bind": &is.bind, certFile: &r.before[0], keyFile: &r.before[1]} {
		if *to, err = t.config(name); err != nil {
			return nil, err
		}
	}
	if is.tlsPort == "" || is.tlsPort == "0" {
		return nil, fmt.Errorf("it has no TLS port; write tls-port 6379 into %s (and port 0, where plain connections are to end), and tls-auth-clients no, where clients have no certificates", r.o.Config)
	}
	return is, nil
}

// same wants the server to run with the configuration that is going to be changed.
func (r *Redis) same(runs string) error {
	a, errA := filepath.EvalSymlinks(runs)
	b, errB := filepath.EvalSymlinks(r.o.Config)
	if errA != nil || errB != nil || a != b {
		return fmt.Errorf("the server at %s runs with configuration %.200q, not with %s; say with config: and address: which server is meant", r.control, runs, r.o.Config)
	}
	return nil
}

// ownerOf is root with the group that the process of a server has.
func ownerOf(pid string) (durable.Owner, error) {
	n, err := strconv.ParseUint(pid, 10, 31)
	if err != nil {
		return durable.Owner{}, fmt.Errorf("it says that its process is %.20q", pid)
	}
	gid, err := process.Group(int(n))
	return durable.Owner{UID: -1, GID: gid}, err
}

// Name implements installers.Server.
func (r *Redis) Name() string { return "redis" }

// Root implements delivery.Planner.
func (r *Redis) Root() string { return filepath.Dir(r.o.Config) }

// Where is its configuration: several servers may have theirs in a folder.
func (r *Redis) Where() string { return r.o.Config }

// Settings implements delivery.Planner.
func (r *Redis) Settings() string { return r.o.Settings }

// Commands implements installers.Server.
func (r *Redis) Commands() (test, activate []string) {
	return nil, []string{"redis-cli", "CONFIG", "SET", certFile, r.pem(), keyFile, r.pem()}
}

// Test implements installers.Server: it reads what it would read at its next start.
func (r *Redis) Test(context.Context) error {
	_, err := load(r.o.Config)
	return err
}

// Activate implements installers.Server: the server takes the pair that its configuration
// names now, be it the new one or, in an undo, the old one.
func (r *Redis) Activate(ctx context.Context) error {
	c, err := load(r.o.Config)
	if err != nil {
		return err
	}
	files := r.before
	for n, name := range []string{certFile, keyFile} {
		if v := c.Value(name); v != "" {
			files[n] = v
		}
	}
	if err := r.where(c); err != nil {
		return err
	}
	if files[0] == "" || files[1] == "" {
		return nil // it had none, and has none
	}
	t, err := r.dial(ctx)
	if err != nil {
		return err
	}
	defer t.close()
	return t.ok("CONFIG", "SET", certFile, files[0], keyFile, files[1])
}
