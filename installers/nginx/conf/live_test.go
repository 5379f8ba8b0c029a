package conf

import (
	"bufio"
	"errors"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
)

// start runs nginx on the nginx.conf of a folder until the test ends. It returns when
// nginx listens: it says which event method it uses after that.
func start(t *testing.T, dir string) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), nginxBinary(t), "-e", "stderr", "-c", filepath.Join(dir, "nginx.conf"), "-p", dir,
		"-g", "daemon off; master_process off; error_log stderr notice; pid "+dir+"/nginx.pid;")
	cmd.SysProcAttr = &syscall.SysProcAttr{Pdeathsig: syscall.SIGKILL}
	stderr, err := cmd.StderrPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(stderr)
	var said []string
	for lines.Scan() {
		said = append(said, lines.Text())
		if strings.Contains(lines.Text(), "event method") {
			done := make(chan struct{})
			go func() {
				defer close(done)
				io.Copy(io.Discard, stderr)
			}()
			t.Cleanup(func() {
				cmd.Process.Kill()
				<-done
				cmd.Wait()
			})
			return
		}
	}
	t.Fatalf("nginx did not start: %v\n%s", cmd.Wait(), strings.Join(said, "\n"))
}

// asked are the hosts that every scenario is asked for.
var asked = []string{
	"a.test", "A.Test", "a.test.", "a.test:80", "www.a.test", "x.www.a.test", "b.test", "www.b.test", "x.b.test", "c.test", "test", "x.test",
	"www", "www.x", "www.a", "www.a.com", "www.a.com.net", "a.com", "foo.com", "a.1", ".a.test", "1.2.3.4", "[::1]", "xwww.b.test", "axtest",
	"*.a.test", "w-w_w.test", "aa.test", "abcdefgh.test", "",
}

var names = []string{
	"a.test", "b.test", "www.a.test", "WWW.B.test", `""`, "test", "a.com", "$hostname", "1.2.3.4",
	"*.a.test", "*.test", "*.www.a.test", ".a.test", ".test", ".www.b.test", ".b.test",
	"www.*", "www.a.*", "a.*", "www.a.com.*",
	`~^www\.`, `~^(?<n>[a-z]+)\.test$`, `~\.test$`, `"~^.{4,6}$"`, `~A\.TEST$`, `~^\w+\.\d+$`, `~^(a|b)\.test$`, `~^(?P<x>.+)\.com$`, `~^[^.]+\.test$`,
	`"~^[[:alpha:]]{1,2}\.test\Z"`, `~^(?i:AXTEST)`, `"~^(?'q'x+)\."`, `~^\x61\.`, `~^[\w.-]+_w`, `~^(?:www\.)?b`, `~^x?+\.`, `~(\w)\1`, `~^(?!www\.)(?<d>.+)$`, `~^(?=a)`,
}

var listens = []string{"127.0.0.1:%d", "127.0.0.1:%d", "127.0.0.2:%d", "%d", "*:%d", "0.0.0.0:%d", "[::1]:%d", "[::]:%d", "localhost:%d"}

// scenario makes server blocks at random that share a port.
func scenario(rng *rand.Rand, port int) string {
	var b strings.Builder
	pool := listens
	if rng.IntN(5) == 0 {
		pool = listens[7:8] // for IPv4 as well: Linux lets nothing else bind to the port
	}
	both := len(pool) == 1
	for id := range 1 + rng.IntN(5) {
		fmt.Fprintf(&b, "server {\n")
		for _, i := range rng.Perm(len(pool))[:min(len(pool), 1+rng.IntN(2))] {
			l := fmt.Sprintf(pool[i], port)
			if both {
				l, both = l+" ipv6only=off", false
			}
			if rng.IntN(6) == 0 {
				l += " default_server"
			}
			fmt.Fprintf(&b, " listen %s;\n", l)
		}
		if n := rng.IntN(5); n > 0 {
			b.WriteString(" server_name")
			for range n {
				b.WriteString(" " + names[rng.IntN(len(names))])
			}
			b.WriteString(";\n")
		}
		fmt.Fprintf(&b, " return 200 \"%d\";\n}\n", id)
	}
	return b.String()
}

func env() Env {
	return Env{Resolve: func(host string) ([]netip.Addr, error) {
		if host == "localhost" {
			return []netip.Addr{netip.MustParseAddr("127.0.0.1")}, nil
		}
		return nil, errors.New("unknown")
	}}
}

