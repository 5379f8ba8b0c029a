package main

import (
	"os"
	"slices"
	"strings"
	"testing"

	"edge/internal/edgetest"
)

// noteHook writes down when it is run, and for what.
const noteHook = `#!/bin/sh
case $0 in
*deploy*) echo "${0##*/} ${RENEWED_LINEAGE##*/} $RENEWED_DOMAINS" >> ROOT/ran ;;
*) echo "${0##*/}" >> ROOT/ran ;;
esac
`

// Hooks that one program was given are run by the other's renewals, in the same
// order: before, for each lineage, and after, those of the folders with them.
func TestInteropHooks(t *testing.T) {
	for _, p := range []struct{ name, first, second string }{
		{"from certbot to edge", debians, "edge"}, {"from edge to certbot", "edge", debians},
	} {
		t.Run(p.name, func(t *testing.T) {
			t.Parallel()
			tr := newTree(t, edgetest.CAOptions{})
			for _, kind := range []string{"pre", "deploy", "post"} {
				if err := os.MkdirAll(tr.path("config", "renewal-hooks", kind), 0o755); err != nil {
					t.Fatal(err)
				}
				hook := strings.ReplaceAll(noteHook, "ROOT", tr.root)
				tr.write("a-"+kind, hook, 0o755)
				tr.write("config/renewal-hooks/"+kind+"/b-"+kind, hook, 0o755)
			}
			const obtain = "certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT --pre-hook ROOT/a-pre --deploy-hook ROOT/a-deploy --post-hook ROOT/a-post "
			ran := func() []string {
				t.Helper()
				raw, err := os.ReadFile(tr.path("ran"))
				if err := errorsOf(err, os.Remove(tr.path("ran"))); err != nil {
					t.Fatal(err)
				}
				return strings.Split(strings.TrimSpace(string(raw)), "\n")
			}
			tr.do(p.first, obtain+"-d h.example.test")
			want := []string{"b-pre", "a-pre", "b-deploy h.example.test h.example.test", "a-deploy h.example.test h.example.test", "b-post", "a-post"}
			if p.first == debians { // which runs those of the folders in renew only
				want = slices.DeleteFunc(want, func(line string) bool { return strings.HasPrefix(line, "b-") })
			}
			if got := ran(); !slices.Equal(got, want) {
				t.Errorf("%s certonly ran %q, want %q", p.first, got, want)
			}
			tr.do(p.first, obtain+"-d i.example.test -d j.example.test")
			ran()
			want = []string{"b-pre", "a-pre", "b-deploy h.example.test h.example.test", "a-deploy h.example.test h.example.test",
				"b-deploy i.example.test i.example.test j.example.test", "a-deploy i.example.test i.example.test j.example.test", "b-post", "a-post"}
			tr.do(p.second, "renew --force-renewal --no-random-sleep-on-renew")
			got := ran()
			if len(got) == len(want) { // edge may have finished the second lineage first
				slices.SortStableFunc(got[2:6], func(a, b string) int {
					return strings.Compare(strings.Fields(a)[1], strings.Fields(b)[1])
				})
			}
			if !slices.Equal(got, want) {
				t.Errorf("%s renew ran %q, want %q", p.second, got, want)
			}
		})
	}
}

// While edge works, certbot refuses to, whichever of the folders they share.
func TestEdgeIsAtWork(t *testing.T) {
	t.Parallel()
	tr := newTree(t, edgetest.CAOptions{})
	hook := "#!/bin/sh\n"
	for _, own := range []string{"config", "work", "logs"} {
		args := ""
		for _, kind := range []string{"config", "work", "logs"} {
			dir := tr.path(kind)
			if kind != own {
				dir = tr.path("other", own, kind)
			}
			args += " --" + kind + "-dir " + dir
		}
		hook += "(" + debians + " certificates" + args + "; echo status $?) > " + tr.path("said-"+own) + " 2>&1 &\n"
	}
	tr.write("pre", hook+"wait\n", 0o755)
	tr.do("edge", "certonly -n --agree-tos -m a@example.org --standalone --http-01-port PORT --pre-hook ROOT/pre -d l.example.test")
	for _, own := range []string{"config", "work", "logs"} {
		raw, err := os.ReadFile(tr.path("said-" + own))
		if err != nil || !strings.Contains(string(raw), "Another instance of Certbot is already running.") || !strings.HasSuffix(string(raw), "status 1\n") {
			t.Errorf("certbot with the %s folder that edge works on: %v\n%s", own, err, raw)
		}
	}
	tr.sameListing(1) // and afterwards it does not
}
