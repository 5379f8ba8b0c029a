package apache

import (
	"context"
	"os"
	"slices"
	"strings"
	"testing"
)

func TestLayouts(t *testing.T) {
	for osRelease, want := range map[string][]string{
		"ID=debian":                                                {"/etc/apache2", "/etc/apache2/sites-available", "apache2ctl", "", "/etc/apache2", "a2enmod"},
		"ID=ubuntu\nID_LIKE=debian":                                {"/etc/apache2", "/etc/apache2/sites-available", "apache2ctl", "", "/etc/apache2", "a2enmod"},
		"ID=pop\nID_LIKE=\"ubuntu debian\"":                        {"/etc/apache2", "/etc/apache2/sites-available", "apache2ctl", "", "/etc/apache2", "a2enmod"},
		"ID=\"centos\"\nVERSION_ID=\"7\"":                          {"/etc/httpd", "/etc/httpd/conf.d", "apachectl", "", "/etc/httpd/conf.d", ""},
		"ID=\"rhel\"\nVERSION_ID=\"9.2\"":                          {"/etc/httpd", "/etc/httpd/conf.d", "apachectl", "httpd", "/etc/httpd/conf.d", ""},
		"ID=rocky\nVERSION_ID=8.9\nID_LIKE=\"rhel centos fedora\"": {"/etc/httpd", "/etc/httpd/conf.d", "apachectl", "", "/etc/httpd/conf.d", ""},
		"ID=fedora\nVERSION_ID=40":                                 {"/etc/httpd", "/etc/httpd/conf.d", "apachectl", "httpd", "/etc/httpd/conf.d", ""},
		"ID=arch":                                                  {"/etc/httpd", "/etc/httpd/conf", "apachectl", "", "/etc/httpd/conf", ""},
		"ID=gentoo":                                                {"/etc/apache2", "/etc/apache2/vhosts.d", "apache2ctl", "", "/etc/apache2/vhosts.d", ""},
		"ID=alpine":                                                {"/etc/apache2", "/etc/apache2/conf.d", "apachectl", "", "/etc/apache2/conf.d", ""},
		"ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"":          {"/etc/apache2", "/etc/apache2/vhosts.d", "apachectl", "", "/etc/apache2/vhosts.d", "a2enmod"},
		"ID=void":  {"/etc/apache", "/etc/apache/extra", "apachectl", "", "/etc/apache/extra", ""},
		"ID=other": {"/etc/apache2", "/etc/apache2/sites-available", "apache2ctl", "", "/etc/apache2", ""},
	} {
		l := findLayout(strings.NewReader(osRelease))
		if got := []string{l.serverRoot, l.vhostRoot, l.ctl, l.bin, l.challenges, l.enmod}; !slices.Equal(got, want) {
			t.Errorf("%q: %q, want %q", osRelease, got, want)
		}
		if debian := want[5] == "a2enmod" && want[2] == "apache2ctl"; l.modules != debian || l.sites != debian {
			t.Errorf("%q: %+v", osRelease, l)
		}
	}
}

func TestDefines(t *testing.T) {
	src := "# OPTIONS=\"-DNO\"\nOPTIONS=\"-D SSL -DPHP5 -f x -D\"\nLANG=C\n"
	if got := defines(shellVariable(src, "OPTIONS")); !slices.Equal(got, []string{"SSL", "PHP5"}) {
		t.Errorf("%q", got)
	}
}

// A server that is not the distribution's, and programs that are not there.
func TestDetect(t *testing.T) {
	s := debianTree(t, nil).detect(t)
	if s.Conf() != s.root+"/apache2.conf" || s.challenges != s.root || s.vhostRoot != s.root+"/sites-available" || !strings.HasPrefix(s.Version(), "Apache/2.4.") || !slices.Contains(s.static, "mod_so.c") {
		t.Errorf("%+v", s.Apache)
	}
	ctx := context.Background()
	if _, err := Detect(ctx, Options{ServerRoot: s.root, Ctl: "none-apache2ctl"}); err == nil || err.Error() != "Cannot find Apache executable none-apache2ctl" {
		t.Error(err)
	}
	if _, err := Detect(ctx, Options{ServerRoot: s.dir + "/log"}); err == nil || !strings.HasPrefix(err.Error(), "Could not find configuration root") {
		t.Error(err)
	}
	test, activate := s.Commands()
	if strings.Join(test, " ") != "env APACHE_CONFDIR="+s.root+" /usr/sbin/apache2ctl configtest" || activate[3] != "graceful" {
		t.Errorf("%q %q", test, activate)
	}
	if err := s.Test(ctx); err != nil {
		t.Error(err)
	}
	write(t, s.root, map[string]string{"sites-enabled/bad.conf": "<VirtualHost *:80>\nNope\n</VirtualHost>\n"})
	if err := s.Test(ctx); err == nil || !strings.Contains(err.Error(), "bad.conf") || !strings.Contains(err.Error(), "Nope") {
		t.Error(err)
	}
	write(t, s.root, map[string]string{"sites-enabled/worse.conf": "<VirtualHost *:80>\n"})
	if _, err := s.Names(ctx); err == nil || !strings.Contains(err.Error(), s.root+"/sites-enabled/worse.conf:2:1: ") {
		t.Error(err)
	}
}

