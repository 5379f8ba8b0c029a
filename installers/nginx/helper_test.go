package nginx

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"

	"edge/installers"
	"edge/installers/nginx/conf"
)

// shared returns a path in the folder of recorded files.
func shared(t testing.TB, name string) string {
	t.Helper()
	name = filepath.Join(sharedDir(), name)
	switch _, err := os.Stat(name); {
	case err == nil:
	case errors.Is(err, fs.ErrNotExist) && os.Getenv("CI") != "true":
		t.Skipf("not run: no recorded files (%v)", err)
	default:
		t.Fatalf("the recorded files are missing: set EDGE_SHARED (%v)", err)
	}
	return name
}

func sharedDir() string {
	if dir := os.Getenv("EDGE_SHARED"); dir != "" {
		return dir
	}
	return "../../../shared"
}

func read(t testing.TB, path string) string {
	t.Helper()
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(b)
}

func write(t testing.TB, path, content string) {
	t.Helper()
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), 0o644); err != nil {
		t.Fatal(err)
	}
}

// lab is a folder with a configuration of nginx, and certbot's folders.
type lab struct {
	dir   string // real
	root  string // of nginx.conf
	nginx *Nginx
}

// newLab makes one of files, in which @ stands for the folder.
func newLab(t testing.TB, files map[string]string) *lab {
	t.Helper()
	dir, err := filepath.EvalSymlinks(t.TempDir())
	if err != nil {
		t.Fatal(err)
	}
	l := &lab{dir: dir, root: filepath.Join(dir, "nginx")}
	for _, d := range []string{"le", "work", "nginx", "html"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	for name, src := range files {
		write(t, filepath.Join(l.root, name), strings.ReplaceAll(src, "@", dir))
	}
	return l
}

// detect finds the nginx of the lab.
func (l *lab) detect(t testing.TB) *Nginx {
	t.Helper()
	n, err := Detect(t.Context(), Options{ServerRoot: l.root})
	if err != nil {
		t.Fatal(err)
	}
	l.nginx = n
	return n
}

func (l *lab) request(names ...string) installers.Request {
	live := filepath.Join(l.dir, "le/live", names[0])
	return installers.Request{
		Names: names, Deploy: true, ConfigDir: filepath.Join(l.dir, "le"), UseDefault: true,
		Certificate: installers.Certificate{Lineage: names[0], Cert: live + "/cert.pem", Key: live + "/privkey.pem", Chain: live + "/chain.pem", FullChain: live + "/fullchain.pem"},
	}
}

// plan makes a plan that has to be possible.
func (l *lab) plan(t testing.TB, r installers.Request) *installers.Plan {
	t.Helper()
	p, err := l.tryPlan(t, r)
	if err != nil {
		t.Fatal(err)
	}
	return p
}

// tryPlan makes one that need not be possible. Most labs have no nginx that runs, and need
// no warning of it.
func (l *lab) tryPlan(t testing.TB, r installers.Request) (*installers.Plan, error) {
	t.Helper()
	p, err := l.detect(t).Plan(t.Context(), r)
	if err == nil {
		p.Warnings = slices.DeleteFunc(p.Warnings, func(w string) bool { return strings.HasPrefix(w, "nginx does not run with ") })
	}
	return p, err
}

// write does what a plan says, without a server.
func (l *lab) write(t testing.TB, p *installers.Plan) {
	t.Helper()
	for _, c := range p.Changes {
		if c.Op == installers.Rewrite && read(t, c.Path) != string(c.Old) {
			t.Fatalf("%s is not what the plan was made for", c.Path)
		}
		write(t, c.Path, string(c.New))
	}
}

// canonical is a configuration as a list of its words and comments, the server blocks of
// http sorted: what is left out means nothing to nginx, nor to certbot.
func canonical(t testing.TB, src string) string {
	t.Helper()
	f, err := conf.Parse("x", src)
	if err != nil {
		t.Fatalf("%v in\n%s", err, src)
	}
	return strings.Join(canonicalBlock(f.Root, ""), "\n")
}

func canonicalBlock(b *conf.Block, indent string) []string {
	var servers, rest []string
	for _, item := range b.Items {
		d, ok := item.(*conf.Directive)
		if !ok {
			rest = append(rest, indent+strings.TrimSpace(b.File.Text(item.Bounds())))
			continue
		}
		var words []string
		for _, w := range d.Words {
			words = append(words, b.File.Text(w.Span))
		}
		text := indent + strings.Join(words, " ")
		if d.Block != nil {
			text += "\n" + strings.Join(canonicalBlock(d.Block, indent+"  "), "\n")
		}
		if d.Name() == "server" {
			servers = append(servers, text)
		} else {
			rest = append(rest, text)
		}
	}
	slices.Sort(servers)
	return append(rest, servers...)
}

func itoa(n int) string { return strconv.Itoa(n) }

// loadOnly reads a configuration without asking nginx.
func loadOnly(t testing.TB, n *Nginx) *conf.Set {
	t.Helper()
	set, err := conf.Load(n.conf)
	if err != nil {
		t.Fatal(err)
	}
	return set
}
