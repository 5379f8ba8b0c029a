package proxy

import (
	"errors"
	"io"
	"maps"
	"net/http"
	"net/netip"
	"net/textproto"
	"strings"
	"time"

	"edge/proxy/compress"
	"edge/proxy/policy"
	"edge/proxy/trace"
	"edge/proxy/upstream"
)

// proxy hands the request to its pool and copies the answer back.
func (x *exchange) proxy(d *policy.Decision) {
	pool := x.st.set.Pools[d.Pool]
	if pool == nil {
		x.ev.Err = errors.New("no pool " + d.Pool)
		x.fail(http.StatusBadGateway)
		return
	}
	if !x.upstreamRequest(d) {
		return
	}
	if x.body != nil && x.r.ProtoMajor == 1 {
		// An upstream may answer while the body is still on its way.
		x.rc.EnableFullDuplex()
	}
	x.ev.Pool, _, _ = strings.Cut(d.Pool, "#")
	res, err := pool.RoundTrip(x.context(), &x.up)
	x.ev.UpstreamDuration = time.Since(x.ev.Start)
	if err != nil {
		x.failUpstream(err)
		return
	}
	x.ev.Upstream, x.ev.UpstreamStatus, x.ev.Attempts, x.ev.QueueTime = res.Address, res.Status, res.Attempts, res.Queued
	if res.Upgraded != nil {
		x.tunnel(res)
		return
	}
	defer res.Body.Close()
	x.relay(res)
}

// upstreamRequest turns the request around. It answers, and reports false, where
// the body is known to be too long.
func (x *exchange) upstreamRequest(d *policy.Decision) bool {
	r, limit := x.r, d.Rule.BodyBytes
	x.up = upstream.Request{
		Method: r.Method, Target: originForm(d.Path, d.Query), Host: d.Host,
		HashKey: d.HashKey, Sticky: d.Sticky, Client: x.clientAddr(), Local: x.c.local(),
		Interim: x.onward,
	}
	if x.up.Upgrade = upgradeOf(r); x.up.Upgrade != "" && r.ProtoMajor == 1 {
		// What follows on this connection is not examined any more: it is
		// another protocol, or the connection's end.
		x.w.Header()["Connection"] = closeValue
	}
	if r.Body != nil && r.Body != http.NoBody && r.ContentLength != 0 {
		if limit > 0 && r.ContentLength > limit {
			x.ev.Limited = "body"
			x.fail(http.StatusRequestEntityTooLarge)
			return false
		}
		x.body = newClientBody(r, http.NewResponseController(x.w), &x.st.engine.limits)
		x.body.most = limit
		x.up.Body = x.body
		x.up.ContentLength = r.ContentLength
		x.up.ExpectContinue = r.Header["Expect"] != nil
		if r.ContentLength < 0 || len(r.Trailer) > 0 {
			// On HTTP/1 the guard has refused the forbidden ones.
			maps.DeleteFunc(r.Trailer, func(name string, _ []string) bool { return forbiddenTrailer(name) })
			x.up.Trailer = func() []policy.Field { return fieldsOf(nil, r.Trailer) }
			for name := range r.Trailer {
				x.up.TrailerNames = append(x.up.TrailerNames, name)
			}
		}
	}
	x.up.Replayable = x.body == nil && idempotent(r.Method)
	x.fields = append(endToEnd(x.fields, r.Header, d.Trusted), d.Forwarded...)
	x.fields = append(x.fields, policy.Field{Name: "X-Request-Id", Value: x.ev.RequestID})
	if rt := d.Rule; rt.BasicAuth != nil && !rt.BasicAuth.Forwards() {
		x.fields = without(x.fields, "Authorization")
	}
	x.fields = append(withoutAll(x.fields, d.Rule.ForwardAuth), x.granted...)
	if x.ev.SpanID != "" {
		x.fields = append(without(x.fields, "Traceparent"), policy.Field{Name: "Traceparent", Value: trace.Format(x.ev.TraceID, x.ev.SpanID, x.ev.Sampled)})
		if x.ev.ParentID == "" {
			x.fields = without(x.fields, "Tracestate") // it belongs to a trace that is not taken up
		}
	}
	if d.Rule.EditsRequest() {
		x.fields = d.Rule.EditRequest(x.fields, &x.req, d)
	}
	x.up.Header = x.fields
	return true
}

