package api

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"net/url"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"
)

// service is a real HTTPS server, and a client of it for which no time passes between
// tries: what it was to wait is in waits.
type service struct {
	*httptest.Server
	asked atomic.Int32
	waits []time.Duration
}

func newService(t *testing.T, handle func(n int, w http.ResponseWriter, r *http.Request)) *service {
	t.Helper()
	s := &service{}
	s.Server = httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		handle(int(s.asked.Add(1)), w, r)
	}))
	s.Config.ErrorLog = log.New(io.Discard, "", 0)
	s.EnableHTTP2 = true
	s.StartTLS()
	t.Cleanup(s.Close)
	return s
}

func (s *service) client(t *testing.T, o Options) *Client {
	t.Helper()
	if o.Base == "" {
		o.Base = s.URL + "/base"
	}
	if o.Roots == nil && o.Fingerprint == "" {
		o.Roots = s.Server.Client().Transport.(*http.Transport).TLSClientConfig.RootCAs
	}
	if o.Wait == nil {
		o.Wait = func(ctx context.Context, d time.Duration) error {
			s.waits = append(s.waits, d)
			return ctx.Err()
		}
	}
	c, err := New(o)
	if err != nil {
		t.Fatal(err)
	}
	return c
}

func get(path string) Request { return Request{Method: http.MethodGet, Path: path} }

// What is sent arrives as it is meant, and the answer comes back whole.
func TestRequest(t *testing.T) {
	s := newService(t, func(_ int, w http.ResponseWriter, r *http.Request) {
		body, err := io.ReadAll(r.Body)
		w.Header().Set("X-Got", fmt.Sprint(r.Method, " ", r.RequestURI, " ", r.Header.Get("Content-Type"), " ", r.ContentLength, " ", r.Header.Values("X-More"), " ", r.Header.Get("Signed"), " ", err))
		w.WriteHeader(http.StatusCreated)
		_, _ = w.Write(body)
	})
	c := s.client(t, Options{Base: s.URL + "/base/", Sign: func(r *http.Request, body []byte) error {
		r.Header.Set("Signed", fmt.Sprint(r.Method, len(body)))
		r.Header.Add("X-More", "c")
		return nil
	}})
	header := http.Header{"X-More": append(make([]string, 0, 4), "a", "b")}
	for range 2 { // nothing of the first is in the second
		resp, err := c.Do(t.Context(), Request{Method: http.MethodPost, Path: "/a%2Fb", Query: url.Values{"q": {"1 2"}}, Header: header, Body: []byte("body"), Type: "text/plain"})
		if err != nil {
			t.Fatal(err)
		}
		if got := resp.Header.Get("X-Got"); resp.Status != 201 || string(resp.Body) != "body" || got != "POST /base/a%2Fb?q=1+2 text/plain 4 [a b c] POST4 <nil>" {
			t.Errorf("%d %q %s", resp.Status, resp.Body, got)
		}
	}
	if h := header["X-More"]; len(h) != 2 || h[:3][2] != "" {
		t.Errorf("the caller's header was changed: %v", header)
	}
}

func TestAddresses(t *testing.T) {
	for base, ok := range map[string]bool{
		"https://h.test": true, "https://h.test:8006/api2": true, "https://[::1]:1": true, "http://127.0.0.1:1": true, "http://[::1]": true, "http://localhost": true,
		"http://h.test": false, "http://127.0.0.1.evil.test": false, "ftp://h.test": false, "h.test": false, "https://": false, "https://:443": false,
		"https://u:hunter2@h.test": false, "https://h.test?x": false, "https://h.test#x": false, "": false, "https://h\n.test": false,
	} {
		_, err := New(Options{Base: base, AllowHTTP: true})
		if (err == nil) != ok || err != nil && strings.Contains(err.Error(), "hunter2") {
			t.Errorf("%q: %v", base, err)
		}
	}
	if _, err := New(Options{Base: "http://127.0.0.1:1"}); err == nil {
		t.Error("plain HTTP was taken, and not allowed")
	}
	s := newService(t, func(int, http.ResponseWriter, *http.Request) {})
	// A path cannot lead to another host.
	if _, err := s.client(t, Options{Base: s.URL}).Do(t.Context(), get(".evil.test/")); err == nil || len(s.waits) > 0 || s.asked.Load() > 0 {
		t.Errorf("%v", err)
	}
}

