package certbotcli

import (
	"errors"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"
)

// The table has every flag of Debian's certbot, by the same names, in the same
// order, and nothing else that says it is certbot's.
func TestFlagsAreCertbots(t *testing.T) {
	certbots := startOracle(t).ask(question{Flags: true}).Flags
	var ours []Flag
	for _, f := range Flags() {
		if f.Origin == Certbot || f.Origin == abandoned {
			ours = append(ours, f)
		}
	}
	if len(certbots) != len(ours) || len(ours) < 120 {
		t.Errorf("certbot has %d flags, we have %d of them", len(certbots), len(ours))
	}
	for i := range min(len(certbots), len(ours)) {
		c, f := certbots[i], ours[i]
		if !slices.Equal(c.Names, f.Names) || c.Dest != f.Dest || c.Value != f.act.takesValue || !slices.Equal(c.Choices, f.Choices) {
			t.Errorf("certbot has\n%+v\nwe have\n%+v", c, f)
		}
		if c.Metavar != "" && c.Metavar != f.Arg {
			t.Errorf("%s: certbot calls the value %s, we %s", f.Long(), c.Metavar, f.Arg)
		}
	}
}

// Each flag sets an option that there is, and each option has a flag.
func TestFlagsHaveOptions(t *testing.T) {
	s := newSchema(Env{})
	dests := map[string]bool{}
	for _, f := range s.flags {
		dests[f.Dest] = true
		_, ok := s.fields[f.Dest]
		if ok == (f.act.kind == kindNothing || f.act.kind == kindAsk || f.Dest == "standalone_supported_challenges" || f.Kind != "") {
			t.Errorf("%s: %s is an option: %v", f.Long(), f.Dest, ok)
		}
		if !f.Hidden && f.Help == "" {
			t.Errorf("%s has no help", f.Long())
		}
	}
	for dest := range s.fields {
		if !dests[dest] {
			t.Errorf("no flag sets %s", dest)
		}
	}
}

func TestHelp(t *testing.T) {
	all := Help("all", Env{AsCertbot: true})
	for _, f := range Flags() {
		name := f.Names[0]
		if f.Arg != "" {
			name += " " + f.Arg
		}
		if n := strings.Count(all, "\n  "+name); f.Hidden == (n > 0) {
			t.Errorf("--help all has %s %d times", name, n)
		}
		for _, topic := range f.Topics {
			if topic != "" && !slices.Contains(topicNames(Env{}.kinds()), topic) {
				t.Errorf("%s is in the topic %s, which is none", f.Long(), topic)
			}
		}
	}
	for _, topic := range append(topicNames(Env{}.kinds()), "") {
		text := Help(topic, Env{})
		if len(text) < 100 || !strings.HasPrefix(text, "usage:\n  edge ") || strings.Contains(text, "  certbot ") {
			t.Errorf("--help %s says %q", topic, text)
		}
		for line := range strings.Lines(text) {
			line = strings.TrimRight(line, "\n")
			if utf8.RuneCountInString(line) > width && !strings.HasPrefix(line, "  edge ") && strings.Contains(strings.TrimSpace(line), "  ") {
				t.Errorf("--help %s has a line of %d letters: %s", topic, len(line), line)
			}
			if strings.HasSuffix(line, " ") {
				t.Errorf("--help %s: blank at the end of %q", topic, line)
			}
		}
	}
	for _, e := range []struct{ topic, want string }{
		{"certonly", "edge certonly --webroot"}, {"nginx", "--nginx-ctl"}, {"", "--help TOPIC"}, {"commands", "reconfigure"},
		{"manual", "--manual-auth-hook"}, {"edge", "--on-failure-hook"}, {"webroot", "-w WEBROOT_PATH"}, {"standalone", "--http-01-port"},
	} {
		if !strings.Contains(Help(e.topic, Env{}), e.want) {
			t.Errorf("--help %s does not have %s", e.topic, e.want)
		}
	}
}

