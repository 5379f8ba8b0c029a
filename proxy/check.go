package proxy

import (
	"net/http"
	"strings"

	"edge"
)

// refused checks a parsed request and answers those that policy need not see.
// HTTP/1 requests have passed the guard; on HTTP/2 this is where the same
// limits and refusals are.
func (x *exchange) refused() bool {
	bad := x.faults()
	if bad == nil {
		return false
	}
	x.ev.Decision, x.ev.Err = "refused", bad
	x.answer(bad.status, bad.reason+"\n")
	return true
}

func (x *exchange) faults() *refusal {
	r := x.r
	if r.ProtoMajor < 2 {
		return nil
	}
	l := &x.st.engine.limits
	switch r.Method {
	case http.MethodConnect, http.MethodTrace:
		if !x.extended() {
			return refuseMethod
		}
	}
	if !isToken7230([]byte(r.Method)) {
		return fault("malformed :method") // a space in it would make a request line of its own upstream
	}
	if len(r.RequestURI) > l.URIBytes {
		return refuseURI
	}
	if bad := checkTarget(r.RequestURI, r.Method); bad != nil {
		return bad
	}
	if r.RequestURI[0] != '/' && r.RequestURI != "*" {
		return fault("malformed :path")
	}
	if !isHost(r.Host) {
		return fault("malformed :authority")
	}
	if hosts := r.Header["Host"]; len(hosts) > 1 || len(hosts) == 1 && !strings.EqualFold(hosts[0], r.Host) {
		return fault("Host differs from :authority")
	}
	if v := r.Header["Content-Length"]; len(v) > 0 {
		// net/http takes what it cannot read for nothing, and what comes with an
		// empty body for a mistake.
		var h head
		if len(v) > 1 || h.contentLength([]byte(v[0])) != nil || h.length != r.ContentLength {
			return fault("Content-Length is not one plain number, or not that of the body")
		}
	}
	size := len(r.RequestURI) + len(r.Host)
	for _, f := range x.fields {
		size += len(f.Name) + len(f.Value) + len(": \r\n")
	}
	if len(x.fields) > l.Headers || size > l.HeaderBytes {
		return refuseHeader
	}
	return nil
}

// refused reports a message that the guard turned away before there was a request.
func (s *Server) refused(c *conn, bad *refusal) {
	proto := "HTTP/1.1"
	switch {
	case c.quic != nil:
		proto = "HTTP/3.0"
	case c.h1.Load() == nil:
		proto = "HTTP/2.0"
	}
	ev := edge.RequestEvent{
		Start: c.opened, Listener: c.listener, Site: edge.OtherSite, Remote: c.remote, Client: c.remote.Addr(),
		Scheme: c.listener, Proto: proto, Status: bad.status, Decision: "refused", Err: bad,
		TLSVersion: c.version, TLSCipher: c.cipher, SNI: c.sni, ALPN: c.alpn, Resumed: c.resumed,
	}
	s.obs.Request(&ev)
}

func statusText(status int) string { return http.StatusText(status) }
