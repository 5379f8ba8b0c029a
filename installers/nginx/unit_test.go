package nginx

import (
	"fmt"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/nginx/conf"
)

// unitTree is certbot's etc_nginx, which no nginx would accept, read by us alone. One
// block says ssl for *:80, which concerns every block on port 80 for nginx, but not for
// certbot, whose expectations these are: it is left out.
func unitTree(t *testing.T) (*lab, *site) {
	t.Helper()
	l := newLab(t, nil)
	corpus(t, "unit/etc_nginx", l.root)
	foo := l.root + "/foo.conf"
	write(t, foo, strings.Replace(read(t, foo), "default_server ssl", "default_server", 1))
	l.nginx = &Nginx{build: build{base: "1.22.1"}, ctl: program(t), conf: l.root + "/nginx.conf", resolve: func(host string) ([]netip.Addr, error) {
		return []netip.Addr{netip.AddrFrom4([4]byte{10, 0, 0, host[0]})}, nil
	}}
	set, err := conf.Load(l.nginx.conf)
	if err != nil {
		t.Fatal(err)
	}
	s, err := l.nginx.meaning(set)
	if err != nil {
		t.Fatal(err)
	}
	return l, s
}

// unpacked is a copy of the corpus for all tests; TestMain removes it.
var unpacked = sync.OnceValues(func() (string, error) {
	dir, err := os.MkdirTemp("", "corpus")
	if err != nil {
		return "", err
	}
	out, err := exec.Command("bash", filepath.Join(sharedDir(), "corpus/unpack"), dir).CombinedOutput()
	if err != nil {
		err = fmt.Errorf("unpack the corpus: %w: %s", err, out)
	}
	return dir, err
})

// corpus copies a folder of the corpus.
func corpus(t testing.TB, from, to string) {
	t.Helper()
	shared(t, "corpus/unpack")
	dir, err := unpacked()
	corpusUsed.Store(&dir)
	if err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("cp", "-r", "--preserve=links", filepath.Join(dir, "nginx", from)+"/.", to).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
}

// corpusUsed is what there is to remove.
var corpusUsed atomic.Pointer[string]

func TestMain(m *testing.M) {
	code := m.Run()
	if dir := corpusUsed.Load(); dir != nil {
		os.RemoveAll(*dir)
	}
	os.Exit(code)
}

var listenLine = regexp.MustCompile(`(?m)^\+\s*listen (.*); # managed by Certbot`)

// The expectations of certbot's own tests (reference/certbot.md section 7).
func TestUnitExpectations(t *testing.T) {
	l, site := unitTree(t)
	for name, want := range map[string]struct {
		file    string
		listens string
	}{
		"alias":                {"nginx.conf", "5001 ssl"},
		"example.com":          {"sites-enabled/example.com", "127.0.0.1:5001 ssl"},
		"www.example.com":      {"sites-enabled/example.com", "127.0.0.1:5001 ssl"},
		"example.com.uk.test":  {"sites-enabled/example.com", "127.0.0.1:5001 ssl"},
		"test.www.example.com": {"foo.conf", "5001 ssl"},
		"abc.www.foo.com":      {"foo.conf", "5001 ssl"},
		"localhost":            {"nginx.conf", "5001 ssl"},
		"www.bar.co.uk":        {"nginx.conf", "5001 ssl"},
		"ipv6.com":             {"sites-enabled/ipv6.com", "[::]:5001 ssl,5001 ssl"},
		"addr-80.com":          {"sites-enabled/addr-80.com", "[1:20::300]:5001 ssl ipv6only=on,1.2.3.4:5001 ssl"},
		"no-listens.com":       {"sites-enabled/no-listens.com", "80,5001 ssl"},
		"ssl.both.com":         {"sites-enabled/both.com", ""},
		"www.foo.com":          {}, "example": {}, "t.www.bar.co": {}, "69.255.225.155": {},
	} {
		r := l.request(name)
		r.HTTPSPort, r.UseDefault = 5001, false
		p, err := l.nginx.planOn(t.Context(), site, r)
		if want.file == "" {
			if err == nil || !strings.Contains(err.Error(), "Could not automatically find a matching server block for "+name) {
				t.Errorf("%s: %v", name, err)
			}
			continue
		}
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		var listens []string
		for _, c := range p.Changes {
			rel, err := filepath.Rel(l.root, c.Path)
			if err != nil || strings.HasPrefix(rel, "..") {
				continue
			}
			if rel != want.file {
				t.Errorf("%s: %s is changed, not %s", name, rel, want.file)
			}
			for _, line := range strings.Split(string(c.New), "\n") {
				if !strings.Contains(string(c.Old), line) {
					for _, m := range listenLine.FindAllStringSubmatch("+"+line, -1) {
						listens = append(listens, m[1])
					}
				}
			}
		}
		if got := strings.Join(listens, ","); got != want.listens {
			t.Errorf("%s: listens on %q, not %q", name, got, want.listens)
		}
	}
}

