package admin

import (
	"context"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"edge"
)

// What a caller sends is taken as it is documented, or not at all.
func TestBodies(t *testing.T) {
	f := &fake{}
	c := NewClient(start(t, Options{Backend: f}))
	defer c.Close()
	const good = `{"type": "http-01", "identifier": "a.test", "token": "t", "key_authorization": "t.x"}`
	for _, b := range []struct {
		name, body string
		want       int
	}{
		{"good", good, http.StatusNoContent},
		{"empty", "", http.StatusBadRequest},
		{"not JSON", "type=http-01", http.StatusBadRequest},
		{"cut", good[:len(good)-1], http.StatusBadRequest},
		{"a list", "[" + good + "]", http.StatusBadRequest},
		{"null", "null", http.StatusBadRequest},
		{"unknown field", `{"extra": 1, ` + good[1:], http.StatusBadRequest},
		{"wrong type", `{"type": 1}`, http.StatusBadRequest},
		{"something behind", good + good, http.StatusBadRequest},
		{"oversized", `{"token": "` + strings.Repeat("x", maxBody) + `"}`, http.StatusBadRequest},
		{"oversized by blanks", good + strings.Repeat(" ", maxBody), http.StatusBadRequest},
	} {
		f.answers = nil
		req, err := http.NewRequest(http.MethodPut, "http://edge/v1/challenges", strings.NewReader(b.body))
		if err != nil {
			t.Fatal(err)
		}
		res, err := c.http.Do(req)
		if err != nil {
			t.Errorf("%s: %v", b.name, err)
			continue
		}
		answer, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if res.StatusCode != b.want {
			t.Errorf("%s: %d %s, want %d", b.name, res.StatusCode, answer, b.want)
		}
		if taken := len(f.answers) > 0; taken != (b.want == http.StatusNoContent) {
			t.Errorf("%s: taken: %v", b.name, taken)
		}
	}
}

// flood fills the socket with callers that ask and never read.
func flood(t *testing.T, path string, ask string) {
	t.Helper()
	for range maxConns + 8 {
		c, err := net.Dial("unix", path)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { c.Close() })
		if _, err := io.WriteString(c, ask); err != nil {
			t.Fatal(err)
		}
	}
}

// Callers that do not read their answers do not keep others out for ever.
func TestFlood(t *testing.T) {
	// More than a socket buffers, so that an answer that nobody reads does not end.
	b := &large{status: Status{Version: strings.Repeat("x", 1<<20)}}
	s, err := Listen(Options{Path: filepath.Join(t.TempDir(), "admin.sock"), Backend: b})
	if err != nil {
		t.Fatal(err)
	}
	s.writeTimeout = 50 * time.Millisecond
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- s.Serve(ctx) }()
	t.Cleanup(func() { cancel(); <-done })
	flood(t, s.o.Path, "GET /v1/status HTTP/1.1\r\nHost: edge\r\n\r\n")
	c := NewClient(s.o.Path)
	defer c.Close()
	asked, giveUp := context.WithTimeout(context.Background(), 30*time.Second)
	defer giveUp()
	if err := c.Reload(asked); err != nil {
		t.Errorf("behind %d callers that do not read: %v", maxConns+8, err)
	}
}

type large struct {
	fake
	status Status
}

func (l *large) Status() Status { return l.status }

// docs/admin.md names every call, and none that is not there.
func TestDocsCalls(t *testing.T) {
	code, err := os.ReadFile("server.go")
	if err != nil {
		t.Fatal(err)
	}
	page, err := os.ReadFile("../../docs/admin.md")
	if err != nil {
		t.Fatal(err)
	}
	calls := map[string]bool{}
	for _, m := range regexp.MustCompile(`HandleFunc\("([A-Z]+ /[^"]+)"`).FindAllSubmatch(code, -1) {
		calls[string(m[1])] = true
		if !strings.Contains(string(page), "| `"+string(m[1])+"` |") {
			t.Errorf("docs/admin.md lacks %s", m[1])
		}
	}
	if len(calls) < 5 {
		t.Errorf("found %d calls only", len(calls))
	}
	for _, m := range regexp.MustCompile("(?m)^\\| `([A-Z]+ /[^`]+)` \\|").FindAllSubmatch(page, -1) {
		if !calls[string(m[1])] {
			t.Errorf("docs/admin.md has %s, which is no call", m[1])
		}
	}
}

// Whatever is sent as a challenge, it is refused or becomes an answer for a valid identifier.
func FuzzChallenge(f *testing.F) {
	f.Add([]byte(`{"type": "http-01", "identifier": "a.test", "token": "t", "key_authorization": "t.x"}`))
	f.Add([]byte(`{"identifier": "../x"}`))
	f.Add([]byte("{}{}"))
	f.Fuzz(func(t *testing.T, body []byte) {
		var got []edge.Answer
		h := (&Server{}).challenge(func(a edge.Answer) error { got = append(got, a); return nil })
		w := httptest.NewRecorder()
		h(w, httptest.NewRequest(http.MethodPut, "/v1/challenges", strings.NewReader(string(body))))
		if taken := w.Code == http.StatusNoContent; taken != (len(got) == 1) || !taken && w.Code != http.StatusBadRequest {
			t.Fatalf("%d with %d answers", w.Code, len(got))
		}
		for _, a := range got {
			if again, err := edge.ParseIdentifier(a.Identifier.Value); err != nil || again != a.Identifier {
				t.Errorf("identifier %+v is taken, and is none: %v", a.Identifier, err)
			}
		}
	})
}