// No redirect is followed: credentials would go along.
func TestRedirects(t *testing.T) {
	var stolen atomic.Int32
	other := newService(t, func(int, http.ResponseWriter, *http.Request) { stolen.Add(1) })
	for _, code := range []int{301, 302, 303, 307, 308} {
		s := newService(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			http.Redirect(w, r, other.URL+"/secret-path", code)
		})
		_, err := s.client(t, Options{}).Do(t.Context(), get("/x"))
		var status *StatusError
		if !errors.As(err, &status) || status.Status != code || !strings.Contains(err.Error(), "perhaps "+other.URL) || s.asked.Load() != 1 {
			t.Errorf("%d: %v", code, err)
		}
	}
	if stolen.Load() > 0 {
		t.Error("a redirect was followed")
	}
}

// What is sent again, how often, and after what time.
func TestTries(t *testing.T) {
	half, one, two := 500*time.Millisecond, time.Second, 2*time.Second
	now := time.Date(2026, 1, 2, 3, 4, 5, 0, time.UTC)
	for _, c := range []struct {
		name       string
		method     string
		again      bool
		status     int
		retryAfter string
		fails      int // how often
		want       []time.Duration
		ok         bool
	}{
		{"at once", "GET", false, 500, "", 0, nil, true},
		{"get", "GET", false, 500, "", 3, []time.Duration{half, one, two}, true},
		{"for ever", "GET", false, 502, "", 99, []time.Duration{half, one, two}, false},
		{"put", "PUT", false, 504, "", 1, []time.Duration{half}, true},
		{"delete", "DELETE", false, 500, "", 1, []time.Duration{half}, true},
		{"post", "POST", false, 500, "", 1, nil, false},
		{"patch", "PATCH", false, 502, "", 1, nil, false},
		{"post again", "POST", true, 500, "", 1, []time.Duration{half}, true},
		{"post busy", "POST", false, 503, "", 1, []time.Duration{half}, true},
		{"post too many", "POST", false, 429, "7", 1, []time.Duration{7 * time.Second}, true},
		{"a date", "GET", false, 429, now.Add(9 * time.Second).Format(http.TimeFormat), 1, []time.Duration{9 * time.Second}, true},
		{"a date that is over", "GET", false, 429, now.Add(-time.Hour).Format(http.TimeFormat), 1, []time.Duration{half}, true},
		{"far away", "GET", false, 503, "86400", 1, []time.Duration{time.Minute}, true},
		{"nonsense", "GET", false, 503, "-5", 1, []time.Duration{half}, true},
		{"too large", "GET", false, 503, "99999999999999999999", 1, []time.Duration{half}, true},
		{"not found", "GET", false, 404, "", 1, nil, false},
		{"conflict", "PUT", false, 409, "", 1, nil, false},
		{"not implemented", "GET", false, 501, "", 1, nil, false},
	} {
		t.Run(c.name, func(t *testing.T) {
			s := newService(t, func(n int, w http.ResponseWriter, r *http.Request) {
				body, _ := io.ReadAll(r.Body)
				if string(body) != "body" {
					t.Errorf("try %d has the body %q", n, body)
				}
				if n <= c.fails {
					if c.retryAfter != "" {
						w.Header().Set("Retry-After", c.retryAfter)
					}
					w.WriteHeader(c.status)
				}
			})
			_, err := s.client(t, Options{Now: func() time.Time { return now }}).Do(t.Context(), Request{Method: c.method, Body: []byte("body"), Again: c.again})
			var status *StatusError
			if (err == nil) != c.ok || err != nil && (!errors.As(err, &status) || status.Status != c.status) || !slices.Equal(s.waits, c.want) {
				t.Errorf("%v, waited %v", err, s.waits)
			}
			if tries := int(s.asked.Load()); tries != len(c.want)+1 {
				t.Errorf("%d tries", tries)
			}
		})
	}
}

// Where there was no connection, nothing was done, and also a POST is tried again; what
// this side or the certificate is to blame for is not.
func TestWhatDoesNotPass(t *testing.T) {
	s := newService(t, func(int, http.ResponseWriter, *http.Request) {})
	dials := 0
	post := Request{Method: http.MethodPost}
	c := s.client(t, Options{Dial: func(ctx context.Context, network, addr string) (net.Conn, error) {
		if dials++; dials == 1 {
			return nil, &net.OpError{Op: "dial", Net: network, Err: errors.New("refused")}
		}
		return new(net.Dialer).DialContext(ctx, network, addr)
	}})
	if _, err := c.Do(t.Context(), post); err != nil || len(s.waits) != 1 {
		t.Errorf("%v, waited %v", err, s.waits)
	}
	for name, o := range map[string]Options{
		"signature":   {Sign: func(*http.Request, []byte) error { return errors.New("no clock") }},
		"fingerprint": {Fingerprint: strings.Repeat("00", 32)},
		"roots":       {Roots: emptyPool()},
		"limit":       {Limit: -1},
	} {
		s.waits = nil
		if _, err := s.client(t, o).Do(t.Context(), get("/")); err == nil || len(s.waits) > 0 {
			t.Errorf("%s: %v, waited %v", name, err, s.waits)
		}
	}
	// A POST whose answer is lost is not sent again.
	lost := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) { panic(http.ErrAbortHandler) })
	if _, err := lost.client(t, Options{}).Do(t.Context(), post); err == nil || lost.asked.Load() != 1 {
		t.Errorf("%v after %d", err, lost.asked.Load())
	}
	if _, err := lost.client(t, Options{Tries: 2}).Do(t.Context(), get("/")); err == nil || lost.asked.Load() != 3 {
		t.Errorf("%v after %d", err, lost.asked.Load())
	}
}

