package apache

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"math/big"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge/installers"
)

// shared returns a path in the folder of recorded files.
func shared(t testing.TB, name string) string {
	t.Helper()
	name = filepath.Join(sharedDir(), name)
	switch _, err := os.Stat(name); {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true":
		t.Skipf("not run: no recorded files (%v)", err)
	default:
		t.Fatalf("the recorded files are missing: set EDGE_SHARED (%v)", err)
	}
	return name
}

func sharedDir() string {
	if dir := os.Getenv("EDGE_SHARED"); dir != "" {
		return dir
	}
	return "../../../shared"
}

func golden(t *testing.T, name string) string {
	t.Helper()
	b, err := os.ReadFile(shared(t, "golden/apache/"+name))
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

// folder is one that others may look into: httpd's workers are not root.
func folder(t testing.TB) string {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	return dir
}

// write makes files below a folder; "-> target" is a symbolic link.
func write(t testing.TB, dir string, files map[string]string) {
	t.Helper()
	for name, src := range files {
		name = filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
			t.Fatal(err)
		}
		var err error
		if target, link := strings.CutPrefix(src, "-> "); link {
			err = os.Symlink(target, name)
		} else {
			err = os.WriteFile(name, []byte(src), 0o644)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// server is a Debian apache2 with a root of its own.
type server struct {
	*Apache
	root, dir         string // the configuration; the folder around it
	httpPort, tlsPort uint16
	at                map[string]string // hosts that are not at 127.0.0.1
}

const envvars = `export APACHE_RUN_USER=www-data
export APACHE_RUN_GROUP=www-data
export APACHE_PID_FILE=%[1]s/run/apache2.pid
export APACHE_RUN_DIR=%[1]s/run
export APACHE_LOCK_DIR=%[1]s/lock
export APACHE_LOG_DIR=%[1]s/log
export APACHE_STATE_DIRECTORY=%[1]s/state
export APACHE_ULIMIT_MAX_FILES=true
`

// copyDebian copies what Debian installs, of the modules that are off only those that tests
// turn on: most of the time of a copy is for the others.
func copyDebian(t testing.TB, to string) {
	t.Helper()
	const from = "/etc/apache2"
	want := map[string]bool{}
	for _, m := range []string{"ssl", "socache_shmcb", "rewrite", "headers", "macro"} {
		want[m+".load"], want[m+".conf"] = true, true
	}
	enabled, err1 := os.ReadDir(from + "/mods-enabled")
	available, err2 := os.ReadDir(from + "/mods-available")
	all, err3 := os.ReadDir(from)
	if err := errors.Join(err1, err2, err3, os.MkdirAll(to+"/mods-available", 0o755)); err != nil {
		t.Fatal(err)
	}
	for _, e := range enabled {
		want[e.Name()] = true
	}
	copyAll := func(folder, to string, entries []os.DirEntry, wanted func(name string) bool) {
		args := []string{"-a", "-t", to}
		for _, e := range entries {
			if wanted(e.Name()) {
				args = append(args, filepath.Join(folder, e.Name()))
			}
		}
		if out, err := exec.Command("cp", args...).CombinedOutput(); err != nil {
			t.Fatalf("copy %s: %s", folder, out)
		}
	}
	copyAll(from, to, all, func(name string) bool { return name != "mods-available" })
	copyAll(from+"/mods-available", to+"/mods-available", available, func(name string) bool { return want[name] })
}

// debianTree makes a copy of what Debian installs, with sites.
func debianTree(t testing.TB, sites map[string]string) *server {
	t.Helper()
	dir := folder(t)
	s := &server{dir: dir, root: dir + "/apache2", httpPort: 80, tlsPort: 443, at: map[string]string{}}
	copyDebian(t, s.root)
	os.Remove(s.root + "/sites-enabled/000-default.conf")
	s.prepare(t)
	files := map[string]string{}
	for name, src := range sites {
		files["sites-available/"+name] = src
		files["sites-enabled/"+name] = "-> ../sites-available/" + name
	}
	write(t, s.root, files)
	return s
}

func (s *server) prepare(t testing.TB) {
	t.Helper()
	for _, d := range []string{"run/socks", "lock", "log", "state", "le", "work", "html"} {
		if err := os.MkdirAll(filepath.Join(s.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s.dir, map[string]string{"apache2/envvars": fmt.Sprintf(envvars, s.dir), "html/index.html": "hello\n"})
}

func (s *server) detect(t testing.TB) *server {
	t.Helper()
	var err error
	s.Apache, err = Detect(context.Background(), Options{ServerRoot: s.root, OSRelease: osRelease(t)})
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// osRelease is that of Debian, wherever the tests run.
func osRelease(t testing.TB) string {
	t.Helper()
	name := filepath.Join(t.TempDir(), "os-release")
	if err := os.WriteFile(name, []byte("ID=debian\nVERSION_ID=\"12\"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	return name
}

func (s *server) request(cert installers.Certificate, names ...string) installers.Request {
	return installers.Request{Names: names, Certificate: cert, Deploy: true, HTTPPort: s.httpPort, HTTPSPort: s.tlsPort, ConfigDir: s.dir + "/le"}
}

// certificate makes a lineage for names.
func certificate(t testing.TB, dir string, names ...string) installers.Certificate {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	serial, err := rand.Int(rand.Reader, big.NewInt(1<<62))
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{
		SerialNumber: serial, Subject: pkix.Name{CommonName: "apache.test"}, DNSNames: names,
		NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(24 * time.Hour), KeyUsage: x509.KeyUsageDigitalSignature,
	}
	der, err := x509.CreateCertificate(rand.Reader, template, template, key.Public(), key)
	if err != nil {
		t.Fatal(err)
	}
	raw, err := x509.MarshalPKCS8PrivateKey(key)
	if err != nil {
		t.Fatal(err)
	}
	leaf := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: der})
	c := installers.Certificate{Lineage: filepath.Base(dir), Cert: dir + "/cert.pem", Key: dir + "/privkey.pem", Chain: dir + "/chain.pem", FullChain: dir + "/fullchain.pem"}
	write(t, dir, map[string]string{"cert.pem": string(leaf), "fullchain.pem": string(leaf), "chain.pem": string(leaf)})
	if err := os.WriteFile(c.Key, pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: raw}), 0o600); err != nil {
		t.Fatal(err)
	}
	return c
}

func (s *server) plan(t testing.TB, r installers.Request) *installers.Plan {
	t.Helper()
	p, err := s.Plan(context.Background(), r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// result is what a plan writes, by path below the server's folder.
func (s *server) result(p *installers.Plan) map[string]string {
	out := map[string]string{}
	for _, c := range p.Changes {
		name := strings.TrimPrefix(c.Path, s.dir+"/")
		out[name] = string(c.New)
		if c.Op == installers.Symlink {
			out[name] = "-> " + c.Target
		}
	}
	return out
}
