package conf

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// modules are what Debian's apache2 needs to accept the trees of the corpus.
var modules = []string{"mpm_event", "authz_core", "authz_host", "authz_user", "authn_core", "authn_file", "auth_basic", "access_compat", "alias", "dir", "env", "mime", "rewrite", "macro", "ssl", "socache_shmcb", "setenvif", "negotiation", "autoindex", "headers"}

// environment is what envvars would say.
func environment(dir string) map[string]string {
	return map[string]string{
		"APACHE_RUN_USER": "www-data", "APACHE_RUN_GROUP": "www-data", "APACHE_PID_FILE": dir + "/pid",
		"APACHE_RUN_DIR": dir, "APACHE_LOCK_DIR": dir, "APACHE_LOG_DIR": dir,
	}
}

// static are the modules of apache2 -l.
var static = []string{"core.c", "mod_so.c", "mod_watchdog.c", "http_core.c", "mod_log_config.c", "mod_logio.c", "mod_version.c", "mod_unixd.c"}

// apache has the real server look at a main file, and returns what it prints.
func apache(t testing.TB, main string, args ...string) (string, error) {
	t.Helper()
	vars := t.TempDir()
	cmd := exec.Command("apache2", append([]string{"-d", filepath.Dir(main), "-f", main, "-t"}, args...)...)
	cmd.Env = os.Environ()
	for name, value := range environment(vars) {
		cmd.Env = append(cmd.Env, name+"="+value)
	}
	out, err := cmd.CombinedOutput()
	return string(out), err
}

