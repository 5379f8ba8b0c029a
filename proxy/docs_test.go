package proxy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated parts of docs/security.md anew")

const securityPage = "../docs/security.md"

// The lists of refused shapes in docs/security.md are the tables that the tests
// send over sockets.
func TestDocsSecurity(t *testing.T) {
	old, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	var h1, h2 strings.Builder
	for _, s := range refusedShapes {
		fmt.Fprintf(&h1, "| %s | %d |\n", s.class, s.want)
	}
	for _, s := range refusedOnHTTP2 {
		fmt.Fprintf(&h2, "| %s | %s |\n", s.class, strings.Replace(s.want, "RST", "stream error", 1))
	}
	page := replacePart(t, string(old), "strict_test.go", h1.String())
	page = replacePart(t, page, "strict_h2_test.go", h2.String())
	if *update {
		if err := os.WriteFile(securityPage, []byte(page), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if page != string(old) {
		t.Errorf("%s is stale: run make docs", securityPage)
	}
}

// replacePart puts rows into the part of the page that is made from a file.
func replacePart(t *testing.T, page, file, rows string) string {
	t.Helper()
	begin := "<!-- generated from proxy/" + file + " by make docs -->\n"
	const end = "<!-- end of the generated part -->\n"
	head, rest, ok := strings.Cut(page, begin)
	_, tail, ok2 := strings.Cut(rest, end)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around what is made from %s", securityPage, file)
	}
	return head + begin + "| shape | answer |\n|---|---|\n" + rows + end + tail
}
