package authenticator

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/acmeglue"
)

// world is a network that is not there: names, addresses, and who is behind them.
type world struct {
	names
	to   map[string]string // "address:port" of that network: where it is in this one
	from string            // the address that we have in it
	own  []string
}

// seenFrom is a connection that comes from another address than it does.
type seenFrom struct {
	net.Conn
	addr net.Addr
}

func (c seenFrom) LocalAddr() net.Addr { return c.addr }

func (w world) options() PreflightOptions {
	dial := leads(w.to)
	return PreflightOptions{Resolver: w.names,
		Dial: func(ctx context.Context, network, address string) (net.Conn, error) {
			c, err := dial(ctx, network, address)
			if err != nil || w.from == "" {
				return c, err
			}
			return seenFrom{c, net.TCPAddrFromAddrPort(netip.AddrPortFrom(netip.MustParseAddr(w.from), 40000))}, nil
		},
		Addresses: func() (own []netip.Addr, err error) {
			for _, s := range w.own {
				own = append(own, netip.MustParseAddr(s))
			}
			return own, nil
		}}
}

// answering is a web server that answers everything with one status.
func answering(t testing.TB, status int) string {
	t.Helper()
	srv := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Server", "nginx/1.22.1")
		w.WriteHeader(status)
		_, _ = io.WriteString(w, "<html>Welcome</html>")
	}))
	t.Cleanup(srv.Close)
	return srv.Listener.Addr().String()
}

const (
	ourIP, ourIP6 = "198.51.100.1", "2001:db8::1"
	otherIP       = "203.0.113.9"
)

