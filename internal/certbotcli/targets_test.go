package certbotcli

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge/installers/delivery"
	"edge/installers/target"
	"edge/internal/configobj"
)

// madeUp has a setting of each type.
func madeUp() target.Kind {
	return target.Kind{
		Name: "made-up", Description: "A server that nobody has", Aliases: []string{"certbot-made-up:auth", "certbot-made-up:inst"},
		Settings: []target.Setting{
			{Name: "socket", Type: target.Path, Doc: "control socket", Default: "/run/made-up.sock", Old: []string{"certbot-made-up:inst-control-socket"}},
			{Name: "mode", Doc: "how", Choices: []string{"fast", "slow"}},
			{Name: "port", Type: target.Number, Doc: "port of challenges", Default: "8000", Old: []string{"certbot-made-up:auth-port"}},
			{Name: "strict", Type: target.Bool, Doc: "refuse more"},
			{Name: "wait", Type: target.Duration, Doc: "time to wait", Default: "10s"},
			{Name: "token", Type: target.Secret, Doc: "API token", Must: true, Env: []string{"MADE_UP_TOKEN"}},
			{Name: "hosts", Type: target.List, Doc: "hosts"},
		},
		Target: func(context.Context, target.Values, *target.Env) (delivery.Target, error) {
			return nil, errors.New("made up")
		},
		Authenticator: func(context.Context, target.Values, *target.Env) (target.Authenticator, error) {
			return nil, errors.New("made up")
		},
	}
}

func madeUpEnv() Env {
	proves := madeUp()
	proves.Name, proves.Aliases, proves.Settings, proves.Target = "only-proves", nil, nil, nil
	return Env{Kinds: []target.Kind{madeUp(), proves}, ConfigFiles: []string{}}
}

func TestTargetFlags(t *testing.T) {
	t.Chdir(t.TempDir())
	here, err := os.Getwd()
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ args, want string }{
		{"", "map[]"},
		{"--made-up-socket a/../b", "map[socket:[" + here + "/b]]"},
		{"--certbot-made-up:inst-control-socket=/c", "map[socket:[/c]]"},
		{"--made-up-socket /a --certbot-made-up:inst-control-socket /c", "map[socket:[/c]]"},
		{"--made-up-socket /a --made-up-socket ∅", "map[]"},
		{"--made-up-mode fast --made-up-port 1 --made-up-wait 2m", "map[mode:[fast] port:[1] wait:[2m]]"},
		{"--made-up-strict", "map[strict:[true]]"}, {"--made-up-strict=False", "map[strict:[False]]"}, {"--made-up-strict no", "argument --made-up-strict: \"no\" is neither true nor false"},
		{"--made-up-strict -n", "map[strict:[true]]"},
		{"--made-up-token file:t", "map[token:[file:" + here + "/t]]"}, {"--made-up-token env:TOK", "map[token:[env:TOK]]"},
		{"--made-up-token s3cret", "argument --made-up-token: the secret is written out; put it into a file that only root can read, and write file:PATH (or env:NAME)"},
		{"--made-up-hosts a,b --made-up-hosts c", "map[hosts:[a b c]]"},
		{"--made-up-mode quick", "argument --made-up-mode: invalid choice: 'quick' (choose from 'fast', 'slow')"},
		{"--made-up-port -1", "argument --made-up-port: \"-1\" is no number; write it in digits"},
		{"--made-up-port", "argument --made-up-port: expected one argument"},
		{"--made-up-wait soon", "argument --made-up-wait: \"soon\" is no span of time; write it as 30s or 2m"},
		{"--made-up-sock /a", "map[socket:[/a]]"}, {"--made-up-s /a", "ambiguous option: --made-up-s could match --made-up-socket, --made-up-strict"},
		{"--certbot-made-up:inst /a", "map[socket:[/a]]"},
		{"--made-up-tokne file:/x", "unrecognized arguments: --made-up-tokne file:/x; did you mean --made-up-token?"},
	} {
		args := strings.Fields("certonly " + c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "∅", "")
		}
		o, err := Parse(args, madeUpEnv())
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			got = fmt.Sprint(o.SaidOf("made-up"))
			if said := strings.Contains(c.args, "socket") || strings.Contains(c.args, "-sock ") || strings.Contains(c.args, ":inst "); o.IsSet("made_up_socket") != said {
				t.Errorf("%s: the socket was said: %v", c.args, !said)
			}
		}
		if got != c.want {
			t.Errorf("%s: %s\nwant %s", c.args, got, c.want)
		}
	}
}

// What certbot 2.1 takes for short stays so whatever kinds there are, and what is short
// for edge's own flags, too.
func TestTargetsAreNoObstacle(t *testing.T) {
	env := madeUpEnv()
	for _, name := range []string{"max", "no", "dns", "web", "key", "ed", "hook"} {
		k := madeUp()
		k.Name, k.Aliases = name, nil
		for i := range k.Settings {
			k.Settings[i].Old = nil
		}
		env.Kinds = append(env.Kinds, k)
	}
	o := parse(t, env, "certonly --max 3 --key-t rsa --hook-t 5 --no-pre")
	if o.MaxLogBackups != 3 || o.KeyType != "rsa" || o.HookTimeout == 0 || !o.NoPreflight || len(o.Targets) != 0 {
		t.Errorf("%+v", o)
	}
}

