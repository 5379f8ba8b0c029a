package edgetest

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	"github.com/miekg/dns"
)

// Knot is a real authoritative name server (Debian package knot) for one zone,
// which takes updates signed with a TSIG key.
type Knot struct {
	Addr      string
	KeyName   string
	KeySecret string // base64
	cmd       *exec.Cmd
	done      chan struct{}
	dir       string
}

// ErrNoKnot is returned where knot is not installed.
var ErrNoKnot = errors.New("knotd is not installed (Debian package knot)")

// StartKnot serves a zone in which every name that is not written lives at
// 127.0.0.1. Lines of extra go into the zone file.
func StartKnot(zone string, extra ...string) (*Knot, error) {
	bin, err := exec.LookPath("knotd")
	if err != nil {
		if _, serr := os.Stat("/usr/sbin/knotd"); serr != nil {
			return nil, ErrNoKnot
		}
		bin = "/usr/sbin/knotd"
	}
	dir, err := os.MkdirTemp("", "edge-knot-")
	if err != nil {
		return nil, err
	}
	if err := os.Mkdir(filepath.Join(dir, "db"), 0o700); err != nil {
		return nil, err
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return nil, err
	}
	addr := l.Addr().String()
	l.Close()
	k := &Knot{Addr: addr, KeyName: "edge.", KeySecret: "c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0c2VjcmV0MTI=", dir: dir, done: make(chan struct{})}
	host, port, _ := net.SplitHostPort(addr)
	conf := fmt.Sprintf(`server:
    listen: %s@%s
    rundir: %s
log:
  - target: stderr
    any: info
database:
    storage: %s/db
key:
  - id: edge.
    algorithm: hmac-sha256
    secret: %s
acl:
  - id: update
    key: edge.
    action: update
zone:
  - domain: %s
    storage: %s
    file: zone
    acl: update
    zonefile-load: whole
    zonefile-sync: -1
`, host, port, dir, dir, k.KeySecret, zone, dir)
	text := fmt.Sprintf("$ORIGIN %s.\n@ 60 SOA ns ops 1 60 60 600 1\n@ 60 NS ns\nns 60 A 127.0.0.1\n@ 60 A 127.0.0.1\n*.hosts 60 A 127.0.0.1\n", zone)
	for _, e := range extra {
		text += e + "\n"
	}
	for name, content := range map[string]string{"knot.conf": conf, "zone": text} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o644); err != nil {
			return nil, err
		}
	}
	k.cmd = exec.Command(bin, "-c", filepath.Join(dir, "knot.conf"))
	out, err := os.Create(filepath.Join(dir, "log"))
	if err != nil {
		return nil, err
	}
	defer out.Close()
	k.cmd.Stdout, k.cmd.Stderr = out, out
	if err := k.cmd.Start(); err != nil {
		return nil, err
	}
	go func() { k.cmd.Wait(); close(k.done) }()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	for tick := time.NewTicker(20 * time.Millisecond); ; {
		q := new(dns.Msg)
		q.SetQuestion(dns.Fqdn(zone), dns.TypeSOA)
		if r, err := dns.Exchange(q, addr); err == nil && len(r.Answer) == 1 {
			tick.Stop()
			return k, nil
		}
		select {
		case <-ctx.Done():
		case <-k.done:
		case <-tick.C:
			continue
		}
		tick.Stop()
		log, _ := os.ReadFile(filepath.Join(dir, "log"))
		k.Close()
		return nil, fmt.Errorf("knotd does not serve the zone: %s", log)
	}
}

// Log is what the server wrote.
func (k *Knot) Log() string {
	b, _ := os.ReadFile(filepath.Join(k.dir, "log"))
	return string(b)
}

// Close ends the server.
func (k *Knot) Close() {
	k.cmd.Process.Kill()
	<-k.done
	os.RemoveAll(k.dir)
}
