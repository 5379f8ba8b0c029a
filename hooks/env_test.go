package hooks

import (
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"testing"
)

// variables are what `env -0` or a like command of the hook printed.
func variables(out string) map[string]string {
	m := map[string]string{}
	for kv := range strings.SplitSeq(out, "\x00") {
		if name, value, ok := strings.Cut(kv, "="); ok {
			m[name] = value
		}
	}
	return m
}

func TestEnvironmentIsOfTheCall(t *testing.T) {
	before := slices.Sorted(slices.Values(os.Environ()))
	r := &Runner{}
	got := variables(run(t, r, "env -0", map[string]string{"RENEWED_LINEAGE": "/live/a", "RENEWED_DOMAINS": "a.test b.test"}).Stdout)
	if got["RENEWED_LINEAGE"] != "/live/a" || got["RENEWED_DOMAINS"] != "a.test b.test" {
		t.Errorf("the hook got %q", got)
	}
	got = variables(run(t, r, "env -0", nil).Stdout)
	if v, ok := got["RENEWED_LINEAGE"]; ok {
		t.Errorf("the next hook got RENEWED_LINEAGE=%q of the one before", v)
	}
	if after := slices.Sorted(slices.Values(os.Environ())); !slices.Equal(before, after) {
		t.Errorf("the process's own environment changed:\n%q\n%q", before, after)
	}
}

func TestEnvironmentLeftOverFromElsewhere(t *testing.T) {
	for _, name := range []string{"RENEWED_DOMAINS", "RENEWED_LINEAGE", "FAILED_DOMAINS", "CERTBOT_AUTH_OUTPUT", "CERTBOT_VALIDATION",
		"CERTBOT_VALIDATION_FILE", "EDGE_ERROR"} {
		t.Setenv(name, "stale")
	}
	t.Setenv("CERTBOT_EMAIL", "me@a.test")
	t.Setenv("OTHER", "x=y")
	got := variables(run(t, &Runner{}, "env -0", map[string]string{"CERTBOT_DOMAIN": "a.test", "OTHER2": "new"}).Stdout)
	for name, value := range got {
		if value == "stale" {
			t.Errorf("the hook got %s, which it was not given", name)
		}
	}
	for name, want := range map[string]string{"CERTBOT_EMAIL": "me@a.test", "OTHER": "x=y", "CERTBOT_DOMAIN": "a.test", "OTHER2": "new"} {
		if got[name] != want {
			t.Errorf("%s=%q, want %q", name, got[name], want)
		}
	}
	if os.Getenv("RENEWED_DOMAINS") != "stale" {
		t.Error("the process's own variable is gone")
	}
}

func TestEnvironmentOfTheRunner(t *testing.T) {
	t.Setenv("SECRET", "1")
	r := &Runner{Env: []string{"A=old", "B=1", "RENEWED_DOMAINS=stale"}}
	out := run(t, r, "/usr/bin/env -0", map[string]string{"A": "new"}).Stdout
	got := variables(out)
	if got["A"] != "new" || got["B"] != "1" || strings.Count("\x00"+out, "\x00A=") != 1 {
		t.Errorf("the hook got %q", out)
	}
	for _, name := range []string{"SECRET", "RENEWED_DOMAINS"} {
		if _, ok := got[name]; ok {
			t.Errorf("the hook got %s", name)
		}
	}
	if !slices.Equal(r.Env, []string{"A=old", "B=1", "RENEWED_DOMAINS=stale"}) {
		t.Errorf("the runner's own list changed: %q", r.Env)
	}
}

func TestPathIsCompleted(t *testing.T) {
	for _, c := range []struct {
		name, path string
		env        []string
		want       string
	}{
		{"of cron", "", []string{"PATH=/usr/bin:/bin"}, "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"},
		{"has some", "", []string{"PATH=/usr/sbin:/opt/x"}, "/usr/sbin:/opt/x:/usr/local/bin:/usr/local/sbin"},
		{"has one that only begins alike", "", []string{"PATH=/usr/sbin2"}, "/usr/sbin2:/usr/sbin:/usr/local/bin:/usr/local/sbin"},
		{"none", "", []string{"A=1"}, "/usr/bin:/bin:/usr/sbin:/usr/local/bin:/usr/local/sbin"},
		{"given", "/only", []string{"PATH=/usr/bin"}, "/only"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := &Runner{Env: c.env, Path: c.path}
			if got := run(t, r, `echo "$PATH"`, nil).Stdout; got != c.want+"\n" {
				t.Errorf("PATH=%s want %s", got, c.want)
			}
		})
	}
}

