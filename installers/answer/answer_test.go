package answer

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"edge"
	"edge/installers"
)

// server is one whose reloads fail where reload says so.
type server struct {
	reload  func() error
	reloads int
}

func (s *server) Name() string                         { return "toy" }
func (s *server) Test(context.Context) error           { return nil }
func (s *server) Commands() (test, activate []string)  { return nil, nil }
func (s *server) Activate(context.Context) (err error) { s.reloads++; return s.reload() }

func dns(name string) edge.Identifier { return edge.Identifier{Type: edge.DNS, Value: name} }

// bench is an Authenticator that writes each answer to a file of its own.
func bench(t *testing.T, s *server) (a *Authenticator, dir string) {
	t.Helper()
	dir = t.TempDir()
	plan := func(_ context.Context, batch []edge.Answer, o Options) (*installers.Plan, error) {
		p := new(installers.Plan)
		for _, answer := range batch {
			if err := Check("toy", answer, o); err != nil {
				return nil, err
			}
			p.Changes = append(p.Changes, installers.Change{Path: filepath.Join(dir, answer.Token), Op: installers.Create, New: []byte(answer.KeyAuth), Mode: 0o644})
		}
		return p, nil
	}
	return New(s, plan, Options{Runner: &installers.Runner{Work: filepath.Join(dir, "work")}}), dir
}

func answers(token string) []edge.Answer {
	return []edge.Answer{{Identifier: dns("a.test"), Type: edge.HTTP01, Token: token, KeyAuth: token + ".x"}}
}

// there are the answers that lie in the folder.
func there(t *testing.T, dir string) []string {
	t.Helper()
	entries, err := os.ReadDir(dir)
	if err != nil {
		t.Fatal(err)
	}
	var out []string
	for _, e := range entries {
		if e.Name() != "work" {
			out = append(out, e.Name())
		}
	}
	return out
}

func TestPresentAndCleanup(t *testing.T) {
	s := &server{reload: func() error { return nil }}
	a, dir := bench(t, s)
	if err := a.Present(t.Context(), answers("one")); err != nil || !slices.Equal(there(t, dir), []string{"one"}) {
		t.Fatalf("%v, %q", err, there(t, dir))
	}
	// That order goes on: its answers are not for another one to take away.
	err := a.Present(t.Context(), answers("two"))
	if err == nil || !strings.Contains(err.Error(), "toy: the answers of another order are still there") || !slices.Equal(there(t, dir), []string{"one"}) {
		t.Errorf("%v, %q", err, there(t, dir))
	}
	for range 2 {
		if err := a.Cleanup(t.Context(), nil); err != nil || len(there(t, dir)) != 0 || s.reloads != 2 {
			t.Errorf("%v, %q, %d reloads", err, there(t, dir), s.reloads)
		}
	}
	bad := answers("../x")
	if err := a.Present(t.Context(), bad); err == nil || s.reloads != 2 {
		t.Errorf("%v, %d reloads", err, s.reloads)
	}
}

// The reload of a Cleanup fails once. The files are back, and later orders are not
// concerned.
func TestPresentAfterCleanupFailed(t *testing.T) {
	flaked := errors.New("it flaked")
	s := new(server)
	s.reload = func() error {
		if s.reloads == 2 {
			return flaked
		}
		return nil
	}
	a, dir := bench(t, s)
	if err := a.Present(t.Context(), answers("one")); err != nil {
		t.Fatal(err)
	}
	if err := a.Cleanup(t.Context(), nil); !errors.Is(err, flaked) || len(there(t, dir)) != 0 {
		t.Fatalf("%v, %q", err, there(t, dir))
	}
	if err := a.Present(t.Context(), answers("two")); err != nil || !slices.Equal(there(t, dir), []string{"two"}) {
		t.Fatalf("%v, %q", err, there(t, dir))
	}
	if err := a.Cleanup(t.Context(), nil); err != nil || len(there(t, dir)) != 0 {
		t.Errorf("%v, %q", err, there(t, dir))
	}
}

