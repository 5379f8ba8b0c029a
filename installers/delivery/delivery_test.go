package delivery

import (
	"bufio"
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/hex"
	"encoding/json"
	"encoding/pem"
	"errors"
	"fmt"
	"net"
	"os"
	"strings"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/internal/edgetest"
)

func chain(t *testing.T, names ...string) edge.Bundle {
	t.Helper()
	return edgetest.NewChain(t, time.Now().Add(time.Hour), names...)
}

// What is not fit for delivery is refused before anything is touched.
func TestMaterial(t *testing.T) {
	now := time.Now()
	good, other := chain(t, "a.test", "*.b.test", "192.0.2.7"), chain(t, "a.test")
	if m, err := NewMaterial("a", good, []string{"A.test", "*.b.test", "x.b.test", "192.0.2.7"}, now); err != nil || len(m.Certs) != 2 || string(m.FullChainPEM) != string(good.Chain) || string(m.KeyPEM) != string(good.Key) {
		t.Fatalf("%v", err)
	}
	leafOf := func(b edge.Bundle) []byte {
		block, _ := pem.Decode(b.Chain)
		return pem.EncodeToMemory(block)
	}
	rest := func(b edge.Bundle) []byte {
		_, rest := pem.Decode(b.Chain)
		return rest
	}
	for name, c := range map[string]struct {
		b     edge.Bundle
		hosts []string
		at    time.Time
		want  string
	}{
		"other key":   {edge.Bundle{Chain: good.Chain, Key: other.Key}, nil, now, "does not belong to it"},
		"other chain": {edge.Bundle{Chain: append(leafOf(good), rest(other)...), Key: good.Key}, nil, now, "not issued by the one after it"},
		"other host":  {good, []string{"a.test", "c.test"}, now, "not for c.test but for a.test, *.b.test, 192.0.2.7"},
		"wildcard":    {good, []string{"*.a.test"}, now, "not for *.a.test"},
		"over":        {good, nil, now.Add(2 * time.Hour), "which is not now"},
		"not yet":     {good, nil, now.Add(-2 * time.Hour), "which is not now"},
		"nothing":     {edge.Bundle{}, nil, now, "no certificate"},
		"no key":      {edge.Bundle{Chain: good.Chain}, nil, now, "no private key"},
		"key twice":   {edge.Bundle{Chain: append(leafOf(good), good.Key...), Key: good.Key}, nil, now, "a block \"PRIVATE KEY\""},
		"bad key":     {edge.Bundle{Chain: good.Chain, Key: []byte("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n")}, nil, now, "private key: "},
		"odd key":     {edge.Bundle{Chain: good.Chain, Key: good.Chain}, nil, now, "block \"CERTIFICATE\""},
		"garbage":     {edge.Bundle{Chain: []byte("-----BEGIN CERTIFICATE-----\nAAAA\n-----END CERTIFICATE-----\n"), Key: good.Key}, nil, now, "certificate 1 of the chain"},
		"huge":        {edge.Bundle{Chain: make([]byte, maxBundle+1)}, nil, now, "at most"},
		"long":        {edge.Bundle{Chain: []byte(strings.Repeat(string(leafOf(good)), maxCerts+1)), Key: good.Key}, nil, now, "more than 16 certificates"},
	} {
		if _, err := NewMaterial("a", c.b, c.hosts, c.at); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", name, err, c.want)
		}
	}
	// Programs are told what was wanted, whatever else the leaf has.
	odd := chain(t, "a.test", "-rf", "b c", "$(id)", "x\ny", "under_score.test", "192.0.2.7")
	for want, hosts := range map[string][]string{"[a.test under_score.test 192.0.2.7]": nil, "[a.test]": {"a.test"}} {
		if m, err := NewMaterial("a", odd, hosts, now); err != nil || fmt.Sprint(m.Hosts) != want {
			t.Errorf("%q, want %s (%v)", m.Hosts, want, err)
		}
	}
	// What is between blocks does not get through.
	dirty := edge.Bundle{Chain: append([]byte("ssl_engine evil;\n"), good.Chain...), Key: append([]byte("junk\n"), good.Key...)}
	if m, err := NewMaterial("a", dirty, nil, now); err != nil || strings.Contains(string(m.FullChainPEM)+string(m.KeyPEM), "evil") || strings.Contains(string(m.KeyPEM), "junk") {
		t.Errorf("%v", err)
	}
}

