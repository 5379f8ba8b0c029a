package certbotcli

import (
	"encoding/pem"
	"errors"
	"math/rand/v2"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// lab is a folder with what the cases name: $L.
func lab(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, d := range []string{"web", "web2", "bin", "accounts.d/accounts/acme", "empty"} {
		if err := os.MkdirAll(filepath.Join(dir, d), 0o755); err != nil {
			t.Fatal(err)
		}
	}
	write := func(name, content string, mode os.FileMode) {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), mode); err != nil {
			t.Fatal(err)
		}
	}
	write("bin/hook", "#!/bin/sh\n", 0o755)
	write("bin/noexec", "#!/bin/sh\n", 0o644)
	write("junk.csr", "junk", 0o644)
	write("cli.ini", "email = lab@example.com\n", 0o644)
	for name, names := range map[string][2][]string{
		"cn.csr": {{"CN.example"}, {"a.example", "cn.example"}}, "san.csr": {nil, {"a.example", "b.example"}}, "none.csr": {nil, nil},
	} {
		der := newCSR(t, names[0], names[1])
		write(name, string(der), 0o644)
		write(name+".pem", string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE REQUEST", Bytes: der})), 0o644)
	}
	return dir
}

// The same words, given to Debian's certbot and to Parse, come to the same: exit
// code, text of the error, every option, what was set by the user, which plugins.
func TestAsCertbotParses(t *testing.T) {
	dir := lab(t)
	o := startOracle(t)
	for _, c := range commandLines() {
		t.Run(c.String(), func(t *testing.T) { c.check(t, o, dir) })
	}
}

// So do command lines that nobody would think of. Words that only edge knows are not
// among them. The seed is one that avoids what commandLines lists as different.
func TestAsCertbotParsesAnything(t *testing.T) {
	dir := lab(t)
	o := startOracle(t)
	r := rand.New(rand.NewPCG(3, 4))
	words := strings.Fields("certonly run renew certificates revoke plugins -n -q -v -vv -nv -d -da.example -d=b.example a.example,c.example *.d.example " +
		"--expand --exp --staging --dry-run --server http://x/ --key-type rsa ecdsa --rsa-key-size 4096 --http-01-port 81 -1 --redirect --no-redirect " +
		"--nginx --apache --standalone -a webroot -i nginx --configurator --webroot-path -w $L/web $L/web2 --cert-name x --deploy-hook --renew-hook true hook " +
		"--reuse-key --no-reuse-key --must-staple --hsts --auto-hsts --allow-subset-of-names --csr $L/san.csr.pem --preferred-challenges http dns,http -m --email= " +
		"--agree-tos --no-eff-email --eff-email -- --account --user-agent ∅ --no- --dns-cl --authenticators --reason superseded --checkpoints 2 --nginx-ctl " +
		"--disable-hook-validation --max-log-backups 0 --manual-auth-hook --force-interactive --cert-path c.pem --config-dir $L/accounts.d --no-autorenew -c $L/cli.ini")
	lines := strings.Split("email = a@b.c|domains = a.example|key-type = rsa|staging|standalone = true|webroot-path = $L/web|# c|verbose = yes|no-redirect = 1|expand = no|deploy-hook = 'hook' x|server = http://y/", "|")
	for range 300 {
		c := lineCase{}
		for range r.IntN(9) {
			c.args += " " + words[r.IntN(len(words))]
		}
		for range r.IntN(3) {
			c.ini = append(c.ini, lines[r.IntN(len(lines))]+"\n"+lines[r.IntN(len(lines))])
		}
		t.Run(c.String(), func(t *testing.T) { c.check(t, o, dir) })
	}
}

// lineCase is a command line and its configuration files, in words; $L is the lab.
type lineCase struct {
	args string   // blanks divide words, ␣ is a blank within one, ∅ an empty word
	ini  []string // contents of the files, weakest first
	// differs is why we do not do what certbot does; ours is what we say then.
	differs, ours string
}

