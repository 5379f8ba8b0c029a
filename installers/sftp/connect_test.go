package sftp

import (
	"crypto/ed25519"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
)

func silent(t *testing.T, port int) net.Listener {
	t.Helper()
	l, err := net.Listen("tcp", fmt.Sprintf("127.0.0.1:%d", port))
	if err != nil {
		t.Fatal(err)
	}
	return l // the kernel takes connections
}

// The host key is checked in every way that it can be given, and what is wrong is said
// with what to do.
func TestHostKeys(t *testing.T) {
	s := newSSHD(t)
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(s.publicKey))
	if err != nil {
		t.Fatal(err)
	}
	fingerprint := ssh.FingerprintSHA256(public)
	file := func(content string) string {
		path := filepath.Join(t.TempDir(), "known")
		write(t, path, content, 0o600)
		return path
	}
	host := fmt.Sprintf("[127.0.0.1]:%d", s.port)
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-C", "test", "-f", filepath.Join(s.dir, "other"))
	other := strings.TrimSpace(read(t, filepath.Join(s.dir, "other.pub")))
	home := t.TempDir()
	run(t, "mkdir", filepath.Join(home, ".ssh"))
	write(t, filepath.Join(home, ".ssh", "known_hosts"), host+" "+s.publicKey+"\n", 0o600)
	empty := file("")
	for name, c := range map[string]struct {
		change func(o *Options)
		want   []string
	}{
		"file":              {func(*Options) {}, nil},
		"home":              {func(o *Options) { o.KnownHosts, o.Home = "", home }, nil},
		"fingerprint":       {func(o *Options) { o.KnownHosts, o.HostKey = "", fingerprint }, nil},
		"key":               {func(o *Options) { o.KnownHosts, o.HostKey = "", s.publicKey }, nil},
		"unknown":           {func(o *Options) { o.KnownHosts = empty }, []string{"not known", fingerprint, "add this line to " + empty + ": " + host + " " + strings.TrimSuffix(s.publicKey, " test")}},
		"no files":          {func(o *Options) { o.KnownHosts, o.Home = "", t.TempDir() }, []string{"not known", "/.ssh/known_hosts"}},
		"changed":           {func(o *Options) { o.KnownHosts = file(host + " " + other + "\n") }, []string{"somebody may be in between", fingerprint, "line 1"}},
		"revoked":           {func(o *Options) { o.KnownHosts = file("@revoked " + host + " " + s.publicKey + "\n") }, []string{"was revoked"}},
		"other fingerprint": {func(o *Options) { o.HostKey = "SHA256:" + strings.Repeat("A", 43) }, []string{"it shows the host key", fingerprint}},
		"other key":         {func(o *Options) { o.HostKey = other }, []string{"it shows the host key", fingerprint}},
	} {
		o := s.options()
		c.change(&o)
		m, err := newMachine(o)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r, err := m.open(t.Context())
		if r != nil {
			r.close()
		}
		if (err == nil) != (c.want == nil) {
			t.Errorf("%s: %v", name, err)
		}
		for _, w := range c.want {
			if err != nil && !strings.Contains(err.Error(), w) {
				t.Errorf("%s: %v, want %q", name, err, w)
			}
		}
	}
}

// A machine with several host keys shows one that is known.
func TestSeveralHostKeys(t *testing.T) {
	s := newSSHD(t)
	s.stop()
	run(t, "ssh-keygen", "-q", "-t", "rsa", "-b", "2048", "-N", "", "-C", "test", "-f", filepath.Join(s.dir, "rsa"))
	s.more = "HostKey " + filepath.Join(s.dir, "rsa") + "\n"
	s.start()
	line := strings.TrimSpace(read(t, filepath.Join(s.dir, "rsa.pub")))
	public, _, _, _, err := ssh.ParseAuthorizedKey([]byte(line))
	if err != nil {
		t.Fatal(err)
	}
	write(t, s.known, fmt.Sprintf("[127.0.0.1]:%d %s\n", s.port, line), 0o600)
	for name, change := range map[string]func(o *Options){
		"file": func(*Options) {}, "fingerprint": func(o *Options) { o.HostKey = ssh.FingerprintSHA256(public) }, "key": func(o *Options) { o.HostKey = line },
	} {
		o := s.options()
		change(&o)
		m, err := newMachine(o)
		if err != nil {
			t.Fatal(err)
		}
		r, err := m.open(t.Context())
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		r.close()
	}
}

