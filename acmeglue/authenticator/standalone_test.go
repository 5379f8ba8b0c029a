package authenticator

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest"
)

func newStandalone(t testing.TB, change func(*StandaloneOptions)) *Standalone {
	t.Helper()
	o := StandaloneOptions{HTTP: Listen{Port: freePort(t)}, SNI: true}
	tls := freePort(t)
	o.TLSALPN.Port, o.TLSSNI.Port = tls, tls
	if change != nil {
		change(&o)
	}
	s, err := NewStandalone(o)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

func isFree(port int) bool {
	l, err := net.Listen("tcp", fmt.Sprintf(":%d", port))
	if err != nil {
		return false
	}
	return l.Close() == nil
}

// Each method, from the order to a certificate; the ports are free afterwards.
func TestStandaloneIssues(t *testing.T) {
	for _, kind := range []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01, edge.TLSSNI01} {
		t.Run(string(kind), func(t *testing.T) {
			s := newStandalone(t, nil)
			ca := newCA(t, edgetest.CAOptions{HTTPPort: s.o.HTTP.Port, TLSPort: s.o.TLSALPN.Port, SNIOnly: kind == edge.TLSSNI01})
			mustIssue(t, ca, s, []edge.ChallengeType{kind}, "a.test", "b.test")
			if kind != edge.TLSSNI01 {
				mustIssue(t, ca, s, []edge.ChallengeType{kind}, "127.0.0.1")
			}
			if !isFree(s.o.HTTP.Port) || !isFree(s.o.TLSALPN.Port) {
				t.Error("a port is still bound")
			}
			if s.certs.Len() != 0 || len(s.names.m) != 0 || len(s.held) != 0 {
				t.Error("answers were left behind")
			}
		})
	}
}

// TLS-SNI-01 is done where it was asked for by name and not otherwise.
func TestStandaloneTLSSNIOnlyIfNamed(t *testing.T) {
	s := newStandalone(t, func(o *StandaloneOptions) { o.SNI = false })
	ca := newCA(t, edgetest.CAOptions{TLSPort: s.o.TLSALPN.Port, SNIOnly: true})
	if _, err := issue(t, ca, s, nil, "a.test"); err == nil {
		t.Error("it was issued by a method that nobody asked for")
	}
	if err := s.Present(t.Context(), []edge.Answer{answer(t, edge.TLSSNI01, "a.test")}); err == nil || !isFree(s.o.TLSSNI.Port) {
		t.Errorf("presented: %v", err)
	}
}