// tree copies a tree of the corpus, with the modules that it needs and without those
// that are not installed.
func tree(t testing.TB, name string) (main string) {
	t.Helper()
	dir := realDir(t)
	if out, err := exec.Command("cp", "-a", filepath.Join(corpus(t), name, "apache2"), dir+"/apache2").CombinedOutput(); err != nil {
		t.Fatalf("copy: %s", out)
	}
	dir += "/apache2"
	for _, gone := range []string{"authz_svn.load", "dav_svn.load", "dav_svn.conf"} {
		os.Remove(filepath.Join(dir, "mods-enabled", gone))
	}
	var load strings.Builder
	for _, m := range modules {
		if _, err := os.Stat(filepath.Join(dir, "mods-enabled", m+".load")); err != nil {
			fmt.Fprintf(&load, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
		}
	}
	write(t, dir, map[string]string{"mods-enabled/00-test.load": load.String()})
	return filepath.Join(dir, "apache2.conf")
}

var (
	included = regexp.MustCompile(`(?m)^ +\((?:\*|\d+)\) (.*)$`)
	place    = regexp.MustCompile(`^(.*?) \((.*):(\d+)\)$`)
	refused  = regexp.MustCompile(`line (\d+) of \S*site\.conf`)
)

// dump is what httpd says of its configuration.
type dump struct {
	files []string // that are read, each once
	hosts map[string][]string
	// alone are those that have an address for themselves: their aliases are not shown.
	alone map[string]bool
}

func dumped(t testing.TB, main string, args ...string) dump {
	t.Helper()
	out, err := apache(t, main, append(args, "-D", "DUMP_INCLUDES", "-D", "DUMP_VHOSTS")...)
	if err != nil {
		t.Fatalf("apache2 -t: %s", out)
	}
	d := dump{hosts: map[string][]string{}, alone: map[string]bool{}}
	for _, m := range included.FindAllStringSubmatch(out, -1) {
		if !slices.Contains(d.files, m[1]) {
			d.files = append(d.files, m[1])
		}
	}
	where := ""
	for line := range strings.Lines(out[strings.Index(out, "VirtualHost configuration"):]) {
		text := strings.TrimSpace(line)
		text = strings.TrimPrefix(text, "default server ")
		m := place.FindStringSubmatch(text)
		alias, isAlias := strings.CutPrefix(text, "alias ")
		wild, isWild := strings.CutPrefix(text, "wild alias ")
		switch {
		case m != nil:
			fields := strings.Fields(m[1])
			where = m[2] + ":" + m[3]
			d.alone[where] = !strings.Contains(line, " namevhost ") && !strings.Contains(line, "default server")
			d.add(where, fields[len(fields)-1])
		case isAlias:
			d.add(where, alias)
		case isWild:
			d.add(where, wild)
		}
	}
	return d
}

func (d *dump) add(where, name string) {
	if !slices.Contains(d.hosts[where], name) {
		d.hosts[where] = append(d.hosts[where], name)
	}
}

// same compares a Set with what httpd says.
func (d dump) same(t *testing.T, s *Set) {
	t.Helper()
	if !slices.Equal(s.Opened, d.files) {
		t.Errorf("opened\n%s\nhttpd opens\n%s", strings.Join(s.Opened, "\n"), strings.Join(d.files, "\n"))
	}
	hosts := s.Hosts()
	seen := map[string]bool{}
	for _, v := range hosts {
		seen[v.Where()] = true
		want := slices.Clone(d.hosts[v.Where()])
		if v.ServerName == "" && len(want) > 0 {
			want = want[1:] // httpd shows the name of the machine
		}
		got := v.Names()
		if d.alone[v.Where()] && v.ServerName != "" {
			got = got[:1]
		}
		slices.Sort(got)
		slices.Sort(want)
		if !slices.Equal(got, want) {
			t.Errorf("%s: %q, httpd says %q", v.Where(), got, want)
		}
	}
	for where := range d.hosts {
		if !seen[where] {
			t.Errorf("%s is not found", where)
		}
	}
}

// The whole trees of the corpus: the same files, virtual hosts and names as httpd finds.
func TestTreesAsApache(t *testing.T) {
	names := 0
	for _, name := range []string{
		"trees/simple_vhost", "unit/debian_apache_2_4/augeas_vhosts", "unit/debian_apache_2_4/default_vhost",
		"unit/debian_apache_2_4/multi_vhosts", "unit/debian_apache_2_4/multiple_vhosts",
	} {
		t.Run(filepath.Base(name), func(t *testing.T) {
			main := tree(t, name)
			s := mustLoad(t, main, Env{Vars: environment("/x"), Modules: static, Version: "2.4.62"})
			dumped(t, main).same(t, s)
			for _, v := range s.Hosts() {
				names += len(v.Names())
			}
		})
	}
	if names < 20 {
		t.Errorf("only %d names", names)
	}
}

// Virtual hosts of the corpus that are single files, without the lines that need what
// this machine does not have.
func TestSingleFilesAsApache(t *testing.T) {
	accepted, names := 0, 0
	for _, name := range regularFiles(t, filepath.Join(corpus(t), "vhosts")) {
		if filepath.Ext(name) != ".conf" || strings.HasPrefix(filepath.Base(name), "missing-quote") {
			continue
		}
		src, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		dir := realDir(t)
		var load strings.Builder
		for _, m := range modules {
			fmt.Fprintf(&load, "LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n", m, m)
		}
		write(t, dir, map[string]string{"apache2.conf": load.String() + "ErrorLog /dev/null\nInclude site.conf\n"})
		main := dir + "/apache2.conf"
		if !acceptable(t, main, string(src)) {
			continue
		}
		s, err := Load(main, Env{Vars: environment("/x"), Modules: static, Version: "2.4.62"})
		if err != nil {
			t.Error(err)
			continue
		}
		dumped(t, main).same(t, s)
		accepted++
		for _, v := range s.Hosts() {
			names += len(v.Names())
		}
	}
	t.Logf("%d files with %d names", accepted, names)
	if accepted < 8 || names < 10 {
		t.Errorf("httpd accepts %d files with %d names only", accepted, names)
	}
}

// acceptable writes site.conf, and takes the lines out that httpd does not like.
func acceptable(t *testing.T, main, src string) bool {
	lines := strings.Split(src, "\n")
	for range 60 {
		write(t, filepath.Dir(main), map[string]string{"site.conf": strings.Join(lines, "\n")})
		out, err := apache(t, main, "-D", "DUMP_VHOSTS")
		if err == nil {
			return true
		}
		m := refused.FindStringSubmatch(out)
		if m == nil {
			t.Logf("%s", out)
			return false
		}
		n, _ := strconv.Atoi(m[1])
		if strings.HasPrefix(strings.TrimSpace(lines[n-1]), "<") {
			t.Logf("%s", out)
			return false
		}
		lines[n-1] = ""
	}
	return false
}

// Conditions, variables, macros and includes are decided as httpd decides them.
func TestMeaningAsApache(t *testing.T) {
	dir := realDir(t)
	load := "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nLoadModule macro_module /usr/lib/apache2/modules/mod_macro.so\n"
	host := func(name string) string {
		return "<VirtualHost *:80>\n ServerName " + name + "\n</VirtualHost>\n"
	}
	cond := func(head, name string) string {
		section, _, _ := strings.Cut(strings.Trim(head, "<>"), " ")
		return head + "\n" + host(name) + "</" + section + ">\n"
	}
	main := load + "ErrorLog /dev/null\n" +
		"Define HTTP *:\n" + cond("<IfModule mod_macro.c>", "macro-c") + cond("<IfModule !mod_macro.c>", "no-macro") + cond("<IfModule macro_module>", "macro-module") + cond("<ifmodule event.c>", "event") +
		cond("<IfModule mod_ssl.c>", "ssl") + cond("<IfModule \"core.c\">", "core") + cond("<IfModule mod_so.c >", "so") + cond("<IfModule log_config_module>", "log") +
		cond("<IfDefine ON>", "on") + cond("<IfDefine !ON>", "off") + cond("<IfDefine LATER>", "not-later") + "Define LATER\n" + cond("<IfDefine LATER>", "later") + "UnDefine LATER\n" + cond("<IfDefine !LATER>", "undefined") +
		cond("<IfVersion 2.4.71>", "v-is") + cond("<IfVersion >= 2.4>", "v-ge") + cond("<IfVersion < 2.4.10>", "v-lt") + cond("<IfVersion !~ ^2\\.2>", "v-not") + cond("<IfVersion = /^2.4/>", "v-re") + cond("<IfVersion > 2.4>", "v-gt") +
		cond("<IfFile apache2.conf>", "file") + cond("<IfFile none>", "nofile") + cond("<IfFile !none>", "no-file") +
		cond("<IfDirective ServerName>", "directive") + cond("<IfSection VirtualHost>", "section") +
		"<IfDefine NOPE>\n<IfModule mod_so.c>\n" + host("nested") + "</IfModule>\n</IfDefine>\n" +
		"Define A one\n<VirtualHost *:80>\nServerName ${A}.x\nServerAlias ${NONE}.x \\\n  b.x *.c.x d?.x\nServerAlias e.x\n</VirtualHost>\nDefine A two\nDefine Z \"z.x y.x\"\nDefine EMPTY \"\"\n<VirtualHost ${HTTP}80>\nServerName ${A}\nServerAlias ${Z} '${Z}' ${EMPTY}\n</VirtualHost>\n" +
		"<VirtualHost *:80>\nServerName http://first.x:8080\nServerName HTTPS://Last.X:8443\nInclude inc/alias\n</VirtualHost>\n" +
		"<Macro Host $name ${port} $n>\n# $n is not $name\n<VirtualHost *:${port}>\nServerName $name.$n.test\n</VirtualHost>\n</Macro>\nUse Host a 80 b\nuse host \"c\" 81 ${A}\nUndefMacro Host\n<Macro host $x>\nServerName $x\n</Macro>\n<VirtualHost *:80>\nUse HOST used.test\n</VirtualHost>\n" +
		"Include \"inc/*.conf\"\nInclude inc/folder\nIncludeOptional none/*.conf\nIncludeOptional inc/none\nInclude inc/d[xy]*/x.conf\nInclude " + dir + "/inc/[!a-z]?.cnf\nInclude inc/.*.cnf\nInclude inc/../inc//one.cfg\nInclude inc/d*/\nServerRoot " + dir + "/inc\nInclude rooted\n" +
		"<VirtualHost *:80>\n<IfModule mod_so.c>\nServerName in-cond.x\n</IfModule>\n</VirtualHost>\n"
	files := map[string]string{
		"apache2.conf": main, "inc/alias": "ServerAlias from-include\n", "inc/b.conf": host("inc-b"), "inc/a.conf": host("inc-a"), "inc/.h.conf": host("hidden"),
		"inc/folder/2": host("f2"), "inc/folder/1": "Include inc/deep\r\n", "inc/folder/.h": host("f-hidden"), "inc/folder/sub/z": host("f-sub"), "inc/deep": host("deep"),
		"inc/dx/x.conf": host("dx"), "inc/dy/x.conf": host("dy"), "inc/dz": "-> dx", "inc/A1.cnf": host("A1"), "inc/a1.cnf": host("a1"), "inc/.x.cnf": host("dot"), "inc/one.cfg": host("one"), "inc/rooted": host("rooted"),
	}
	write(t, dir, files)
	s := mustLoad(t, dir+"/apache2.conf", Env{Modules: static, Version: "2.4.71", Defines: []string{"ON"}, ServerRoot: dir})
	d := dumped(t, dir+"/apache2.conf", "-D", "ON")
	d.same(t, s)
	if len(d.hosts) < 30 {
		t.Errorf("%d hosts only", len(d.hosts))
	}
}

// What httpd refuses is refused.
func TestRefusedAsApache(t *testing.T) {
	for src, want := range map[string]string{
		"Include none\n": "no such file", "Include none/*.conf\n": "no such file", "Include inc/*.none\n": "httpd refuses that", "Include self\n": "includes itself",
		"IncludeOptional bad\n": "bad:2:1: unexpected end of file", "Use Nope\n": "not defined", "<Macro X $a>\n</Macro>\nUse X\n": "takes 1 arguments", "<IfVersion ? 2>\n</IfVersion>\n": "compares no versions",
		"<IfDefine NO>\n<a>\n</IfDefine>\n": "expected </a>", "Define\n": "takes a name", "Include a b\n": "takes one name", "IncludeOptional bom\n": "byte order mark",
	} {
		dir := realDir(t)
		load := "LoadModule mpm_event_module /usr/lib/apache2/modules/mod_mpm_event.so\nLoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so\nLoadModule macro_module /usr/lib/apache2/modules/mod_macro.so\nErrorLog /dev/null\n"
		write(t, dir, map[string]string{"apache2.conf": load + src, "inc/x": "", "self": "Include self\n", "bad": "<VirtualHost *:80>\n", "bom": "\ufeffServerName x\n"})
		_, err := Load(dir+"/apache2.conf", Env{Modules: static})
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), dir) {
			t.Errorf("%q: %v", src, err)
		}
		if out, err := apache(t, dir+"/apache2.conf"); err == nil {
			t.Errorf("httpd takes %q: %s", src, out)
		}
	}
}