// Keys: encrypted ones, ones of somebody else. Nothing of them is in an error.
func TestKeys(t *testing.T) {
	s := newSSHD(t)
	locked := filepath.Join(s.dir, "locked")
	run(t, "cp", s.key, locked)
	run(t, "ssh-keygen", "-q", "-p", "-P", "", "-N", "open sesame", "-f", locked)
	o := s.options()
	o.Key = read(t, locked)
	for password, want := range map[string]string{"open sesame": "", "wrong": "cannot be read with key_password", "": "it is encrypted"} {
		o.KeyPassword = password
		m, err := newMachine(o)
		if err == nil {
			var r *remote
			if r, err = m.open(t.Context()); err == nil {
				r.close()
			}
		}
		if (err == nil) != (want == "") || err != nil && !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v", password, err)
		}
	}
	run(t, "ssh-keygen", "-q", "-t", "ed25519", "-N", "", "-f", filepath.Join(s.dir, "other"))
	o = s.options()
	o.Key = read(t, filepath.Join(s.dir, "other"))
	m, err := newMachine(o)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := m.open(t.Context()); err == nil || !strings.Contains(err.Error(), "unable to authenticate") || strings.Contains(err.Error(), "OPENSSH") {
		t.Errorf("%v", err)
	}
}

// passwordServer takes one password, as "password" or by a question.
func passwordServer(t *testing.T, password string, ask bool, question string) (port int, key ssh.PublicKey) {
	t.Helper()
	_, private, err := ed25519.GenerateKey(rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := ssh.NewSignerFromKey(private)
	if err != nil {
		t.Fatal(err)
	}
	config := &ssh.ServerConfig{}
	config.AddHostKey(signer)
	if ask {
		config.KeyboardInteractiveCallback = func(_ ssh.ConnMetadata, client ssh.KeyboardInteractiveChallenge) (*ssh.Permissions, error) {
			got, err := client("", "", []string{question}, []bool{question == "Name: "})
			if err != nil || len(got) != 1 || got[0] != password {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	} else {
		config.PasswordCallback = func(_ ssh.ConnMetadata, got []byte) (*ssh.Permissions, error) {
			if string(got) != password {
				return nil, errors.New("no")
			}
			return nil, nil
		}
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.SetDeadline(time.Now().Add(10 * time.Second))
				if conn, _, _, err := ssh.NewServerConn(c, config); err == nil {
					_ = conn.Wait()
				}
			}()
		}
	}()
	return l.Addr().(*net.TCPAddr).Port, signer.PublicKey()
}

func TestPasswords(t *testing.T) {
	for _, c := range []struct {
		password string
		ask      bool
		question string
		ok       bool
	}{
		{"hunter2", false, "", true}, {"hunter2", true, "Password: ", true}, {"hunter3", false, "", false}, {"hunter3", true, "Password: ", false}, {"hunter2", true, "Name: ", false},
	} {
		port, key := passwordServer(t, "hunter2", c.ask, c.question)
		m, err := newMachine(Options{Host: "127.0.0.1", Port: port, User: "u", Password: c.password, HostKey: ssh.FingerprintSHA256(key)})
		if err != nil {
			t.Fatal(err)
		}
		ctx, cancel := within(t.Context(), 10*time.Second)
		r, err := m.login(ctx)
		if r != nil {
			_ = r.conn.Close()
		}
		cancel()
		if (err == nil) != c.ok || err != nil && strings.Contains(err.Error(), c.password) {
			t.Errorf("%+v: %v", c, err)
		}
	}
	m := &machine{o: Options{Password: "hunter2"}}
	if got := m.said([]byte("a\nlogin with hunter2 failed\n")); got != ": login with [secret] failed" {
		t.Errorf("%q", got)
	}
}
