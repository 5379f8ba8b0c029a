package authenticator

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"edge"
	"edge/acmeglue"
	"edge/internal/edgetest"
)

// tree lists what is below a folder: path, mode, owner, and what a link leads to.
func tree(t testing.TB, dir string) (lines []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || path == dir {
			return err
		}
		info, err := d.Info()
		if err != nil {
			return err
		}
		st := info.Sys().(*syscall.Stat_t)
		rel, _ := filepath.Rel(dir, path)
		line := fmt.Sprintf("%s %s %d:%d", rel, info.Mode(), st.Uid, st.Gid)
		if to, err := os.Readlink(path); err == nil {
			line = fmt.Sprintf("%s -> %s", rel, to)
		}
		lines = append(lines, line)
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return lines
}

func placeAll(t testing.TB, auth acmeglue.Authenticator, batch ...edge.Answer) {
	t.Helper()
	if err := auth.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
}

func cleanAll(t testing.TB, auth acmeglue.Authenticator, batch ...edge.Answer) {
	t.Helper()
	if err := auth.Cleanup(t.Context(), batch); err != nil {
		t.Error(err)
	}
}

func challengeFile(root string, a edge.Answer) string {
	return filepath.Join(root, challengeDir, a.Token)
}

func write(t testing.TB, path, text string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
		t.Fatal(err)
	}
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Error(err)
	}
	return string(b)
}

// A web server that has files of two webroots, and a CA that comes to it.
func TestWebrootIssues(t *testing.T) {
	one, two := t.TempDir(), t.TempDir()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		root := two
		if strings.HasPrefix(r.Host, "mapped") {
			root = one
		}
		http.FileServer(http.Dir(root)).ServeHTTP(w, r)
	}))
	defer srv.Close()
	ca := newCA(t, edgetest.CAOptions{HTTPPort: edgetest.Port(srv.Listener.Addr().String())})
	w := NewWebroot(WebrootOptions{Map: map[string]string{"mapped.test": one}, Path: two})
	mustIssue(t, ca, w, nil, "mapped.test", "other.test", "another.test")
	if left := slices.Concat(tree(t, one), tree(t, two)); len(left) != 0 || len(w.files) != 0 || len(w.created) != 0 {
		t.Errorf("left behind: %v", left)
	}
	// A web server that does not have the file: it is taken away all the same.
	wrong := NewWebroot(WebrootOptions{Path: one})
	if _, err := issue(t, ca, wrong, nil, "other.test"); err == nil {
		t.Error("it was issued")
	}
	if left := tree(t, one); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Modes do not depend on the umask, the folders belong to whom the webroot does.
func TestWebrootModes(t *testing.T) {
	root := t.TempDir()
	uid, gid := os.Getuid(), os.Getgid()
	if uid == 0 {
		uid, gid = 1234, 2345
		if err := os.Chown(root, uid, gid); err != nil {
			t.Fatal(err)
		}
	}
	a := answer(t, edge.HTTP01, "a.test")
	for _, mask := range []int{0o077, 0, 0o777} {
		if mask == 0o777 && os.Getuid() != 0 {
			continue // such a process can not go into the folders that it makes
		}
		old := syscall.Umask(mask)
		w := NewWebroot(WebrootOptions{Path: root})
		err := w.Present(t.Context(), []edge.Answer{a})
		syscall.Umask(old)
		if err != nil {
			t.Fatal(err)
		}
		want := []string{
			fmt.Sprintf(".well-known drwxr-xr-x %d:%d", uid, gid),
			fmt.Sprintf(".well-known/acme-challenge drwxr-xr-x %d:%d", uid, gid),
			fmt.Sprintf(".well-known/acme-challenge/%s -rw-r--r-- %d:%d", a.Token, os.Getuid(), os.Getgid()),
		}
		if got := tree(t, root); !slices.Equal(got, want) {
			t.Errorf("umask %o: %v", mask, got)
		}
		if text := read(t, challengeFile(root, a)); text != a.KeyAuth {
			t.Errorf("umask %o: %q", mask, text)
		}
		cleanAll(t, w, a)
		if left := tree(t, root); len(left) != 0 {
			t.Errorf("umask %o: left behind: %v", mask, left)
		}
	}
}