// nginx is asked which of its server blocks answers, for server blocks made at random.
func TestChoiceAsNginx(t *testing.T) {
	rng := rand.New(rand.NewPCG(3, 4))
	const runs = 70
	models := map[int]*HTTP{}
	var all strings.Builder
	refused := 0
	dir := t.TempDir()
	for port := 2000; port < 2000+runs; port++ {
		src := scenario(rng, port)
		write(t, dir, map[string]string{"nginx.conf": "events{}\nhttp{\n" + src + "}\n"})
		h := mustHTTP(t, mustLoad(t, filepath.Join(dir, "nginx.conf")), env())
		out, ok := nginx(t, dir, "-t")
		if ok != (h.Conflict() == nil) {
			t.Errorf("%s\nnginx: %s\nwe: %v", src, out, h.Conflict())
		}
		if !ok {
			refused++
			continue
		}
		models[port] = h
		all.WriteString(src)
	}
	if refused < 3 || refused > runs/2 {
		t.Errorf("%d of %d are refused: that tells little", refused, runs)
	}
	write(t, dir, map[string]string{"nginx.conf": "events{ worker_connections 8192; }\nhttp{\naccess_log off; keepalive_requests 1000;\n" + all.String() + "}\n"})
	start(t, dir)
	seen := map[string]int{}
	for port, h := range models {
		for _, addr := range []string{"127.0.0.1", "127.0.0.2", "::1"} {
			compareChoices(t, h, netip.AddrPortFrom(netip.MustParseAddr(addr), uint16(port)), seen)
		}
	}
	t.Logf("%v", seen)
	for _, what := range []string{"default", "undecided", "no socket", "exact", "dotted", "leading", "trailing", "regex"} {
		if seen[what] < 20 {
			t.Errorf("%s happened %d times only", what, seen[what])
		}
	}
}

// compareChoices asks nginx at an address for every host.
func compareChoices(t *testing.T, h *HTTP, to netip.AddrPort, seen map[string]int) {
	t.Helper()
	conn, err := net.DialTimeout("tcp", to.String(), 10*time.Second)
	if s := h.Socket(to); (s == nil) != errors.Is(err, syscall.ECONNREFUSED) {
		t.Errorf("%s: socket %v, nginx: %v", to, s, err)
		return
	}
	if err != nil {
		seen["no socket"]++
		if _, err := h.Choose(to, "a.test"); !errors.Is(err, ErrNoSocket) {
			t.Errorf("%s: %v", to, err)
		}
		return
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(20 * time.Second))
	answers := bufio.NewReader(conn)
	hostname, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	for _, host := range append([]string{hostname}, asked...) {
		request := "GET / HTTP/1.1\r\nHost: " + host + "\r\n\r\n"
		if host == "" {
			request = "GET / HTTP/1.0\r\n\r\n" // the last one: nginx closes
		}
		io.WriteString(conn, request)
		res, err := http.ReadResponse(answers, nil)
		if err != nil {
			t.Fatalf("%s %q: %v", to, host, err)
		}
		body, err := io.ReadAll(res.Body)
		if err != nil || res.StatusCode != 200 {
			t.Fatalf("%s %q: %v %s", to, host, err, res.Status)
		}
		c, err := h.Choose(to, host)
		var undecided *UndecidedError
		switch {
		case errors.As(err, &undecided):
			seen["undecided"]++
			if !slices.ContainsFunc(undecided.Candidates, func(s *Server) bool { return id(s) == string(body) }) {
				t.Errorf("%s %q: nginx takes %s, which is not among those of %v", to, host, body, err)
			}
		case err != nil:
			t.Errorf("%s %q: %v", to, host, err)
		case id(c.Server) != string(body):
			t.Errorf("%s %q: nginx takes %s, we %s by %+v in\n%s", to, host, body, id(c.Server), c.Name, h.Servers[0].Directive.File.Src)
		case c.Name == nil:
			seen["default"]++
		default:
			seen[[]string{"exact", "dotted", "leading", "trailing", "regex"}[c.Name.Kind]]++
		}
	}
}

// id returns what a server block of these tests answers.
func id(s *Server) string { return s.Own("return")[0].Args()[1].Value }