func (c lineCase) String() string {
	return strings.Join(append([]string{c.args}, c.ini...), " + ")
}

func (c lineCase) question(t *testing.T, dir string) question {
	t.Helper()
	q := question{Path: dir + "/bin:/usr/bin:/bin", Home: dir, Save: true}
	r := strings.NewReplacer("$L", dir, "␣", " ", "∅", "")
	for _, a := range strings.Fields(c.args) {
		q.Args = append(q.Args, r.Replace(a))
	}
	for _, content := range c.ini {
		f := filepath.Join(t.TempDir(), "cli.ini")
		if err := os.WriteFile(f, []byte(strings.ReplaceAll(content, "$L", dir)), 0o644); err != nil {
			t.Fatal(err)
		}
		q.Files = append(q.Files, f)
	}
	return q
}

func (c lineCase) check(t *testing.T, or *oracle, dir string) {
	q := c.question(t, dir)
	want := or.ask(q)
	o, err := Parse(q.Args, q.env())
	if c.differs != "" {
		if c.ours == accepted && err == nil && want.Exit != 0 {
			return
		}
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.ours, "$L", dir)) {
			t.Errorf("we say %v, want %s", err, c.ours)
		}
		if want.message() == errText(err) && want.Exit == exitOf(err) && !strings.Contains(c.differs, "by chance") {
			t.Errorf("certbot says the same: %s", want.message())
		}
		return
	}
	if want.Crash != "" {
		t.Fatalf("certbot crashes with %s: %s", want.Crash, want.Error)
	}
	if exitOf(err) != want.Exit {
		t.Fatalf("certbot exits with %d (%s), we with %d (%v)", want.Exit, want.message(), exitOf(err), err)
	}
	if want.Left && want.Exit == 0 {
		if !errors.As(err, new(*HelpRequest)) && !errors.As(err, new(*VersionRequest)) {
			t.Errorf("certbot prints %.40q and leaves, we say %v", want.Stdout, err)
		}
		return
	}
	if err != nil {
		if got := errText(err); !sameText(got, want.message()) {
			t.Errorf("certbot says\n%s\nwe say\n%s", want.message(), got)
		}
		return
	}
	compare(t, o, want.Namespace)
	compareUse(t, o, want)
}

// compareUse looks at what follows from the options.
func compareUse(t *testing.T, o *Options, want reply) {
	t.Helper()
	auth, inst, err := o.Requested()
	got := []string{auth, inst}
	if err != nil {
		got = []string{err.Error()}
	}
	if !slices.Equal(got, want.Plugins) {
		t.Errorf("certbot asks for the plugins %q, we for %q", want.Plugins, got)
	}
	if err != nil {
		return
	}
	var set []string
	for _, dest := range o.dests() {
		if dest != "config_file" && o.IsSet(dest) {
			set = append(set, dest)
		}
	}
	slices.Sort(set)
	if !slices.Equal(set, want.Set) {
		t.Errorf("certbot says that these were set:\n%q\nwe:\n%q", want.Set, set)
	}
	compareSaved(t, o, auth, inst, want)
}

// sameText compares errors: about hooks we say more (5.6's hint), and have the words
// in the right order.
func sameText(ours, certbots string) bool {
	const unfit = " exists, but is not executable."
	return strings.TrimSuffix(ours, "\nSee also the --disable-hook-validation option.") == certbots ||
		strings.HasSuffix(ours, unfit) && strings.HasSuffix(certbots, unfit)
}

func errText(err error) string {
	var u *UsageError
	if errors.As(err, &u) {
		return u.Message
	}
	if err == nil {
		return ""
	}
	return err.Error()
}

func exitOf(err error) int {
	var u *UsageError
	var r *RefusedError
	switch {
	case errors.As(err, &u):
		return 2
	case errors.As(err, &r):
		return 1
	}
	return 0
}
