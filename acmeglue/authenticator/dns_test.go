package authenticator

import (
	"context"
	"errors"
	"net"
	"net/http"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/internal/edgetest"
)

// credentialsFile writes one that nobody else may read.
func credentialsFile(t testing.TB, lines ...string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "credentials.ini")
	if err := os.WriteFile(path, []byte(strings.Join(lines, "\n")+"\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

func newDNS(t testing.TB, o DNSOptions) *DNS {
	t.Helper()
	d, err := NewDNS(o)
	if err != nil {
		t.Fatal(err)
	}
	return d
}

func startKnot(t testing.TB, zone string, extra ...string) *edgetest.Knot {
	t.Helper()
	k, err := edgetest.StartKnot(zone, extra...)
	if errors.Is(err, edgetest.ErrNoKnot) && os.Getenv("CI") != "true" {
		t.Skipf("not run: %v", err)
	}
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(k.Close)
	return k
}

// byKnot are the credentials for a real name server.
func byKnot(t testing.TB, k *edgetest.Knot, secret string) string {
	host, port, err := net.SplitHostPort(k.Addr)
	if err != nil {
		t.Fatal(err)
	}
	return credentialsFile(t, "# as certbot-dns-rfc2136's documentation has it", "dns_rfc2136_server = "+host, "dns_rfc2136_port = "+port,
		"dns_rfc2136_name = "+k.KeyName, "dns_rfc2136_secret = "+secret, "dns_rfc2136_algorithm = hmac-SHA256")
}

func txt(t testing.TB, server, name string) []string {
	t.Helper()
	list, err := edgetest.LookupTXT(server, "_acme-challenge."+name)
	if err != nil {
		t.Error(err)
	}
	return list
}

// A wildcard and its apex at the same time, on a real name server: two values at one
// name. The records are gone afterwards, whatever became of the order.
func TestRFC2136Issues(t *testing.T) {
	k := startKnot(t, "rfc2136.test")
	ca := newCA(t, edgetest.CAOptions{DNS: k.Addr})
	d := newDNS(t, DNSOptions{Plugin: RFC2136, Credentials: byKnot(t, k, k.KeySecret), Propagation: -1, Nameservers: []string{k.Addr}})
	began := time.Now()
	mustIssue(t, ca, d, nil, "rfc2136.test", "*.rfc2136.test", "www.rfc2136.test")
	if took := time.Since(began); took > 20*time.Second {
		t.Errorf("it took %v: the records are there at once", took)
	}
	// A CA that refuses: this one asks another server.
	blind := newCA(t, edgetest.CAOptions{})
	if _, err := issue(t, blind, d, nil, "rfc2136.test", "*.rfc2136.test"); err == nil {
		t.Error("it was issued")
	}
	// One name is in no zone of ours.
	_, err := issue(t, ca, d, nil, "rfc2136.test", "elsewhere.test")
	if err == nil || !strings.Contains(err.Error(), "validation of elsewhere.test by dns-01") || strings.Contains(err.Error(), "of rfc2136.test") {
		t.Errorf("got %v", err)
	}
	for _, name := range []string{"rfc2136.test", "www.rfc2136.test"} {
		if left := txt(t, k.Addr, name); len(left) != 0 {
			t.Errorf("left at %s: %v", name, left)
		}
	}
	if len(d.made) != 0 {
		t.Errorf("%d records are remembered", len(d.made))
	}
	// A wrong key: said by the server, and not shown.
	const wrong = "d3Jvbmd3cm9uZ3dyb25nd3Jvbmd3cm9uZ3dyb25nMTI="
	bad := newDNS(t, DNSOptions{Plugin: RFC2136, Credentials: byKnot(t, k, wrong), Nameservers: []string{k.Addr}})
	if err := bad.Present(t.Context(), []edge.Answer{answer(t, edge.DNS01, "rfc2136.test")}); err == nil || strings.Contains(err.Error(), wrong) {
		t.Errorf("got %v", err)
	}
}

func startCloudflare(t testing.TB, zone string) (*edgetest.DNS, *edgetest.Cloudflare) {
	t.Helper()
	d, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(d.Close)
	cf := edgetest.NewCloudflare(d, zone, "0123456789abcdef0123456789abcdef01234567")
	cf.AllowGlobalKey("ops@example.org", "0123456789abcdef0123456789abcdef01234")
	t.Cleanup(cf.Close)
	return d, cf
}

// Cloudflare by a token and by the global key, from certbot's files.
func TestCloudflareIssues(t *testing.T) {
	srv, cf := startCloudflare(t, "cf.test")
	ca := newCA(t, edgetest.CAOptions{DNS: srv.Addr()})
	for _, lines := range [][]string{
		{"dns_cloudflare_api_token = 0123456789abcdef0123456789abcdef01234567"},
		{"dns_cloudflare_email = ops@example.org", "dns_cloudflare_api_key = '0123456789abcdef0123456789abcdef01234' # the global one"},
	} {
		d := newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: credentialsFile(t, lines...), Propagation: -1, HTTPClient: cf.Client(), Nameservers: []string{srv.Addr()}})
		mustIssue(t, ca, d, nil, "cf.test", "*.cf.test")
		if cf.Records() != 0 || len(cf.Faults()) != 0 || len(srv.TXT("_acme-challenge.cf.test")) != 0 {
			t.Errorf("%d records left, refused: %v", cf.Records(), cf.Faults())
		}
	}
	d := newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: credentialsFile(t, "dns_cloudflare_api_token = other"), HTTPClient: cf.Client(), Nameservers: []string{srv.Addr()}})
	if _, err := issue(t, ca, d, nil, "cf.test"); err == nil || !strings.Contains(err.Error(), "Authentication error") || strings.Contains(err.Error(), "= other") {
		t.Errorf("got %v", err)
	}
}

