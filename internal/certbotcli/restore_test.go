package certbotcli

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge/internal/configobj"
)

// renewCase is a command line and the [renewalparams] of a lineage.
type renewCase struct {
	args, params string
	differs      string // why we do not do what certbot does
	ours         string // our error then, or "" where there is none
}

func renewals() []renewCase {
	const base = "authenticator = standalone\nserver = https://127.0.0.1:14000/dir\nkey_type = ecdsa\naccount = abc\n"
	return []renewCase{
		{params: base}, {params: "authenticator = standalone\naccount = abc"}, {params: base, args: "--key-type rsa"}, {params: "authenticator = standalone", args: "--key-type ecdsa"},
		{params: "authenticator = standalone\nserver = https://acme-v01.api.letsencrypt.org/directory"}, {params: base, args: "--server http://x/"},
		{params: base, args: "--dry-run"}, {params: base, args: "--staging"}, {params: base + "server2 = x\nfoo = bar"},
		{params: base + "rsa_key_size = 4096\nhttp01_port = 8080\nmust_staple = True\nallow_subset_of_names = false\nreuse_key = TRUE\nautorenew = False"},
		{params: base + "rsa_key_size = 2048\nhttp01_port = None\nreuse_key = False\nautorenew = True\nelliptic_curve = secp256r1"},
		{params: base + "http01_port = x"}, {params: base + "rsa_key_size = None"}, {params: base + "must_staple = yes"}, {params: base + "rsa_key_size = ' 4_096 '"},
		{params: base + "pref_challs = http-01,"}, {params: base + "pref_challs = dns-01"}, {params: base + "pref_challs = dns, http-01"}, {params: base + "pref_challs = nope,dns-01"},
		{params: base + "pref_challs = dns-01,", args: "--preferred-challenges http"},
		{params: base + "pref_challs = tls-sni-01,", differs: "edge has TLS-SNI-01", ours: ""},
		{params: base + "pre_hook = 'a, b'\npost_hook = \"\"\nrenew_hook = '''x 'y' \"z\"'''\ndeploy_hook = q"}, {params: base + "renew_hook = a", args: "--deploy-hook true"},
		{params: base + "renew_hook = a", args: "--deploy-hook ∅"}, {params: base + "pre_hook = None\npost_hook = True\nhttp01_address = None\nuser_agent = None"},
		{params: base + "http01_address = 127.0.0.1\nuser_agent = me\npreferred_chain = \"ISRG Root X1\"\nconfig_dir = /a\nwork_dir = /b\nlogs_dir = /c"},
		{params: base + "http01_address = 127.0.0.1", args: "--http-01-address ∅ --http-01-port 99"}, {params: base, args: "--nginx"}, {params: base, args: "-a webroot"}, {params: base, args: "-i nginx"},
		{params: "authenticator = nginx\ninstaller = nginx\nnginx_server_root = /n\nnginx_ctl = nginxctl\nnginx_sleep_seconds = 7\napache_ctl = x"},
		{params: "authenticator = nginx\ninstaller = nginx\nnginx_sleep_seconds = x"}, {params: "authenticator = nginx\ninstaller = None\nnginx_ctl = None"}, {params: "authenticator = nginx\nnginx_ctl = nginxctl", args: "--nginx-ctl other"},
		{params: "authenticator = webroot\ninstaller = apache\napache_handle_modules = True\napache_handle_sites = False\napache_vhost_root = None\napache_enmod = None\napache_ctl = httpd\nwebroot_path = /a, /b\n[[webroot_map]]\nb.example = /b\na.example = /a"},
		{params: "authenticator = webroot\nwebroot_path = /a,"}, {params: "authenticator = webroot\nwebroot_path = /a"}, {params: "authenticator = webroot\nwebroot_path = ,\n[[webroot_map]]\na.example = /a"},
		{params: "authenticator = webroot\nwebroot_path = /a,\n[[webroot_map]]\na.example = /a", args: "--webroot-path $L/web"}, {params: "authenticator = webroot\nwebroot_path = /a,\n[[webroot_map]]\na.example = /a", args: `--webroot-map {"b.example":"$L/web"}`},
		{params: "authenticator = standalone\nwebroot_path = /a,\n[[webroot_map]]\na.example = /a"}, {params: "authenticator = webroot\n[[webroot_map]]\n"},
		{params: "authenticator = manual\nmanual_auth_hook = /x auth\nmanual_cleanup_hook = None\nmanual_public_ip_logging_ok = True"},
		{params: "authenticator = dns-cloudflare\ndns_cloudflare_credentials = /x\ndns_cloudflare_propagation_seconds = 30"}, {params: "authenticator = dns-rfc2136\ndns_rfc2136_credentials = /x"},
		{params: "authenticator = nginx\nnginx_foo = 3", differs: "certbot trips over options that a plugin has no more", ours: ""},
		{params: base + "standalone_supported_challenges = http-01", differs: "likewise", ours: ""},
		{params: base + "pre_hook = a, b", differs: "certbot runs a list, and trips", ours: "Expected one value for pre_hook but found a list; a value with commas needs quotes"},
		{params: base + "pre_hook = 'x %(nope)s'", differs: "certbot names the exception", ours: "nope"},
		{params: "server = x", differs: "certbot says so before", ours: "does not specify an authenticator"},
		{params: "authenticator = webroot\nwebroot_map = x", differs: "certbot trips later", ours: "Expected a section for webroot_map but found a value"},
	}
}

