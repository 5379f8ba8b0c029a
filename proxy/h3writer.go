package proxy

import (
	"bytes"
	"errors"
	"net/http"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/quic-go/qpack"
	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
	"golang.org/x/net/http/httpguts"
)

// h3writer writes an answer. It is an http.ResponseWriter with the deadlines
// and the Flush of an http.ResponseController.
type h3writer struct {
	h      *h3conn
	str    *quic.Stream
	header http.Header
	head   bool // the request was HEAD

	status   int
	declared int64 // Content-Length; negative: none
	written  int64
	out      []byte // not sent yet
	err      error
	closed   bool

	mu     sync.Mutex
	answer bool // the final head is on its way
}

// h3Buffer is how much of an answer is collected before it is sent.
const h3Buffer = 4 << 10

var errBodyLength = errors.New("the body is not as long as its Content-Length")

// Header implements http.ResponseWriter.
func (w *h3writer) Header() http.Header { return w.header }

// WriteHeader implements http.ResponseWriter.
func (w *h3writer) WriteHeader(status int) {
	if w.status != 0 {
		return
	}
	if status < 200 {
		w.out = w.appendHead(w.out, status)
		w.flush()
		return
	}
	w.mu.Lock()
	w.answer = true
	w.mu.Unlock()
	w.status, w.declared = status, -1
	if v := w.header["Content-Length"]; len(v) > 0 {
		if n, err := strconv.ParseUint(v[0], 10, 62); err == nil {
			w.declared = int64(n)
		}
	}
	if _, ok := w.header["Date"]; !ok {
		w.header["Date"] = []string{time.Now().UTC().Format(http.TimeFormat)}
	}
	if v := w.header["Connection"]; len(v) > 0 && hasToken(v[0], "close") {
		defer w.h.leave()
	}
	w.out = w.appendHead(w.out, status)
}

// appendHead appends a HEADERS frame.
func (w *h3writer) appendHead(b []byte, status int) []byte {
	var block bytes.Buffer
	enc := qpack.NewEncoder(&block)
	enc.WriteField(qpack.HeaderField{Name: ":status", Value: strconv.Itoa(status)})
	for name, values := range w.header {
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Trailer":
			continue
		}
		if !strings.HasPrefix(name, http.TrailerPrefix) {
			encodeField(enc, name, values)
		}
	}
	return appendFrame(b, h3Headers, block.Bytes())
}

// encodeField leaves out what no client may get to see.
func encodeField(enc *qpack.Encoder, name string, values []string) {
	if !isToken7230([]byte(name)) {
		return
	}
	name = strings.ToLower(name)
	for _, v := range values {
		if httpguts.ValidHeaderFieldValue(v) {
			enc.WriteField(qpack.HeaderField{Name: name, Value: v})
		}
	}
}

func appendFrame(b []byte, kind uint64, payload []byte) []byte {
	b = quicvarint.Append(b, kind)
	b = quicvarint.Append(b, uint64(len(payload)))
	return append(b, payload...)
}

// Write implements io.Writer.
func (w *h3writer) Write(p []byte) (int, error) {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	switch {
	case w.err != nil:
		return 0, w.err
	case w.status == http.StatusNoContent || w.status == http.StatusNotModified:
		return 0, http.ErrBodyNotAllowed
	case w.declared >= 0 && w.written+int64(len(p)) > w.declared:
		return 0, http.ErrContentLength
	}
	w.written += int64(len(p))
	if w.head || len(p) == 0 {
		return len(p), nil
	}
	w.out = quicvarint.Append(w.out, h3Data)
	w.out = quicvarint.Append(w.out, uint64(len(p)))
	if len(w.out)+len(p) <= h3Buffer {
		w.out = append(w.out, p...)
		return len(p), nil
	}
	if err := w.flush(); err != nil {
		return 0, err
	}
	return len(p), w.send(p)
}

// FlushError implements what http.ResponseController looks for.
func (w *h3writer) FlushError() error {
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	return w.flush()
}

func (w *h3writer) flush() error {
	out := w.out
	w.out = w.out[:0]
	return w.send(out)
}

// h3Piece is what a client has WriteStall to take.
const h3Piece = 8 << 10

// send bounds how long a client may take nothing.
func (w *h3writer) send(p []byte) error {
	for len(p) > 0 && w.err == nil {
		n := min(len(p), h3Piece)
		w.str.SetWriteDeadline(time.Now().Add(w.h.limits.WriteStall))
		_, w.err = w.str.Write(p[:n])
		p = p[n:]
	}
	return w.err
}

// SetReadDeadline implements what http.ResponseController looks for.
func (w *h3writer) SetReadDeadline(t time.Time) error { return w.str.SetReadDeadline(t) }

// SetWriteDeadline implements what http.ResponseController looks for. It may be
// called while a Write is in progress.
func (w *h3writer) SetWriteDeadline(t time.Time) error { return w.str.SetWriteDeadline(t) }

// CloseWrite ends the answer, while the request goes on.
func (w *h3writer) CloseWrite() error {
	if err := w.flush(); err != nil {
		return err
	}
	w.closed = true
	return w.str.Close()
}

// proceed sends 100 Continue, unless the answer has begun.
func (w *h3writer) proceed() {
	w.mu.Lock()
	defer w.mu.Unlock()
	if !w.answer {
		w.str.SetWriteDeadline(time.Now().Add(w.h.limits.WriteStall))
		var block bytes.Buffer
		qpack.NewEncoder(&block).WriteField(qpack.HeaderField{Name: ":status", Value: "100"})
		w.str.Write(appendFrame(nil, h3Headers, block.Bytes()))
	}
}

// finish sends what is left, with trailers.
func (w *h3writer) finish() error {
	if w.closed {
		return nil
	}
	if w.status == 0 {
		w.WriteHeader(http.StatusOK)
	}
	if !w.head && w.declared >= 0 && w.written != w.declared && w.status != http.StatusNotModified && w.status != http.StatusNoContent {
		return errBodyLength
	}
	var block bytes.Buffer
	var enc *qpack.Encoder
	for name, values := range w.header {
		if plain, ok := strings.CutPrefix(name, http.TrailerPrefix); ok && !forbiddenTrailer(plain) {
			if enc == nil {
				enc = qpack.NewEncoder(&block)
			}
			encodeField(enc, plain, values)
		}
	}
	if block.Len() > 0 {
		w.out = appendFrame(w.out, h3Headers, block.Bytes())
	}
	return w.flush()
}

// refuse answers a request that did not become one.
func (w *h3writer) refuse(bad *refusal) {
	text := bad.reason + "\n"
	w.header["Content-Type"] = textValue
	w.header["Content-Length"] = []string{strconv.Itoa(len(text))}
	w.WriteHeader(bad.status)
	w.Write([]byte(text))
	if w.finish() != nil {
		reject(w.str, h3InternalError)
		return
	}
	w.str.CancelRead(h3ExcessiveLoad)
	w.str.Close()
}