// What httpd sees and we do not is an error; what it does not take for a host is none.
func TestCrosscheck(t *testing.T) {
	ctx := context.Background()
	s := debianTree(t, map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n<VirtualHost no-such-host.invalid:80>\nServerName b.test\n</VirtualHost>\n"}).detect(t)
	set, err := s.load(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if dropped, err := s.crosscheck(ctx, set); err != nil || len(dropped) != 1 || !dropped[s.root+"/sites-available/a.conf:4"] {
		t.Error(dropped, err)
	}
	write(t, s.root, map[string]string{"sites-enabled/again.conf": "Include sites-available/a.conf\n"})
	if set, err = s.load(ctx); err != nil {
		t.Fatal(err)
	}
	if dropped, err := s.crosscheck(ctx, set); err != nil || len(dropped) != 1 {
		t.Error(dropped, err)
	}
	if names, err := s.Names(ctx); err != nil || !slices.Equal(names, []string{"a.test"}) {
		t.Errorf("%q %v", names, err)
	}
	write(t, s.root, map[string]string{"sites-available/a.conf": "\n<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"})
	if _, err = s.crosscheck(ctx, set); err == nil || !strings.Contains(err.Error(), "its virtual host at "+s.root+"/sites-available/a.conf:2 was not found") {
		t.Error(err)
	}
}

// In distributions like Red Hat's, the program says what it is by one name, and is told
// by another; restart is tried where graceful fails. Their apachectl cannot run here.
func TestRedHat(t *testing.T) {
	dir := folder(t)
	script := `#!/bin/sh
case "$(basename "$0") $*" in
"httpd -v") echo "Server version: Apache/2.4.57 (Red Hat)" ;;
"httpd -l") printf 'Compiled in modules:\n  core.c\n  http_core.c\n' ;;
"apachectl -d DIR/httpd -f DIR/httpd/conf/httpd.conf -k restart") echo restarted >DIR/restarted ;;
"apachectl -d DIR/httpd -f DIR/httpd/conf/httpd.conf -k start") echo started >DIR/started ;;
"apachectl -d DIR/httpd -f DIR/httpd/conf/httpd.conf -t") exit 0 ;;
*) echo "refused: $(basename "$0") $*" >&2; exit 1 ;;
esac
`
	script = strings.ReplaceAll(script, "DIR", dir)
	write(t, dir, map[string]string{"bin/httpd": script, "bin/apachectl": script, "httpd/conf/httpd.conf": "Listen 80\n<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n", "os": "ID=rhel\nVERSION_ID=9.4\n"})
	for _, name := range []string{"httpd", "apachectl"} {
		if err := os.Chmod(dir+"/bin/"+name, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	ctx := context.Background()
	a, err := Detect(ctx, Options{ServerRoot: dir + "/httpd", OSRelease: dir + "/os", Ctl: dir + "/bin/apachectl", Bin: dir + "/bin/httpd"})
	if err != nil {
		t.Fatal(err)
	}
	if a.version != "2.4.57" || !slices.Equal(a.static, []string{"core.c", "http_core.c"}) || a.challenges != dir+"/httpd/conf.d" || a.modules || a.sites {
		t.Errorf("%+v", a)
	}
	if err := a.Test(ctx); err != nil {
		t.Error(err)
	}
	if err := a.Activate(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/restarted"); err != nil {
		t.Error(err)
	}
	a.alternative = ""
	if err := a.Activate(ctx); err == nil || !strings.Contains(err.Error(), "refused: apachectl") || !strings.Contains(err.Error(), "graceful") {
		t.Error(err)
	}
	// Where it is known that it does not run, it is started: by ctl, which asks systemd.
	write(t, dir, map[string]string{"httpd/conf/httpd.conf": "Listen 80\nPidFile run/httpd.pid\n"})
	if err := a.Activate(ctx); err != nil {
		t.Error(err)
	}
	if _, err := os.Stat(dir + "/started"); err != nil {
		t.Error(err)
	}
}
