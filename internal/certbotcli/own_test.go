package certbotcli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/internal/configobj"
)

// parse reads words that are right, without the machine's configuration.
func parse(t *testing.T, env Env, line string) *Options {
	t.Helper()
	if env.ConfigFiles == nil {
		env.ConfigFiles = []string{}
	}
	o, err := Parse(strings.Fields(line), env)
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	return o
}

func TestDefaultsByName(t *testing.T) {
	edge, certbot := parse(t, Env{}, "renew"), parse(t, Env{AsCertbot: true}, "")
	if !edge.StrictHooks || edge.LockTimeout != time.Minute {
		t.Errorf("edge: strict %v, waits %v", edge.StrictHooks, edge.LockTimeout)
	}
	if certbot.Verb != "run" || certbot.StrictHooks || certbot.LockTimeout != 0 {
		t.Errorf("certbot: %s, strict %v, waits %v", certbot.Verb, certbot.StrictHooks, certbot.LockTimeout)
	}
	if o := parse(t, Env{}, "renew --no-strict-hooks --lock-timeout 0"); o.StrictHooks || o.LockTimeout != 0 || !o.IsSet("strict_hooks") {
		t.Errorf("said to be lax: %v %v", o.StrictHooks, o.LockTimeout)
	}
	if o := parse(t, Env{Defaults: map[string]string{"apache_ctl": "apachectl"}}, "renew"); o.ApacheCtl != "apachectl" || o.IsSet("apache_ctl") {
		t.Errorf("another system's default: %q", o.ApacheCtl)
	}
}

func TestOwnFlags(t *testing.T) {
	o := parse(t, Env{}, "certificates -o json --admin /s --edge-config e.yaml --lock-timeout 90 --hook-timeout 2m --key-mode 0o640 --key-group 42 --no-preflight")
	got := fmt.Sprintln(o.Output, o.AdminSocket, o.EdgeConfig, o.LockTimeout, o.HookTimeout, o.KeyMode, o.KeyGroup, o.NoPreflight)
	if want := "json /s e.yaml 1m30s 2m0s -rw-r----- 42 true\n"; got != want {
		t.Errorf("got %s", got)
	}
	if o := parse(t, Env{}, "certonly --edge -d a.example"); !o.Edge || o.Source("authenticator") != CommandLine {
		t.Errorf("--edge: %v from %v", o.Edge, o.Source("authenticator"))
	}
}

func TestIPAddresses(t *testing.T) {
	web, web2 := t.TempDir(), t.TempDir()
	o := parse(t, Env{}, "certonly -w "+web+" --ip-address 192.0.2.1 --ip-address 2001:DB8:0::1 --ip-address 2001:db8::1 -w "+web2+" -d a.example "+
		`--webroot-map {"198.51.100.7,B.example":"`+web+`"}`)
	if want := []string{"192.0.2.1", "2001:db8::1", "198.51.100.7"}; !slices.Equal(o.IPs, want) || !slices.Equal(o.Domains, []string{"a.example", "b.example"}) {
		t.Errorf("addresses %q, names %q", o.IPs, o.Domains)
	}
	if without := o.CompleteWebroots(append(o.Domains, o.IPs...)); without != nil {
		t.Errorf("without a folder: %q", without)
	}
	for name, path := range map[string]string{"192.0.2.1": web, "2001:db8::1": web, "198.51.100.7": web, "b.example": web, "a.example": web2, "c.example": ""} {
		if got := o.WebrootMap.Path(name); got != path {
			t.Errorf("%s is in %q, want %q", name, got, path)
		}
	}
	if without := parse(t, Env{}, "certonly -d a.example").CompleteWebroots([]string{"a.example"}); !slices.Equal(without, []string{"a.example"}) {
		t.Errorf("without a folder: %q", without)
	}
}

