package postgresql

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/directive"
	"edge/installers/pemfile"
	"edge/installers/process"
	"edge/internal/durable"
)

// running is what can be seen of a server.
type running struct {
	conf, auto *conf // auto is what ALTER SYSTEM wrote; it counts last
	data       string
	version    string
	owner      durable.Owner // of the data
	pid        int
	at         installers.Endpoint
}

// look finds the server of the configuration.
func (p *PostgreSQL) look() (*running, error) {
	c, err := load(p.o.Config)
	if err != nil {
		return nil, err
	}
	is := &running{conf: c, data: p.o.Data}
	switch set := c.Value("data_directory"); {
	case is.data != "":
	case filepath.IsAbs(set):
		is.data = set
	default:
		is.data = filepath.Dir(c.Paths[0])
	}
	if is.auto, err = load(filepath.Join(is.data, "postgresql.auto.conf")); errors.Is(err, fs.ErrNotExist) {
		is.auto = &conf{&directive.Set{}}
	} else if err != nil {
		return nil, err
	}
	raw, err := pemfile.Read(filepath.Join(is.data, "PG_VERSION"))
	if err != nil {
		return nil, fmt.Errorf("%w; say with data_directory: where its data is", err)
	}
	is.version = strings.TrimSpace(string(raw))
	if major, err := strconv.Atoi(is.version); err != nil || major < 10 {
		return nil, fmt.Errorf("version %.20q reads certificates at its start only; 10 and later read them while they run", is.version)
	}
	info, err := os.Stat(is.data)
	if err != nil {
		return nil, err
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return nil, fmt.Errorf("whose %s is cannot be found out", is.data)
	}
	is.owner = durable.Owner{UID: int(st.Uid), GID: int(st.Gid)}
	return is, is.postmaster()
}

// postmaster finds the process, and where it listens (miscadmin.h: LOCK_FILE_LINE_*).
func (is *running) postmaster() error {
	path := filepath.Join(is.data, "postmaster.pid")
	raw, err := pemfile.Read(path)
	if errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("it does not run: there is no %s; start it", path)
	}
	if err != nil {
		return err
	}
	lines := strings.Split(string(raw), "\n")
	if len(lines) < 7 {
		return fmt.Errorf("%s has %d lines, which is not all of it; is it starting?", path, len(lines))
	}
	if is.pid, err = strconv.Atoi(strings.TrimSpace(lines[0])); err != nil || is.pid <= 1 {
		return fmt.Errorf("%s has no process in its first line", path)
	}
	who, err := process.Read(is.pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return fmt.Errorf("it does not run: %s names process %d, which is gone; start it", path, is.pid)
	case err != nil:
		return err
	case who.UID != is.owner.UID || !isPostgres(who.Program):
		return fmt.Errorf("%s names process %d, which is %s of user %d, and no PostgreSQL of user %d", path, is.pid, who.Program, who.UID, is.owner.UID)
	}
	host, port := strings.TrimSpace(lines[5]), strings.TrimSpace(lines[3])
	switch host {
	case "":
		return errors.New("it listens on no address (listen_addresses), and there is no TLS over its socket")
	case "*", "0.0.0.0", "localhost":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	is.at = installers.Endpoint{Addr: net.JoinHostPort(host, port), StartTLS: "postgres"}
	return nil
}

// isPostgres reports whether a program is PostgreSQL's, also one that was updated since it
// started.
func isPostgres(program string) bool {
	return slices.Contains([]string{"postgres", "postmaster"}, filepath.Base(strings.TrimSuffix(program, " (deleted)")))
}

// wanted are the settings that have the server show a PEM file.
func (is *running) wanted(path string) []directive.Setting {
	list := []directive.Setting{{Name: "ssl_cert_file", Value: path}, {Name: "ssl_key_file", Value: path}}
	if !on(is.conf.Value("ssl")) {
		list = append(list, directive.Setting{Name: "ssl", Value: "on"})
	}
	return list
}

// Plan implements delivery.Planner.
func (p *PostgreSQL) Plan(_ context.Context, m *delivery.Material) (*installers.Plan, error) {
	is, err := p.look()
	if err != nil {
		return nil, err
	}
	raw, err := pemfile.KeyFirst(m)
	if err != nil {
		return nil, err
	}
	path := p.pem()
	wanted := is.wanted(path)
	for _, s := range append(slices.Clone(wanted), directive.Setting{Name: "ssl", Value: "on"}) {
		if v := is.auto.Value(s.Name); is.auto.Last(s.Name) != nil && v != s.Value && !(s.Name == "ssl" && on(v)) {
			return nil, fmt.Errorf("%s sets %s = '%s', which counts more than %s; say ALTER SYSTEM RESET %s", is.auto.Paths[0], s.Name, v, is.conf.Paths[0], s.Name)
		}
	}
	plan := &installers.Plan{Titles: []string{"Deployed ACME Certificate to PostgreSQL"}}
	// PostgreSQL takes a key of root's that its group may read (be-secure-common.c), and who
	// takes it over cannot exchange it.
	gid, err := process.Group(is.pid) // which need not be that of its data
	if err != nil {
		return nil, err
	}
	// With a path that it cannot read it goes on with the old pair, which may be the same one,
	// and does not start the next time.
	if err := process.Enters(is.pid, filepath.Dir(path)); err != nil {
		return nil, err
	}
	owner := durable.Owner{UID: -1, GID: gid}
	if err := pemfile.Plan(plan, pemfile.File{Path: path, Content: raw, Mode: 0o640, Owner: &owner, Dir: 0o755}); err != nil {
		return nil, err
	}
	changed := is.conf.set(wanted)
	for _, n := range slices.Sorted(maps.Keys(changed)) {
		plan.Changes = append(plan.Changes, installers.Change{Path: is.conf.Paths[n], Op: installers.Rewrite, Old: is.conf.Files[n], New: changed[n]})
	}
	plan.Serves = delivery.Asked([]installers.Endpoint{is.at}, m)
	return plan, nil
}

// Name implements installers.Server.
func (p *PostgreSQL) Name() string { return "postgresql" }

// Root implements delivery.Planner.
func (p *PostgreSQL) Root() string { return filepath.Dir(p.o.Config) }

// Where is its configuration: several servers may have theirs in a folder.
func (p *PostgreSQL) Where() string { return p.o.Config }

// Settings implements delivery.Planner.
func (p *PostgreSQL) Settings() string { return p.o.Settings }

// Commands implements installers.Server.
func (p *PostgreSQL) Commands() (test, activate []string) {
	if len(p.o.Reload) > 0 {
		return nil, p.o.Reload
	}
	data := p.o.Data
	if data == "" {
		data = filepath.Dir(p.o.Config)
		if is, err := p.look(); err == nil {
			data = is.data
		}
	}
	return nil, []string{"pg_ctl", "reload", "-D", data} // which is a HUP to the postmaster
}

// Test implements installers.Server: PostgreSQL has no test that root may run.
func (p *PostgreSQL) Test(context.Context) error {
	_, err := p.look()
	return err
}

// Activate implements installers.Server.
func (p *PostgreSQL) Activate(ctx context.Context) error {
	if len(p.o.Reload) > 0 {
		_, err := p.o.Run(ctx, p.o.Reload)
		return err
	}
	is, err := p.look()
	if err != nil {
		return err
	}
	if err := p.o.Signal(is.pid, syscall.SIGHUP); err != nil {
		return fmt.Errorf("signal the postmaster (process %d): %w", is.pid, err)
	}
	return nil
}
