package lineage

import (
	"net"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// lab is a tree that certbot and a test CA work on.
type lab struct {
	root string
	tree *Tree
	ca   *edgetest.CA
	port string
}

func newLab(t *testing.T) *lab {
	t.Helper()
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := listener.Addr().(*net.TCPAddr).Port
	if err := listener.Close(); err != nil {
		t.Fatal(err)
	}
	ca, err := edgetest.NewCA(edgetest.CAOptions{HTTPPort: port})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(ca.Close)
	root := t.TempDir()
	if err := os.WriteFile(filepath.Join(root, "roots.pem"), ca.ServerRoots(), 0o644); err != nil {
		t.Fatal(err)
	}
	return &lab{root, openTree(root, nil), ca, strconv.Itoa(port)}
}

// certbot gets or renews certificates.
func (l *lab) certbot(t *testing.T, args ...string) {
	t.Helper()
	cmd := certbotCommand(t, l.root, append(args, "--server", l.ca.URL(), "--agree-tos", "--register-unsafely-without-email")...)
	cmd.Env = append(cmd.Env, "REQUESTS_CA_BUNDLE="+filepath.Join(l.root, "roots.pem"))
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Fatalf("certbot %v: %v\n%s", args, err, out)
	}
}

func (l *lab) certonly(t *testing.T, args ...string) {
	t.Helper()
	l.certbot(t, append([]string{"certonly", "--standalone", "--http-01-port", l.port}, args...)...)
}

// lineages are the folders that this package writes to.
func lineages(t *testing.T, config string) string {
	t.Helper()
	var out strings.Builder
	for _, dir := range []string{"archive", "live", "renewal"} {
		out.WriteString(dir + "\n" + snapshot(t, filepath.Join(config, dir)))
	}
	return out.String()
}

// What certbot makes and what we make from the same values are the same, byte for byte.
func TestCreateAsCertbotDoes(t *testing.T) {
	lab := newLab(t)
	lab.certonly(t, "-d", "one.example,www.one.example", "--pre-hook", "true # 'a' \"b\"", "--deploy-hook", "true a, b", "--reuse-key")
	lab.certonly(t, "-d", "two.example", "--key-type", "rsa", "--preferred-challenges", "http-01", "--max-log-backups", "3")
	lab.certonly(t, "-d", "two.example", "--duplicate")
	names, err := lab.tree.Names()
	if err != nil || strings.Join(names, " ") != "one.example two.example-0001 two.example" {
		t.Fatalf("names %q, %v", names, err)
	}
	config := lab.tree.Dirs().Config
	theirs := filepath.Join(lab.root, "theirs")
	for _, step := range []error{os.Rename(config, theirs), os.Mkdir(config, 0o755)} {
		if step != nil {
			t.Fatal(step)
		}
	}
	old := Open(Dirs{Config: theirs}, Options{})
	for _, name := range []string{"one.example", "two.example", "two.example-0001"} {
		c, err := readConf(old.ConfPath(name))
		if err != nil {
			t.Fatal(err)
		}
		params, err := c.params()
		if err != nil {
			t.Fatal(err)
		}
		read := func(kind Kind) []byte {
			data, err := os.ReadFile(filepath.Join(theirs, "archive", name, kind.archived(1)))
			if err != nil {
				t.Fatal(err)
			}
			return data
		}
		wanted := strings.TrimSuffix(name, "-0001")
		l, err := lab.tree.Create(CreateOptions{Name: wanted, Chain: read(FullChain), Key: read(PrivKey), Params: &params})
		if err != nil {
			t.Fatal(err)
		}
		if l.Name() != name {
			t.Errorf("made as %s, want %s", l.Name(), name)
		}
	}
	if got, want := lineages(t, config), lineages(t, theirs); got != want {
		t.Errorf("we made\n%s\ncertbot made\n%s", got, want)
	}
}

// Each goes on with what the other wrote.
func TestTakeTurns(t *testing.T) {
	lab := newLab(t)
	lab.certonly(t, "-d", "one.example,www.one.example")
	l := load(t, lab.tree, "one.example")
	names, err := l.Names()
	if err != nil || strings.Join(names, " ") != "one.example www.one.example" {
		t.Errorf("names %q, %v", names, err)
	}
	if n := renew(t, l); n != 2 {
		t.Errorf("version %d, want 2", n)
	}
	ours := create(t, lab.tree, "two.example")
	p, err := l.Params()
	if err != nil {
		t.Fatal(err)
	}
	if err := ours.SetParams(Params{Renewal: p.Renewal, Edge: Section{{Key: "authenticator", Value: p.Renewal[0].Value}}}); err != nil {
		t.Fatal(err)
	}
	lab.certbot(t, "renew", "--force-renewal", "--no-random-sleep-on-renew")
	for _, name := range []string{"one.example", "two.example"} {
		l := load(t, lab.tree, name)
		want := 3
		if name == "two.example" {
			want = 2
		}
		if l.Version() != want {
			t.Errorf("%s: version %d after certbot's renewal, want %d", name, l.Version(), want)
		}
		if done := repair(t, lab.tree); len(done) > 0 {
			t.Errorf("repaired what certbot did: %v", done)
		}
		if n := renew(t, l); n != want+1 {
			t.Errorf("%s: version %d, want %d", name, n, want+1)
		}
	}
	if p, err := load(t, lab.tree, "two.example").Params(); err != nil || len(p.Edge) != 1 {
		t.Errorf("certbot's renewal lost the section edge: %v, %v", p.Edge, err)
	}
	out := certbot(t, lab.root, "certificates")
	for _, want := range []string{"Certificate Name: one.example", "Certificate Name: two.example", "Domains: two.example"} {
		if !strings.Contains(out, want) || strings.Contains(out, "invalid:") {
			t.Errorf("certbot says, without %q:\n%s", want, out)
		}
	}
}

// A lineage is gone, whoever made it and whoever deletes it.
func TestDeleteAsCertbotDoes(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	create(t, tree, "stays.example")
	before := snapshot(t, tree.Dirs().Config)
	renew(t, create(t, tree, "goes.example"))
	certbot(t, root, "delete", "--cert-name", "goes.example")
	theirs := regexp.MustCompile(`(?m)^.* (renewal-hooks|accounts).*\n`).ReplaceAllString(snapshot(t, tree.Dirs().Config), "")
	if theirs != before {
		t.Errorf("certbot left something of ours:\n%s\nwant\n%s", theirs, before)
	}
	renew(t, create(t, tree, "goes.example"))
	if left, err := tree.Delete("goes.example"); err != nil || len(left) > 0 {
		t.Errorf("left %v, %v", left, err)
	}
	ours := regexp.MustCompile(`(?m)^.* (renewal-hooks|accounts).*\n`).ReplaceAllString(snapshot(t, tree.Dirs().Config), "")
	if ours != before {
		t.Errorf("left behind:\n%s\nwant\n%s", ours, before)
	}
}
