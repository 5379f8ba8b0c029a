package proxy

import (
	"context"
	"crypto/rand"
	"crypto/sha1"
	"encoding/base64"
	"errors"
	"io"
	"net"
	"net/http"
	"net/textproto"
	"time"

	"edge/internal/h2connect"
	"edge/proxy/upstream"
)

var _ = h2connect.Restore() // net/http has been initialised: this package imports it

// A WebSocket on HTTP/2 or HTTP/3 is a stream that begins with an extended CONNECT
// (RFC 8441, RFC 9220). To policy and to the upstream it is what it is on HTTP/1.1,
// a GET that asks for an upgrade, of which the key is ours; 101 becomes 200, and what
// follows goes as it comes.

// extendedProto marks such a request: r.Proto is never a client's word otherwise.
const extendedProto = "websocket"

// extended turns an extended CONNECT around. It reports whether r is one that edge serves.
func (x *exchange) extended() bool {
	r := x.r
	protocol := r.Header[":protocol"]
	if r.Method != http.MethodConnect || len(protocol) != 1 || knownUpgrade(protocol[0]) != extendedProto {
		return false
	}
	delete(r.Header, ":protocol")
	r.Method, r.Proto, r.ContentLength = http.MethodGet, extendedProto, 0
	delete(r.Header, "Content-Length")
	var key [16]byte
	rand.Read(key[:])
	r.Header["Sec-Websocket-Key"] = []string{base64.StdEncoding.EncodeToString(key[:])}
	x.fields = fieldsOf(x.fields[:0], r.Header)
	x.req.Method, x.req.Header = r.Method, x.fields
	return true
}

func isExtended(r *http.Request) bool { return r.ProtoMajor >= 2 && r.Proto == extendedProto }

// acceptOf is the answer to a key (RFC 6455 section 4.2.2).
func acceptOf(key string) string {
	h := sha1.Sum([]byte(key + "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"))
	return base64.StdEncoding.EncodeToString(h[:])
}

var errNoWebSocket = errors.New("the upstream's answer is not one to a WebSocket's key")

// tunnelStream answers 200 and copies both ways until both sides have ended.
func (x *exchange) tunnelStream(res *upstream.Response) {
	up := res.Upgraded
	defer up.Close()
	h, accepted := x.w.Header(), false
	delete(h, "Connection")
	for _, f := range res.Header {
		switch name := textproto.CanonicalMIMEHeaderKey(f.Name); name {
		case "Connection", "Upgrade", "Content-Length", "Transfer-Encoding":
		case "Sec-Websocket-Accept":
			accepted = f.Value == acceptOf(x.r.Header["Sec-Websocket-Key"][0])
		default:
			h[name] = append(h[name], f.Value)
		}
	}
	if !accepted {
		clear(h)
		x.ev.Err = errNoWebSocket
		x.fail(http.StatusBadGateway)
		return
	}
	x.srv.tunnels.add()
	defer x.srv.tunnels.remove()
	h["Content-Type"] = nil // or net/http would guess one
	x.ev.Status = http.StatusOK
	x.w.WriteHeader(http.StatusOK)
	if err := x.flush(); err != nil {
		x.ev.Err = err
		return
	}
	x.ev.TTFB = time.Since(x.ev.Start)
	s := &wsStream{x: x, rc: http.NewResponseController(x.w)}
	stop := context.AfterFunc(x.srv.ctx, func() { s.Close(); up.Close() })
	defer stop()
	gone := context.AfterFunc(x.r.Context(), func() { up.Close() })
	defer gone()
	x.ev.BytesIn, x.ev.BytesOut = splice(s, nil, up, &x.srv.buffers)
}

// wsStream is the client's side of the stream, as far as splice needs it.
type wsStream struct {
	net.Conn // nil: the rest of net.Conn is not used
	x        *exchange
	rc       *http.ResponseController
}

// Read implements io.Reader.
func (s *wsStream) Read(p []byte) (int, error) { return s.x.r.Body.Read(p) }

// Write implements io.Writer. Frames are passed on at once.
func (s *wsStream) Write(p []byte) (int, error) {
	n, err := s.x.write(p)
	if err == nil {
		err = s.x.flush()
	}
	return n, err
}

// CloseWrite ends what goes to the client. On HTTP/2 only the end of the exchange does.
func (s *wsStream) CloseWrite() error {
	if w, ok := s.x.w.(interface{ CloseWrite() error }); ok {
		return w.CloseWrite()
	}
	return errors.ErrUnsupported
}

// Close makes a Read in progress end.
func (s *wsStream) Close() error { return s.rc.SetReadDeadline(time.Unix(1, 0)) }

var _ io.ReadWriteCloser = (*wsStream)(nil)
