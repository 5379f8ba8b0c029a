package varnish

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

// The VCLs that a test's Varnish starts with: one that hands challenges over, and one that
// does not.
const (
	ready = "vcl 4.1;\nbackend default none;\nsub vcl_recv {\n    " + line + "\n    return (synth(200, \"user\"));\n}\n"
	plain = "# mine\nvcl 4.1;\nbackend default none;\nsub vcl_recv {\n    return (synth(200, \"user\"));\n}\n"
)

// server is a real Varnish with a working folder of its own.
type server struct {
	t              *testing.T
	dir            string
	cli, at        string // addresses
	secret         string
	daemon         *edgetest.Daemon
	said           map[string][]string
	authentication string // what the secret is
}

// start starts one as docs/targets/varnish.md says.
func start(t *testing.T, vcl string) *server {
	t.Helper()
	s := &server{t: t, dir: t.TempDir()}
	for dir := s.dir; dir != os.TempDir() && dir != "/"; dir = filepath.Dir(dir) {
		if err := os.Chmod(dir, 0o755); err != nil { // for Varnish's own users
			t.Fatal(err)
		}
	}
	s.cli, s.at = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t)), fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(t))
	s.secret, s.authentication = s.dir+"/secret", "correct horse battery staple"
	s.write("secret", s.authentication+"\n", 0o600)
	s.write("boot.vcl", vcl, 0o644)
	s.write("empty.vcl", answers{}.vcl(), 0o644)
	s.write("boot.cli", fmt.Sprintf("vcl.load %s %[2]s/empty.vcl\nvcl.label %[3]s %[1]s\nvcl.load boot %[2]s/boot.vcl\nvcl.use boot\nstart\n", empty, s.dir, label), 0o644)
	s.daemon = &edgetest.Daemon{
		Argv: []string{"/usr/sbin/varnishd", "-F", "-n", s.dir + "/work", "-a", s.at, "-T", s.cli, "-S", s.secret, "-f", "", "-I", s.dir + "/boot.cli", "-s", "default,1m"},
		Dir:  s.dir, Up: []string{s.cli, s.at},
	}
	s.said = map[string][]string{"address": {s.cli}, "secret_file": {s.secret}}
	s.daemon.Start(t)
	return s
}

func (s *server) write(name, content string, mode os.FileMode) {
	s.t.Helper()
	if err := os.WriteFile(filepath.Join(s.dir, name), []byte(content), mode); err != nil {
		s.t.Fatal(err)
	}
}

// admin runs Varnish's own client.
func (s *server) admin(words ...string) string {
	s.t.Helper()
	out, err := exec.Command("varnishadm", append([]string{"-T", s.cli, "-S", s.secret}, words...)...).CombinedOutput()
	if err != nil {
		s.t.Fatalf("varnishadm %v: %v: %s", words, err, out)
	}
	return string(out)
}

var listed = regexp.MustCompile(`(?m)^(active|available|discarded) +\S+ +\S+ +\S+ +(\S+)(?: +-> +(\S+))?`)

// programs are the VCLs that are not discarded, the active one with a star, and a label
// with what it leads to.
func (s *server) programs() []string {
	s.t.Helper()
	var list []string
	for _, m := range listed.FindAllStringSubmatch(s.admin("vcl.list"), -1) {
		name := m[2]
		if m[3] != "" {
			name += ">" + m[3]
		}
		switch m[1] {
		case "active":
			list = append(list, name+"*")
		case "available":
			list = append(list, name)
		}
	}
	slices.Sort(list)
	return list
}

// left is what there is beside what it began with.
func (s *server) left() string {
	got := strings.Join(s.programs(), " ")
	if want := "boot* " + label + ">" + empty + " " + empty; got != want {
		return "it has " + got
	}
	return ""
}

// asks is a CA.
func (s *server) asks(a edge.Answer) error {
	req, err := http.NewRequest(http.MethodGet, "http://"+s.at+folder+a.Token, nil)
	if err != nil {
		return err
	}
	req.Host = a.Identifier.Value
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err == nil && (resp.StatusCode != http.StatusOK || string(body) != a.KeyAuth) {
		err = fmt.Errorf("%s: %s", resp.Status, body)
	}
	return err
}

func (s *server) authenticator(ctx context.Context, env *target.Env) (target.Authenticator, error) {
	kind := Kind()
	v, problems := target.Parse(&kind, s.said, os.Getenv, true, false)
	if len(problems) > 0 {
		return nil, &problems[0]
	}
	return kind.Authenticator(ctx, v, env)
}

// one makes an authenticator outside of the cases.
func (s *server) one() target.Authenticator {
	s.t.Helper()
	a, err := s.authenticator(s.t.Context(), &target.Env{Dial: new(net.Dialer).DialContext, Now: time.Now, Wait: func(ctx context.Context, _ time.Duration) error { return ctx.Err() }})
	if err != nil {
		s.t.Fatal(err)
	}
	return a
}

func proof(s *server) *targettest.Proof {
	return &targettest.Proof{
		Authenticator: s.authenticator, Type: edge.HTTP01, Answers: s.asks, Left: s.left, Secrets: []string{s.authentication},
		Down: func(t *testing.T) func() {
			s.daemon.Stop(t)
			return func() { s.daemon.Start(t) }
		},
	}
}

func TestProof(t *testing.T) {
	targettest.Prove(t, func(t *testing.T) *targettest.Proof {
		t.Parallel()
		return proof(start(t, ready))
	})
}

// The same without the line in the user's VCL, by a copy of it.
func TestProofBySwap(t *testing.T) {
	targettest.Prove(t, func(t *testing.T) *targettest.Proof {
		t.Parallel()
		s := start(t, plain)
		s.said["swap"] = []string{"true"}
		return proof(s)
	})
}
