package files

import (
	"context"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/durable"
)

// holds fails the test unless the folder has exactly these names, hidden ones aside.
func holds(t *testing.T, dir string, names ...string) {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range entries {
		if e.Name()[0] != '.' {
			got = append(got, e.Name())
		}
	}
	slices.Sort(names)
	if !slices.Equal(got, names) {
		t.Errorf("%s has %q, want %q", dir, got, names)
	}
}

func mode(t *testing.T, path string) fs.FileMode {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Mode().Perm()
}

// From the first delivery to a renewal, a change of the names and of the mode: what is
// there is what was asked for, and nothing else stays.
func TestSeparate(t *testing.T) {
	r := newRig(t)
	o := r.options()
	it, m := r.item(o), r.material()
	if res := r.look(it, m, delivery.Pending); len(res.Actions) != 4 {
		t.Errorf("plan: %q", res.Actions)
	}
	if _, err := os.Stat(o.Dir); err == nil {
		t.Fatal("a plan has made the folder")
	}
	r.apply(it, m, delivery.Unverified)
	holds(t, o.Dir, "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")
	for name, want := range map[string][]byte{"cert.pem": m.CertPEM, "chain.pem": m.ChainPEM, "fullchain.pem": m.FullChainPEM, "privkey.pem": m.KeyPEM} {
		if got := read(t, filepath.Join(o.Dir, name)); got != string(want) {
			t.Errorf("%s: %q", name, got)
		}
	}
	if got := mode(t, o.Dir+"/privkey.pem"); got != 0o640 {
		t.Errorf("mode of the key: %#o", got)
	}
	if got := mode(t, o.Dir+"/cert.pem"); got != 0o644 {
		t.Errorf("mode of the certificate: %#o", got)
	}
	if res := r.apply(it, m, delivery.Unverified); res.Changed {
		t.Error("what was there already was put again")
	}

	m2 := r.material()
	r.apply(it, m2, delivery.Unverified)
	if got := read(t, o.Dir+"/privkey.pem"); got != string(m2.KeyPEM) {
		t.Error("the key is the old one after a renewal")
	}
	if got := read(t, o.Dir+"/.edge-mail/1/privkey.pem"); got != string(m.KeyPEM) {
		t.Error("the version before is not there for an undo by hand")
	}

	o.Names, o.Mode = map[Part]string{Fullchain: "tls.crt", Key: "tls.key"}, 0o600
	it = r.item(o)
	if res := r.look(it, m2, delivery.Drifted); !strings.Contains(res.Reasons[0], "configuration was changed") {
		t.Errorf("%q", res.Reasons)
	}
	r.apply(it, m2, delivery.Unverified)
	holds(t, o.Dir, "tls.crt", "tls.key")
	if got := mode(t, o.Dir+"/tls.key"); got != 0o600 {
		t.Errorf("mode of the key: %#o", got)
	}
	entries, _ := os.ReadDir(o.Dir + "/.edge-mail")
	if len(entries) != 3 { // current, and two versions
		t.Errorf("versions: %v", entries)
	}
}

// Whatever somebody does to the files is seen, and put right.
func TestDrift(t *testing.T) {
	r := newRig(t)
	o := r.options()
	if os.Geteuid() == 0 {
		o.Owner = durable.Owner{UID: -1, GID: 4321}
	}
	it, m := r.item(o), r.material()
	r.apply(it, m, delivery.Unverified)
	for name, c := range map[string]struct {
		do   func(path string) error
		want string
	}{
		"removed":  {os.Remove, "is missing"},
		"replaced": {func(p string) error { return os.WriteFile(p, []byte("mine"), 0o640) }, "is not what was put there"},
		"folder":   {func(p string) error { _ = os.Remove(p); return os.Mkdir(p, 0o755) }, "is not a regular file"},
		"mode":     {func(p string) error { return os.Chmod(p, 0o644) }, "has mode 0644, not 0640"},
		"version":  {func(p string) error { return os.RemoveAll(filepath.Dir(p) + "/.edge-mail") }, "is missing"},
		"pointed":  {func(p string) error { _ = os.Remove(p); return os.Symlink("/dev/null", p) }, "is not a regular file"},
		"FIFO":     {func(p string) error { _ = os.Remove(p); return syscall.Mkfifo(p, 0o640) }, "is not a regular file"},
	} {
		t.Run(name, func(t *testing.T) {
			path := o.Dir + "/privkey.pem"
			if err := c.do(path); err != nil {
				t.Fatal(err)
			}
			res := r.e.Look(context.Background(), it, m)
			if res.State != delivery.Drifted || !strings.Contains(strings.Join(res.Reasons, "\n"), "privkey.pem "+c.want) {
				t.Errorf("%+v", res)
			}
			if name == "folder" || name == "FIFO" {
				_ = os.Remove(path) // edge does not guess what that is for
			}
			r.t = t
			r.apply(it, m, delivery.Unverified)
			r.look(it, m, delivery.Unverified)
			if st := stat(t, path); os.Geteuid() == 0 && st.Gid != 4321 {
				t.Errorf("group %d", st.Gid)
			}
		})
	}
}

