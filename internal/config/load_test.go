package config

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"reflect"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"
)

func write(t testing.TB, dir, name, content string, mode os.FileMode) string {
	t.Helper()
	path := filepath.Join(dir, name)
	if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(path, []byte(content), mode); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(path, mode); err != nil {
		t.Fatal(err)
	}
	return path
}

const minimal = "version: 1\nacme: {agree_tos: true}\nsites:\n  - hosts: [example.org]\n    proxy: http://127.0.0.1:8080\n"

func TestMinimal(t *testing.T) {
	path := write(t, t.TempDir(), "edge.yaml", minimal, 0o644)
	got, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	want := defaults()
	want.Version, want.ACME.AgreeTOS, want.Files = 1, true, []string{path}
	site := Site{Hosts: []string{"example.org"}, Redirect: 308, Pos: Pos{path, 4, 5}}
	to := defaultPool()
	to.Servers, to.Pos = []Server{{To: "http://127.0.0.1:8080", Weight: 1}}, Pos{path, 5, 12}
	site.Routes = []Route{{Proxy: &to, Pos: Pos{path, 4, 5}}}
	want.Sites = []Site{site}
	if !reflect.DeepEqual(*got, want) {
		t.Errorf("got  %+v\nwant %+v", *got, want)
	}
}

// Everything that version 1 of this build can say, read back.
func TestEverything(t *testing.T) {
	dir := t.TempDir()
	t.Setenv("EDGE_TEST_KID", "kid: #1")
	write(t, dir, "hmac", "c2VjcmV0\n", 0o600)
	write(t, dir, "tsig", "c2VjcmV0", 0o640)
	write(t, dir, "conf.d/10-more.yaml", "sites:\n  - {hosts: [more.example.org], tls: off, proxy: h2c://127.0.0.1:9000}\ntrusted_proxies: [192.0.2.7]\n", 0o644)
	path := write(t, dir, "edge.yaml", `version: 1
listen: {http: ["127.0.0.1:80", "fd:web"], https: ["[::1]:443"], http3: false, proxy_protocol: [10.0.0.0/8],
  tcp: [{address: ":5432", to: ["10.0.0.5:5432"], proxy_protocol: 2, connect_timeout: 1s, idle: 1m}, {address: ":8443", sni: {"*.B.test": ["unix:/run/b.sock"]}}]}
acme:
  email: ops@example.org
  agree_tos: true
  ca:
    - directory: https://ca.example.test/directory
      eab: {kid: "${EDGE_TEST_KID}", hmac: file:hmac}
      profile: shortlived
      preferred_chain: Root X
    - directory: https://acme-v02.api.letsencrypt.org/directory
  challenges: [dns-01, http-01]
  key_type: p384
  dns: {provider: rfc2136, server: ns.example.org, key_name: edge., key_algorithm: hmac-sha512, key_secret: file:tsig, resolvers: ["127.0.0.1:5353"], propagation_timeout: 1m30s}
storage: {dir: /var/lib/other}
sites:
  - hosts: [Example.ORG, "*.example.org", bücher.example]
    default: true
    redirect: 301
    proxy: {to: ["https://127.0.0.1:8443"], host: upstream, connect_timeout: 1s, header_timeout: 2m}
  - hosts: ["*"]
    tls:
      on_demand: {ask: "http://127.0.0.1:5000/allowed?x=1", allow: [a.test, "*.B.test", "**.c.test"], max_new_per_hour: 5, max_concurrent: 2, allow_ip: true}
      ca: https://ca.example.test/other
      challenges: [tls-sni-01]
      key_type: rsa2048
      profile: classic
      min_version: "1.3"
    redirect: false
    proxy: http://[::1]:5000
trusted_proxies: [10.0.0.0/8]
limits: {header_bytes: 32KiB, headers: 50, uri_bytes: 8KiB, handshake: 5s, header_read: 6s, body_rate: 1KiB/s, write_stall: 7s, idle: 1m, streams: 10, connections_per_address: 20, drain: 8s, connections: 30, requests: 40}
metrics: {listen: "127.0.0.1:9643"}
admin: {socket: /run/x.sock, allow_uids: [1000, 1001]}
log: {level: debug, format: text, access: {path: /var/log/a.log, format: combined}}
`, 0o644)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	for name, pair := range map[string][2]any{
		"eab":      {*c.ACME.CAs[0].EAB, EAB{"kid: #1", "c2VjcmV0"}},
		"profile":  {c.ACME.CAs[0].Profile + c.ACME.CAs[0].PreferredChain, "shortlivedRoot X"},
		"cas":      {len(c.ACME.CAs), 2},
		"dns":      {*c.ACME.DNS, DNS{"rfc2136", "", "ns.example.org:53", "edge.", "hmac-sha512", "c2VjcmV0", "", []string{"127.0.0.1:5353"}, 90 * time.Second}},
		"hosts":    {c.Sites[0].Hosts, []string{"example.org", "*.example.org", "xn--bcher-kva.example"}},
		"redirect": {[]int{c.Sites[0].Redirect, c.Sites[1].Redirect}, []int{301, 0}},
		"proxy":    {fmt.Sprint(c.Sites[0].Routes[0].Proxy.Servers, c.Sites[0].Routes[0].Proxy.Host, c.Sites[0].Routes[0].Proxy.ConnectTimeout, c.Sites[0].Routes[0].Proxy.HeaderTimeout), "[{https://127.0.0.1:8443 1 false}]upstream1s 2m0s"},
		"ondemand": {*c.Sites[1].TLS.OnDemand, OnDemand{"http://127.0.0.1:5000/allowed?x=1", []string{"a.test", "*.b.test", "**.c.test"}, 5, 2, true}},
		"tls":      {c.Sites[1].TLS.MinVersion + c.Sites[1].TLS.KeyType + c.Sites[1].TLS.Profile + c.Sites[1].TLS.CAs[0].Directory, "1.3rsa2048classichttps://ca.example.test/other"},
		"off":      {c.Sites[2].TLS.Off, true},
		"trusted":  {fmt.Sprint(c.TrustedProxies), "[10.0.0.0/8 192.0.2.7/32]"},
		"limits":   {c.Limits, Limits{32 << 10, 50, 8 << 10, 5 * time.Second, 6 * time.Second, 1 << 10, 7 * time.Second, time.Minute, 10, 20, 8 * time.Second, 30, 40}},
		"admin":    {c.Admin, Admin{"/run/x.sock", []uint32{1000, 1001}}},
		"log":      {c.Log, Log{Level: "debug", Format: "text", Access: AccessLog{Path: "/var/log/a.log", Format: "combined", Sample: 1}}},
		"listen": {c.Listen, Listen{[]string{"127.0.0.1:80", "fd:web"}, []string{"[::1]:443"}, false, []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8")},
			[]TCPListener{{Address: ":5432", To: &Forward{[]string{"10.0.0.5:5432"}, 2, time.Second, time.Minute}, Pos: Pos{path, 3, 9}},
				{Address: ":8443", SNI: map[string]*Forward{"*.b.test": {[]string{"unix:/run/b.sock"}, 0, 5 * time.Second, 10 * time.Minute}}, Pos: Pos{path, 3, 102}}}}},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %+v, want %+v", name, pair[0], pair[1])
		}
	}
}

