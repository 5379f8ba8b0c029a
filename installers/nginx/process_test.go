package nginx

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
)

// pretend runs a program that does nothing under the title of a master.
func pretend(t testing.TB, path, args string, attr *syscall.SysProcAttr) int {
	t.Helper()
	attr.Pdeathsig = syscall.SIGKILL
	cmd := &exec.Cmd{Path: path, Args: []string{"nginx: master process nginx " + args, "600"}, Dir: "/", SysProcAttr: attr}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait() // it was killed
	})
	return cmd.Process.Pid
}

func asRoot(t testing.TB) {
	t.Helper()
	switch {
	case os.Getuid() == 0:
	case os.Getenv("CI") != "true":
		t.Skip("not run: only root has other users' processes, and mounts")
	default:
		t.Fatal("the tests do not run as root")
	}
}

// openUp lets everybody go through a lab's folders.
func (l *lab) openUp(t testing.TB) {
	t.Helper()
	for _, dir := range []string{filepath.Dir(l.dir), l.dir} {
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
}

var nobody = &syscall.Credential{Uid: 65534, Gid: 65534}

// A process is a master where it runs our program and is not somebody else's. What it calls
// itself says nothing about that.
func TestWhoIsMaster(t *testing.T) {
	asRoot(t)
	sleep, err := exec.LookPath("sleep")
	if err != nil {
		t.Fatal(err)
	}
	type world struct {
		dir, program, ctl string
		user              *syscall.Credential
		later             func() error // when it runs
	}
	for name, c := range map[string]struct {
		change func(*world)
		want   bool
	}{
		"ours":            {func(*world) {}, true},
		"somebody else's": {func(w *world) { w.user = nobody }, false},
		"another program": {func(w *world) { w.program = sleep }, false},
		"replaced": {func(w *world) {
			w.later = func() error { return os.Rename(w.dir+"/new", w.program) }
		}, true},
		"moved away": {func(w *world) {
			w.later = func() error {
				return errors.Join(os.Rename(w.program, w.program+".old"), os.Rename(w.dir+"/new", w.program))
			}
		}, true},
		"a hard link":                   {func(w *world) { w.ctl = w.dir + "/link" }, true},
		"an older version":              {func(w *world) { w.ctl = w.dir + "/current/nginx" }, true},
		"started by a script":           {func(w *world) { w.ctl = w.dir + "/script" }, true},
		"another version":               {func(w *world) { w.ctl = w.dir + "/2/nginx" }, false},
		"somebody else's, and a script": {func(w *world) { w.ctl, w.user = w.dir+"/script", nobody }, false},
	} {
		t.Run(name, func(t *testing.T) {
			l := newLab(t, map[string]string{"nginx.conf": "events {}\n"})
			l.openUp(t)
			w := world{dir: l.dir, program: l.dir + "/1/nginx", ctl: l.dir + "/1/nginx", later: func() error { return nil }}
			for _, to := range []string{"1/nginx", "2/nginx", "new"} {
				write(t, filepath.Join(l.dir, to), read(t, sleep))
				if err := os.Chmod(filepath.Join(l.dir, to), 0o755); err != nil {
					t.Fatal(err)
				}
			}
			write(t, l.dir+"/script", "#!/bin/sh\n")
			if err := os.Link(w.program, l.dir+"/link"); err != nil {
				t.Fatal(err)
			}
			if err := os.Symlink("2", l.dir+"/current"); err != nil {
				t.Fatal(err)
			}
			c.change(&w)
			conf := l.root + "/nginx.conf"
			pid := pretend(t, w.program, "-c "+conf, &syscall.SysProcAttr{Credential: w.user})
			if err := w.later(); err != nil {
				t.Fatal(err)
			}
			n := &Nginx{ctl: w.ctl, conf: conf}
			m, ok := n.running()
			if ok != c.want || ok && m != (master{pid: pid, conf: conf}) {
				t.Errorf("%v %+v", ok, m)
			}
		})
	}
}

// Nobody can have edge run nginx with a prefix of his, from where it loads modules, nor
// keep edge from finding the real master.
func TestFalseMaster(t *testing.T) {
	asRoot(t)
	t.Parallel()
	l, _, _ := newTwo(t, nil)
	l.openUp(t)
	pid := l.start(t)
	for range 2 {
		pretend(t, "/bin/sleep", fmt.Sprintf("-c %s/nginx.conf -p /evil/", l.root), &syscall.SysProcAttr{Credential: nobody})
	}
	if err := os.Remove(l.dir + "/work/nginx.pid"); err != nil {
		t.Fatal(err)
	}
	n := l.detect(t)
	if argv := strings.Join(n.argv("-t"), " "); strings.Contains(argv, "evil") || strings.Contains(argv, "\x00") {
		t.Errorf("%q is run", argv)
	}
	if m, ok := n.running(); !ok || m.pid != pid {
		t.Errorf("%v %+v", ok, m)
	}
}

// What counts is whether nginx has the configuration that edge has: units with PrivateTmp
// have mounts of their own, and containers a root.
func TestOtherMounts(t *testing.T) {
	asRoot(t)
	if os.Getenv("EDGE_NGINX_LAB") != "" {
		lookInChild(t)
	}
	t.Parallel()
	for name, c := range map[string]struct {
		prepare string // what nginx's mounts are like, ours where empty
		want    bool
	}{
		"none":                  {"", true},
		"a copy":                {"true", true},
		"the folder is another": {`cp -r "$DIR/nginx" "$DIR/other"; mount --bind "$DIR/other" "$DIR/nginx"`, false},
		"a container": {`R="$DIR/container"
			mkdir "$R"; mount -t tmpfs none "$R"
			for d in /usr /etc /dev /var "$DIR"; do mkdir -p "$R$d"; mount --rbind "$d" "$R$d"; done
			cp -P /bin /lib* "$R"
			set -- chroot "$R" "$@"`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l, http, _ := newTwo(t, nil)
			pid := l.startIn(t, c.prepare)
			if m, ok := l.detect(t).running(); ok != c.want || ok && m.pid != pid {
				t.Errorf("%v %+v", ok, m)
			}
			cmd := exec.Command(os.Args[0], "-test.run=^TestOtherMounts$")
			cmd.Env = append(os.Environ(), "EDGE_NGINX_LAB="+l.dir)
			cmd.SysProcAttr = &syscall.SysProcAttr{Unshareflags: syscall.CLONE_NEWNS}
			want := "none\n"
			if c.want {
				want = fmt.Sprintf("%d reloaded\n", pid)
			}
			if out, err := cmd.CombinedOutput(); err != nil || string(out) != want {
				t.Errorf("with other mounts, edge says %q, not %q (%v)", out, want, err)
			}
			if status, body, _ := get(t, fmt.Sprintf("127.0.0.1:%d", http), "one.test", "/"); status != 200 || body != "one" {
				t.Errorf("nginx answers %d %s", status, body)
			}
		})
	}
}

// lookInChild is edge with mounts of its own.
func lookInChild(t *testing.T) {
	dir := os.Getenv("EDGE_NGINX_LAB")
	n := (&lab{dir: dir, root: dir + "/nginx"}).detect(t)
	m, ok := n.running()
	if !ok {
		fmt.Println("none")
		os.Exit(0)
	}
	if err := n.Activate(t.Context()); err != nil {
		t.Fatal(err)
	}
	fmt.Println(m.pid, "reloaded")
	os.Exit(0)
}

// Who has stopped nginx on purpose is told that an installation starts it.
func TestStartIsTold(t *testing.T) {
	t.Parallel()
	l, http, https := newTwo(t, nil)
	r := l.request("one.test")
	r.HTTPPort, r.HTTPSPort = http, https
	makeCertificate(t, r)
	told := func() bool {
		p, err := l.detect(t).Plan(t.Context(), r)
		if err != nil {
			t.Fatal(err)
		}
		return slices.Contains(p.Warnings, "nginx does not run with "+l.root+"/nginx.conf: it is started")
	}
	if !told() {
		t.Error("nothing is said")
	}
	l.start(t)
	if told() {
		t.Error("it runs")
	}
}