// clientAddr is who the request comes from, with the port where it is the peer's.
func (x *exchange) clientAddr() netip.AddrPort {
	if x.d.Client == x.c.remote.Addr() {
		return x.c.remote
	}
	return netip.AddrPortFrom(x.d.Client, 0)
}

// without drops a field by name, in place.
func without(fields []policy.Field, name string) []policy.Field {
	out := fields[:0]
	for _, f := range fields {
		if !strings.EqualFold(f.Name, name) {
			out = append(out, f)
		}
	}
	return out
}

func originForm(path, query string) string {
	if query == "" {
		return path
	}
	return path + "?" + query
}

// idempotent lists the methods of RFC 9110 section 9.2.2.
func idempotent(method string) bool {
	switch method {
	case "GET", "HEAD", "OPTIONS", "PUT", "DELETE":
		return true
	}
	return false
}

// endToEnd removes, in place, what must not be passed on: fields of this
// connection (RFC 9110 section 7.6.1), those that Connection names, and those
// by which a client that is no trusted proxy could speak in our name.
func endToEnd(fields []policy.Field, h http.Header, trusted bool) []policy.Field {
	named := h["Connection"]
	out := fields[:0]
	for _, f := range fields {
		switch textproto.CanonicalMIMEHeaderKey(f.Name) {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Proxy-Authorization", "Proxy", "Transfer-Encoding",
			"Upgrade", "Http2-Settings", "Trailer", "Host", "Content-Length", "Expect",
			"X-Forwarded-For", "X-Forwarded-Proto", "X-Forwarded-Host", "X-Request-Id":
			continue
		case "Forwarded", "X-Real-Ip":
			if !trusted {
				continue
			}
		case "Te":
			if !hasToken(f.Value, "trailers") {
				continue
			}
			f.Value = "trailers"
		}
		if len(named) > 0 && namesField(named, f.Name) {
			continue
		}
		out = append(out, f)
	}
	return out
}

func namesField(connection []string, name string) bool {
	for _, v := range connection {
		if hasToken(v, name) {
			return true
		}
	}
	return false
}

// hasToken reports whether a comma-separated list has an element, in any case.
func hasToken(list, token string) bool {
	for part := range strings.SplitSeq(list, ",") {
		if strings.EqualFold(strings.Trim(part, " \t"), token) {
			return true
		}
	}
	return false
}

// interim passes a 1xx answer on, but 100: net/http sends that one itself when
// the body is first read.
func (x *exchange) interim(status int, header []policy.Field) error {
	if status == http.StatusContinue || status == http.StatusSwitchingProtocols || !x.r.ProtoAtLeast(1, 1) {
		return nil
	}
	h := x.w.Header()
	final := maps.Clone(h)
	clear(h)
	for _, f := range header {
		h.Add(f.Name, f.Value)
	}
	x.w.WriteHeader(status)
	clear(h)
	maps.Copy(h, final)
	return x.r.Context().Err()
}

// relay copies a final answer.
func (x *exchange) relay(res *upstream.Response) {
	rt := x.d.Rule
	switch {
	case rt.Intercept && rt.ErrorPage(res.Status) != nil:
		x.answer(res.Status, "")
		return
	case rt.ResponseBytes > 0 && res.ContentLength > rt.ResponseBytes:
		x.ev.Err, x.ev.Limited = errAnswerTooLong, "body"
		x.fail(http.StatusBadGateway)
		return
	}
	streaming := x.answerHeader(res)
	if res.SetSticky != "" {
		h := x.w.Header()
		h["Set-Cookie"] = append(h["Set-Cookie"], res.SetSticky)
	}
	length := res.ContentLength
	if x.r.Method == http.MethodHead && len(x.w.Header()["Content-Length"]) == 0 {
		length = -1 // as of the answer to a GET, which this one is about
	}
	how := x.encoding(res.Status, length)
	x.ev.Status = res.Status
	if x.r.Method == http.MethodHead || res.Status == http.StatusNoContent || res.Status == http.StatusNotModified || res.ContentLength == 0 {
		x.writeHead(res.Status)
		x.guardWrites()
	} else if streaming {
		x.writeHead(res.Status)
		x.flush()
		x.copyBody(res, true, how)
	} else {
		x.copyBody(res, false, how)
	}
	if res.Trailer != nil {
		h := x.w.Header()
		for _, f := range res.Trailer() {
			h.Add(http.TrailerPrefix+f.Name, f.Value)
		}
	}
}