// Each mistake is reported at its place, with what to do, and is an Errors.
func TestMistakes(t *testing.T) {
	site := func(s string) string {
		return "version: 1\nacme: {agree_tos: true}\nsites:\n  - hosts: [a.test]\n    proxy: http://127.0.0.1:1\n" + s
	}
	one := func(s string) string { return "version: 1\nacme: {agree_tos: true}\nsites:\n  - " + s + "\n" }
	top := func(s string) string { return minimal + s + "\n" }
	for name, c := range map[string]struct{ yaml, at, want string }{
		"empty":               {"", "", "the file is empty"},
		"comment only":        {"# nothing\n", "", "the file is empty"},
		"not YAML":            {"version: [1\nsites: x\n", ":2", "not valid YAML"},
		"tab":                 {"version: 1\n\tsites: x\n", ":2", "not valid YAML"},
		"NUL":                 {"version: 1\nx: \x00\n", ":2", "NUL byte"},
		"latin-1":             {"version: 1\nx: \xe4\n", ":2", "not UTF-8"},
		"a list":              {"- a\n", ":1:1", "want keys and values"},
		"two documents":       {minimal + "---\nversion: 1\n", ":6", "a second document"},
		"no version":          {"acme: {agree_tos: true}\nsites: [{hosts: [a.test], proxy: 'http://127.0.0.1:1'}]\n", "", "version is missing"},
		"version 2":           {strings.Replace(minimal, "1", "2", 1), ":1:10", "version 2 is not known"},
		"no sites":            {"version: 1\n", "", "no site is configured"},
		"unknown key":         {top("storrage: {dir: /x}"), ":6:1", "did you mean storage?"},
		"unknown in site":     {site("    prox: x\n"), ":6:5", "did you mean proxy?"},
		"twice":               {top("version: 1"), ":6:1", "written twice, first in line 1"},
		"anchor":              {top("storage: &a {dir: /x}"), ":6:10", "anchors and aliases"},
		"alias bomb":          {"a: &a [x,x]\nb: &b [*a,*a]\nc: &c [*b,*b]\n" + minimal, ":1:1", "unknown key a"},
		"merge":               {top("storage: {<<: {dir: /x}}"), ":6:11", "merge keys"},
		"octal":               {top("limits: {headers: 0123}"), ":6:19", "decimal digits"},
		"underscore":          {top("limits: {headers: 1_000}"), ":6:19", "decimal digits"},
		"hexadecimal":         {top("limits: {headers: 0x1f}"), ":6:19", "decimal digits"},
		"negative":            {top("limits: {headers: -1}"), ":6:19", "want a number"},
		"zero":                {top("limits: {headers: 0}"), ":6:19", "would refuse everything"},
		"no unit":             {top("limits: {idle: 30}"), ":6:16", "30 has no unit"},
		"bad unit":            {top("limits: {idle: 30x}"), ":6:16", "not a duration"},
		"size without unit":   {top("limits: {header_bytes: 65536}"), ":6:24", "65536 has no unit"},
		"size overflow":       {top("limits: {header_bytes: 99GiB}"), ":6:24", "not a size"},
		"rate":                {top("limits: {body_rate: 1KiB}"), ":6:21", "not a rate"},
		"text for list":       {one("hosts: a.test\n    proxy: 'http://127.0.0.1:1'"), ":4:12", "want a list"},
		"bool for text":       {top("storage: {dir: true}"), ":6:16", "want text"},
		"yes":                 {"version: 1\nacme: {agree_tos: yes}\n", ":2:19", "want true or false"},
		"enum":                {top("log: {level: inof}"), ":6:14", "did you mean info?"},
		"null":                {top("storage:"), ":6:9", "got nothing"},
		"no agreement":        {strings.Replace(minimal, "true", "false", 1), ":2:7", "terms of service"},
		"bad host":            {one("{hosts: [a_b.test], proxy: 'http://127.0.0.1:1'}"), ":4:14", "a_b.test"},
		"host with scheme":    {one("{hosts: ['https://a.test'], proxy: 'http://127.0.0.1:1'}"), ":4:14", "without scheme"},
		"acme.invalid":        {one("{hosts: [x.acme.invalid], proxy: 'http://127.0.0.1:1'}"), ":4:14", "reserved for validation"},
		"host twice":          {one("{hosts: [a.test, A.test], proxy: 'http://127.0.0.1:1'}"), ":4:22", "served already, at"},
		"two defaults":        {site("    default: true\n  - {hosts: [b.test], default: true, proxy: 'http://127.0.0.1:1'}\n"), ":7:32", "default site already"},
		"wildcard":            {one("{hosts: ['*.a.test'], proxy: 'http://127.0.0.1:1'}"), ":4:5", "needs dns-01"},
		"star":                {one("{hosts: ['*'], proxy: 'http://127.0.0.1:1'}"), ":4:5", "no certificate for every name"},
		"open on demand":      {one("{hosts: ['*'], tls: {on_demand: {}}, proxy: 'http://127.0.0.1:1'}"), ":4:37", "neither ask nor allow"},
		"example ask":         {one("{hosts: ['*'], tls: {on_demand: {ask: 'http://example.com'}}, proxy: 'http://127.0.0.1:1'}"), ":4:43", "is an example"},
		"allow everything":    {one("{hosts: ['*'], tls: {on_demand: {allow: ['*']}}, proxy: 'http://127.0.0.1:1'}"), ":4:46", "permits nothing"},
		"dns-01 without dns":  {"version: 1\nacme: {agree_tos: true, challenges: [dns-01]}\nsites: [{hosts: [a.test], proxy: 'http://127.0.0.1:1'}]\n", ":2:37", "dns-01 without acme.dns"},
		"sni with public CA":  {"version: 1\nacme: {agree_tos: true, challenges: [tls-sni-01]}\nsites: [{hosts: [a.test], proxy: 'http://127.0.0.1:1'}]\n", ":3:9", "public CA"},
		"plain directory":     {"version: 1\nacme: {agree_tos: true, ca: 'http://ca.test/dir'}\nsites: [{hosts: [a.test], proxy: 'http://127.0.0.1:1'}]\n", ":2:29", "use https"},
		"proxy with path":     {one("{hosts: [a.test], proxy: 'http://127.0.0.1:1/x'}"), ":4:30", "more than an address"},
		"proxy scheme":        {one("{hosts: [a.test], proxy: 'ftp://127.0.0.1:1'}"), ":4:30", "use http, https or h2c"},
		"proxy no URL":        {one("{hosts: [a.test], proxy: '127.0.0.1:1'}"), ":4:30", "not the URL of an upstream"},
		"redirect 302":        {site("    redirect: 302\n"), ":6:15", "308, 301"},
		"redirect true":       {site("    redirect: true\n"), ":6:15", "possible: false"},
		"tls on":              {site("    tls: on\n"), ":6:10", `"on" is not possible`},
		"overlap":             {top(`listen: {http: [":80"], https: ["127.0.0.1:80"]}`), ":6:33", "overlaps with listen.http[0]"},
		"metrics overlap":     {top(`metrics: {listen: "127.0.0.1:443"}`), ":6:19", "overlaps with listen.https[0]"},
		"listen on a name":    {top(`listen: {http: ["example.org:80"]}`), ":6:17", "not an IP address"},
		"listen on no port":   {top(`listen: {http: ["127.0.0.1"]}`), ":6:17", "not an address"},
		"relative socket":     {top("admin: {socket: x.sock}"), ":6:17", "relative"},
		"long socket":         {top("admin: {socket: /" + strings.Repeat("x", 120) + "}"), ":6:17", "can have 96"},
		"socket is a file":    {top("admin: {socket: /etc/passwd}"), ":6:17", "is no socket"},
		"missing cert":        {site("    tls: {cert: nosuch.pem, key: nosuch.key}\n"), ":6:17", "no such file"},
		"cert without key":    {site("    tls: {cert: nosuch.pem}\n"), ":6:10", "belong together"},
		"missing variable":    {top("storage: {dir: '${EDGE_TEST_NOSUCH}'}"), ":6:16", "EDGE_TEST_NOSUCH"},
		"bad prefix":          {top("trusted_proxies: [10.0.0.1/8]"), ":6:19", "write 10.0.0.0/8"},
		"no prefix":           {top("trusted_proxies: [me]"), ":6:19", "neither an address nor a prefix"},
		"email":               {strings.Replace(minimal, "acme: {", "acme: {email: me, ", 1), ":2:15", "not an e-mail address"},
		"cloudflare no token": {strings.Replace(minimal, "acme: {", "acme: {dns: {provider: cloudflare}, ", 1), ":2:13", "api_token is missing"},
	} {
		t.Run(name, func(t *testing.T) {
			path := write(t, t.TempDir(), "edge.yaml", c.yaml, 0o644)
			_, err := Load(path)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want Errors", err)
			}
			if !strings.HasPrefix(err.Error(), path+c.at) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q at %s, got:\n%s", c.want, c.at, err)
			}
		})
	}
}

