package arch

import (
	"fmt"
	"go/parser"
	"go/token"
	"path"
	"slices"
	"strconv"
	"strings"
)

// layers are the packages that must not know each other. Sub-packages belong to
// their layer.
var layers = []string{"edge/proxy", "edge/acmeglue", "edge/installers", "edge/hooks", "edge/metrics"}

// pure are packages that do no I/O, with what they must not import; "os" stands
// for os/exec and the like as well.
var pure = map[string][]string{
	"edge":              {"net", "net/http", "os"},
	"edge/proxy/policy": {"net", "net/http", "os", "time", "context", "syscall"},
}

// leaves are packages that work for others and know none of ours.
var leaves = []string{"edge/hooks", "edge/internal/flock", "edge/internal/portholder"}

// home says which packages may import a third-party path; a folder covers what
// is below it. The longest matching path counts. What is not listed is refused.
var home = map[string][]string{
	"github.com/caddyserver/certmagic":      {"edge/acmeglue"},
	"github.com/mholt/acmez":                {"edge/acmeglue"},
	"github.com/libdns":                     {"edge/acmeglue"},
	"go.uber.org/zap":                       {"edge/acmeglue"},
	"golang.org/x/time":                     {"edge/acmeglue"},
	"github.com/prometheus/client_golang":   {"edge/metrics"},
	"github.com/prometheus/client_model":    {"edge/metrics"},
	"go.yaml.in/yaml":                       {"edge/internal/config"},
	"github.com/santhosh-tekuri/jsonschema": {"edge/internal/config"},
	"golang.org/x/net/idna":                 {"edge/internal/config"},
	"golang.org/x/net":                      {"edge/proxy", "edge/deploy/bench"},
	"github.com/coreos/go-systemd":          {"edge/proxy", "edge/cmd/edge"},
	"github.com/spf13":                      {"edge/cmd/edge"},
	"github.com/rogpeppe/go-internal":       {"edge/cmd/edge"},
	"github.com/summerwind/h2spec":          {"edge/proxy"},
	"github.com/quic-go":                    {"edge/proxy", "edge/deploy/bench", "edge/internal/edgetest/load"},
	"github.com/pires/go-proxyproto":        {"edge/proxy"},
	"github.com/klauspost/compress":         {"edge/proxy/compress"},
	"github.com/andybalholm/brotli":         {"edge/proxy/compress"},
	"github.com/pavlo-v-chernykh":           {"edge/installers/files"},
	"software.sslmate.com/src/go-pkcs12":    {"edge/installers/files"},
	"github.com/pkg/sftp":                   {"edge/installers/sftp"},
	"github.com/letsencrypt/pebble":         {"edge/internal/edgetest"},
	"github.com/miekg/dns":                  {"edge/internal/edgetest"},
	"go.uber.org/goleak":                    {"edge"},
	"golang.org/x/sys":                      {"edge"},
	"golang.org/x/crypto":                   {"edge"},
}

// narrow are packages of which nothing of ours may be imported but what is listed;
// their tests may import more.
var narrow = map[string][]string{
	"edge/acmeglue/authenticator": {"edge", "edge/acmeglue", "edge/internal/portholder", "edge/internal/configobj"},
}

// testOnly are modules for tests: they are linked into nothing that people run.
var testOnly = []string{
	"github.com/rogpeppe/go-internal", "github.com/santhosh-tekuri/jsonschema",
	"github.com/summerwind/h2spec", "go.uber.org/goleak",
}

// testCAs are the commands that start a test CA, as tests do.
var testCAs = []string{"edge/deploy/demo", "edge/deploy/bench", "edge/deploy/soak", "edge/deploy/testca"}

// Violation is an import that breaks a rule.
type Violation struct {
	Rule, Position, Why string
}

func (v Violation) String() string { return fmt.Sprintf("%s: rule %q: %s", v.Position, v.Rule, v.Why) }

// Check looks at one file, given by its path from the root of the module.
func Check(file string, source any) ([]Violation, error) {
	fset := token.NewFileSet()
	f, err := parser.ParseFile(fset, file, source, parser.ImportsOnly)
	if err != nil {
		return nil, err
	}
	pkg := path.Join("edge", path.Dir(file))
	test := strings.HasSuffix(file, "_test.go")
	var out []Violation
	for _, spec := range f.Imports {
		imported, err := strconv.Unquote(spec.Path.Value)
		if err != nil {
			return nil, err
		}
		if rule, why := check(pkg, imported, test); rule != "" {
			out = append(out, Violation{rule, fset.Position(spec.Pos()).String(), why})
		}
	}
	return out, nil
}

// check returns the rule that an import breaks, or "".
func check(pkg, imported string, test bool) (rule, why string) {
	if !test {
		for _, refused := range pure[pkg] {
			if imported == refused || refused != "net" && within(imported, refused) {
				return "pure packages do no I/O", fmt.Sprintf("%s imports %s", pkg, imported)
			}
		}
	}
	if imported == "edge" || strings.HasPrefix(imported, "edge/") {
		return checkOwn(pkg, imported, test)
	}
	if !strings.Contains(strings.SplitN(imported, "/", 2)[0], ".") {
		return "", "" // standard library
	}
	if pkg == "edge" && !test {
		return "package edge needs the standard library only", "it imports " + imported + ", and everybody imports it"
	}
	if !test && withinAny(imported, testOnly) {
		return "modules for tests stay in tests", fmt.Sprintf("%s imports %s outside of a test", pkg, imported)
	}
	best := ""
	for p := range home {
		if within(imported, p) && len(p) > len(best) {
			best = p
		}
	}
	if best == "" {
		return "third-party modules are listed", imported + " has no home: name one in internal/arch, with its three lines in docs/decisions.md"
	}
	for _, h := range home[best] {
		if within(pkg, h) {
			return "", ""
		}
	}
	return "one home for each third-party module", fmt.Sprintf("%s belongs to %s, not to %s", imported, strings.Join(home[best], " and "), pkg)
}

func checkOwn(pkg, imported string, test bool) (rule, why string) {
	from, to := layerOf(pkg), layerOf(imported)
	switch {
	case pkg == "edge":
		return "package edge has nouns only", "it imports " + imported + ", and everybody imports it"
	case withinAny(pkg, leaves) && !within(imported, pkg):
		return "leaves import none of ours", fmt.Sprintf("%s imports %s: take what you need as a parameter, cmd/edge wires it", pkg, imported)
	case narrow[pkg] != nil && !test && !slices.Contains(narrow[pkg], imported):
		return "authenticators get what they need", fmt.Sprintf("%s imports %s: declare a small interface, cmd/edge wires it", pkg, imported)
	case from != "" && to != "" && from != to:
		return "packages in the middle do not know each other", fmt.Sprintf("%s imports %s: declare the interface you need, cmd/edge wires them", pkg, imported)
	case from != "" && within(imported, "edge/cmd"):
		return "imports point one way", pkg + " imports " + imported
	case within(imported, "edge/internal/edgetest") && !test && !within(pkg, "edge/internal/edgetest") && !withinAny(pkg, testCAs):
		return "test CAs are never linked into edge", pkg + " imports " + imported + " outside of a test"
	}
	return "", ""
}

func layerOf(pkg string) string {
	for _, l := range layers {
		if within(pkg, l) {
			return l
		}
	}
	return ""
}

func withinAny(p string, dirs []string) bool {
	return slices.ContainsFunc(dirs, func(d string) bool { return within(p, d) })
}

func within(p, dir string) bool { return p == dir || strings.HasPrefix(p, dir+"/") }