func TestTargetNames(t *testing.T) {
	for _, c := range []struct{ args, auth, inst, err string }{
		{"run -a made-up -i made-up", "made-up", "made-up", ""},
		{"run -a certbot-made-up:auth -i certbot-made-up:inst", "made-up", "made-up", ""},
		{"run --configurator certbot-made-up:auth", "made-up", "made-up", ""},
		{"run -a only-proves -i made-up", "only-proves", "made-up", ""},
		{"run -a made-up --standalone", "", "", "Too many flags setting configurators/installers/authenticators 'made-up' -> 'standalone'"},
		{"run -a only-proves", "only-proves", "", `With the only-proves plugin, you probably want to use the "certonly" command, eg:

    edge certonly -a only-proves

(Alternatively, add a --installer flag. See https://eff.org/letsencrypt-plugins
and "--help plugins" for more information.)`},
		{"certonly -a only-proves", "only-proves", "", ""},
		{"run -a somebody-elses:auth", "somebody-elses:auth", "", ""},
	} {
		o := parse(t, madeUpEnv(), c.args)
		auth, inst, err := o.Requested()
		if err == nil {
			err = o.CheckInstalls(auth, inst)
		}
		says := ""
		if err != nil {
			says = err.Error()
		}
		if auth != c.auth || inst != c.inst || says != c.err {
			t.Errorf("%s: %q %q %s", c.args, auth, inst, says)
		}
	}
}

