package sftp

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers/delivery"
	"edge/internal/durable"
	"edge/internal/edgetest"
)

// options are those of a connection to the server.
func (s *sshd) options() Options {
	return Options{Host: "127.0.0.1", Port: s.port, User: "root", Key: read(s.t, s.key), KnownHosts: s.known, Timeout: 20 * time.Second}
}

func newTarget(t *testing.T, o FileOptions) *Target {
	t.Helper()
	if o.Mode == 0 {
		o.Mode = 0o600
	}
	tg, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return tg
}

func material(t *testing.T) *delivery.Material {
	t.Helper()
	m, err := delivery.NewMaterial("one", edgetest.NewChain(t, time.Now().Add(time.Hour), "a.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// All layouts, with their modes; a file that was there keeps its owner; nobody but the
// owner can read a key on its way; what a killed run left goes.
func TestFiles(t *testing.T) {
	s, dir, m := newSSHD(t), t.TempDir(), material(t)
	at := func(name string) string { return filepath.Join(dir, name) }
	write(t, at("key"), "old", 0o640)
	if err := os.Chown(at("key"), 1234, 4321); err != nil {
		t.Fatal(err)
	}
	write(t, private(at("key")), "left", 0o644) // as a file in the way
	o := FileOptions{
		Options: s.options(), Mode: 0o640, KeyFirst: true,
		Paths: map[Part]string{Key: at("key"), Cert: at("cert"), Chain: at("chain"), Fullchain: at("fullchain"), Bundle: at("bundle")},
	}
	o.Before = func(step durable.Step, path string) error {
		if info, err := os.Stat(private(path)); step == durable.Write && (err != nil || info.Mode().Perm() != 0o700) {
			return fmt.Errorf("the folder of it: %v %v", info, err)
		}
		if info, err := os.Stat(temp(path)); step == durable.Write && (err != nil || info.Mode().Perm() != 0o600 || info.Size() != 0) {
			return fmt.Errorf("before it is written: %v %v", info, err)
		}
		return nil
	}
	tg := newTarget(t, o)
	change, err := tg.Put(t.Context(), m, nil)
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]struct {
		content string
		mode    os.FileMode
	}{
		"key": {string(m.KeyPEM), 0o640}, "cert": {string(m.CertPEM), 0o644}, "chain": {string(m.ChainPEM), 0o644},
		"fullchain": {string(m.FullChainPEM), 0o644}, "bundle": {string(m.KeyPEM) + string(m.FullChainPEM), 0o640},
	} {
		info, err := os.Stat(at(name))
		if err != nil || read(t, at(name)) != want.content || info.Mode().Perm() != want.mode {
			t.Errorf("%s: %v %v", name, info, err)
		}
		if st := info.Sys().(*syscall.Stat_t); name == "key" && (st.Uid != 1234 || st.Gid != 4321) {
			t.Errorf("it belongs to %d:%d", st.Uid, st.Gid)
		}
	}
	if why, err := tg.Look(t.Context(), m, nil); err != nil || len(why) > 0 {
		t.Errorf("%v %v", why, err)
	}
	// Nothing is to be written, and what was left goes all the same.
	if err := os.Mkdir(private(at("key")), 0o700); err != nil {
		t.Fatal(err)
	}
	write(t, temp(at("key")), "an old key", 0o600)
	if _, err := tg.Put(t.Context(), m, nil); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(private(at("key"))); err == nil {
		t.Error("an old key was left")
	}
	// Somebody else writes one of them: the undo leaves it.
	write(t, at("cert"), "theirs", 0o600)
	if err := os.Chmod(at("key"), 0o644); err != nil {
		t.Fatal(err)
	}
	if err := os.Remove(at("chain")); err != nil {
		t.Fatal(err)
	}
	if why, err := tg.Look(t.Context(), m, nil); err != nil || len(why) != 3 {
		t.Errorf("%v %v", why, err)
	}
	if err := change.Undo(t.Context()); err != nil {
		t.Fatal(err)
	}
	info, err := os.Stat(at("key"))
	if err != nil || read(t, at("key")) != "old" || info.Mode().Perm() != 0o640 || info.Sys().(*syscall.Stat_t).Uid != 1234 {
		t.Errorf("key: %v %v", info, err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 2 || read(t, at("cert")) != "theirs" {
		t.Errorf("%v %v", entries, err)
	}
}

// The command: what it says when it fails, that it is run after the files and again
// after what was there is back, and that it has an end.
func TestCommand(t *testing.T) {
	s, dir := newSSHD(t), t.TempDir()
	at, note := filepath.Join(dir, "bundle"), filepath.Join(dir, "note")
	write(t, at, "old", 0o600)
	o := FileOptions{Options: s.options(), Paths: map[Part]string{Bundle: at}, Command: "head -1 " + at + " >> " + note + "; echo first; echo 'no such service' >&2; exit 5"}
	_, err := newTarget(t, o).Put(t.Context(), material(t), nil)
	if err == nil || !strings.Contains(err.Error(), "status 5") || !strings.Contains(err.Error(), ": no such service; what was there before is back") {
		t.Errorf("%v", err)
	}
	if got := read(t, note); got != "-----BEGIN CERTIFICATE-----\nold" || read(t, at) != "old" {
		t.Errorf("it saw %q", got)
	}
	o.Command, o.CommandTimeout = "sleep 600", 300*time.Millisecond
	began := time.Now()
	if _, err := newTarget(t, o).Put(t.Context(), material(t), nil); err == nil || !strings.Contains(err.Error(), "longer than 300ms") || time.Since(began) > 20*time.Second {
		t.Errorf("%v", err)
	}
	o.Command = "head -c 10000000 /dev/zero | tr '\\0' x"
	o.CommandTimeout = 0
	if _, err := newTarget(t, o).Put(t.Context(), material(t), nil); err != nil {
		t.Errorf("much output: %v", err)
	}
}

// What is in the way is left alone, and said.
func TestInTheWay(t *testing.T) {
	s, dir := newSSHD(t), t.TempDir()
	elsewhere, large := filepath.Join(dir, "elsewhere"), filepath.Join(dir, "large")
	write(t, elsewhere, "x", 0o600)
	write(t, large, strings.Repeat("x", maxFile+1), 0o600)
	link := filepath.Join(dir, "link")
	if err := os.Symlink(elsewhere, link); err != nil {
		t.Fatal(err)
	}
	for want, at := range map[string]string{
		"is no file": link, "which no certificate has": large, "folder " + dir + "/no/such": filepath.Join(dir, "no/such/file"),
	} {
		o := FileOptions{Options: s.options(), Paths: map[Part]string{Bundle: at}}
		if _, err := newTarget(t, o).Put(t.Context(), material(t), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if read(t, elsewhere) != "x" {
		t.Error("it was written through a link")
	}
}

// A rename that fails leaves what was there, of all files, and nothing beside them.
func TestHalfWay(t *testing.T) {
	s, dir := newSSHD(t), t.TempDir()
	key, chain := filepath.Join(dir, "key"), filepath.Join(dir, "chain")
	write(t, key, "old key", 0o600)
	o := FileOptions{Options: s.options(), Paths: map[Part]string{Key: key, Fullchain: chain}}
	failed := false
	o.Before = func(step durable.Step, path string) error {
		if step == durable.Rename && path == chain && !failed {
			failed = true
			return errors.New("no luck")
		}
		return nil
	}
	if _, err := newTarget(t, o).Put(t.Context(), material(t), nil); err == nil || !strings.Contains(err.Error(), "no luck") {
		t.Errorf("%v", err)
	}
	entries, err := os.ReadDir(dir)
	if err != nil || len(entries) != 1 || read(t, key) != "old key" {
		t.Errorf("%v %v", entries, err)
	}
}

// A server without SFTP, or one that cannot replace files, is refused before anything is
// written.
func TestNoSFTP(t *testing.T) {
	s, dir := newSSHD(t), t.TempDir()
	o := FileOptions{Options: s.options(), Paths: map[Part]string{Bundle: filepath.Join(dir, "x")}}
	for want, set := range map[string]func(){
		"no SFTP for this user": func() { s.more = "ForceCommand /bin/false\n" },
		"posix-rename":          func() { s.more, s.sftp = "", "internal-sftp -P posix-rename" },
	} {
		s.stop()
		set()
		s.start()
		if _, err := newTarget(t, o).Put(t.Context(), material(t), nil); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if entries, err := os.ReadDir(dir); err != nil || len(entries) > 0 {
		t.Errorf("%v %v", entries, err)
	}
}

func TestOptions(t *testing.T) {
	good := FileOptions{Options: Options{Host: "h.test", User: "u", Password: "p", HostKey: "SHA256:" + strings.Repeat("A", 43)}, Mode: 0o600, Paths: map[Part]string{Key: "/k", Cert: "/c"}}
	for _, host := range []string{"h.test", "192.0.2.1", "::1", "2001:db8::", "fe80::1%eth0"} {
		o := good
		o.Host = host
		if _, err := New(o); err != nil {
			t.Errorf("%s: %v", host, err)
		}
	}
	for name, spoil := range map[string]func(o *FileOptions){
		"host":     func(o *FileOptions) { o.Host = "-oProxyCommand=x" },
		"user":     func(o *FileOptions) { o.User = "" },
		"port":     func(o *FileOptions) { o.Port = 70000 },
		"auth":     func(o *FileOptions) { o.Password = "" },
		"host key": func(o *FileOptions) { o.HostKey = "MD5:00" },
		"known":    func(o *FileOptions) { o.HostKey, o.KnownHosts = "", "/no/such/file" },
		"key":      func(o *FileOptions) { o.Key = "SECRET" },
		"twice":    func(o *FileOptions) { o.Paths = map[Part]string{Key: "/k", Cert: "/k"} },
		"relative": func(o *FileOptions) { o.Paths = map[Part]string{Key: "k"} },
		"dots":     func(o *FileOptions) { o.Paths = map[Part]string{Key: "/a/../k"} },
		"none":     func(o *FileOptions) { o.Paths = nil },
		"mode":     func(o *FileOptions) { o.Mode = 0o602 },
		"mode 0":   func(o *FileOptions) { o.Mode = 0 },
		"command":  func(o *FileOptions) { o.Command = "a\nb" },
	} {
		o := good
		spoil(&o)
		if _, err := New(o); err == nil || strings.Contains(err.Error(), "SECRET") {
			t.Errorf("%s: %v", name, err)
		}
	}
	for name, roots := range map[string][]string{"none": nil, "relative": {"www"}, "twice": {"/a", "/b"}, "twice for one": {"a.test=/a", "a.test=/b"}} {
		if _, err := NewAuthenticator(good.Options, roots); err == nil {
			t.Errorf("webroots: %s: taken", name)
		}
	}
}

// A machine that takes the connection and says nothing is given up.
func TestSilent(t *testing.T) {
	o := FileOptions{Options: Options{Host: "127.0.0.1", Port: freePort(t), User: "u", Password: "p", HostKey: "SHA256:" + strings.Repeat("A", 43), Timeout: 200 * time.Millisecond}, Paths: map[Part]string{Key: "/k"}}
	l := silent(t, o.Port)
	defer l.Close()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	defer cancel()
	if _, err := newTarget(t, o).Look(ctx, material(t), nil); err == nil || !strings.Contains(err.Error(), "longer than 200ms") || time.Since(began) > 10*time.Second {
		t.Errorf("%v", err)
	}
}