// A file system that gives a new folder to somebody else: it is used as it is.
func TestWebrootOfAnotherOwner(t *testing.T) {
	if os.Getuid() != 0 {
		t.Skip("not run: needs root, for a folder of another user")
	}
	path := t.TempDir()
	root, err := os.OpenRoot(path)
	if err != nil {
		t.Fatal(err)
	}
	defer root.Close()
	dir, err := os.Open(path)
	if err != nil {
		t.Fatal(err)
	}
	defer dir.Close()
	if err := errors.Join(os.Mkdir(path+"/theirs", 0o700), os.Chown(path+"/theirs", 1234, 1234), os.Mkdir(path+"/full", 0o700), os.Mkdir(path+"/full/x", 0o700)); err != nil {
		t.Fatal(err)
	}
	var log logged
	w := NewWebroot(WebrootOptions{Log: log.logger()})
	if _, err := w.adopt(root, int(dir.Fd()), "theirs"); err != nil {
		t.Error(err)
	}
	if !strings.Contains(log.String(), "Unable to change owner and uid of webroot directory") {
		t.Errorf("log: %s", log.String())
	}
	if _, err := w.adopt(root, int(dir.Fd()), "full"); err == nil {
		t.Error("a folder with something in it was given away")
	}
	if got := tree(t, path); !slices.Contains(got, "theirs drwx------ 1234:1234") {
		t.Errorf("it was changed: %v", got)
	}
}

// What was there stays as it was, also in a folder that we made.
func TestWebrootLeavesOthersAlone(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/.well-known/security.txt", "x")
	before := tree(t, root)
	w := NewWebroot(WebrootOptions{Path: root})
	a, b := answer(t, edge.HTTP01, "a.test"), answer(t, edge.HTTP01, "b.test")
	placeAll(t, w, a, b)
	cleanAll(t, w, a)
	if _, err := os.Stat(challengeFile(root, b)); err != nil {
		t.Errorf("the answer of another order: %v", err)
	}
	cleanAll(t, w, a, b)
	if after := tree(t, root); !slices.Equal(before, after) {
		t.Errorf("%v became %v", before, after)
	}
	placeAll(t, w, a)
	write(t, filepath.Join(root, challengeDir, "somebody-elses"), "x")
	// Our file was replaced by something else meanwhile: that is not ours.
	if err := os.Remove(challengeFile(root, a)); err != nil {
		t.Fatal(err)
	}
	write(t, filepath.Join(root, "keeps-the-inode-number-busy"), "x")
	write(t, challengeFile(root, a), "theirs")
	cleanAll(t, w, a)
	if read(t, filepath.Join(root, challengeDir, "somebody-elses")) != "x" || read(t, challengeFile(root, a)) != "theirs" {
		t.Error("the files of others are gone")
	}
	for _, name := range []string{"somebody-elses", a.Token} {
		if err := os.Remove(filepath.Join(root, challengeDir, name)); err != nil {
			t.Fatal(err)
		}
	}
	// Once it is empty, the folder goes at the next time.
	cleanAll(t, w)
	if _, err := os.Stat(filepath.Join(root, challengeDir)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the folder that we made is still there: %v", err)
	}
}

