package main

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// --debug-challenges: everything can be looked at, in certbot's words, before the
// CA is told. There is no web server until Enter is pressed, so an answer that was
// given too early fails.
func TestDebugChallenges(t *testing.T) {
	t.Parallel()
	var shown [2]string
	for n, program := range []string{debians, "edge"} {
		tr := newTree(t, edgetest.CAOptions{})
		line := "certonly -v --webroot -w ROOT/web --debug-challenges -d a.example.test --agree-tos --register-unsafely-without-email"
		if program == "edge" {
			line += " --no-preflight"
		}
		p := tr.sitAt(program, strings.Fields(line)...)
		p.sees("Challenges loaded. Press continue to submit to CA.\n").sees("Press Enter to Continue")
		files, err := filepath.Glob(tr.path("web/.well-known/acme-challenge/*"))
		if err != nil || len(files) != 1 {
			t.Fatalf("challenges in the webroot: %v, %v", files, err)
		}
		answer, err := os.ReadFile(files[0])
		if err != nil {
			t.Fatal(err)
		}
		screen := p.pty.Screen()
		screen = tr.neutral(screen[strings.Index(screen, "Challenges loaded."):])
		shown[n] = strings.ReplaceAll(screen, "Expected value:\n"+string(answer), "Expected value:\nVALUE")
		stop := tr.serveFiles()
		p.types("\r").sees("Successfully received certificate.")
		p.leaves(0)
		stop()
	}
	if shown[0] != shown[1] || !strings.Contains(shown[1], "VALUE") {
		t.Errorf("edge shows\n%s\ncertbot shows\n%s", shown[1], shown[0])
	}
}

// Where nobody can press Enter, the text is printed and the order goes on.
func TestDebugChallengesWithoutAPerson(t *testing.T) {
	t.Parallel()
	var said [2]string
	for n, program := range []string{debians, ours} {
		tr := newTree(t, edgetest.CAOptions{})
		said[n] = tr.neutral(tr.must(program, strings.Fields("certonly"+strings.Replace(standaloneFlags, "--no-preflight", "", 1)+"--debug-challenges -d a.example.test")...).stdout)
	}
	if said[0] != said[1] || !strings.Contains(said[1], "Challenges loaded.") {
		t.Errorf("edge says\n%s\ncertbot says\n%s", said[1], said[0])
	}
}