// Credentials are read anew for each batch; records are removed by those that made
// them. Orders with the same answer share a record.
func TestDNSCredentialsChange(t *testing.T) {
	srv, cf := startCloudflare(t, "change.test")
	file := credentialsFile(t, "dns_cloudflare_api_token = 0123456789abcdef0123456789abcdef01234567")
	d := newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: file, HTTPClient: cf.Client(), Nameservers: []string{srv.Addr()}})
	a := answer(t, edge.DNS01, "change.test")
	placeAll(t, d, a)
	placeAll(t, d, a)
	if err := os.WriteFile(file, []byte("dns_cloudflare_api_token = revoked\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := d.Present(t.Context(), []edge.Answer{answer(t, edge.DNS01, "change.test")}); err == nil {
		t.Error("the old credentials were used")
	}
	if err := os.Remove(file); err != nil {
		t.Fatal(err)
	}
	if err := d.Present(t.Context(), []edge.Answer{a}); err == nil || err.Error() != "File not found: "+file {
		t.Errorf("got %v", err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel() // Ctrl-C does not keep records from being removed
	for left := 1; left >= 0; left-- {
		if err := d.Cleanup(ctx, []edge.Answer{a}); err != nil || cf.Records() != left {
			t.Errorf("%v, %d records", err, cf.Records())
		}
	}
	cleanAll(t, d, a, a)
	if err := d.Present(t.Context(), []edge.Answer{answer(t, edge.HTTP01, "change.test")}); err == nil {
		t.Error("it took HTTP-01")
	}
}

// refusing counts requests to it and answers none before its end.
type refusing struct{ asked chan struct{} }

func (r refusing) RoundTrip(q *http.Request) (*http.Response, error) {
	r.asked <- struct{}{}
	<-q.Context().Done()
	return nil, q.Context().Err()
}

// The end of ctx ends what waits for a provider, and what waits for its turn.
func TestDNSEndsWithContext(t *testing.T) {
	srv, _ := startCloudflare(t, "hang.test")
	hang := refusing{make(chan struct{}, 10)}
	d := newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: credentialsFile(t, "dns_cloudflare_api_token = x"),
		HTTPClient: &http.Client{Transport: hang, Timeout: 100 * time.Millisecond}, Nameservers: []string{srv.Addr()}})
	ctx, cancel := context.WithCancel(t.Context())
	var all sync.WaitGroup
	for range 2 {
		all.Go(func() {
			if err := d.Present(ctx, []edge.Answer{answer(t, edge.DNS01, "hang.test")}); !errors.Is(err, context.Canceled) {
				t.Errorf("got %v", err)
			}
		})
	}
	<-hang.asked
	cancel()
	all.Wait()
}

