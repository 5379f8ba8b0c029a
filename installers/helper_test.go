package installers

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// toy is a server with TLS: for each line "NAME CERT KEY" of the files in its folder
// sites it shows that certificate, from when it is told to reload. By HTTP it redirects,
// where a file of the folder says "redirect".
type toy struct {
	*toyClient
	dir, tls, http string
	listener       net.Listener

	mu       sync.Mutex
	sites    map[string]*tls.Certificate
	redirect string
	// What it does wrong.
	ignoreReload, failReload bool
	onReload, onHello        func()
	reloads                  int
}

// toyClient is the Server: a process that is killed has one too.
type toyClient struct{ control string }

func (c *toyClient) Name() string { return "toy" }

func (c *toyClient) Commands() (test, activate []string) {
	return []string{"toy", "-t"}, []string{"toy", "-s", "reload"}
}
func (c *toyClient) Test(ctx context.Context) error     { return c.call(ctx, "test") }
func (c *toyClient) Activate(ctx context.Context) error { return c.call(ctx, "reload") }

func (c *toyClient) call(ctx context.Context, verb string) error {
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, c.control+"/"+verb, nil)
	if err != nil {
		return err
	}
	r.Close = true
	answer, err := http.DefaultClient.Do(r)
	if err != nil {
		return err
	}
	defer answer.Body.Close()
	text, err := io.ReadAll(answer.Body)
	if err == nil && answer.StatusCode != http.StatusOK {
		err = fmt.Errorf("toy %s: %s", verb, text)
	}
	return err
}

// startToy runs one on a folder with a folder sites in it.
func startToy(t *testing.T, dir string) *toy {
	t.Helper()
	s := &toy{dir: dir}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: s.certificate})
	if err != nil {
		t.Fatal(err)
	}
	s.listener, s.tls = l, l.Addr().String()
	var group sync.WaitGroup
	group.Go(func() {
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			group.Go(func() {
				defer conn.Close()
				_ = conn.(*tls.Conn).HandshakeContext(t.Context())
			})
		}
	})
	plain := httptest.NewServer(http.HandlerFunc(s.answer))
	control := httptest.NewServer(http.HandlerFunc(s.serveControl))
	s.http, s.toyClient = plain.Listener.Addr().String(), &toyClient{control.URL}
	t.Cleanup(func() { l.Close(); plain.Close(); control.Close(); group.Wait() })
	if err := s.load(); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *toy) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	if s.onHello != nil {
		s.onHello()
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	if c := s.sites[hello.ServerName]; c != nil {
		return c, nil
	}
	return nil, errors.New("no such site")
}

func (s *toy) answer(w http.ResponseWriter, r *http.Request) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.redirect != "" {
		http.Redirect(w, r, "https://"+r.Host+r.URL.Path, http.StatusMovedPermanently)
		return
	}
	fmt.Fprintln(w, "hello")
}

func (s *toy) serveControl(w http.ResponseWriter, r *http.Request) {
	var err error
	switch {
	case r.URL.Path == "/test":
		_, _, err = s.parse()
	case s.failReload:
		err = errors.New("reload failed: no such process")
	case !s.ignoreReload:
		err = s.load()
	}
	if r.URL.Path == "/reload" {
		s.reloads++
		if s.onReload != nil {
			s.onReload()
		}
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusTeapot)
	}
}

func (s *toy) load() error {
	sites, redirect, err := s.parse()
	s.mu.Lock()
	defer s.mu.Unlock()
	if err == nil {
		s.sites, s.redirect = sites, redirect
	}
	return err
}

func (s *toy) parse() (sites map[string]*tls.Certificate, redirect string, err error) {
	entries, err := os.ReadDir(filepath.Join(s.dir, "sites"))
	if err != nil {
		return nil, "", err
	}
	sites = map[string]*tls.Certificate{}
	for _, e := range entries {
		if strings.HasPrefix(e.Name(), ".") {
			continue
		}
		raw, err := os.ReadFile(filepath.Join(s.dir, "sites", e.Name()))
		if err != nil {
			return nil, "", err
		}
		for n, line := range strings.Split(strings.TrimSpace(string(raw)), "\n") {
			words := strings.Fields(line)
			switch {
			case len(words) == 0 || words[0] == "#":
			case words[0] == "redirect":
				redirect = line
			case len(words) == 3:
				pair, err := tls.LoadX509KeyPair(words[1], words[2])
				if err != nil {
					return nil, "", fmt.Errorf("%s:%d: %w", e.Name(), n+1, err)
				}
				sites[words[0]] = &pair
			default:
				return nil, "", fmt.Errorf("%s:%d: unknown directive %q", e.Name(), n+1, words[0])
			}
		}
	}
	return sites, redirect, nil
}

