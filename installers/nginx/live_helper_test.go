package nginx

import (
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"io/fs"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/installers"
)

func program(t testing.TB) string {
	t.Helper()
	path, err := findProgram("")
	switch {
	case err == nil:
	case os.Getenv("CI") != "true":
		t.Skip("not run: nginx is not installed (Debian package nginx-light)")
	default:
		t.Fatal(err)
	}
	return path
}

// start runs nginx with its master process until the test ends, and returns the number of
// that.
func (l *lab) start(t testing.TB) int {
	t.Helper()
	return l.startIn(t, "")
}

// startIn has a shell make mounts first, which only nginx sees. The command is in its
// arguments.
func (l *lab) startIn(t testing.TB, mounts string) int {
	t.Helper()
	said, err := os.Create(filepath.Join(l.dir, "said"))
	if err != nil {
		t.Fatal(err)
	}
	argv := []string{program(t), "-c", l.root + "/nginx.conf", "-g", "daemon off;"}
	attr := &syscall.SysProcAttr{Pdeathsig: syscall.SIGTERM}
	if mounts != "" {
		argv = append([]string{"sh", "-ec", mounts + "\nexec \"$@\"", "sh"}, argv...)
		attr.Unshareflags = syscall.CLONE_NEWNS
	}
	cmd := exec.Command(argv[0], argv[1:]...)
	cmd.Stdout, cmd.Stderr, cmd.SysProcAttr = said, said, attr
	cmd.Env = append(os.Environ(), "DIR="+l.dir)
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		_ = cmd.Wait() // however it ends
		close(done)
	}()
	t.Cleanup(func() {
		_ = cmd.Process.Signal(syscall.SIGCONT)
		_ = cmd.Process.Signal(syscall.SIGTERM)
		<-done
		_ = said.Close()
	})
	pidFile := filepath.Join(l.dir, "work/nginx.pid")
	wait(t, "nginx runs", func() bool {
		select {
		case <-done:
			t.Fatalf("nginx ended: %s", read(t, said.Name()))
		default:
		}
		b, err := os.ReadFile(pidFile)
		return err == nil && strings.TrimSpace(string(b)) == fmt.Sprint(cmd.Process.Pid)
	})
	return cmd.Process.Pid
}

// wait waits for a condition.
func wait(t testing.TB, what string, ok func() bool) {
	t.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for !ok() {
		if time.Now().After(deadline) {
			t.Fatalf("it did not come about that %s", what)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

// nextPort is below the ports that the kernel gives to connections, so that nobody takes one
// before nginx does.
var nextPort atomic.Uint32

// ports returns free ports of all addresses of this machine.
func ports(t testing.TB, n int) []uint16 {
	t.Helper()
	nextPort.CompareAndSwap(0, 10000+uint32(os.Getpid()*97%15000))
	var out []uint16
	for len(out) < n {
		port := nextPort.Add(1)
		if port > 32000 {
			t.Fatal("no free ports are left")
		}
		if l, err := net.Listen("tcp", fmt.Sprintf(":%d", port)); err == nil {
			_ = l.Close() // only tried
			out = append(out, uint16(port))
		}
	}
	return out
}

func (l *lab) runner() *installers.Runner {
	return &installers.Runner{Work: l.dir + "/work", Verify: 5 * time.Second}
}

// snapshot is every byte, mode and link below a folder.
func snapshot(t testing.TB, dir string) map[string]string {
	t.Helper()
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		text := info.Mode().String()
		switch {
		case d.Type()&fs.ModeSymlink != 0:
			target, err := os.Readlink(p)
			out[p] = text + " " + target
			return err
		case d.Type().IsRegular():
			b, err := os.ReadFile(p)
			out[p] = fmt.Sprintf("%s %x", text, sha256.Sum256(b))
			return err
		}
		out[p] = text
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

// same compares a folder with what it was.
func same(t testing.TB, dir string, before map[string]string) {
	t.Helper()
	after := snapshot(t, dir)
	for p, what := range before {
		if after[p] != what {
			t.Errorf("%s was %q and is %q", p, what, after[p])
		}
	}
	for p := range after {
		if _, ok := before[p]; !ok {
			t.Errorf("%s is new", p)
		}
	}
}

// get makes a plain request to an address, and returns the status, body and Location.
func get(t testing.TB, addr, host, path string) (int, string, string) {
	t.Helper()
	client := &http.Client{
		Transport: &http.Transport{DisableKeepAlives: true, DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return new(net.Dialer).DialContext(ctx, "tcp", addr)
		}},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Timeout:       5 * time.Second,
	}
	r, err := client.Get("http://" + host + path)
	if err != nil {
		return 0, err.Error(), ""
	}
	defer r.Body.Close()
	b, err := io.ReadAll(io.LimitReader(r.Body, 1<<16))
	if err != nil {
		return 0, err.Error(), ""
	}
	return r.StatusCode, string(b), r.Header.Get("Location")
}

// leaf is the SHA-256 of the certificate that an address shows for a name.
func leaf(t testing.TB, addr, name string) [32]byte {
	t.Helper()
	c, err := tls.DialWithDialer(&net.Dialer{Timeout: 5 * time.Second}, "tcp", addr, &tls.Config{ServerName: name, InsecureSkipVerify: true})
	if err != nil {
		return [32]byte{}
	}
	defer c.Close()
	return sha256.Sum256(c.ConnectionState().PeerCertificates[0].Raw)
}

// wanted is that of the certificate of a request.
func wanted(t testing.TB, r installers.Request) [32]byte {
	t.Helper()
	c := leafOf(r.Certificate.FullChain)
	if c != nil {
		return sha256.Sum256(c.Raw)
	}
	t.Fatalf("no certificate in %s", r.Certificate.FullChain)
	return [32]byte{}
}

func http01(names ...string) []edge.Answer {
	var out []edge.Answer
	for i, n := range names {
		token := fmt.Sprintf("token-%d_%x", i, sha256.Sum256([]byte(n)))
		out = append(out, edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: n}, Token: token, KeyAuth: token + ".thumb"})
	}
	return out
}

// rollback takes back everything that was installed.
func (l *lab) rollback(t testing.TB, runner *installers.Runner) {
	t.Helper()
	find := func(string) installers.Server { return l.nginx }
	if _, err := runner.Rollback(t.Context(), 1000, find, false); err != nil {
		t.Fatal(err)
	}
}