// Every block that may get a request of the CA answers it.
func TestUnitAuthBlocks(t *testing.T) {
	l, site := unitTree(t)
	a := &answerer{Nginx: l.nginx, http: 80, https: 5001, site: site, blocks: map[*conf.Server][]edge.Answer{}}
	if err := a.pick(http01("ssl.both.com")[0]); err != nil {
		t.Fatal(err)
	}
	plain, tls := 0, 0
	for _, s := range a.blockList {
		if plainOn(site.http, s, 80) {
			plain++
		}
		if tlsOn(site.http, s, 5001) {
			tls++
		}
	}
	if len(a.blockList) != 5 || plain != 4 || tls != 2 {
		t.Errorf("%d blocks, %d of them plain, %d with TLS", len(a.blockList), plain, tls)
	}
}

func TestUnitNames(t *testing.T) {
	l, _ := unitTree(t)
	got, err := l.nginx.Names(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Fields("www.example.org another.alias migration.com summer.com geese.com sslon.com globalssl.com globalsslsetssl.com ipv6.com ipv6ssl.com headers.com ssl.both.com no-listens.com addr-80.com")
	slices.Sort(want)
	host, err := os.Hostname()
	if err != nil {
		t.Fatal(err)
	}
	// One block says $hostname.
	got = slices.DeleteFunc(got, func(n string) bool { return n == strings.ToLower(host) })
	if !slices.Equal(got, want) {
		t.Errorf("got %v\nwant %v", got, want)
	}
}

// Each error names what is wrong and where.
func TestRefusedRequests(t *testing.T) {
	l, site := unitTree(t)
	for _, c := range []struct {
		change func(*installers.Request)
		want   string
	}{
		{func(r *installers.Request) { r.Names = nil }, "no names are given"},
		{func(r *installers.Request) { r.Names = []string{"a.test; }"} }, "is not a name that nginx can be asked for"},
		{func(r *installers.Request) { r.Names = []string{"127.0.0.1"} }, "is not a name that nginx can be asked for"},
		{func(r *installers.Request) { r.Enhance.UIR = true }, "Upgrade-Insecure-Requests is not supported by the nginx plugin"},
		{func(r *installers.Request) { r.Certificate.FullChain = "" }, "requires --fullchain-path"},
		{func(r *installers.Request) { r.Enhance.Staple, r.Certificate.Chain = true, "" }, "--chain-path is required"},
		{func(r *installers.Request) { r.Names = []string{"*.both.com"} }, "it may be any of:\nFile: " + l.root},
		{func(r *installers.Request) { r.Deploy, r.Enhance.HSTS = false, true }, "does not answer HTTPS"},
	} {
		r := l.request("ipv6.com")
		c.change(&r)
		err := l.nginx.check(r)
		if err == nil {
			_, err = l.nginx.planOn(t.Context(), site, r)
		}
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("got %v, want %q", err, c.want)
		}
	}
}
