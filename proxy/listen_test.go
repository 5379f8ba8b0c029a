package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"edge/proxy/policy"
)

func TestPortInUseNamesTheHolder(t *testing.T) {
	held, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer held.Close()
	r := rigWith(t, hello)
	set := r.set
	set.HTTP = []string{"127.0.0.1:0", held.Addr().String()}
	err = r.Apply(set)
	if !errors.Is(err, syscall.EADDRINUSE) || !strings.Contains(err.Error(), held.Addr().String()) ||
		!strings.Contains(err.Error(), fmt.Sprintf("(pid %d)", os.Getpid())) || !strings.Contains(err.Error(), "proxy.test") {
		t.Errorf("error %v", err)
	}
	// Nothing has changed.
	if len(r.Addrs()) != 2 {
		t.Errorf("addresses %v", r.Addrs())
	}
	if status, body := r.get(false, "http://example.org/"); status != 200 || body != "hello" {
		t.Errorf("after the failed reload: %d %q", status, body)
	}
}

func TestListenErrorsSayWhatToDo(t *testing.T) {
	for _, tc := range []struct {
		err  error
		want string
	}{
		{syscall.EACCES, "CAP_NET_BIND_SERVICE"},
		{syscall.EACCES, "ip_unprivileged_port_start"},
		{syscall.EADDRNOTAVAIL, "no such address"},
		{syscall.EADDRINUSE, "ss -ltnp sport = :1"},
		{syscall.ENOBUFS, "listen on 192.0.2.1:1"},
	} {
		err := explainListen("192.0.2.1:1", &net.OpError{Op: "listen", Err: os.NewSyscallError("bind", tc.err)})
		if !strings.Contains(err.Error(), tc.want) || !errors.Is(err, tc.err) {
			t.Errorf("%v: %v", tc.err, err)
		}
	}
}

// Listeners are added, removed and kept by address; an IPv6 address is as good
// as another.
func TestReloadOfListeners(t *testing.T) {
	r := rigWith(t, hello)
	kept := r.http
	set := r.set
	set.HTTP = append([]string{}, set.HTTP...)
	set.HTTP = append(set.HTTP, "[::1]:0")
	set.HTTPS = nil
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	a := r.Addrs()
	if len(a) != 2 || a[0].Addr.String() != kept || !strings.HasPrefix(a[1].Addr.String(), "[::1]:") {
		t.Fatalf("addresses %v, want %s and one on [::1]", a, kept)
	}
	if _, err := net.Dial("tcp", r.https); err == nil {
		t.Error("the removed listener still accepts")
	}
	r.http = a[1].Addr.String()
	if status, body := r.get(false, "http://example.org/"); status != 200 || body != "hello" {
		t.Errorf("over IPv6: %d %q", status, body)
	}
	// A listener that changes its role is neither closed nor bound again.
	set.HTTP, set.HTTPS = nil, r.set.HTTP
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	r.https = kept
	if status, body := r.get(true, "https://example.org/"); status != 200 || body != "hello" {
		t.Errorf("%d %q", status, body)
	}
}

// An address may be narrowed or widened in one reload, without a moment in
// which nobody listens: no new connection fails meanwhile, and the port stays ours.
func TestReloadToAnotherSpellingOfAnAddress(t *testing.T) {
	r := rigWith(t, hello)
	_, port, _ := net.SplitHostPort(r.http)
	var done, failed atomic.Int64
	var stop atomic.Bool
	var wg sync.WaitGroup
	for range 4 {
		wg.Go(func() {
			for !stop.Load() {
				if err := once("127.0.0.1:" + port); err != nil {
					failed.Add(1)
					t.Log(err)
				}
				done.Add(1)
			}
		})
	}
	for i := range 2 {
		for _, addresses := range [][]string{{":" + port}, {"127.0.0.1:" + port, "[::1]:" + port}, {"0.0.0.0:" + port}, {"localhost:" + port}, {"127.0.0.1:" + port}} {
			set := r.set
			set.HTTP, set.HTTPS = addresses, nil
			if err := r.Apply(set); err != nil {
				t.Fatalf("round %d, to %v: %v", i, addresses, err)
			}
			if addresses[0] == ":"+port || len(addresses) == 2 {
				if err := once("[::1]:" + port); err != nil {
					t.Errorf("on %v over IPv6: %v", addresses, err)
				}
			}
			for n := done.Load(); done.Load() == n; {
				runtime.Gosched()
			}
		}
	}
	stop.Store(true)
	wg.Wait()
	if n := failed.Load(); n > 0 {
		t.Errorf("%d of %d connections failed", n, done.Load())
	}
	for _, address := range []string{"127.0.0.1:" + port, ":" + port} {
		if l, err := net.Listen("tcp", address); err == nil {
			l.Close()
			t.Errorf("another socket could join the port on %s", address)
		}
	}
}

// once makes one request on a connection of its own.
func once(address string) error {
	c, err := net.Dial("tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	if err := c.SetDeadline(time.Now().Add(5 * time.Second)); err != nil {
		return err
	}
	if _, err := io.WriteString(c, get+"Connection: close\r\n\r\n"); err != nil {
		return err
	}
	b, err := io.ReadAll(c)
	if err == nil && !strings.HasSuffix(string(b), "hello") {
		err = fmt.Errorf("answered %q", b)
	}
	return err
}