// Answers have a size that they may have, packed or not, and errors as well.
func TestLimits(t *testing.T) {
	for name, handle := range map[string]func(w http.ResponseWriter){
		"plain": func(w http.ResponseWriter) { _, _ = w.Write(make([]byte, 2000)) },
		"packed": func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			_, _ = w.Write(packed(t, make([]byte, 1<<20)))
		},
		"endless": func(w http.ResponseWriter) {
			for {
				if _, err := w.Write(make([]byte, 1<<16)); err != nil {
					return
				}
			}
		},
	} {
		s := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) { handle(w) })
		if _, err := s.client(t, Options{Limit: 1999}).Do(t.Context(), get("/x")); err == nil || !strings.Contains(err.Error(), "more than 1999 bytes") {
			t.Errorf("%s: %v", name, err)
		}
		if _, err := s.client(t, Options{Limit: 2000}).Do(t.Context(), get("/x")); (err == nil) != (name == "plain") {
			t.Errorf("%s: %v", name, err)
		}
	}
	s := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(400)
		_, _ = w.Write(bytes.Repeat([]byte("x\x00\xff\n\x1b"), 100000))
	})
	_, err := s.client(t, Options{}).Do(t.Context(), get("/x"))
	var status *StatusError
	if !errors.As(err, &status) || len(status.Body) != 64<<10 || len(err.Error()) > 500 || strings.ContainsAny(err.Error(), "\n\x00\x1b") {
		t.Errorf("%d bytes: %q", len(status.Body), err)
	}
	large := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.Header().Set("X", strings.Repeat("x", 100<<10)) })
	if _, err := large.client(t, Options{Tries: 1}).Do(t.Context(), get("/")); err == nil {
		t.Error("a header without end was taken")
	}
}

// A service that does not answer, or not to the end, costs the time that it may.
func TestDeadlines(t *testing.T) {
	for name, begin := range map[string]func(w http.ResponseWriter){
		"no answer": func(http.ResponseWriter) {},
		"half an answer": func(w http.ResponseWriter) {
			_, _ = w.Write([]byte("half"))
			w.(http.Flusher).Flush()
		},
	} {
		s := newService(t, func(_ int, w http.ResponseWriter, r *http.Request) {
			begin(w)
			<-r.Context().Done()
		})
		began := time.Now()
		_, err := s.client(t, Options{Timeout: 100 * time.Millisecond}).Do(t.Context(), get("/x"))
		if err == nil || !strings.Contains(err.Error(), "no answer within 100ms") || s.asked.Load() != 4 {
			t.Errorf("%s: %v after %d", name, err, s.asked.Load())
		}
		ctx, cancel := context.WithCancelCause(t.Context())
		time.AfterFunc(50*time.Millisecond, func() { cancel(errors.New("the run is over")) })
		_, err = s.client(t, Options{}).Do(ctx, get("/x"))
		if err == nil || !strings.Contains(err.Error(), "the run is over") || s.asked.Load() != 5 {
			t.Errorf("%s: %v after %d", name, err, s.asked.Load())
		}
		if took := time.Since(began); took > 10*time.Second {
			t.Errorf("%s: it took %v", name, took)
		}
	}
	// The time between tries ends with the run as well.
	s := newService(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	c := s.client(t, Options{})
	c.o.Wait = nil
	ctx, cancel := context.WithCancelCause(t.Context())
	time.AfterFunc(100*time.Millisecond, func() { cancel(errors.New("the run is over")) })
	if _, err := c.Do(ctx, get("/")); err == nil || !strings.Contains(err.Error(), "the run is over") || !strings.Contains(err.Error(), "503") {
		t.Errorf("%v", err)
	}
}
