package installers

import (
	"bufio"
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"syscall"
	"testing"
)

// serveTLS answers each connection with the lines that prelude makes of what it reads,
// and then with TLS.
func serveTLS(t *testing.T, l net.Listener, config *tls.Config, prelude func(r *bufio.Reader, conn net.Conn) error) {
	t.Helper()
	done := make(chan struct{})
	t.Cleanup(func() { l.Close(); <-done })
	go func() {
		defer close(done)
		for {
			conn, err := l.Accept()
			if err != nil {
				return
			}
			r := bufio.NewReader(conn)
			if prelude == nil || prelude(r, conn) == nil {
				_ = tls.Server(readAhead{conn, r}, config).HandshakeContext(t.Context())
			}
			conn.Close()
		}
	}()
}

// readAhead is a connection of which something has been read.
type readAhead struct {
	net.Conn
	r *bufio.Reader
}

func (c readAhead) Read(b []byte) (int, error) { return c.r.Read(b) }

func (i *issued) pair() tls.Certificate {
	return tls.Certificate{Certificate: [][]byte{i.cert.Raw}, PrivateKey: i.key}
}

func listen(t *testing.T, network, addr string) net.Listener {
	t.Helper()
	l, err := net.Listen(network, addr)
	if err != nil {
		t.Fatal(err)
	}
	return l
}

// talk is a server's side of a conversation: what it says, and what it wants to hear
// in between.
func talk(lines ...string) func(*bufio.Reader, net.Conn) error {
	return func(r *bufio.Reader, conn net.Conn) error {
		for i, line := range lines {
			if i%2 == 0 {
				fmt.Fprint(conn, strings.ReplaceAll(line, "\n", "\r\n"))
				continue
			}
			heard, err := r.ReadString('\n')
			if err != nil || heard != line+"\r\n" {
				return errors.Join(err, errors.New("heard "+heard))
			}
		}
		return nil
	}
}

func TestProbe(t *testing.T) {
	one := recipe{serial: 1, names: []string{"a.test"}}.make(t)
	config := &tls.Config{Certificates: []tls.Certificate{one.pair()}}
	for _, c := range []struct {
		name string
		e    Endpoint
		talk func(*bufio.Reader, net.Conn) error
		want string
	}{
		{"tls", Endpoint{Name: "a.test"}, nil, ""},
		{"smtp", Endpoint{StartTLS: "smtp"}, talk("220-mail\n220 mail\n", "EHLO localhost", "250-mail\n250 STARTTLS\n", "STARTTLS", "220 go\n"), ""},
		{"lmtp", Endpoint{StartTLS: "lmtp"}, talk("220 mail\n", "LHLO localhost", "250 STARTTLS\n", "STARTTLS", "220 go\n"), ""},
		{"imap", Endpoint{StartTLS: "imap"}, talk("* OK ready\n", "a STARTTLS", "* news\na OK go\n"), ""},
		{"pop3", Endpoint{StartTLS: "pop3"}, talk("+OK ready\n", "STLS", "+OK go\n"), ""},
		{"ftp", Endpoint{StartTLS: "ftp"}, talk("220-welcome\n220 ready\n", "AUTH TLS", "234 go\n"), ""},
		{"ftp superfluous", Endpoint{StartTLS: "ftp"}, talk("220 ready\n", "AUTH TLS", "202 no need\n"), `202 "no need"`},
		{"ftp refused", Endpoint{StartTLS: "ftp"}, talk("220 ready\n", "AUTH TLS", "530 please log in\n"), `530 "please log in"`},
		{"sieve", Endpoint{StartTLS: "sieve"}, talk("\"IMPLEMENTATION\" \"x\"\n\"STARTTLS\"\nOK \"ready\"\n", "STARTTLS", "OK \"go\"\n"), ""},
		{"sieve refused", Endpoint{StartTLS: "sieve"}, talk("OK\n", "STARTTLS", "NO \"no TLS\"\n"), "no TLS"},
		{"proxy", Endpoint{ProxyProtocol: true}, talk("", "PROXY UNKNOWN", ""), ""},
		{"refused", Endpoint{StartTLS: "smtp"}, talk("220 mail\n", "EHLO localhost", "250 STARTTLS\n", "STARTTLS", "454 4.7.0 TLS not available\n"), "4.7.0 TLS not available"},
		{"pop3 refused", Endpoint{StartTLS: "pop3"}, talk("-ERR no\n"), `the TLS handshake failed: pop3: it said "-ERR no"`},
		{"no end", Endpoint{StartTLS: "imap"}, talk("* OK ready\n", "a STARTTLS", strings.Repeat("* news\n", 50)), "it said too much"},
		{"plain", Endpoint{}, talk("HTTP/1.1 400 Bad Request\n"), "the TLS handshake failed"},
		{"unknown", Endpoint{StartTLS: "gopher"}, talk(""), `the protocol "gopher" before the handshake is not known`},
	} {
		l := listen(t, "tcp", "127.0.0.1:0")
		serveTLS(t, l, config, c.talk)
		c.e.Addr = l.Addr().String()
		got := probe(t.Context(), c.e, nil)
		switch {
		case c.want == "" && (got.err != nil || !got.leaf.Equal(one.cert)):
			t.Errorf("%s: %v", c.name, got.err)
		case c.want != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.want)):
			t.Errorf("%s: %v; want %s", c.name, got.err, c.want)
		}
	}
	path := t.TempDir() + "/s"
	serveTLS(t, listen(t, "unix", path), config, nil)
	if got := probe(t.Context(), Endpoint{Addr: "unix:" + path}, nil); got.err != nil {
		t.Error(got.err)
	}
	if got := probe(t.Context(), Endpoint{Addr: "nonsense"}, nil); got.err == nil {
		t.Error("an address without a port was taken")
	}
	l := listen(t, "tcp", "127.0.0.1:0")
	l.Close()
	if got := probe(t.Context(), Endpoint{Addr: l.Addr().String()}, nil); !errors.Is(got.err, syscall.ECONNREFUSED) {
		t.Error(got.err)
	}
}