// Whatever a file says, it is read or refused, and what is found has a place.
func FuzzLoad(f *testing.F) {
	for _, seed := range append(seeds(f), []string{
		"Define A b\n<IfDefine A>\n<VirtualHost ${A}:80 [::1] _default_>\nServerName ${A}:1\nServerAlias *.x ?\n</VirtualHost>\n</IfDefine>\nUnDefine A\nListen [::]:443 https\n",
		"Define A xx\n" + strings.Repeat("Define A ${A}${A}\n", 40), "<Macro m $a>\nUse m \"$a$a\"\n</Macro>\nUse m xx\n",
		"<Macro m $a $ab>\n<VirtualHost $ab>\n$a\n</VirtualHost>\nUse m x y\n</Macro>\nUse m ServerName *:80\n", "<IfVersion ~ 2>\n</IfVersion>\n<IfModule !a.c>\nSSLEngine on\n</IfModule>\n", "Define A ${A}${A}\nDefine A ${A}${A}\n${A} b\n", "ServerRoot\nLoadModule\nUndefMacro\n",
	}...) {
		f.Add(seed)
	}
	f.Fuzz(func(t *testing.T, src string) {
		if strings.Contains(strings.ToLower(src), "include") {
			return // files of this machine
		}
		dir := t.TempDir()
		d := newDisk()
		d.Over[dir+"/m"] = src
		s, err := load(dir+"/m", Env{Version: "2.4.62"}, d, nil)
		if err != nil {
			return
		}
		for _, v := range s.Hosts() {
			if v.Line < 1 || v.Where() == "" || len(v.Names()) > len(v.Aliases)+1 {
				t.Fatalf("%q: %+v", src, v)
			}
			for _, a := range v.Addrs {
				if ParseAddr(a.String()) != a && a.Port != "" {
					t.Fatalf("%q: %+v", src, a)
				}
			}
		}
		s.Listens()
	})
}
