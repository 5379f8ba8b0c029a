package apache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
)

// A host whose certificate was changed after httpd read it is not watched: any reload shows
// the new one, and the installation would be undone for it.
func TestWatchedNot(t *testing.T) {
	t.Parallel()
	hour := time.Now().Add(-time.Hour)
	touch := func(t *testing.T, path string, at time.Time) {
		t.Helper()
		if err := os.Chtimes(path, at, at); err != nil {
			t.Fatal(err)
		}
	}
	const own, inherits = tlsSite, "<VirtualHost *:443>\nServerName c.example.test\nSSLEngine on\n</VirtualHost>\nSSLCertificateFile %[1]s/fullchain.pem\nSSLCertificateKeyFile %[1]s/privkey.pem\n"
	for name, c := range map[string]struct {
		site    string
		prepare func(t *testing.T, cert installers.Certificate, pid string) // after httpd has read all
		watched bool
	}{
		"as loaded":      {own, func(*testing.T, installers.Certificate, string) {}, true},
		"inherited":      {inherits, func(*testing.T, installers.Certificate, string) {}, true},
		"not known when": {own, func(t *testing.T, _ installers.Certificate, pid string) { os.Remove(pid) }, true},
		"renewed": {own, func(t *testing.T, c installers.Certificate, pid string) {
			touch(t, c.FullChain, time.Now().Add(time.Hour))
		}, false},
		"inherited, renewed": {inherits, func(t *testing.T, c installers.Certificate, pid string) {
			touch(t, c.FullChain, time.Now().Add(time.Hour))
		}, false},
		"copied with its age": {own, func(t *testing.T, c installers.Certificate, pid string) {
			touch(t, pid, hour)
			touch(t, c.FullChain, hour.Add(-time.Hour))
		}, false},
		"led to another": {own, func(t *testing.T, c installers.Certificate, pid string) {
			if err := os.Rename(c.FullChain, c.FullChain+"1"); err != nil {
				t.Fatal(err)
			}
			touch(t, c.FullChain+"1", hour)
			for { // until the kernel's clock has ticked
				os.Remove(c.FullChain)
				if err := os.Symlink(c.FullChain+"1", c.FullChain); err != nil {
					t.Fatal(err)
				}
				target, err1 := os.Stat(c.FullChain)
				link, err2 := os.Lstat(c.FullChain)
				if err := errors.Join(err1, err2); err != nil {
					t.Fatal(err)
				}
				if read := time.Unix(target.Sys().(*syscall.Stat_t).Ctim.Unix()); link.ModTime().After(read) {
					touch(t, pid, read)
					return
				}
			}
		}, false},
		"gone": {own, func(t *testing.T, c installers.Certificate, _ string) { os.Remove(c.FullChain) }, false},
	} {
		t.Run(name, func(t *testing.T) {
			cert := certificate(t, folder(t), "c.example.test")
			s := withSSL(t, map[string]string{"tls.conf": fmt.Sprintf(c.site, filepath.Dir(cert.Key)), "two.conf": twoSites})
			pid := s.dir + "/run/apache2.pid"
			write(t, s.dir, map[string]string{"run/apache2.pid": "0\n"})
			touch(t, pid, time.Now().Add(time.Minute))
			c.prepare(t, cert, pid)
			p := s.plan(t, s.request(lineage, "a.example.test"))
			if watched := fmt.Sprint(p.Watch) == "[*:443 (c.example.test)]"; watched != c.watched || !watched && len(p.Watch) > 0 {
				t.Errorf("watched: %v", p.Watch)
			}
		})
	}
}

// Where the configuration names no pid file, as on Red Hat, httpd says where it is.
func TestDefaultPidFile(t *testing.T) {
	dir := folder(t)
	script := "#!/bin/sh\ncase \"$*\" in\n-v) echo 'Server version: Apache/2.4.57 (Red Hat)' ;;\n-l) echo '  core.c' ;;\n*-V) printf 'Server compiled with....\\n -D HTTPD_ROOT=\"/x\"\\n -D DEFAULT_PIDLOG=\"run/httpd.pid\"\\n' ;;\n*) exit 1 ;;\nesac\n"
	write(t, dir, map[string]string{"httpd": script, "root/conf/httpd.conf": "Listen 80\n", "os": "ID=rhel\nVERSION_ID=9.4\n", "root/run/httpd.pid": "0\n"})
	if err := os.Chmod(dir+"/httpd", 0o755); err != nil {
		t.Fatal(err)
	}
	a, err := Detect(t.Context(), Options{ServerRoot: dir + "/root", OSRelease: dir + "/os", Ctl: dir + "/httpd", Bin: dir + "/httpd"})
	if err != nil {
		t.Fatal(err)
	}
	set, err := a.load(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(dir + "/root/run/httpd.pid")
	if err != nil {
		t.Fatal(err)
	}
	if got := a.loadedAt(t.Context(), set); !got.Equal(info.ModTime()) {
		t.Errorf("%v, want %v", got, info.ModTime())
	}
}

// A port that another program has is noticed before anything is changed: httpd would end
// when it reloads.
func TestPortOfAnother(t *testing.T) {
	s := debianTree(t, map[string]string{"two.conf": twoSites}).detect(t)
	s.tlsPort = freePort(t)
	r := s.request(lineage, "a.example.test")
	s.plan(t, r)
	occupy(t, s.tlsPort)
	if _, err := s.Plan(t.Context(), r); err == nil || !strings.Contains(err.Error(), fmt.Sprintf("(pid %d) does", os.Getpid())) {
		t.Errorf("got %v", err)
	}
}