// Addresses that servers bind to are reached by the loopback.
func TestReachable(t *testing.T) {
	for addr, want := range map[string]string{
		"0.0.0.0:443": "tcp 127.0.0.1:443", "*:443": "tcp 127.0.0.1:443", ":443": "tcp 127.0.0.1:443", "[::]:443": "tcp [::1]:443",
		"192.0.2.1:443": "tcp 192.0.2.1:443", "unix:/run/x": "unix /run/x", "443": "tcp 443",
	} {
		network, address := reachable(addr)
		if got := network + " " + address; got != want {
			t.Errorf("%s: %s, want %s", addr, got, want)
		}
	}
}

// A server with certificates of two kinds shows the one that is looked for.
func TestProbeBothKinds(t *testing.T) {
	ecdsa, rsa := recipe{serial: 1, names: []string{"a.test"}}.make(t), recipe{serial: 2, names: []string{"a.test"}, rsa: true}.make(t)
	l := listen(t, "tcp", "127.0.0.1:0")
	serveTLS(t, l, &tls.Config{Certificates: []tls.Certificate{ecdsa.pair(), rsa.pair()}}, nil)
	e := Endpoint{Addr: l.Addr().String(), Name: "a.test"}
	for _, like := range []*issued{ecdsa, rsa} {
		if got := probe(t.Context(), e, like.cert); got.err != nil || !got.leaf.Equal(like.cert) {
			t.Errorf("%+v, want %s", got, like.cert.SerialNumber)
		}
	}
}

