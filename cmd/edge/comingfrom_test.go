package main

import (
	"bufio"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"crypto/x509"
	"crypto/x509/pkix"
	"encoding/pem"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/big"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"edge/internal/config"
	"edge/internal/edgetest"
)

// visit is a door with the configuration of one block of docs/coming-from.md.
type visit struct {
	*rig
	tcp      string // where :5432 listens
	one, two *service
	secure   string          // a TLS server with a certificate of its own
	ann      tls.Certificate // of a client, by clients.pem
}

// service is a backend that says who it is and what it was asked.
type service struct {
	name string
	addr string
	ill  atomic.Bool
}

func (s *service) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	switch r.URL.Path {
	case "/healthz":
		if s.ill.Load() {
			w.WriteHeader(500)
		}
		return
	case "/allowed":
		if r.URL.Query().Get("domain") != "shop.example.net" {
			w.WriteHeader(403)
		}
		return
	case "/large":
		w.Header().Set("Content-Type", "text/plain")
		fmt.Fprint(w, strings.Repeat("large ", 10000))
		return
	case "/error":
		w.WriteHeader(500)
	case "/slow":
		select {
		case <-r.Context().Done():
		case <-time.After(10 * time.Second):
		}
		return
	case "/ws":
		c, b, err := http.NewResponseController(w).Hijack()
		if err != nil {
			return
		}
		defer c.Close()
		fmt.Fprint(c, "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=\r\n\r\n")
		_, _ = io.Copy(c, b)
		return
	case "/verify":
		if r.Header.Get("Cookie") != "session=ann" {
			w.WriteHeader(401)
			return
		}
		w.Header().Set("X-User", "ann")
		return
	}
	w.Header().Set("X-Powered-By", "magic")
	w.Header().Set("Trailer", "Grpc-Status")
	fmt.Fprintf(w, "%s %s %s %s host=%s\n", s.name, r.Proto, r.Method, r.RequestURI, r.Host)
	_ = r.Header.Write(w)
	_, _ = io.Copy(io.Discard, r.Body)
	w.Header().Set("Grpc-Status", "0")
}

func (v *visit) serve(name string, l net.Listener) *service {
	s := &service{name: name, addr: l.Addr().String()}
	server := &http.Server{Handler: s, Protocols: new(http.Protocols)}
	server.Protocols.SetHTTP1(true)
	server.Protocols.SetUnencryptedHTTP2(true)
	go func() { _ = server.Serve(l) }()
	v.t.Cleanup(func() { server.Close() })
	return s
}

func (v *visit) listen(network, address string) net.Listener {
	v.t.Helper()
	l, err := net.Listen(network, address)
	if err != nil {
		v.t.Fatal(err)
	}
	return l
}

