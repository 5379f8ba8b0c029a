package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"time"
)

// Options say which nginx is meant. The zero value is the one that is installed.
type Options struct {
	// Ctl is the program, a name in PATH or a path; empty: nginx, else openresty or angie.
	Ctl string
	// ServerRoot is the folder of nginx.conf; empty: that of the running master, else
	// the one that the program was built with. So it is for /etc/nginx, certbot's
	// default, where there is no nginx.conf in it.
	ServerRoot string
	// Timeout bounds one run of the program; zero: a minute.
	Timeout time.Duration
	// Settle is how long Activate waits at most for old workers to let go (certbot:
	// --nginx-sleep-seconds, which always sleeps that long); less than 5 seconds: 5 seconds.
	Settle time.Duration
	// Resolve looks names in listen directives up; nil: as this machine does.
	Resolve func(host string) ([]netip.Addr, error)
}

// Nginx is one nginx on this machine. It is an installers.Installer. Safe for
// concurrent use.
type Nginx struct {
	ctl    string // absolute
	conf   string // nginx.conf, absolute
	prefix string // that of -p; empty: the one the program was built with
	build  build

	timeout, settleTime time.Duration
	resolve             func(host string) ([]netip.Addr, error)
}

const defaultRoot = "/etc/nginx"

// names of the program, in the order in which they are tried.
var programs = []string{"nginx", "openresty", "angie"}

// Detect finds nginx and its configuration, which it does not read yet.
func Detect(ctx context.Context, o Options) (*Nginx, error) {
	ctl, err := findProgram(o.Ctl)
	if err != nil {
		return nil, err
	}
	n := &Nginx{ctl: ctl, timeout: cmp.Or(o.Timeout, time.Minute), settleTime: max(o.Settle, settleDefault), resolve: o.Resolve}
	if n.resolve == nil {
		n.resolve = lookup
	}
	_, out, err := n.run(ctx, ctl, "-V")
	if err != nil {
		return nil, err
	}
	if n.build, err = parseVersion(out); err != nil {
		return nil, fmt.Errorf("%s -V: %w", ctl, err)
	}
	return n, n.findConf(o.ServerRoot)
}

func findProgram(ctl string) (string, error) {
	// certbot looks beyond PATH, too: cron has a short one.
	for _, name := range programs {
		if ctl != "" && ctl != programs[0] {
			name = ctl
		}
		for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin"} {
			if dir != "" && filepath.Base(name) != name {
				break
			}
			if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
				return filepath.Abs(path)
			}
		}
	}
	const says = "Could not find a usable 'nginx' binary. Ensure nginx exists, the binary is executable, and your PATH is set correctly."
	if ctl != "" && ctl != programs[0] {
		return "", certbotError(says+" It was looked for as %s, see --nginx-ctl (ctl below deliver).", ctl)
	}
	return "", certbotError(says)
}

// findConf decides on nginx.conf and the prefix.
func (n *Nginx) findConf(root string) error {
	masters := n.masters()
	if root != "" {
		abs, err := filepath.Abs(root)
		if err != nil {
			return err
		}
		n.conf = filepath.Join(abs, "nginx.conf")
		_, err = os.Stat(n.conf)
		switch {
		case err == nil:
			if i := slices.IndexFunc(masters, func(m master) bool { return sameFile(m.conf, n.conf) }); i >= 0 {
				n.prefix = masters[i].givenPrefix
			}
			return nil
		case !errors.Is(err, fs.ErrNotExist):
			return fmt.Errorf("find nginx's configuration: %w", err)
		case abs != defaultRoot:
			return certbotError("Could not find Nginx root configuration file (nginx.conf): %w; give its folder with --nginx-server-root (server_root below deliver)", err)
		}
	}
	n.conf = n.build.confPath()
	if len(masters) == 1 {
		n.conf, n.prefix = masters[0].conf, masters[0].givenPrefix
	}
	if _, err := os.Stat(n.conf); err != nil {
		return certbotError("Could not find Nginx root configuration file (nginx.conf): %w; give its folder with --nginx-server-root (server_root below deliver)", err)
	}
	return nil
}

func lookup(host string) ([]netip.Addr, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 2*time.Second)
	defer cancel()
	return net.DefaultResolver.LookupNetIP(ctx, "ip", host)
}

func sameFile(a, b string) bool {
	x, err1 := os.Stat(a)
	y, err2 := os.Stat(b)
	return err1 == nil && err2 == nil && os.SameFile(x, y)
}

// Name returns "nginx".
func (n *Nginx) Name() string { return "nginx" }

// Root returns the folder of nginx.conf.
func (n *Nginx) Root() string { return filepath.Dir(n.conf) }

// Conf returns the path of nginx.conf.
func (n *Nginx) Conf() string { return n.conf }

// Version returns product and version: "nginx/1.22.1".
func (n *Nginx) Version() string { return n.build.product + "/" + n.build.version }