// Servers that want a certificate of their clients are verified without one. Without
// the key no server is.
func TestProbeOfPickyServer(t *testing.T) {
	one, two := recipe{serial: 1, names: []string{"a.test"}}.make(t), recipe{serial: 2, names: []string{"a.test"}}.make(t)
	for _, version := range []uint16{tls.VersionTLS12, tls.VersionTLS13} {
		l := listen(t, "tcp", "127.0.0.1:0")
		serveTLS(t, l, &tls.Config{Certificates: []tls.Certificate{one.pair()}, MaxVersion: version, ClientAuth: tls.RequireAnyClientCert}, nil)
		if got := probe(t.Context(), Endpoint{Addr: l.Addr().String()}, nil); got.err != nil || !got.leaf.Equal(one.cert) {
			t.Errorf("%x: %v", version, got.err)
		}
		l = listen(t, "tcp", "127.0.0.1:0")
		serveTLS(t, l, &tls.Config{Certificates: []tls.Certificate{{Certificate: [][]byte{one.cert.Raw}, PrivateKey: two.key}}, MaxVersion: version}, nil)
		if got := probe(t.Context(), Endpoint{Addr: l.Addr().String()}, nil); !errors.Is(got.err, errHandshake) {
			t.Errorf("%x with the wrong key: %+v", version, got)
		}
	}
}

func TestHTTPCheck(t *testing.T) {
	handler := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("Strict-Transport-Security", "max-age=1")
		if r.URL.Path == "/away" {
			http.Redirect(w, r, "https://"+r.Host+"/away", http.StatusPermanentRedirect)
			return
		}
		fmt.Fprintf(w, "%s%s \n", r.Host, r.URL.Path)
	})
	plain, secure := httptest.NewServer(handler), httptest.NewTLSServer(handler)
	defer plain.Close()
	defer secure.Close()
	at := plain.Listener.Addr().String()
	l := listen(t, "tcp", "127.0.0.1:0")
	done := make(chan struct{})
	go func() { // it ends each connection, as who wants TLS does
		defer close(done)
		for c, err := l.Accept(); err == nil; c, err = l.Accept() {
			_ = c.Close()
		}
	}()
	defer func() { _ = l.Close(); <-done }()
	mute := l.Addr().String()
	for _, c := range []struct {
		check HTTPCheck
		want  string
	}{
		{HTTPCheck{Addr: at, Host: "a.test", Path: "/x", WantStatus: []int{200}, WantBody: "a.test/x"}, ""},
		{HTTPCheck{Addr: at, Host: "a.test", WantBody: "a.test/"}, ""},
		{HTTPCheck{Addr: at, Host: "a.test", Path: "/away", WantStatus: []int{301, 308}, WantLocationPrefix: "https://a.test/"}, ""},
		{HTTPCheck{Addr: secure.Listener.Addr().String(), TLS: true, Host: "a.test", WantHeader: map[string]string{"strict-transport-security": "max-age=1"}}, ""},
		{HTTPCheck{Addr: at, Host: "a.test", WantStatus: []int{301}}, "the answer is 200 OK, not 301"},
		{HTTPCheck{Addr: at, Host: "a.test", WantBody: "a.test/x"}, `the answer 200 OK is "a.test/ \n", not "a.test/x"`},
		{HTTPCheck{Addr: at, Host: "a.test", WantLocationPrefix: "https://"}, `it leads to "", not to https://`},
		{HTTPCheck{Addr: at, Host: "a.test", WantHeader: map[string]string{"Strict-Transport-Security": "max-age=2"}}, `the header Strict-Transport-Security is "max-age=1", not "max-age=2"`},
		{HTTPCheck{Addr: secure.Listener.Addr().String(), Host: "a.test", WantStatus: []int{200}}, "400 Bad Request"},
		{HTTPCheck{Addr: "nonsense", Host: "a.test"}, "missing port"},
		{HTTPCheck{Addr: at, Host: "a.test", WantNone: true}, "it answers 200 OK, without TLS"},
		{HTTPCheck{Addr: mute, Host: "a.test", WantNone: true}, ""},
		{HTTPCheck{Addr: "127.0.0.1:1", Host: "a.test", WantNone: true}, ""},
		{HTTPCheck{Addr: at, Host: "a b"}, "invalid URL escape"},
	} {
		err := c.check.run(t.Context())
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%+v: %v; want %s", c.check, err, c.want)
		}
	}
}
