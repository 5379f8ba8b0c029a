package admin

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge"
)

// helper makes this test binary a caller with another identity.
const helper = "EDGE_ADMIN_TEST_SOCKET"

func TestMain(m *testing.M) {
	if path := os.Getenv(helper); path != "" {
		c := NewClient(path)
		_, err := c.Status(context.Background())
		fmt.Printf("status: %v\n", err)
		fmt.Printf("reload: %v\n", c.Reload(context.Background()))
		_, err = c.Certificate(context.Background(), "a.test")
		fmt.Printf("certificate: %v\n", err)
		_, err = c.Lineages(context.Background())
		fmt.Printf("lineages: %v\n", err)
		_, err = c.PutLineage(context.Background(), "used", edge.Bundle{Chain: []byte("chain"), Key: []byte("key")})
		fmt.Printf("put: %v\n", err)
		fmt.Printf("report: %v\n", c.PutStewardReport(context.Background(), edge.StewardReport{Verb: "renew", End: time.Now()}))
		os.Exit(0)
	}
	// net/http waits half a second after it has refused a request, whatever is closed meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

type fake struct {
	mu      sync.Mutex
	answers []edge.Answer
	reload  error
	put     map[string]edge.Bundle
	reports []edge.StewardReport
}

func (f *fake) Status() Status               { return Status{Version: "test", PID: 7} }
func (f *fake) Reload(context.Context) error { return f.reload }
func (f *fake) Upgrade() (UpgradeResult, error) {
	return UpgradeResult{PID: 7, Was: 3}, f.reload
}
func (f *fake) PutChallenge(a edge.Answer) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = append(f.answers, a)
	return nil
}
func (f *fake) RemoveChallenge(a edge.Answer) {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.answers = nil
}
func (f *fake) Certificate(name string) (edge.Bundle, error) {
	if name != "a.test" {
		return edge.Bundle{}, fmt.Errorf("%w: %s", ErrNotFound, name)
	}
	return edge.Bundle{Chain: []byte("chain"), Key: []byte("key")}, nil
}

func (f *fake) Lineages() []edge.LineageStatus {
	return []edge.LineageStatus{{Name: "used", SHA256: "abc", Sites: []string{"a.test"}}}
}
func (f *fake) PutLineage(_ context.Context, name string, b edge.Bundle) (edge.LineageStatus, error) {
	f.mu.Lock()
	defer f.mu.Unlock()
	switch {
	case name != "used":
		return edge.LineageStatus{}, fmt.Errorf("%w: lineage %s", ErrNotFound, name)
	case string(b.Key) == "wrong":
		return edge.LineageStatus{}, fmt.Errorf("%w: not its key", ErrRefused)
	case string(b.Key) == "full":
		return edge.LineageStatus{}, errors.New("no space left")
	}
	if f.put == nil {
		f.put = map[string]edge.Bundle{}
	}
	f.put[name] = b
	return edge.LineageStatus{Name: name, SHA256: "abc", Sites: []string{"a.test"}}, nil
}
func (f *fake) StewardReport(r edge.StewardReport) error {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.reports = append(f.reports, r)
	return nil
}

func start(t *testing.T, o Options) string {
	t.Helper()
	if o.Path == "" {
		o.Path = filepath.Join(t.TempDir(), "admin.sock")
	}
	s, err := Listen(o)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
		if _, err := os.Lstat(o.Path); !errors.Is(err, os.ErrNotExist) {
			t.Errorf("the socket was left behind: %v", err)
		}
	})
	return o.Path
}

func TestCalls(t *testing.T) {
	f := &fake{}
	path := start(t, Options{Backend: f})
	info, err := os.Stat(path)
	if err != nil || info.Mode().Perm() != 0o660 {
		t.Fatalf("mode %v %v", info.Mode(), err)
	}
	c := NewClient(path)
	defer c.Close()
	ctx := context.Background()
	if s, err := c.Status(ctx); err != nil || s.Version != "test" || s.PID != 7 {
		t.Errorf("status %+v %v", s, err)
	}
	if err := c.Reload(ctx); err != nil {
		t.Error(err)
	}
	f.reload = errors.New("line 3 is bad")
	if err := c.Reload(ctx); err == nil || err.Error() != "line 3 is bad" {
		t.Errorf("reload: %v", err)
	}
	ch := Challenge{Type: edge.HTTP01, Identifier: "a.test", Token: "t", KeyAuth: "t.x"}
	if err := c.PutChallenge(ctx, ch); err != nil || len(f.answers) != 1 || f.answers[0].KeyAuth != "t.x" || f.answers[0].Identifier.Type != edge.DNS {
		t.Errorf("put: %v %v", err, f.answers)
	}
	if err := c.RemoveChallenge(ctx, ch); err != nil || len(f.answers) != 0 {
		t.Errorf("remove: %v %v", err, f.answers)
	}
	ch.Identifier = "../x"
	if err := c.PutChallenge(ctx, ch); err == nil {
		t.Error("a path was taken for an identifier")
	}
	if b, err := c.Certificate(ctx, "a.test"); err != nil || b.Chain != "chain" || b.Key != "key" {
		t.Errorf("certificate %+v %v", b, err)
	}
	if _, err := c.Certificate(ctx, "b.test"); !errors.Is(err, ErrNotFound) {
		t.Errorf("certificate: %v", err)
	}
	res, err := c.http.Post("http://edge/v1/challenges", "application/json", strings.NewReader("{}"))
	if err != nil {
		t.Fatal(err)
	}
	res.Body.Close()
	if res.StatusCode != http.StatusMethodNotAllowed {
		t.Errorf("POST to challenges: %s", res.Status)
	}
}