// What renew makes of a lineage's parameters, and what it would save of them, is
// what certbot makes of them.
func TestAsCertbotRenews(t *testing.T) {
	dir := lab(t)
	o := startOracle(t)
	for _, c := range renewals() {
		t.Run(c.params+" "+c.args, func(t *testing.T) { c.check(t, o, dir) })
	}
}

// Certbot's recorded renewal files come back as they were.
func TestRecordedRenewalFiles(t *testing.T) {
	root := os.Getenv("EDGE_SHARED")
	if root == "" {
		root = "../../../shared"
	}
	files, err := filepath.Glob(filepath.Join(root, "golden/letsencrypt/*.conf"))
	if err != nil {
		t.Fatal(err)
	}
	if len(files) == 0 {
		if os.Getenv("CI") == "true" {
			t.Fatal("certbot's recorded files are missing: set EDGE_SHARED")
		}
		t.Skip("not run: certbot's recorded files are missing: set EDGE_SHARED")
	}
	o := startOracle(t)
	for _, f := range files {
		t.Run(filepath.Base(f), func(t *testing.T) {
			data, err := os.ReadFile(f)
			if err != nil {
				t.Fatal(err)
			}
			_, params, _ := strings.Cut(string(data), "[renewalparams]\n")
			after := renewCase{params: params}.check(t, o, lab(t))
			kept, webroots := after.RenewalParams()
			var got []string
			for _, p := range kept {
				got = append(got, p.Key)
			}
			doc, err := configobj.Parse(data)
			if err != nil {
				t.Fatal(err)
			}
			section := doc.Root().Section("renewalparams")
			want := section.Keys()
			slices.Sort(got)
			slices.Sort(want)
			if !slices.Equal(got, want) || len(webroots) != len(section.Section("webroot_map").Keys()) {
				t.Errorf("of %q we keep %q and %v", want, got, webroots)
			}
		})
	}
}

func (c renewCase) check(t *testing.T, or *oracle, dir string) *Options {
	t.Helper()
	file := filepath.Join(t.TempDir(), "x.conf")
	if err := os.WriteFile(file, []byte("[renewalparams]\n"+c.params+"\n"), 0o644); err != nil {
		t.Fatal(err)
	}
	data, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	doc, err := configobj.Parse(data)
	if err != nil {
		t.Fatal(err)
	}
	q := lineCase{args: "renew " + c.args}.question(t, dir)
	q.Renewal = file
	want := or.ask(q)
	o, err := Parse(q.Args, q.env())
	if err != nil {
		t.Fatal(err)
	}
	before := fmt.Sprintf("%+v", *o)
	after, errs := o.ApplyRenewalParams(doc.Root().Section("renewalparams"))
	if fmt.Sprintf("%+v", *o) != before {
		t.Errorf("the options themselves were changed")
	}
	switch {
	case c.differs != "" && c.ours != "":
		if len(errs) != 1 || !strings.Contains(errs[0].Error(), c.ours) {
			t.Errorf("we say %v, want %s", errs, c.ours)
		}
	case want.Exit != 0 && c.differs == "":
		if want.Crash != "" || len(errs) != 1 || !strings.HasPrefix(errs[0].Error(), want.message()) {
			t.Errorf("certbot says %q (%s), we say %v", want.message(), want.Crash, errs)
		}
	case len(errs) > 0:
		t.Errorf("we say %v", errs)
	case c.differs == "":
		compare(t, after, want.Namespace)
		compareUse(t, after, want)
	}
	return after
}

// What a plugin's future or foreign options are stays in the file.
func TestUnknownParametersStay(t *testing.T) {
	const file = "[renewalparams]\nkey_type = rsa\nserver = s\nauthenticator = nginx\nnginx_ctl = x\nnginx_foo = a, b\n"
	if got := save(t, restore(t, nil, file)); got != file {
		t.Errorf("kept:\n%s", got)
	}
}