// All mistakes of all files come in one go, in order, with line and caret.
func TestAllAtOnce(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "conf.d/a.yaml", "storage: {dirr: /x}\n", 0o644)
	path := write(t, dir, "edge.yaml", "version: 1\nlogg: {level: info}\nlimits:\n  idle: 30\n  headers: 0123\n", 0o644)
	_, err := Load(path)
	got := fmt.Sprint(err)
	for _, part := range []string{
		path + ":2:1: unknown key logg\n    logg: {level: info}\n    ^\n    did you mean log?\n",
		path + ":4:9: limits.idle: 30 has no unit\n      idle: 30\n            ^\n",
		path + ":5:12: limits.headers: ",
		dir + "/conf.d/a.yaml:1:11: unknown key storage.dirr\n    storage: {dirr: /x}\n              ^\n    did you mean dir?\n",
		"4 errors",
	} {
		i := strings.Index(got, part)
		if i < 0 {
			t.Fatalf("missing, or out of order:\n%s\nin:\n%s", part, err)
		}
		got = got[i:]
	}
	b, jerr := json.Marshal(err)
	if jerr != nil || !strings.Contains(string(b), `"line":4,"column":9,"message":"limits.idle: 30 has no unit"`) {
		t.Errorf("JSON: %s %v", b, jerr)
	}
}

