package proxy

import (
	"errors"
	"net"
	"os"
	"slices"
	"time"

	"golang.org/x/net/http2/hpack"
)

// h2guard stands between a client's HTTP/2 byte stream and net/http, as guard
// does for HTTP/1. net/http parses frames strictly, but it has gaps: a client may
// take as long as it likes to send a header block; fields that HTTP/2 forbids get
// an answer where RFC 9113 section 8.2.2 wants the stream reset; header lists that
// are too large may come again and again. So every frame but DATA is held back
// until it is complete, and header blocks are decoded on their way through.
//
// To net/http the connection looks like HTTP/2 without TLS: it takes no other
// than a *tls.Conn for HTTP/2 with TLS.
type h2guard struct {
	net.Conn // *tls.Conn
	conn     *conn
	limit    time.Duration // from the first byte of a frame, or of a header block, to its last

	in    []byte // read, not handed over
	pass  int    // bytes that may be handed over, of in and after
	begun bool   // the preface was there
	block bool   // within a header block
	timed bool   // the read deadline is ours
	deaf  bool   // nothing more is handed over: net/http has been given the fault that ends the connection
	dec   *hpack.Decoder
	bad   *refusal // of the header block
	size  int      // of the header block, as RFC 9113 section 6.5.2 counts
	most  int      // that size may be
	bads  int      // header blocks that were refused
	store [1 << 10]byte
}

const (
	h2Preface     = "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
	h2FrameHeader = 9
	h2MaxFrame    = 16 << 10 // what engine advertises

	// maxBadBlocks is how many refused header blocks a connection survives.
	maxBadBlocks = 100

	frameData, frameHeaders, frameContinuation = 0, 1, 9
	flagEndHeaders, flagPadded, flagPriority   = 0x4, 0x8, 0x20
)

func newH2Guard(c *conn, nc net.Conn, l *Limits) *h2guard {
	g := &h2guard{Conn: nc, conn: c, limit: l.HeaderRead, most: l.HeaderBytes + 8192} // net/http refuses less
	g.dec = hpack.NewDecoder(4096, g.field)
	g.dec.SetMaxStringLength(g.most)
	return g
}

// Read implements net.Conn.
func (g *h2guard) Read(p []byte) (int, error) {
	for g.pass == 0 {
		if err := g.next(); err != nil {
			return 0, err
		}
	}
	if len(g.in) == 0 {
		n, err := g.Conn.Read(p[:min(len(p), g.pass)])
		g.pass -= n
		return n, err
	}
	n := copy(p, g.in[:min(len(g.in), g.pass)])
	g.in, g.pass = g.in[n:], g.pass-n
	return n, nil
}

// next looks at the frame that begins here, and lets it pass.
func (g *h2guard) next() error {
	if !g.begun {
		return g.preface()
	}
	if err := g.fill(h2FrameHeader); err != nil {
		return err
	}
	size, kind := int(g.in[0])<<16|int(g.in[1])<<8|int(g.in[2]), g.in[3]
	whole := h2FrameHeader + size
	switch {
	case g.deaf:
		g.in = g.in[:0]
		return nil
	case size > h2MaxFrame:
		g.deaf, whole = true, h2FrameHeader // the length is what net/http ends the connection for
	case g.block != (kind == frameContinuation):
		g.deaf = true // so is a block that is interrupted, or was never begun
	case kind == frameData:
	default:
		if err := g.fill(whole); err != nil {
			return err
		}
		if kind == frameHeaders || kind == frameContinuation {
			whole += g.header(g.in[:whole])
		}
	}
	g.pass = whole
	if g.block || g.deaf {
		return nil
	}
	return g.lift()
}

// lift takes the deadline of fill back.
func (g *h2guard) lift() error {
	if !g.timed {
		return nil
	}
	g.timed = false
	return g.Conn.SetReadDeadline(time.Time{})
}

