package proxy

import (
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"testing/iotest"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// A header block has to arrive within the same time as a head of HTTP/1,
// however it is cut, and so has any other small frame.
func TestSlowHeadHTTP2(t *testing.T) {
	const limit = 200 * time.Millisecond
	r := rigWith(t, hello, limited(Limits{HeaderRead: limit}))
	block := encode(h2get...)
	for name, send := range map[string]func(*h2conn){
		"no continuation": func(h *h2conn) {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block, EndStream: true})
		},
		"half a frame": func(h *h2conn) {
			h.conn.Write([]byte{0, 0, byte(len(block)), frameHeaders, flagEndHeaders, 0, 0, 0, 1, block[0]})
		},
		"half a frame header": func(h *h2conn) { h.conn.Write([]byte{0, 0}) },
		"half a ping":         func(h *h2conn) { h.conn.Write([]byte{0, 0, 8, 6, 0, 0, 0, 0, 0, 1, 2}) },
		"endless continuations": func(h *h2conn) {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: block})
			go func() {
				for h.fr.WriteContinuation(1, false, nil) == nil {
					time.Sleep(10 * time.Millisecond)
				}
			}()
		},
	} {
		t.Run(name, func(t *testing.T) {
			before := r.reported(408)
			h := r.h2()
			start := time.Now()
			send(h)
			for {
				if _, err := h.fr.ReadFrame(); err != nil {
					if errors.Is(err, io.EOF) || isGone(err) {
						break
					}
					t.Fatal(err)
				}
			}
			if d := time.Since(start); d < limit || d > 20*limit {
				t.Errorf("closed after %v", d)
			}
			eventually(t, "it is reported", func() bool { return r.reported(408) == before+1 })
		})
	}

	c, err := tls.Dial("tcp", r.https, &tls.Config{RootCAs: r.roots, ServerName: "example.org", NextProtos: []string{"h2"}})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	c.SetDeadline(time.Now().Add(20 * limit))
	io.WriteString(c, http2.ClientPreface[:10])
	if b, err := io.ReadAll(c); len(b) > 0 || errors.Is(err, os.ErrDeadlineExceeded) {
		t.Errorf("half a preface: %q, %v", b, err)
	}

	// What takes its time, but not too much, is served, and so is what comes after a pause between frames.
	h := r.h2()
	for i, b := range encodeFrame(1, block) {
		if h.conn.Write([]byte{b}); i%8 == 0 {
			time.Sleep(time.Millisecond)
		}
	}
	if status, body := h.answer(1); status != "200" || body != "hello" {
		t.Errorf("byte by byte: %s %q", status, body)
	}
	time.Sleep(limit + limit/4)
	h.headers(3, true, h2get...)
	if status, _ := h.answer(3); status != "200" {
		t.Errorf("after a pause: %s", status)
	}
}

// reported counts the events with a status.
func (r *rig) reported(status int) (n int) {
	r.events.mu.Lock()
	defer r.events.mu.Unlock()
	for _, e := range r.events.requests {
		if e.Status == status {
			n++
		}
	}
	return n
}

func encode(kv ...string) []byte {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(kv); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	return b.Bytes()
}

func encodeFrame(stream uint32, block []byte) []byte {
	var b bytes.Buffer
	http2.NewFramer(&b, nil).WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block, EndStream: true, EndHeaders: true})
	return b.Bytes()
}

// A forbidden field is found wherever it hides, resets its stream alone, and is
// reported; the connection and its compression state go on.
func TestForbiddenFieldsOnHTTP2(t *testing.T) {
	r := rigWith(t, echoBody)
	h := r.h2()
	var block bytes.Buffer
	enc := hpack.NewEncoder(&block) // one for the connection: names get into its table
	next := func(kv ...string) []byte {
		block.Reset()
		for i := 0; i < len(kv); i += 2 {
			enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
		}
		return bytes.Clone(block.Bytes())
	}
	expect := func(stream uint32, want string) {
		t.Helper()
		if got, _ := h.answer(stream); !strings.HasPrefix(got, want) {
			t.Errorf("stream %d: %q, want %q", stream, got, want)
		}
	}
	bad := append([]string{"connection", "close"}, "a", "b")
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 1, BlockFragment: next(append(h2get, bad...)...), EndStream: true, EndHeaders: true})
	expect(1, "RST PROTOCOL_ERROR")
	// Now a few indexed bytes stand for the field.
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 3, BlockFragment: next(append(h2get, bad...)...), EndStream: true, EndHeaders: true,
		PadLength: 7, Priority: http2.PriorityParam{StreamDep: 1, Weight: 3}})
	expect(3, "RST PROTOCOL_ERROR")
	whole := next(append(h2get, bad...)...)
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 5, BlockFragment: whole[:2], EndStream: true})
	h.fr.WriteContinuation(5, false, whole[2:3])
	h.fr.WriteContinuation(5, true, whole[3:])
	expect(5, "RST PROTOCOL_ERROR")
	// As large as a frame may be.
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 7, EndStream: true, EndHeaders: true,
		BlockFragment: next(append(h2get, "upgrade", "h2c", "b", strings.Repeat("~", 10<<10))...)})
	expect(7, "RST PROTOCOL_ERROR")
	// In trailers.
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 9, BlockFragment: next(":method", "POST", ":path", "/", ":scheme", "https", ":authority", "example.org"), EndHeaders: true})
	h.fr.WriteData(9, false, []byte("body"))
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 9, BlockFragment: next("transfer-encoding", "chunked"), EndStream: true, EndHeaders: true})
	expect(9, "RST PROTOCOL_ERROR")
	h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: 11, BlockFragment: next(append(h2get, "te", "trailers", "a", "b")...), EndStream: true, EndHeaders: true})
	expect(11, "200")
	if n := r.reported(400); n != 5 {
		t.Errorf("%d refusals reported, want 5", n)
	}
}