// talk is a server that says a protocol's lines up to its handshake: "<" lines are
// expected, all others are sent.
func talk(t *testing.T, b edge.Bundle, script ...string) (addr string) {
	t.Helper()
	pair, err := tls.X509KeyPair(b.Chain, b.Key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { l.Close() })
	serve := func(c net.Conn) {
		defer c.Close()
		in := bufio.NewReader(c)
		for _, s := range script {
			want, expected := strings.CutPrefix(s, "<")
			if !expected {
				_, _ = c.Write([]byte(s + "\r\n"))
				continue
			}
			if got, err := in.ReadString('\n'); err != nil || got != want+"\r\n" {
				return
			}
		}
		_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
	}
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go serve(c)
		}
	}()
	return l.Addr().String()
}

// One handshake is made for each name, in the protocol that was named, until all show
// the leaf.
func TestAwait(t *testing.T) {
	b := chain(t, "mail.test", "*.mail.test", "127.0.0.1")
	m, err := NewMaterial("mail", b, nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	other, err := NewMaterial("mail", chain(t, "mail.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	for proto, script := range map[string][]string{
		"":     nil,
		"smtp": {"220 ESMTP", "<EHLO localhost", "250 STARTTLS", "<STARTTLS", "220 go"},
	} {
		at := Asked([]installers.Endpoint{{Addr: talk(t, b, script...), StartTLS: proto}}, m)
		if len(at) != 3 || at[0].Name != "mail.test" || at[1].Name != "edge-probe.mail.test" || at[2].Name != "" {
			t.Errorf("%v", at)
		}
		if err := await(t.Context(), at, m.Certs[0], 5*time.Second); err != nil {
			t.Errorf("%s: %v", proto, err)
		}
		want := "after 1ms, mail.test at " + at[0].Addr
		if proto != "" {
			want += "/" + proto
		}
		if err := await(t.Context(), at, other.Certs[0], time.Millisecond); err == nil || !strings.HasPrefix(err.Error(), want+" shows another certificate") {
			t.Errorf("%s: %v", proto, err)
		}
	}
	// Who does not answer is asked once, whatever names there are.
	asked := 0
	look(t.Context(), Asked([]installers.Endpoint{{Addr: "127.0.0.1:1"}, {Addr: "127.0.0.1:1", StartTLS: "imap"}}, m), m.Certs[0], func(installers.Endpoint, *x509.Certificate, error) { asked++ })
	if asked != 2 {
		t.Errorf("asked %d times", asked)
	}
	asked = 0
	refuses := talk(t, b, "no TLS at all", "<x")
	look(t.Context(), Asked([]installers.Endpoint{{Addr: refuses}}, m), m.Certs[0], func(installers.Endpoint, *x509.Certificate, error) { asked++ })
	if asked != 3 {
		t.Errorf("a server that refuses names was asked for %d", asked)
	}
	ctx, cancel := context.WithCancelCause(t.Context())
	cancel(errors.New("enough"))
	if err := await(ctx, []installers.Endpoint{{Addr: "127.0.0.1:1"}}, m.Certs[0], time.Hour); err == nil || !strings.Contains(err.Error(), "enough") {
		t.Errorf("%v", err)
	}
}

// A record that is not ours to read is an error that names it, and stays as it is.
func TestRecords(t *testing.T) {
	e := &Engine{Dir: t.TempDir(), Now: time.Now}
	it := Item{Name: "*.a.test/x", Target: nowhere{}}
	m, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	path := e.recordPath(&it)
	if strings.ContainsAny(strings.TrimPrefix(path, e.Dir+"/"), "*/") {
		t.Errorf("%s", path)
	}
	for name, text := range map[string]string{"garbage": "{", "huge": strings.Repeat(" ", maxRecord+1)} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		for _, res := range []Result{e.Look(t.Context(), it, m), e.Apply(t.Context(), it, m)} {
			if res.State != Failed || !strings.Contains(res.Error, path) || !strings.Contains(res.Error, "remove it") {
				t.Errorf("%s: %+v", name, res)
			}
		}
	}
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	if err := os.Symlink("/etc/passwd", path); err != nil {
		t.Fatal(err)
	}
	if res := e.Look(t.Context(), it, m); res.State != Failed {
		t.Errorf("a link is followed: %+v", res)
	}
	if res := (&Engine{Dir: t.TempDir(), Now: time.Now}).Look(t.Context(), it, nil); res.State != Waiting || !res.OK() {
		t.Errorf("without a certificate: %+v", res)
	}
}

// nowhere is a target that takes everything and has no place.
type nowhere struct{}

func (nowhere) Kind() string     { return "nowhere" }
func (nowhere) Where() string    { return "/x y" }
func (nowhere) Settings() string { return "" }

func (nowhere) Look(context.Context, *Material, json.RawMessage) ([]string, error) { return nil, nil }
func (nowhere) Plan(context.Context, *Material) []string                           { return nil }
func (nowhere) Put(context.Context, *Material, json.RawMessage) (Change, error)    { return Change{}, nil }

// stuck is a target that takes a certificate and cannot give it back.
type stuck struct{ nowhere }

func (stuck) Put(context.Context, *Material, json.RawMessage) (Change, error) {
	return Change{Undo: func(context.Context) error { return errors.New("stuck") }}, nil
}

// What could not be undone is put right by the next run, also where the certificate is
// the old one again by then.
func TestInterrupted(t *testing.T) {
	e := &Engine{Dir: t.TempDir(), Now: time.Now, Run: func(_ context.Context, argv []string) (string, error) {
		if argv[0] == "bad" {
			return "", errors.New("bad")
		}
		return "", nil
	}}
	material := func() *Material {
		m, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	it, old := Item{Name: "a", Target: stuck{}, Reload: []string{"good"}}, material()
	if res := e.Apply(t.Context(), it, old); res.State != Unverified {
		t.Fatalf("%+v", res)
	}
	it.Reload = []string{"bad"}
	if res := e.Apply(t.Context(), it, material()); res.State != Failed || !strings.Contains(res.Error, "could not be undone: stuck") {
		t.Fatalf("%+v", res)
	}
	if res := e.Look(t.Context(), it, old); res.State != Failed || res.Reasons[0] != "a delivery was interrupted" {
		t.Errorf("%+v", res)
	}
	it.Reload = []string{"good"}
	if res := e.Apply(t.Context(), it, old); res.State != Unverified || !res.Changed {
		t.Errorf("%+v", res)
	}
	if res := e.Check(t.Context(), it, old); res.State != Unverified || len(res.Reasons) > 0 {
		t.Errorf("%+v", res)
	}
	if res := e.Known(it); res.State != Unverified || res.SHA256 == "" {
		t.Errorf("%+v", res)
	}
}

// watchful is a target that looks at the record while it puts.
type watchful struct {
	nowhere
	seen *string
	path *string
}

func (w watchful) Put(context.Context, *Material, json.RawMessage) (Change, error) {
	b, err := os.ReadFile(*w.path)
	*w.seen = string(b)
	return Change{}, err
}

// Before anything is changed, the record says so: a process that dies then leaves word.
func TestBegunIsRecorded(t *testing.T) {
	e := &Engine{Dir: t.TempDir(), Now: time.Now}
	m, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	var seen, path string
	it := Item{Name: "a", Target: watchful{seen: &seen, path: &path}}
	path = e.recordPath(&it)
	if res := e.Apply(t.Context(), it, m); res.State != Unverified {
		t.Fatalf("%+v", res)
	}
	if !strings.Contains(seen, `"begun": "`+hex.EncodeToString(m.Leaf[:])) {
		t.Errorf("while it was put: %s", seen)
	}
	if after, err := os.ReadFile(path); err != nil || strings.Contains(string(after), "begun") {
		t.Errorf("afterwards: %s %v", after, err)
	}
}

// refusing is a target that counts what is put, and refuses it.
type refusing struct {
	nowhere
	puts *int
	err  *error
}

func (r refusing) Put(context.Context, *Material, json.RawMessage) (Change, error) {
	*r.puts++
	return Change{}, *r.err
}

// What failed is left alone for a while by runs that come by themselves, unless there is
// another certificate; a person's run tries it at once.
func TestBackOff(t *testing.T) {
	now, puts, err := time.Now(), 0, errors.New("no room")
	e := &Engine{Dir: t.TempDir(), Now: func() time.Time { return now }, BackOff: true}
	it := Item{Name: "a", Target: refusing{puts: &puts, err: &err}}
	material := func() *Material {
		m, err := NewMaterial("a", chain(t, "a.test"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		return m
	}
	m := material()
	for n, wait := range []time.Duration{time.Minute, 2 * time.Minute, 4 * time.Minute} {
		if res := e.Apply(t.Context(), it, m); res.State != Failed || !res.Next.Equal(now.Add(wait)) || puts != n+1 {
			t.Fatalf("failure %d: %+v after %d tries", n+1, res, puts)
		}
		now = now.Add(wait - time.Second)
		if res := e.Apply(t.Context(), it, m); res.State != Failed || res.Error != "no room" || res.Failures != n+1 || puts != n+1 {
			t.Fatalf("before its time: %+v after %d tries", res, puts)
		}
		now = now.Add(time.Second)
	}
	e.BackOff = false
	e.Apply(t.Context(), it, m)
	e.BackOff = true
	m = material()
	e.Apply(t.Context(), it, m)
	if puts != 5 {
		t.Errorf("%d tries, want one by a person and one for a new certificate", puts-3)
	}
	err, now = nil, now.Add(6*time.Hour)
	if res := e.Apply(t.Context(), it, m); !res.OK() || !res.Next.IsZero() {
		t.Errorf("%+v", res)
	}
}
