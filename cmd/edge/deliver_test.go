package main

import (
	"bytes"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/internal/admin"
	"edge/internal/certbotcli"
	"edge/internal/display"
	"edge/internal/edgetest"
)

// deliverTo is a trusted folder with a configuration of the steward.
type deliverTo struct {
	t   *testing.T
	dir string
}

func newDeliverTo(t *testing.T, yaml string) *deliverTo {
	t.Helper()
	d := &deliverTo{t, trusted(t)}
	d.configure(yaml)
	return d
}

func (d *deliverTo) path(elem ...string) string {
	return filepath.Join(append([]string{d.dir}, elem...)...)
}

func (d *deliverTo) configure(yaml string) {
	d.t.Helper()
	if err := os.WriteFile(d.path("edge.yaml"), []byte(strings.ReplaceAll(yaml, "DIR", d.dir)), 0o600); err != nil {
		d.t.Fatal(err)
	}
}

// deliver runs a verb in this process and fails the test unless it ends with the code.
func (d *deliverTo) deliver(code int, args ...string) string {
	d.t.Helper()
	var stdout, stderr bytes.Buffer
	args = append([]string{"deliver"}, args...)
	args = append(args, "--config", d.path("edge.yaml"), "--state-dir", d.path("state"), "--config-dir", d.path("le"))
	d.t.Setenv("EDGE_TEXTFILE_DIR", d.dir)
	if got := run(context.Background(), args, &stdout, &stderr); got != code {
		d.t.Fatalf("%v: exit status %d, want %d\n%s%s", args, got, code, &stdout, &stderr)
	}
	return stdout.String() + stderr.String()
}

func (d *deliverTo) read(elem ...string) string {
	d.t.Helper()
	b, err := os.ReadFile(d.path(elem...))
	if err != nil {
		d.t.Fatal(err)
	}
	return string(b)
}

const deliveredSite = `  - hosts: [shop.example.test]
    proxy: BACKEND
    deliver:
      - files: {dir: DIR/srv, layout: fullchain+key}
      - exec: {command: [sh, -c, 'cat "$RENEWED_LINEAGE/fullchain.pem" > DIR/told; echo "$RENEWED_DOMAINS" > DIR/domains']}
`

