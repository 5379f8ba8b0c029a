package haproxy

import (
	"context"
	"fmt"
	"net"
	"strings"
	"testing"

	"edge"
	"edge/installers/target"
	"edge/internal/edgetest"
	"edge/internal/edgetest/targettest"
)

func (s *server) authenticator(more ...string) *Authenticator {
	s.t.Helper()
	k := Kind()
	a, err := k.Authenticator(context.Background(), s.values(more...), s.env(""))
	if err != nil {
		s.t.Fatal(err)
	}
	return a.(*Authenticator)
}

// round goes through one challenge.
func round(t *testing.T, a *Authenticator, one edge.Answer) error {
	t.Helper()
	batch := []edge.Answer{one}
	err := a.Present(t.Context(), batch)
	if err == nil {
		err = a.Ready(t.Context(), batch)
	}
	if cerr := a.Cleanup(t.Context(), batch); cerr != nil {
		t.Error(cerr)
	}
	return err
}

func withRule(global, rule string) string {
	text := strings.Replace(someConf, "global\n", "global\n"+global, 1)
	before, rest, _ := strings.Cut(text, "\thttp-request return status 200")
	_, after, _ := strings.Cut(rest, "\n")
	return before + rule + "\n" + strings.Replace(after, "return status 404", "return status 404 unless { path_beg /.well-known/acme-challenge/ }", 1)
}

// Of what is not configured, the error has the lines; with these it works.
func TestAdvice(t *testing.T) {
	t.Parallel()
	one := targettest.Answer(edge.HTTP01, "a.example.test", "token_-1")
	port := edgetest.FreePort(t)
	for _, c := range []struct{ mode, variable, want string }{
		{mapMode, "", "make an empty file "},
		{statelessMode, "", "setenv ACCOUNT_THUMBPRINT bKTW1"},
		{helperMode, "", "use_backend certbot"},
	} {
		s := newServer(t, withRule("", ""))
		s.daemon.Start(t)
		a := s.authenticator("mode", c.mode, "http_01_port", fmt.Sprint(port))
		err := round(t, a, one)
		wants(t, err, c.want)
		if err == nil {
			continue
		}
		// What the error says is put into the configuration as it is.
		global, rule, backend := "", "", ""
		into := &rule
		for line := range strings.Lines(err.Error()) {
			switch f := strings.Fields(line); {
			case len(f) == 0 || !strings.HasPrefix(line, "    ") && f[0] != "backend":
			case f[0] == "setenv":
				global = line
			case f[0] == "backend":
				into = &backend
				fallthrough
			default:
				*into += strings.TrimSuffix(line, "\n") + "\n"
			}
		}
		text := withRule(global, rule) + backend
		s.write("haproxy.cfg", strings.NewReplacer("DIR", s.dir, "ADDR", s.addr, "WEB", s.web, "ECHO", "127.0.0.1:1").Replace(text))
		if err := s.reload(); err != nil {
			t.Fatal(err)
		}
		if err := round(t, a, one); err != nil {
			t.Errorf("%s: %v, with\n%s", c.mode, err, text)
		}
		if c.mode != statelessMode && get(t.Context(), s.web, one) == nil {
			t.Errorf("%s: the answer is still there", c.mode)
		}
	}
}

// The thumbprint of another account is told.
func TestOtherAccount(t *testing.T) {
	t.Parallel()
	rule := `	http-request return status 200 content-type text/plain lf-string "%[path,field(-1,/)].${THUMB}" if { path_beg /.well-known/acme-challenge/ }`
	s := newServer(t, withRule("\tsetenv THUMB other\n", rule))
	s.daemon.Start(t)
	one := targettest.Answer(edge.HTTP01, "a.example.test", "tokenOne")
	err := round(t, s.authenticator("mode", statelessMode, "thumbprint", "THUMB"), one)
	wants(t, err, `it answers for another account: thumbprint "other", not "bKTW1`)
	wants(t, err, "    setenv THUMB "+thumbprint(one.KeyAuth))
	one.KeyAuth = "tokenOne.other"
	if err := round(t, s.authenticator("mode", statelessMode, "thumbprint", "THUMB", "http_address", s.web), one); err != nil {
		t.Error(err)
	}
	wants(t, round(t, s.authenticator("mode", statelessMode, "http_address", s.addr), one), "HAProxy does not answer the challenge for a.example.test")
}

