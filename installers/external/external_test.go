package external

import (
	"crypto/tls"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/internal/edgetest/targettest"
)

// The contract of the original: the order, what the script is told at each command and
// nothing else, its input and folder, and the files.
func TestContract(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	path := handler(t, fmt.Sprintf(`{
echo "[$cmd] $#"
env | grep -v '^\(PWD\|SHLVL\|_\)=' | sort
if [ "$cmd" = perform ]; then stat -c 'mode %%a' "$key_path"; fi
pwd; if read line; then echo "in $line"; fi
} >> %s
[ "$cmd" = post-perform ] && { echo NotImplemented; exit 1; }
exit 0
`, note))
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := out.WriteString("asked\n"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	a, _ := bench(t, Options{Handler: path, Stdin: in})
	t.Setenv("cert_path", "of the parent")
	batch := []edge.Answer{targettest.Answer(edge.TLSSNI01, "a.test", "tokA"), targettest.Answer(edge.TLSSNI01, "b.test", "tokB")}
	if err := a.Present(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	for _, one := range batch {
		pair, err := tls.LoadX509KeyPair(a.path(one, ".crt"), a.path(one, ".pem"))
		if err != nil || !slices.Equal(pair.Leaf.DNSNames, []string{edge.SNI01Name(one.KeyAuth)}) {
			t.Errorf("the files: %v", err)
		}
	}
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Fatal(err)
	}
	if left, _ := os.ReadDir(a.dir()); len(left) != 0 {
		t.Errorf("left: %v", left)
	}
	cwd, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	// All that the parent has is there as well.
	var inherited []string
	for _, v := range os.Environ() {
		if name, _, _ := strings.Cut(v, "="); name != "PWD" && name != "SHLVL" && name != "_" {
			inherited = append(inherited, v)
		}
	}
	told := func(add ...string) string {
		env := slices.Clone(inherited)
		for _, v := range add {
			name, _, _ := strings.Cut(v, "=")
			env = slices.DeleteFunc(env, func(e string) bool { return strings.HasPrefix(e, name+"=") })
			env = append(env, v)
		}
		slices.Sort(env)
		return strings.Join(env, "\n") + "\n"
	}
	var want strings.Builder
	perform := func(one edge.Answer) string {
		return "[perform] 1\n" + told("domain="+one.Identifier.Value, "z_domain="+edge.SNI01Name(one.KeyAuth), "cert_path="+a.path(one, ".crt"), "key_path="+a.path(one, ".pem"), "port=443") + "mode 400\n" + cwd + "\n"
	}
	want.WriteString("[pre-perform] 1\n" + told() + cwd + "\nin asked\n")
	want.WriteString(perform(batch[0]) + perform(batch[1]))
	want.WriteString("[post-perform] 1\n" + told() + cwd + "\n[pre-cleanup] 1\n" + told() + cwd + "\n")
	for _, one := range batch {
		want.WriteString("[cleanup] 1\n" + told("domain="+one.Identifier.Value) + cwd + "\n")
	}
	want.WriteString("[post-cleanup] 1\n" + told() + cwd + "\n")
	sorted := func(s string) []string { // sort(1) has a locale's order
		lines := strings.Split(s, "\n")
		slices.Sort(lines)
		return lines
	}
	got := read(t, note)
	if !slices.Equal(sorted(got), sorted(want.String())) {
		t.Errorf("the script saw\n%s\nwant\n%s", got, want.String())
	}
	var order []string
	for line := range strings.Lines(got) {
		if strings.HasPrefix(line, "[") {
			order = append(order, strings.TrimSpace(line))
		}
	}
	if o := strings.Join(order, " "); o != "[pre-perform] 1 [perform] 1 [perform] 1 [post-perform] 1 [pre-cleanup] 1 [cleanup] 1 [cleanup] 1 [post-cleanup] 1" {
		t.Errorf("order: %s", o)
	}
}

// What the script is told of the other challenges.
func TestSuperset(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	path := handler(t, fmt.Sprintf(`case "$cmd" in perform|cleanup) printf '%%s|' "$cmd" "$type" "$domain" "$uri" "$validation" "$key_auth" "$token" "$txt_domain" "$z_domain" "$cert_path" "$port" "$status" "$error" >> %[1]s; echo "$cbot_json" >> %[1]s;; esac`, note))
	for _, c := range []struct {
		one  edge.Answer
		want string // of perform
	}{
		{targettest.Answer(edge.HTTP01, "a.test", "tok"), "perform|http-01|a.test|http://a.test/.well-known/acme-challenge/tok|KA|KA|tok|||||||"},
		{targettest.Answer(edge.DNS01, "*.a.test", "tok"), "perform|dns-01|a.test||TXT|KA|tok|_acme-challenge.a.test||||||"},
		{targettest.Answer(edge.TLSALPN01, "a.test", "tok"), "perform|tls-alpn-01|a.test||KA|KA|tok||a.test|DIR/tok.crt|443|||"},
	} {
		a, _ := bench(t, Options{Handler: path})
		if err := os.WriteFile(note, nil, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := a.Present(t.Context(), []edge.Answer{c.one}); err != nil {
			t.Fatal(err)
		}
		if err := a.Cleanup(t.Context(), []edge.Answer{c.one}); err != nil {
			t.Fatal(err)
		}
		lines := strings.Split(strings.TrimSpace(read(t, note)), "\n")
		if len(lines) != 2 {
			t.Fatalf("%q", lines)
		}
		want := strings.NewReplacer("KA", c.one.KeyAuth, "TXT", edge.DNS01Value(c.one.KeyAuth), "DIR", a.dir()).Replace(c.want)
		plain, raw, _ := strings.Cut(lines[0], "{")
		if plain != want {
			t.Errorf("%s\nwant\n%s", plain, want)
		}
		if !strings.HasPrefix(lines[1], "cleanup|"+string(c.one.Type)+"|a.test|") || !strings.Contains(lines[1], "|tok|") {
			t.Errorf("cleanup: %s", lines[1])
		}
		var told map[string]string
		if err := json.Unmarshal([]byte("{"+raw), &told); err != nil || told["cmd"] != "perform" || told["type"] != string(c.one.Type) || told["key_auth"] != c.one.KeyAuth || told["domain"] != "a.test" {
			t.Errorf("cbot_json: %v %v", told, err)
		}
	}
}

// What exit codes and NotImplemented mean, for each command.
func TestExitCodes(t *testing.T) {
	one := targettest.Answer(edge.DNS01, "a.test", "tok")
	for _, c := range []struct {
		body             string
		present, cleanup string // errors, "" for none
	}{
		{`exit 0`, "", ""},
		{`[ "$cmd" = perform ] || { echo NotImplemented; exit 1; }`, "", ""},
		{`echo " NotImplemented "; exit 3`, "does not know the command perform", ""},
		{`echo NotImplemented >&2; exit 1`, "pre-perform: exit code 1", "pre-cleanup: exit code 1"},
		{`if [ "$cmd" = perform ]; then echo no zone >&2; exit 7; fi`, "perform: exit code 7: no zone", ""},
		{`if [ "$cmd" = post-perform ]; then exit 7; fi`, "post-perform: exit code 7: it said nothing", ""},
		{`if [ "$cmd" = cleanup ]; then exit 7; fi`, "", "cleanup: exit code 7"},
		{`if [ "$cmd" = perform ]; then kill -9 $$; fi`, "perform: signal: killed", ""},
		{`if [ "$cmd" = perform ]; then sleep 600 & wait; fi`, "longer than", ""},
	} {
		o := Options{Handler: handler(t, c.body+"\n"), Timeout: 10 * time.Second}
		if c.present == "longer than" {
			o.Timeout = 300 * time.Millisecond
		}
		a, _ := bench(t, o)
		for what, err := range map[string]error{c.present: a.Present(t.Context(), []edge.Answer{one})} {
			if (err == nil) != (what == "") || err != nil && !strings.Contains(err.Error(), what) {
				t.Errorf("%s: Present: %v", c.body, err)
			}
		}
		if err := a.Cleanup(t.Context(), []edge.Answer{one}); (err == nil) != (c.cleanup == "") || err != nil && !strings.Contains(err.Error(), c.cleanup) {
			t.Errorf("%s: Cleanup: %v", c.body, err)
		}
		if left, _ := os.ReadDir(a.dir()); len(left) != 0 {
			t.Errorf("%s: left %v", c.body, left)
		}
	}
}

// After perform has failed, the rest of the batch is not begun, and all is cleaned up.
func TestStops(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	path := handler(t, fmt.Sprintf(`echo "$cmd $domain" >> %s; [ "$cmd $domain" != "perform a.test" ]`, note))
	a, _ := bench(t, Options{Handler: path})
	batch := []edge.Answer{targettest.Answer(edge.HTTP01, "a.test", "tokA"), targettest.Answer(edge.HTTP01, "b.test", "tokB")}
	if err := a.Present(t.Context(), batch); err == nil {
		t.Error("no error")
	}
	if err := a.Cleanup(t.Context(), batch); err != nil {
		t.Error(err)
	}
	if got := strings.Join(strings.Fields(strings.ReplaceAll(read(t, note), " ", "_")), " "); got != "pre-perform_ perform_a.test pre-cleanup_ cleanup_a.test cleanup_b.test post-cleanup_" {
		t.Errorf("called: %s", got)
	}
}

// A script that others could have written is not run, nor one that is not there.
func TestTrust(t *testing.T) {
	for name, spoil := range map[string]func(path string) error{
		"can be written by others": func(p string) error { return os.Chmod(p, 0o722) },
		"cannot be executed":       func(p string) error { return os.Chmod(p, 0o600) },
		"belongs to user 12345":    func(p string) error { return os.Chown(p, 12345, 0) },
		"tmp-":                     func(p string) error { return os.Chmod(filepath.Dir(p), 0o777) },
		"no such file":             os.Remove,
		"it is no file": func(p string) error {
			if err := os.Remove(p); err != nil {
				return err
			}
			return os.Mkdir(p, 0o755)
		},
	} {
		ran := filepath.Join(t.TempDir(), "ran")
		path := handler(t, ": > "+ran+"\n")
		if name == "belongs to user 12345" && os.Geteuid() != 0 {
			continue
		}
		if err := spoil(path); err != nil {
			t.Fatal(err)
		}
		a, _ := bench(t, Options{Handler: path})
		one := targettest.Answer(edge.HTTP01, "a.test", "tok")
		want := name
		if name == "tmp-" {
			want = "can be written by others"
		}
		if err := a.Present(t.Context(), []edge.Answer{one}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", name, err)
		}
		if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := os.Stat(ran); err == nil {
			t.Errorf("%s: it ran", name)
		}
	}
}

// A link is followed, and each folder on the way looked at.
func TestTrustOfLinks(t *testing.T) {
	script := handler(t, "exit 0\n")
	one, two := t.TempDir(), t.TempDir()
	if err := os.Symlink(filepath.Join(two, "dir", filepath.Base(script)), filepath.Join(one, "a")); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink(filepath.Dir(script), filepath.Join(two, "dir")); err != nil {
		t.Fatal(err)
	}
	link := filepath.Join(one, "a")
	if err := trusted(link); err != nil {
		t.Error(err)
	}
	for _, dir := range []string{one, two, filepath.Dir(script)} {
		if err := os.Chmod(dir, 0o777); err != nil {
			t.Fatal(err)
		}
		if err := trusted(link); err == nil || !strings.Contains(err.Error(), dir+" can be written") {
			t.Errorf("%s: %v", dir, err)
		}
		if err := os.Chmod(dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	if os.Geteuid() == 0 {
		if err := os.Lchown(link, 12345, 0); err != nil {
			t.Fatal(err)
		}
		if err := trusted(link); err == nil || !strings.Contains(err.Error(), link+" belongs to user 12345") {
			t.Errorf("the link: %v", err)
		}
	}
	loop := filepath.Join(one, "loop")
	if err := os.Symlink(loop, loop); err != nil {
		t.Fatal(err)
	}
	if err := trusted(loop); err == nil {
		t.Error("a loop was taken")
	}
	if err := onlyOurs(loop); err == nil || !strings.Contains(err.Error(), "too many") {
		t.Errorf("a loop: %v", err)
	}
}

// What a killed run had begun, the script is told to clean up, once.
func TestLeftovers(t *testing.T) {
	note := filepath.Join(t.TempDir(), "note")
	path := handler(t, fmt.Sprintf(`echo "$cmd $domain" >> %s; [ "$cmd" != cleanup ]`, note))
	work := t.TempDir()
	dead, _ := bench(t, Options{Handler: path, WorkDir: work})
	if err := dead.Present(t.Context(), []edge.Answer{targettest.Answer(edge.TLSSNI01, "dead.test", "tokDead")}); err != nil {
		t.Fatal(err)
	}
	for name, content := range map[string]string{"x.pem": "k", "y.json": "{", ".edge-tmp": "k"} {
		if err := os.WriteFile(filepath.Join(dead.dir(), name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	one := targettest.Answer(edge.HTTP01, "a.test", "tok")
	for range 2 {
		a, log := bench(t, Options{Handler: path, WorkDir: work})
		if err := a.Present(t.Context(), []edge.Answer{one}); err != nil {
			t.Fatal(err)
		}
		if err := a.Cleanup(t.Context(), []edge.Answer{one}); err == nil {
			t.Error("the script fails, and nobody says so")
		}
		if left, _ := os.ReadDir(a.dir()); len(left) != 0 {
			t.Errorf("left: %v, %s", left, log)
		}
	}
	if got := read(t, note); strings.Count(got, "cleanup dead.test") != 1 {
		t.Errorf("called: %s", got)
	}
}

func TestOptions(t *testing.T) {
	for _, types := range [][]edge.ChallengeType{nil, {"dns-02"}, {edge.DNS01, edge.DNS01}} {
		if _, err := New(Options{Types: types}); err == nil {
			t.Errorf("%v was taken", types)
		}
	}
	a, _ := bench(t, Options{Handler: "/x", Types: []edge.ChallengeType{edge.DNS01, edge.HTTP01}})
	if !slices.Equal(a.Types(), []edge.ChallengeType{edge.DNS01, edge.HTTP01}) {
		t.Errorf("%v", a.Types())
	}
	if err := a.Present(t.Context(), []edge.Answer{targettest.Answer(edge.TLSALPN01, "a.test", "tok")}); err == nil {
		t.Error("a challenge was taken that is not among them")
	}
	if err := a.Present(t.Context(), []edge.Answer{targettest.Answer(edge.HTTP01, "*.a.test", "tok")}); err == nil {
		t.Error("a wildcard was taken for HTTP-01")
	}
}
