package apache

import (
	"cmp"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"strings"
	"time"
)

// Options say which Apache is meant: certbot's flags --apache-*. What is empty is as the
// distribution has it.
type Options struct {
	ServerRoot, VhostRoot, LogsRoot, ChallengeLocation string
	LeVhostExt                                         string // "-le-ssl.conf"
	Enmod, Dismod, Ctl, Bin                            string
	HandleModules, HandleSites                         *bool
	// Timeout bounds one run of a program; zero: a minute.
	Timeout time.Duration
	// OSRelease is the file that names the distribution; empty: /etc/os-release.
	OSRelease string
}

// Apache is one Apache httpd on this machine. It is an installers.Installer. Safe for
// concurrent use.
type Apache struct {
	layout
	extension  string
	givenVhost bool   // the folder for virtual hosts was given
	main       string // the main file
	ownRoot    bool   // ServerRoot is not the distribution's
	version    string // "2.4.62"
	static     []string
	timeout    time.Duration
	// restartTime is how long a master may take to read its configuration again.
	restartTime time.Duration
}

var versionPattern = regexp.MustCompile(`(?i)Apache/([0-9.]+)`)

// Detect finds Apache and its main file, which it does not read yet.
func Detect(ctx context.Context, o Options) (*Apache, error) {
	l := layoutHere(cmp.Or(o.OSRelease, "/etc/os-release"))
	a := &Apache{
		layout: l, extension: cmp.Or(o.LeVhostExt, "-le-ssl.conf"), timeout: cmp.Or(o.Timeout, time.Minute), restartTime: restartDefault,
		givenVhost: o.VhostRoot != "", ownRoot: o.ServerRoot != "" && filepath.Clean(o.ServerRoot) != l.serverRoot,
	}
	for _, f := range []struct {
		flag string
		into *string
	}{
		{o.ServerRoot, &a.serverRoot}, {o.VhostRoot, &a.vhostRoot}, {o.LogsRoot, &a.logsRoot}, {o.ChallengeLocation, &a.challenges},
		{o.Enmod, &a.enmod}, {o.Dismod, &a.dismod}, {o.Ctl, &a.ctl}, {o.Bin, &a.bin},
	} {
		*f.into = cmp.Or(f.flag, *f.into)
	}
	if o.HandleModules != nil {
		a.modules = *o.HandleModules
	}
	if o.HandleSites != nil {
		a.sites = *o.HandleSites
	}
	if err := a.findMain(o, l.serverRoot); err != nil {
		return nil, err
	}
	ctl, err := findProgram(a.ctl)
	if err != nil {
		return nil, certbots("Cannot find Apache executable %s", a.ctl)
	}
	a.ctl = ctl
	return a, a.ask(ctx)
}

// findMain finds the main file. Folders of a server that is not the distribution's are
// below its own root.
func (a *Apache) findMain(o Options, was string) error {
	root, err := filepath.Abs(a.serverRoot)
	if err == nil {
		root, err = filepath.EvalSymlinks(root)
	}
	if err != nil {
		return fmt.Errorf("find Apache's configuration: %w; give its folder with --apache-server-root (server_root below deliver)", err)
	}
	if a.ownRoot && o.VhostRoot == "" {
		a.vhostRoot = moved(a.vhostRoot, was, root)
	}
	if a.ownRoot && o.ChallengeLocation == "" {
		a.challenges = moved(a.challenges, was, root)
	}
	a.serverRoot = root
	for _, name := range []string{"apache2.conf", "httpd.conf", "conf/httpd.conf"} {
		path := filepath.Join(root, name)
		if info, err := os.Stat(path); err == nil && info.Mode().IsRegular() {
			a.main = path
			return nil
		}
	}
	return certbots("Could not find configuration root: there is no apache2.conf, httpd.conf or conf/httpd.conf in %s; give its folder with --apache-server-root (server_root below deliver)", root)
}

// moved is a folder below a root, below another.
func moved(folder, from, to string) string {
	if rest, below := strings.CutPrefix(folder, from); below {
		return to + rest
	}
	return folder
}

func findProgram(name string) (string, error) {
	// certbot looks beyond PATH, too: cron has a short one.
	for _, dir := range []string{"", "/usr/sbin", "/usr/local/sbin", "/usr/local/bin", "/usr/bin", "/sbin"} {
		if dir != "" && filepath.Base(name) != name {
			break
		}
		if path, err := exec.LookPath(filepath.Join(dir, name)); err == nil {
			return filepath.Abs(path)
		}
	}
	return "", exec.ErrNotFound
}

// ask has the program say what it is.
func (a *Apache) ask(ctx context.Context) error {
	speaker := a.speaker()
	out, err := a.run(ctx, speaker, "-v")
	if err != nil {
		return certbots("Unable to run %s -v: %w", speaker, err)
	}
	match := versionPattern.FindStringSubmatch(out)
	if match == nil {
		return certbots("Unable to find Apache version")
	}
	a.version = strings.Trim(match[1], ".")
	if a.olderThan(2, 4, 0) {
		return certbots("Apache Version %s not supported.", a.version)
	}
	out, err = a.run(ctx, speaker, "-l")
	if err != nil {
		return fmt.Errorf("ask for the modules that are built in: %w", err)
	}
	for line := range strings.Lines(out) {
		if name := strings.TrimSpace(line); strings.HasSuffix(name, ".c") {
			a.static = append(a.static, name)
		}
	}
	return nil
}

// speaker is the program that takes options.
func (a *Apache) speaker() string { return cmp.Or(a.bin, a.ctl) }

// olderThan compares the version of httpd.
func (a *Apache) olderThan(want ...int) bool {
	var have [3]int
	fmt.Sscanf(a.version, "%d.%d.%d", &have[0], &have[1], &have[2])
	for i, w := range want {
		if have[i] != w {
			return have[i] < w
		}
	}
	return false
}

// Name returns "apache".
func (a *Apache) Name() string { return "apache" }

// Root returns the folder of the configuration.
func (a *Apache) Root() string { return a.serverRoot }

// Conf returns the path of the main file.
func (a *Apache) Conf() string { return a.main }

// Version returns "Apache/2.4.62".
func (a *Apache) Version() string { return "Apache/" + a.version }