// What this account left is removed, what others have in the map stays.
func TestMapOfOthers(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	s.daemon.Start(t)
	one := targettest.Answer(edge.HTTP01, "a.example.test", "tokenOne")
	two := targettest.Answer(edge.HTTP01, "b.example.test", "tokenTwo")
	m, prefix := s.path("acme.map"), edge.HTTP01Prefix
	for _, entry := range []string{prefix + "dead dead." + thumbprint(one.KeyAuth), prefix + "theirs theirs.otherThumb", "/elsewhere x." + thumbprint(one.KeyAuth), prefix + "tokenOne tokenOne.stale"} {
		s.ask("add map " + m + " " + entry)
	}
	a, ctx := s.authenticator(), t.Context()
	if err := a.Present(ctx, []edge.Answer{two}); err != nil {
		t.Fatal(err)
	}
	for range 2 { // the second time it is there already
		if err := a.Present(ctx, []edge.Answer{one}); err != nil {
			t.Fatal(err)
		}
	}
	if err := a.Ready(ctx, []edge.Answer{one, two}); err != nil {
		t.Error(err)
	}
	entries, err := parseMap(s.ask("show map " + m))
	if err != nil || len(entries) != 4 {
		t.Errorf("%v, %v", entries, err)
	}
	s.daemon.Stop(t)
	if err := a.Cleanup(ctx, []edge.Answer{two}); err == nil {
		t.Error("nothing is there, and it is cleaned up")
	}
	s.daemon.Start(t)
	for _, one := range []edge.Answer{one, two} {
		if err := a.Cleanup(ctx, []edge.Answer{one}); err != nil {
			t.Error(err)
		}
	}
}

// The listener answers what it was given, and nothing else.
func TestHelperListener(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	a := s.authenticator("http_01_port", fmt.Sprint(edgetest.FreePort(t)))
	one := targettest.Answer(edge.HTTP01, "a.test", "tokenOne")
	if err := a.Present(t.Context(), []edge.Answer{one}); err != nil {
		t.Fatal(err)
	}
	at := fmt.Sprintf("127.0.0.1:%d", a.a.Port)
	if err := get(t.Context(), at, one); err != nil {
		t.Error(err)
	}
	wants(t, get(t.Context(), at, targettest.Answer(edge.HTTP01, "a.test", "tokenTwo")), "404 Not Found")
	if err := a.Cleanup(t.Context(), []edge.Answer{one}); err != nil {
		t.Error(err)
	}
	wants(t, get(t.Context(), at, one), "refused")
}

// A port that is taken is told with who has it.
func TestHelperPortTaken(t *testing.T) {
	t.Parallel()
	s := newServer(t, someConf)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	_, port, _ := net.SplitHostPort(l.Addr().String())
	a := s.authenticator("http_01_port", port) // alone, it means the mode
	if a.a.Mode != helperMode {
		t.Errorf("mode %s", a.a.Mode)
	}
	wants(t, round(t, a, targettest.Answer(edge.HTTP01, "a.test", "x")), "it is taken by haproxy.test")
}

func TestBadAnswers(t *testing.T) {
	k := Kind()
	for want, said := range map[string]map[string][]string{
		"cannot be told of": {"map": {"/a b.map"}},
		"no name":           {"mode": {statelessMode}, "thumbprint": {"A-B"}},
		"is no port":        {"mode": {helperMode}, "http_01_port": {"99999"}},
	} {
		v, problems := target.Parse(&k, said, nil, true, false)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		_, err := k.Authenticator(t.Context(), v, &target.Env{})
		wants(t, err, want)
	}
	s := newServer(t, strings.NewReplacer("\tstats socket DIR/admin.sock mode 600 level admin\n", "").Replace(someConf))
	wants(t, round(t, s.authenticator(), targettest.Answer(edge.HTTP01, "a.test", "x")), `write "stats socket`)
}
