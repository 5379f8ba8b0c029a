package proxy

import (
	"bufio"
	"context"
	"errors"
	"io"
	"net/http"
	"sync"
	"time"

	"github.com/quic-go/quic-go"
	"github.com/quic-go/quic-go/quicvarint"
)

// h3conn is an HTTP/3 connection (RFC 9114). quic-go does QUIC and TLS; the
// framing is here, because http3.Server bounds neither how long a head may take
// nor what it keeps of a request, and what it refuses, nobody gets to know.
type h3conn struct {
	conn    *conn
	q       *quic.Conn
	srv     *Server
	from    *quicListener
	limits  *Limits
	control *quic.SendStream
	wg      sync.WaitGroup // requests, and readers of the client's control stream

	mu      sync.Mutex
	active  int           // requests in progress
	next    quic.StreamID // the least that no request has come on
	leaving bool          // GOAWAY has been sent
	idle    *time.Timer   // runs while active is zero
	bads    int           // requests that were refused by their form
	have    [4]bool       // unidirectional streams of the client, by type
}

// maxSkipped bounds the bytes of a stream that are in frames of unknown types.
const maxSkipped = 64 << 10

// serve returns when the connection is closed and its last request is over.
func (h *h3conn) serve() {
	defer h.from.exit(h)
	defer h.conn.Close()
	defer h.wg.Wait()
	if err := h.openControl(); err != nil {
		return
	}
	h.mu.Lock()
	h.idle = time.AfterFunc(h.limits.Idle, h.leave)
	h.mu.Unlock()
	defer func() {
		h.mu.Lock()
		defer h.mu.Unlock()
		h.idle.Stop()
	}()
	if !h.from.enter(h) {
		// It began before clients were sent away: the request that it was made for is taken.
		late := time.AfterFunc(time.Second, h.leave)
		defer late.Stop()
	}
	h.wg.Go(h.acceptUni)
	for {
		str, err := h.q.AcceptStream(context.Background())
		if err != nil {
			return
		}
		if !h.begin(str) {
			// The client may send this request again elsewhere (RFC 9114 section 4.1.1).
			reject(str, h3RequestRejected)
			str.ReleaseStreamCredit()
			continue
		}
		h.wg.Go(func() {
			// A stream counts until its request is over, not just until the client
			// has reset it: else resets would be a way around the limit of streams.
			defer str.ReleaseStreamCredit()
			defer h.end()
			h.request(str)
		})
	}
}

func (h *h3conn) openControl() (err error) {
	if h.control, err = h.q.OpenUniStream(); err != nil {
		return err
	}
	var set []byte
	set = quicvarint.Append(set, h3SettingFieldSection)
	set = quicvarint.Append(set, uint64(h.most()))
	set = quicvarint.Append(set, h3SettingExtendedConnect)
	set = quicvarint.Append(set, 1)
	b := quicvarint.Append(nil, h3StreamControl)
	b = quicvarint.Append(b, h3Settings)
	b = quicvarint.Append(b, uint64(len(set)))
	h.control.SetWriteDeadline(time.Now().Add(h.limits.WriteStall))
	_, err = h.control.Write(append(b, set...))
	return err
}

// most is how large a field section may be, as RFC 9114 section 4.2.2 counts.
func (h *h3conn) most() int { return h.limits.HeaderBytes + 8192 }

// begin counts a request in, unless the connection is being left.
func (h *h3conn) begin(str *quic.Stream) bool {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving {
		return false
	}
	h.conn.began.Store(true)
	h.next = str.StreamID() + 4
	h.active++
	h.idle.Stop()
	return true
}

func (h *h3conn) end() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.active--; h.active > 0 {
		return
	}
	if h.leaving {
		h.idle = time.AfterFunc(h.linger(), h.close)
	} else {
		h.idle.Reset(h.limits.Idle)
	}
}

// linger is how long a connection stays after its last answer was written:
// CONNECTION_CLOSE would overtake what is still on its way, or has to be sent again.
func (h *h3conn) linger() time.Duration {
	return min(max(4*h.q.ConnectionStats().SmoothedRTT, 100*time.Millisecond), 2*time.Second)
}

