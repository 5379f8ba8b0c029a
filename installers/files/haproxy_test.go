package files

import (
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
)

// HAProxy loads every file of a folder. It takes what several deliveries keep there,
// and nothing of their versions; it shows each renewal after a reload.
func TestHAProxy(t *testing.T) {
	program, err := exec.LookPath("/usr/sbin/haproxy")
	if err != nil {
		if os.Getenv("CI") == "true" {
			t.Fatal("haproxy is missing (Debian package haproxy)")
		}
		t.Skip("not run: haproxy is missing (Debian package haproxy)")
	}
	r := newRig(t)
	o := r.options()
	o.Layout = FullchainKey
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	addr := l.Addr().String()
	l.Close()
	item := func(name string) delivery.Item {
		o := o
		o.Name, o.Names = name, map[Part]string{File: edge.FileName(name) + ".pem"}
		it := r.item(o)
		it.Name = name
		return it
	}
	names := []string{"a.example.org", "*.b.example.org"}
	for _, n := range names {
		r.apply(item(n), r.material(n), delivery.Unverified)
	}
	conf := filepath.Join(r.dir, "haproxy.cfg")
	text := fmt.Sprintf("defaults\n mode http\n timeout client 5s\n timeout server 5s\n timeout connect 5s\nfrontend f\n bind %s ssl crt %s/ strict-sni\n http-request return status 204\n", addr, o.Dir)
	if err := os.WriteFile(conf, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	// The new process takes over from the old one, which ends when its connections have.
	pidFile := filepath.Join(r.dir, "pid")
	start := fmt.Sprintf("%s -D -f %s -p %s", program, conf, pidFile)
	if out, err := exec.Command("/bin/sh", "-c", start).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	t.Cleanup(func() {
		pid, err := strconv.Atoi(strings.TrimSpace(read(t, pidFile)))
		if err == nil && pid > 1 {
			_ = syscall.Kill(pid, syscall.SIGTERM)
		}
	})
	wait(t, "HAProxy listens", func() bool {
		c, err := net.Dial("tcp", addr)
		if err == nil {
			c.Close()
		}
		return err == nil
	})
	for range 2 {
		for _, n := range names {
			it, m := item(n), r.material(n)
			it.Verify = []installers.Endpoint{{Addr: addr}}
			it.Reload = []string{"/bin/sh", "-c", start + " -sf $(cat " + pidFile + ")"}
			if res := r.apply(it, m, delivery.InSync); !res.Changed {
				t.Errorf("%s: %+v", n, res)
			}
			r.look(it, m, delivery.InSync)
		}
	}
}