func TestMerging(t *testing.T) {
	dir := t.TempDir()
	path := write(t, dir, "edge.yaml", minimal+"log: {level: warn}\n", 0o644)
	write(t, dir, "conf.d/b.yaml", "log: {level: info}\nsites: [{hosts: [b.test, example.org], tls: off, proxy: 'http://127.0.0.1:1'}]\n", 0o644)
	write(t, dir, "conf.d/ignored.yml", "nonsense", 0o644)
	_, err := Load(path)
	for _, want := range []string{
		"b.yaml:1:14: log.level is set already, at " + path + ":6:14",
		"b.yaml:2:26: sites[1].hosts[1]: example.org is served already, at " + path + ":4:13",
	} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q in:\n%v", want, err)
		}
	}
}

// Files that are none, or too much, are refused at once.
func TestUnreadableFiles(t *testing.T) {
	dir := t.TempDir()
	big := write(t, dir, "big.yaml", minimal, 0o644)
	if err := os.Truncate(big, 100<<20); err != nil {
		t.Fatal(err)
	}
	fifo := filepath.Join(dir, "fifo.yaml")
	if err := syscall.Mkfifo(fifo, 0o644); err != nil {
		t.Fatal(err)
	}
	for path, want := range map[string]string{
		dir: "this is a folder", big: "too large", fifo: "not a regular file",
		filepath.Join(dir, "nosuch.yaml"): "no such file", "/dev/zero": "not a regular file",
	} {
		start := time.Now()
		_, err := Load(path)
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", path, err)
		}
		if d := time.Since(start); d > time.Second {
			t.Errorf("%s: took %v", path, d)
		}
	}
	deep := write(t, dir, "deep.yaml", "version: 1\nlog: "+strings.Repeat("[", 5000)+strings.Repeat("]", 5000)+"\n", 0o644)
	if _, err := Load(deep); err == nil {
		t.Error("deep nesting was accepted")
	}
}

