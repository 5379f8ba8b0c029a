package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"slices"
	"strings"
	"testing"

	"github.com/quic-go/quic-go/quicvarint"
)

// FuzzH3Request reads heads and bodies that nobody has looked at before. Nothing panics,
// nothing is larger than its limit, and what becomes a request can be written as one of HTTP/1.
func FuzzH3Request(f *testing.F) {
	for _, tc := range refusedOnHTTP2 {
		if b := fields3(tc.send...); len(b) < 1000 {
			f.Add(b, []byte(nil))
		}
	}
	f.Add(fields3(h2with(":method", "POST", "trailer", "a")...), slices.Concat(frame3(0x21, []byte("x")), frame3(h3Data, []byte("abc")), fields3("a", "b")))
	f.Add(fields3(h2with(":method", "CONNECT", ":protocol", "websocket")...), frame3(h3Data, []byte("abc")))
	f.Add(frame3(h3Headers, append(section3(h2get...), bytes.Repeat([]byte{0xf8}, 500)...)), []byte(nil)) // a byte that stands for a long field
	f.Fuzz(func(t *testing.T, head, body []byte) {
		br := bufio.NewReader(bytes.NewReader(head))
		kind, size, err := requestFrame(br, maxSkipped)
		if err != nil || kind != h3Headers || size > uint64(len(head)) {
			return
		}
		block := make([]byte, size)
		if _, err := io.ReadFull(br, block); err != nil {
			return
		}
		const most = 4 << 10
		fs := h3fields{header: http.Header{}, left: most}
		if fs.decode(block) != nil {
			return
		}
		r, err := fs.request()
		if err != nil {
			return
		}
		total := 0
		for name, values := range r.Header {
			for _, v := range values {
				total += len(name) + len(v)
				if strings.ContainsAny(v, "\r\n\x00") || strings.ContainsAny(name, "\r\n\x00 ") {
					t.Fatalf("%q: %q", name, v)
				}
			}
		}
		if total > most {
			t.Errorf("%d bytes of fields", total)
		}
		b := &h3body{br: bufio.NewReader(bytes.NewReader(body)), r: r, most: most, left: -1, fault: func(*h3Fault) {}}
		if n, err := io.Copy(io.Discard, b); n > int64(len(body)) {
			t.Errorf("%d bytes of %x, %v", n, body, err)
		}
	})
}

// FuzzH3Settings reads what may be SETTINGS.
func FuzzH3Settings(f *testing.F) {
	for _, b := range [][]byte{nil, {6, 1}, {6, 1, 6, 1}, {2, 0}, {8, 2}, {0x40}, {0xc0, 0, 0, 0, 0, 0, 0, 6, 1, 6, 1}} {
		f.Add(b)
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		if checkSettings(b) != nil {
			return
		}
		seen := map[uint64]bool{}
		for len(b) > 0 {
			id, n, _ := quicvarint.Parse(b)
			_, m, _ := quicvarint.Parse(b[n:])
			if b = b[n+m:]; seen[id] {
				t.Errorf("setting %d twice", id)
			}
			seen[id] = true
		}
	})
}

// FuzzPeerPacket reads what another process may have sent: what send wrote comes out
// again, and nothing panics.
func FuzzPeerPacket(f *testing.F) {
	f.Add([]byte{peerPacket})
	f.Add(append([]byte{peerPacket}, make([]byte, 40)...))
	f.Add(append(append([]byte{peerPacket}, make([]byte, 18)...), 3, 'e', 't', 'h', 2, 'o', 'b', 0x40, 1, 2))
	f.Add([]byte{peerHello, 1, 2, 3, 4, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &peer{generations: map[generation]bool{}}
		p.learn(b)
		generationOf(b)
		d, ok := parsePacket(b)
		if !ok {
			return
		}
		again, ok := parsePacket(d.append(nil))
		if !ok || !bytes.Equal(again.data, d.data) || !bytes.Equal(again.oob, d.oob) || again.from.String() != d.from.String() {
			t.Errorf("%+v became %+v", d, again)
		}
	})
}
