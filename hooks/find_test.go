package hooks

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func TestDirectory(t *testing.T) {
	dir := t.TempDir()
	in := func(name string) string { return filepath.Join(dir, name) }
	for _, name := range []string{"b", "a b", "B", "10", "9", "é", "-x", ".hidden", "old~", "z.sh"} {
		script(t, in(name), "")
	}
	script(t, in("folder/inner"), "")
	if err := os.WriteFile(in("not-executable"), nil, 0o644); err != nil {
		t.Fatal(err)
	}
	for name, target := range map[string]string{"link": "b", "dangling": "gone", "to-folder": "folder", "link~": "b"} {
		if err := os.Symlink(target, in(name)); err != nil {
			t.Fatal(err)
		}
	}
	got, err := Directory(dir)
	if err != nil {
		t.Fatal(err)
	}
	var want []string
	for _, name := range []string{"-x", ".hidden", "10", "9", "B", "a b", "b", "link", "z.sh", "é"} {
		want = append(want, in(name))
	}
	if !slices.Equal(got, want) {
		t.Errorf("hooks are\n%q, want\n%q", got, want)
	}
}

func TestDirectoryThatIsNone(t *testing.T) {
	if got, err := Directory(filepath.Join(t.TempDir(), "gone")); got != nil || err != nil {
		t.Errorf("a missing folder has %q, %v", got, err)
	}
	if _, err := Directory(script(t, filepath.Join(t.TempDir(), "file"), "")); err == nil {
		t.Error("a file is no folder, but there is no error")
	}
}

// The texts of certbot, of a run of 2.1 with PATH=/usr/bin:/bin and
//
//	certbot certonly -n --standalone -d a.test --pre-hook "/nonexist -x"
//
// The third line is edge's own. 2.1 has swapped the two names in the text about a
// file that is not executable (hooks.py); edge has not.
func TestValidateInCertbotsWords(t *testing.T) {
	dir := t.TempDir()
	script(t, filepath.Join(dir, "good"), "")
	plain := filepath.Join(dir, "plain")
	if err := os.WriteFile(plain, nil, 0o644); err != nil {
		t.Fatal(err)
	}
	const path = "/usr/bin:/bin"
	notFound := func(kind, cmd string) string {
		return "Unable to find " + kind + " command " + cmd + " in the PATH.\n" +
			"(PATH is /usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin)\n" +
			"See also the --disable-hook-validation option."
	}
	for _, c := range []struct {
		kind          Kind
		command, path string
		want          string
	}{
		{Pre, "", path, ""},
		{Pre, "true", path, ""},
		{Pre, " \ttrue && other", path, ""},
		{Pre, "good", path + ":" + dir, ""},
		{Pre, filepath.Join(dir, "good") + " -x", "", ""},
		{Post, "chroot /x", "/nowhere", ""}, // in /usr/sbin
		{Pre, "/nonexist -x", path, notFound("pre-hook", "/nonexist")},
		{Post, "nonexist", path, notFound("post-hook", "nonexist")},
		{Deploy, "A=1 true", path, notFound("deploy-hook", "A=1")},
		{"renew-hook", "'true'", path, notFound("renew-hook", "'true'")},
		{Pre, plain + " -x", path, "pre-hook command " + plain + " exists, but is not executable."},
		{Pre, dir, path, "pre-hook command " + dir + " exists, but is not executable."},
		{Deploy, " \t", path, "The deploy-hook command is blank."},
	} {
		err := Validate(c.kind, c.command, c.path)
		var notFound *NotFoundError
		switch {
		case c.want == "" && err != nil:
			t.Errorf("%q: %v", c.command, err)
		case c.want != "" && (!errors.As(err, &notFound) || err.Error() != c.want):
			t.Errorf("%q: %v\nwant %s", c.command, err, c.want)
		}
	}
}

// What Validate finds with the folders that it adds, Runner finds as well.
func TestValidateLooksWhereTheRunnerDoes(t *testing.T) {
	const command, path = "chroot --version", "/bin:/usr/bin"
	if err := Validate(Pre, command, path); err != nil {
		t.Fatal(err)
	}
	r := &Runner{Env: []string{"PATH=" + path}}
	if out := run(t, r, command, nil).Stdout; !strings.HasPrefix(out, "chroot") {
		t.Errorf("output is %q", out)
	}
}