var echoBody = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { io.Copy(w, r.Body) })

// A client that has negotiated HTTP/2 and speaks HTTP/1 reaches nobody: no
// guard has looked at what it sends.
func TestHTTP1WhereHTTP2WasNegotiated(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, send := range []string{get + "\r\n", "PRI * HTTP/2.0\r\n\r\nXX\r\n\r\n" + get + "\r\n", "PRI * HTTP/2.0\r\nHost: example.org\r\n\r\n"} {
		c, err := tls.Dial("tcp", r.https, &tls.Config{RootCAs: r.roots, ServerName: "example.org", NextProtos: []string{"h2"}})
		if err != nil {
			t.Fatal(err)
		}
		c.SetDeadline(time.Now().Add(10 * time.Second))
		io.WriteString(c, send)
		got, err := io.ReadAll(c)
		c.Close()
		if len(got) > 0 || err != nil && !isGone(err) {
			t.Errorf("%q: answered %q, %v", send, got, err)
		}
	}
	if n := b.bytes.Load(); n != 0 {
		t.Errorf("%d bytes reached the backend", n)
	}
}

// guardOf has a guard read in, as it is cut by cut, and returns what net/http would see.
func guardOf(in []byte, cut func(io.Reader) io.Reader) (out []byte, refused int) {
	events := &events{}
	s := &Server{obs: events, log: slog.New(slog.DiscardHandler)}
	l := Limits{}.withDefaults()
	g := newH2Guard(&conn{srv: s}, readerConn{cut(bytes.NewReader(in))}, &l)
	out, _ = io.ReadAll(g)
	return out, len(events.requests)
}

// readerConn is the reading half of a connection.
type readerConn struct{ io.Reader }

func (readerConn) SetReadDeadline(time.Time) error  { return nil }
func (readerConn) Write([]byte) (int, error)        { return 0, net.ErrClosed }
func (readerConn) Close() error                     { return nil }
func (readerConn) LocalAddr() net.Addr              { return nil }
func (readerConn) RemoteAddr() net.Addr             { return nil }
func (readerConn) SetDeadline(time.Time) error      { return nil }
func (readerConn) SetWriteDeadline(time.Time) error { return nil }

// FuzzH2Guard: however the stream is cut, the guard hands over the same bytes,
// in whole frames, and no frame more or less than came in, but for the one that
// marks a forbidden field; and no forbidden field gets past it unmarked.
func FuzzH2Guard(f *testing.F) {
	pre := func(frames ...[]byte) []byte { return append([]byte(http2.ClientPreface), bytes.Join(frames, nil)...) }
	f.Add(pre(encodeFrame(1, encode(h2get...))))
	f.Add(pre(encodeFrame(1, encode(append(h2get, "connection", "close")...)), encodeFrame(3, encode(h2get...))))
	f.Add(pre([]byte{0, 0, 3, 0, 0, 0, 0, 0, 1, 'a', 'b', 'c'}, encodeFrame(1, encode(append(h2get, "te", "gzip")...))))
	f.Add(pre([]byte{0, 0, 1, frameHeaders, flagPadded | flagEndHeaders, 0, 0, 0, 1, 9}))
	f.Add(pre([]byte{0xff, 0, 0, frameHeaders, flagEndHeaders, 0, 0, 0, 1}))
	f.Add([]byte(get + "\r\n"))
	f.Fuzz(func(t *testing.T, in []byte) {
		whole, refused := guardOf(in, func(r io.Reader) io.Reader { return r })
		cut, again := guardOf(in, iotest.OneByteReader)
		// Of a DATA frame that is cut short, or follows a fault, all that came is handed over.
		if !bytes.Equal(whole, cut) || refused != again {
			t.Fatalf("cut: %d bytes and %d refusals; whole: %d and %d", len(cut), again, len(whole), refused)
		}
		noForbiddenField(t, whole)
		if refused == 0 {
			if !bytes.HasPrefix(in, whole) {
				t.Fatal("changed without a refusal")
			}
			return
		}
		if len(whole) > len(in)+13*refused {
			t.Fatal("more was added than marks")
		}
	})
}

// noForbiddenField reads a stream as net/http does: what it accepts has no forbidden field.
func noForbiddenField(t *testing.T, stream []byte) {
	stream, ok := bytes.CutPrefix(stream, []byte(http2.ClientPreface))
	if !ok {
		return
	}
	fr := http2.NewFramer(io.Discard, bytes.NewReader(stream))
	fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	fr.MaxHeaderListSize = uint32(Limits{}.withDefaults().HeaderBytes + 4096)
	fr.SetMaxReadFrameSize(h2MaxFrame)
	for {
		f, err := fr.ReadFrame()
		if errors.As(err, new(http2.StreamError)) {
			continue
		}
		if err != nil {
			return
		}
		if mh, ok := f.(*http2.MetaHeadersFrame); ok {
			for _, f := range mh.Fields {
				switch f.Name {
				case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
					t.Fatalf("%s got through", f.Name)
				case "te":
					if f.Value != "trailers" {
						t.Fatalf("te: %q got through", f.Value)
					}
				}
			}
		}
	}
}