func TestTargetsInINI(t *testing.T) {
	path := filepath.Join(t.TempDir(), "cli.ini")
	write := func(s string) {
		if err := os.WriteFile(path, []byte(s), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	env := madeUpEnv()
	env.ConfigFiles = []string{path}
	write("made-up-strict\nmade-up-hosts = [a, b]\nmade-up-token = file:/t\ncertbot-made-up:auth-port = 7\ncertbot-made-up:inst-control-socket: \"/colon\" # x\n")
	for args, want := range map[string]string{
		"renew":                                            "map[hosts:[a b] port:[7] socket:[/colon] strict:[true] token:[file:/t]]",
		"renew --made-up-socket /argv":                     "map[hosts:[a b] port:[7] socket:[/argv] strict:[true] token:[file:/t]]",
		"renew --made-up-hosts c":                          "map[hosts:[c] port:[7] socket:[/colon] strict:[true] token:[file:/t]]",
		"renew --made-up-port 9":                           "map[hosts:[a b] port:[9] socket:[/colon] strict:[true] token:[file:/t]]",
		"renew --made-up-strict=false":                     "map[hosts:[a b] port:[7] socket:[/colon] strict:[false] token:[file:/t]]",
		"renew --certbot-made-up:inst-control-socket /old": "map[hosts:[a b] port:[7] socket:[/old] strict:[true] token:[file:/t]]",
	} {
		o, err := Parse(strings.Fields(args), env)
		if err != nil {
			t.Errorf("%s: %v", args, err)
			continue
		}
		if got := fmt.Sprint(o.SaidOf("made-up")); got != want || !o.IsSet("made_up_token") {
			t.Errorf("%s: %s, want %s", args, got, want)
		}
	}
	write("made-up-token = verysecret\n")
	if _, err := Parse([]string{"renew"}, env); err == nil || strings.Contains(err.Error(), "verysecret") || !strings.Contains(err.Error(), "written out") {
		t.Errorf("a secret in cli.ini: %v", err)
	}
}

// Settings of the kinds in use come into renewal files and out of them again.
func TestTargetsInRenewalFiles(t *testing.T) {
	env := madeUpEnv()
	o := parse(t, env, "run -a standalone -i certbot-made-up:inst --made-up-hosts a,b --made-up-token file:/t --made-up-socket /s --made-up-wait 2m")
	o.Authenticator, o.Installer, _ = o.Requested()
	params, _ := o.RenewalParams()
	text, edges := paramText(params), paramText(o.EdgeParams())
	if want := "made_up_socket = /s\nmade_up_wait = 2m\nmade_up_token = file:/t\nmade_up_hosts = a, b\n"; !strings.HasSuffix(text, want) {
		t.Errorf("saved:\n%s", text)
	}
	if !strings.Contains(edges, "installer = made-up\n") || strings.Contains(text, "installer") {
		t.Errorf("the installer is in\n%s\nand\n%s", text, edges)
	}
	for _, c := range []struct{ args, params, want string }{
		{"", text, "map[hosts:[a b] socket:[/s] token:[file:/t] wait:[2m]]"},
		{"--made-up-socket /n --made-up-hosts c", text, "map[hosts:[c] socket:[/n] token:[file:/t] wait:[2m]]"},
		{"--made-up-socket ∅", text, "map[hosts:[a b] token:[file:/t] wait:[2m]]"},
		{"", "authenticator = certbot-made-up:auth\ncertbot_made_up:inst_control_socket = /old\ncertbot_made_up:auth_port = 80\n", "map[port:[80] socket:[/old]]"},
		{"", "authenticator = made-up\nmade_up_socket = /new\ncertbot_made_up:inst_control_socket = /old\nmade_up_port = None\n", "map[socket:[/new]]"},
		{"", "authenticator = made-up\ncertbot_made_up:inst_control_socket = /old\nmade_up_socket = /new\nmade_up_later = x\nmade_up_hosts = a\n", "map[hosts:[a] socket:[/new]]"},
	} {
		doc, err := configobj.Parse([]byte("[renewalparams]\n" + c.params))
		if err != nil {
			t.Fatal(err)
		}
		args := strings.Fields("renew " + c.args)
		for i := range args {
			args[i] = strings.ReplaceAll(args[i], "∅", "")
		}
		said, err := Parse(args, env)
		if err != nil {
			t.Fatal(err)
		}
		before := fmt.Sprint(said.Targets)
		r, errs := said.ApplyRenewalParams(doc.Root().Section("renewalparams"))
		if len(errs) > 0 {
			t.Errorf("%v", errs)
		}
		if got := fmt.Sprint(r.SaidOf("made-up")); got != c.want {
			t.Errorf("%s with\n%s gives %s, want %s", c.args, c.params, got, c.want)
		}
		if now := fmt.Sprint(said.Targets); now != before {
			t.Errorf("the options of the run were changed: %v, before %v", now, before)
		}
		if strings.Contains(c.params, "certbot-made-up:auth") && r.Authenticator != "made-up" {
			t.Errorf("the authenticator is %s", r.Authenticator)
		}
		again, _ := r.RenewalParams()
		if strings.Contains(c.params, "made_up_later") && !strings.Contains(paramText(again), "made_up_later = x\n") {
			t.Errorf("what is not known was lost:\n%s", paramText(again))
		}
		if r.Authenticator == "made-up" && strings.Contains(paramText(again), "certbot_made_up") {
			t.Errorf("saved by the old name:\n%s", paramText(again))
		}
	}
	// Of kinds that are not in use nothing is saved.
	o = parse(t, env, "certonly --standalone --made-up-socket /s")
	o.Authenticator, _, _ = o.Requested()
	if params, _ := o.RenewalParams(); strings.Contains(paramText(params), "made_up") {
		t.Errorf("saved:\n%s", paramText(params))
	}
}

func paramText(params []Param) string {
	var b strings.Builder
	for _, p := range params {
		b.WriteString(p.Key + " = " + strings.Join(p.Value.Items, ", ") + "\n")
	}
	return b.String()
}

// Everything of every kind can be said, and nothing in two ways that differ.
func TestAllTargets(t *testing.T) {
	env := Env{Kinds: append(Env{}.kinds(), madeUp()), ConfigFiles: []string{}}
	s := newSchema(env)
	whose := map[string]string{}
	add := func(name, of string) {
		if whose[name] != "" {
			t.Errorf("%s is of %s and of %s", name, whose[name], of)
		}
		whose[name] = of
	}
	for _, f := range s.flags {
		for _, n := range slices.Concat(f.Names, f.Old) {
			add(n, f.Dest)
		}
		if f.Kind != "" {
			add("dest "+f.Dest, f.Dest)
		}
	}
	all := Help("all", env)
	for i := range env.Kinds {
		k := &env.Kinds[i]
		for _, n := range append([]string{k.Name}, k.Aliases...) {
			add("plugin "+n, k.Name)
		}
		if isSelector(k.Name) || slices.Contains(topicNames(nil), k.Name) {
			t.Errorf("%s has the name of something else", k.Name)
		}
		page := Help(k.Name, env)
		for j := range k.Settings {
			x := &k.Settings[j]
			for _, n := range append([]string{x.Flag(k.Name)}, x.Old...) {
				f := newParser(s, &Options{}, s.flags).byName["--"+n]
				if f == nil || f.Kind != k.Name || f.setting.Name != x.Name {
					t.Errorf("--%s of %s: %+v", n, k.Name, f)
				}
			}
			if flag := "\n  --" + x.Flag(k.Name) + " "; strings.Count(all, flag) != 1 || strings.Count(page, flag) != 1 {
				t.Errorf("help does not have%s:\n%s", flag, page)
			}
			for _, old := range x.Old {
				if strings.Contains(all, old) {
					t.Errorf("help has %s", old)
				}
			}
		}
		for _, e := range examplesOf(k) {
			o := parse(t, env, e)
			if auth, inst, err := o.Requested(); err != nil || auth != k.Name && inst != k.Name {
				t.Errorf("%s: %q %q %v", e, auth, inst, err)
			}
		}
	}
}
