package accesslog

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/netip"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"
	"unicode/utf8"

	"go.uber.org/goleak"

	"edge"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

func event() *edge.RequestEvent {
	return &edge.RequestEvent{
		Start: time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC), Duration: 1500 * time.Millisecond, Site: "example.org", RequestID: "r1",
		Remote: netip.MustParseAddrPort("10.0.0.1:1234"), Client: netip.MustParseAddr("192.0.2.1"), Method: "GET", Scheme: "https",
		Host: "example.org", Path: "/a", Query: "b=c&access_token=hunter2", Proto: "HTTP/2.0", UserAgent: `x "y" \z`, Referer: "https://r.test/?code=hunter2",
		Status: 200, BytesIn: 1, BytesOut: 2, TLSVersion: 0x0304, TLSCipher: 0x1301, SNI: "example.org", ALPN: "h2",
		Decision: "proxy", Upstream: "127.0.0.1:1", UpstreamStatus: 200, Attempts: 1, Err: errors.New("cut\nshort"),
	}
}

func TestJSON(t *testing.T) {
	b := appendJSON(nil, event())
	var got map[string]any
	if err := json.Unmarshal(b, &got); err != nil {
		t.Fatalf("%v: %s", err, b)
	}
	for k, want := range map[string]any{
		"time": "2026-01-02T03:04:05.000Z", "client_ip": "192.0.2.1", "remote_ip": "10.0.0.1", "query": "b=c&access_token=***", "status": 200.0,
		"duration": 1.5, "tls_version": "TLS 1.3", "upstream": "127.0.0.1:1", "user_agent": `x "y" \z`, "error": "cut\nshort", "referer": "https://r.test/?code=***",
	} {
		if got[k] != want {
			t.Errorf("%s: got %v, want %v", k, got[k], want)
		}
	}
	if bytes.Count(b, []byte("\n")) != 1 {
		t.Errorf("not one line: %q", b)
	}
}

func TestCombined(t *testing.T) {
	got := string(appendCombined(nil, event()))
	want := `192.0.2.1 - - [02/Jan/2026:03:04:05 +0000] "GET /a?b=c&access_token=*** HTTP/2.0" 200 2 "https://r.test/?code=***" "x \"y\" \\z"` + "\n"
	if got != want {
		t.Errorf("got  %swant %s", got, want)
	}
}

func TestSecretsInQueries(t *testing.T) {
	for q, want := range map[string]string{
		"a=b": "a=b", "TOKEN=x&a=b": "TOKEN=***&a=b", "api_key=x": "api_key=***", "X-Amz-Signature=x": "X-Amz-Signature=***",
		"t%6fken=x": "t%6fken=***", "a=%20": "a=%20", "pwd=x&otp=1": "pwd=***&otp=***", "a=b;token=x;c=d": "a=b;token=***;c=d", "": "", "&&": "&&", "password=a=b": "password=***", "token": "token",
	} {
		if got := hideSecrets(q); got != want {
			t.Errorf("%s: got %s, want %s", q, got, want)
		}
	}
}

func TestSecretsInReferers(t *testing.T) {
	for r, want := range map[string]string{
		"": "", "https://a.test/b": "https://a.test/b", "https://u:pw@a.test/b?token=x": "https://***@a.test/b?token=***",
		"https://a.test/#access_token=x": "https://a.test/", "https://u@a.test": "https://***@a.test",
	} {
		if got := hideReferer(r); got != want {
			t.Errorf("%s: got %s, want %s", r, got, want)
		}
	}
}

