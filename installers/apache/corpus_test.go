package apache

import (
	"context"
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/apache/conf"
)

// trees are whole configurations of the corpus.
var trees = []string{
	"trees/simple_vhost", "unit/debian_apache_2_4/augeas_vhosts", "unit/debian_apache_2_4/default_vhost",
	"unit/debian_apache_2_4/multi_vhosts", "unit/debian_apache_2_4/multiple_vhosts",
}

// unpacked is a copy of the corpus for all tests; TestMain removes it.
var unpacked = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return "", err
	}
	corpusUsed = dir
	out, err := exec.Command("bash", filepath.Join(sharedDir(), "corpus/unpack"), dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("unpack the corpus: %w: %s", err, out)
	}
	return dir, err
})

// corpusUsed is what there is to remove.
var corpusUsed string

func TestMain(m *testing.M) {
	// Those on running servers wait, more than they use the machine. The command line
	// comes after it.
	if err := flag.Set("test.parallel", "4"); err != nil {
		panic(err)
	}
	code := m.Run()
	if corpusUsed != "" {
		os.RemoveAll(corpusUsed)
	}
	os.Exit(code)
}

// corpus returns the apache folder of a copy of the corpus, to be read only.
func corpus(t testing.TB) string {
	t.Helper()
	shared(t, "corpus/unpack")
	dir, err := unpacked()
	if err != nil {
		t.Fatal(err)
	}
	return filepath.Join(dir, "apache")
}

// corpusTree copies a tree, with the modules that it needs and without those that are
// not installed.
func corpusTree(t testing.TB, name string) *server {
	t.Helper()
	dir := folder(t)
	s := &server{dir: dir, root: dir + "/apache2", httpPort: 80, tlsPort: 443, at: map[string]string{}}
	if out, err := exec.Command("cp", "-a", filepath.Join(corpus(t), name, "apache2"), s.root).CombinedOutput(); err != nil {
		t.Fatalf("copy: %s", out)
	}
	for _, gone := range []string{"authz_svn.load", "dav_svn.load", "dav_svn.conf"} {
		os.Remove(filepath.Join(s.root, "mods-enabled", gone))
	}
	// What the unit tests of certbot left out, Debian has.
	for _, m := range []string{"mpm_event", "authz_core", "authz_host", "dir", "mime", "rewrite", "macro", "ssl", "socache_shmcb", "setenvif", "headers", "alias", "access_compat"} {
		available := filepath.Join(s.root, "mods-available", m+".load")
		if _, err := os.Stat(available); err != nil {
			types := ""
			if m == "mime" {
				types = "TypesConfig /etc/mime.types\n"
			}
			write(t, s.root, map[string]string{"mods-available/" + m + ".load": fmt.Sprintf("LoadModule %s_module /usr/lib/apache2/modules/mod_%s.so\n%s", m, m, types)})
		}
		if _, err := os.Lstat(filepath.Join(s.root, "mods-enabled", m+".load")); err != nil && !slices.Contains([]string{"ssl", "socache_shmcb", "headers"}, m) {
			write(t, s.root, map[string]string{"mods-enabled/" + m + ".load": "-> ../mods-available/" + m + ".load"})
		}
	}
	os.Remove(s.root + "/envvars")
	s.prepare(t)
	s.selfSigned(t)
	return s
}

// selfSigned gives the hosts with TLS of the corpus certificates that are there.
func (s *server) selfSigned(t testing.TB) {
	cert := certificate(t, s.dir+"/snakeoil", "snakeoil.test")
	s.swap(t, strings.NewReplacer(
		"10.2.3.4:", "127.0.0.2:",
		"/etc/ssl/certs/ssl-cert-snakeoil.pem", cert.FullChain, "/etc/ssl/private/ssl-cert-snakeoil.key", cert.Key,
		"/etc/apache2/certs/certbot-cert_5.pem", cert.FullChain, "/etc/apache2/ssl/key-certbot_15.pem", cert.Key,
		"/etc/letsencrypt/", s.dir+"/le/"))
}

type oracle struct {
	Names  []string
	Hosts  []*oracleHost
	Chosen map[string]*oracleHost
}

type oracleHost struct {
	File         string
	Names, Addrs []string
	TLS          bool
}

func (h *oracleHost) String() string {
	if h == nil {
		return "none"
	}
	file, err := filepath.EvalSymlinks(h.File)
	if err != nil {
		file = h.File
	}
	return fmt.Sprintf("%s %q %q TLS %v", filepath.Base(file), h.Names, h.Addrs, h.TLS)
}

func ours(v *conf.VirtualHost) *oracleHost {
	if v == nil {
		return nil
	}
	h := &oracleHost{File: v.File.Path, Names: v.Names(), TLS: v.TLS}
	for _, a := range v.Addrs {
		h.Addrs = append(h.Addrs, a.String())
	}
	slices.Sort(h.Names)
	slices.Sort(h.Addrs)
	return h
}

// certbot asks Debian's certbot about a tree.
func certbot(t *testing.T, s *server, names []string) oracle {
	t.Helper()
	asked, err := json.Marshal(names)
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.dir, map[string]string{"names.json": string(asked)})
	cmd := exec.Command("/usr/bin/python3", "testdata/oracle.py", s.root, t.TempDir(), s.dir+"/names.json")
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "APACHE_CONFDIR=" + s.root}
	out, err := cmd.Output()
	if err != nil {
		t.Fatalf("certbot: %v\n%s", err, errOutput(err))
	}
	var o oracle
	if err := json.Unmarshal(out, &o); err != nil {
		t.Fatalf("%v in %s", err, out)
	}
	return o
}

