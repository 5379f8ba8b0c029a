package main

import (
	"context"
	"os"
	"testing"

	"github.com/rogpeppe/go-internal/testscript"
)

// TestMain makes this test binary answer to the names edge and certbot, so that
// scripts run the real verbs in a process of their own.
func TestMain(m *testing.M) {
	testscript.Main(m, map[string]func(){
		"edge": func() { os.Exit(run(context.Background(), os.Args[1:], os.Stdout, os.Stderr)) },
		"edge-toy": func() {
			os.Exit(runClientWith(context.Background(), os.Args[1:], false, toyKinds(), os.Stdout, os.Stderr))
		},
		"certbot": func() { os.Exit(runClient(context.Background(), os.Args[1:], true, os.Stdout, os.Stderr)) },
	})
}

// Each file of testdata reads like a terminal session.
func TestScripts(t *testing.T) {
	testscript.Run(t, testscript.Params{Dir: "testdata"})
}
