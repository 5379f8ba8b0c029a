package main

import (
	"os"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// A script that was written for certbot's plugin external goes on working, by the words that
// people have in their cron jobs and in cli.ini, and comes into renewal files by edge's name.
func TestExternalAsCertbot(t *testing.T) {
	t.Parallel()
	w := newTree(t, edgetest.CAOptions{})
	t.Cleanup(w.serveFiles())
	script := w.write("handler.sh", `#!/bin/sh
echo "$1 $domain" >> ROOT/called
case "$1,$type" in
perform,http-01) mkdir -p ROOT/web/.well-known/acme-challenge && printf %s "$validation" > "ROOT/web/.well-known/acme-challenge/$token" ;;
cleanup,http-01) rm "ROOT/web/.well-known/acme-challenge/$token" ;;
*) echo NotImplemented; exit 1 ;;
esac
`, 0o755)
	raw, err := os.ReadFile(script)
	if err != nil {
		t.Fatal(err)
	}
	w.write("handler.sh", strings.ReplaceAll(string(raw), "ROOT", w.root), 0o755)
	ini := w.write("cli.ini", "certbot-external:external-handler = "+script+"\n", 0o600)
	w.must(ours, "certonly", "-n", "-a", "certbot-external:external", "--config", ini, "--agree-tos", "-m", "a@example.org", "-d", "a.example.test")
	conf := w.conf("a.example.test.conf")
	if !strings.Contains(conf, "authenticator = external\n") || !strings.Contains(conf, "external_handler = ROOT/handler.sh\n") {
		t.Errorf("the renewal file:\n%s", conf)
	}
	// A lineage of the plugin's, as it wrote it.
	raw, err = os.ReadFile(w.path("config", "renewal", "a.example.test.conf"))
	if err != nil {
		t.Fatal(err)
	}
	old := strings.NewReplacer("authenticator = external", "authenticator = certbot-external:external", "external_handler", "certbot_external:external_handler").Replace(string(raw))
	w.write("config/renewal/a.example.test.conf", old, 0o644)
	for _, program := range []string{ours, "edge"} {
		w.must(program, "renew", "--force-renewal", "--no-random-sleep-on-renew")
	}
	if conf := w.conf("a.example.test.conf"); strings.Contains(conf, "certbot_external") || !strings.Contains(conf, "authenticator = external\n") {
		t.Errorf("the renewal file after renewals:\n%s", conf)
	}
	called, err := os.ReadFile(w.path("called"))
	if n := strings.Count(string(called), "\nperform a.example.test\n"); err != nil || n != 3 || strings.Count(string(called), "cleanup a.example.test\n") != 3 {
		t.Errorf("the script was called as %q, %v", called, err)
	}
}