// answerHeader fills in the header of the answer. It reports whether the body
// has to be passed on as it comes.
func (x *exchange) answerHeader(res *upstream.Response) (streaming bool) {
	h := x.w.Header()
	var named []string
	for _, f := range res.Header {
		if len(f.Name) == len("Connection") && strings.EqualFold(f.Name, "Connection") {
			named = append(named, f.Value)
		}
	}
	values := make([]string, 0, len(res.Header))
	streaming = res.ContentLength < 0
	typed := false
	for _, f := range res.Header {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		switch name {
		case "Connection", "Keep-Alive", "Proxy-Connection", "Transfer-Encoding", "Upgrade", "Trailer":
			continue
		case "Content-Type":
			typed = true
			streaming = streaming || strings.HasPrefix(f.Value, "text/event-stream") || strings.HasPrefix(f.Value, "application/grpc")
		}
		if len(named) > 0 && namesField(named, name) {
			continue // RFC 9110 section 7.6.1
		}
		if old := h[name]; len(old) > 0 {
			h[name] = append(old, f.Value)
			continue
		}
		values = append(values, f.Value)
		h[name] = values[len(values)-1 : len(values) : len(values)]
	}
	if !typed {
		h["Content-Type"] = nil // or net/http would guess one
	}
	return streaming
}

// copyBody copies the body with a pooled buffer, compressed where how says so. A
// body that ends before its time is passed on as a visibly broken transfer.
func (x *exchange) copyBody(res *upstream.Response, flush bool, how *compress.Encoding) {
	buf := x.srv.buffers.Get().(*[copyBuffer]byte)
	defer x.srv.buffers.Put(buf)
	out := bodyWriter{x: x, flush: flush}
	if how != nil {
		out.zip = x.srv.encoders.Begin(how, plainWriter{x})
		defer out.zip.Abandon()
	}
	started, total := flush, int64(0)
	for {
		n, err := res.Body.Read(buf[:])
		if !started && n == 0 && err != nil && err != io.EOF {
			// Nothing has been sent yet: the client can still be told.
			clear(x.w.Header())
			x.ev.Encoding = ""
			x.failUpstream(err)
			return
		}
		if !started {
			started = true
			x.writeHead(res.Status)
		}
		if total += int64(n); x.d.Rule.ResponseBytes > 0 && total > x.d.Rule.ResponseBytes {
			x.ev.Err, x.ev.Limited = errAnswerTooLong, "body"
			panic(http.ErrAbortHandler)
		}
		werr := out.write(buf[:n])
		if werr == nil && err == io.EOF {
			werr = out.end()
		}
		switch {
		case werr != nil:
			x.ev.Err = werr
			panic(http.ErrAbortHandler)
		case err == io.EOF:
			x.guardWrites()
			return
		case err != nil:
			x.ev.Err = err
			panic(http.ErrAbortHandler)
		}
	}
}

const copyBuffer = 32 << 10

var errAnswerTooLong = errors.New("the answer is longer than the route allows")

// failUpstream answers for an upstream that did not.
func (x *exchange) failUpstream(err error) {
	x.ev.Err = err
	gone := x.r.Context().Err() != nil
	if x.body != nil {
		cerr := x.body.failed()
		if gone {
			cerr = x.body.settled()
		}
		if cerr != nil {
			x.failBody(cerr)
			return
		}
	}
	if gone {
		x.ev.Status = statusClientGone
		panic(http.ErrAbortHandler)
	}
	status := http.StatusBadGateway
	if ue, ok := errors.AsType[*upstream.Error](err); ok {
		status = ue.Status()
		if ue.Op == "queue" {
			x.ev.Limited = "queue"
		}
	}
	x.fail(status)
}

// fail answers with a status and a text that says nothing about the inside.
func (x *exchange) fail(status int) {
	if x.body != nil && x.r.ProtoMajor == 1 && !x.body.complete() {
		x.w.Header()["Connection"] = closeValue
	}
	x.answer(status, http.StatusText(status)+"\n")
}