func stat(t *testing.T, path string) *syscall.Stat_t {
	t.Helper()
	info, err := os.Stat(path)
	if err != nil {
		t.Fatal(err)
	}
	return info.Sys().(*syscall.Stat_t)
}

// The server shows what was delivered, through each renewal.
func TestLiveServer(t *testing.T) {
	r := newRig(t)
	o := r.options()
	it, m := r.item(o), r.material()
	r.apply(it, m, delivery.Unverified)
	s := startServer(t, o.Dir+"/fullchain.pem", o.Dir+"/privkey.pem")
	it.Verify, it.Reload = []installers.Endpoint{{Addr: s.addr}}, s.reload
	if res := r.apply(it, m, delivery.InSync); res.Changed || res.Verified.IsZero() {
		t.Errorf("%+v", res)
	}
	for range 3 {
		m = r.material()
		r.apply(it, m, delivery.InSync)
		r.look(it, m, delivery.InSync)
	}
	// Somebody forgot to reload: the files are right, the server is not.
	it.Reload = nil
	m = r.material()
	it.Within = 300 * time.Millisecond
	res := r.apply(it, m, delivery.Failed)
	if !strings.Contains(res.Error, "shows another certificate") || !strings.Contains(res.Error, "what was there before is back") {
		t.Errorf("%s", res.Error)
	}
	if res := r.look(it, m, delivery.Failed); res.Failures != 1 || res.Error == "" {
		t.Errorf("%+v", res)
	}
	it.Reload, it.Within = s.reload, 0
	if res := r.apply(it, m, delivery.InSync); res.Failures != 0 {
		t.Errorf("%+v", res)
	}
	_ = s.cmd.Process.Kill()
	_ = s.cmd.Wait()
	if res := r.look(it, m, delivery.Drifted); !strings.Contains(res.Reasons[0], "shows no certificate") {
		t.Errorf("%q", res.Reasons)
	}
}

// A certificate that the server does not take is taken back: the files, and what the
// server shows, are the old ones.
func TestUndo(t *testing.T) {
	r := newRig(t)
	o := r.options()
	it, m := r.item(o), r.material()
	r.apply(it, m, delivery.Unverified)
	s := startServer(t, o.Dir+"/fullchain.pem", o.Dir+"/privkey.pem")
	it.Verify = []installers.Endpoint{{Addr: s.addr}}
	it.Within = 300 * time.Millisecond
	for name, reload := range map[string][]string{
		"reload fails":   {"/bin/false"},
		"no program":     {"/nonexistent/reload"},
		"wrong server":   {"/bin/true"},
		"reload hangs":   {"/bin/sleep", "60"},
		"fails and asks": {"/bin/sh", "-c", "echo what is wrong; " + s.reload[2] + "; exit 3"},
	} {
		t.Run(name, func(t *testing.T) {
			r.t = t
			it.Reload = reload
			r.e.Reload = 300 * time.Millisecond
			m2 := r.material()
			res := r.apply(it, m2, delivery.Failed)
			if name == "fails and asks" && !strings.Contains(res.Error, "what is wrong") {
				t.Errorf("%s", res.Error)
			}
			if got := read(t, o.Dir+"/privkey.pem") + read(t, o.Dir+"/fullchain.pem"); got != string(m.KeyPEM)+string(m.FullChainPEM) {
				t.Error("the old files are not back")
			}
			it.Reload = s.reload
			r.look(it, m, delivery.InSync) // what was delivered last still is, and is shown
		})
	}
}