// What a network looks like from here, and what that says about it from outside.
// A verdict is "would fail" only where there is no doubt.
func TestPreflightVerdicts(t *testing.T) {
	s := newStandalone(t, func(o *StandaloneOptions) { o.SNI = false })
	right := fmt.Sprintf("127.0.0.1:%d", s.o.HTTP.Port)
	rightTLS := fmt.Sprintf("127.0.0.1:%d", s.o.TLSALPN.Port)
	nobody := fmt.Sprintf("127.0.0.1:%d", freePort(t))
	wrong := map[int]string{}
	for _, status := range []int{200, 301, 401, 403, 404, 429, 500, 503} {
		wrong[status] = answering(t, status)
	}
	http01 := []edge.ChallengeType{edge.HTTP01}
	public := []string{ourIP, ourIP6, "172.17.0.1"} // with Docker
	for _, c := range []struct {
		what    string
		ips     []string
		to      map[string]string
		from    string
		own     []string
		types   []edge.ChallengeType
		verdict Verdict
		problem string // part of it; "" where there is none
		fix     string
	}{
		{"all is well", []string{ourIP, ourIP6}, map[string]string{ourIP + ":80": right, "[" + ourIP6 + "]:80": right}, ourIP, public, http01, Fine, "", ""},
		{"an IPv6-only host", []string{ourIP6}, map[string]string{"[" + ourIP6 + "]:80": right}, ourIP6, []string{ourIP6}, http01, Fine, "", ""},
		{"an IPv6-only host with an A record of a translator", []string{otherIP, ourIP6}, map[string]string{"[" + ourIP6 + "]:80": right}, ourIP6, []string{ourIP6}, http01, Fine, "", ""},
		{"an IPv4-only host with an AAAA record of a translator", []string{ourIP, ourIP6}, map[string]string{ourIP + ":80": right}, ourIP, []string{ourIP}, http01, Fine, "", ""},
		{"NAT that leads back to us", []string{otherIP}, map[string]string{otherIP + ":80": right}, "192.168.1.5", []string{"192.168.1.5"}, http01, Fine, "", ""},

		{"a hairpin: the router's own page", []string{otherIP}, map[string]string{otherIP + ":80": wrong[200]}, "192.168.1.5", []string{"192.168.1.5"}, http01, Unknown, "200 OK", "leads to the right machine"},
		{"a hairpin, and a public address for something else", []string{otherIP}, map[string]string{otherIP + ":80": wrong[404]}, "192.168.1.5", []string{"192.168.1.5", ourIP}, http01, Unknown, "404 Not Found", ""},
		{"NAT without a hairpin", []string{otherIP}, nil, "192.168.1.5", []string{"192.168.1.5"}, http01, Unknown, "network is unreachable", "can be reached from outside"},
		{"the provider's NAT", []string{otherIP}, map[string]string{otherIP + ":80": wrong[404]}, "100.64.3.4", []string{"100.64.3.4"}, http01, Unknown, "404", ""},
		{"split DNS: an inner address, ours", []string{"10.0.0.5"}, map[string]string{"10.0.0.5:80": wrong[404]}, "10.0.0.5", []string{"10.0.0.5"}, http01, Unknown, "404", ""},
		{"split DNS: an inner address, a balancer's", []string{"10.0.0.9"}, map[string]string{"10.0.0.9:80": wrong[404]}, ourIP, public, http01, Unknown, "404", ""},
		{"split DNS: /etc/hosts", []string{"127.0.1.1"}, map[string]string{"127.0.1.1:80": wrong[404]}, "127.0.0.1", append([]string{"127.0.0.1", "127.0.1.1"}, public...), http01, Unknown, "404", ""},
		{"NAT64", []string{"64:ff9b::cb00:7109"}, map[string]string{"[64:ff9b::cb00:7109]:80": wrong[404]}, ourIP6, []string{ourIP6}, http01, Unknown, "404", ""},
		{"a redirect of ports in the kernel", []string{ourIP}, map[string]string{ourIP + ":80": nobody}, ourIP, public, http01, Unknown, "connection refused", "start the web server that has port 80, unless"},

		{"another machine", []string{otherIP}, map[string]string{otherIP + ":80": wrong[404]}, ourIP, public, http01, WouldFail,
			"at 203.0.113.9 was answered with 404 Not Found, by something that does not have our challenge file (it calls itself \"nginx/1.22.1\")", "every A and AAAA record leads to it"},
		{"a parked name", []string{otherIP}, map[string]string{otherIP + ":80": wrong[200]}, ourIP, public, http01, WouldFail, "200 OK", ""},
		{"a redirect to nowhere", []string{otherIP}, map[string]string{otherIP + ":80": wrong[301]}, ourIP, public, http01, WouldFail, "301 Moved Permanently", ""},
		{"another machine that is busy", []string{otherIP}, map[string]string{otherIP + ":80": wrong[503]}, ourIP, public, http01, Unknown, "503", ""},
		{"another machine that counts our requests", []string{otherIP}, map[string]string{otherIP + ":80": wrong[429]}, ourIP, public, http01, Unknown, "429", ""},
		{"a delivery network that asks who we are", []string{otherIP}, map[string]string{otherIP + ":80": wrong[403]}, ourIP, public, http01, Unknown, "403", ""},
		{"a delivery network whose origin is broken", []string{otherIP}, map[string]string{otherIP + ":80": wrong[500]}, ourIP, public, http01, Unknown, "500", ""},

		{"our web server has another root", []string{ourIP}, map[string]string{ourIP + ":80": wrong[404]}, ourIP, public, http01, WouldFail, "404", "gives out what is put to /.well-known/acme-challenge/"},
		{"our web server wants a password", []string{ourIP}, map[string]string{ourIP + ":80": wrong[401]}, ourIP, public, http01, WouldFail, "401", ""},
		{"our web server forbids", []string{ourIP}, map[string]string{ourIP + ":80": wrong[403]}, ourIP, public, http01, WouldFail, "403", ""},
		{"our web server limits requests", []string{ourIP}, map[string]string{ourIP + ":80": wrong[503]}, ourIP, public, http01, Unknown, "503", ""},

		{"an old AAAA record", []string{ourIP, "2001:db8::99"}, map[string]string{ourIP + ":80": right, "[2001:db8::99]:80": wrong[404]}, ourIP6, public, http01, Unknown, "at 2001:db8::99 was answered with 404", "every A and AAAA record"},
		{"all records are old", []string{otherIP, "2001:db8::99"}, map[string]string{otherIP + ":80": wrong[404], "[2001:db8::99]:80": wrong[200]}, ourIP6, public, http01, WouldFail, "200 OK", ""},
		{"an old A record, and an AAAA record that cannot be tried from here", []string{otherIP, "2001:db8::99"}, map[string]string{otherIP + ":80": wrong[404]}, ourIP, []string{ourIP}, http01, Unknown, "404", ""},

		{"TLS", []string{ourIP}, map[string]string{ourIP + ":443": rightTLS}, ourIP, public, []edge.ChallengeType{edge.TLSALPN01}, Fine, "", ""},
		{"a proxy that ends TLS", []string{otherIP}, map[string]string{otherIP + ":443": rightTLS + "x"}, ourIP, public, []edge.ChallengeType{edge.TLSALPN01}, Unknown, "", ""},
		{"no TLS at all", []string{otherIP}, map[string]string{otherIP + ":443": wrong[404]}, ourIP, public, []edge.ChallengeType{edge.TLSALPN01}, WouldFail, "203.0.113.9:443: the TLS handshake failed", "without a proxy between that ends TLS"},
		{"the second way works", []string{ourIP}, map[string]string{ourIP + ":80": wrong[404], ourIP + ":443": rightTLS}, ourIP, public, nil, Fine, "", ""},
		{"neither works", []string{otherIP}, map[string]string{otherIP + ":80": wrong[404], otherIP + ":443": wrong[404]}, ourIP, public, nil, WouldFail, "handshake failed", ""},
	} {
		w := world{names{ips: map[string][]string{"a.test": c.ips}}, c.to, c.from, c.own}
		f := Preflight(t.Context(), s, c.types, identifiers(t, "a.test"), w.options())[0]
		if f.Verdict != c.verdict || !strings.Contains(f.Problem, c.problem) || !strings.Contains(f.Fix, c.fix) {
			t.Errorf("%s: %+v", c.what, f)
		}
		if (f.Verdict == Fine) != (f.Problem == "") || (f.Problem == "") != (f.Fix == "") {
			t.Errorf("%s: without a reason, or without a remedy: %+v", c.what, f)
		}
		if want := c.types; want == nil && f.Challenge != edge.TLSALPN01 || want != nil && f.Challenge != want[0] {
			t.Errorf("%s: by %s", c.what, f.Challenge)
		}
		if len(s.held) != 0 || len(s.servers) != 0 {
			t.Fatalf("%s: answers were left behind", c.what)
		}
	}
}