// leave announces that no more requests are taken, lets those in progress end,
// and then closes the connection.
func (h *h3conn) leave() {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.leaving {
		return
	}
	h.leaving = true
	h.idle.Stop()
	b := quicvarint.Append(nil, h3GoAway)
	b = quicvarint.Append(b, uint64(quicvarint.Len(uint64(h.next))))
	b = quicvarint.Append(b, uint64(h.next))
	h.control.SetWriteDeadline(time.Now().Add(time.Second))
	h.control.Write(b)
	if h.active == 0 {
		h.idle = time.AfterFunc(h.linger(), h.close)
	}
}

func (h *h3conn) close() { h.q.CloseWithError(h3NoError, "") }

// fault ends what a fault of the client ends.
func (h *h3conn) fault(str *quic.Stream, err error) {
	f, ok := errors.AsType[*h3Fault](err)
	switch {
	case !ok:
		reject(str, h3RequestIncomplete)
	case f.conn:
		h.srv.refused(h.conn, fault(f.reason))
		h.q.CloseWithError(f.code, f.reason)
	default:
		h.srv.refused(h.conn, fault(f.reason))
		reject(str, f.code)
	}
	if ok {
		h.bad()
	}
}

// bad counts a request that was refused by its form: a client that does nothing
// else is sent away.
func (h *h3conn) bad() {
	h.mu.Lock()
	h.bads++
	over := h.bads > maxBadBlocks
	h.mu.Unlock()
	if over {
		h.q.CloseWithError(h3ExcessiveLoad, "too many requests that were refused")
	}
}

func reject(str *quic.Stream, code quic.ApplicationErrorCode) {
	str.CancelRead(quic.StreamErrorCode(code))
	str.CancelWrite(quic.StreamErrorCode(code))
}

// h3input is the client's part of a request stream.
type h3input struct {
	*bufio.Reader
	str *quic.Stream
	fin bool // the end has come, behind what is buffered
}

func newH3Input() any {
	in := new(h3input)
	in.Reader = bufio.NewReaderSize((*h3source)(in), 1<<10)
	return in
}

// h3source takes note of the end, which comes with the last bytes.
type h3source h3input

func (s *h3source) Read(p []byte) (int, error) {
	n, err := s.str.Read(p)
	s.fin = err == io.EOF
	return n, err
}

// over reports whether it is known that nothing more comes.
func (in *h3input) over() bool { return in.fin && in.Buffered() == 0 }

// request serves one request stream.
func (h *h3conn) request(str *quic.Stream) {
	in := h.srv.quic.inputs.Get().(*h3input)
	in.str, in.fin = str, false
	in.Reset((*h3source)(in))
	str.SetReadDeadline(time.Now().Add(h.limits.HeaderRead))
	r, bad, err := h.head(str, in)
	w := &h3writer{h: h, str: str, header: http.Header{}}
	switch {
	case bad != nil:
		h.srv.refused(h.conn, bad)
		w.refuse(bad)
		h.bad()
		return
	case err != nil:
		h.fault(str, err)
		return
	}
	str.SetReadDeadline(time.Time{})
	w.head = r.Method == http.MethodHead
	if b, ok := r.Body.(*h3body); ok {
		b.fault = func(f *h3Fault) { h.fault(str, f) }
		if r.Header["Expect"] != nil {
			b.expect = w.proceed
		}
	}
	if h.call(w, r) && w.finish() == nil {
		str.CancelRead(h3NoError) // of what nobody wanted
		str.Close()
	} else {
		reject(str, h3InternalError)
	}
	if r.Body == http.NoBody { // else somebody may still be reading, for a moment
		in.str = nil
		h.srv.quic.inputs.Put(in)
	}
}

// call reports whether the handler came to its end.
func (h *h3conn) call(w *h3writer, r *http.Request) (whole bool) {
	defer func() {
		if cause := recover(); cause != nil && cause != http.ErrAbortHandler {
			h.srv.panics.log(h.srv.log, cause)
		}
	}()
	h.srv.ServeHTTP(w, r)
	return true
}
