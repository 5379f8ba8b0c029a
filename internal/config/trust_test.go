package config

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
)

// tree writes a configuration that nobody else can write: etc/edge.yaml with a
// file in conf.d, a secret and nothing beside. It returns the folder above.
func tree(t *testing.T) string {
	t.Helper()
	top := t.TempDir()
	if err := os.Chmod(top, 0o755); err != nil {
		t.Fatal(err)
	}
	main := strings.Replace(minimal, "acme: {", "acme: {dns: {provider: cloudflare, api_token: file:token}, ", 1)
	write(t, top, "etc/edge.yaml", main, 0o644)
	write(t, top, "etc/token", "secret", 0o600)
	write(t, top, "etc/conf.d/a.yaml", "certificates: [{name: mail, hosts: [mail.example.org]}]\n", 0o600)
	return top
}

func chmod(t *testing.T, path string, mode uint32) {
	t.Helper()
	if err := syscall.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
}

func TestTrusted(t *testing.T) {
	top := tree(t)
	c, err := loadTrusted(top+"/etc/edge.yaml", top, uint32(os.Geteuid()))
	if err != nil {
		t.Fatal(err)
	}
	if len(c.Certificates) != 1 || c.ACME.DNS.APIToken != "secret" || len(c.Files) != 2 {
		t.Errorf("got %+v", c)
	}
	// By a relative path, and without conf.d.
	t.Chdir(top + "/etc")
	if err := os.RemoveAll("conf.d"); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTrusted("edge.yaml", top, uint32(os.Geteuid())); err != nil {
		t.Error(err)
	}
	if _, err := loadTrusted("nosuch.yaml", top, uint32(os.Geteuid())); err == nil || !strings.Contains(err.Error(), "no such file") {
		t.Errorf("a missing file: %v", err)
	}
}

// What others than root can write is refused, with the path, the mode, the owner
// and the remedy; what is refused is not read.
func TestUntrusted(t *testing.T) {
	link := func(target string) func(*testing.T, string) {
		return func(t *testing.T, top string) {
			if err := os.Rename(top+"/etc/edge.yaml", top+"/etc/real.yaml"); err != nil {
				t.Fatal(err)
			}
			if err := os.Mkdir(top+"/open", 0o755); err != nil {
				t.Fatal(err)
			}
			write(t, top, "open/edge.yaml", minimal, 0o644)
			chmod(t, top+"/open", 0o777)
			if err := os.Symlink(target, top+"/etc/edge.yaml"); err != nil {
				t.Fatal(err)
			}
		}
	}
	mode := func(path string, mode uint32) func(*testing.T, string) {
		return func(t *testing.T, top string) { chmod(t, filepath.Join(top, path), mode) }
	}
	for name, c := range map[string]struct {
		spoil func(t *testing.T, top string)
		want  []string // TOP stands for the folder
	}{
		"file, group":          {mode("etc/edge.yaml", 0o664), []string{"TOP/etc/edge.yaml: group ", "can write it (mode 0664, owner ", "chmod go-w TOP/etc/edge.yaml"}},
		"file, everybody":      {mode("etc/edge.yaml", 0o646), []string{"TOP/etc/edge.yaml: everybody can write it (mode 0646"}},
		"folder":               {mode("etc", 0o775), []string{"TOP/etc: group ", "chmod go-w TOP/etc\n"}},
		"folder above":         {mode("", 0o777), []string{"TOP: group ", " and everybody can write it"}},
		"sticky folder":        {mode("etc", 0o1777), []string{"TOP/etc: group ", "mode 01777", "move the configuration into a folder that only root can write"}},
		"conf.d":               {mode("etc/conf.d", 0o775), []string{"TOP/etc/conf.d: group "}},
		"file of conf.d":       {mode("etc/conf.d/a.yaml", 0o666), []string{"TOP/etc/conf.d/a.yaml: group "}},
		"secret":               {mode("etc/token", 0o620), []string{"TOP/etc/token: group ", "secret file TOP/etc/token: others can write it"}},
		"link to open folder":  {link("../open/edge.yaml"), []string{"TOP/open: group "}},
		"absolute link to one": {link("TOP/open/edge.yaml"), []string{"TOP/open: group "}},
		"link to itself":       {link("edge.yaml"), []string{"too many levels of symbolic links"}},
		"all at once": {func(t *testing.T, top string) { chmod(t, top+"/etc", 0o775); chmod(t, top+"/etc/edge.yaml", 0o666) },
			[]string{"TOP/etc: group ", "TOP/etc/edge.yaml: group ", "2 errors"}},
	} {
		t.Run(name, func(t *testing.T) {
			top := tree(t)
			c.spoil(t, top)
			if target, err := os.Readlink(top + "/etc/edge.yaml"); err == nil && strings.HasPrefix(target, "TOP") {
				os.Remove(top + "/etc/edge.yaml")
				if err := os.Symlink(strings.Replace(target, "TOP", top, 1), top+"/etc/edge.yaml"); err != nil {
					t.Fatal(err)
				}
			}
			_, err := loadTrusted(top+"/etc/edge.yaml", top, uint32(os.Geteuid()))
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want Errors", err)
			}
			for _, want := range c.want {
				if want = strings.ReplaceAll(want, "TOP", top); !strings.Contains(err.Error()+"\n", want) {
					t.Errorf("want %q in\n%s", want, err)
				}
			}
			if _, err := Load(top + "/etc/edge.yaml"); err != nil && name != "link to itself" {
				t.Errorf("the door does not read it either: %v", err)
			}
		})
	}
}

// A link to a folder that is as safe as the link's own is followed.
func TestTrustedLink(t *testing.T) {
	top := tree(t)
	if err := os.Symlink("etc", top+"/link"); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(top+"/link/../etc/", top+"/again"); err != nil {
		t.Fatal(err)
	}
	for _, l := range []string{"link", "again"} {
		if _, err := loadTrusted(filepath.Join(top, l, "edge.yaml"), top, uint32(os.Geteuid())); err != nil {
			t.Error(err)
		}
	}
}

// What belongs to somebody else is refused, whatever its mode.
func TestForeignOwner(t *testing.T) {
	top := tree(t)
	uid := uint32(os.Geteuid())
	if uid == 0 {
		if err := os.Chown(top+"/etc/conf.d", 4001, 0); err != nil {
			t.Fatal(err)
		}
	} else {
		uid++ // then everything is somebody else's
	}
	_, err := loadTrusted(top+"/etc/edge.yaml", top, uid)
	if err == nil || !strings.Contains(err.Error(), "chown root "+top+"/etc/conf.d") || !strings.Contains(err.Error(), top+"/etc/conf.d: user ") {
		t.Errorf("got %v", err)
	}
}

// The folder for everybody's temporary files is no place for what root obeys.
func TestTemporaryFolder(t *testing.T) {
	top := tree(t)
	if err := os.Mkdir(top+"/tmp", 0o755); err != nil {
		t.Fatal(err)
	}
	chmod(t, top+"/tmp", 0o1777)
	if err := os.Rename(top+"/etc", top+"/tmp/etc"); err != nil {
		t.Fatal(err)
	}
	if _, err := loadTrusted(top+"/tmp/etc/edge.yaml", top, uint32(os.Geteuid())); err == nil || !strings.HasPrefix(err.Error(), top+"/tmp: group ") {
		t.Errorf("got %v", err)
	}
	if os.TempDir() == "/tmp" {
		if _, err := LoadTrusted(top + "/tmp/etc/edge.yaml"); err == nil || !strings.Contains(err.Error(), "/tmp: group ") {
			t.Errorf("below /tmp: %v", err)
		}
	}
}