// The wait ends once all servers have all records, or with the time. A time that
// somebody has set is waited for in any case, as certbot does.
func TestDNSReady(t *testing.T) {
	t.Parallel()
	srv, err := edgetest.NewDNS()
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(srv.Close)
	a := answer(t, edge.DNS01, "ready.test")
	for _, c := range []struct {
		plugin      string
		propagation time.Duration
		there       bool
		least, most time.Duration
		says, warns string
	}{
		{Cloudflare, -1, true, 0, 5 * time.Second, "Waiting at most 10 seconds for DNS changes to propagate", ""},
		{RFC2136, time.Minute, true, 0, 5 * time.Second, "Waiting at most 60 seconds for DNS changes to propagate", ""},
		{RFC2136, time.Second, true, time.Second, 5 * time.Second, "Waiting 1 seconds for DNS changes to propagate", ""},
		{Cloudflare, time.Second, false, time.Second, 5 * time.Second, "Waiting 1 seconds for DNS changes to propagate", "does not have the TXT record of _acme-challenge.ready.test yet"},
		{Cloudflare, 0, false, 0, 5 * time.Second, "", ""},
	} {
		var log logged
		srv.SetTXT("_acme-challenge.ready.test")
		if c.there {
			srv.SetTXT("_acme-challenge.ready.test", "older", dnsValue(a))
		}
		d := &DNS{o: DNSOptions{Plugin: c.plugin, Propagation: c.propagation, Log: log.logger(), Nameservers: []string{srv.Addr()}}}
		began := time.Now()
		if err := d.Ready(t.Context(), []edge.Answer{a}); err != nil {
			t.Error(err)
		}
		if took := time.Since(began); took < c.least || took > c.most {
			t.Errorf("%+v: it took %v", c, took)
		}
		if !strings.Contains(log.String(), c.says) || !strings.Contains(log.String(), c.warns) || c.warns == "" && strings.Contains(log.String(), "WARN") || c.says == "" && log.String() != "" {
			t.Errorf("%+v: %s", c, log.String())
		}
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	stopped := errors.New("stopped")
	cancel(stopped)
	d := &DNS{o: DNSOptions{Plugin: RFC2136, Propagation: -1, Log: logger(nil), Nameservers: []string{srv.Addr()}}}
	if err := d.Ready(ctx, []edge.Answer{a}); !errors.Is(err, stopped) {
		t.Errorf("got %v", err)
	}
}

// names is a resolver of a network that is not there.
type names struct {
	ips map[string][]string
	ns  map[string][]string
}

func (n names) LookupNetIP(_ context.Context, network, host string) (ips []netip.Addr, err error) {
	for _, s := range n.ips[strings.TrimSuffix(host, ".")] {
		ips = append(ips, netip.MustParseAddr(s))
	}
	if len(ips) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: host, IsNotFound: true}
	}
	return ips, nil
}

func (n names) LookupNS(_ context.Context, name string) (list []*net.NS, err error) {
	for _, s := range n.ns[strings.TrimSuffix(name, ".")] {
		list = append(list, &net.NS{Host: s + "."})
	}
	if len(list) == 0 {
		return nil, &net.DNSError{Err: "no such host", Name: name, IsNotFound: true}
	}
	return list, nil
}

// leads connects to where an address of that network is in this one.
func leads(to map[string]string) dialer {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		real, ok := to[address]
		if !ok {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("network is unreachable")}
		}
		return new(net.Dialer).DialContext(ctx, network, real)
	}
}