// newVisit brings up a door with a block, in which names of places are changed
// into those of this test.
func newVisit(t *testing.T, block string) *visit {
	v := &visit{rig: &rig{t: t, dir: t.TempDir(), log: new(lockedBuffer)}}
	addrs := reserve(t, 3)
	v.http, v.https, v.tcp = addrs[0], addrs[1], addrs[2]
	v.one, v.two = v.serve("one", v.listen("tcp", "127.0.0.1:0")), v.serve("two", v.listen("tcp", "127.0.0.1:0"))
	v.serve("socket", v.listen("unix", filepath.Join(v.dir, "app.sock")))
	own := httptest.NewTLSServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { fmt.Fprint(w, "secure") }))
	t.Cleanup(own.Close)
	v.secure = own.Listener.Addr().String()
	v.write("sticky.secret", "0123456789abcdef0123456789abcdef")
	var clients string
	v.ann, clients = clientPair(t)
	v.write("clients.pem", clients)
	for name, text := range map[string]string{"index.html": "start", "app.js": "plain", "app.js.gz": "squeezed", ".env": "s3cret"} {
		if err := os.MkdirAll(v.dir+"/www", 0o755); err != nil {
			t.Fatal(err)
		}
		v.write("www/"+name, text)
	}
	v.write("oops.html", "<h1>oops {status}</h1>")
	block = strings.NewReplacer("127.0.0.1:8080", v.one.addr, "127.0.0.1:8081", v.two.addr, "127.0.0.1:8082", v.two.addr, "127.0.0.1:8443", v.secure,
		"127.0.0.1:4180", v.two.addr, "10.0.0.5:5432", v.one.addr, "/run/app.sock", v.dir+"/app.sock", "/etc/edge/", v.dir+"/", "/srv/www", v.dir+"/www",
		"/var/log/edge/", v.dir+"/", ":5432", v.tcp, "header_timeout: 30s", "header_timeout: 200ms", "interval: 5s", "interval: 50ms",
		"proxy_protocol: [10.0.0.0/8]", "proxy_protocol: [127.0.0.1]").Replace(block)
	path := v.write("edge.yaml", "version: 1\nacme: {email: ops@example.org, agree_tos: true}\n"+block)
	cfg, err := config.Load(path)
	if err != nil {
		t.Fatalf("%v\nin\n%s", err, block)
	}
	chain := edgetest.NewChain(t, time.Now().Add(time.Hour), "example.org", "www.example.org")
	for i := range cfg.Sites {
		if s := &cfg.Sites[i]; s.TLS.OnDemand != nil {
			v.withCA(cfg)
		} else if !s.TLS.Off && s.TLS.Forward == nil {
			s.TLS.Cert, s.TLS.Key = v.write("chain.pem", string(chain.Chain)), v.write("key.pem", string(chain.Key))
		}
	}
	cfg.Listen.HTTP, cfg.Listen.HTTPS = []string{v.http}, []string{v.https}
	cfg.Storage.Dir, cfg.Admin.Socket = filepath.Join(v.dir, "state"), filepath.Join(v.dir, "admin.sock")
	v.launch(cfg, func() (*config.Config, error) { return cfg, nil }, slog.New(slog.NewTextHandler(v.log, nil)))
	return v
}

// withCA has certificates obtained from a CA of the test's own.
func (v *visit) withCA(cfg *config.Config) {
	v.t.Helper()
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: edgetest.Port(v.http), TLSPort: edgetest.Port(v.https)})
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(ca.Close)
	v.ca = ca
	cfg.ACME.CAs = []config.CA{{Directory: ca.URL(), Roots: []string{v.write("ca.pem", string(ca.ServerRoots()))}}}
}

// clientPair makes a certificate of a client, and the PEM of its CA.
func clientPair(t *testing.T) (tls.Certificate, string) {
	t.Helper()
	key := func() *ecdsa.PrivateKey {
		k, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
		if err != nil {
			t.Fatal(err)
		}
		return k
	}
	caKey, annKey := key(), key()
	ca := &x509.Certificate{SerialNumber: big.NewInt(1), Subject: pkix.Name{CommonName: "People"}, IsCA: true, BasicConstraintsValid: true,
		KeyUsage: x509.KeyUsageCertSign, NotBefore: time.Now().Add(-time.Hour), NotAfter: time.Now().Add(time.Hour)}
	ann := &x509.Certificate{SerialNumber: big.NewInt(2), Subject: pkix.Name{CommonName: "ann"}, NotBefore: ca.NotBefore, NotAfter: ca.NotAfter,
		ExtKeyUsage: []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth}}
	caDER, err1 := x509.CreateCertificate(rand.Reader, ca, ca, caKey.Public(), caKey)
	annDER, err2 := x509.CreateCertificate(rand.Reader, ann, ca, annKey.Public(), caKey)
	if err := errors.Join(err1, err2); err != nil {
		t.Fatal(err)
	}
	return tls.Certificate{Certificate: [][]byte{annDER}, PrivateKey: annKey}, string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: caDER}))
}

// reply is an answer with its body read.
type reply struct {
	*http.Response
	text string
}

// ask sends a request to the door, whatever name the URL has. Fields are "Name: value".
func (v *visit) ask(method, url string, fields ...string) reply {
	v.t.Helper()
	req, err := http.NewRequest(method, url, nil)
	if err != nil {
		v.t.Fatal(err)
	}
	return v.send(req, fields...)
}