// Secrets come from files that not everybody can read, and never show up in messages.
func TestSecrets(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "open", "hunter2", 0o644)
	write(t, dir, "empty", "\n", 0o600)
	conf := func(token string) string {
		return strings.Replace(minimal, "acme: {", "acme: {dns: {provider: cloudflare, api_token: "+token+"}, ", 1)
	}
	for token, want := range map[string]string{
		"file:open": "can be read by everybody (mode 0644)", "file:empty": "is empty", "file:nosuch": "no such file", "12345678": "want text",
	} {
		_, err := Load(write(t, dir, "edge.yaml", conf(token), 0o644))
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: got %v", token, err)
		}
		if err != nil && (strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "12345678")) {
			t.Errorf("%s: the secret is in the message: %v", token, err)
		}
	}
	bad := strings.Replace(conf("hunter2"), "api_token", "api_tokn", 1)
	if _, err := Load(write(t, dir, "edge.yaml", bad, 0o644)); err == nil || strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the secret is in the message: %v", err)
	}
	c, err := Load(write(t, dir, "edge.yaml", conf("hunter2"), 0o644))
	if err != nil || c.ACME.DNS.APIToken != "hunter2" {
		t.Errorf("got %v", err)
	}
}

func TestFlags(t *testing.T) {
	ok := Flags{Domains: []string{"Example.org"}, To: "127.0.0.1:3000", Email: "me@example.org", AgreeTOS: true, HTTP: []string{"127.0.0.1:8080"}}
	c, err := FromFlags(ok)
	if err != nil {
		t.Fatal(err)
	}
	if s := c.Sites[0]; s.Hosts[0] != "example.org" || s.Routes[0].Proxy.Servers[0].To != "http://127.0.0.1:3000" || s.Redirect != 308 || c.ACME.CAs[0].Directory != LetsEncrypt {
		t.Errorf("got %+v", c)
	}
	for name, c := range map[string]struct {
		change func(*Flags)
		want   string
	}{
		"staging and ca": {func(f *Flags) { f.Staging, f.CA = true, "https://ca.test/dir" }, "--staging: cannot be combined"},
		"no port":        {func(f *Flags) { f.To = "localhost" }, "--to: "},
		"bad name":       {func(f *Flags) { f.Domains = []string{"a_b.test"} }, "--domain: "},
		"no terms":       {func(f *Flags) { f.AgreeTOS = false }, "add --agree-tos"},
		"ca":             {func(f *Flags) { f.CA = "http://ca.test/dir" }, "--ca: "},
		"ca root":        {func(f *Flags) { f.CARoot = "/nosuch" }, "--ca-root: "},
		"http":           {func(f *Flags) { f.HTTP = []string{"x"} }, "--http: "},
	} {
		f := ok
		c.change(&f)
		_, err := FromFlags(f)
		var errs Errors
		if !errors.As(err, &errs) || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v", name, err)
		}
	}
	f := ok
	f.Staging = true
	if c, err := FromFlags(f); err != nil || c.ACME.CAs[0].Directory != LetsEncryptStaging {
		t.Errorf("staging: %v", err)
	}
}