// All servers of the zone are asked, each by an address that can be reached.
func TestWatchServersOfZone(t *testing.T) {
	var servers [2]*edgetest.DNS
	for n := range servers {
		var err error
		if servers[n], err = edgetest.NewDNS(); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(servers[n].Close)
	}
	w := watcher{
		resolver: names{ns: map[string][]string{"watch.test": {"ns1.test", "ns2.test", "ns3.test"}},
			ips: map[string][]string{"ns1.test": {"2001:db8::1", "192.0.2.1"}, "ns2.test": {"2001:db8::2"}}},
		dial: leads(map[string]string{"192.0.2.1:53": servers[0].Addr(), "[2001:db8::2]:53": servers[1].Addr()}),
	}
	a, b := answer(t, edge.DNS01, "a.watch.test"), answer(t, edge.DNS01, "b.a.watch.test")
	look := func() error {
		return errors.Join(w.look(t.Context(), dnsName(a), []string{dnsValue(a)}), w.look(t.Context(), dnsName(b), []string{dnsValue(b)}))
	}
	for n, s := range servers {
		if err := look(); err == nil || !strings.Contains(err.Error(), "yet") {
			t.Errorf("%d servers have the records: %v", n, err)
		}
		s.SetTXT(dnsName(a), dnsValue(a))
		s.SetTXT(dnsName(b), dnsValue(b))
	}
	if err := look(); err != nil {
		t.Error(err)
	}
	done := make(chan error, 1)
	servers[1].SetTXT(dnsName(a))
	go func() { done <- w.wait(t.Context(), []edge.Answer{a, b}) }()
	servers[1].SetTXT(dnsName(a), dnsValue(a))
	if err := <-done; err != nil {
		t.Error(err)
	}
	w.dial = leads(nil)
	if err := look(); err == nil || !strings.Contains(err.Error(), "name server 192.0.2.1:53: ") {
		t.Errorf("got %v", err)
	}
	w.resolver = names{}
	if err := look(); err == nil || !strings.Contains(err.Error(), "cannot be found from here") {
		t.Errorf("got %v", err)
	}
}

// What is wrong with a file is said in the words of certbot's plugins.
func TestCredentials(t *testing.T) {
	const keys = "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_name = k\ndns_rfc2136_secret = c2VjcmV0\n"
	for _, c := range []struct{ plugin, text, want string }{
		{Cloudflare, "", "FILE: Either dns_cloudflare_api_token (recommended), or dns_cloudflare_email and dns_cloudflare_api_key are required. (see https://dash.cloudflare.com/?to=/:account/profile/api-tokens)"},
		{Cloudflare, "dns_cloudflare_api_token = x\ndns_cloudflare_email = y", "FILE: dns_cloudflare_email and dns_cloudflare_api_key are not needed when using an API Token"},
		{Cloudflare, "dns_cloudflare_api_key = x", "FILE: dns_cloudflare_email is required when using a Global API Key. (should be email address associated with Cloudflare account)"},
		{Cloudflare, "dns_cloudflare_email = x", "FILE: dns_cloudflare_api_key is required when using a Global API Key. (see https://dash.cloudflare.com/?to=/:account/profile/api-tokens)"},
		{Cloudflare, "[x]\ndns_cloudflare_api_token = x", "FILE: Either dns_cloudflare_api_token"},
		{Cloudflare, "dns_cloudflare_api_token = x, y", "Error parsing credentials configuration: FILE: dns_cloudflare_api_token is a list; put what has a comma in quotes"},
		{Cloudflare, "dns_cloudflare_api_token = %(secret)s", "Error parsing credentials configuration: FILE: dns_cloudflare_api_token refers to another key"},
		{Cloudflare, "dns_cloudflare_api_token", "Error parsing credentials configuration: FILE: line 1: "},
		{Cloudflare, "dns_cloudflare_api_token = 'x", "Error parsing credentials configuration: FILE: line 1: "},
		{RFC2136, "dns_rfc2136_name =\n", "Missing properties in credentials configuration file FILE:\n * Property \"dns_rfc2136_name\" not set (should be TSIG key name).\n" +
			" * Property \"dns_rfc2136_secret\" not found (should be TSIG key secret).\n * Property \"dns_rfc2136_server\" not found (should be The target DNS server)."},
		{RFC2136, "dns_rfc2136_server = 192.0.2.1\ndns_rfc2136_name = k", "Missing property in credentials configuration file FILE:\n * Property \"dns_rfc2136_secret\" not found (should be TSIG key secret)."},
		{RFC2136, strings.Replace(keys, "192.0.2.1", "ns.test", 1), "The configured target DNS server (ns.test) is not a valid IPv4 or IPv6 address. A hostname is not allowed."},
		{RFC2136, keys + "dns_rfc2136_algorithm = hmac-sha3", "Unknown algorithm: hmac-sha3."},
		{RFC2136, keys, "FILE: dns_rfc2136_algorithm: HMAC-MD5, which certbot takes where none is named, is not supported any more"},
		{RFC2136, keys + "dns_rfc2136_algorithm = HMAC-SHA512\ndns_rfc2136_port = 0", `FILE: dns_rfc2136_port: "0" is not a port`},
		{RFC2136, keys + "dns_rfc2136_algorithm = HMAC-SHA512\ndns_rfc2136_sign_query = maybe", `FILE: dns_rfc2136_sign_query: "maybe" is neither true nor false`},
		{"dns-route53", "x = y", "there is no plugin dns-route53"},
		{Cloudflare, strings.Repeat("#", maxCredentials+1), "not a file of at most 65536 bytes"},
	} {
		file := credentialsFile(t, c.text)
		_, err := NewDNS(DNSOptions{Plugin: c.plugin, Credentials: file})
		if err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(c.want, "FILE", file)) {
			t.Errorf("%.60q: %v", c.text, err)
		}
		if err != nil && strings.Contains(err.Error(), "%(secret") {
			t.Errorf("%.60q: a value is shown: %v", c.text, err)
		}
	}
	for file, want := range map[string]string{
		"":                        "dns-cloudflare needs --dns-cloudflare-credentials",
		"/dev/null":               "not a file of at most",
		t.TempDir():               "Path is a directory: ",
		t.TempDir() + "/none.ini": "File not found: ",
	} {
		if _, err := NewDNS(DNSOptions{Plugin: Cloudflare, Credentials: file}); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %v", file, err)
		}
	}
}