func get(t testing.TB, url string) (int, string) {
	t.Helper()
	c := &http.Client{Transport: &http.Transport{DisableKeepAlives: true}, Timeout: 5 * time.Second}
	res, err := c.Get(url)
	if err != nil {
		t.Fatal(err)
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	if err != nil {
		t.Fatal(err)
	}
	return res.StatusCode, string(body)
}

// It answers on IPv4 and IPv6, for its tokens and for nothing else.
func TestStandaloneHTTP(t *testing.T) {
	s := newStandalone(t, nil)
	a, b := answer(t, edge.HTTP01, "a.test"), answer(t, edge.HTTP01, "b.test")
	if err := s.Present(t.Context(), []edge.Answer{a, b}); err != nil {
		t.Fatal(err)
	}
	for _, host := range []string{"127.0.0.1", "[::1]"} {
		base := fmt.Sprintf("http://%s:%d", host, s.o.HTTP.Port)
		for _, c := range []struct {
			path string
			code int
			text string
		}{
			{edge.HTTP01Prefix + a.Token, 200, a.KeyAuth},
			{edge.HTTP01Prefix + b.Token, 200, b.KeyAuth},
			{"/", 200, "ACME client standalone challenge solver"},
			{edge.HTTP01Prefix, 404, ""},
			{edge.HTTP01Prefix + "unknown", 404, ""},
			{edge.HTTP01Prefix + "../acme-challenge/" + a.Token + "/x", 404, ""},
			{"/index.html", 404, ""},
		} {
			code, text := get(t, base+c.path)
			if code != c.code || c.text != "" && text != c.text {
				t.Errorf("GET %s%s: %d %q", base, c.path, code, text)
			}
		}
		res, err := http.Post(base+edge.HTTP01Prefix+a.Token, "text/plain", nil)
		if err != nil {
			t.Fatal(err)
		}
		res.Body.Close()
		if res.StatusCode != 404 {
			t.Errorf("POST: %d", res.StatusCode)
		}
	}
	if err := s.Cleanup(t.Context(), []edge.Answer{a}); err != nil {
		t.Fatal(err)
	}
	base := fmt.Sprintf("http://127.0.0.1:%d%s", s.o.HTTP.Port, edge.HTTP01Prefix)
	if code, _ := get(t, base+a.Token); code != 404 {
		t.Errorf("an answer that was taken back: %d", code)
	}
	if code, _ := get(t, base+b.Token); code != 200 {
		t.Errorf("the answer of another order: %d", code)
	}
	if err := s.Cleanup(t.Context(), []edge.Answer{b}); err != nil || !isFree(s.o.HTTP.Port) {
		t.Errorf("the port is still bound: %v", err)
	}
	if err := s.Cleanup(t.Context(), []edge.Answer{a, b}); err != nil {
		t.Errorf("cleaning up what is not there: %v", err)
	}
}

// On the TLS port there is nothing but the answers.
func TestStandaloneTLS(t *testing.T) {
	s := newStandalone(t, nil)
	batch := []edge.Answer{answer(t, edge.TLSALPN01, "a.test"), answer(t, edge.TLSSNI01, "b.test")}
	if err := s.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	defer s.Cleanup(t.Context(), batch)
	at := fmt.Sprintf("127.0.0.1:%d", s.o.TLSALPN.Port)
	for _, c := range []struct {
		name  string
		alpn  []string
		works bool
	}{
		{"a.test", []string{edge.ALPNProto}, true},
		{"A.test", []string{edge.ALPNProto}, true},
		{edge.SNI01Name(batch[1].KeyAuth), nil, true},
		{edge.SNI01Name(batch[1].KeyAuth), []string{"h2", "http/1.1"}, true},
		{"a.test", nil, false},
		{"a.test", []string{"h2", edge.ALPNProto}, false},
		{"b.test", []string{edge.ALPNProto}, false},
		{edge.SNI01Name(batch[0].KeyAuth), nil, false},
		{"acme.invalid", []string{edge.ALPNProto}, false},
	} {
		conn, err := tls.Dial("tcp", at, &tls.Config{ServerName: c.name, NextProtos: c.alpn, InsecureSkipVerify: true})
		if err == nil {
			conn.Close()
		}
		if (err == nil) != c.works {
			t.Errorf("handshake for %s with %v: %v", c.name, c.alpn, err)
		}
	}
}

// Orders share the listener; it goes with the last of them.
func TestStandaloneSharedByOrders(t *testing.T) {
	s := newStandalone(t, nil)
	ca := newCA(t, edgetest.CAOptions{HTTPPort: s.o.HTTP.Port})
	var all sync.WaitGroup
	for n := range 8 {
		all.Go(func() {
			if _, err := issue(t, ca, s, []edge.ChallengeType{edge.HTTP01}, fmt.Sprintf("site-%d.test", n)); err != nil {
				t.Error(err)
			}
		})
	}
	all.Wait()
	if !isFree(s.o.HTTP.Port) || len(s.servers) != 0 {
		t.Error("the port is still bound")
	}
}

// The text about a port that is taken is certbot's, and says who has it. A server
// on IPv4 alone has the port as well.
func TestStandalonePortInUse(t *testing.T) {
	for _, network := range []string{"tcp", "tcp4"} {
		l, err := net.Listen(network, ":0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		port := edgetest.Port(l.Addr().String())
		asked := 0
		s := newStandalone(t, func(o *StandaloneOptions) {
			o.HTTP.Port = port
			o.Retry = func(context.Context, string) bool { asked++; return asked < 3 }
		})
		batch := []edge.Answer{answer(t, edge.TLSALPN01, "a.test"), answer(t, edge.HTTP01, "b.test")}
		err = s.Present(t.Context(), batch)
		want := fmt.Sprintf("Could not bind TCP port %d because it is already in use by another process on this system (such as a web server). "+
			"Please stop the program in question and then try again. It is held by ", port)
		var bind *BindError
		if !errors.As(err, &bind) || !strings.Contains(err.Error(), want) || !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(bind.Holder, fmt.Sprint(os.Getpid())) {
			t.Errorf("%s: %v", network, err)
		}
		if asked != 3 {
			t.Errorf("asked %d times", asked)
		}
		if strings.Contains(err.Error(), "a.test") || !strings.Contains(err.Error(), "b.test") {
			t.Errorf("whom it concerns: %v", err)
		}
		if err := s.Cleanup(t.Context(), batch); err != nil || !isFree(s.o.TLSALPN.Port) {
			t.Errorf("after a failed Present the other port is still bound: %v", err)
		}
	}
}

// Another run has the port for a moment: it is waited for.
func TestStandaloneWaitsForAnotherRun(t *testing.T) {
	first := newStandalone(t, nil)
	second := newStandalone(t, func(o *StandaloneOptions) { *o = first.o; o.Wait = 30 * time.Second; o.Log = nil })
	a, b := answer(t, edge.HTTP01, "a.test"), answer(t, edge.HTTP01, "b.test")
	if err := first.Present(t.Context(), []edge.Answer{a}); err != nil {
		t.Fatal(err)
	}
	done := make(chan error)
	go func() { done <- second.Present(t.Context(), []edge.Answer{b}) }()
	select {
	case err := <-done:
		t.Fatalf("it did not wait: %v", err)
	case <-time.After(2 * retryBind):
	}
	if err := first.Cleanup(t.Context(), []edge.Answer{a}); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if code, _ := get(t, fmt.Sprintf("http://127.0.0.1:%d%s%s", second.o.HTTP.Port, edge.HTTP01Prefix, b.Token)); code != 200 {
		t.Errorf("second run: %d", code)
	}
	if err := second.Cleanup(t.Context(), []edge.Answer{b}); err != nil {
		t.Fatal(err)
	}
	// The end of ctx ends the wait.
	if err := first.Present(t.Context(), []edge.Answer{a}); err != nil {
		t.Fatal(err)
	}
	defer first.Cleanup(t.Context(), []edge.Answer{a})
	ctx, cancel := context.WithTimeout(t.Context(), retryBind)
	defer cancel()
	if err := second.Present(ctx, []edge.Answer{b}); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("got %v", err)
	}
}

// A solver is told by its first page, whosever it is; a web server is not waited for.
func TestIsSolver(t *testing.T) {
	for text, want := range map[string]bool{indexText: true, "Welcome to nginx!": false} {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		srv := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, text) })}
		go srv.Serve(l)
		if got := isSolver(t.Context(), Listen{"127.0.0.1", edgetest.Port(l.Addr().String())}); got != want {
			t.Errorf("%q: %v", text, got)
		}
		srv.Close()
	}
}

