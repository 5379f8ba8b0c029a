package proxy

import (
	"bufio"
	"bytes"
	"errors"
	"fmt"
	"io"
	"testing"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3client is an HTTP/3 client that sends what it is told to.
type h3client struct {
	t testing.TB
	q *quic.Conn
}

// h3 opens a connection, with a control stream that has SETTINGS.
func (r *rig) h3() *h3client {
	r.t.Helper()
	h := &h3client{r.t, r.dial3(nil)}
	h.uni(h3StreamControl, frame3(h3Settings, nil))
	return h
}

// uni opens a unidirectional stream and leaves it open.
func (h *h3client) uni(kind uint64, b []byte) *quic.SendStream {
	h.t.Helper()
	s, err := h.q.OpenUniStream()
	if err != nil {
		h.t.Fatal(err)
	}
	s.Write(append(quicvarint.Append(nil, kind), b...))
	return s
}

func frame3(kind uint64, payload []byte) []byte { return appendFrame(nil, kind, payload) }

// fields3 is a HEADERS frame of names and values.
func fields3(kv ...string) []byte { return frame3(h3Headers, section3(kv...)) }

// section3 is a field section.
func section3(kv ...string) []byte {
	var b bytes.Buffer
	enc := qpack.NewEncoder(&b)
	for i := 0; i < len(kv); i += 2 {
		enc.WriteField(qpack.HeaderField{Name: kv[i], Value: kv[i+1]})
	}
	return b.Bytes()
}

// stream opens a request stream and sends bytes, and the end if that is all.
func (h *h3client) stream(end bool, parts ...[]byte) *quic.Stream {
	h.t.Helper()
	s, err := h.q.OpenStream()
	if err != nil {
		h.t.Fatal(err)
	}
	s.SetDeadline(time.Now().Add(10 * time.Second))
	s.Write(bytes.Join(parts, nil))
	if end {
		s.Close()
	}
	return s
}

// answer3 is the status of an answer and its body, "RST code" or "CLOSE code".
func answer3(s *quic.Stream) (status, body string) {
	br := bufio.NewReader(s)
	for {
		kind, err := quicvarint.Read(br)
		var size uint64
		if err == nil {
			size, err = quicvarint.Read(br)
		}
		payload := make([]byte, min(size, 1<<20))
		if err == nil {
			_, err = io.ReadFull(br, payload)
		}
		switch {
		case errors.Is(err, io.EOF):
			return status, body
		case err != nil:
			if se, ok := errors.AsType[*quic.StreamError](err); ok {
				return fmt.Sprintf("RST %#x", uint64(se.ErrorCode)), body
			}
			if ae, ok := errors.AsType[*quic.ApplicationError](err); ok {
				return fmt.Sprintf("CLOSE %#x", uint64(ae.ErrorCode)), body
			}
			return err.Error(), body
		case kind == h3Data:
			body += string(payload)
		case kind == h3Headers && status == "":
			next := qpack.NewDecoder().Decode(payload)
			for hf, err := next(); err == nil; hf, err = next() {
				if hf.Name == ":status" && hf.Value[0] != '1' {
					status = hf.Value
				}
			}
		}
	}
}
