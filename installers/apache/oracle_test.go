package apache

import (
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// Debian's certbot writes the same lines into the same files for a name that gets a
// twin, in an order of its own and with other space.
func TestTwinsAsCertbot(t *testing.T) {
	t.Parallel()
	compared := 0
	for i, tree := range trees {
		soak := os.Getenv("EDGE_SOAK") != ""
		if !soak && i != 3 {
			continue
		}
		names, err := corpusTree(t, tree).detect(t).Names(context.Background())
		if err != nil {
			t.Fatal(err)
		}
		for i, name := range names {
			if soak || i < 1 {
				compared += sameAsCertbot(t, tree, name)
			}
		}
	}
	if compared < 1 {
		t.Errorf("%d twins only", compared)
	}
}

func sameAsCertbot(t *testing.T, tree, name string) (twins int) {
	t.Helper()
	edge, certbot := corpusTree(t, tree), corpusTree(t, tree)
	for _, s := range []*server{edge, certbot} {
		for _, m := range []string{"ssl", "socache_shmcb"} {
			if _, err := os.Lstat(s.root + "/mods-enabled/" + m + ".load"); err != nil {
				write(t, s.root, map[string]string{"mods-enabled/" + m + ".load": "-> ../mods-available/" + m + ".load"})
			}
		}
	}
	edge.detect(t)
	cmd := exec.Command("/usr/bin/python3", "testdata/deploy.py", certbot.root, certbot.dir+"/le", name)
	cmd.Env = []string{"PATH=/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin", "APACHE_CONFDIR=" + certbot.root}
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("certbot: %v\n%s", err, out)
	}
	r := edge.request(lineage, name)
	r.Enhance.Redirect = true
	put(t, edge.plan(t, r))
	theirs := snapshot(t, certbot.root)
	for path, text := range snapshot(t, edge.root) {
		rel := strings.TrimPrefix(path, edge.root)
		want := lines(theirs[certbot.root+rel], certbot.dir)
		if got := lines(text, edge.dir); !slices.Equal(got, want) {
			t.Errorf("%s for %s:\n%s\ncertbot has\n%s", rel, name, strings.Join(got, "\n"), strings.Join(want, "\n"))
		}
		if strings.HasSuffix(path, "-le-ssl.conf") && filepath.Base(filepath.Dir(path)) != "sites-enabled" {
			twins++
		}
	}
	return twins
}

var patterned = regexp.MustCompile(`^RewriteCond %\{SERVER_NAME\} (=\S*[*?]|\^).*`)

// lines are those of a file, without space, in one order. certbot takes a name with a
// pattern for a name (docs: serverNameIs).
func lines(text, dir string) []string {
	var out []string
	for _, l := range strings.Split(strings.ReplaceAll(text, dir, "DIR"), "\n") {
		l = strings.Join(strings.Fields(strings.TrimSuffix(strings.TrimSpace(l), " [OR]")), " ")
		l = strings.ReplaceAll(l, "</Virtualhost>", "</VirtualHost>")
		if l = patterned.ReplaceAllString(l, "pattern"); l != "" {
			out = append(out, l)
		}
	}
	slices.Sort(out)
	return out
}
