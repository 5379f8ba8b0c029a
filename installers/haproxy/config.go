package haproxy

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/process"
	"edge/installers/target"
	"edge/internal/durable"
)

const (
	installerOld     = "certbot-haproxy:haproxy-installer-"
	authenticatorOld = "certbot-haproxy:haproxy-authenticator-"
	defaultConfig    = "/etc/haproxy/haproxy.cfg"
	defaultMaster    = "/run/haproxy-master.sock" // of Debian's unit
)

// Kind is that of this package.
func Kind() target.Kind {
	return target.Kind{
		Name:        "haproxy",
		Description: "HAProxy: certificates without a reload where its socket allows that, HTTP-01 from a map",
		Aliases:     []string{"certbot-haproxy:haproxy-installer", "certbot-haproxy:haproxy-authenticator"},
		Settings:    settings(),
		Found:       found,
		Target: func(_ context.Context, v target.Values, env *target.Env) (delivery.Target, error) {
			o, err := options(v, env)
			if err != nil {
				return nil, err
			}
			h, err := New(o)
			if err != nil {
				return nil, err
			}
			l := env.Local(h)
			l.Lock = h.locked(l.Lock)
			return l, nil
		},
		Authenticator: func(_ context.Context, v target.Values, env *target.Env) (target.Authenticator, error) {
			o, err := options(v, env)
			if err != nil {
				return nil, err
			}
			how := v.Text("mode")
			if !v.IsSet("mode") && v.IsSet("http_01_port") {
				how = helperMode // as certbot-haproxy did
			}
			return NewAuthenticator(o, Answers{
				Mode: how, Map: v.Text("map"), Variable: v.Text("thumbprint"), Port: v.Number("http_01_port"), Address: v.Text("http_address"),
			})
		},
	}
}

func settings() []target.Setting {
	return []target.Setting{
		{Name: "config", Type: target.List, Default: defaultConfig, Doc: "HAProxy's configuration: files and folders as after its -f",
			Old: []string{installerOld + "haproxy-config"}},
		{Name: "crt_dir", Type: target.Path, Installs: true, Doc: "the folder for PEM files; else that of the configuration",
			Old: []string{installerOld + "haproxy-crt-dir"}},
		{Name: "crt_list", Type: target.Path, Installs: true, Doc: "the crt-list that new certificates get a line in; else that of the configuration"},
		{Name: "pem_name", Type: target.Text, Installs: true, Doc: "name of the PEM file; else NAME.pem, or the file that has these names already"},
		{Name: "bundle", Type: target.Bool, Installs: true, Doc: "add .rsa or .ecdsa to the name of the PEM file, for a bundle of both"},
		{Name: "pem_owner", Type: target.Text, Installs: true, Doc: "user that a new PEM file belongs to; else who runs edge"},
		{Name: "pem_group", Type: target.Text, Installs: true, Doc: "group that a new PEM file belongs to"},
		{Name: "pem_mode", Type: target.Text, Default: "0600", Installs: true, Doc: "mode of a new PEM file"},
		{Name: "update", Type: target.Text, Default: auto, Choices: []string{auto, byRuntime, byReload}, Installs: true,
			Doc: "how HAProxy takes a certificate: by its socket, by a reload, or by the first of these that is possible"},
		{Name: "reload", Type: target.List, Installs: true, Doc: "program and arguments that reload HAProxy; else systemctl or the master socket, as it runs",
			Old: []string{installerOld + "haproxy-restart"}},
		{Name: "stats_socket", Type: target.Text, Doc: "stats socket with level admin: a path or host:port; else that of the configuration"},
		{Name: "master_socket", Type: target.Text, Doc: "master socket (-S): a path or host:port; else that of the running HAProxy"},
		{Name: "program", Type: target.Path, Default: "/usr/sbin/haproxy", Doc: "the haproxy that runs, and that tests the configuration"},
		{Name: "ca_common_name", Type: target.Text, Installs: true, Doc: "of certbot-haproxy; has no meaning any more",
			Old: []string{installerOld + "haproxy-ca-common-name"}},
		{Name: "no_fall_back_cert", Type: target.Bool, Installs: true, Doc: "of certbot-haproxy; edge never makes a self-signed certificate for the folder",
			Old: []string{installerOld + "no-fall-back-cert"}},
		{Name: "mode", Type: target.Text, Default: mapMode, Choices: []string{mapMode, statelessMode, helperMode}, Proves: true,
			Doc: "how HTTP-01 is answered: from a map, by a rule with the account's thumbprint, or by a listener behind HAProxy"},
		{Name: "map", Type: target.Path, Default: "/etc/haproxy/acme.map", Proves: true, Doc: "the map of mode map, as the rule names it"},
		{Name: "thumbprint", Type: target.Text, Default: "ACCOUNT_THUMBPRINT", Proves: true, Doc: "the variable of mode stateless"},
		{Name: "http_01_port", Type: target.Number, Default: "8000", Proves: true, Doc: "port on 127.0.0.1 of mode helper",
			Old: []string{authenticatorOld + "haproxy-http-01-port"}},
		{Name: "http_address", Type: target.Text, Proves: true, Doc: "where HAProxy is asked for the answers; else port 80 of the configuration"},
	}
}

// The values of update.
const (
	auto      = "auto"
	byRuntime = "runtime"
	byReload  = "reload"
)

