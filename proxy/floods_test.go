package proxy

import (
	"bytes"
	"errors"
	"net/http"
	"runtime"
	"syscall"
	"testing"
	"time"

	"golang.org/x/net/http2"
)

// The floods of HTTP/2, each named after what it was published as. Whatever a
// client sends, edge spends no more than five times the work of as many honest
// requests, and 32 MB; and others are served meanwhile. The work includes the
// client's part, which is in the same process for both.
func TestFloodsHTTP2(t *testing.T) {
	const n = 5000
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	get, end := encode(h2get...), http2.HeadersFrameParam{EndStream: true, EndHeaders: true}
	open := func(h *h2conn, i int) uint32 {
		id := uint32(2*i + 1)
		p := end
		p.StreamID, p.BlockFragment = id, get
		h.fr.WriteHeaders(p)
		return id
	}
	honest := work(func() {
		h := r.h2()
		for i := range n {
			if status, _ := h.answer(open(h, i)); status != "200" {
				t.Fatalf("an honest request: %q", status)
			}
		}
	})
	t.Logf("%d honest requests: %v", n, honest)
	for name, send := range map[string]func(h *h2conn, i int) error{
		"CVE_2023_44487_RapidReset":  func(h *h2conn, i int) error { return h.fr.WriteRSTStream(open(h, i), http2.ErrCodeCancel) },
		"CVE_2025_8671_MadeYouReset": func(h *h2conn, i int) error { return h.fr.WriteWindowUpdate(open(h, i), 0) },
		"CVE_2023_45288_ContinuationFlood": func(h *h2conn, i int) error {
			if i == 0 {
				h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: get})
			}
			return h.fr.WriteContinuation(1, false, bytes.Repeat([]byte{0, 1, 'a', 1, 'b'}, 100))
		},
		"CVE_2019_9511_DataDribble": func(h *h2conn, i int) error {
			if i%1000 == 0 {
				h.fr.WriteSettings(http2.Setting{ID: http2.SettingInitialWindowSize, Val: 1})
			}
			return h.fr.WriteWindowUpdate(0, 1)
		},
		"CVE_2019_9512_PingFlood": func(h *h2conn, i int) error { return h.fr.WritePing(false, [8]byte{}) },
		"CVE_2019_9513_ResourceLoop": func(h *h2conn, i int) error {
			return h.fr.WritePriority(uint32(2*(i%100)+1), http2.PriorityParam{StreamDep: uint32(2*(i%99) + 3), Exclusive: true})
		},
		"CVE_2019_9514_ResetFlood": func(h *h2conn, i int) error {
			id := uint32(2*i + 1)
			return h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: encode("A", "b"), EndHeaders: true})
		},
		"CVE_2019_9515_SettingsFlood": func(h *h2conn, i int) error { return h.fr.WriteSettings() },
		"CVE_2019_9516_EmptyNames": func(h *h2conn, i int) error {
			id := uint32(2*i + 1)
			return h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: id, BlockFragment: bytes.Repeat([]byte{0, 0, 0}, 3000), EndHeaders: true})
		},
		"CVE_2019_9518_EmptyFrames": func(h *h2conn, i int) error {
			if i == 0 {
				h.headers(1, false, ":method", "POST", ":path", "/", ":scheme", "https", ":authority", "example.org")
			}
			return h.fr.WriteData(1, false, nil)
		},
		"CVE_2016_1544_HPACKBomb": func(h *h2conn, i int) error {
			// One large field in the table, then a byte for each copy of it.
			block := get
			if i == 0 {
				block = append(append([]byte{0x40, 1, 'a', 0x7f, 0xf1, 0x1e}, bytes.Repeat([]byte{'x'}, 4080)...), get...)
			}
			block = append(bytes.Clone(block), bytes.Repeat([]byte{0x80 | 62}, 8000)...)
			return h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: uint32(2*i + 1), BlockFragment: block, EndStream: true, EndHeaders: true})
		},
	} {
		t.Run(name, func(t *testing.T) {
			h := r.h2()
			ended := h.readAll()
			before, peak := heap(), uint64(0)
			sent := 0
			spent := work(func() {
				for i := range n {
					if send(h, i) != nil {
						break
					}
					if sent++; sent%500 == 0 {
						peak = max(peak, heap())
					}
				}
				h.fr.WritePing(false, lastPing)
				t.Logf("%s", <-ended)
				if status, _ := r.get(true, "https://example.org/"); status != http.StatusOK {
					t.Errorf("somebody else got %d", status)
				}
			})
			if grown := int64(peak) - int64(before); grown > 32<<20 {
				t.Errorf("the heap grew by %d MB", grown>>20)
			}
			if spent > 5*honest {
				t.Errorf("%d frames cost %v, as many requests %v", sent, spent, honest)
			}
			t.Logf("%d frames: %v, %.1f times the honest requests", sent, spent, float64(spent)/float64(honest))
		})
	}
}

var lastPing = [8]byte{'l', 'a', 's', 't'}

// readAll reads, so that nothing is queued for this client, until the server has
// read everything, and answered lastPing, or has ended the connection. It says which.
func (h *h2conn) readAll() <-chan string {
	ended := make(chan string, 1)
	go func() {
		for {
			f, err := h.fr.ReadFrame()
			switch f := f.(type) {
			case *http2.PingFrame:
				if f.IsAck() && f.Data == lastPing {
					ended <- "read to the end"
					return
				}
			case *http2.GoAwayFrame:
				ended <- "ended: " + f.ErrCode.String()
				return
			}
			if err != nil && !errors.As(err, new(http2.StreamError)) {
				ended <- "ended: " + err.Error()
				return
			}
		}
	}()
	return ended
}

// work is the processor time that f takes, in this process.
func work(f func()) time.Duration {
	var a, b syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &a)
	f()
	syscall.Getrusage(syscall.RUSAGE_SELF, &b)
	return time.Duration(b.Utime.Nano() + b.Stime.Nano() - a.Utime.Nano() - a.Stime.Nano())
}

func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
