package main

import (
	"path/filepath"
	"testing"
	"time"

	"github.com/rogpeppe/go-internal/testscript"

	"edge"
	"edge/acmeglue/lineage"
	"edge/internal/edgetest"
)

// The verbs of deliver, in a folder that only root, or who runs the tests, can write.
func TestDeliverScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{
		Dir: "testdata/deliver", WorkdirRoot: trusted(t),
		Cmds: map[string]func(*testscript.TestScript, bool, []string){
			// lineage NAME HOST...: a new certificate in the tree le
			"lineage": func(ts *testscript.TestScript, _ bool, args []string) {
				putLineage(t, ts.MkAbs("le"), args[0], edgetest.NewChain(t, time.Now().Add(24*time.Hour), args[1:]...))
			},
		},
	})
}

// putLineage makes a lineage in a tree, or a new version of it.
func putLineage(t *testing.T, dir, name string, b edge.Bundle) {
	t.Helper()
	tree := lineage.Open(lineage.Dirs{Config: dir, Work: filepath.Join(dir, "work"), Logs: filepath.Join(dir, "logs")}, lineage.Options{})
	if l, err := tree.Load(name); err == nil {
		if _, err := l.Renew(lineage.RenewOptions{Chain: b.Chain, Key: b.Key}); err != nil {
			t.Fatal(err)
		}
		return
	}
	_, err := tree.Create(lineage.CreateOptions{Name: name, Exact: true, Chain: b.Chain, Key: b.Key, Params: &lineage.Params{}})
	if err != nil {
		t.Fatal(err)
	}
}