// Options are what a HAProxy is made of.
type Options struct {
	Name   string   // of the lineage: the PEM file's name is made of it
	Config []string // files and folders, absolute; the first one's folder is locked
	// CrtDir, CrtList and PEMName say where a certificate goes; empty: found out.
	CrtDir, CrtList, PEMName string
	Bundle                   bool
	Mode                     fs.FileMode    // of a new PEM file
	Owner                    *durable.Owner // of a new PEM file; nil: this process
	Update                   string         // "auto", "runtime" or "reload"
	Reload                   []string       // argv; empty: found out
	// StatsSocket and MasterSocket are paths or host:port; empty: found out.
	StatsSocket, MasterSocket string
	Program                   string // absolute
	Settings                  string // as in delivery.Target

	// The world, as in target.Env.
	Run    func(ctx context.Context, argv []string) (output string, err error)
	Exec   func(ctx context.Context, p installers.Program) (installers.Said, error)
	Dial   dialer
	Getenv func(string) string
}

func options(v target.Values, env *target.Env) (Options, error) {
	o := Options{
		Name: env.Name, Config: v.List("config"), CrtDir: v.Text("crt_dir"), CrtList: v.Text("crt_list"), PEMName: v.Text("pem_name"),
		Bundle: v.Bool("bundle"), Update: v.Text("update"), Reload: v.List("reload"), StatsSocket: v.Text("stats_socket"),
		MasterSocket: v.Text("master_socket"), Program: v.Text("program"), Settings: v.String(),
		Run: env.Run, Exec: env.Exec, Dial: env.Dial, Getenv: env.Getenv,
	}
	if !v.IsSet("config") {
		o.Config = started(o.Program, o.Config)
	}
	if len(o.Reload) == 1 {
		o.Reload = strings.Fields(o.Reload[0]) // a flag has one value
	}
	mode, err := strconv.ParseUint(v.Text("pem_mode"), 8, 12)
	if err != nil || mode&0o007 != 0 || mode&0o400 == 0 || mode > 0o777 {
		return o, errors.New("haproxy: pem_mode is for a file with a private key: write it as 0600 or 0640")
	}
	o.Mode = fs.FileMode(mode)
	if v.IsSet("pem_owner") || v.IsSet("pem_group") {
		o.Owner, err = owner(v.Text("pem_owner"), v.Text("pem_group"))
	}
	return o, err
}

// started are the files that the one HAProxy of this machine was started with.
func started(program string, otherwise []string) []string {
	all := process.Running(program)
	if len(all) != 1 {
		return otherwise
	}
	files, _ := arguments(all[0].Args)
	for _, f := range files {
		if !filepath.IsAbs(f) {
			return otherwise
		}
	}
	if len(files) == 0 {
		return otherwise
	}
	return files
}

func owner(name, group string) (*durable.Owner, error) {
	o := &durable.Owner{UID: -1, GID: -1}
	id := func(s string) (int, bool) {
		n, err := strconv.ParseUint(s, 10, 31)
		return int(n), err == nil
	}
	if n, ok := id(name); ok {
		o.UID = n
	} else if name != "" {
		u, err := user.Lookup(name)
		if err != nil {
			return nil, fmt.Errorf("haproxy: pem_owner: %w", err)
		}
		o.UID, _ = strconv.Atoi(u.Uid)
	}
	if n, ok := id(group); ok {
		o.GID = n
	} else if group != "" {
		g, err := user.LookupGroup(group)
		if err != nil {
			return nil, fmt.Errorf("haproxy: pem_group: %w", err)
		}
		o.GID, _ = strconv.Atoi(g.Gid)
	}
	return o, nil
}

// check is of what all uses need.
func (o *Options) check() error {
	if len(o.Config) == 0 || o.Program == "" {
		return errors.New("haproxy: no configuration or no program is named")
	}
	for _, path := range append([]string{o.Program}, o.Config...) {
		if !filepath.IsAbs(path) {
			return fmt.Errorf("haproxy: %q is not where a file can be found; write an absolute path", path)
		}
	}
	if o.PEMName != "" && (strings.ContainsAny(o.PEMName, "/*") || o.PEMName[0] == '.') {
		return fmt.Errorf("haproxy: pem_name: %q cannot be the name of a PEM file: no slash, no star, no dot in front", o.PEMName)
	}
	for _, reserved := range reservedSuffixes() {
		if strings.HasSuffix(o.PEMName, reserved) {
			return fmt.Errorf("haproxy: pem_name: HAProxy takes files with the end %s for something else than certificates", reserved)
		}
	}
	return nil
}

// reservedSuffixes are those of files beside a PEM file.
func reservedSuffixes() []string { return []string{".key", ".issuer", ".ocsp", ".sctl"} }

func found(ctx context.Context, v target.Values, env *target.Env) (string, error) {
	o, err := options(v, env)
	if err != nil {
		return "", err
	}
	if err := o.check(); err != nil {
		return "", err
	}
	if _, err := os.Stat(o.Config[0]); err != nil {
		return "", err
	}
	w, err := o.look()
	if err != nil {
		return "", err
	}
	says := []string{"configuration " + strings.Join(o.Config, ", ")}
	c, i, err := w.answering(ctx)
	if err != nil {
		says = append(says, err.Error())
	} else {
		says = append([]string{"HAProxy " + i.text}, append(says, c.String())...)
	}
	return cmp.Or(strings.Join(says, ", "), "HAProxy"), nil
}
