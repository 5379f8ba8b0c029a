package mariadb

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/installers/process"
	"edge/internal/durable"
)

// running is what a server says of itself.
type running struct {
	version, comment     string // "10.11.6-MariaDB-…"
	cert, key            string
	port, bind           string
	pidFile, skipNetwork string
}

func (is *running) mysql() bool { return !strings.Contains(is.version+is.comment, "MariaDB") }

func (is *running) product() string {
	if is.mysql() {
		return "MySQL"
	}
	return "MariaDB"
}

// at is where it takes connections.
func (is *running) at() installers.Endpoint {
	host := is.bind
	switch host {
	case "", "*", "0.0.0.0", "localhost":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return installers.Endpoint{Addr: net.JoinHostPort(host, is.port), StartTLS: "mysql"}
}

// group is that which the server may read files of.
func (is *running) group() (int, error) {
	raw, err := pemfile.Read(is.pidFile)
	if err != nil {
		return -1, fmt.Errorf("its process: %w; is it on another machine?", err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil {
		return -1, fmt.Errorf("%s has no process in it", is.pidFile)
	}
	return process.Group(pid)
}

// asks is answered with a line of fields between tabs; what is not set is empty.
const asks = "SELECT @@version, @@version_comment, IFNULL(@@ssl_cert, ''), IFNULL(@@ssl_key, ''), @@port, IFNULL(@@bind_address, ''), @@pid_file, @@skip_networking, @@datadir"

// say has the server's client say something, and returns the answer.
func (d *MariaDB) say(ctx context.Context, sql string) (string, error) {
	argv := []string{d.o.Client}
	if d.o.DefaultsFile != "" {
		argv = append(argv, "--defaults-extra-file="+d.o.DefaultsFile) // has to come first
	}
	argv = append(argv, "--batch", "--skip-column-names", "--connect-timeout=10")
	if d.o.Socket != "" {
		argv = append(argv, "--protocol=socket", "--socket="+d.o.Socket)
	}
	return d.o.Run(ctx, append(argv, "--execute="+sql))
}

// ask looks at the server.
func (d *MariaDB) ask(ctx context.Context) (*running, error) {
	out, err := d.say(ctx, asks)
	if err != nil && out != "" {
		lines := strings.Split(out, "\n")
		return nil, fmt.Errorf("%s says %.300q; is the server running, and may root log in over its socket?", d.o.Client, lines[len(lines)-1])
	}
	if err != nil {
		return nil, err
	}
	lines := strings.Split(strings.TrimRight(out, "\n"), "\n")
	f := strings.Split(lines[len(lines)-1], "\t") // warnings may come first
	if len(f) != 9 {
		return nil, fmt.Errorf("the client printed %.200q, not the nine fields that were asked for", out)
	}
	is := &running{version: f[0], comment: f[1], cert: f[2], key: f[3], port: f[4], bind: strings.Split(f[5], ",")[0], pidFile: f[6], skipNetwork: f[7]}
	if !filepath.IsAbs(is.pidFile) {
		is.pidFile = filepath.Join(f[8], is.pidFile)
	}
	if is.skipNetwork == "1" {
		return nil, errors.New("it takes no connections but over its socket (skip_networking), where there is no TLS")
	}
	return is, nil
}

// Plan implements delivery.Planner.
func (d *MariaDB) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	is, err := d.ask(ctx)
	if err != nil {
		return nil, err
	}
	d.was = is
	path := d.pem()
	if is.restarts(path, path) && len(d.o.Restart) == 0 {
		return nil, fmt.Errorf("%s %s reads where its certificate is at its start only, and started with ssl_cert %q; say with restart: how it may be restarted, such as [systemctl, restart, mariadb]; it is needed once",
			is.product(), is.version, is.cert)
	}
	raw, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	gid, err := is.group()
	if err != nil {
		return nil, err
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to " + is.product()}}
	// The file is root's, so that who takes the server over cannot exchange it.
	owner := durable.Owner{UID: -1, GID: gid}
	if err := pemfile.Plan(p, pemfile.File{Path: path, Content: raw, Mode: 0o640, Owner: &owner, Dir: 0o755}); err != nil {
		return nil, err
	}
	if err := d.planOptions(p, is, path); err != nil {
		return nil, err
	}
	p.Serves = delivery.Asked([]installers.Endpoint{is.at()}, m)
	return p, nil
}

// head begins an option file of ours.
const head = "# written by edge\n[mysqld]\n"

// ours reports whether edge has written all of an option file.
func ours(text []byte) bool {
	rest, ok := strings.CutPrefix(string(text), head)
	for l := range strings.Lines(rest) {
		ok = ok && (strings.HasPrefix(l, "ssl_cert = ") || strings.HasPrefix(l, "ssl_key = "))
	}
	return ok
}

// planOptions has the server find the file at its next start, by an option file of ours
// that is read last.
func (d *MariaDB) planOptions(p *installers.Plan, is *running, path string) error {
	now, err := load(d.o.Config, "", nil)
	if err != nil {
		return err
	}
	version := strings.SplitN(is.version, "-", 2)[0]
	if now.value("ssl_cert", version) == path && now.value("ssl_key", version) == path {
		return nil
	}
	own := d.o.OwnFile
	if own == "" {
		if len(now.dirs) == 0 {
			return fmt.Errorf("%s includes no folder where edge could write a file; say with own_file: which it may write, and include it", d.o.Config)
		}
		own = filepath.Join(now.dirs[len(now.dirs)-1], "zz-edge.cnf")
	}
	text := []byte(head + "ssl_cert = " + path + "\nssl_key = " + path + "\n")
	then, err := load(d.o.Config, own, text)
	if err != nil {
		return err
	}
	for _, name := range []string{"ssl_cert", "ssl_key"} {
		if o := then.last(name, version); o == nil || o.value != path {
			where := d.o.Config + " does not read it"
			if o != nil {
				where = fmt.Sprintf("%s, line %d, counts more", o.path, o.line)
			}
			return fmt.Errorf("%s in %s would not take effect: %s", name, own, where)
		}
	}
	c := installers.Change{Path: own, Op: installers.Create, New: text, Mode: 0o644}
	old, err := pemfile.Read(own)
	switch {
	case errors.Is(err, fs.ErrNotExist):
	case err != nil:
		return err
	case !ours(old):
		return fmt.Errorf("%s has other lines than edge writes; move them to another file, or say with own_file: which edge may write", own)
	default:
		c.Op, c.Old = installers.Rewrite, old
	}
	p.Changes = append(p.Changes, c)
	return nil
}

// Name implements installers.Server.
func (d *MariaDB) Name() string { return "mariadb" }

// Root implements delivery.Planner.
func (d *MariaDB) Root() string { return filepath.Dir(d.o.Config) }

// Settings implements delivery.Planner.
func (d *MariaDB) Settings() string { return d.o.Settings }

// Commands implements installers.Server.
func (d *MariaDB) Commands() (test, activate []string) {
	switch {
	case d.was != nil && d.was.mysql():
		return nil, []string{d.o.Client, "--execute=ALTER INSTANCE RELOAD TLS"}
	case d.was.restarts(d.pem(), d.pem()):
		return d.starting("mariadbd"), d.o.Restart
	}
	return nil, []string{d.o.Client, "--execute=FLUSH SSL"}
}

// restarts reports whether the server has to be restarted for what its option files have.
func (is *running) restarts(cert, key string) bool {
	return is != nil && !is.mysql() && (is.cert != cert || is.key != key)
}

// starting has a server read its option files, and do nothing beyond.
func (d *MariaDB) starting(program string) []string {
	return []string{program, "--defaults-file=" + d.o.Config, "--help", "--verbose"}
}

// Test implements installers.Server: before a restart, the server reads its option files.
// Somebody may have left there what it does not start with; it runs well until then.
func (d *MariaDB) Test(ctx context.Context) error {
	c, err := load(d.o.Config, "", nil)
	if err != nil {
		return err
	}
	is := d.was
	if is == nil { // of a rollback, there was no plan
		if is, err = d.ask(ctx); err != nil {
			return nil // it does not run: nothing can be lost
		}
	}
	version := strings.SplitN(is.version, "-", 2)[0]
	if !is.restarts(c.value("ssl_cert", version), c.value("ssl_key", version)) {
		return nil
	}
	for _, program := range []string{"mariadbd", "/usr/sbin/mariadbd", "mysqld", "/usr/sbin/mysqld"} { // cron's PATH is short
		said, err := d.o.Exec(ctx, installers.Program{Argv: d.starting(program)})
		switch {
		case errors.Is(err, exec.ErrNotFound) || errors.Is(err, fs.ErrNotExist):
			continue
		case err != nil || said.Code == 0:
			return err
		}
		return fmt.Errorf("the server would not start again: %s says %.300q; it is not restarted", program, said.Stderr[strings.LastIndexByte(said.Stderr, '\n')+1:])
	}
	return nil // it is in a container, perhaps
}

// Activate implements installers.Server: the server takes what its option files name now,
// be it the new file or, in an undo, the old one.
func (d *MariaDB) Activate(ctx context.Context) error {
	c, err := load(d.o.Config, "", nil)
	if err != nil {
		return err
	}
	is, err := d.ask(ctx)
	if err != nil && len(d.o.Restart) > 0 {
		_, err = d.o.Run(ctx, d.o.Restart) // it may have ended over what was just put back
		return err
	}
	if err != nil {
		return err
	}
	version := strings.SplitN(is.version, "-", 2)[0]
	cert, key := c.value("ssl_cert", version), c.value("ssl_key", version)
	switch {
	case is.mysql() && cert != "":
		_, err = d.say(ctx, fmt.Sprintf("SET GLOBAL ssl_cert = '%s', GLOBAL ssl_key = '%s'; ALTER INSTANCE RELOAD TLS", escaped(cert), escaped(key)))
	case cert == is.cert && key == is.key:
		_, err = d.say(ctx, "FLUSH SSL")
	case len(d.o.Restart) == 0:
		err = errors.New("it has to be restarted, and restart: does not say how")
	default:
		_, err = d.o.Run(ctx, d.o.Restart)
	}
	return err
}

// escaped is a path between single quotes in SQL.
func escaped(s string) string {
	return strings.NewReplacer(`\`, `\\`, `'`, `''`).Replace(s)
}