// certbot 0.19's flags, and others that do nothing any more.
func TestOldFlags(t *testing.T) {
	o := parse(t, Env{}, "certonly --tls-sni-01-port 444 --tls-sni-01-address ::1 --preferred-challenges tls-sni,tls-alpn --standalone-supported-challenges http-01 --agree-dev-preview --dialog --no-self-upgrade")
	if o.TLSSNI01Port != 444 || o.TLSSNI01Addr != "::1" || !slices.Equal(o.PrefChallenges, []string{"tls-sni-01", "tls-alpn-01"}) {
		t.Errorf("%d %q %q", o.TLSSNI01Port, o.TLSSNI01Addr, o.PrefChallenges)
	}
	want := []string{"--standalone-supported-challenges is deprecated; --preferred-challenges has taken its place.",
		"Use of --agree-dev-preview is deprecated.", "Use of --dialog is deprecated.", "Use of --no-self-upgrade is deprecated."}
	if !slices.Equal(o.Warnings, want) {
		t.Errorf("warnings: %q", o.Warnings)
	}
	o = parse(t, Env{}, "certonly --standalone-supported-challenges dvsni,http-01")
	if !slices.Equal(o.PrefChallenges, []string{"tls-sni-01", "http-01"}) || o.Source("pref_challs") != CommandLine {
		t.Errorf("%q from %v", o.PrefChallenges, o.Source("pref_challs"))
	}
	if o := parse(t, Env{}, "register --update-registration -m a@b.c"); o.Verb != "update_account" || len(o.Warnings) != 1 {
		t.Errorf("the verb is %s, warnings %q", o.Verb, o.Warnings)
	}
	if _, err := Parse([]string{"certonly", "--standalone-supported-challenges", "x"}, Env{ConfigFiles: []string{}}); errText(err) != "argument --standalone-supported-challenges: Unrecognized challenges: x" {
		t.Error(err)
	}
}

// Later flags of certbot's.
func TestNewFlags(t *testing.T) {
	o := parse(t, Env{AsCertbot: true}, "certonly --required-profile a --preferred-profile b --eab-hmac-alg HS512 --run-deploy-hooks -d a.example")
	if o.RequiredProf != "a" || o.PreferredProf != "b" || o.EABHMACAlg != "HS512" || !o.RunDeployHooks {
		t.Errorf("%+v", o)
	}
	params, _ := o.RenewalParams()
	if got := fmt.Sprint(params); !strings.HasPrefix(got, "[{required_profile a} {preferred_profile b} ") {
		t.Errorf("saved: %s", got)
	}
	if o := parse(t, Env{}, "reconfigure --cert-name a --dry-run"); o.Verb != "reconfigure" || o.Server != StagingServer {
		t.Errorf("%s %s", o.Verb, o.Server)
	}
	// An abbreviation that certbot 2.1 knows is not made ambiguous by what came later.
	if o := parse(t, Env{}, "certonly --strict --eab-hmac k"); !o.StrictPerms || o.EABHMACKey != "k" || o.StrictHooks != true {
		t.Errorf("%v %q", o.StrictPerms, o.EABHMACKey)
	}
}