// From the door to a folder and a program: the door names the host in its spool, the
// run that the path unit starts fetches the certificate and delivers it; so with the
// next certificate.
func TestDeliverFromTheDoor(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	d := newDeliverTo(t, "version: 1\n")
	if err := os.WriteFile(d.path("ca.pem"), r.ca.ServerRoots(), 0o600); err != nil {
		t.Fatal(err)
	}
	path := r.configure(strings.ReplaceAll(deliveredSite, "DIR", d.dir))
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	d.configure(string(text))
	spool := r.dir + "/state/deliver"
	for n := range 2 {
		r.start()
		r.eventually(func() error {
			_, err := os.Stat(spool + "/shop.example.test")
			return err
		})
		if out := d.deliver(exitOK, "apply", "--spool", spool); strings.Count(out, "delivered now") != 2 {
			t.Errorf("run %d: %s", n, out)
		}
		leaf, err := r.handshake("shop.example.test")
		if err != nil {
			t.Fatal(err)
		}
		pair, err := tls.LoadX509KeyPair(d.path("srv", "shop.example.test.pem"), d.path("srv", "shop.example.test.pem"))
		if err != nil || !pair.Leaf.Equal(leaf) {
			t.Errorf("run %d: the file has another certificate than the door serves (%v)", n, err)
		}
		if !strings.HasPrefix(d.read("srv", "shop.example.test.pem"), d.read("told")) || d.read("domains") != "shop.example.test\n" {
			t.Errorf("run %d: the program was told otherwise", n)
		}
		if left, err := os.ReadDir(spool); err != nil || len(left) != 0 {
			t.Errorf("run %d: the spool has %v %v", n, left, err)
		}
		// Another name in the spool is no reason to do anything.
		if err := os.WriteFile(spool+"/other.example.test", nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if out := d.deliver(exitOK, "apply", "--spool", spool); !strings.Contains(out, "named a host that is not delivered") || strings.Contains(out, "->") {
			t.Errorf("run %d: %s", n, out)
		}
		if out := d.deliver(exitOK, "verify"); strings.Count(out, "unverified") != 2 {
			t.Errorf("run %d: %s", n, out)
		}
		told := map[string][sha256.Size]byte{}
		for _, want := range []int{1, 0} { // a change is told of once
			r.door.spoolChanged(told)
			if names, err := takeSpool(spool, untold); err != nil || len(names) != want {
				t.Errorf("run %d: the door names %q, want %d (%v)", n, names, want, err)
			}
		}
		r.stop()
		// The next door obtains another one.
		if err := os.RemoveAll(r.dir + "/state/certificates"); err != nil {
			t.Fatal(err)
		}
	}
	if out := d.deliver(exitFailed, "verify"); !strings.Contains(out, "no edge is running at the admin socket") {
		t.Errorf("without a door: %s", out)
	}
}

// lyingDoor is a front door that somebody took over.
type lyingDoor struct {
	admin.Backend
	b   edge.Bundle
	err error
}

func (l *lyingDoor) Certificate(string) (edge.Bundle, error) { return l.b, l.err }

// answer has a door answer at the socket in the test's folder.
func (d *deliverTo) answer(door admin.Backend) {
	d.t.Helper()
	s, err := admin.Listen(admin.Options{Path: d.path("admin.sock"), Backend: door, Log: slog.New(slog.DiscardHandler)})
	if err != nil {
		d.t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	ended := make(chan error)
	go func() { ended <- s.Serve(ctx) }()
	d.t.Cleanup(func() {
		cancel()
		<-ended
	})
}

// What a door that was taken over can do: nothing is delivered that is not a
// certificate of the host with its key, and what was delivered stays.
func TestDeliverFromALyingDoor(t *testing.T) {
	d := newDeliverTo(t, `version: 1
acme: {agree_tos: true}
admin: {socket: DIR/admin.sock}
sites:
  - hosts: [shop.example.test]
    proxy: http://127.0.0.1:1
    deliver: [{files: {dir: DIR/srv}}]
`)
	door := &lyingDoor{}
	d.answer(door)
	later := time.Now().Add(time.Hour)
	good, other := edgetest.NewChain(t, later, "shop.example.test"), edgetest.NewChain(t, later, "evil.example.test")
	door.b = good
	d.deliver(exitOK, "apply")
	for name, c := range map[string]struct {
		door lyingDoor
		code int
		want string
	}{
		"other host": {lyingDoor{b: other}, exitFailed, "it is not for shop.example.test but for evil.example.test"},
		"other key":  {lyingDoor{b: edge.Bundle{Chain: good.Chain, Key: other.Key}}, exitFailed, "does not belong to it"},
		"over":       {lyingDoor{b: edgetest.NewChain(t, time.Now().Add(-time.Minute), "shop.example.test")}, exitFailed, "which is not now"},
		"garbage":    {lyingDoor{b: edge.Bundle{Chain: bytes.Repeat([]byte("x"), 1<<20)}}, exitFailed, "at most"},
		"nothing":    {lyingDoor{}, exitFailed, "no certificate in PEM form"},
		"error":      {lyingDoor{err: io.ErrUnexpectedEOF}, exitFailed, "unexpected EOF"},
		"none yet":   {lyingDoor{err: admin.ErrNotFound}, exitOK, "waiting"},
	} {
		*door = c.door
		if out := d.deliver(c.code, "apply"); !strings.Contains(out, c.want) {
			t.Errorf("%s: %s", name, out)
		}
		if d.read("srv", "fullchain.pem") != string(good.Chain) || d.read("srv", "privkey.pem") != string(good.Key) {
			t.Fatalf("%s: what was delivered is gone", name)
		}
	}
	if !strings.Contains(d.read("edge-deliver.prom"), `edge_delivery_in_sync{name="shop.example.test"`) {
		t.Error("no metrics")
	}
}

// Drift is what the live server shows, whatever lies on the disk.
func TestDeliverVerifiesTheLiveServer(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	bundle := edgetest.NewChain(t, time.Now().Add(time.Hour), "mail.example.test", "imap.example.test")
	putLineage(t, d.path("le"), "mail", bundle)
	pair, err := tls.X509KeyPair(bundle.Chain, bundle.Key)
	if err != nil {
		t.Fatal(err)
	}
	served := make(chan tls.Certificate, 1)
	served <- pair
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{GetCertificate: func(*tls.ClientHelloInfo) (*tls.Certificate, error) {
		p := <-served
		served <- p
		return &p, nil
	}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
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
	d.configure(fmt.Sprintf(`version: 1
acme: {agree_tos: true}
certificates:
  - name: mail
    hosts: [mail.example.test, imap.example.test]
    deliver: [{files: {dir: DIR/srv}, verify: "%s"}]
`, l.Addr()))
	if out := d.deliver(exitOK, "apply"); !strings.Contains(out, "in sync, delivered now") {
		t.Errorf("%s", out)
	}
	if out := d.deliver(exitOK, "verify"); !strings.Contains(out, "in_sync") {
		t.Errorf("%s", out)
	}
	wrong := edgetest.NewChain(t, time.Now().Add(time.Hour), "mail.example.test")
	other, err := tls.X509KeyPair(wrong.Chain, wrong.Key)
	if err != nil {
		t.Fatal(err)
	}
	<-served
	served <- other
	out := d.deliver(exitFailed, "verify")
	for _, want := range []string{"drifted", "mail.example.test at " + l.Addr().String() + " shows another certificate", "imap.example.test at"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %q", out, want)
		}
	}
	if prom := d.read("edge-deliver.prom"); !strings.Contains(prom, `edge_delivery_in_sync{name="mail",place="`+d.path("srv")+`",target="files"} 0`) {
		t.Errorf("%s", prom)
	}
}

// A renewal delivers what it renewed, and says what failed.
func TestDeliverAfterRenew(t *testing.T) {
	d := newDeliverTo(t, `version: 1
acme: {agree_tos: true}
certificates:
  - {name: mail, hosts: [mail.example.test], deliver: [{files: {dir: DIR/srv}}]}
  - {name: web, hosts: [web.example.test], deliver: [{exec: {command: ["false"]}}]}
`)
	t.Setenv("EDGE_TEXTFILE_DIR", "")
	for _, n := range []string{"mail", "web"} {
		putLineage(t, d.path("le"), n, edgetest.NewChain(t, time.Now().Add(time.Hour), n+".example.test"))
	}
	for _, args := range [][]string{{"renew", "--dry-run"}, {"certificates"}} {
		c, _ := d.client(args...)
		if err := c.deliver(t.Context()); err != nil {
			t.Errorf("%v: %v", args, err)
		}
	}
	if _, err := os.Stat(d.path("srv")); err == nil {
		t.Fatal("a dry run has delivered")
	}
	c, out := d.client("renew", "--cert-name", "mail")
	if err := c.deliver(t.Context()); err != nil || !strings.Contains(out.String(), "mail -> files "+d.path("srv")+": unverified, delivered now") {
		t.Errorf("%v: %s", err, out)
	}
	c, out = d.client("renew")
	if err := c.deliver(t.Context()); err == nil || !strings.Contains(err.Error(), "1 of 2 deliveries failed") || !strings.Contains(err.Error(), "web -> exec false: failed") || out.Len() > 0 {
		t.Errorf("%v: %s", err, out)
	}
}

// client is a run of a verb of the certificate client on the folders of the test.
func (d *deliverTo) client(args ...string) (*client, *bytes.Buffer) {
	d.t.Helper()
	args = append(args, "--config-dir", d.path("le"), "--work-dir", d.path("work"), "--logs-dir", d.path("logs"), "--edge-config", d.path("edge.yaml"))
	o, err := certbotcli.Parse(args, certbotcli.Env{Program: "edge"})
	if err != nil {
		d.t.Fatal(err)
	}
	var out bytes.Buffer
	return &client{o: o, program: "edge", logger: slog.New(slog.DiscardHandler), display: display.NewNonInteractive(&out, display.Options{})}, &out
}

// Programs are found where cron's PATH does not lead, and nowhere else.
func TestLocated(t *testing.T) {
	t.Setenv("PATH", "/usr/bin:/bin")
	sbin := ""
	for _, name := range []string{"chroot", "useradd", "ldconfig"} {
		if _, err := os.Stat("/usr/sbin/" + name); err == nil {
			sbin = name
		}
	}
	for _, c := range [][2]string{
		{"sh -c x", "sh -c x"}, {sbin + " -x", "/usr/sbin/" + sbin + " -x"}, {"/bin/sh " + sbin, "/bin/sh " + sbin}, {"nosuchprogram", "nosuchprogram"},
		{"env A=b C= " + sbin + " D=e", "env A=b C= /usr/sbin/" + sbin + " D=e"}, {"env A=b", "env A=b"}, {"env", "env"},
	} {
		if got := strings.Join(located(strings.Split(c[0], " ")), " "); got != c[1] {
			t.Errorf("%q: %q, want %q", c[0], got, c[1])
		}
	}
	if out, err := runProgram(t.Context(), []string{sbin, "--version"}); err != nil && strings.Contains(err.Error(), "not found") {
		t.Errorf("%s %v", out, err)
	}
}
