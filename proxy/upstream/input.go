package upstream

import (
	"bytes"
	"errors"
	"io"
	"net"
)

// input is a read buffer of our own: it can look for the end of a head without
// copying lines, and lends bytes to whoever reads the body.
type input struct {
	r      io.Reader
	buf    []byte
	r0, w0 int // unread bytes are buf[r0:w0]
	limit  int // of a head
	// before is called when a read is about to wait. Parsers ask for more in many
	// places: a deadline that was set in one of them would not hold in the others.
	before func() error
	early  error // of a read that was made already
}

// wait reads from the connection itself.
func (in *input) wait(p []byte) (int, error) {
	if err := in.early; err != nil {
		in.early = nil
		return 0, err
	}
	if in.before != nil {
		if err := in.before(); err != nil {
			return 0, err
		}
	}
	return in.r.Read(p)
}

var errHeadTooLong = malformed("header is longer than allowed")

// fill reads at least one more byte. It returns io.EOF only where there was none.
func (in *input) fill() error {
	if in.r0 == in.w0 {
		in.r0, in.w0 = 0, 0
	} else if in.w0 == len(in.buf) {
		if in.r0 > 0 {
			copy(in.buf, in.buf[in.r0:in.w0])
			in.r0, in.w0 = 0, in.w0-in.r0
		} else {
			in.buf = append(in.buf, make([]byte, len(in.buf))...)
		}
	}
	n, err := in.wait(in.buf[in.w0:])
	in.w0 += n
	if n > 0 {
		return nil
	}
	if err == nil {
		err = io.ErrNoProgress
	}
	return err
}

// line returns the next line without its CRLF. It is valid until the next call.
func (in *input) line(limit int) ([]byte, error) {
	from := 0
	for {
		if i := bytes.IndexByte(in.buf[in.r0+from:in.w0], '\n'); i >= 0 {
			i += from
			l := in.buf[in.r0 : in.r0+i]
			in.r0 += i + 1
			if i == 0 || l[i-1] != '\r' {
				return nil, malformed("line ends without CR")
			}
			if i > limit {
				return nil, errHeadTooLong
			}
			return l[:i-1], nil
		}
		from = in.w0 - in.r0
		if from > limit {
			return nil, errHeadTooLong
		}
		if err := in.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// headBytes returns everything up to and including the empty line. A line that
// ends without CR is refused as it comes: an upstream that writes such lines
// never sends the empty line that would be waited for.
func (in *input) headBytes() ([]byte, error) {
	line, from := 0, 0 // where the line begins, where to look for its end
	for {
		b := in.buf[in.r0:in.w0]
		for {
			i := bytes.IndexByte(b[from:], '\n')
			if i < 0 {
				break
			}
			end := from + i
			if end == 0 || b[end-1] != '\r' {
				return nil, malformed("line ends without CR")
			}
			if end >= in.limit {
				return nil, errHeadTooLong
			}
			if end-1 == line {
				in.r0 += end + 1
				return b[:end+1], nil
			}
			line, from = end+1, end+1
		}
		if len(b) > in.limit {
			return nil, errHeadTooLong
		}
		from = len(b)
		// Garbage that never has an empty line need not be read to its end.
		if len(b) >= 5 && string(b[:5]) != "HTTP/" {
			return nil, malformed("answer does not begin with HTTP/")
		}
		if err := in.fill(); err != nil {
			return nil, unexpected(err)
		}
	}
}

// hasHead reports whether a whole head has been read.
func (in *input) hasHead() bool { return bytes.Contains(in.buf[in.r0:in.w0], crlfcrlf) }

var crlfcrlf = []byte("\r\n\r\n")

// read gives buffered bytes first, and large reads past the buffer.
func (in *input) read(p []byte) (int, error) {
	if in.r0 == in.w0 {
		if len(p) >= len(in.buf) {
			return in.wait(p)
		}
		if err := in.fill(); err != nil {
			return 0, err
		}
	}
	n := copy(p, in.buf[in.r0:in.w0])
	in.r0 += n
	return n, nil
}

// maxInputKept bounds the buffer that a connection keeps between answers.
const maxInputKept = 16 << 10

// settle is called between answers. It reports false where bytes are left that
// belong to no answer.
func (in *input) settle() bool {
	if in.r0 != in.w0 {
		return false
	}
	in.r0, in.w0 = 0, 0
	if len(in.buf) > maxInputKept {
		in.buf = make([]byte, 4<<10)
	}
	return true
}

// rest is the connection with what has been read of it already in front.
func (in *input) rest(nc net.Conn) net.Conn {
	if in.r0 == in.w0 {
		return nc
	}
	return &prefixed{Conn: nc, early: in.buf[in.r0:in.w0]}
}

type prefixed struct {
	net.Conn
	early []byte
}

func (p *prefixed) Read(b []byte) (int, error) {
	if len(p.early) > 0 {
		n := copy(b, p.early)
		p.early = p.early[n:]
		return n, nil
	}
	return p.Conn.Read(b)
}

// CloseWrite passes a half-close on.
func (p *prefixed) CloseWrite() error {
	if cw, ok := p.Conn.(interface{ CloseWrite() error }); ok {
		return cw.CloseWrite()
	}
	return errors.ErrUnsupported
}

// unexpected makes the end of the stream an error in the middle of something.
func unexpected(err error) error {
	if err == io.EOF {
		return io.ErrUnexpectedEOF
	}
	return err
}