func (v *visit) send(req *http.Request, fields ...string) reply {
	v.t.Helper()
	for _, f := range fields {
		name, value, _ := strings.Cut(f, ": ")
		req.Header.Set(name, value)
	}
	tr := &http.Transport{
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true}, ForceAttemptHTTP2: true, // the certificate is the test's own
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := v.https
			if strings.HasSuffix(addr, ":80") {
				to = v.http
			}
			return new(net.Dialer).DialContext(ctx, "tcp", to)
		},
	}
	defer tr.CloseIdleConnections()
	res, err := tr.RoundTrip(req)
	if err != nil {
		v.t.Fatalf("%s %s: %v\n%s", req.Method, req.URL, err, v.log)
	}
	defer res.Body.Close()
	text, err := io.ReadAll(res.Body)
	if err != nil {
		v.t.Fatal(err)
	}
	return reply{res, string(text)}
}

// want compares a status, and looks for words in the answer, or for their absence with "!".
func (v *visit) want(r reply, status int, words ...string) {
	v.t.Helper()
	var all strings.Builder
	_ = r.Header.Write(&all)
	all.WriteString(r.text)
	if r.StatusCode != status {
		v.t.Errorf("%s %s: got %d, want %d\n%s", r.Request.Method, r.Request.URL, r.StatusCode, status, all.String())
	}
	for _, w := range words {
		if absent, not := strings.CutPrefix(w, "!"); strings.Contains(all.String(), absent) == not {
			v.t.Errorf("%s %s: want %q in\n%s", r.Request.Method, r.Request.URL, w, all.String())
		}
	}
}

// count asks n times and counts who answers.
func (v *visit) count(n int, url string) map[string]int {
	v.t.Helper()
	who := map[string]int{}
	for range n {
		name, _, _ := strings.Cut(v.ask("GET", url).text, " ")
		who[name]++
	}
	return who
}

// raw writes bytes to an address and returns a reader of the answer.
func (v *visit) raw(addr, text string) (net.Conn, *bufio.Reader) {
	v.t.Helper()
	c, err := net.Dial("tcp", addr)
	if err != nil {
		v.t.Fatal(err)
	}
	v.t.Cleanup(func() { c.Close() })
	_ = c.SetDeadline(time.Now().Add(10 * time.Second))
	if _, err := io.WriteString(c, text); err != nil {
		v.t.Fatal(err)
	}
	return c, bufio.NewReader(c)
}

var (
	taskHeading = regexp.MustCompile(`(?m)^## (.*)$`)
	taskBlock   = regexp.MustCompile("(?s)```yaml\n(.*?)```")
)

// Every configuration of docs/coming-from.md does what its heading says, and the
// page has each of the four programs beside it.
func TestComingFrom(t *testing.T) {
	page, err := os.ReadFile("../../docs/coming-from.md")
	if err != nil {
		t.Fatal(err)
	}
	checks := comingFromChecks()
	heads := taskHeading.FindAllStringSubmatchIndex(string(page), -1)
	for i, h := range heads {
		end := len(page)
		if i+1 < len(heads) {
			end = heads[i+1][0]
		}
		name, body := string(page[h[2]:h[3]]), string(page[h[1]:end])
		check := checks[name]
		delete(checks, name)
		blocks := taskBlock.FindAllStringSubmatch(body, -1)
		if check == nil || len(blocks) != 1 {
			t.Errorf("%s: %d blocks, and a check: %v; each task has one block, and a check in comingFromChecks", name, len(blocks), check != nil)
			continue
		}
		for _, other := range []string{"nginx", "Caddy", "Traefik", "HAProxy"} {
			if !strings.Contains(body, "\n"+other+":\n```") {
				t.Errorf("%s: nothing of %s", name, other)
			}
		}
		t.Run(name, func(t *testing.T) { check(newVisit(t, blocks[0][1])) })
	}
	for name := range checks {
		t.Errorf("the page has lost %q", name)
	}
}
