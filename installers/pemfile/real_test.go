package pemfile

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"testing"
)

// What a link of a server's user leads to is not root's to write, unless it is that
// user's.
func TestReal(t *testing.T) {
	const server, other = 4321, 4322
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	at := func(name string) string { return filepath.Join(dir, name) }
	for _, sub := range []string{"etc", "conf"} {
		if err := os.Mkdir(at(sub), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, uid := range map[string]int{"etc/roots": 0, "conf/own": server, "conf/others": other} {
		if err := errors.Join(os.WriteFile(at(name), nil, 0o644), os.Chown(at(name), uid, -1)); err != nil {
			t.Fatal(err)
		}
	}
	for _, l := range []struct {
		name, to string
		uid      int
	}{
		{"conf/evil", "../etc/roots", server}, {"conf/folder", at("etc"), server}, {"conf/theirs", "others", server},
		{"conf/mine", "own", server}, {"conf/roots", "../etc/../etc/roots", 0}, {"conf/twice", "evil", 0}, {"conf/loop", "loop", 0}, {"conf/gone", "nowhere", server},
	} {
		if err := errors.Join(os.Symlink(l.to, at(l.name)), os.Lchown(at(l.name), l.uid, -1)); err != nil {
			t.Fatal(err)
		}
	}
	for name, want := range map[string]string{
		"conf/own": "conf/own", "conf/mine": "conf/own", "conf/roots": "etc/roots", "etc/roots": "etc/roots", "conf/../etc/.": "etc",
		"conf/evil": "", "conf/folder/roots": "", "conf/folder": "", "conf/theirs": "", "conf/twice": "", "conf/loop": "", "conf/gone": "",
	} {
		got, err := Real(dir + "/" + name)
		if want != "" && (err != nil || got != at(want)) || want == "" && (err == nil || got != "") {
			t.Errorf("%s: %q, %v", name, got, err)
		}
		if name == "conf/gone" && !errors.Is(err, fs.ErrNotExist) {
			t.Errorf("%s: %v", name, err)
		}
		if name == "conf/evil" && !strings.Contains(err.Error(), "conf/evil is a symbolic link of user 4321 to "+at("etc/roots")) {
			t.Errorf("%v", err)
		}
	}
}
