package main

import (
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
	"edge/internal/edgetest"
)

// readsFiles is a server that reads certificate and key for each connection.
func (d *deliverTo) readsFiles(cert, key string) (addr string) {
	d.t.Helper()
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		pair, err := tls.LoadX509KeyPair(cert, key)
		return &pair, err
	}})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func(c net.Conn) {
				defer c.Close()
				_ = c.(*tls.Conn).Handshake()
			}(c)
		}
	}()
	return l.Addr().String()
}

// script writes a program that fails while DIR/fail-NAME is there, and else does what it
// is for.
func (d *deliverTo) script(name, does string) (path string) {
	d.t.Helper()
	path = d.path(name + ".sh")
	text := fmt.Sprintf("#!/bin/sh\nif [ -e %s ]; then echo 'out of order'; exit 1; fi\n%s\n", d.path("fail-"+name), does)
	if err := os.WriteFile(path, []byte(strings.ReplaceAll(text, "DIR", d.dir)), 0o755); err != nil {
		d.t.Fatal(err)
	}
	return path
}

// postgresql starts one with a certificate of its own.
func (d *deliverTo) postgresql() (addr string) {
	d.t.Helper()
	all, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	u, uerr := user.Lookup("postgres")
	if err != nil || uerr != nil || len(all) == 0 {
		d.t.Fatal("there is no PostgreSQL: install postgresql (make test does)")
	}
	uid, _ := strconv.Atoi(u.Uid)
	gid, _ := strconv.Atoi(u.Gid)
	who := &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}
	if err := errors.Join(os.Chmod(d.dir, 0o755), os.Mkdir(d.path("pg"), 0o700), os.Chown(d.path("pg"), uid, gid)); err != nil {
		d.t.Fatal(err)
	}
	initdb := exec.Command(filepath.Dir(all[0])+"/initdb", "-D", d.path("pg"), "--auth=trust", "--no-sync", "--locale=C")
	initdb.Dir, initdb.SysProcAttr = d.dir, &syscall.SysProcAttr{Credential: who}
	if out, err := initdb.CombinedOutput(); err != nil {
		d.t.Fatalf("initdb: %v\n%s", err, out)
	}
	addr = fmt.Sprintf("127.0.0.1:%d", edgetest.FreePort(d.t))
	conf := fmt.Sprintf("listen_addresses = '127.0.0.1'\nport = %d\nunix_socket_directories = ''\nfsync = off\n", edgetest.Port(addr))
	if err := errors.Join(os.WriteFile(d.path("pg", "postgresql.conf"), []byte(conf), 0o600), os.Chown(d.path("pg", "postgresql.conf"), uid, gid)); err != nil {
		d.t.Fatal(err)
	}
	(&edgetest.Daemon{Argv: []string{all[0], "-D", d.path("pg")}, Dir: d.dir, Up: []string{addr}, Credential: who}).Start(d.t)
	return addr + "/postgres"
}

// showsAt is shows for an address with the protocol before TLS behind a slash.
func (d *deliverTo) showsAt(addr, name string) string {
	d.t.Helper()
	host, protocol, _ := strings.Cut(addr, "/")
	leaf, err := installers.Shows(d.t.Context(), installers.Endpoint{Addr: host, StartTLS: protocol, Name: name}, nil)
	if err != nil {
		return err.Error()
	}
	sum := sha256.Sum256(leaf.Raw)
	return hex.EncodeToString(sum[:])
}

// A certificate that goes to five places of different kinds is renewed ten times, while
// two of them fail at random: the other three have it at once each time, and after the
// last run, in which nothing fails, all five have it.
func TestFiveDeliveriesWhileTwoFail(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	const name = "shop.example.test"
	nginxHTTP, nginxTLS := d.startNginx(name)
	apache := reserve(t, 2)
	d.debiansApache(name, apache[0], apache[1])
	five := []struct{ kind, entry, addr string }{ // addr ends in the protocol before TLS
		{"files", fmt.Sprintf("{files: {dir: DIR/srv}, reload: [%s]", d.script("files", "")), d.readsFiles(d.path("srv", "fullchain.pem"), d.path("srv", "privkey.pem"))},
		{"exec", fmt.Sprintf("{exec: {command: [%s]}", d.script("exec", `mkdir -p DIR/copy; cp "$RENEWED_LINEAGE"/*.pem DIR/copy`)),
			d.readsFiles(d.path("copy", "fullchain.pem"), d.path("copy", "privkey.pem"))},
		{"nginx", fmt.Sprintf("{nginx: {server_root: DIR/nginx, ctl: %s, http_port: %d, https_port: %d}", d.script("nginx", `exec nginx "$@"`), edgetest.Port(nginxHTTP), edgetest.Port(nginxTLS)), nginxTLS},
		{"apache", fmt.Sprintf("{apache: {server_root: DIR/apache2, ctl: %s, http_port: %d, https_port: %d}", d.script("apache", `exec apache2ctl "$@"`), edgetest.Port(apache[0]), edgetest.Port(apache[1])), apache[1]},
		{"postgresql", fmt.Sprintf("{postgresql: {config: DIR/pg/postgresql.conf, dir: DIR/pgssl, reload: [%s]}", d.script("postgresql", `kill -HUP $(head -1 DIR/pg/postmaster.pid)`)), d.postgresql()},
	}
	yaml := "version: 1\nacme: {agree_tos: true}\ncertificates:\n  - name: shop\n    hosts: [" + name + "]\n    deliver:\n"
	for _, p := range five {
		yaml += "      - " + p.entry
		if p.kind == "files" || p.kind == "exec" {
			yaml += fmt.Sprintf(", verify: %q", p.addr)
		}
		yaml += "}\n"
	}
	d.configure(yaml)
	random := rand.New(rand.NewPCG(1, 2))
	for round := range 11 {
		failing := map[string]bool{}
		for _, n := range random.Perm(len(five))[:2] {
			if round < 10 {
				failing[five[n].kind] = true
			}
		}
		for _, p := range five {
			if !failing[p.kind] {
				_ = os.Remove(d.path("fail-" + p.kind))
			} else if err := os.WriteFile(d.path("fail-"+p.kind), nil, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		b := edgetest.NewChain(t, time.Now().Add(time.Hour), name)
		putLineage(t, d.path("le"), "shop", b)
		code := exitOK
		if len(failing) > 0 {
			code = exitFailed
		}
		out := d.deliver(code, "apply", "--work-dir", d.path("work"))
		if got := strings.Count(out, ": failed"); got != len(failing) {
			t.Errorf("round %d: %d deliveries failed, want %v\n%s", round, got, failing, out)
		}
		for _, p := range five {
			if got := d.showsAt(p.addr, name); (got == leafSum(b)) == failing[p.kind] {
				t.Errorf("round %d: %s shows %.12s, the new one is %.12s, it is to fail: %t\n%s", round, p.kind, got, leafSum(b), failing[p.kind], out)
			}
		}
	}
	if out := d.deliver(exitOK, "verify", "--work-dir", d.path("work")); strings.Count(out, "in_sync") != 5 {
		t.Errorf("in the end: %s", out)
	}
}