// The defaults that the table of keys shows are those of the code.
func TestDefaultsInTable(t *testing.T) {
	d := defaults()
	for path, v := range map[string]any{
		"limits.header_bytes": d.Limits.HeaderBytes, "limits.uri_bytes": d.Limits.URIBytes, "limits.handshake": d.Limits.Handshake,
		"limits.header_read": d.Limits.HeaderRead, "limits.write_stall": d.Limits.WriteStall, "limits.idle": d.Limits.Idle,
		"limits.drain": d.Limits.Drain, "limits.headers": d.Limits.Headers, "limits.streams": d.Limits.Streams, "limits.body_rate": d.Limits.BodyRate,
		"storage.dir": d.Storage.Dir, "admin.socket": d.Admin.Socket, "acme.key_type": d.ACME.KeyType, "acme.ca": d.ACME.CAs[0].Directory,
	} {
		m := regexp.MustCompile("(?m)^\\| `" + regexp.QuoteMeta(path) + "` \\| [^|]* \\| `([^`]*)` ").FindStringSubmatch(Table())
		if m == nil {
			t.Errorf("%s is not in the table with a default", path)
			continue
		}
		var got any = m[1]
		var err error
		switch v.(type) {
		case time.Duration:
			got, err = parseDuration(m[1])
		case int:
			if n, ok := plainInt(m[1]); ok {
				got = n
			} else if got, err = parseSize(m[1]); err != nil {
				got, err = parseRate(m[1])
			}
		}
		if err != nil || got != v {
			t.Errorf("%s: the table says %v, the code %v (%v)", path, got, v, err)
		}
	}
}

func FuzzLoad(f *testing.F) {
	f.Add([]byte(minimal))
	f.Add([]byte("version: 1\nsites: [{hosts: ['*'], tls: {on_demand: {allow: ['**.a.b']}}, proxy: {to: [h2c://[::1]:1]}}]\nacme: {ca: [{directory: x, eab: {kid: a, hmac: b}}]}\n"))
	f.Add([]byte("a: &a [*a]\n<<: *a\n"))
	f.Add([]byte("limits: {idle: 1d2h, body_rate: 1B/s}\ntrusted_proxies: [::/0]\n"))
	f.Add([]byte("version: 1\npools: {a: {to: [{url: 'http://a', weight: 2}], balance: hash, hash_by: cookie:x, retry: {budget: 0.5}, health: {type: grpc}}}\nsites: [{hosts: [a.b], tls: off, proxy: {pool: a}}]\n"))
	f.Add([]byte("version: 1\nlisten: {tcp: [{address: ':1', sni: {'*.a.b': ['c:1']}}], proxy_protocol: [10.0.0.0/8]}\nsites: [{hosts: [a.b], tls: passthrough, proxy: 'c:1'}]\n"))
	f.Add([]byte("version: 1\nsites: [{hosts: [a.b], tls: off, rate_limit: [{rate: 1/d}], routes: [{match: {path: [/a/**/b], header: {X: false}, client: '::1'}, headers: {response: {remove: 'X-*'}}, redirect: {to: '/x{path}'}}], respond: {status: 404}}]\n"))
	dir := f.TempDir()
	f.Fuzz(func(t *testing.T, data []byte) {
		path := filepath.Join(dir, "edge.yaml")
		if err := os.WriteFile(path, data, 0o600); err != nil {
			t.Fatal(err)
		}
		c, err := Load(path)
		var errs Errors
		if (c == nil) == (err == nil) || err != nil && !errors.As(err, &errs) {
			t.Errorf("got %v, %v", c, err)
		}
		if err != nil && err.Error() == "" {
			t.Error("an error without words")
		}
	})
}
