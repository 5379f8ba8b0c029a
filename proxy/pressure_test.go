package proxy

import (
	"bytes"
	"context"
	"io"
	"net/http"
	"sync/atomic"
	"testing"
	"time"

	"edge/proxy/upstream"
)

// Whoever does not read stops whoever sends: bodies pass through, in either
// direction and on every protocol, and are nowhere collected.
func TestBackPressure(t *testing.T) {
	const offered, most = 64 << 20, 32 << 20 // the kernel buffers less on two connections
	part := bytes.Repeat([]byte("x"), 64<<10)
	for _, scheme := range []string{"http", "h2c"} {
		for _, h2 := range []bool{false, true} {
			name := map[bool]string{false: "HTTP/1.1", true: "HTTP/2"}[h2] + " to " + scheme
			t.Run(name+", request", func(t *testing.T) {
				goOn := make(chan bool)
				r := rigTo(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					<-goOn
					_, _ = io.Copy(io.Discard, r.Body)
				}))
				var sent atomic.Int64
				body := &counted{offered, part, &sent}
				done := make(chan error, 1)
				req, _ := http.NewRequestWithContext(t.Context(), "POST", "https://example.org/", body)
				go func() {
					res, err := r.client(h2).Do(req)
					if err == nil {
						err = res.Body.Close()
					}
					done <- err
				}()
				before := heap()
				if n := settled(&sent); n > most {
					t.Errorf("%d MB were taken from the client while the backend read nothing", n>>20)
				}
				if grown := int64(heap()) - int64(before); grown > 8<<20 {
					t.Errorf("the heap grew by %d MB", grown>>20)
				}
				close(goOn)
				if err := <-done; err != nil || sent.Load() != offered {
					t.Errorf("%d bytes sent, %v", sent.Load(), err)
				}
			})
			t.Run(name+", answer", func(t *testing.T) {
				var sent atomic.Int64
				r := rigTo(t, scheme, http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
					_, _ = io.Copy(w, &counted{offered, part, &sent})
				}))
				res, err := r.client(h2).Get("https://example.org/")
				if err != nil {
					t.Fatal(err)
				}
				defer res.Body.Close()
				before := heap()
				if n := settled(&sent); n > most {
					t.Errorf("%d MB were taken from the backend while the client read nothing", n>>20)
				}
				if grown := int64(heap()) - int64(before); grown > 8<<20 {
					t.Errorf("the heap grew by %d MB", grown>>20)
				}
				if n, err := io.Copy(io.Discard, res.Body); err != nil || n != offered {
					t.Errorf("%d bytes came, %v", n, err)
				}
			})
		}
	}
}

// rigTo is a rig whose backend is spoken to by a scheme.
func rigTo(t *testing.T, scheme string, backend http.Handler) *rig {
	t.Helper()
	l := mustListen(t)
	var protocols http.Protocols
	protocols.SetHTTP1(true)
	protocols.SetUnencryptedHTTP2(true)
	server := &http.Server{Handler: backend, Protocols: &protocols}
	served := make(chan error, 1)
	go func() { served <- server.Serve(l) }()
	t.Cleanup(func() {
		server.Close()
		<-served
	})
	return rigWith(t, nil, func(_ *Options, s *Settings) {
		s.Table, s.Pools = everythingWith(t, upstream.Options{Scheme: scheme, Address: l.Addr().String()})
	})
}

// counted gives out so many bytes, and counts them.
type counted struct {
	left int
	part []byte
	n    *atomic.Int64
}

func (c *counted) Read(p []byte) (int, error) {
	if c.left == 0 {
		return 0, io.EOF
	}
	n := copy(p[:min(len(p), c.left)], c.part)
	c.left -= n
	c.n.Add(int64(n))
	return n, nil
}

// settled waits until a counter that has begun to move stands still.
func settled(n *atomic.Int64) int64 {
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for last := int64(0); ; {
		select {
		case <-ctx.Done():
			return n.Load()
		case <-tick.C:
			now := n.Load()
			if now > 0 && now == last {
				return now
			}
			last = now
		}
	}
}
