package proxy

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/http3"
)

// overHTTP3 makes a rig listen on UDP, too.
func overHTTP3(_ *Options, s *Settings) { s.HTTP3 = true }

// client3 speaks HTTP/3 to the rig, whatever the host in the URL.
func (r *rig) client3() *http.Client {
	tr := r.transport3()
	return &http.Client{Transport: tr, Timeout: 20 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

func (r *rig) transport3() *http3.Transport {
	tr := &http3.Transport{
		TLSClientConfig:    &tls.Config{RootCAs: r.roots},
		DisableCompression: true,
		Dial: func(ctx context.Context, _ string, tlsCfg *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
			return quic.DialAddr(ctx, r.https, tlsCfg, cfg)
		},
	}
	r.t.Cleanup(func() { tr.Close() })
	return tr
}

// get3 asks once over HTTP/3 and returns status and body.
func (r *rig) get3(url string) (int, string) {
	r.t.Helper()
	res, err := r.client3().Get(url)
	if err != nil {
		r.t.Fatal(err)
	}
	defer res.Body.Close()
	b, err := io.ReadAll(res.Body)
	if err != nil {
		r.t.Fatal(err)
	}
	return res.StatusCode, string(b)
}

// dial3 opens a QUIC connection to the rig, on which a test speaks HTTP/3 by hand.
func (r *rig) dial3(cfg *quic.Config) *quic.Conn {
	r.t.Helper()
	q, err := r.tryDial3(&tls.Config{RootCAs: r.roots, ServerName: "example.org", NextProtos: []string{"h3"}}, cfg)
	if err != nil {
		r.t.Fatal(err)
	}
	return q
}

func (r *rig) tryDial3(tc *tls.Config, cfg *quic.Config) (*quic.Conn, error) {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	q, err := quic.DialAddr(ctx, r.https, tc, cfg)
	if err == nil {
		r.t.Cleanup(func() { q.CloseWithError(0x100, "") })
	}
	return q, err
}

func TestHTTP3(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, req *http.Request) {
		b, _ := io.ReadAll(req.Body)
		io.WriteString(w, req.Method+" "+req.Host+req.URL.String()+" "+req.Header.Get("X-Forwarded-Proto")+" "+string(b))
	}), overHTTP3)
	if status, body := r.get3("https://example.org/a?b=c"); status != 200 || body != "GET example.org/a?b=c https " {
		t.Errorf("%d %q", status, body)
	}
	ev := r.events.last(t, 1)
	if ev.Proto != "HTTP/3.0" || ev.ALPN != "h3" || ev.TLSVersion != tls.VersionTLS13 || ev.SNI != "example.org" || ev.Status != 200 || ev.Listener != "https" {
		t.Errorf("event %+v", ev)
	}
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	if r.events.open["https h3"] != 1 {
		t.Errorf("connections: %v", r.events.open)
	}
	hs := r.events.handshakes
	if len(hs) != 1 || hs[0].Result != "ok" || hs[0].ALPN != "h3" {
		t.Errorf("handshakes: %+v", hs)
	}
}