// 0.0.0.0 is not another way to write all addresses of both families.
func TestIPv4AloneAndIPv6Beside(t *testing.T) {
	r := rigWith(t, hello)
	set := r.set
	set.HTTP, set.HTTPS = []string{"0.0.0.0:0"}, nil
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	_, port, _ := net.SplitHostPort(r.Addrs()[0].Addr.String())
	if err := once("127.0.0.1:" + port); err != nil {
		t.Error(err)
	}
	if err := once("[::1]:" + port); err == nil {
		t.Error("0.0.0.0 listens on IPv6")
	}
	set.HTTP = append(set.HTTP, "[::1]:"+port)
	if err := r.Apply(set); err != nil {
		t.Fatal(err)
	}
	if err := once("[::1]:" + port); err != nil {
		t.Error(err)
	}
}

func TestSettingsWithoutTableAreRefused(t *testing.T) {
	if err := New(Options{}).Apply(Settings{}); err == nil {
		t.Error("accepted")
	}
}

// TestSocketActivation hands listening sockets to a child as systemd does.
func TestSocketActivation(t *testing.T) {
	if os.Getenv("EDGE_TEST_CHILD") == "activation" {
		activationChild()
	}
	var files []*os.File
	var addrs []string
	for range 3 {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		f, err := l.(*net.TCPListener).File()
		if err != nil {
			t.Fatal(err)
		}
		defer f.Close()
		files, addrs = append(files, f), append(addrs, l.Addr().String())
	}
	cmd := exec.Command("/bin/sh", "-c", "LISTEN_PID=$$ exec \"$0\" -test.run '^TestSocketActivation$'", os.Args[0])
	cmd.Env = append(os.Environ(), "EDGE_TEST_CHILD=activation", "LISTEN_FDS=3", "LISTEN_FDNAMES=web:web:other")
	cmd.ExtraFiles = files
	out, err := cmd.CombinedOutput()
	if err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, want := range []string{"http " + addrs[0], "http " + addrs[1], "passed no socket of that name", "restored"} {
		if !strings.Contains(string(out), want) {
			t.Errorf("child said %s, want %q", out, want)
		}
	}
	if strings.Contains(string(out), "http "+addrs[2]) {
		t.Errorf("the child took a socket with another name: %s", out)
	}
}

func activationChild() {
	s := New(Options{})
	table, _ := policy.NewTable(policy.Options{})
	if err := s.Apply(Settings{HTTP: []string{"fd:web"}, Table: table}); err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	for _, a := range s.Addrs() {
		fmt.Println(a.Listener, a.Addr)
	}
	fmt.Println(s.Apply(Settings{HTTP: []string{"fd:web", "fd:nosuch"}, Table: table}))
	if s.Apply(Settings{HTTP: []string{"fd:web"}, Table: table}) == nil && len(s.Addrs()) == 2 {
		fmt.Println("restored")
	}
	s.Shutdown(context.Background())
	os.Exit(0)
}

// Running out of descriptors is waited out, not spun on.
func TestAcceptErrorsBackOff(t *testing.T) {
	l := &failingListener{fail: make(chan error, 100), Listener: mustListen(t)}
	for range 3 {
		l.fail <- &net.OpError{Op: "accept", Err: os.NewSyscallError("accept4", syscall.EMFILE)}
	}
	r := rigWith(t, hello, func(o *Options, s *Settings) {
		o.Inherited = func() (Inherited, error) {
			return Inherited{Listeners: map[string][]net.Listener{"fd:x": {l}}}, nil
		}
		s.HTTP = []string{"fd:x"}
	})
	if status, body := r.get(false, "http://example.org/"); status != 200 || body != "hello" {
		t.Errorf("%d %q", status, body)
	}
	if n := len(l.fail); n != 0 {
		t.Errorf("%d errors left", n)
	}
}

type failingListener struct {
	net.Listener
	fail chan error
}

func (l *failingListener) Accept() (net.Conn, error) {
	select {
	case err := <-l.fail:
		return nil, err
	default:
		return l.Listener.Accept()
	}
}

func mustListen(t testing.TB) net.Listener {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	return l
}

func TestConnectionsPerAddress(t *testing.T) {
	r := rigWith(t, hello, func(_ *Options, s *Settings) { s.Limits.ConnectionsPerAddress = 2 })
	a, b := r.dial(), r.dial()
	for _, c := range []net.Conn{a, b} {
		io.WriteString(c, get+"\r\n")
		if _, err := c.Read(make([]byte, 1)); err != nil {
			t.Fatal(err)
		}
	}
	if got := r.raw(get + "\r\n"); got != "" {
		t.Errorf("a third connection was answered %q", got)
	}
	a.Close()
	eventually(t, "a connection is counted out", func() bool {
		c := r.dial()
		defer c.Close()
		io.WriteString(c, get+"\r\n")
		_, err := c.Read(make([]byte, 1))
		return err == nil
	})
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if len(r.events.refused) == 0 || r.events.refused[0] != "connections_per_address" {
		t.Errorf("refusals %v", r.events.refused)
	}
}
