package main

import (
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"

	"edge/internal/edgetest"
)

// authHook does what people's hooks do, and says what it was told.
const authHook = `#!/bin/sh
dir=ROOT/web/.well-known/acme-challenge
case $1 in
auth) mkdir -p $dir; echo "$CERTBOT_VALIDATION" > $dir/$CERTBOT_TOKEN ;;
cleanup) rm $dir/$CERTBOT_TOKEN ;;
esac
echo "$1 for $CERTBOT_DOMAIN of $CERTBOT_ALL_DOMAINS, $CERTBOT_REMAINING_CHALLENGES to come, ${#CERTBOT_TOKEN} ${#CERTBOT_VALIDATION}; $RENEWED_DOMAINS"
# certbot 2.1 tells post hooks the last lineage, by a leak of its own environment.
[ $1 != deploy ] || echo "$RENEWED_LINEAGE"
echo "$1 complains" >&2
`

// script is one command after the other, as people have them in their shell
// scripts: each is run by Debian's certbot and by edge under that name.
var script = []string{
	"certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT -d a.example.test -d b.example.test",
	"certificates",
	"certonly -n --standalone --http-01-port PORT -d b.example.test,a.example.test",
	"certonly -n --standalone --http-01-port PORT -d a.example.test -d b.example.test -d c.example.test",
	"certonly -n --standalone --http-01-port PORT -d a.example.test -d b.example.test -d c.example.test --expand",
	"certonly -n --standalone --http-01-port PORT -d a.example.test --duplicate",
	"auth -n --standalone --http-01-port PORT -d a.example.test --cert-name named --key-type rsa",
	"certonly -n --standalone --http-01-port PORT -d a.example.test -d z.example.test --cert-name named",
	"certonly -n --standalone --http-01-port PORT --cert-name nosuch",
	"certonly -n --standalone --http-01-port PORT -d dns.example.test --preferred-challenges dns",
	"certonly -n --standalone --http-01-port 1 -d refused.example.test",
	"certonly -n --manual --manual-auth-hook ROOT/hook_auth --manual-cleanup-hook ROOT/hook_cleanup -d m1.example.test",
	"certonly -n --webroot -w ROOT/web -d w1.example.test",
	"certonly -n --webroot -w ROOT/nosuch -d w1.example.test",
	"renew --cert-name named --force-renewal --pre-hook ROOT/hook_pre --post-hook ROOT/hook_post --deploy-hook ROOT/hook_deploy --no-random-sleep-on-renew",
	"renew --cert-name w1.example.test --dry-run --no-random-sleep-on-renew",
	"renew",
	"renew --cert-name nosuch",
	"certificates --cert-name named",
	"certificates -d c.example.test",
	"delete -n --cert-name named",
	"delete -n --cert-name named",
	"revoke -n --cert-name w1.example.test --no-delete-after-revoke",
	"revoke -n --cert-path ROOT/config/live/a.example.test-0001/cert.pem --reason superseded",
	"certificates",
	"frobnicate",
	"certonly -n --standalone -d http://x.example.test",
	"update_account -n -m b@example.org,c@example.org",
	"show_account",
	"register -n -m x@example.org --agree-tos",
	"install -n --cert-name a.example.test",
	"rollback -n",
	"run -n --standalone -d q.example.test",
	"certonly -n --standalone --http-01-port PORT --allow-subset-of-names -d a.example.test --key-type frob",
	"unregister -n",
	"show_account",
}

// TestDropIn runs the same script with both programs: the same exit status, the
// same words on standard output, and in the end the same tree.
func TestDropIn(t *testing.T) {
	trees := [2]*tree{newTree(t, edgetest.CAOptions{}), newTree(t, edgetest.CAOptions{})}
	programs := [2]string{debians, ours}
	var outcomes [2][]outcome
	var wg sync.WaitGroup
	for n, tr := range trees {
		for _, kind := range []string{"auth", "cleanup", "pre", "post", "deploy"} {
			hook := strings.ReplaceAll(strings.ReplaceAll(authHook, "ROOT", tr.root), "$1", kind)
			tr.write("hook_"+kind, hook, 0o755)
		}
		wg.Go(func() {
			for _, line := range script {
				stop := func() {}
				if strings.Contains(line, "web") || strings.Contains(line, "manual") || strings.Contains(line, "w1.") {
					stop = tr.serveFiles()
				}
				outcomes[n] = append(outcomes[n], tr.run(programs[n], strings.Fields(line)...))
				stop()
			}
		})
	}
	wg.Wait()
	for n, line := range script {
		theirs, own := outcomes[0][n], outcomes[1][n]
		if theirs.code != own.code {
			t.Errorf("%s: exit status %d, certbot's is %d\n%s%s", line, own.code, theirs.code, own.stdout, own.stderr)
		}
		if want, got := trees[0].neutral(theirs.stdout), trees[1].neutral(own.stdout); want != got {
			t.Errorf("%s: standard output\n%s\ncertbot's is\n%s", line, got, want)
		}
	}
	if want, got := trees[0].files(), trees[1].files(); !slices.Equal(want, got) {
		t.Errorf("the tree:\n%s\ncertbot's:\n%s", strings.Join(got, "\n"), strings.Join(want, "\n"))
	}
	confs, err := filepath.Glob(trees[0].path("config", "renewal", "*.conf"))
	if err != nil || len(confs) < 3 {
		t.Fatalf("%d renewal files, %v", len(confs), err)
	}
	for _, path := range confs {
		name := filepath.Base(path)
		if want, got := trees[0].conf(name), trees[1].conf(name); want != got {
			t.Errorf("%s:\n%s\ncertbot's:\n%s", name, got, want)
		}
	}
}