// shows is the serial of the certificate that is shown for a name.
func (s *toy) shows(t *testing.T, name string) int64 {
	t.Helper()
	got := probe(t.Context(), Endpoint{Addr: s.tls, Name: name}, nil)
	if got.err != nil {
		t.Fatal(got.err)
	}
	return got.leaf.SerialNumber.Int64()
}

// issued is a certificate with its key.
type issued struct {
	cert *x509.Certificate
	key  any
}

type recipe struct {
	serial              int64
	names               []string
	notBefore, notAfter time.Time
	parent              *issued // nil: itself
	rsa                 bool
}

func (r recipe) make(t *testing.T) *issued {
	t.Helper()
	var key any
	var public any
	if r.rsa {
		k, err := rsa.GenerateKey(rand.Reader, 2048)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	} else {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		key, public = k, &k.PublicKey
	}
	template := &x509.Certificate{
		SerialNumber: big.NewInt(r.serial), Subject: pkix.Name{CommonName: fmt.Sprint("number ", r.serial)}, DNSNames: r.names,
		NotBefore: r.notBefore, NotAfter: r.notAfter, IsCA: len(r.names) == 0, BasicConstraintsValid: true,
	}
	if template.NotAfter.IsZero() {
		template.NotBefore, template.NotAfter = time.Now().Add(-time.Hour), time.Now().Add(time.Hour)
	}
	parent, signer := template, key
	if r.parent != nil {
		parent, signer = r.parent.cert, r.parent.key
	}
	der, err := x509.CreateCertificate(rand.Reader, template, parent, public, signer)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := x509.ParseCertificate(der)
	if err != nil {
		t.Fatal(err)
	}
	return &issued{cert, key}
}

// lineage writes certificate, chain and key, as certbot names them.
func (i *issued) lineage(t *testing.T, dir string, chain ...*issued) Certificate {
	t.Helper()
	if err := os.MkdirAll(dir, 0o755); err != nil {
		t.Fatal(err)
	}
	c := Certificate{Cert: dir + "/cert.pem", Key: dir + "/privkey.pem", Chain: dir + "/chain.pem", FullChain: dir + "/fullchain.pem"}
	leaf, rest := pemOf(i), ""
	for _, above := range chain {
		rest += pemOf(above)
	}
	der, err := x509.MarshalPKCS8PrivateKey(i.key)
	if err != nil {
		t.Fatal(err)
	}
	key := pem.EncodeToMemory(&pem.Block{Type: "PRIVATE KEY", Bytes: der})
	write(t, c.Cert, leaf, 0o644)
	write(t, c.Chain, rest, 0o644)
	write(t, c.FullChain, leaf+rest, 0o644)
	write(t, c.Key, string(key), 0o600)
	return c
}

func pemOf(i *issued) string {
	return string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: i.cert.Raw}))
}

func write(t *testing.T, path, content string, mode fs.FileMode) {
	t.Helper()
	err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, []byte(content), mode), os.Chmod(path, mode))
	if err != nil {
		t.Fatal(err)
	}
}

func read(t *testing.T, path string) string {
	t.Helper()
	raw, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(raw)
}

// snapshot is all of a folder, but for the work folder in it: content, mode, owner,
// extended attributes, and times of what is no folder.
func snapshot(t *testing.T, dir string, times bool) string {
	t.Helper()
	var b strings.Builder
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if path == filepath.Join(dir, "work") {
			return fs.SkipDir
		}
		var st unix.Stat_t
		if err := unix.Lstat(path, &st); err != nil {
			return err
		}
		fmt.Fprintf(&b, "%s %o %d:%d", strings.TrimPrefix(path, dir), st.Mode, st.Uid, st.Gid)
		switch {
		case d.IsDir():
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(path)
			fmt.Fprintf(&b, " -> %s %v", target, err)
		default:
			content, was, err := readFile(path)
			if err != nil {
				return err
			}
			if times && d.Name() != "marker" { // a command touches that
				fmt.Fprintf(&b, " %d", was.Modified)
			}
			fmt.Fprintf(&b, " %v %.12s", was.Extended, digest(content))
		}
		b.WriteString("\n")
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return b.String()
}