// A change of layout and names that does not work leaves the old names, and none of the
// new.
func TestUndoOfNewNames(t *testing.T) {
	r := newRig(t)
	o := r.options()
	m := r.material()
	r.apply(r.item(o), m, delivery.Unverified)
	o.Layout, o.Names, o.Mode = KeyFirst, map[Part]string{File: "all.pem"}, 0o600
	it := r.item(o)
	it.Reload = []string{"/bin/false"}
	r.apply(it, m, delivery.Failed)
	holds(t, o.Dir, "cert.pem", "chain.pem", "fullchain.pem", "privkey.pem")
	if pairOf(t, o.Dir) != string(m.FullChainPEM) || mode(t, o.Dir+"/privkey.pem") != 0o640 {
		t.Error("not as it was")
	}
	it.Reload = nil
	r.apply(it, m, delivery.Unverified)
	holds(t, o.Dir, "all.pem")
}

// Where the version before is gone, the new one stays, and the next run goes on.
func TestNothingToGoBackTo(t *testing.T) {
	r := newRig(t)
	o := r.options()
	it := r.item(o)
	r.apply(it, r.material(), delivery.Unverified)
	if err := os.RemoveAll(o.Dir + "/.edge-mail/1"); err != nil {
		t.Fatal(err)
	}
	it.Reload = []string{"/bin/false"}
	m := r.material()
	res := r.apply(it, m, delivery.Failed)
	if !strings.Contains(res.Error, "could not be undone") || !strings.Contains(res.Error, "version 1 was in use before") {
		t.Errorf("%s", res.Error)
	}
	if read(t, o.Dir+"/privkey.pem") != string(m.KeyPEM) {
		t.Error("the new files are gone as well")
	}
	it.Reload = nil
	r.apply(it, m, delivery.Unverified)
}