// No line is lost while reloads exchange the file.
func TestExchangeLosesNothing(t *testing.T) {
	dir := t.TempDir()
	l := &Log{}
	use := func(i int) {
		n, err := l.Prepare(Options{Path: filepath.Join(dir, []string{"a", "b"}[i%2]), Format: "json"})
		if err != nil {
			t.Fatal(err)
		}
		n.Commit()
	}
	use(0)
	var wg sync.WaitGroup
	const each = 1000
	for range 4 {
		wg.Go(func() {
			for range each {
				l.Request(event())
			}
		})
	}
	for i := range 100 {
		use(i + 1)
	}
	wg.Wait()
	l.Close()
	total := 0
	for _, name := range []string{"a", "b"} {
		b, err := os.ReadFile(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		total += bytes.Count(b, []byte("\n"))
	}
	if total != 4*each {
		t.Errorf("%d lines, want %d", total, 4*each)
	}
}

// Lines survive rotation and the end; nothing is lost, whoever writes.
func TestRotationLosesNothing(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "access.log")
	l := &Log{}
	l.Request(event()) // no file yet
	n, err := l.Prepare(Options{Path: path, Format: "json"})
	if err != nil {
		t.Fatal(err)
	}
	n.Commit()
	var wg sync.WaitGroup
	const each = 500
	for range 4 {
		wg.Go(func() {
			for range each {
				l.Request(event())
			}
		})
	}
	if err := os.Rename(path, path+".1"); err != nil {
		t.Fatal(err)
	}
	if err := l.Reopen(); err != nil {
		t.Fatal(err)
	}
	wg.Wait()
	l.Request(event())
	same, err := l.Prepare(Options{Path: path, Format: "json"})
	if err != nil || same.f != same.old {
		t.Fatalf("the same file was opened twice: %v", err)
	}
	same.Commit()
	l.Close()
	total := 0
	for _, p := range []string{path, path + ".1"} {
		b, err := os.ReadFile(p)
		if err != nil {
			t.Fatal(err)
		}
		for _, line := range bytes.Split(bytes.TrimSpace(b), []byte("\n")) {
			if len(line) == 0 {
				continue
			}
			if !json.Valid(line) {
				t.Fatalf("broken line %q", line)
			}
			total++
		}
	}
	if total != 4*each+1 {
		t.Errorf("%d lines, want %d", total, 4*each+1)
	}
	if _, err := l.Prepare(Options{Path: filepath.Join(dir, "nosuch", "x"), Format: "json"}); err == nil || !strings.Contains(err.Error(), "writable") {
		t.Errorf("got %v", err)
	}
}

func TestLogger(t *testing.T) {
	var b bytes.Buffer
	log, level, err := NewLogger(&b, "json", "info")
	if err != nil {
		t.Fatal(err)
	}
	log.Debug("unseen")
	if err := SetLevel(level, "debug"); err != nil {
		t.Fatal(err)
	}
	log.Debug("seen", "token", "hunter2", slog.Group("g", "api_token", "hunter2"))
	if got := b.String(); strings.Contains(got, "unseen") || !strings.Contains(got, "seen") || strings.Contains(got, "hunter2") {
		t.Error(got)
	}
	for _, c := range [][2]string{{"xml", "info"}, {"json", "loud"}, {"json", "INFO"}} {
		if _, _, err := NewLogger(&b, c[0], c[1]); err == nil {
			t.Errorf("%v: no error", c)
		}
	}
}

// Whatever a client sends, a line stays one line of valid JSON, or of four quoted parts.
func FuzzLines(f *testing.F) {
	f.Add("/a\r\nb", "x\"", "\x1b[31m\xff\u2028", "a=b")
	f.Fuzz(func(t *testing.T, path, agent, host, query string) {
		e := event()
		e.Path, e.UserAgent, e.Host, e.Query = path, agent, host, query
		j := appendJSON(nil, e)
		if !json.Valid(j) || !utf8.Valid(j) || bytes.IndexByte(j, '\n') != len(j)-1 {
			t.Errorf("%q", j)
		}
		c := appendCombined(nil, e)
		quotes := 0
		for i := range c {
			if c[i] < ' ' && i != len(c)-1 || c[i] == 0x7f {
				t.Errorf("control character in %q", c)
			}
			if c[i] == '"' {
				back := 0
				for k := i - 1; k >= 0 && c[k] == '\\'; k-- {
					back++
				}
				if back%2 == 0 {
					quotes++
				}
			}
		}
		if quotes != 6 || bytes.IndexByte(c, '\n') != len(c)-1 {
			t.Errorf("%q", c)
		}
	})
}

func BenchmarkJSON(b *testing.B) {
	e := event()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		buf = appendJSON(buf[:0], e)
	}
}

// A name that a stranger chose can neither end the line nor begin another word.
func TestCommonAndUser(t *testing.T) {
	e := &edge.RequestEvent{Start: time.Unix(0, 0).UTC(), Method: "GET", Path: "/a", Proto: "HTTP/2.0", Status: 200, BytesOut: 5, User: "ann x\" [\n"}
	if got, want := string(appendCommon(nil, e)), `- - ann_x\"_[\x0a [01/Jan/1970:00:00:00 +0000] "GET /a HTTP/2.0" 200 5`+"\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	e = &edge.RequestEvent{Route: "api", Limited: "rate", User: "ann", Encoding: "br", TraceID: "4bf9", Pool: "p", Upstream: "a:1", QueueTime: time.Second}
	var got map[string]any
	if err := json.Unmarshal(appendJSON(nil, e), &got); err != nil {
		t.Fatal(err)
	}
	for name, want := range map[string]any{"route": "api", "limited": "rate", "user": "ann", "encoding": "br", "trace_id": "4bf9", "pool": "p", "queue_duration": 1.0} {
		if got[name] != want {
			t.Errorf("%s: %v", name, got[name])
		}
	}
}