// Two orders may have the same answer: the file is there for the last of them.
func TestWebrootSharedAnswer(t *testing.T) {
	root := t.TempDir()
	w := NewWebroot(WebrootOptions{Path: root})
	a := answer(t, edge.HTTP01, "a.test")
	placeAll(t, w, a)
	placeAll(t, w, a)
	cleanAll(t, w, a)
	if text := read(t, challengeFile(root, a)); text != a.KeyAuth {
		t.Errorf("%q", text)
	}
	cleanAll(t, w, a)
	if left := tree(t, root); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// Links within the webroot are followed, those that lead out of it are not, and
// nothing is made, changed or removed out there.
func TestWebrootLinks(t *testing.T) {
	for _, c := range []struct {
		name  string
		links map[string]string // path in the webroot: what it leads to
		works bool
		says  string
	}{
		{"nothing", nil, true, ""},
		{"within", map[string]string{".well-known": "shared"}, true, ""},
		{"within, deeper", map[string]string{".well-known/acme-challenge": "../shared"}, true, ""},
		{"absolute", map[string]string{".well-known": "OUTSIDE"}, false, "leads out of the webroot"},
		{"deeper, absolute", map[string]string{".well-known/acme-challenge": "OUTSIDE"}, false, "leads out of the webroot"},
		{"upwards", map[string]string{".well-known/acme-challenge": "../../outside"}, false, "leads out of the webroot"},
		{"to nothing", map[string]string{".well-known/acme-challenge": "../none"}, false, "a symbolic link to a folder that does not exist"},
		{"to a file", map[string]string{".well-known": "index.html"}, false, "not a directory"},
		{"file out there", map[string]string{".well-known/acme-challenge/TOKEN": "OUTSIDE/victim"}, true, ""},
		{"file to nothing", map[string]string{".well-known/acme-challenge/TOKEN": "OUTSIDE/none"}, true, ""},
	} {
		base := t.TempDir()
		root, outside := base+"/root", base+"/outside"
		write(t, outside+"/victim", "x")
		write(t, root+"/index.html", "x")
		if err := os.Mkdir(root+"/shared", 0o700); err != nil {
			t.Fatal(err)
		}
		a := answer(t, edge.HTTP01, "a.test")
		for path, to := range c.links {
			path = filepath.Join(root, strings.Replace(path, "TOKEN", a.Token, 1))
			if err := errors.Join(os.MkdirAll(filepath.Dir(path), 0o755), os.Symlink(strings.Replace(to, "OUTSIDE", outside, 1), path)); err != nil {
				t.Fatal(err)
			}
		}
		before := tree(t, outside)
		w := NewWebroot(WebrootOptions{Path: root})
		err := w.Present(t.Context(), []edge.Answer{a})
		if (err == nil) != c.works || err != nil && !strings.Contains(err.Error(), c.says) {
			t.Errorf("%s: %v", c.name, err)
		}
		if c.works && read(t, challengeFile(root, a)) != a.KeyAuth {
			t.Errorf("%s: the file has something else", c.name)
		}
		cleanAll(t, w, a)
		if after := tree(t, outside); !slices.Equal(before, after) || read(t, outside+"/victim") != "x" {
			t.Errorf("%s: outside it was %v and is %v", c.name, before, after)
		}
	}
	// The webroot itself may be one.
	base := t.TempDir()
	if err := errors.Join(os.Mkdir(base+"/real", 0o755), os.Symlink("real", base+"/link")); err != nil {
		t.Fatal(err)
	}
	w := NewWebroot(WebrootOptions{Path: base + "/link"})
	a := answer(t, edge.HTTP01, "a.test")
	placeAll(t, w, a)
	if read(t, challengeFile(base+"/real", a)) != a.KeyAuth {
		t.Error("the file is not where the link leads to")
	}
	cleanAll(t, w, a)
}

// Whoever owns the webroot swaps folders for links while we are at work. Nothing
// outside of it is touched, and nothing hangs at a pipe.
func TestWebrootUnderAttack(t *testing.T) {
	base := t.TempDir()
	root, outside := base+"/root", base+"/outside"
	write(t, outside+"/acme-challenge/victim", "x")
	if err := os.Mkdir(root, 0o755); err != nil {
		t.Fatal(err)
	}
	if os.Getuid() == 0 {
		if err := os.Chown(root, 1234, 1234); err != nil {
			t.Fatal(err)
		}
	}
	// The time of a folder also tells of a file that was made and removed again.
	outsideNow := func() string {
		var times []any
		for _, dir := range []string{outside, outside + "/acme-challenge"} {
			info, err := os.Stat(dir)
			if err != nil {
				t.Fatal(err)
			}
			times = append(times, info.ModTime())
		}
		return fmt.Sprint(tree(t, outside), times)
	}
	before := outsideNow()
	// The attacker may write in the webroot only, which this keeps him to.
	his, err := os.OpenRoot(root)
	if err != nil {
		t.Fatal(err)
	}
	defer his.Close()
	var stop atomic.Bool
	var attack sync.WaitGroup
	swap := func(path, bait string) {
		attack.Go(func() {
			for n := 0; !stop.Load(); n++ {
				aside := fmt.Sprintf("aside-%s-%d", filepath.Base(bait), n)
				_ = his.Rename(path, aside)
				_ = his.Rename(bait, path)
				_ = his.Rename(path, bait)
				_ = his.Rename(aside, path)
			}
		})
	}
	if err := errors.Join(his.Symlink(outside, "bait-1"), his.Symlink(outside+"/acme-challenge", "bait-2"), syscall.Mkfifo(root+"/bait-3", 0o644)); err != nil {
		t.Fatal(err)
	}
	swap(".well-known", "bait-1")
	swap(challengeDir, "bait-2")
	swap(challengeDir, "bait-3")
	attack.Go(func() { // and what we make under another name at first
		for !stop.Load() {
			names, _ := fs.Glob(his.FS(), ".edge-*")
			for _, name := range names {
				_ = his.Rename(name, "taken"+name)
				_ = his.Symlink(outside, name)
			}
		}
	})
	placed := 0
	for range 1000 {
		w := NewWebroot(WebrootOptions{Path: root})
		a := answer(t, edge.HTTP01, "a.test")
		if w.Present(t.Context(), []edge.Answer{a}) == nil {
			placed++
		}
		_ = w.Cleanup(t.Context(), []edge.Answer{a})
	}
	stop.Store(true)
	attack.Wait()
	if after := outsideNow(); before != after {
		t.Errorf("outside it was %s and is %s", before, after)
	}
	t.Logf("%d of 1000 came through", placed)
}

// Processes share a webroot: each makes and removes the folders, and none of them
// loses its file.
func TestWebrootOfManyProcesses(t *testing.T) {
	root := t.TempDir()
	var all, sweep sync.WaitGroup
	var stop atomic.Bool
	sweep.Go(func() { // as another process does that thinks that nobody needs them
		tick := time.NewTicker(200 * time.Microsecond)
		defer tick.Stop()
		for !stop.Load() {
			<-tick.C
			_ = os.Remove(filepath.Join(root, challengeDir))
			_ = os.Remove(filepath.Join(root, ".well-known"))
		}
	})
	for range 4 {
		all.Go(func() {
			for range 50 {
				w := NewWebroot(WebrootOptions{Path: root})
				a := answer(t, edge.HTTP01, "a.test")
				if err := w.Present(t.Context(), []edge.Answer{a}); err != nil {
					t.Error(err)
				} else if text := read(t, challengeFile(root, a)); text != a.KeyAuth {
					t.Errorf("%q", text)
				}
				cleanAll(t, w, a)
			}
		})
	}
	all.Wait()
	stop.Store(true)
	sweep.Wait()
	// Who makes a folder may find a file of another's in it at its end.
	if left := tree(t, root); strings.Contains(fmt.Sprint(left), challengeDir+"/") || strings.Contains(fmt.Sprint(left), ".edge-") {
		t.Errorf("left behind: %v", left)
	}
}

// A run that is killed leaves its file. The next one, which goes on with the order,
// has the same token.
func TestWebrootAfterKill(t *testing.T) {
	a := edge.Answer{Type: edge.HTTP01, Identifier: identifiers(t, "a.test")[0], Token: "same-token", KeyAuth: "same-token.key"}
	if root := os.Getenv("EDGE_TEST_WEBROOT"); root != "" {
		placeAll(t, NewWebroot(WebrootOptions{Path: root}), a)
		write(t, challengeFile(root, a), "half")
		_ = unix.Kill(os.Getpid(), unix.SIGKILL)
	}
	root := t.TempDir()
	cmd := exec.Command("/proc/self/exe", "-test.run=^TestWebrootAfterKill$")
	cmd.Env = append(os.Environ(), "EDGE_TEST_WEBROOT="+root)
	if out, err := cmd.CombinedOutput(); err == nil || read(t, challengeFile(root, a)) != "half" {
		t.Fatalf("it was not killed: %v %s", err, out)
	}
	var log logged
	w := NewWebroot(WebrootOptions{Path: root, Log: log.logger()})
	placeAll(t, w, a)
	if text := read(t, challengeFile(root, a)); text != a.KeyAuth || !strings.Contains(log.String(), "another run has left") {
		t.Errorf("%q, log %s", text, log.String())
	}
	cleanAll(t, w, a)
	if _, err := os.Stat(challengeFile(root, a)); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("the file is still there: %v", err)
	}
}