// A name that the resolver does not know: the public servers of its zone decide.
func TestPreflightNameDoesNotExist(t *testing.T) {
	k := startKnot(t, "gone.test", "alias 60 CNAME www.elsewhere.test.", "text 60 TXT x")
	s := newStandalone(t, nil)
	dns := acmeglue.Combine("both", s, newDNS(t, DNSOptions{Plugin: Cloudflare, Credentials: credentialsFile(t, "dns_cloudflare_api_token = x")}))
	for _, c := range []struct {
		name    string
		ns      []string // addresses
		to      map[string]string
		auth    acmeglue.Authenticator
		verdict Verdict
	}{
		{"www.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, WouldFail},
		{"text.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, WouldFail},
		{"a.b.c.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, WouldFail},
		{"www.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, dns, Unknown},   // by DNS-01
		{"a.hosts.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, Unknown}, // it is there
		{"alias.gone.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, Unknown},
		{"www.other.gone", nil, nil, s, Unknown}, // whose servers nobody knows
		{"www.gone.test", []string{"10.0.0.53"}, map[string]string{"10.0.0.53:53": k.Addr}, s, Unknown},
		{"www.gone.test", []string{"198.51.100.53", "10.0.0.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, Unknown},
		{"www.gone.test", []string{"198.51.100.53"}, nil, s, Unknown}, // port 53 is closed
		{"elsewhere.test", []string{"198.51.100.53"}, map[string]string{"198.51.100.53:53": k.Addr}, s, Unknown},
	} {
		w := world{names: names{ips: map[string][]string{"ns.gone.test": c.ns}, ns: map[string][]string{"gone.test": {"ns.gone.test"}, "elsewhere.test": {"ns.gone.test"}}}, to: c.to}
		f := Preflight(t.Context(), c.auth, nil, identifiers(t, c.name), w.options())
		if f[0].Verdict != c.verdict || c.auth == s && (!strings.HasPrefix(f[0].Problem, c.name+" does not exist in the DNS") || !strings.Contains(f[0].Fix, "make a record")) {
			t.Errorf("%s by %v: %+v", c.name, c.ns, f[0])
		}
		if err := f.Err(); (err != nil) != (c.verdict == WouldFail) || err != nil && !strings.Contains(err.Error(), c.name+" does not exist in the DNS: it has neither an A nor an AAAA record; make a record") {
			t.Errorf("%s: %v", c.name, err)
		}
	}
}

// A web server that sends a CA elsewhere.
func TestPreflightFollowsRedirects(t *testing.T) {
	root := t.TempDir()
	var to string
	plain := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		http.Redirect(w, r, to+r.URL.Path, http.StatusMovedPermanently)
	}))
	defer plain.Close()
	secure := httptest.NewTLSServer(http.FileServer(http.Dir(root)))
	defer secure.Close()
	wrong := httptest.NewTLSServer(http.NotFoundHandler())
	defer wrong.Close()
	w := world{names{ips: map[string][]string{"a.test": {ourIP}, "www.a.test": {otherIP}, "inner.a.test": {"10.0.0.5"}, "wrong.a.test": {"203.0.113.10"}}}, map[string]string{
		ourIP + ":80": plain.Listener.Addr().String(), ourIP + ":443": secure.Listener.Addr().String(), otherIP + ":443": secure.Listener.Addr().String(),
		"10.0.0.5:443": wrong.Listener.Addr().String(), "203.0.113.10:443": wrong.Listener.Addr().String()}, ourIP, []string{ourIP}}
	for target, verdict := range map[string]Verdict{
		"https://a.test": Fine, "https://www.a.test": Fine, "https://203.0.113.9": Fine, "https://inner.a.test": Unknown, "https://wrong.a.test": WouldFail,
		"https://none.a.test": Unknown, "http://a.test": Unknown, "https://a.test:99999": Unknown, "gopher://a.test": Unknown,
	} {
		to = target
		f := Preflight(t.Context(), NewWebroot(WebrootOptions{Path: root}), nil, identifiers(t, "a.test"), w.options())[0]
		if f.Verdict != verdict {
			t.Errorf("%s: %+v", target, f)
		}
	}
	if left := tree(t, root); len(left) != 0 {
		t.Errorf("left behind: %v", left)
	}
}

// What cannot even be presented would fail; the next way is tried.
func TestPreflightCannotPresent(t *testing.T) {
	l, err := net.Listen("tcp", ":0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStandalone(t, func(o *StandaloneOptions) { o.HTTP.Port = l.Addr().(*net.TCPAddr).Port })
	w := world{names{ips: map[string][]string{"a.test": {ourIP}, "b.test": {ourIP}}}, map[string]string{ourIP + ":443": fmt.Sprintf("127.0.0.1:%d", s.o.TLSALPN.Port)}, ourIP, []string{ourIP}}
	f := Preflight(t.Context(), s, []edge.ChallengeType{edge.HTTP01}, identifiers(t, "a.test", "b.test"), w.options())
	var failed *acmeglue.AuthorizationError
	if err := f.Err(); !errors.As(err, &failed) || len(failed.Failed) != 2 || !strings.Contains(err.Error(), "validation of a.test, b.test by http-01: Could not bind TCP port") || !strings.Contains(err.Error(), "nothing was ordered") {
		t.Errorf("got %v", err)
	}
	f = Preflight(t.Context(), s, nil, identifiers(t, "a.test", "b.test"), w.options())
	if f.Err() != nil || f[0].Verdict != Fine || f[0].Challenge != edge.TLSALPN01 {
		t.Errorf("got %+v", f)
	}
	// A person who is asked about the port may take his time.
	s.o.Retry = func(ctx context.Context, text string) bool {
		if _, ok := ctx.Deadline(); ok {
			t.Error("he is hurried")
		}
		return l.Close() == nil
	}
	w.to[ourIP+":80"] = fmt.Sprintf("127.0.0.1:%d", s.o.HTTP.Port)
	if f = Preflight(t.Context(), s, []edge.ChallengeType{edge.HTTP01}, identifiers(t, "a.test"), w.options()); f[0].Verdict != Fine {
		t.Errorf("got %+v", f)
	}
	root := t.TempDir()
	f = Preflight(t.Context(), NewWebroot(WebrootOptions{Path: root + "/none"}), nil, identifiers(t, "a.test"), w.options())
	if err := f.Err(); err == nil || !strings.Contains(err.Error(), root+"/none does not exist or is not a directory") {
		t.Errorf("got %v", err)
	}
}

// Nobody is asked and no hook is run; the port has to answer, more cannot be known.
func TestPreflightOfManual(t *testing.T) {
	h := &hookRunner{}
	m := newManual(t, ManualOptions{Hooks: h, AuthHook: "true", CleanupHook: "true"})
	for to, verdict := range map[string]Verdict{answering(t, 404): Fine, fmt.Sprintf("127.0.0.1:%d", freePort(t)): Unknown} {
		w := world{names{ips: map[string][]string{"a.test": {ourIP}}}, map[string]string{ourIP + ":80": to}, ourIP, []string{ourIP}}
		f := Preflight(t.Context(), m, nil, identifiers(t, "a.test", "*.b.test"), w.options())
		if f[0].Verdict != verdict || f[1].Verdict != Unknown || f[1].Challenge != edge.DNS01 || f[1].Problem != "" || f.Err() != nil || len(h.runs) != 0 {
			t.Errorf("%+v after %d hooks", f, len(h.runs))
		}
	}
}

// Addresses are names as well; what cannot be validated at all is the order's business.
func TestPreflightOfAddresses(t *testing.T) {
	s := newStandalone(t, nil)
	right := fmt.Sprintf("127.0.0.1:%d", s.o.HTTP.Port)
	w := world{names{}, map[string]string{ourIP + ":80": right, "[" + ourIP6 + "]:80": right, ourIP + ":443": fmt.Sprintf("127.0.0.1:%d", s.o.TLSALPN.Port)}, ourIP, nil}
	f := Preflight(t.Context(), s, []edge.ChallengeType{edge.HTTP01}, identifiers(t, ourIP, ourIP6, "*.a.test"), w.options())
	if f[0].Verdict != Fine || f[1].Verdict != Fine || f[2].Verdict != Unknown || f[2].Challenge != "" {
		t.Errorf("%+v", f)
	}
	f = Preflight(t.Context(), s, []edge.ChallengeType{edge.TLSALPN01}, identifiers(t, ourIP, ourIP6), w.options())
	if f[0].Verdict != Fine || f[1].Verdict != Unknown {
		t.Errorf("%+v", f)
	}
	f = Preflight(t.Context(), s, []edge.ChallengeType{edge.TLSSNI01}, identifiers(t, ourIP), w.options())
	if f[0].Verdict != Fine {
		t.Errorf("%+v", f)
	}
}

// Nothing that hangs holds it up, however many names there are.
func TestPreflightIsBounded(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0") // accepts, and says nothing
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	s := newStandalone(t, nil)
	w := world{names{ips: map[string][]string{}}, map[string]string{ourIP + ":80": l.Addr().String()}, ourIP, []string{ourIP}}
	var list []string
	for n := range 50 {
		name := fmt.Sprintf("host-%d.test", n)
		list = append(list, name)
		w.ips[name] = []string{ourIP}
	}
	o := w.options()
	o.Time = 300 * time.Millisecond
	began := time.Now()
	for _, f := range Preflight(t.Context(), s, []edge.ChallengeType{edge.HTTP01}, identifiers(t, list...), o) {
		if f.Verdict != Unknown || !strings.Contains(f.Problem, "the time for the check was over before "+ourIP+" answered") {
			t.Fatalf("%+v", f)
		}
	}
	if took := time.Since(began); took > 2*time.Second || len(s.servers) != 0 {
		t.Errorf("it took %v", took)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if f := Preflight(ctx, s, nil, identifiers(t, list...), w.options()); f.Err() != nil || len(f) != 50 || len(s.servers) != 0 {
		t.Errorf("after the end: %v", f.Err())
	}
}
