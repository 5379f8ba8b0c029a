package apache

import (
	"bufio"
	"io"
	"os"
	"strconv"
	"strings"
)

// layout is how a distribution lays httpd out.
type layout struct {
	serverRoot, vhostRoot, logsRoot, challenges string

	ctl string // tests, reloads and starts
	bin string // says version and modules, where ctl does not; empty: ctl does
	// alternative is what ctl is asked for where graceful fails.
	alternative   string
	enmod, dismod string
	modules       bool // they can be turned on by enmod
	sites         bool // they are turned on by links in sites-enabled
	// options is the file with httpd's arguments, in the shell variable of that name.
	options, variable string
}

// The layouts of certbot.
var (
	generic = layout{serverRoot: "/etc/apache2", vhostRoot: "/etc/apache2/sites-available", logsRoot: "/var/log/apache2", challenges: "/etc/apache2", ctl: "apache2ctl"}
	debian  = generic.with(func(l *layout) { l.enmod, l.dismod, l.modules, l.sites = "a2enmod", "a2dismod", true, true })
	redhat  = layout{
		serverRoot: "/etc/httpd", vhostRoot: "/etc/httpd/conf.d", logsRoot: "/var/log/httpd", challenges: "/etc/httpd/conf.d",
		ctl: "apachectl", alternative: "restart", options: "/etc/sysconfig/httpd", variable: "OPTIONS",
	}
	// From version 9 on, and in Fedora, apachectl takes no options.
	redhat9 = redhat.with(func(l *layout) { l.bin = "httpd" })
	arch    = layout{serverRoot: "/etc/httpd", vhostRoot: "/etc/httpd/conf", logsRoot: "/var/log/httpd", challenges: "/etc/httpd/conf", ctl: "apachectl"}
	gentoo  = generic.with(func(l *layout) {
		l.vhostRoot, l.challenges, l.alternative = "/etc/apache2/vhosts.d", "/etc/apache2/vhosts.d", "restart"
		l.options, l.variable = "/etc/conf.d/apache2", "APACHE2_OPTS"
	})
	suse = generic.with(func(l *layout) {
		l.vhostRoot, l.challenges, l.ctl = "/etc/apache2/vhosts.d", "/etc/apache2/vhosts.d", "apachectl"
		l.enmod, l.dismod = "a2enmod", "a2dismod"
	})
	alpine = generic.with(func(l *layout) {
		l.vhostRoot, l.challenges, l.ctl = "/etc/apache2/conf.d", "/etc/apache2/conf.d", "apachectl"
	})
	void = layout{serverRoot: "/etc/apache", vhostRoot: "/etc/apache/extra", logsRoot: "/var/log/httpd", challenges: "/etc/apache/extra", ctl: "apachectl"}
)

func (l layout) with(change func(*layout)) layout {
	change(&l)
	return l
}

// layouts are found by ID of os-release.
var layouts = map[string]layout{
	"debian": debian, "ubuntu": debian, "linuxmint": debian, "raspbian": debian,
	"rhel": redhat, "centos": redhat, "ol": redhat, "oracle": redhat, "amzn": redhat, "amazon": redhat, "scientific": redhat,
	"cloudlinux": redhat, "rocky": redhat, "almalinux": redhat, "fedora": redhat9,
	"arch": arch, "gentoo": gentoo, "opensuse": suse, "opensuse-leap": suse, "opensuse-tumbleweed": suse, "suse": suse, "sles": suse,
	"alpine": alpine, "void": void,
}

// findLayout decides by what os-release says.
func findLayout(osRelease io.Reader) layout {
	values := map[string]string{}
	scan := bufio.NewScanner(io.LimitReader(osRelease, 64<<10))
	for scan.Scan() {
		if name, value, ok := strings.Cut(scan.Text(), "="); ok {
			values[name] = strings.ToLower(strings.Trim(value, `"'`))
		}
	}
	for _, id := range append([]string{values["ID"]}, strings.Fields(values["ID_LIKE"])...) {
		l, ok := layouts[id]
		if !ok {
			continue
		}
		major, _, _ := strings.Cut(values["VERSION_ID"], ".")
		n, _ := strconv.Atoi(major)
		if l.ctl == redhat.ctl && l.alternative != "" && n >= 9 {
			l = redhat9
		}
		return l
	}
	return generic
}

// layoutHere is that of this machine.
func layoutHere(path string) layout {
	f, err := os.Open(path)
	if err != nil {
		return generic
	}
	defer f.Close() // only read
	return findLayout(f)
}