// What is wrong with webroots is said for all names at once, before anything is done.
func TestWebrootErrors(t *testing.T) {
	root := t.TempDir()
	write(t, root+"/file", "x")
	w := NewWebroot(WebrootOptions{Map: map[string]string{"a.test": root, "b.test": root + "/none", "c.test": root + "/file", "f.test": ""}})
	batch := []edge.Answer{answer(t, edge.HTTP01, "a.test"), answer(t, edge.HTTP01, "b.test"), answer(t, edge.HTTP01, "c.test"), answer(t, edge.HTTP01, "d.test"), answer(t, edge.DNS01, "a.test"), answer(t, edge.HTTP01, "f.test")}
	err := w.Present(t.Context(), batch)
	var failed *acmeglue.AuthorizationError
	if !errors.As(err, &failed) || len(failed.Failed) != 5 {
		t.Fatalf("got %v", err)
	}
	for n, want := range []string{
		root + "/none does not exist or is not a directory; it is the webroot of b.test: correct --webroot-map or --webroot-path (-w)",
		root + "/file does not exist or is not a directory",
		"no webroot for d.test: name it with --webroot-path (-w), or in --webroot-map",
		"webroot cannot do dns-01", "no webroot for f.test",
	} {
		if !strings.Contains(failed.Failed[n].Err.Error(), want) {
			t.Errorf("%v, not %q", failed.Failed[n].Err, want)
		}
	}
	cleanAll(t, w, batch...)
	if got := tree(t, root); len(got) != 1 {
		t.Errorf("something was made: %v", got)
	}
	w = NewWebroot(WebrootOptions{Path: root})
	for _, token := range []string{"", "a/b", "..", ".", "a\x00b", strings.Repeat("a", 256)} {
		bad := answer(t, edge.HTTP01, "a.test")
		bad.Token = token
		if err := w.Present(t.Context(), []edge.Answer{bad}); err == nil {
			t.Errorf("the token %q was taken", token)
		}
	}
	if got := tree(t, root); len(got) != 1 {
		t.Errorf("something was made: %v", got)
	}
}