// preface sees to it that the client does speak HTTP/2: net/http would take
// anything else for HTTP/1, which no guard has looked at.
func (g *h2guard) preface() error {
	for n := 1; n <= len(h2Preface); n++ {
		if err := g.fill(n); err != nil {
			return err
		}
		if n == 1 {
			g.conn.began.Store(true)
		}
		if g.in[n-1] != h2Preface[n-1] {
			return errRefused
		}
	}
	g.begun, g.pass = true, len(h2Preface)
	return g.lift()
}

// fill reads until in has n bytes.
func (g *h2guard) fill(n int) error {
	if cap(g.in) < n || len(g.in) == 0 {
		buf := g.store[:0]
		if n > len(g.store) {
			buf = make([]byte, 0, n)
		}
		g.in = append(buf, g.in...)
	}
	for len(g.in) < n {
		if !g.timed && (len(g.in) > 0 || g.block) {
			g.timed = true
			if err := g.Conn.SetReadDeadline(time.Now().Add(g.limit)); err != nil {
				return err
			}
		}
		m, err := g.Conn.Read(g.in[len(g.in):cap(g.in)])
		if g.in = g.in[:len(g.in)+m]; err != nil && len(g.in) < n {
			if g.timed && errors.Is(err, os.ErrDeadlineExceeded) {
				g.conn.srv.refused(g.conn, &refusal{status: 408, reason: "a frame or a header block took too long"})
			}
			return err
		}
	}
	return nil
}

// header decodes a frame of a header block. Where the block has a forbidden
// field, it goes on, behind the frame, with a field that is malformed in the
// eyes of net/http, which resets the stream for it. The block itself stays as it is:
// the compression state of the connection depends on it. It returns the number
// of bytes added.
func (g *h2guard) header(frame []byte) (added int) {
	fragment, ok := blockFragment(frame)
	if !ok {
		g.deaf = true
		return 0
	}
	g.block = frame[4]&flagEndHeaders == 0
	_, err := g.dec.Write(fragment)
	if err == nil && !g.block {
		err = g.dec.Close()
	}
	if err != nil {
		g.deaf = true // the compression state is lost
		return 0
	}
	if g.block {
		return 0
	}
	bad, size := g.bad, g.size
	g.bad, g.size = nil, 0
	if bad == nil && size <= g.most {
		return 0
	}
	var more []byte
	switch g.bads++; {
	case g.bads > maxBadBlocks: // interrupt the block, which ends the connection
		g.deaf = true
		more = []byte{0, 0, 0, frameData, 0, 0, 0, 0, 0}
	case bad == nil: // net/http sees by itself that it is too large, and answers
		return 0
	default:
		g.conn.srv.refused(g.conn, bad)
		more = []byte{0, 0, 4, frameContinuation, flagEndHeaders, frame[5], frame[6], frame[7], frame[8], 0, 1, 'A', 0} // field "A", empty
	}
	frame[4] &^= flagEndHeaders
	g.in = slices.Insert(g.in, len(frame), more...)
	return len(more)
}

// blockFragment is the part of a HEADERS or CONTINUATION frame that belongs to the block.
func blockFragment(frame []byte) ([]byte, bool) {
	p := frame[h2FrameHeader:]
	if frame[3] == frameContinuation {
		return p, true
	}
	padding := 0
	if frame[4]&flagPadded != 0 {
		if len(p) < 1 {
			return nil, false
		}
		padding, p = int(p[0]), p[1:]
	}
	if frame[4]&flagPriority != 0 {
		if len(p) < 5 {
			return nil, false
		}
		p = p[5:]
	}
	if padding > len(p) {
		return nil, false
	}
	return p[:len(p)-padding], true
}

// field takes a field of a header block.
func (g *h2guard) field(f hpack.HeaderField) {
	g.size += int(f.Size())
	switch f.Name {
	case "connection", "proxy-connection", "keep-alive", "transfer-encoding", "upgrade":
	case "te":
		if f.Value == "trailers" {
			return
		}
	default:
		return
	}
	g.bad = fault("connection-specific field on HTTP/2")
}
