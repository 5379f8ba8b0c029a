package proxy

import (
	"context"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"time"

	"edge"
)

// handshake is the state of one TLS handshake in progress.
type handshake struct {
	state     *state // the tree that was live when the connection came
	name      string // gated server name
	challenge edge.ChallengeType
	err       error // why there is no certificate
}

// handshake speaks TLS on c and passes it on to the engine. A validating CA
// has what it wanted when the handshake is over: its connection is closed.
func (s *Server) handshake(c *conn, st *state) {
	s.tls.rotate(s.opts.Now())
	hs := &handshake{state: st}
	c.hs = hs
	ctx, cancel := context.WithTimeout(s.ctx, st.engine.limits.Handshake)
	defer cancel()
	tc := tls.Server(c, s.tlsConfig)
	err := tc.HandshakeContext(ctx)
	c.hs = nil
	cs := tc.ConnectionState()
	s.report(c, hs, &cs, ctx, err)
	if err != nil {
		answerPlainHTTP(err)
		c.Close()
		return
	}
	if hs.challenge != "" {
		tc.Close()
		return
	}
	c.sni, c.alpn, c.version, c.cipher, c.resumed = hs.name, cs.NegotiatedProtocol, cs.Version, cs.CipherSuite, cs.DidResume
	c.shown = newShown(&cs, st.clientAuth(hs.name))
	if cs.NegotiatedProtocol == "h2" {
		c.become("h2")
		st.engine.serve(newH2Guard(c, tc, &st.engine.limits))
		return
	}
	c.become("http/1.1")
	st.engine.serve(newGuard(c, tc, st.engine.limits))
}

// report makes the event of a finished handshake.
func (s *Server) report(c *conn, hs *handshake, cs *tls.ConnectionState, ctx context.Context, err error) {
	ev := edge.HandshakeEvent{
		Start: c.opened, Duration: time.Since(c.opened), Listener: c.listener, Remote: c.remote,
		SNI: cs.ServerName, Version: cs.Version, Cipher: cs.CipherSuite, ALPN: cs.NegotiatedProtocol,
		Resumed: cs.DidResume, Challenge: hs.challenge, Result: "ok", Err: err,
	}
	switch {
	case err == nil:
	case errors.Is(hs.err, edge.ErrNoCertificate), errors.Is(hs.err, edge.ErrName):
		ev.Result, ev.Err = "no_certificate", hs.err
	case ctx.Err() == context.DeadlineExceeded:
		ev.Result = "timeout"
	case hs.err != nil:
		ev.Result, ev.Err = "error", hs.err
	case isGone(err):
		ev.Result = "client_gone"
	default:
		ev.Result = "error"
	}
	s.obs.Handshake(&ev)
}

// isGone reports whether the peer ended the connection.
func isGone(err error) bool {
	var op *net.OpError
	return errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) || errors.As(err, &op) && op.Op != "local error" && op.Op != "remote error"
}

// answerPlainHTTP tells a client that speaks HTTP on the HTTPS port so.
func answerPlainHTTP(err error) {
	var re tls.RecordHeaderError
	if !errors.As(err, &re) || re.Conn == nil || !looksLikeHTTP(re.RecordHeader) {
		return
	}
	const text = "this port speaks HTTPS: use https:// instead of http://\n"
	re.Conn.SetWriteDeadline(time.Now().Add(time.Second))
	io.WriteString(re.Conn, plainAnswer(400, "", text))
	lingerClose(re.Conn)
}

func looksLikeHTTP(h [5]byte) bool {
	switch string(h[:]) {
	case "GET /", "HEAD ", "POST ", "PUT /", "OPTIO", "PATCH", "DELET", "TRACE", "CONNE":
		return true
	}
	return false
}
