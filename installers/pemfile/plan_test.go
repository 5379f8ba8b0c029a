package pemfile

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/installers"
)

// A key goes into no file that others can read, and through no link; what was there before
// is not kept, unless it is no secret.
func TestPlan(t *testing.T) {
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	for name, mode := range map[string]os.FileMode{"tight": 0o600, "wide": 0o644, "group": 0o640, "writable": 0o660} {
		if err := errors.Join(os.WriteFile(dir+"/"+name, []byte("-----BEGIN old"), 0o600), os.Chmod(dir+"/"+name, mode)); err != nil {
			t.Fatal(err)
		}
	}
	if err := errors.Join(os.WriteFile(dir+"/other", []byte("port 0\n"), 0o600), os.WriteFile(dir+"/empty", nil, 0o600), os.Symlink("tight", dir+"/link"), os.Mkdir(dir+"/folder", 0o755)); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]string{
		"wide": "has mode 0644", "writable": "has mode 0660", "link": "is in the way", "folder": "is in the way", "none/none/x": "no such file",
		"other": "is no PEM file",
	} {
		p := &installers.Plan{}
		if err := Plan(p, File{Path: dir + "/" + name, Content: []byte("new"), Mode: 0o640, Dir: 0o755}); err == nil || !strings.Contains(err.Error(), want) || len(p.Changes) > 0 {
			t.Errorf("%s: %v, %+v", name, err, p.Changes)
		}
	}
	for _, c := range []struct {
		name, content string
		public        bool
		changes       int
		op            installers.Op
		forget        bool
	}{
		{"tight", "new", false, 1, installers.Rewrite, true}, {"group", "new", true, 1, installers.Rewrite, false}, {"empty", "new", false, 1, installers.Rewrite, true}, {"tight", "-----BEGIN old", false, 0, 0, false},
		{"absent", "new", false, 1, installers.Create, false}, {"made/absent", "new", false, 2, installers.Create, false},
	} {
		p := &installers.Plan{}
		if err := Plan(p, File{Path: dir + "/" + c.name, Content: []byte(c.content), Mode: 0o640, Dir: 0o755, Public: c.public}); err != nil || len(p.Changes) != c.changes || p.Forget != c.forget {
			t.Errorf("%s: %v, %+v", c.name, err, p)
			continue
		}
		if c.changes == 0 {
			continue
		}
		last := p.Changes[c.changes-1]
		if last.Op != c.op || last.Secret == c.public || last.Path != dir+"/"+c.name || string(last.New) != c.content || last.Mode != 0o640 {
			t.Errorf("%s: %+v", c.name, last)
		}
		if c.changes == 2 && (p.Changes[0].Op != installers.Mkdir || p.Changes[0].Mode != 0o755) {
			t.Errorf("%s: %+v", c.name, p.Changes[0])
		}
	}
}