// What cannot be put back stays an error, until it can.
func TestPresentWhileFilesCannotBePutBack(t *testing.T) {
	s := &server{reload: func() error { return nil }}
	a, dir := bench(t, s)
	if err := a.Present(t.Context(), answers("one")); err != nil {
		t.Fatal(err)
	}
	checkpoint := filepath.Join(dir, "work", "temp_checkpoint")
	if err := os.Chmod(checkpoint, 0o777); err != nil { // not to be trusted
		t.Fatal(err)
	}
	if err := a.Cleanup(t.Context(), nil); err == nil {
		t.Fatal("it was cleaned up")
	}
	err := a.Present(t.Context(), answers("two"))
	if err == nil || !strings.Contains(err.Error(), "still there: ") || !strings.Contains(err.Error(), "chmod go-w") || !slices.Equal(there(t, dir), []string{"one"}) {
		t.Errorf("%v, %q", err, there(t, dir))
	}
	if err := os.Chmod(checkpoint, 0o755); err != nil {
		t.Fatal(err)
	}
	if err := a.Present(t.Context(), answers("two")); err != nil || !slices.Equal(there(t, dir), []string{"two"}) {
		t.Errorf("%v, %q", err, there(t, dir))
	}
}

func TestTypes(t *testing.T) {
	for allowed, want := range map[bool][]edge.ChallengeType{false: {edge.HTTP01}, true: {edge.HTTP01, edge.TLSSNI01}} {
		if got := New(new(server), nil, Options{TLSSNI: allowed}).Types(); !slices.Equal(got, want) {
			t.Errorf("TLS-SNI-01 %v: %q", allowed, got)
		}
	}
}

func TestCheck(t *testing.T) {
	good := edge.Answer{Identifier: dns("a-1.b.test"), Type: edge.HTTP01, Token: "aZ0-_", KeyAuth: "aZ0-_.x"}
	but := func(change func(*edge.Answer)) edge.Answer {
		out := good
		change(&out)
		return out
	}
	for _, c := range []struct {
		name   string
		answer edge.Answer
		sni    bool
		want   string // in the error; empty: none
	}{
		{"good", good, false, ""},
		{"TLS-SNI-01", but(func(a *edge.Answer) { a.Type = edge.TLSSNI01 }), true, ""},
		{"TLS-SNI-01 that is not allowed", but(func(a *edge.Answer) { a.Type = edge.TLSSNI01 }), false, "toy cannot answer tls-sni-01 for a-1.b.test"},
		{"DNS-01", but(func(a *edge.Answer) { a.Type = edge.DNS01 }), true, "cannot answer dns-01"},
		{"a wildcard", but(func(a *edge.Answer) { a.Identifier = dns("*.b.test") }), false, "single names only"},
		{"an address", but(func(a *edge.Answer) { a.Identifier = edge.Identifier{Type: edge.IP, Value: "192.0.2.1"} }), false, "single names only"},
		{"no name", but(func(a *edge.Answer) { a.Identifier = dns("") }), false, `"" is not a name`},
		{"a name with a directive", but(func(a *edge.Answer) { a.Identifier = dns("a.test;\nroot /") }), false, "is not a name that toy can be asked for"},
		{"a name with a variable", but(func(a *edge.Answer) { a.Identifier = dns("$host") }), false, "is not a name"},
		{"no token", but(func(a *edge.Answer) { a.Token = "" }), false, "the CA's token for a-1.b.test"},
		{"a token that leads out", but(func(a *edge.Answer) { a.Token = "../x" }), false, "the CA's token"},
		{"the longest token", but(func(a *edge.Answer) { a.Token = strings.Repeat("x", maxToken) }), false, ""},
		{"a long token", but(func(a *edge.Answer) { a.Token = strings.Repeat("x", maxToken+1) }), false, "the CA's token"},
		{"a key authorization that ends a string", but(func(a *edge.Answer) { a.KeyAuth = `x";` }), false, "the key authorization"},
		{"a long key authorization", but(func(a *edge.Answer) { a.KeyAuth = strings.Repeat("x", 1025) }), false, "the key authorization"},
		{"no key authorization", but(func(a *edge.Answer) { a.KeyAuth = "" }), false, "the key authorization"},
	} {
		err := Check("toy", c.answer, Options{TLSSNI: c.sni})
		if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
		}
	}
}
