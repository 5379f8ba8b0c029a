package proxy

import (
	"context"
	"net/http"
	"testing"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// Floods of HTTP/3, as those of HTTP/2: no more than five times the work of as many
// honest requests, no more than 32 MB, and others are served meanwhile.
func TestFloodsHTTP3(t *testing.T) {
	const n = 2000
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	get := fields3(h2get...)
	// open opens a stream, once the server lets it; nil when the connection is over.
	open := func(h *h3client) *quic.Stream {
		ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
		defer cancel()
		s, err := h.q.OpenStreamSync(ctx)
		if err != nil {
			return nil
		}
		s.SetDeadline(time.Now().Add(10 * time.Second))
		return s
	}
	honest := work(func() {
		h := r.h3()
		for range n {
			s := open(h)
			s.Write(get)
			s.Close()
			if got, _ := answer3(s); got != "200" {
				t.Fatalf("an honest request: %q", got)
			}
		}
	})
	for name, send := range map[string]func(s *quic.Stream){
		"rapid reset":           func(s *quic.Stream) { s.Write(get); reject(s, h3RequestCancelled) },
		"stopped answers":       func(s *quic.Stream) { s.Write(get); s.Close(); s.CancelRead(h3RequestCancelled) },
		"resets without a head": func(s *quic.Stream) { reject(s, h3RequestCancelled) },
		"heads in small frames": func(s *quic.Stream) {
			for range 20 {
				s.Write([]byte{0x21, 0}) // of a type that nobody knows
			}
			reject(s, h3RequestCancelled)
		},
		"malformed heads": func(s *quic.Stream) { s.Write(fields3(h2with("A", "b")...)); s.Close() },
		"bombs": func(s *quic.Stream) {
			block := append(section3(h2get...), make([]byte, 0, 30000)...)
			for len(block) < 30000 {
				block = append(block, 0xf8) // a long field of the static table
			}
			s.Write(frame3(h3Headers, block))
			s.Close()
		},
	} {
		t.Run(name, func(t *testing.T) {
			before, sent := heap(), 0
			spent := work(func() {
				h := r.h3()
				for ; sent < n; sent++ {
					s := open(h)
					if s == nil {
						break
					}
					send(s)
				}
				if got, body := answer3(r.h3().stream(true, get)); got != "200" || body != "" {
					t.Errorf("somebody else: %q", got)
				}
				h.q.CloseWithError(h3NoError, "")
			})
			if grown := int64(heap()) - int64(before); grown > 32<<20 {
				t.Errorf("the heap grew by %d MB", grown>>20)
			}
			if spent > 5*honest {
				t.Errorf("%d streams cost %v, as many requests %v", sent, spent, honest)
			}
			t.Logf("%d streams: %v, %.1f times the honest requests", sent, spent, float64(spent)/float64(honest))
		})
	}
	t.Run("control frames", func(t *testing.T) {
		h := &h3client{t, r.dial3(nil)}
		s := h.uni(h3StreamControl, frame3(h3Settings, nil))
		ping := quicvarint.Append(quicvarint.Append(nil, h3GoAway), 1)
		ping = append(ping, 0)
		for h.q.Context().Err() == nil {
			s.Write(ping)
		}
	})
}
