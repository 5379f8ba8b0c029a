package arch

import (
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

const root = "../.."

func TestImports(t *testing.T) {
	files := 0
	err := fs.WalkDir(os.DirFS(root), ".", func(p string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		if d.IsDir() && (strings.HasPrefix(d.Name(), ".") && p != "." || d.Name() == "testdata" || d.Name() == "bin") {
			return fs.SkipDir
		}
		if d.IsDir() || !strings.HasSuffix(p, ".go") {
			return nil
		}
		files++
		source, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			return err
		}
		violations, err := Check(p, source)
		for _, v := range violations {
			t.Error(v)
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	if files < 50 {
		t.Errorf("looked at %d files only", files)
	}
}

// The rules catch what they are there for.
func TestRules(t *testing.T) {
	for _, c := range []struct{ file, imported, rule string }{
		{"proxy/x.go", "edge/acmeglue", "packages in the middle do not know each other"},
		{"metrics/x.go", "edge/proxy/policy", "packages in the middle do not know each other"},
		{"proxy/upstream/x.go", "edge/proxy/policy", ""},
		{"proxy/x.go", "edge/cmd/edge", "imports point one way"},
		{"x.go", "edge/proxy", "package edge has nouns only"},
		{"hooks/x.go", "edge", "leaves import none of ours"},
		{"internal/flock/x.go", "edge/internal/durable", "leaves import none of ours"},
		{"internal/flock/x.go", "golang.org/x/sys/unix", ""},
		{"acmeglue/authenticator/x.go", "edge/acmeglue", ""},
		{"acmeglue/authenticator/x.go", "edge/internal/admin", "authenticators get what they need"},
		{"acmeglue/authenticator/x.go", "edge/acmeglue/lineage", "authenticators get what they need"},
		{"acmeglue/authenticator/x_test.go", "edge/internal/admin", ""},
		{"internal/portholder/x.go", "edge", "leaves import none of ours"},
		{"x.go", "net/http", "pure packages do no I/O"},
		{"x.go", "net/netip", ""},
		{"x.go", "os/exec", "pure packages do no I/O"},
		{"x.go", "golang.org/x/sys/unix", "package edge needs the standard library only"},
		{"x_test.go", "go.uber.org/goleak", ""},
		{"proxy/x.go", "go.uber.org/goleak", "modules for tests stay in tests"},
		{"internal/config/x.go", "github.com/santhosh-tekuri/jsonschema/v6", "modules for tests stay in tests"},
		{"internal/config/x_test.go", "github.com/santhosh-tekuri/jsonschema/v6", ""},
		{"deploy/demo/x.go", "edge/internal/edgetest", ""},
		{"deploy/other/x.go", "edge/internal/edgetest", "test CAs are never linked into edge"},
		{"proxy/policy/x.go", "net/http/httputil", "pure packages do no I/O"},
		{"proxy/policy/x.go", "time", "pure packages do no I/O"},
		{"proxy/policy/x_test.go", "time", ""},
		{"proxy/x.go", "github.com/caddyserver/certmagic", "one home for each third-party module"},
		{"acmeglue/x.go", "github.com/caddyserver/certmagic", ""},
		{"proxy/x.go", "golang.org/x/net/idna", "one home for each third-party module"},
		{"internal/config/x.go", "golang.org/x/net/idna", ""},
		{"cmd/edge/x.go", "example.com/new/thing", "third-party modules are listed"},
		{"cmd/edge/x.go", "edge/internal/edgetest", "test CAs are never linked into edge"},
		{"cmd/edge/x_test.go", "edge/internal/edgetest", ""},
		{"cmd/edge/x_test.go", "github.com/letsencrypt/pebble/v2/ca", "one home for each third-party module"},
	} {
		got, err := Check(c.file, "package x\nimport _ \""+c.imported+"\"\n")
		if err != nil {
			t.Fatal(err)
		}
		switch {
		case c.rule == "" && len(got) != 0:
			t.Errorf("%s importing %s: %v", c.file, c.imported, got)
		case c.rule != "" && (len(got) != 1 || got[0].Rule != c.rule || !strings.HasPrefix(got[0].Position, c.file+":2:")):
			t.Errorf("%s importing %s: got %v, want rule %q", c.file, c.imported, got, c.rule)
		}
	}
}

// Pebble (MPL) and the test helpers are in no binary that people run.
func TestLinkedIntoEdge(t *testing.T) {
	cmd := exec.Command("go", "list", "-deps", "./cmd/edge")
	cmd.Dir = root
	out, err := cmd.Output()
	if err != nil {
		t.Fatal(err)
	}
	deps := strings.Fields(string(out))
	if len(deps) < 100 {
		t.Fatalf("%d packages only", len(deps))
	}
	for _, d := range deps {
		if strings.Contains(d, "letsencrypt/pebble") || strings.Contains(d, "challtestsrv") || d == "edge/internal/edgetest" || d == "testing" {
			t.Errorf("cmd/edge links %s", d)
		}
	}
}
