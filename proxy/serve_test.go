package proxy

import (
	"fmt"
	"io"
	"net/http"
	"strings"
	"testing"
)

func TestProxiesOneRequest(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		b, _ := io.ReadAll(r.Body)
		fmt.Fprintf(w, "%s %s %s %s", r.Method, r.URL, r.Host, b)
	}))
	for _, tc := range []struct {
		url string
		h2  bool
	}{{"http://example.org/a?b=c", false}, {"https://example.org/a?b=c", false}, {"https://example.org/a?b=c", true}} {
		res, err := r.client(tc.h2).Post(tc.url, "text/plain", strings.NewReader("hello"))
		if err != nil {
			t.Fatal(err)
		}
		b, _ := io.ReadAll(res.Body)
		res.Body.Close()
		if got, want := string(b), "POST /a?b=c example.org hello"; res.StatusCode != 200 || got != want {
			t.Errorf("%s %v: %d %q, want %q", tc.url, tc.h2, res.StatusCode, got, want)
		}
		if (res.ProtoMajor == 2) != tc.h2 {
			t.Errorf("%s: spoke %s", tc.url, res.Proto)
		}
	}
	ev := r.events.last(t, 3)
	if ev.Status != 200 || ev.BytesIn != 5 || ev.Proto != "HTTP/2.0" || ev.SNI != "example.org" || ev.Upstream == "" {
		t.Errorf("event %+v", ev)
	}
}
