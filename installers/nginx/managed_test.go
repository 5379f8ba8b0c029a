package nginx

import (
	"os"
	"strings"
	"testing"

	"edge/installers"
)

// Files that certbot keeps are looked after as certbot does.
func TestManagedFiles(t *testing.T) {
	current, err := shipped.ReadFile("tls/options-ssl-nginx.conf")
	if err != nil {
		t.Fatal(err)
	}
	old, err := shipped.ReadFile("tls/options-ssl-nginx-old.conf") // certbot shipped it
	if err != nil {
		t.Fatal(err)
	}
	if digestOf(current) != optionsHashes[len(optionsHashes)-1] && !strings.Contains(strings.Join(optionsHashes, " "), digestOf(current)) {
		t.Error("the file is not certbot's")
	}
	mine := string(current) + "ssl_ecdh_curve X25519;\n"
	for name, c := range map[string]struct {
		have, noted string
		ops         int // changes
		after       string
		warn        bool
	}{
		"missing":               {"", "", 2, string(current), false},
		"missing, digest there": {"", digestOf(current), 1, string(current), false},
		"current":               {string(current), "", 0, string(current), false},
		"old":                   {string(old), "", 2, string(current), false},
		"changed":               {mine, "", 1, mine, true},
		"changed, told":         {mine, digestOf(current), 0, mine, false},
		"changed, told of old":  {mine, digestOf(old), 1, mine, true},
	} {
		dir := t.TempDir()
		path, note := dir+"/options-ssl-nginx.conf", dir+"/.updated-options-ssl-nginx-conf-digest.txt"
		if c.have != "" {
			write(t, path, c.have)
		}
		if c.noted != "" {
			write(t, note, c.noted)
		}
		f, err := manage(path, note, "options-ssl-nginx.conf", optionsHashes)
		if err != nil {
			t.Fatal(err)
		}
		for _, change := range f.changes() {
			_, err := os.Stat(change.Path)
			if (change.Op == installers.Create) != os.IsNotExist(err) {
				t.Errorf("%s: %+v", name, change)
			}
			write(t, change.Path, string(change.New))
		}
		if len(f.changes()) != c.ops || read(t, path) != c.after || f.content != c.after || (f.warning != "") != c.warn {
			t.Errorf("%s: %d changes, %q", name, len(f.changes()), f.warning)
		}
		if c.ops > 0 && read(t, note) != digestOf(current) {
			t.Errorf("%s: the digest is %q", name, read(t, note))
		}
	}
	if _, err := manage(t.TempDir()+"/none/x", t.TempDir()+"/y", "options-ssl-nginx.conf", nil); err == nil {
		t.Error("no folder, and no error")
	}
}
