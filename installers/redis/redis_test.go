package redis

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/directive"
	"edge/internal/edgetest/targettest"
)

// What Redis reads, read the same; what is changed is a line, and nothing else.
func TestConf(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) {
		t.Helper()
		if err := os.WriteFile(filepath.Join(dir, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	write("a.conf", "TLS-Cert-File \"/a b\\x41\\\"\"\r\n# tls-cert-file /c\n")
	write("b.conf", "  tls-key-file '/it\\'s'  \n")
	write("main", "port 0\ntls-cert-file /first\ninclude "+dir+"/*.conf\nbind 10.0.0.1 -::1\nlast 1")
	c, err := load(dir + "/main")
	if err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{"tls-cert-file": "/a bA\"", "tls-key-file": "/it's", "port": "0", "nothing": ""} {
		if got := c.Value(name); got != want {
			t.Errorf("%s is %q, want %q", name, got, want)
		}
	}
	if got := c.bind(); got != "10.0.0.1 -::1" || firstAddress(got) != "10.0.0.1" {
		t.Errorf("bind %q", got)
	}
	changed := c.set([]string{"tls-cert-file", "tls-port"}, "/new one")
	if len(changed) != 2 || string(changed[1]) != "tls-cert-file \"/new one\"\r\n# tls-cert-file /c\n" {
		t.Errorf("%d files, the second %q", len(changed), changed[1])
	}
	if got := string(changed[0]); got != string(c.Files[0])+"\ntls-port \"/new one\"\n" {
		t.Errorf("%q", got)
	}
	if c.secrets(0) || !(&conf{&directive.Set{Lines: []directive.Line{{Name: "RequirePass", Value: "x"}}}}).secrets(0) {
		t.Error("which files have passwords in them")
	}
	for text, want := range map[string]string{"a \"b": "not closed", "a \"b\"c": "follows", "include x": "not absolute", "include " + dir + "/main": "too many"} {
		write("main", text+"\n")
		if _, err := load(dir + "/main"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", text, err)
		}
	}
}

// Whatever is in a file, changing it changes what Redis would read, and no other line.
func FuzzConf(f *testing.F) {
	for _, s := range []string{"tls-cert-file /a\n", "a b\r\n\"x y\" 'z'", "# x\n\n tls-cert-file \"/\\x41\"", "tls-cert-file a b"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		lines, err := parse([]byte(text))
		if err != nil {
			return
		}
		c := &conf{&directive.Set{Paths: []string{"x"}, Files: [][]byte{[]byte(text)}, Lines: lines}}
		after := c.set([]string{certFile}, "/new")[0]
		if after == nil {
			return // it is there already
		}
		now, err := parse(after)
		if err != nil {
			t.Fatalf("%q becomes %q: %v", text, after, err)
		}
		if got := (&directive.Set{Lines: now}).Value(certFile); got != "/new" {
			t.Fatalf("%q becomes %q: %q", text, after, got)
		}
		others := func(lines []directive.Line) (list []string) {
			for _, l := range lines {
				if !strings.EqualFold(l.Name, certFile) {
					list = append(list, fmt.Sprintf("%q %q", l.Name, l.Value))
				}
			}
			return list
		}
		if !slices.Equal(others(lines), others(now)) {
			t.Fatalf("%q becomes %q", text, after)
		}
	})
}

// Whatever comes over the socket, it is read within bounds.
func FuzzAnswers(f *testing.F) {
	for _, s := range []string{"+OK\r\n", "-ERR x\r\n", ":12\r\n", "$2\r\nab\r\n", "$-1\r\n", "*2\r\n+a\r\n*1\r\n$0\r\n\r\n", "*-1\r\n", "$99999999999\r\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if v, err := read(bufio.NewReader(strings.NewReader(s)), 0); err != nil && v != nil {
			t.Errorf("%v with %v", v, err)
		}
	})
}