func errOutput(err error) string {
	if exit, ok := err.(*exec.ExitError); ok {
		return string(exit.Stderr)
	}
	return ""
}

// differences are where we do not do as certbot does, by tree and name.
var differences = map[string]string{}

// The same virtual host as certbot's is chosen for each name of the corpus.
func TestChoiceAsCertbot(t *testing.T) {
	t.Parallel()
	total := 0
	for _, name := range trees {
		t.Run(filepath.Base(name), func(t *testing.T) {
			s := corpusTree(t, name).detect(t)
			names, err := s.Names(context.Background())
			if err != nil {
				t.Fatal(err)
			}
			asked := append(slices.Clone(names), "unknown.example.test", "127.0.0.1", "WWW.example.com", "sub.wildcard.test", "a.vhost.in.rootconf", "x.certbot.demo")
			want := certbot(t, s, asked)
			p, err := s.start(context.Background(), installers.Request{}, true)
			if err != nil {
				t.Fatal(err)
			}
			for _, n := range asked {
				got, chosen := ours(best(p.hosts, n)).String(), want.Chosen[n].String()
				if why := differences[filepath.Base(name)+" "+n]; (got == chosen) != (why == "") {
					t.Errorf("%s: %s, certbot chooses %s (%s)", n, got, chosen, why)
				}
			}
			if !slices.Equal(names, want.Names) {
				t.Errorf("names %q, certbot has %q", names, want.Names)
			}
			total += len(names)
		})
	}
	if total < 15 {
		t.Errorf("%d names only", total)
	}
}

// Each name of the live trees: the answer is given, the certificate shown, the redirect
// made, and everything taken back byte for byte.
func TestTreesLive(t *testing.T) {
	t.Parallel()
	some := trees[:1]
	if os.Getenv("EDGE_SOAK") != "" {
		some = trees
	}
	for _, name := range some {
		t.Run(filepath.Base(name), func(t *testing.T) { liveTree(t, corpusTree(t, name)) })
	}
}

func liveTree(t *testing.T, s *server) {
	s.live(t)
	ctx := context.Background()
	names, err := s.Names(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if len(names) == 0 { // the only host is taken for any
		names = []string{"default.example.test"}
	}
	p, err := s.start(ctx, installers.Request{}, true)
	if err != nil {
		t.Fatal(err)
	}
	for _, n := range names {
		if v := best(p.hosts, n); v != nil && strings.HasPrefix(v.Addrs[0].Host, "127.") {
			s.at[n] = v.Addrs[0].Host
		}
	}
	before := snapshot(t, s.root)
	s.answerAll(t, names)
	same(t, before, snapshot(t, s.root))
	for i, n := range names {
		if i > 0 && os.Getenv("EDGE_SOAK") == "" {
			break
		}
		s.deployOne(t, n, fmt.Sprintf("%s/le/live/%d", s.dir, i))
	}
	checkpoints, err := s.runner().Checkpoints()
	if err != nil {
		t.Fatal(err)
	}
	for range checkpoints {
		if _, err := s.runner().Rollback(ctx, 1, find(s), false); err != nil {
			t.Fatal(err)
		}
	}
	same(t, before, snapshot(t, s.root))
	t.Logf("%d names", len(names))
}

// answerAll has the challenges of all names answered, and taken back.
func (s *server) answerAll(t *testing.T, names []string) {
	t.Helper()
	ctx := context.Background()
	a := s.Authenticator(AuthenticatorOptions{Runner: s.runner(), HTTPPort: s.httpPort, HTTPSPort: s.tlsPort, ConfigDir: s.dir + "/le", WorkDir: s.dir + "/work"})
	var batch []edge.Answer
	for i, n := range names {
		batch = append(batch, edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: n}, Token: fmt.Sprintf("token%d", i), KeyAuth: fmt.Sprintf("token%d.key", i)})
	}
	if err := a.Present(ctx, batch); err != nil {
		t.Fatal(err)
	}
	for _, answer := range batch {
		if got, body := s.get(t, answer.Identifier.Value, edge.HTTP01Prefix+answer.Token); got.StatusCode != 200 || body != answer.KeyAuth {
			t.Errorf("%s: %d %q", answer.Identifier.Value, got.StatusCode, body)
		}
	}
	if err := a.Cleanup(ctx, batch); err != nil {
		t.Fatal(err)
	}
}

// deployOne installs a certificate for a name, and sees it.
func (s *server) deployOne(t *testing.T, n, dir string) {
	t.Helper()
	ctx := context.Background()
	cert := certificate(t, dir, n)
	r := s.request(cert, n)
	r.Overwrite = true // names that share a host get their certificates one after the other
	r.Enhance = installers.Enhancements{Redirect: true}
	p, err := s.Plan(ctx, r)
	if err != nil {
		t.Errorf("%s: %v", n, err)
		return
	}
	if _, err := s.runner().Apply(ctx, s, p, r); err != nil {
		t.Errorf("%s: %v", n, err)
		return
	}
	if got := s.shows(t, n); len(got) != 1 || got[0] != n {
		t.Errorf("%s: shown is %q", n, got)
	}
	if again, err := s.Plan(ctx, r); err != nil || !again.Empty() {
		var b strings.Builder
		if again != nil {
			installers.Show(&b, again, s)
		}
		t.Errorf("%s: again: %v %s", n, err, b.String())
	}
}
