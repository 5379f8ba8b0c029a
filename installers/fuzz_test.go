package installers

import (
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// Whatever is in a checkpoint, it is read or refused.
func FuzzReadCheckpoint(f *testing.F) {
	f.Add([]byte("/etc/a\n/etc/b\n"), []byte("a2dismod,-f,ssl\r\n\"a \"\"b\"\"\",c\r\n"), []byte("-- Deployed ACME Certificate --\n/etc/a\n"), []byte(`{"Version":1,"Files":[{"Path":"/etc/a","Was":{"Mode":420}}],"Added":[{"Path":"/x","Kind":"folder"}]}`))
	f.Add([]byte{0xff}, []byte(`"`), []byte("-- --\n-- "), []byte(`{"Version":1,"Added":[{"Path":"../x"}]}`))
	f.Fuzz(func(t *testing.T, paths, commands, changes, record []byte) {
		dir := t.TempDir()
		for name, content := range map[string][]byte{fileFilePaths: paths, fileCommands: commands, fileChanges: changes, fileRecord: record} {
			if err := os.WriteFile(filepath.Join(dir, name), content, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		_, _ = titlesOf(dir)
		if argvs, err := readCommands(dir); err == nil {
			for _, argv := range argvs {
				_ = inverse(argv)
			}
		}
		r, err := readRecord(dir)
		if err != nil {
			return
		}
		for _, p := range r.paths() {
			if !filepath.IsAbs(p) || filepath.Clean(p) != p {
				t.Errorf("the path %q was taken", p)
			}
		}
	})
}

// What is noted for certbot is read back as it was.
func FuzzCommands(f *testing.F) {
	f.Add("a2dismod", `-f "x", y`, "")
	f.Add(" ", `\`, "é")
	f.Fuzz(func(t *testing.T, a, b, c string) {
		argv := []string{a, b, c}
		p := &Plan{Commands: []Command{{Do: []string{"true"}, Undo: argv}}}
		if checkPlan(p) != nil || strings.Contains(a+b+c, "\x00") {
			return
		}
		dir := t.TempDir()
		for _, f := range (&record{Ran: p.Commands}).forCertbot() {
			if err := os.WriteFile(filepath.Join(dir, f.name), f.text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		got, err := readCommands(dir)
		if err != nil || len(got) != 1 || !slices.Equal(got[0], argv) {
			t.Errorf("%q, %v; want %q", got, err, argv)
		}
	})
}