// What good files come to.
func TestCredentialsTaken(t *testing.T) {
	for _, signed := range []string{"", "false", "True"} {
		c, err := readCredentials(credentialsFile(t, "dns_rfc2136_server = 2001:db8::1", `dns_rfc2136_name = "keyname."`, "dns_rfc2136_secret = 'a+b/c==' # x",
			"dns_rfc2136_algorithm = hmac-sha512", "dns_rfc2136_sign_query = "+signed, "other = a, b"), RFC2136, func(text string) { t.Errorf("warning: %s", text) })
		if err != nil {
			t.Fatal(err)
		}
		var o acmeglue.DNSOptions
		if err := c.rfc2136(&o); err != nil || o.Server != "[2001:db8::1]:53" || o.KeyName != "keyname." || o.KeySecret != "a+b/c==" || o.KeyAlgorithm != "hmac-sha512" {
			t.Errorf("%+v %v", o, err)
		}
		if asks := len(o.Resolvers) == 1 && o.Resolvers[0] == o.Server; asks == (signed == "True") {
			t.Errorf("sign_query %q: zones are looked up at %v", signed, o.Resolvers)
		}
	}
}

// Others who may read a file are a reason to warn, once.
func TestCredentialsPermissions(t *testing.T) {
	srv, cf := startCloudflare(t, "perm.test")
	for mode, unsafe := range map[os.FileMode]bool{0o600: false, 0o640: false, 0o660: false, 0o604: true, 0o602: true, 0o601: true, 0o644: true} {
		file := credentialsFile(t, "dns_cloudflare_api_token = 0123456789abcdef0123456789abcdef01234567")
		if err := os.Chmod(file, mode); err != nil {
			t.Fatal(err)
		}
		var log logged
		d := newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: file, Log: log.logger(), HTTPClient: cf.Client(), Nameservers: []string{srv.Addr()}})
		a := answer(t, edge.DNS01, "perm.test")
		placeAll(t, d, a)
		cleanAll(t, d, a)
		n := strings.Count(log.String(), "Unsafe permissions on credentials configuration file: "+file)
		if unsafe != (n == 1) || n > 1 {
			t.Errorf("%o: %s", mode, log.String())
		}
	}
}
