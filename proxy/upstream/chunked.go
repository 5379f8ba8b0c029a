package upstream

import (
	"bytes"

	"edge/proxy/policy"
)

// Chunked coding of answers (RFC 9112 section 7.1), read strictly.

// maxChunkLine bounds a chunk's size line, extension included: extensions are
// ignored, and an upstream has no reason to send long ones.
const maxChunkLine = 256

func (b *body) readChunked(p []byte) (int, error) {
	in := &b.c.in
	if !b.inChunk {
		l, err := in.line(maxChunkLine)
		if err != nil {
			return 0, err
		}
		if b.left, err = parseChunkSize(l); err != nil {
			return 0, err
		}
		if b.left == 0 {
			b.done = true
			return 0, b.readTrailer()
		}
		b.inChunk = true
	}
	if int64(len(p)) > b.left {
		p = p[:b.left]
	}
	n, err := in.read(p)
	b.left -= int64(n)
	if err != nil {
		return n, unexpected(err)
	}
	if b.left > 0 {
		return n, nil
	}
	l, err := in.line(0 + 2)
	if err == nil && len(l) != 0 {
		err = malformed("no CRLF after a chunk")
	}
	if err != nil {
		return n, err
	}
	b.inChunk = false
	// The last chunk is often there already: then this read is the final one.
	if bytes.HasPrefix(in.buf[in.r0:in.w0], lastChunk) {
		in.r0 += len(lastChunk)
		b.done = true
	}
	return n, nil
}

var lastChunk = []byte("0\r\n\r\n")

func parseChunkSize(l []byte) (int64, error) {
	var n int64
	i := 0
	for ; i < len(l); i++ {
		var d byte
		switch c := l[i]; {
		case c >= '0' && c <= '9':
			d = c - '0'
		case c >= 'a' && c <= 'f':
			d = c - 'a' + 10
		case c >= 'A' && c <= 'F':
			d = c - 'A' + 10
		case c == ';' && i > 0 && validValue(string(l[i:])):
			return n, nil
		default:
			return 0, malformed("chunk size %q", clip(string(l)))
		}
		if i >= 15 {
			return 0, malformed("chunk size %q", clip(string(l)))
		}
		n = n<<4 | int64(d)
	}
	if i == 0 {
		return 0, malformed("empty chunk size")
	}
	return n, nil
}

// maxTrailers bounds the trailer fields of an answer.
const maxTrailers = 64

func (b *body) readTrailer() error {
	in := &b.c.in
	left := in.limit // as for a head
	for n := 0; ; n++ {
		l, err := in.line(left)
		if err != nil {
			return err
		}
		left -= len(l) + 2
		if len(l) == 0 {
			return nil
		}
		f, err := parseField(string(l))
		if err != nil {
			return err
		}
		if n == maxTrailers || !trailerAllowed(f.Name) {
			return malformed("trailer field %s", f.Name)
		}
		b.trailer = append(b.trailer, f)
	}
}

// trailers may be called once Read has returned io.EOF.
func (b *body) trailers() []policy.Field { return b.trailer }

// trailerAllowed refuses fields that frame, route or authenticate (RFC 9110 section 6.5.1).
func trailerAllowed(name string) bool {
	switch string(bytes.ToLower([]byte(name))) {
	case "content-length", "transfer-encoding", "host", "trailer", "connection", "content-encoding", "content-type",
		"content-range", "authorization", "set-cookie", "te", "upgrade", "cookie", "www-authenticate":
		return false
	}
	return true
}