func TestSources(t *testing.T) {
	file := filepath.Join(t.TempDir(), "cli.ini")
	if err := os.WriteFile(file, []byte("email = a@b.c\nkey-type = rsa\nstaging = yes\ndeploy-hook = true\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	o := parse(t, Env{ConfigFiles: []string{file}}, "certonly --key-type ecdsa --nginx")
	for dest, want := range map[string]Source{"email": File, "key_type": CommandLine, "server": File, "account": File, "renew_hook": File,
		"authenticator": CommandLine, "installer": CommandLine, "rsa_key_size": Default, "nothing": Default} {
		if got := o.Source(dest); got != want || o.IsSet(dest) != (want != Default) {
			t.Errorf("%s comes from: %v, want: %v", dest, got, want)
		}
	}
}

// Paths are absolute before anybody changes folder: the renewal file has them.
func TestCredentialsAreAbsolute(t *testing.T) {
	t.Chdir(t.TempDir())
	dir, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	o := parse(t, Env{Getenv: func(string) string { return "/home/me" }}, "certonly --dns-cloudflare-credentials cf.ini --dns-rfc2136-credentials ~/k.ini --config-dir c")
	if got := []string{o.CloudflareCredentials, o.RFC2136Credentials, o.ConfigDir}; !slices.Equal(got, []string{dir + "/cf.ini", "/home/me/k.ini", dir + "/c"}) {
		t.Errorf("%q", got)
	}
}

func TestCheckInstalls(t *testing.T) {
	const message = "With the webroot plugin, you probably want to use the \"certonly\" command, eg:\n\n    certbot certonly --webroot\n\n" +
		"(Alternatively, add a --installer flag. See https://eff.org/letsencrypt-plugins\nand \"--help plugins\" for more information.)"
	for _, c := range []struct{ line, want string }{
		{"run -a webroot", message}, {"run --webroot -i nginx", ""}, {"run --nginx", ""}, {"certonly --webroot", ""}, {"run", ""}, {"run -a other", ""},
	} {
		o := parse(t, Env{AsCertbot: true}, c.line)
		auth, inst, err := o.Requested()
		if err != nil {
			t.Fatal(err)
		}
		if got := errText(o.CheckInstalls(auth, inst)); got != c.want {
			t.Errorf("%s: %q", c.line, got)
		}
	}
}

// A copy is a copy.
func TestClone(t *testing.T) {
	o := parse(t, Env{}, "certonly -d a.example -w "+t.TempDir()+" --preferred-challenges http")
	before := fmt.Sprintf("%+v", *o)
	c := o.Clone()
	c.CompleteWebroots([]string{"a.example"})
	c.Domains[0], c.PrefChallenges[0], c.WebrootPath[0] = "x", "x", "x"
	if fmt.Sprintf("%+v", *o) != before {
		t.Error("the original changed")
	}
}

// Configuration files that cannot be read are errors, ones that are not there not.
func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	big := filepath.Join(dir, "big.ini")
	if err := os.WriteFile(big, slices.Repeat([]byte("# much\n"), maxFile/7+1), 0o600); err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct {
		file, problem string
		exit          int
	}{{dir, "read " + dir + ": Is a directory", 1}, {big, "more than 1048576 bytes", 1}, {dir + "/none", "", 0}} {
		_, err := Parse([]string{"renew"}, Env{ConfigFiles: []string{c.file}})
		if exitOf(err) != c.exit || !strings.Contains(errText(err), c.problem) {
			t.Errorf("%s: %v", c.file, err)
		}
	}
	env := Env{Getenv: func(name string) string { return map[string]string{"XDG_CONFIG_HOME": dir, "HOME": "/h"}[name] }}
	if got := env.configFiles(); !slices.Equal(got, []string{"/etc/letsencrypt/cli.ini", dir + "/letsencrypt/cli.ini"}) {
		t.Errorf("%q", got)
	}
	env.Getenv = func(name string) string { return map[string]string{"HOME": "/h"}[name] }
	if got := env.expandUser(env.configFiles()[1]); got != "/h/.config/letsencrypt/cli.ini" {
		t.Errorf("%q", got)
	}
}

// No renewal file makes restoring panic, and what was taken can be saved.
func FuzzRenewalFile(f *testing.F) {
	for _, c := range renewals() {
		f.Add([]byte("[renewalparams]\n" + c.params + "\n[edge]\nkey_mode = 640\n"))
	}
	o, err := Parse([]string{"renew"}, Env{ConfigFiles: []string{}})
	if err != nil {
		f.Fatal(err)
	}
	f.Fuzz(func(t *testing.T, data []byte) {
		doc, err := configobj.Parse(data)
		if err != nil {
			return
		}
		after, errs := o.ApplyRenewalParams(doc.Root().Section("renewalparams"))
		after, more := after.ApplyEdgeParams(doc.Root().Section("edge"))
		if errors.Join(append(errs, more...)...) != nil {
			return
		}
		after.RenewalParams()
		after.EdgeParams()
	})
}

func BenchmarkParse(b *testing.B) {
	args := strings.Fields("certonly -n --standalone -d a.example,b.example --agree-tos -m a@b.c")
	for b.Loop() {
		if _, err := Parse(args, Env{ConfigFiles: []string{}}); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkRenewal(b *testing.B) {
	o, err := Parse([]string{"renew"}, Env{ConfigFiles: []string{}})
	if err != nil {
		b.Fatal(err)
	}
	doc, err := configobj.Parse([]byte("[renewalparams]\nauthenticator = nginx\ninstaller = nginx\nserver = s\nkey_type = rsa\nnginx_ctl = x\n"))
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		after, errs := o.ApplyRenewalParams(doc.Root().Section("renewalparams"))
		if errs != nil {
			b.Fatal(errs)
		}
		after.RenewalParams()
	}
}
