package targets

import (
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"edge/installers/target"
)

var update = flag.Bool("update", false, "write docs/targets/settings.md anew")

// The table is in order, and no name means two things.
func TestTable(t *testing.T) {
	name := regexp.MustCompile(`^[a-z][a-z0-9]*(_[a-z0-9]+)*$`)
	seen := map[string]string{}
	once := func(what, of string) {
		t.Helper()
		if seen[what] != "" {
			t.Errorf("%s is of %s and of %s", what, seen[what], of)
		}
		seen[what] = of
	}
	last := ""
	for _, k := range All() {
		if k.Name <= last || !name.MatchString(k.Name) || k.Description == "" || strings.HasSuffix(k.Description, ".") {
			t.Errorf("%s after %s: %q", k.Name, last, k.Description)
		}
		last = k.Name
		if !k.Installs() && !k.Proves() {
			t.Errorf("%s does nothing", k.Name)
		}
		for _, n := range append([]string{k.Name}, k.Aliases...) {
			once("kind "+n, k.Name)
			if found := Named(n); found == nil || found.Name != k.Name {
				t.Errorf("%s is not found by %q", k.Name, n)
			}
		}
		if _, err := os.Stat("../../docs/targets/" + k.Name + ".md"); err != nil {
			t.Errorf("%s has no page: %v", k.Name, err)
		}
		for i := range k.Settings {
			s := &k.Settings[i]
			once("flag "+s.Flag(k.Name), k.Name)
			for _, old := range s.Old {
				once("flag "+old, k.Name)
			}
			switch {
			case !name.MatchString(s.Name), s.Doc == "", strings.HasSuffix(s.Doc, "."), s.Must && s.Default != "":
				t.Errorf("%s: setting %+v", k.Name, s)
			case s.Type == target.Secret && s.Default != "":
				t.Errorf("%s: %s has a secret as its default", k.Name, s.Name)
			case s.Installs && !k.Installs(), s.Proves && !k.Proves(), s.Proves && s.Installs:
				t.Errorf("%s: %s is for nothing", k.Name, s.Name)
			case s.Default != "" && len(s.Choices) > 0 && !slices.Contains(s.Choices, s.Default):
				t.Errorf("%s: %s has a default that cannot be", k.Name, s.Name)
			}
		}
		said := map[string][]string{}
		if _, problems := target.Parse(&k, said, nil, false, false); len(problems) > 0 {
			t.Errorf("%s: its defaults: %v", k.Name, problems)
		}
	}
	if Named("nothing") != nil {
		t.Error("a kind that there is not is found")
	}
}

// docs/targets/settings.md has what the code has.
func TestDocs(t *testing.T) {
	const page = "../../docs/targets/settings.md"
	const begin = "<!-- generated from the code by make docs -->\n"
	doc, err := os.ReadFile(page)
	if err != nil {
		t.Fatal(err)
	}
	head, _, ok := strings.Cut(string(doc), begin)
	if !ok {
		t.Fatalf("%s has lost its mark", page)
	}
	want := head + begin + strings.TrimSuffix(Markdown(), "\n")
	if *update {
		if err := os.WriteFile(page, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Errorf("%s is stale: run make docs", page)
	}
}