func TestTemplate(t *testing.T) {
	o := Options{Path: "x", Format: `template {client_ip} {method} "{path} {user_agent}" {status} {duration} {user}`}
	if err := o.Check(); err != nil {
		t.Fatal(err)
	}
	e := &edge.RequestEvent{Client: netip.MustParseAddr("192.0.2.1"), Method: "GET", Path: "/a b\"\n", UserAgent: "x y", Status: 200, Duration: time.Second}
	if got, want := string(o.formatter()(nil, e)), `192.0.2.1 GET "/a b\"\x0a x y" 200 1.000000 -`+"\n"; got != want {
		t.Errorf("got  %q\nwant %q", got, want)
	}
	e.Method = "GE T" // outside of quotes a space would begin another word
	if got := string(o.formatter()(nil, e)); !strings.HasPrefix(got, "192.0.2.1 GE_T ") {
		t.Errorf("%q", got)
	}
	for _, bad := range []Options{{Path: "x", Format: "template {nothing}"}, {Path: "x", Format: "template {time"}, {Path: "x", Format: "xml"}, {Path: "x", Format: "json", Hidden: []string{"status"}}} {
		if bad.Check() == nil {
			t.Errorf("%+v was accepted", bad)
		}
	}
}

func TestWhatIsLogged(t *testing.T) {
	o := Options{Status: [][2]int{{400, 499}, {503, 503}}, Sites: []string{"a"}, Slower: time.Second}
	for _, c := range []struct {
		e    edge.RequestEvent
		want bool
	}{
		{edge.RequestEvent{Site: "a", Status: 404, Duration: time.Minute}, true},
		{edge.RequestEvent{Site: "a", Status: 503, Duration: time.Second}, true},
		{edge.RequestEvent{Site: "b", Status: 404, Duration: time.Minute}, false},
		{edge.RequestEvent{Site: "a", Status: 200, Duration: time.Minute}, false},
		{edge.RequestEvent{Site: "a", Status: 404, Duration: time.Millisecond}, false},
	} {
		if got := o.wants(&c.e); got != c.want {
			t.Errorf("%+v: %v", c.e, got)
		}
	}
	o, n := Options{Sample: 0.1}, 0
	for i := range 10000 {
		if o.wants(&edge.RequestEvent{RequestID: fmt.Sprint("prefix-", i), Status: 200}) {
			n++
		}
	}
	if n < 800 || n > 1200 {
		t.Errorf("%d of 10000 with a sample of 0.1", n)
	}
	if !o.wants(&edge.RequestEvent{RequestID: "x", Status: 500}) || !o.wants(&edge.RequestEvent{RequestID: "y", Status: 502}) {
		t.Error("an error was not logged")
	}
}

func TestHidden(t *testing.T) {
	o := Options{Query: []string{"mail"}, Hidden: HiddenFields()[:2]}
	e := &edge.RequestEvent{Query: "a=b&mail=me@x&c=d", Referer: "https://x/?mail=me@x", Client: netip.MustParseAddr("192.0.2.1"), Remote: netip.MustParseAddrPort("192.0.2.1:1")}
	got := string(appendJSON(nil, o.censored(e)))
	if strings.Contains(got, "me@x") || strings.Contains(got, "192.0.2") || !strings.Contains(got, "a=b&mail=***&c=d") || e.Query != "a=b&mail=me@x&c=d" {
		t.Error(got)
	}
	o.Hidden = HiddenFields()
	e = &edge.RequestEvent{UserAgent: "SECRET", Referer: "SECRET", Query: "SECRET", Path: "SECRET", Host: "SECRET", User: "SECRET", Err: errors.New("SECRET"), SNI: "SECRET", TLSVersion: 1}
	if got := string(appendJSON(nil, o.censored(e))); strings.Contains(got, "SECRET") {
		t.Error(got)
	}
}

func TestSlow(t *testing.T) {
	var out strings.Builder
	s := NewSlow(slog.New(slog.NewTextHandler(&out, nil)))
	s.Request(&edge.RequestEvent{TTFB: time.Hour})
	s.Set(time.Second)
	s.Request(&edge.RequestEvent{TTFB: time.Millisecond, Duration: time.Hour}) // a stream, or a client that takes its time
	if out.Len() > 0 {
		t.Error(out.String())
	}
	s.Request(&edge.RequestEvent{Site: "a", TTFB: 2 * time.Second, UpstreamDuration: time.Second, Attempts: 2})
	if got := out.String(); !strings.Contains(got, "slow request") || !strings.Contains(got, "upstream_duration=1") || !strings.Contains(got, "attempts=2") {
		t.Error(got)
	}
}