// fake answers as a server would; each command gets its line.
func fake(t *testing.T, answers map[string]string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "s")
	l, err := net.Listen("unix", path)
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
				in := bufio.NewReader(c)
				for {
					v, err := read(in, 0)
					if err != nil {
						return
					}
					var words []string
					for _, w := range v.([]any) {
						words = append(words, w.(string))
					}
					said := strings.Join(words, " ")
					answer, ok := answers[said]
					if !ok {
						answer = "-ERR unknown command\r\n"
					}
					_, _ = c.Write([]byte(answer))
				}
			}()
		}
	}()
	return path
}

// What cannot be done is said before anything is changed.
func TestRefusals(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "redis.conf")
	info := func(version, file string) string {
		text := fmt.Sprintf("# Server\r\nredis_version:%s\r\nprocess_id:%d\r\nconfig_file:%s\r\n", version, os.Getpid(), file)
		return fmt.Sprintf("$%d\r\n%s\r\n", len(text), text)
	}
	get := func(name, value string) string {
		return fmt.Sprintf("*2\r\n$%d\r\n%s\r\n$%d\r\n%s\r\n", len(name), name, len(value), value)
	}
	good := map[string]string{"INFO server": info("7.0.15", conf), "CONFIG GET tls-port": get("tls-port", "6390"), "CONFIG GET bind": get("bind", "127.0.0.1"),
		"CONFIG GET tls-cert-file": get("tls-cert-file", ""), "CONFIG GET tls-key-file": get("tls-key-file", "")}
	for name, c := range map[string]struct {
		conf, command, answer, want string
	}{
		"well":           {"", "", "", ""},
		"old":            {"", "INFO server", info("6.2.1", conf), "cannot change certificate and key in one command"},
		"another":        {"", "INFO server", info("7.2.0", "/etc/other.conf"), "runs with configuration"},
		"no TLS port":    {"", "CONFIG GET tls-port", get("tls-port", "0"), "no TLS port"},
		"without TLS":    {"", "CONFIG GET tls-port", "*0\r\n", "built with TLS"},
		"not allowed":    {"", "INFO server", "-NOAUTH Authentication required.\r\n", "say with password"},
		"garbage":        {"", "INFO server", "HTTP/1.1 400\r\n", "not of Redis's protocol"},
		"no such server": {"unixsocket /nowhere\n", "", "", "is it running?"},
		"TLS only":       {"port 0\n", "", "", "add a unixsocket"},
	} {
		answers := map[string]string{}
		for k, v := range good {
			answers[k] = v
		}
		if c.command != "" {
			answers[c.command] = c.answer
		}
		if c.conf == "" {
			c.conf = "unixsocket " + fake(t, answers) + "\n"
		}
		if err := os.WriteFile(conf, []byte(c.conf), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := New(Options{Name: "x", Config: conf, Dir: dir, Dial: new(net.Dialer).DialContext})
		if err != nil {
			t.Fatal(err)
		}
		read, err := load(conf)
		if err != nil {
			t.Fatal(err)
		}
		_, err = r.ask(t.Context(), read)
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v", name, err)
		}
	}
	for want, o := range map[string]Options{"cannot be written": {Name: "a", Config: conf, Dir: "/a\"b"}, "named after": {Name: ".x", Config: conf, Dir: "/d"}, "HOST:PORT": {Name: "a", Config: conf, Dir: "/d", Address: "host"}} {
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", want, err)
		}
	}
}

