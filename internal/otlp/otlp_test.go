package otlp

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"edge"
)

func TestMain(m *testing.M) {
	// net/http waits half a second after it has refused a request, whatever is closed meanwhile.
	goleak.VerifyTestMain(m, goleak.IgnoreAnyFunction("net/http.(*conn).closeWriteAndWait"))
}

// collector is a strict one: it takes nothing that it does not know.
type collector struct {
	*httptest.Server
	mu     sync.Mutex
	spans  []map[string]any
	answer atomic.Int64
	posts  atomic.Int64
}

func newCollector(t *testing.T) *collector {
	c := &collector{}
	c.answer.Store(200)
	c.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		c.posts.Add(1)
		if a := int(c.answer.Load()); a != 200 {
			w.WriteHeader(a)
			return
		}
		if r.Method != "POST" || r.URL.Path != "/v1/traces" || r.Header.Get("Content-Type") != "application/json" || r.Header.Get("X-Key") != "secret" {
			t.Errorf("%s %s %v", r.Method, r.URL, r.Header)
		}
		var d document
		dec := json.NewDecoder(r.Body)
		dec.DisallowUnknownFields()
		if err := dec.Decode(&d); err != nil {
			t.Error(err)
		}
		c.mu.Lock()
		defer c.mu.Unlock()
		for _, s := range d.ResourceSpans[0].ScopeSpans[0].Spans {
			m := map[string]any{"name": s.Name, "trace": s.TraceID, "parent": s.ParentID, "kind": s.Kind, "status": s.Status}
			for _, a := range s.Attributes {
				if a.Value.String != nil {
					m[a.Key] = *a.Value.String
				} else {
					m[a.Key] = *a.Value.Int
				}
			}
			c.spans = append(c.spans, m)
		}
	}))
	t.Cleanup(c.Close)
	return c
}

func event() *edge.RequestEvent {
	return &edge.RequestEvent{Start: time.Unix(1, 5), Duration: time.Second, TraceID: strings.Repeat("ab", 16), SpanID: strings.Repeat("cd", 8), ParentID: strings.Repeat("ef", 8), Sampled: true,
		Method: "GET", Scheme: "https", Host: "a.test", Path: "/x", Query: "token=SECRET", Route: "api", Proto: "HTTP/3.0", Status: 502, Client: netip.MustParseAddr("192.0.2.1"),
		Upstream: "127.0.0.1:1", Err: errors.New("refused \xff")}
}

func TestExport(t *testing.T) {
	c := newCollector(t)
	e := New(Options{URL: c.URL, Headers: map[string]string{"X-Key": "secret"}, Version: "1", Batch: 2, Every: time.Hour})
	for range 3 {
		e.Request(event())
	}
	quiet := event()
	quiet.Sampled = false
	e.Request(quiet)
	e.Close() // sends the third
	if len(c.spans) != 3 || e.Dropped() != 0 || c.posts.Load() != 2 {
		t.Fatalf("%d spans in %d posts, %d dropped", len(c.spans), c.posts.Load(), e.Dropped())
	}
	s := c.spans[0]
	for k, want := range map[string]any{"name": "GET api", "trace": strings.Repeat("ab", 16), "parent": strings.Repeat("ef", 8), "kind": 2, "http.response.status_code": "502", "url.path": "/x",
		"network.protocol.version": "3.0", "client.address": "192.0.2.1", "edge.upstream": "127.0.0.1:1"} {
		if fmt.Sprint(s[k]) != fmt.Sprint(want) {
			t.Errorf("%s: %v, want %v", k, s[k], want)
		}
	}
	if st := s["status"].(*status); st == nil || st.Code != 2 || !strings.HasPrefix(st.Message, "refused") {
		t.Errorf("status %+v", s["status"])
	}
	if strings.Contains(fmt.Sprint(c.spans), "SECRET") {
		t.Error("the query was sent")
	}
}

// A collector that is down, or slow, costs spans and nothing else.
func TestCollectorThatFails(t *testing.T) {
	c := newCollector(t)
	c.answer.Store(503)
	e := New(Options{URL: c.URL, Batch: 1, Every: time.Hour})
	e.Request(event())
	e.Close()
	if e.Dropped() != 1 || c.posts.Load() != 2 {
		t.Errorf("%d dropped, %d posts: want one of two tries", e.Dropped(), c.posts.Load())
	}
	begun, goOn := make(chan bool, 1), make(chan bool)
	slow := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		io.Copy(io.Discard, r.Body)
		select {
		case begun <- true:
		default:
		}
		<-goOn
	}))
	defer slow.Close()
	e = New(Options{URL: slow.URL, Batch: 1, Queue: 2, Every: time.Hour})
	e.Request(event())
	<-begun
	start := time.Now()
	for range 100 {
		e.Request(event())
	}
	if took := time.Since(start); took > time.Second || e.Dropped() < 97 {
		t.Errorf("%v, %d dropped", took, e.Dropped())
	}
	close(goOn)
	e.Close()
	e.Close()
}