func TestHugeVariablesGoToFiles(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	fits, huge := strings.Repeat("f", maxValue), strings.Repeat("h", maxValue+1)
	res := run(t, &Runner{MaxOutput: 1 << 20},
		`printf 'HUGE=%s\0HUGE_FILE=%s\0FITS=%s\0' "${HUGE-unset}" "$HUGE_FILE" "$FITS"; printf 'MODE='; stat -c %a "$HUGE_FILE"; printf '\0CONTENT='; cat "$HUGE_FILE"`,
		map[string]string{"HUGE": huge, "FITS": fits})
	got := variables(res.Stdout)
	if got["HUGE"] != "unset" || got["CONTENT"] != huge || got["FITS"] != fits || got["MODE"] != "600\n" {
		t.Errorf("HUGE is %.20q, its file has %d bytes and mode %q, FITS has %d", got["HUGE"], len(got["CONTENT"]), got["MODE"], len(got["FITS"]))
	}
	if filepath.Base(got["HUGE_FILE"]) != "HUGE" {
		t.Errorf("HUGE_FILE is %q", got["HUGE_FILE"])
	}
	noFilesLeft(t)
}

func TestManyLongVariablesFit(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	env := map[string]string{"SMALL": "s"}
	for i := range 40 { // 4 MB, more than Linux takes
		env["BIG"+strconv.Itoa(i)] = strings.Repeat("x", maxValue-i)
	}
	got := variables(run(t, &Runner{MaxOutput: 8 << 20}, "env -0", env).Stdout)
	whole, files := 0, 0
	for name := range env {
		switch _, inFile := got[name+"_FILE"]; {
		case got[name] == env[name] && !inFile:
			whole += len(env[name])
		case inFile:
			files++
		default:
			t.Errorf("%s is neither there nor in a file", name)
		}
	}
	if got["SMALL"] != "s" {
		t.Error("what is short went to a file before what is long")
	}
	if whole > maxValues || whole < maxValues-maxValue || files == 0 {
		t.Errorf("%d bytes in the environment and %d files", whole, files)
	}
	noFilesLeft(t)
}

func TestVariableWithNUL(t *testing.T) {
	t.Setenv("TMPDIR", t.TempDir())
	res := run(t, &Runner{}, `echo "${CERTBOT_AUTH_OUTPUT-unset}"; cat "$CERTBOT_AUTH_OUTPUT_FILE"`, map[string]string{"CERTBOT_AUTH_OUTPUT": "a\x00b"})
	if res.Stdout != "unset\na\x00b" {
		t.Errorf("got %q", res.Stdout)
	}
	noFilesLeft(t)
}

func TestVariableThatCannotBe(t *testing.T) {
	for _, name := range []string{"", "A=B", "A\x00"} {
		_, err := (&Runner{}).Run(t.Context(), Command{Kind: Pre, Shell: "true", Env: map[string]string{name: "x"}})
		if want := strconv.Quote(name) + " cannot be the name of an environment variable"; err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error is %v, want %s", err, want)
		}
	}
}

// Where there is no room for the files, the hook fails and says so.
func TestHugeVariableWithoutTemporaryFolder(t *testing.T) {
	t.Setenv("TMPDIR", filepath.Join(t.TempDir(), "gone"))
	_, err := (&Runner{}).Run(t.Context(), Command{Kind: Pre, Shell: "true", Env: map[string]string{"A": strings.Repeat("x", maxValue+1)}})
	if !os.IsNotExist(failed(t, err).Err) {
		t.Errorf("error is %v", err)
	}
	// A name that cannot be a file's, in a folder that is there.
	dir := t.TempDir()
	t.Setenv("TMPDIR", dir)
	_, err = (&Runner{}).Run(t.Context(), Command{Kind: Pre, Shell: "true", Env: map[string]string{"A/B": "\x00"}})
	failed(t, err)
	noFilesLeft(t)
}

// noFilesLeft looks into the temporary folder of the test.
func noFilesLeft(t *testing.T) {
	t.Helper()
	entries, err := os.ReadDir(os.Getenv("TMPDIR"))
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		t.Errorf("%s was left behind", e.Name())
	}
}
