package varnish

import (
	"context"
	"io"
	"net"
	"strings"
	"testing"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest/targettest"
)

func present(t *testing.T, a target.Authenticator, batch ...edge.Answer) {
	t.Helper()
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if err := a.Ready(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func answered(t *testing.T, s *server, a edge.Answer, want bool) {
	t.Helper()
	if err := s.asks(a); (err == nil) != want {
		t.Errorf("the answer for token %s: %v", a.Token, err)
	}
}

// challengeFor makes an answer to present.
func challengeFor(token string) edge.Answer {
	return targettest.Answer(edge.HTTP01, "a.example.test", token)
}

// The error for a VCL without the line says the line, which works then.
func TestMissingLine(t *testing.T) {
	t.Parallel()
	s := start(t, plain)
	s.admin("vcl.label", "other", "boot") // a label of somebody else is left alone
	a, one := s.one(), challengeFor("one")
	err := a.Present(t.Context(), []edge.Answer{one})
	if err == nil || !strings.Contains(err.Error(), line) || !strings.Contains(err.Error(), "VCL boot") || !strings.Contains(err.Error(), "vcl_recv") {
		t.Fatalf("it says %v", err)
	}
	_, does, _ := strings.Cut(err.Error(), "needs): ")
	s.write("fixed.vcl", strings.Replace(plain, "    return", "    "+does+"\n    return", 1), 0o644)
	s.admin("vcl.load", "fixed", s.dir+"/fixed.vcl")
	s.admin("vcl.use", "fixed")
	present(t, a, one)
	answered(t, s, one, true)
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.programs(), " "); got != "boot edge_acme>edge_acme_empty edge_acme_empty fixed* other>boot" {
		t.Errorf("it has %s", got)
	}
}

// The label was used by a VCL that is not active any more, or the line comes too late.
func TestNotReady(t *testing.T) {
	t.Parallel()
	s := start(t, ready)
	s.write("late.vcl", plain, 0o644)
	s.admin("vcl.load", "late", s.dir+"/late.vcl")
	s.admin("vcl.use", "late")
	a, one := s.one(), challengeFor("one")
	if err := a.Present(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	err := a.Ready(t.Context(), []edge.Answer{one})
	if err == nil || !strings.Contains(err.Error(), "answers something else") || !strings.Contains(err.Error(), line) {
		t.Errorf("it says %v", err)
	}
}

// Batches that are there at the same time do not take each other's answers away.
func TestTwoBatches(t *testing.T) {
	t.Parallel()
	s := start(t, ready)
	a, one, two := s.one(), challengeFor("one"), challengeFor("two")
	present(t, a, one)
	present(t, a, two)
	answered(t, s, one, true)
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	answered(t, s, one, false)
	answered(t, s, two, true)
	if err := a.Cleanup(t.Context(), []edge.Answer{two}); err != nil {
		t.Fatal(err)
	}
	if left := s.left(); left != "" {
		t.Error(left)
	}
}

// All nodes answer, or none does.
func TestNodes(t *testing.T) {
	t.Parallel()
	s, second := start(t, ready), start(t, ready)
	s.said["address"] = append(s.said["address"], second.cli)
	s.said["secret_file"] = append(s.said["secret_file"], second.secret)
	a, one := s.one(), challengeFor("one")
	present(t, a, one)
	answered(t, s, one, true)
	answered(t, second, one, true)
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	second.daemon.Stop(t)
	if err := a.Present(t.Context(), []edge.Answer{one}); err == nil || !strings.Contains(err.Error(), second.cli) || strings.Contains(err.Error(), "goes on") {
		t.Errorf("it says %v", err)
	}
	answered(t, s, one, false)
	if left := s.left(); left != "" {
		t.Error(left)
	}
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err == nil {
		t.Error("nobody knows what the second node answers, and it says nothing")
	}
}

// What a run that was killed has left does not outlive the next one.
func TestLeftovers(t *testing.T) {
	t.Parallel()
	s := start(t, ready)
	present(t, s.one(), challengeFor("dead"))
	s.said["swap"] = []string{"true"}
	present(t, s.one(), challengeFor("deadToo"))
	s.said["swap"] = []string{"false"}
	a, one := s.one(), challengeFor("one")
	present(t, a, one)
	answered(t, s, challengeFor("dead"), false)
	answered(t, s, challengeFor("deadToo"), false)
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	if left := s.left(); left != "" {
		t.Error(left)
	}
}

// While the copy is there, somebody loads another VCL: that one stays.
func TestSwapKeepsOthers(t *testing.T) {
	t.Parallel()
	s := start(t, plain)
	s.said["swap"] = []string{"true"}
	a, one := s.one(), challengeFor("one")
	present(t, a, one)
	answered(t, s, challengeFor("unknown"), false)
	s.write("new.vcl", plain, 0o644)
	s.admin("vcl.load", "new", s.dir+"/new.vcl")
	s.admin("vcl.use", "new")
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	if got := strings.Join(s.programs(), " "); got != "boot edge_acme>edge_acme_empty edge_acme_empty new*" {
		t.Errorf("it has %s", got)
	}
}

// meddler has somebody activate another VCL while ours is loaded.
type meddler struct {
	net.Conn
	meddle func()
}

func (m *meddler) Write(p []byte) (int, error) {
	if strings.HasPrefix(string(p), "vcl.inline") {
		m.meddle()
	}
	return m.Conn.Write(p)
}

// Somebody activates another VCL between our look and our change: that one stays.
func TestSwapLosesNothing(t *testing.T) {
	t.Parallel()
	s := start(t, plain)
	s.write("new.vcl", plain, 0o644)
	s.admin("vcl.load", "new", s.dir+"/new.vcl")
	a, err := New(Options{Addresses: []string{s.cli}, Secrets: []string{s.secret}, Swap: true, Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		c, err := new(net.Dialer).DialContext(ctx, network, addr)
		return &meddler{c, func() { s.admin("vcl.use", "new") }}, err
	}})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.Present(t.Context(), []edge.Answer{challengeFor("one")}); err == nil || !strings.Contains(err.Error(), "another VCL than boot is active") {
		t.Errorf("it says %v", err)
	}
	if got := strings.Join(s.programs(), " "); got != "boot edge_acme>edge_acme_empty edge_acme_empty new*" {
		t.Errorf("it has %s", got)
	}
}

// Half a VCL is none: it is not loaded as if it were all.
func TestSwapTruncated(t *testing.T) {
	t.Parallel()
	s := start(t, plain+strings.Repeat("# a long comment\n", 6000))
	s.said["swap"] = []string{"true"}
	a, one := s.one(), challengeFor("one")
	if err := a.Present(t.Context(), []edge.Answer{one}); err == nil || !strings.Contains(err.Error(), "param.set cli_limit") {
		t.Errorf("it says %v", err)
	}
	if left := s.left(); left != "" {
		t.Error(left)
	}
	s.admin("param.set", "cli_limit", "4m")
	present(t, a, one)
	answered(t, s, one, true)
}

func TestSecret(t *testing.T) {
	t.Parallel()
	s := start(t, ready)
	s.write("wrong", "another\n", 0o600)
	s.write("open", s.authentication+"\n", 0o644)
	for file, why := range map[string]string{"wrong": "refuses the secret", "open": "can be used by everybody", "nothing": "no such file", ".": "is not a file"} {
		s.said["secret_file"] = []string{s.dir + "/" + file}
		err := s.one().Present(t.Context(), []edge.Answer{challengeFor("one")})
		if err == nil || !strings.Contains(err.Error(), why) || strings.Contains(err.Error(), s.authentication) {
			t.Errorf("%s: %v", file, err)
		}
	}
	s.said["secret_file"] = nil
	if err := s.one().Present(t.Context(), []edge.Answer{challengeFor("one")}); err == nil || !strings.Contains(err.Error(), "set secret_file") {
		t.Errorf("it says %v", err)
	}
}

// By a socket of the file system, and with the address that it is asked at.
func TestUnixSocket(t *testing.T) {
	t.Parallel()
	s := start(t, ready)
	l, err := net.Listen("unix", s.dir+"/cli")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				up, err := net.Dial("tcp", s.cli)
				if err != nil {
					return
				}
				defer up.Close()
				go func() { _, _ = io.Copy(up, c) }()
				_, _ = io.Copy(c, up)
			}()
		}
	}()
	s.said["address"] = []string{"unix:" + s.dir + "/cli"}
	s.said["listen"] = []string{s.at}
	a, one := s.one(), challengeFor("one")
	present(t, a, one)
	s.said["listen"] = []string{s.at, "127.0.0.1:1"}
	if err := s.one().Ready(t.Context(), []edge.Answer{one}); err == nil || !strings.Contains(err.Error(), "127.0.0.1:1") {
		t.Errorf("one of the addresses is dead, and it says %v", err)
	}
}

