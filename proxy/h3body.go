package proxy

import (
	"bufio"
	"errors"
	"io"
	"net/http"
	"net/textproto"

	"github.com/quic-go/qpack"
	"golang.org/x/net/http/httpguts"
)

// h3body is the body of a request: DATA frames, and trailers behind them. One
// goroutine reads at a time.
type h3body struct {
	br     *bufio.Reader
	r      *http.Request
	most   int            // that trailers may take
	frame  uint64         // left of the frame
	left   int64          // of what Content-Length announced; negative: nothing was
	expect func()         // sends 100 Continue, for which the client waits; nil: it does not
	fault  func(*h3Fault) // ends the stream, or the connection
	err    error          // that every further Read returns
}

// body finds out whether the request has a body. HTTP/3 says so nowhere: where
// no Content-Length announces one, a GET is read to its end, which comes with the
// head, and anything else may be a stream.
func (h *h3conn) body(r *http.Request, in *h3input) error {
	b := &h3body{br: in.Reader, r: r, most: h.most(), left: -1}
	if v := r.Header["Content-Length"]; len(v) > 0 {
		var hd head
		if hd.contentLength([]byte(v[0])) != nil || in.over() {
			return nil // faults finds that nothing is announced, or nothing came
		}
		if r.ContentLength, b.left = hd.length, hd.length; hd.length > 0 {
			r.Body = b
		}
		return nil
	}
	switch r.Method {
	case http.MethodGet, http.MethodHead, http.MethodOptions, http.MethodDelete, http.MethodTrace:
		if _, err := in.Peek(1); err == io.EOF {
			return nil
		} else if err != nil {
			return err
		}
	default:
		if in.over() {
			return nil
		}
	}
	r.Body, r.ContentLength = b, -1
	return nil
}

// Close implements io.Closer. What is left is not read.
func (b *h3body) Close() error { return nil }

// Read implements io.Reader.
func (b *h3body) Read(p []byte) (int, error) {
	if b.err != nil || len(p) == 0 {
		return 0, b.err
	}
	if b.expect != nil {
		b.expect()
		b.expect = nil
	}
	for b.frame == 0 {
		if err := b.next(); err != nil {
			return 0, b.fail(err)
		}
	}
	n, err := b.br.Read(p[:min(uint64(len(p)), b.frame)])
	b.frame -= uint64(n)
	if b.left >= 0 {
		if b.left -= int64(n); b.left < 0 {
			return 0, b.fail(fault("body longer than Content-Length"))
		}
	}
	if err == io.EOF && b.frame == 0 {
		err = nil // it comes again, where it belongs
	}
	if err != nil {
		return n, b.fail(unexpectedEnd(err))
	}
	return n, nil
}

// fail keeps an error that lasts. A deadline may be moved.
func (b *h3body) fail(err error) error {
	if f, ok := errors.AsType[*h3Fault](err); ok {
		b.fault(f)
	}
	b.err = err
	return err
}

// next goes to the next DATA frame, or to the end.
func (b *h3body) next() error {
	kind, size, err := requestFrame(b.br, maxSkipped)
	switch {
	case err == io.EOF:
		return b.end()
	case err != nil:
		return err
	case kind == h3Data:
		b.frame = size
		return nil
	case size > uint64(b.most):
		return streamFault(h3ExcessiveLoad, "trailers too large")
	}
	block := make([]byte, size)
	if _, err := io.ReadFull(b.br, block); err != nil {
		return unexpectedEnd(err)
	}
	if err := b.trailers(block); err != nil {
		return err
	}
	if _, _, err := requestFrame(b.br, maxSkipped); err == nil {
		return connFault(h3FrameUnexpected, "a frame after the trailers")
	} else if err != io.EOF {
		return err
	}
	return b.end()
}

func (b *h3body) end() error {
	if b.left > 0 {
		return fault("body shorter than Content-Length")
	}
	return io.EOF
}

// trailers keeps those that were announced, as net/http does.
func (b *h3body) trailers(block []byte) error {
	next, left := qpack.NewDecoder().Decode(block), b.most
	for {
		hf, err := next()
		if err == io.EOF {
			return nil
		}
		if err != nil {
			return connFault(h3DecompressionFailed, "malformed field section")
		}
		if left -= len(hf.Name) + len(hf.Value) + 32; left < 0 {
			return streamFault(h3ExcessiveLoad, "trailers too large")
		}
		if !httpguts.ValidHeaderFieldValue(hf.Value) {
			return streamFault(h3MessageError, "control character in a trailer field")
		}
		if err := checkFieldName(hf.Name, hf.Value); err != nil { // a pseudo-header field is no token
			return err
		}
		key := textproto.CanonicalMIMEHeaderKey(hf.Name)
		if old, announced := b.r.Trailer[key]; announced {
			b.r.Trailer[key] = append(old, hf.Value)
		}
	}
}