// With a password, which is nowhere to be seen; and after a start, the certificate is the
// same.
func TestPasswordAndRestart(t *testing.T) {
	s := newServer(t, "aclfile DIR/users.acl\n")
	secret := filepath.Join(s.dir, "password")
	if err := os.WriteFile(secret, []byte("hush-hush-9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	s.said["password"] = []string{"file:" + secret}
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target, At: []installers.Endpoint{{Addr: s.addr}}, Single: true, Secrets: []string{"hush-hush-9"}})
	m := b.Material("one", "a.example.test")
	if res := b.Apply(m); !res.OK() {
		t.Fatalf("%+v", res)
	}
	s.daemon.Stop(t)
	s.daemon.Start(t)
	b.Shows(m)
	if err := os.WriteFile(secret, []byte("hush-wrong-9\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if res := b.Apply(b.Material("one", "a.example.test")); res.OK() || !strings.Contains(res.Error, "log in") || strings.Contains(res.Error, "hush") {
		t.Errorf("%+v", res)
	}
}

// Whoever is in the place of Redis can say what he likes: the password is not repeated,
// answers without an end are not kept, and root writes into no file that a link of the
// server's user leads to.
func TestHostile(t *testing.T) {
	dir := t.TempDir()
	conf := filepath.Join(dir, "redis.conf")
	const secret = "hush \"9\" hush"
	big := fmt.Sprintf("$%d\r\n%s\r\n", maxBulk, strings.Repeat("x", maxBulk))
	r := func(answers map[string]string) *Redis {
		t.Helper()
		if err := os.WriteFile(conf, []byte("unixsocket "+fake(t, answers)+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		r, err := New(Options{Name: "x", Config: conf, Dir: dir, Dial: new(net.Dialer).DialContext, Password: func() (string, error) { return secret, nil }})
		if err != nil {
			t.Fatal(err)
		}
		return r
	}
	ask := func(r *Redis) error {
		c, err := load(conf)
		if err == nil {
			_, err = r.ask(t.Context(), c)
		}
		return err
	}
	if err := ask(r(map[string]string{"AUTH " + secret: "-ERR not " + secret + "\r\n"})); err == nil || !strings.Contains(err.Error(), "ERR not [secret]") || strings.Contains(err.Error(), "hush") {
		t.Errorf("%v", err)
	}
	if err := ask(r(map[string]string{"AUTH " + secret: "+OK\r\n", "INFO server": "*1000\r\n" + strings.Repeat(big, 6)})); err == nil || !strings.Contains(err.Error(), "EOF") {
		t.Errorf("%v", err)
	}
	if err := errors.Join(os.Rename(conf, dir+"/roots"), os.Symlink("roots", conf), os.Lchown(conf, 4321, -1)); err != nil {
		t.Fatal(err)
	}
	if _, err := load(conf); err == nil || !strings.Contains(err.Error(), "symbolic link of user 4321") {
		t.Errorf("%v", err)
	}
}

// The lines of a configuration with a password in it are not for a terminal.
func TestShowHasNoPassword(t *testing.T) {
	s := newServer(t, "masterauth hush-hush-8\n")
	b := targettest.NewBench(t, &targettest.Rig{Target: s.target, At: []installers.Endpoint{{Addr: s.addr}}, Single: true})
	r, err := New(Options{Name: "x", Config: s.conf, Dir: s.dir + "/ssl", Dial: new(net.Dialer).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	p, err := r.Plan(t.Context(), b.Material("x", "a.example.test"))
	if err != nil {
		t.Fatal(err)
	}
	var out strings.Builder
	if err := installers.Show(&out, p, r); err != nil || !strings.Contains(out.String(), s.conf) || strings.Contains(out.String(), "hush") || strings.Contains(out.String(), "PRIVATE") {
		t.Errorf("%v: %s", err, &out)
	}
}

// Two servers with their configurations in a folder are two, also for the same certificate.
func TestTwoInAFolder(t *testing.T) {
	state := t.TempDir()
	e := &delivery.Engine{Dir: state, Now: time.Now}
	for _, conf := range []string{"redis.conf", "second.conf"} {
		r, err := New(Options{Name: "x", Config: "/nowhere/" + conf, Dir: "/nowhere", Settings: conf})
		if err != nil {
			t.Fatal(err)
		}
		if res := e.Check(t.Context(), delivery.Item{Name: "x", Target: &delivery.Local{Planner: r}}, nil); res.Where != "/nowhere/"+conf {
			t.Errorf("%+v", res)
		}
	}
	if list, err := delivery.Records(state); err != nil || len(list) != 2 {
		t.Errorf("%+v %v", list, err)
	}
}