// Examples are command lines that Parse takes.
func TestExamples(t *testing.T) {
	words := strings.NewReplacer("'systemctl reload dovecot'", "true", "'systemctl reload postfix'", "true", `'mail -s "$FAILED_DOMAINS" root'`, "true",
		"'*.example.com'", "*.example.com", "/var/www", t.TempDir(), "/srv/a", t.TempDir(), "/srv/b", t.TempDir())
	for _, topic := range topicNames(Env{}.kinds()) {
		for _, e := range examples(topic) {
			o, err := Parse(strings.Fields(words.Replace(e)), Env{ConfigFiles: []string{}})
			if err != nil {
				t.Errorf("%s: %v", e, err)
				continue
			}
			if want, _, _ := strings.Cut(e, " "); o.Verb != want {
				t.Errorf("%s: the verb is %s", e, o.Verb)
			}
		}
	}
}

func TestHelpRequests(t *testing.T) {
	for _, c := range []struct{ args, topic string }{
		{"--help", ""}, {"help", ""}, {"-h renew", "renew"}, {"help auth", "certonly"}, {"certonly --help", "certonly"}, {"certonly -d a.example -h", "certonly"},
		{"--help everything", "run"}, {"--help nonsense", ""}, {"-h verbs", "commands"}, {"renew --help nginx", "nginx"}, {"-nh", ""}, {"--help all --no-such", "all"},
	} {
		_, err := Parse(strings.Fields(c.args), Env{ConfigFiles: []string{}})
		var h *HelpRequest
		if !errors.As(err, &h) || h.Topic != c.topic {
			t.Errorf("%s asks for %v, want help about %q", c.args, err, c.topic)
		}
	}
}

// What is wrong is said as argparse says it, with what was perhaps meant below.
func TestUsageErrors(t *testing.T) {
	for _, c := range []struct {
		args, message, hint string
		certbot             bool
	}{
		{args: "cetonly -d a.example", message: "unrecognized arguments: cetonly", hint: "did you mean certonly?", certbot: true},
		{args: "renwe", message: "unrecognized arguments: renwe", hint: "did you mean renew?"},
		{args: "renew --froce-renewal", message: "unrecognized arguments: --froce-renewal", hint: "did you mean --force-renewal?"},
		{args: "renew --prehook=x", message: "unrecognized arguments: --prehook=x", hint: "did you mean --pre-hook?"},
		{args: "renew --key-type ecsda", message: "argument --key-type: invalid choice: 'ecsda' (choose from 'rsa', 'ecdsa')", hint: "did you mean ecdsa?"},
		{args: "certonly --dns-hetzner-credentials f", message: "unrecognized arguments: --dns-hetzner-credentials f",
			hint: "there is no plugin dns-hetzner here; for its provider use --manual with hooks, or delegate _acme-challenge to dns-cloudflare or dns-rfc2136"},
		{args: "certonly --certbot-dns-x:dns-credentials f", message: "unrecognized arguments: --certbot-dns-x:dns-credentials f",
			hint: "there is no plugin certbot-dns-x here; for its provider use --manual with hooks, or delegate _acme-challenge to dns-cloudflare or dns-rfc2136"},
		{args: "certonly --qwertyuiop", message: "unrecognized arguments: --qwertyuiop"},
		{args: "-d a.example", message: "no command given", hint: "edge --help commands lists them"},
		{args: "renew --lock-timeout soon", message: "argument --lock-timeout: invalid duration: 'soon' (90, 90s and 2m are)"},
		{args: "renew --key-mode 888", message: "argument --key-mode: invalid mode: '888' (octal, 0640 for example)"},
		{args: "certonly --ip-address x", message: "argument --ip-address: 'x' does not appear to be an IPv4 or IPv6 address"},
	} {
		env := Env{ConfigFiles: []string{}, AsCertbot: c.certbot}
		_, err := Parse(strings.Fields(c.args), env)
		var u *UsageError
		if !errors.As(err, &u) {
			t.Errorf("%s: %v", c.args, err)
			continue
		}
		if u.Message != c.message || u.Hint != c.hint {
			t.Errorf("%s: we say %q and %q", c.args, u.Message, u.Hint)
		}
		want := "\n" + env.program() + ": error: " + c.message + "\n"
		if c.hint != "" {
			want += c.hint + "\n"
		}
		if text := u.Text(); !strings.HasPrefix(text, "usage: \n  "+env.program()+" ") || !strings.HasSuffix(text, want) {
			t.Errorf("%s: the text is %q", c.args, text)
		}
	}
}
