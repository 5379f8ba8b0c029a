package nginx

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
)

const debian = `nginx version: nginx/1.22.1
built with OpenSSL 3.0.22 25 Aug 2026 (running with OpenSSL 3.0.19 27 Jan 2026)
TLS SNI support enabled
configure arguments: --prefix=/usr/share/nginx --conf-path=/etc/nginx/nginx.conf --pid-path=/run/nginx.pid --with-http_ssl_module
`

func TestVersions(t *testing.T) {
	for _, c := range []struct {
		old, new       string // replaced in what Debian's says
		product, error string
		options        string
	}{
		{"", "", "nginx/1.22.1", "", "options-ssl-nginx.conf"},
		{"nginx/1.22.1", "openresty/1.21.4.1", "openresty/1.21.4.1", "", "options-ssl-nginx.conf"},
		{"nginx version: nginx/1.22.1", "Angie version: Angie/1.5.0", "Angie/1.5.0", "", "options-ssl-nginx.conf"},
		{"nginx/1.22.1", "nginx/1.12.9", "nginx/1.12.9", "", "options-ssl-nginx-tls12-only.conf"},
		{"nginx/1.22.1", "nginx/1.5.8", "nginx/1.5.8", "", "options-ssl-nginx-old.conf"},
		{"OpenSSL 3.0.19", "OpenSSL 1.0.2k", "nginx/1.22.1", "", "options-ssl-nginx-tls13-session-tix-on.conf"},
		{"OpenSSL 3.0.19", "OpenSSL 1.0.2l", "nginx/1.22.1", "", "options-ssl-nginx.conf"},
		{"nginx/1.22.1", "nginx/0.8.47", "", "Nginx version must be 0.8.48+", ""},
		{"nginx/1.22.1", "nginx/0.8.48", "nginx/0.8.48", "", "options-ssl-nginx-old.conf"},
		{"--with-http_ssl_module", "", "", "missing SSL module (--with-http_ssl_module)", ""},
		{"TLS SNI support enabled", "", "", "doesn't support SNI", ""},
		{"nginx version", "apache version", "nginx/1.22.1", "", "options-ssl-nginx.conf"},
		{"nginx version: nginx/1.22.1", "", "", "Unable to find Nginx version", ""},
	} {
		b, err := parseVersion(strings.Replace(debian, c.old, c.new, 1))
		if c.error != "" {
			if err == nil || !strings.Contains(err.Error(), c.error) {
				t.Errorf("%v: %v", c, err)
			}
			continue
		}
		if err != nil || b.product+"/"+b.version != c.product || b.tlsOptions() != c.options || b.confPath() != "/etc/nginx/nginx.conf" || b.pid != "/run/nginx.pid" {
			t.Errorf("%v: %+v %v", c, b, err)
		}
	}
}

// A master is known by how it was called.
func TestMasterArguments(t *testing.T) {
	n := &Nginx{build: build{prefix: "/usr/share/nginx", conf: "/etc/nginx/nginx.conf"}}
	for args, want := range map[string]master{
		"nginx":                      {conf: "/etc/nginx/nginx.conf"},
		"nginx -c /x/y.conf":         {conf: "/x/y.conf"},
		"nginx -c/x/y.conf -p /p/":   {conf: "/x/y.conf", givenPrefix: "/p/"},
		"nginx -p /p -c conf/y.conf": {conf: "/p/conf/y.conf", givenPrefix: "/p"},
		"/usr/sbin/nginx -g daemon on; master_process on;": {conf: "/etc/nginx/nginx.conf"},
		"nginx -g daemon off; -c /x/y.conf":                {conf: "/x/y.conf"},
		"nginx -q -c":                                      {conf: "/etc/nginx/nginx.conf"},
	} {
		if got := n.parseMaster(0, strings.Fields(args)); got != want {
			t.Errorf("%s: %+v", args, got)
		}
	}
}

// The running master says where its configuration is; the pid file alone is not believed.
func TestDetectRunning(t *testing.T) {
	t.Parallel()
	l, _, _ := newTwo(t, nil)
	pid := l.start(t)
	n := l.detect(t)
	if m, ok := n.running(); !ok || m.pid != pid {
		t.Errorf("%+v %v", m, ok)
	}
	wait(t, "it has workers", func() bool { return len(workers(master{pid: pid})) > 0 })
	file := filepath.Join(l.dir, "work/nginx.pid")
	write(t, file, "1\n") // as after a boot: the number is that of another
	if m, ok := n.running(); !ok || m.pid != pid {
		t.Errorf("%+v %v", m, ok)
	}
	old := workers(master{pid: pid})
	if err := n.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	for _, w := range old {
		if accepts(w) {
			t.Errorf("the old worker %d still accepts", w)
		}
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := n.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	// Another configuration is not that of the master.
	other := newLab(t, map[string]string{"nginx.conf": "events {}\npid @/work/nginx.pid;\n"})
	write(t, other.dir+"/work/nginx.pid", itoa(pid))
	if m, ok := other.detect(t).running(); ok {
		t.Errorf("the master of another configuration is taken: %+v", m)
	}
}

func TestDetectErrors(t *testing.T) {
	dir := t.TempDir()
	for _, c := range []struct {
		o    Options
		want string
	}{
		{Options{Ctl: dir + "/none"}, "Could not find a usable 'nginx' binary. Ensure nginx exists, the binary is executable, and your PATH is set correctly. It was looked for as " + dir + "/none, see --nginx-ctl (ctl below deliver)."},
		{Options{Ctl: "/bin/true"}, "Unable to find Nginx version"},
		{Options{Ctl: "/bin/false"}, "/bin/false -V: exit status 1"},
		{Options{ServerRoot: dir}, "Could not find Nginx root configuration file (nginx.conf)"},
	} {
		if _, err := Detect(t.Context(), c.o); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%+v: %v", c.o, err)
		}
	}
}

// A server that does not run is started, and inherits nothing of ours.
func TestStart(t *testing.T) {
	t.Setenv("SECRET_OF_EDGE", "1")
	l, http, _ := newTwo(t, nil)
	n := l.detect(t)
	if err := n.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	var m master
	wait(t, "it runs", func() (ok bool) { // it has a title a moment later
		m, ok = n.running()
		return ok
	})
	if env := read(t, filepath.Join("/proc", itoa(m.pid), "environ")); strings.Contains(env, "SECRET") {
		t.Errorf("its environment is %q", env)
	}
	if status, _, _ := get(t, "127.0.0.1:"+itoa(int(http)), "one.test", "/"); status != 200 {
		t.Errorf("it answers %d", status)
	}
	if _, _, err := n.run(t.Context(), n.argv("-s", "stop")...); err != nil {
		t.Fatal(err)
	}
	wait(t, "it ends", func() bool { _, ok := n.running(); return !ok })
}