// What somebody else had under the names comes back as it was when the first delivery
// fails, and goes when the second one has worked.
func TestFirstDeliveryUndone(t *testing.T) {
	r := newRig(t)
	o := r.options()
	if err := os.Mkdir(o.Dir, 0o755); err != nil {
		t.Fatal(err)
	}
	write := func(name, text string, mode fs.FileMode) {
		if err := os.WriteFile(o.Dir+"/"+name, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("privkey.pem", "old key", 0o604)
	write("other.pem", "not ours", 0o600)
	if err := os.Symlink("other.pem", o.Dir+"/fullchain.pem"); err != nil {
		t.Fatal(err)
	}
	it, m := r.item(o), r.material()
	it.Reload = []string{"/bin/false"}
	res := r.e.Apply(context.Background(), it, m)
	if res.State != delivery.Failed {
		t.Fatalf("%+v", res)
	}
	holds(t, o.Dir, "fullchain.pem", "other.pem", "privkey.pem")
	link, _ := os.Readlink(o.Dir + "/fullchain.pem")
	if info, err := os.Lstat(o.Dir + "/privkey.pem"); err != nil || info.Mode() != 0o604 || read(t, o.Dir+"/privkey.pem") != "old key" || link != "other.pem" {
		t.Errorf("not as it was: %v %v, link to %q", info, err, link)
	}
	if _, err := os.Lstat(o.Dir + "/.edge-mail"); err == nil {
		t.Error("the folder of versions stays")
	}
	it.Reload = nil
	r.apply(it, m, delivery.Unverified)
	if got := read(t, o.Dir+"/.edge-mail/0/privkey.pem"); got != "old key" {
		t.Errorf("kept: %q", got)
	}
	r.apply(it, r.material(), delivery.Unverified)
	if _, err := os.Stat(o.Dir + "/.edge-mail/0"); err == nil {
		t.Error("version 0 stays after the second delivery")
	}
	if read(t, o.Dir+"/other.pem") != "not ours" {
		t.Error("a file of somebody else was changed")
	}
}

// Two deliveries share a folder, as HAProxy's certificates do.
func TestSharedFolder(t *testing.T) {
	r := newRig(t)
	for _, name := range []string{"a.example.org", "*.example.org"} {
		o := r.options()
		o.Name, o.Layout, o.Names = name, FullchainKey, map[Part]string{File: edge.FileName(name) + ".pem"}
		it, m := r.item(o), r.material(name)
		it.Name = name
		r.apply(it, m, delivery.Unverified)
		if got := read(t, o.Dir+"/"+edge.FileName(name)+".pem"); got != string(m.FullChainPEM)+string(m.KeyPEM) {
			t.Errorf("%s: %q", name, got)
		}
		if got := mode(t, o.Dir+"/"+edge.FileName(name)+".pem"); got != 0o640 {
			t.Errorf("mode %#o", got)
		}
	}
	holds(t, filepath.Join(r.dir, "certs"), "_.example.org.pem", "a.example.org.pem")
}

// Nobody but root, or who runs this, may be able to lead the writing elsewhere.
func TestFolderOfOthers(t *testing.T) {
	r := newRig(t)
	base := filepath.Join(r.dir, "base")
	for _, d := range []string{"base", "base/open", "base/open/in", "base/group", "base/good", "base/theirs", "base/sticky", "base/sticky/mine"} {
		if err := os.Mkdir(filepath.Join(r.dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	must := func(err error) {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
	}
	must(os.Chmod(base+"/open", 0o777))
	must(os.Chmod(base+"/group", 0o775))
	must(os.Chmod(base+"/sticky", 0o777|fs.ModeSticky))
	must(os.Symlink(base+"/open/in", base+"/link"))
	must(os.Symlink("good", base+"/goodlink"))
	must(os.Symlink("loop", base+"/loop"))
	must(os.WriteFile(base+"/file", nil, 0o600))
	cases := map[string]string{
		"open": "can be written by others", "open/in": "can be written by others", "group": "can be written by others",
		"link": "can be written by others", "link/x": "can be written by others", "loop": "too many", "file": "not a folder", "good": "", "goodlink/new/deep": "",
		"sticky": "can be written by others", "sticky/mine": "", "sticky/link/x": "", "sticky/second/x": "with another name",
	}
	must(os.Symlink(base+"/good", base+"/sticky/link"))
	must(os.Symlink(base+"/good", base+"/first"))
	must(os.Link(base+"/first", base+"/sticky/second"))
	if os.Geteuid() == 0 {
		// Where others can put a link, its owner is looked at; else only root can have.
		must(os.Symlink(base+"/good", base+"/sticky/theirs"))
		must(os.Lchown(base+"/sticky/theirs", 65534, 65534))
		must(os.Symlink(base+"/good", base+"/copied"))
		must(os.Lchown(base+"/copied", 65534, 65534))
		cases["sticky/theirs"], cases["sticky/theirs/y"], cases["copied/z"] = "symbolic link of user 65534", "symbolic link of user 65534", ""
		must(os.Chown(base+"/theirs", 4321, 4321))
		cases["theirs"] = "belongs to user 4321"
	}
	for dir, want := range cases {
		o := r.options()
		o.Dir = filepath.Join(base, dir)
		it := r.item(o)
		res := r.e.Apply(context.Background(), it, r.material())
		if want == "" && res.State != delivery.Unverified || want != "" && !strings.Contains(res.Error, want) {
			t.Errorf("%s: %+v, want %q", dir, res, want)
		}
	}
	if _, err := os.Lstat(base + "/good/y"); err == nil {
		t.Error("a folder was made behind the link of another user")
	}
}

func TestBadOptions(t *testing.T) {
	r := newRig(t)
	for want, change := range map[string]func(*Options){
		"absolute path":       func(o *Options) { o.Dir = "certs" },
		"plain absolute path": func(o *Options) { o.Dir = "/a/../b" },
		"no file is wanted":   func(o *Options) { o.Names = nil },
		"one name":            func(o *Options) { o.Names = map[Part]string{Cert: "x", Key: "x"} },
		"has no file":         func(o *Options) { o.Names = map[Part]string{File: "x"} },
		"layout key-first":    func(o *Options) { o.Layout = KeyFirst },
		"the name of a file":  func(o *Options) { o.Names = map[Part]string{Cert: "../x"} },
		"name of a file":      func(o *Options) { o.Names = map[Part]string{Cert: ".edge-mail"} },
		"mode 0666":           func(o *Options) { o.Mode = 0o666 },
		"needs a password":    func(o *Options) { o.Layout, o.Names = PKCS12, map[Part]string{File: "x"} },
		"beyond ASCII":        func(o *Options) { o.Layout, o.Names, o.Password = PKCS12, map[Part]string{File: "x"}, "pass wörd" },
		"six characters":      func(o *Options) { o.Layout, o.Names, o.Password = JKS, map[Part]string{File: "x"}, "short" },
	} {
		o := r.options()
		change(&o)
		if _, err := New(o); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%v, want %q", err, want)
		}
	}
	if !strings.Contains(fmt.Sprint(New(r.options())), "mail") {
		t.Error("the good options are refused")
	}
}
