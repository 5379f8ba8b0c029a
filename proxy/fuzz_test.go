package proxy

import (
	"bufio"
	"bytes"
	"io"
	"net/http"
	"testing"
)

// FuzzScanner holds the scanner against net/http: where the scanner sees the
// end of a message, net/http must see the same message end at the same byte,
// and how the stream is cut may not matter.
func FuzzScanner(f *testing.F) {
	for _, sh := range refusedShapes {
		if len(sh.send) < 1000 {
			f.Add([]byte(sh.send))
		}
	}
	f.Add([]byte(post + "Content-Length: 3\r\n\r\nabc"))
	f.Add([]byte(post + "Transfer-Encoding: chunked\r\n\r\n3;x\r\nabc\r\n0\r\nA: b\r\n\r\n"))
	limits := Limits{}.withDefaults()
	f.Fuzz(func(t *testing.T, in []byte) {
		whole := scanner{limits: &limits}
		_, bad := whole.feed(bytes.Clone(in))
		cut := scanner{limits: &limits}
		for i := range in {
			_, b := cut.feed([]byte{in[i]})
			if b == nil && cut.phase == startLine && len(cut.line) == 0 {
				sameMessage(t, in[:i+1])
				break
			}
			if b != nil {
				if bad == nil {
					t.Fatalf("refused in parts (%v), accepted as a whole", b)
				}
				break
			}
		}
	})
}

func sameMessage(t *testing.T, in []byte) {
	br := bufio.NewReader(bytes.NewReader(in))
	r, err := http.ReadRequest(br)
	if err != nil {
		return // net/http refuses what the scanner lets through: safe
	}
	if _, err := io.Copy(io.Discard, r.Body); err != nil {
		t.Fatalf("net/http finds the body broken: %v", err)
	}
	if rest, _ := io.ReadAll(br); len(rest) != 0 {
		t.Fatalf("net/http ends the message %d bytes earlier", len(rest))
	}
	if !isHost(r.Host) && r.ProtoAtLeast(1, 1) {
		t.Fatalf("Host %q", r.Host)
	}
}