func TestOptions(t *testing.T) {
	for name, o := range map[string]Options{
		"no address": {}, "no port": {Addresses: []string{"localhost"}}, "relative": {Addresses: []string{"unix:x"}}, "relative secret": {Addresses: []string{"a:1"}, Secrets: []string{"x"}},
		"secrets": {Addresses: []string{"a:1", "b:1", "c:1"}, Secrets: []string{"/x", "/y"}}, "listen": {Addresses: []string{"a:1"}, Listen: []string{"a"}},
	} {
		if _, err := New(o); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}

func TestCheck(t *testing.T) {
	good := challengeFor("abc_DEF-123")
	if err := check(good); err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]func(a *edge.Answer){
		"type":   func(a *edge.Answer) { a.Type = edge.DNS01 },
		"token":  func(a *edge.Answer) { a.Token, a.KeyAuth = `x"`, `x".abc` },
		"line":   func(a *edge.Answer) { a.KeyAuth += "\n" },
		"quote":  func(a *edge.Answer) { a.KeyAuth += `"` },
		"dot":    func(a *edge.Answer) { a.KeyAuth += ".x" },
		"other":  func(a *edge.Answer) { a.KeyAuth = "other.abc" },
		"long":   func(a *edge.Answer) { a.Token = strings.Repeat("a", 200); a.KeyAuth = a.Token + ".a" },
		"no key": func(a *edge.Answer) { a.KeyAuth = a.Token },
	} {
		bad := good
		change(&bad)
		if err := check(bad); err == nil {
			t.Errorf("%s: it was taken", name)
		}
	}
}
