package conf

import (
	"errors"
	"path/filepath"
	"strings"
	"testing"
)

// certbot's own vectors for the name of one block that www.eff.org means.
func TestBestName(t *testing.T) {
	for _, c := range []struct {
		names, want string
		kind        NameKind
	}{
		{"www.eff.org irrelevant.long.name.eff.org *.org", "www.eff.org", ExactName},
		{"*.eff.org .www.eff.org", ".www.eff.org", ExactName},
		{".eff.org *.org", ".eff.org", LeadingName},
		{"www.eff. www.eff.* *.www.eff.org", "www.eff.*", TrailingName},
		{`example.com ~^(www\.)?(eff.+) *.eff.*`, `~^(www\.)?(eff.+)`, RegexName},
		{`www.* ~^(www\.)?(eff.+) .test.eff.org`, "www.*", TrailingName},
		{"*.org *.eff.org www.eff.*", "*.eff.org", LeadingName},
		{"eff.org ww2.eff.org test.www.eff.org", "", 0},
		{".www.eff.org www.eff.org", "www.eff.org", ExactName},
		{`~(?!x)eff ~eff`, "~eff", RegexName},
		{"WWW.EFF.ORG", "WWW.EFF.ORG", ExactName},
	} {
		var names []Name
		for _, text := range strings.Fields(c.names) {
			n := Name{Text: text}
			if !n.parse(text) {
				t.Fatalf("%s", text)
			}
			names = append(names, n)
		}
		kind, i, err, ok := bestName(names, "www.eff.org")
		switch {
		case c.want == "" && ok, c.want != "" && !ok, err != nil:
			t.Errorf("%s: %v %v", c.names, ok, err)
		case ok && (names[i].Text != c.want || kind != c.kind):
			t.Errorf("%s: %s of kind %d, want %s", c.names, names[i].Text, kind, c.want)
		}
	}
}

// The blocks that certbot's unit tests expect for names of its example tree.
func TestRankAsCertbot(t *testing.T) {
	root := filepath.Join(corpus(t), "unit/etc_nginx")
	h := mustHTTP(t, mustLoad(t, filepath.Join(root, "nginx.conf")), Env{Hostname: "h.test"})
	for host, want := range map[string]string{
		"alias": "nginx.conf alias", "example.com": "sites-enabled/example.com .example.com", "www.example.com": "sites-enabled/example.com .example.com",
		"example.com.uk.test": "sites-enabled/example.com example.*", "test.www.example.com": "foo.conf *.www.example.com",
		"abc.www.foo.com": "foo.conf *.www.foo.com", "localhost": "nginx.conf localhost", "www.bar.co.uk": `nginx.conf ~^(www\.)?(example|bar)\.`,
		"www.foo.com": "", "example": "", "t.www.bar.co": "", "69.255.225.155": "",
		"ipv6.com": "sites-enabled/ipv6.com ipv6.com", "h.test": "sites-enabled/example.net $hostname",
	} {
		ranked, err := h.Rank(host)
		if err != nil {
			t.Fatal(err)
		}
		got := ""
		if len(ranked) > 0 {
			file, _ := filepath.Rel(root, ranked[0].Server.Directive.File.Path)
			got = file + " " + ranked[0].Name.Text
		}
		if got != want {
			t.Errorf("%s: %q, want %q", host, got, want)
		}
	}
	if ranked, _ := h.Rank("ssl.both.com"); len(ranked) != 5 {
		t.Errorf("%d blocks for ssl.both.com", len(ranked))
	}
}

// TLS comes before the kind of the name, longer wildcards before shorter, and nothing
// is guessed.
func TestRankOrder(t *testing.T) {
	s := loadFiles(t, map[string]string{"nginx.conf": `http {
    server { listen 80; server_name a.b.test; }
    server { listen 443 ssl; server_name ~^a; }
    server { listen 443; server_name *.test; }
    server { listen 443; server_name *.b.test; }
    server { listen 443; server_name ~^(?!x); }
}`})
	h := mustHTTP(t, s, Env{})
	ranked, err := h.Rank("a.b.test")
	if err != nil {
		t.Fatal(err)
	}
	var order []string
	for _, r := range ranked {
		order = append(order, r.Name.Text)
	}
	if got := strings.Join(order, " "); got != "*.b.test *.test ~^a a.b.test" {
		t.Error(got)
	}
	_, err = h.Rank("b.org")
	var u *UndecidedError
	if !errors.As(err, &u) || len(u.Candidates) != 1 || u.Text != "~^(?!x)" || u.Place != s.Main.Path+":6:26" {
		t.Errorf("%v", err)
	}
	// With TLS it might be the better one.
	h = mustHTTP(t, loadFiles(t, map[string]string{"nginx.conf": "http { server { server_name a.test; } server { listen 443 ssl; server_name ~^(?!x); } }"}), Env{})
	if _, err := h.Rank("a.test"); !errors.As(err, &u) || len(u.Candidates) != 2 {
		t.Errorf("%v", err)
	}
}
