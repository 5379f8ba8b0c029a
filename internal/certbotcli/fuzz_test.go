package certbotcli

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"strings"
	"testing"

	"edge/internal/configobj"
)

// Whatever is on the command line and in cli.ini, there is an answer of one of the
// kinds there are, and what is taken is clean.
func FuzzParse(f *testing.F) {
	for _, c := range commandLines() {
		f.Add(strings.Join(strings.Fields(c.args), "\x00"), strings.Join(c.ini, "\n"), true)
	}
	f.Add("certonly\x00--edge\x00--ip-address\x00::1\x00--key-mode\x00640\x00--lock-timeout\x002m", "", false)
	f.Add("certonly\x00-a\x00certbot-external:external\x00--haproxy-update\x00runtime\x00--haproxy-bundle\x00--external-ch=a,,b\x00--external-challenges\x00c\x00--heroku-token\x00env:T",
		"certbot-external:external-handler = \"x\" # y\nexternal-challenges = [a, b]\nhaproxy-bundle\nheroku-token: secret\n", false)
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, line, content string, asCertbot bool) {
		if strings.Contains(line, "/") { // files of this machine say nothing
			return
		}
		file := filepath.Join(dir, "cli.ini")
		if err := os.WriteFile(file, []byte(strings.ReplaceAll(content, "/", "")), 0o600); err != nil {
			t.Fatal(err)
		}
		args := strings.Split(line, "\x00")
		env := Env{ConfigFiles: []string{file}, AsCertbot: asCertbot, Getenv: func(string) string { return dir }}
		o, err := Parse(args, env)
		again, err2 := Parse(args, env)
		if err != nil {
			if exitOf(err) == 0 && !errors.As(err, new(*HelpRequest)) && !errors.As(err, new(*VersionRequest)) {
				t.Fatalf("%q: %v", args, err)
			}
			if err2 == nil || err.Error() != err2.Error() {
				t.Fatalf("%q: %v, then %v", args, err, err2)
			}
			return
		}
		o.schema, again.schema, o.env, again.env = nil, nil, Env{}, Env{}
		if !reflect.DeepEqual(o, again) {
			t.Fatalf("%q is not the same twice:\n%+v\n%+v", args, o, again)
		}
		checkClean(t, args, o)
	})
}

func checkClean(t *testing.T, args []string, o *Options) {
	t.Helper()
	seen := map[string]bool{}
	for _, d := range o.Domains {
		if c, err := cleanDomain(d); err != nil || c != d && c+"." != d || seen[d] {
			t.Fatalf("%q: the name %q: %v", args, d, err)
		}
		seen[d] = true
	}
	if _, ok := verbOf(o.Verb); !ok {
		t.Fatalf("%q: the verb is %q", args, o.Verb)
	}
	for _, p := range []string{o.ConfigDir, o.WorkDir, o.LogsDir} {
		if p != "" && !filepath.IsAbs(p) {
			t.Fatalf("%q: the folder %q", args, p)
		}
	}
	o.schema = newSchema(Env{})
	if _, _, err := o.Requested(); err != nil && exitOf(err) != 1 {
		t.Fatal(err)
	}
	params, _ := o.RenewalParams()
	doc := configobj.New()
	for _, p := range append(params, o.EdgeParams()...) {
		if len(p.Value.Items) != 1 && !p.Value.List {
			t.Fatalf("%q: %s has %d values", args, p.Key, len(p.Value.Items))
		}
		_ = doc.Root().Set(p.Key, p.Value) // may be refused, may not panic
	}
	if _, errs := o.ApplyRenewalParams(doc.Root()); len(errs) > 0 && o.Authenticator != "" && !strings.Contains(errs[0].Error(), "%(") {
		for _, err := range errs {
			if !errors.Is(err, ErrNoAuthenticator) && !errors.As(err, new(*configobj.InterpolationError)) {
				t.Fatalf("%q: saved %v, which is %v", args, params, errs)
			}
		}
	}
}
