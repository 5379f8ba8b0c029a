package proxy

import (
	"bytes"
	"crypto/tls"
	"io"
	"net"
	"testing"
	"time"

	"golang.org/x/net/http2"
	"golang.org/x/net/http2/hpack"
)

// h2conn is an HTTP/2 client that sends what it is told to.
type h2conn struct {
	t    testing.TB
	conn net.Conn
	fr   *http2.Framer
}

func (r *rig) h2(settings ...http2.Setting) *h2conn {
	r.t.Helper()
	c, err := tls.Dial("tcp", r.https, &tls.Config{RootCAs: r.roots, ServerName: "example.org", NextProtos: []string{"h2"}})
	if err != nil {
		r.t.Fatal(err)
	}
	r.t.Cleanup(func() { c.Close() })
	c.SetDeadline(time.Now().Add(10 * time.Second))
	io.WriteString(c, http2.ClientPreface)
	h := &h2conn{r.t, c, http2.NewFramer(c, c)}
	h.fr.AllowIllegalWrites = true
	h.fr.ReadMetaHeaders = hpack.NewDecoder(4096, nil)
	h.fr.WriteSettings(settings...)
	return h
}

// headers sends a header block of names and values.
func (h *h2conn) headers(stream uint32, end bool, kv ...string) {
	var b bytes.Buffer
	enc := hpack.NewEncoder(&b)
	for i := 0; i < len(kv); i += 2 {
		enc.WriteField(hpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	block := b.Bytes()
	first := true
	for first || len(block) > 0 {
		n := min(len(block), 16<<10)
		if first {
			h.fr.WriteHeaders(http2.HeadersFrameParam{StreamID: stream, BlockFragment: block[:n], EndStream: end, EndHeaders: n == len(block)})
		} else {
			h.fr.WriteContinuation(stream, n == len(block), block[:n])
		}
		block, first = block[n:], false
	}
}

func (h *h2conn) until(ok func(http2.Frame) bool) {
	h.t.Helper()
	for {
		f, err := h.fr.ReadFrame()
		if err != nil {
			h.t.Fatal(err)
		}
		if ok(f) {
			return
		}
	}
}

// answer returns the status of a stream and its body, "RST code" or "GOAWAY code".
func (h *h2conn) answer(stream uint32) (status, body string) {
	h.t.Helper()
	h.until(func(f http2.Frame) bool {
		switch f := f.(type) {
		case *http2.MetaHeadersFrame:
			status = f.PseudoValue("status")
			return f.StreamEnded()
		case *http2.DataFrame:
			body += string(f.Data())
			return f.StreamEnded()
		case *http2.RSTStreamFrame:
			if status == "" {
				status = "RST " + f.ErrCode.String()
			}
			return true
		case *http2.GoAwayFrame:
			if f.ErrCode != http2.ErrCodeNo {
				status = "GOAWAY " + f.ErrCode.String()
				return true
			}
		}
		return false
	})
	return status, body
}
