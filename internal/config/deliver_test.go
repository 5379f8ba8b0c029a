package config

import (
	"errors"
	"os"
	"path/filepath"
	"reflect"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"
)

// Everything that a delivery can say, read back.
func TestDeliver(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "pass", "changeit\n", 0o600)
	path := write(t, dir, "edge.yaml", minimal+`  - hosts: ["*.example.org", b.example.org]
    tls: {challenges: [dns-01]}
    proxy: http://127.0.0.1:1
    deliver: [{files: {dir: "/srv/{name}"}}]
certificates:
  - name: mail
    hosts: [mail.example.org]
    deliver:
      - files: {dir: /srv/mail, group: ssl-cert}
        reload: [systemctl, reload, dovecot]
        verify: localhost:993
        within: 1m30s
      - files: {dir: /srv/java, layout: jks, owner: "1000", mode: "0400", password: file:pass, names: {file: key.store}}
        verify: ["[::1]:25/smtp", 127.0.0.1:110/pop3]
      - files: {dir: /srv/hitch, layout: key-first}
      - exec: {command: [/usr/local/bin/hook, -v], style: acme.sh}
      - exec: {command: [/usr/local/bin/other]}
        verify: localhost:1
      - nginx: {}
      - apache: {server_root: /opt/apache, ctl: /opt/bin/apachectl, http_port: 8080, https_port: 8443}
`, 0o644)
	if _, err := Load(path); err == nil {
		t.Fatal("dns-01 without acme.dns is taken")
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	path = write(t, dir, "edge.yaml", strings.Replace(string(text), "acme: {", "acme: {dns: {provider: cloudflare, api_token: x}, ", 1), 0o644)
	cfg, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	got := cfg.Certificates[0].Deliver
	for i := range got {
		if got[i].Pos = (Pos{}); i > 0 && got[i].Within == 10*time.Second {
			got[i].Within = 0
		}
	}
	want := []Deliver{
		{Files: &Files{Dir: "/srv/mail", Layout: "separate", Names: defaultNames("separate"), Group: "ssl-cert", Mode: 0o640},
			Reload: []string{"systemctl", "reload", "dovecot"}, Verify: []Verify{{"localhost:993", ""}}, Within: 90 * time.Second},
		{Files: &Files{Dir: "/srv/java", Layout: "jks", Names: map[string]string{"file": "key.store"}, Owner: "1000", Mode: 0o400, Password: "changeit"},
			Verify: []Verify{{"[::1]:25", "smtp"}, {"127.0.0.1:110", "pop3"}}},
		{Files: &Files{Dir: "/srv/hitch", Layout: "key-first", Names: map[string]string{"file": "{name}.pem"}, Mode: 0o600}},
		{Exec: &Exec{Command: []string{"/usr/local/bin/hook", "-v"}, Style: "acme.sh"}},
		{Exec: &Exec{Command: []string{"/usr/local/bin/other"}, Style: "certbot"}, Verify: []Verify{{"localhost:1", ""}}},
		{Server: &WebServer{Kind: "nginx"}},
		{Server: &WebServer{Kind: "apache", ServerRoot: "/opt/apache", Ctl: "/opt/bin/apachectl", HTTPPort: 8080, HTTPSPort: 8443}},
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
	at, names := cfg.Sites[1].Deliver[0].Files.At("*.example.org")
	if at != "/srv/_.example.org" || names["key"] != "privkey.pem" {
		t.Errorf("%s %v", at, names)
	}
	if _, names := got[2].Files.At("mail"); names["file"] != "mail.pem" {
		t.Errorf("%v", names)
	}
}

// The door loads the same configuration, and needs no password of the steward's.
func TestDeliverPasswordOfTheSteward(t *testing.T) {
	dir := t.TempDir()
	yaml := minimal + "certificates: [{name: a, hosts: [a.test], deliver: [{files: {dir: /x, layout: pkcs12, password: file:pass}}]}]\n"
	path := write(t, dir, "edge.yaml", yaml, 0o644)
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "secret file "+dir+"/pass: no such file") {
		t.Errorf("missing: %v", err)
	}
	write(t, dir, "pass", "x", 0o604)
	if _, err := Load(path); err == nil || !strings.Contains(err.Error(), "can be read by everybody") {
		t.Errorf("open to everybody: %v", err)
	}
	if err := os.Chmod(dir+"/pass", 0o600); err != nil {
		t.Fatal(err)
	}
	c, err := Load(path)
	if err != nil || c.Certificates[0].Deliver[0].Files.Password != "x" {
		t.Errorf("%v", err)
	}
	if os.Geteuid() != 0 {
		return
	}
	for _, d := range []string{dir, filepath.Dir(dir)} {
		if err := os.Chmod(d, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	asUser(t, func() {
		if c, err := Load(path); err != nil || c.Certificates[0].Deliver[0].Files.Password != "" {
			t.Errorf("as another user: %v", err)
		}
	})
}

func TestDeliverMistakes(t *testing.T) {
	cert := func(s string) string {
		return minimal + "certificates:\n  - name: a\n    hosts: [a.test]\n    deliver:\n      - " + s + "\n"
	}
	site := func(tls, deliver string) string {
		return "version: 1\nacme: {agree_tos: true}\nsites:\n  - hosts: [a.test, b.test]\n    proxy: 'http://127.0.0.1:1'\n    tls: " + tls + "\n    deliver: [" + deliver + "]\n"
	}
	const x = "files: {dir: /x}"
	for name, c := range map[string]struct{ yaml, at, want string }{
		"no target":       {cert("{verify: 'a:1'}"), ":10:9", "no target"},
		"two targets":     {cert("{" + x + ", exec: {command: [a]}}"), ":10:9", "two targets in one entry"},
		"three targets":   {cert("{nginx: {}, apache: {}}"), ":10:29", "two targets in one entry"},
		"server and file": {cert("{nginx: {}, " + x + "}"), ":10:9", "two targets in one entry"},
		"server nothing":  {cert("{nginx: }"), ":10:17", "want keys and values"},
		"server reload":   {cert("{nginx: {}, reload: [x]}"), ":10:29", "is reloaded anyway"},
		"server verify":   {cert("{apache: {}, verify: 'a:1'}"), ":10:30", "is asked for the certificate anyway"},
		"server root":     {cert("{nginx: {server_root: etc}}"), ":10:31", "absolute path"},
		"server port":     {cert("{nginx: {https_port: 70000}}"), ":10:30", "port 70000"},
		"server twice":    {cert("{nginx: {}}\n      - {nginx: {}}"), ":11:9", "gets the certificate of a already"},
		"misspelt server": {cert("{ngnix: {}}"), ":10:10", "did you mean nginx?"},
		"misspelt":        {cert("{file: {dir: /x}}"), ":10:10", "did you mean files?"},
		"proves only":     {cert("{varnish: {}}"), ":10:10", "unknown key certificates.deliver.varnish"},
		"setting":         {cert("{redis: {dir: x}}"), ":10:23", "write an absolute path"},
		"written out":     {cert("{redis: {password: hush}}"), ":10:28", "the secret is written out"},
		"target's reload": {cert("{redis: {}, reload: [x]}"), ":10:29", "see the settings of redis"},
		"two of a kind":   {cert("{redis: {}, files: {dir: /x}}"), ":10:9", "two targets in one entry"},
		"no dir":          {cert("{files: {layout: jks}}"), ":10:17", "files.dir is missing"},
		"relative dir":    {cert("{files: {dir: x}}"), ":10:23", "absolute path"},
		"dots":            {cert("{files: {dir: /x/../y}}"), ":10:23", "without . and .."},
		"root":            {cert("{files: {dir: /}}"), ":10:23", "not the path of a folder"},
		"layout":          {cert("{files: {dir: /x, layout: pkcs21}}"), ":10:35", "did you mean pkcs12?"},
		"part":            {cert("{files: {dir: /x, names: {file: y}}}"), ":10:41", "layout separate has no file"},
		"part of one":     {cert("{files: {dir: /x, layout: key-first, names: {key: y}}}"), ":10:59", "layout key-first has no key"},
		"no part":         {cert("{files: {dir: /x, names: {}}}"), ":10:34", "no file is wanted"},
		"slash":           {cert("{files: {dir: /x, names: {key: ../y}}}"), ":10:40", "cannot be the name of a file"},
		"hidden":          {cert("{files: {dir: /x, names: {key: .edge-a}}}"), ":10:40", "cannot be the name of a file"},
		"mode number":     {cert("{files: {dir: /x, mode: 0640}}"), ":10:33", "put it in quotes"},
		"mode text":       {cert("{files: {dir: /x, mode: rw}}"), ":10:33", "not the mode of a key"},
		"mode of all":     {cert("{files: {dir: /x, mode: '0666'}}"), ":10:33", "not the mode of a key"},
		"password":        {cert("{files: {dir: /x, layout: jks, password: secret}}"), ":10:50", "the password is written out"},
		"no password":     {cert("{files: {dir: /x, layout: jks}}"), ":10:17", "needs a password"},
		"needs none":      {cert("{files: {dir: /x, password: file:pass}}"), ":10:37", "has no password"},
		"short password":  {cert("{files: {dir: /x, layout: jks, password: file:pass}}"), ":10:50", "six characters"},
		"reload shell":    {cert("{" + x + ", reload: [systemctl reload x]}"), ":10:36", "[systemctl, reload, x]"},
		"reload text":     {cert("{" + x + ", reload: x}"), ":10:36", "write it as a list"},
		"reload nothing":  {cert("{" + x + ", reload: []}"), ":10:36", "no program"},
		"exec nothing":    {cert("{exec: {command: []}}"), ":10:26", "no program"},
		"exec reload":     {cert("{exec: {command: [a]}, reload: [b]}"), ":10:40", "nothing else"},
		"exec style":      {cert("{exec: {command: [a], style: acme}}"), ":10:38", "possible: certbot, acme.sh"},
		"verify":          {cert("{" + x + ", verify: localhost}"), ":10:36", "write host:port"},
		"verify port":     {cert("{" + x + ", verify: 'a:99999'}"), ":10:36", "write host:port"},
		"verify proto":    {cert("{" + x + ", verify: 'a:1/smpt'}"), ":10:36", "did you mean smtp?"},
		"verify list":     {cert("{" + x + ", verify: ['a:1', b]}"), ":10:44", "\"b\" is not where"},
		"within nothing":  {cert("{" + x + ", within: 5s}"), ":10:36", "verify does not name it"},
		"within no time":  {cert("{" + x + ", verify: 'a:1', within: 0s}"), ":10:51", "no time to wait"},
		"within too long": {cert("{" + x + ", verify: 'a:1', within: 1h}"), ":10:51", "at most half an hour"},
		"within a number": {cert("{" + x + ", verify: 'a:1', within: 30}"), ":10:51", "has no unit"},
		"same file":       {cert("{" + x + "}\n  - {name: b, hosts: [b.test], deliver: [{" + x + "}]}"), ":11:50", "/x/cert.pem is written already, at"},
		"same folder":     {cert("{" + x + "}\n      - {files: {dir: /x, layout: key-first}}"), ":11:17", "has the certificate of a"},
		"same versions":   {cert("{files: {dir: /x, names: {key: k}}}\n  - {name: 'b*', hosts: [b.test], deliver: [{files: {dir: /x, names: {key: l}}}]}\n  - {name: b_, hosts: [b.test], deliver: [{files: {dir: /x, names: {key: m}}}]}"), ":12:51", "has the certificate of b_"},
		"one certificate": {cert("{redis: {}}\n  - {name: b, hosts: [b.test], deliver: [{redis: {}}]}"), ":11:42", "keep one of the two, with all names in one certificate"},
		"same program":    {cert("{exec: {command: [a]}}\n      - {exec: {command: [a]}}"), ":11:9", "gets the certificate of a already"},
		"hosts in one":    {site("{key_type: p256}", "{"+x+"}"), ":7:23", "put {name} into dir or names"},
		"site without":    {site("off", "{"+x+"}"), ":7:14", "has no certificate"},
		"site of files":   {site("{cert: c.pem, key: k.pem}", "{"+x+"}"), ":", "in files already"},
		"site of lineage": {site("{lineage: a}", "{"+x+"}"), ":7:14", "under certificates"},
		"site on demand":  {site("{on_demand: {allow: [a.test]}}", "{"+x+"}"), ":7:14", "not known beforehand"},
	} {
		t.Run(name, func(t *testing.T) {
			dir := t.TempDir()
			write(t, dir, "pass", "12345", 0o600)
			path := write(t, dir, "edge.yaml", c.yaml, 0o644)
			_, err := Load(path)
			var errs Errors
			if !errors.As(err, &errs) {
				t.Fatalf("got %v, want Errors", err)
			}
			if !strings.HasPrefix(err.Error(), path+c.at) || !strings.Contains(err.Error(), c.want) {
				t.Errorf("want %q at %s, got:\n%s", c.want, c.at, err)
			}
			if strings.Contains(err.Error(), ": secret") {
				t.Errorf("a password is shown: %s", err)
			}
		})
	}
}

// asUser runs f with another user's rights to files; the test is root.
func asUser(t *testing.T, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() {
		defer close(done)
		runtime.LockOSThread() // for good: the thread ends with its rights
		if err := unix.Setfsuid(4321); err != nil {
			t.Error(err)
			return
		}
		f()
	}()
	<-done
}