// Who may do what is decided by the kernel's word, at every call. Needs root, to
// become somebody else.
func TestRights(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Skip("not run: needs root to become other users")
	}
	dir, err := os.MkdirTemp("", "edge-admin-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	os.Chmod(dir, 0o755)
	exe := filepath.Join(dir, "caller")
	if b, err := os.ReadFile("/proc/self/exe"); err != nil || os.WriteFile(exe, b, 0o755) != nil {
		t.Fatal(err)
	}
	path := start(t, Options{Path: filepath.Join(dir, "admin.sock"), AllowUIDs: []uint32{4001}, Backend: &fake{}})
	// For this test only, so that the answer is ours and not the file system's.
	if err := os.Chown(path, 0, 4242); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		uid, gid       uint32
		groups         []uint32
		open           bool // the socket's mode lets everybody connect
		status, reload bool
	}{
		{uid: 4000, gid: 4242, status: true},
		{uid: 4000, gid: 4000, groups: []uint32{4242}, status: true},
		{uid: 4000, gid: 4000},
		{uid: 4000, gid: 4000, open: true},
		{uid: 4001, gid: 4001, open: true, status: true, reload: true},
		{uid: 0, gid: 0, status: true, reload: true},
	} {
		mode := os.FileMode(0o660)
		if c.open {
			mode = 0o666
		}
		os.Chmod(path, mode)
		cmd := exec.Command(exe)
		cmd.Env = []string{helper + "=" + path}
		cmd.SysProcAttr = &syscall.SysProcAttr{Credential: &syscall.Credential{Uid: c.uid, Gid: c.gid, Groups: c.groups}}
		out, err := cmd.CombinedOutput()
		if err != nil {
			t.Fatalf("%v: %s", err, out)
		}
		if got := strings.Contains(string(out), "status: <nil>"); got != c.status {
			t.Errorf("%+v: status %v\n%s", c, got, out)
		}
		for _, what := range []string{"reload", "certificate", "lineages", "put", "report"} {
			if got := strings.Contains(string(out), what+": <nil>"); got != c.reload {
				t.Errorf("%+v: %s %v\n%s", c, what, got, out)
			}
		}
	}
}

func TestListenMakesRoom(t *testing.T) {
	dir := t.TempDir()
	stale := filepath.Join(dir, "stale.sock")
	l, err := net.ListenUnix("unix", &net.UnixAddr{Name: stale, Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	l.SetUnlinkOnClose(false)
	l.Close()
	start(t, Options{Path: stale, Backend: &fake{}})
	_, err = Listen(Options{Path: stale, Backend: &fake{}})
	if err == nil || !strings.Contains(err.Error(), fmt.Sprintf("another edge (PID %d) is running", os.Getpid())) {
		t.Errorf("two at one socket: %v", err)
	}
	file := filepath.Join(dir, "file")
	os.WriteFile(file, []byte("precious"), 0o600)
	if _, err = Listen(Options{Path: file, Backend: &fake{}}); err == nil || !strings.Contains(err.Error(), "something else is there") {
		t.Errorf("a file: %v", err)
	}
	if b, _ := os.ReadFile(file); string(b) != "precious" {
		t.Error("the file was touched")
	}
}

func TestClientErrors(t *testing.T) {
	c := NewClient(filepath.Join(t.TempDir(), "nosuch.sock"))
	ctx, cancel := context.WithTimeout(context.Background(), time.Second)
	defer cancel()
	if _, err := c.Status(ctx); err == nil || !strings.Contains(err.Error(), "no edge is running at") {
		t.Errorf("got %v", err)
	}
}
