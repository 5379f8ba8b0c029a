package proxy

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"
)

var update = flag.Bool("update", false, "write the generated part of docs/security.md anew")

const (
	securityPage  = "../docs/security.md"
	securityBegin = "<!-- generated from proxy/strict_test.go by make docs -->\n"
	securityEnd   = "<!-- end of the generated part -->\n"
)

// The list of refused shapes in docs/security.md is the table that the tests
// send over a socket.
func TestDocsSecurity(t *testing.T) {
	doc, err := os.ReadFile(securityPage)
	if err != nil {
		t.Fatal(err)
	}
	head, rest, ok := strings.Cut(string(doc), securityBegin)
	_, tail, ok2 := strings.Cut(rest, securityEnd)
	if !ok || !ok2 {
		t.Fatalf("%s has lost the marks around its generated part", securityPage)
	}
	var b strings.Builder
	b.WriteString("| shape | answer |\n|---|---|\n")
	for _, s := range refusedShapes {
		fmt.Fprintf(&b, "| %s | %d |\n", s.class, s.want)
	}
	want := head + securityBegin + b.String() + securityEnd + tail
	if *update {
		if err := os.WriteFile(securityPage, []byte(want), 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	if want != string(doc) {
		t.Errorf("%s is stale: run make docs", securityPage)
	}
}