// Connections that are idle or slow at the end do not hold it up.
func TestStandaloneEndsWithOpenConnections(t *testing.T) {
	t.Parallel()
	s := newStandalone(t, nil)
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.TLSALPN01, "a.test")}
	if err := s.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, port := range []int{s.o.HTTP.Port, s.o.TLSALPN.Port} {
		c, err := net.Dial("tcp", fmt.Sprintf("127.0.0.1:%d", port))
		if err != nil {
			t.Fatal(err)
		}
		defer c.Close()
		fmt.Fprint(c, "\x16")
	}
	began := time.Now()
	if err := s.Cleanup(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if took := time.Since(began); took > 5*time.Second {
		t.Errorf("the end took %v", took)
	}
}

// A user who may not bind a low port is told so in certbot's words.
func TestStandaloneNoPermission(t *testing.T) {
	if os.Getenv("EDGE_TEST_BIND") != "" {
		_, err := bind(Listen{Port: 80})
		fmt.Print(err)
		os.Exit(0)
	}
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestStandaloneNoPermission$")
	cmd.Env = append(os.Environ(), "EDGE_TEST_BIND=1")
	if os.Getuid() == 0 {
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: 65534, Gid: 65534}, Cloneflags: syscall.CLONE_NEWNET}
	}
	cmd.Dir = "/"
	out, err := cmd.CombinedOutput()
	if want := "Could not bind TCP port 80 because you don't have the appropriate permissions (for example, you aren't running this program as root)."; err != nil || string(out) != want {
		t.Errorf("%v: %s", err, out)
	}
}

func TestStandaloneOptions(t *testing.T) {
	for _, o := range []StandaloneOptions{{HTTP: Listen{Port: 443}}, {HTTP: Listen{Port: -1}}, {TLSALPN: Listen{Port: 65536}},
		{TLSSNI: Listen{Port: 80}, SNI: true}} {
		if _, err := NewStandalone(o); err == nil {
			t.Errorf("%+v was taken", o)
		}
	}
	if _, err := bind(Listen{Address: "192.0.2.1", Port: 80}); err == nil || !strings.Contains(err.Error(), "Problem binding to port 80:") {
		t.Errorf("an address that is not ours: %v", err)
	}
	ls, err := bind(Listen{Address: "127.0.0.1", Port: freePort(t)})
	if err != nil || len(ls) != 1 {
		t.Fatalf("%v %v", ls, err)
	}
	closeAll(ls)
}