// restore applies a renewal file to "renew" with more words.
func restore(t *testing.T, args []string, file string) *Options {
	t.Helper()
	o, err := Parse(append([]string{"renew"}, args...), Env{ConfigFiles: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	doc, err := configobj.Parse([]byte(file))
	if err != nil {
		t.Fatal(err)
	}
	o, errs := o.ApplyRenewalParams(doc.Root().Section("renewalparams"))
	if errs == nil {
		o, errs = o.ApplyEdgeParams(doc.Root().Section("edge"))
	}
	if err := errors.Join(errs...); err != nil {
		t.Fatal(err)
	}
	return o
}

// save makes a renewal file of options.
func save(t *testing.T, o *Options) string {
	t.Helper()
	doc := configobj.New()
	write := func(name string, params []Param) {
		if len(params) == 0 {
			return
		}
		s := doc.Root().AddSection(name)
		for _, p := range params {
			if err := s.Set(p.Key, p.Value); err != nil {
				t.Fatal(err)
			}
		}
	}
	params, _ := o.RenewalParams()
	write("renewalparams", params)
	write("edge", o.EdgeParams())
	return string(doc.Bytes())
}

// Certbot finds a lineage of the front door as one of its standalone plugin, and
// edge its own choice beside it.
func TestEdgeSection(t *testing.T) {
	o, err := Parse(strings.Fields("certonly -d a.example --edge --preferred-challenges tls-alpn,http --key-group ssl-cert --key-mode 640 --hook-timeout 90 "+
		"--strict-hooks --on-failure-hook true --tls-alpn-01-port 8443 --admin /x.sock --no-preflight"), Env{ConfigFiles: []string{}})
	if err != nil {
		t.Fatal(err)
	}
	auth, inst, err := o.Requested()
	if err != nil || auth != "edge" || inst != "" {
		t.Fatalf("requested: %q %q %v", auth, inst, err)
	}
	o.Authenticator, o.Installer = auth, "haproxy"
	const own = `[edge]
authenticator = edge
installer = haproxy
pref_challs = tls-alpn-01, http-01
on_failure_hook = true
key_group = ssl-cert
key_mode = 0640
tls_alpn_01_port = 8443
hook_timeout = 1m30s
strict_hooks = True
no_preflight = True
admin_socket = /x.sock
`
	const file = "[renewalparams]\npref_challs = http-01,\nauthenticator = standalone\nserver = " + DefaultServer + "\nkey_type = ecdsa\n" + own
	if got := save(t, o); got != file {
		t.Errorf("saved:\n%s", got)
	}
	back := restore(t, nil, file)
	if got := save(t, back); !sameLines(got, file) {
		t.Errorf("after a renewal:\n%s", got)
	}
	if back.Authenticator != "edge" || back.Installer != "haproxy" || !slices.Equal(back.PrefChallenges, o.PrefChallenges) || back.KeyMode != 0o640 || back.HookTimeout != o.HookTimeout {
		t.Errorf("restored: %+v", back)
	}
	// What certbot or a person chose since then counts, and [edge] does not.
	for _, c := range []struct{ args, params, auth, inst, challenges string }{
		{"", "authenticator = nginx\ninstaller = nginx", "nginx", "nginx", ""},
		{"--standalone", "authenticator = standalone", "standalone", "haproxy", ""},
		{"", "authenticator = standalone\npref_challs = dns-01,", "edge", "haproxy", "dns-01"},
		{"--preferred-challenges dns", "authenticator = standalone\npref_challs = http-01,", "edge", "haproxy", "dns-01"},
	} {
		back := restore(t, strings.Fields(c.args), "[renewalparams]\n"+c.params+"\n"+own)
		if auth, _, err := back.Requested(); err != nil || auth != c.auth || back.Installer != c.inst || strings.Join(back.PrefChallenges, ",") != c.challenges {
			t.Errorf("%s with %q: %s (%v) %s %s", c.args, c.params, auth, err, back.Installer, back.PrefChallenges)
		}
	}
}

// sameLines compares but for the order.
func sameLines(a, b string) bool {
	x, y := strings.Split(a, "\n"), strings.Split(b, "\n")
	slices.Sort(x)
	slices.Sort(y)
	return slices.Equal(x, y)
}

func TestEdgeSectionErrors(t *testing.T) {
	for _, c := range []struct{ own, problem string }{
		{"key_mode = 9", "invalid mode"}, {"hook_timeout = soon", "invalid duration"}, {"strict_hooks = maybe", "Expected True or False"},
		{"tls_alpn_01_port = x", "invalid int"}, {"key_group = a, b", "found a list"},
	} {
		o, err := Parse([]string{"renew"}, Env{ConfigFiles: []string{}})
		if err != nil {
			t.Fatal(err)
		}
		doc, err := configobj.Parse([]byte("[edge]\n" + c.own))
		if err != nil {
			t.Fatal(err)
		}
		if _, errs := o.ApplyEdgeParams(doc.Root().Section("edge")); len(errs) != 1 || !strings.Contains(errs[0].Error(), c.problem) {
			t.Errorf("%s: %v", c.own, errs)
		}
	}
}
