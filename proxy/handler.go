package proxy

import (
	"net/http"
	"strings"
	"sync/atomic"
	"time"

	"edge"
	"edge/proxy/policy"
	"edge/proxy/trace"
	"edge/proxy/upstream"
)

// exchange is one request and its answer, from head to last byte. Exchanges
// are reused: nothing may keep a reference to one.
type exchange struct {
	srv *Server
	st  *state
	c   *conn
	w   http.ResponseWriter
	r   *http.Request
	rc  http.ResponseController

	req     policy.Request
	d       policy.Decision
	granted []policy.Field // by the server of ForwardAuth, for the upstream
	fields  []policy.Field // of req, then of up
	up      upstream.Request
	body    *clientBody // nil: the request has none
	ev      edge.RequestEvent
	stall   *stallTimer   // HTTP/2 only, once something is written that may block
	flight  *atomic.Int64 // counts this exchange, once policy has named its site
	loads   bool          // counts for Limits.Requests

	onward func(int, []policy.Field) error // interim, made once
}

func newExchange() any {
	x := new(exchange)
	x.onward = x.interim
	return x
}

// ServeHTTP implements http.Handler: it asks policy once and carries out what
// policy says.
func (s *Server) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.ProtoMajor == 2 {
		growStack(0) // each stream has a new goroutine; a fifteenth of the CPU of a small request
	}
	x := s.exchanges.Get().(*exchange)
	x.srv, x.st, x.w, x.r = s, s.state.Load(), w, r
	x.c, _ = r.Context().Value(connKey{}).(*conn)
	x.rc = *http.NewResponseController(w)
	defer x.end()
	x.begin()
	x.offerHTTP3()
	if x.refused() || x.challenge() || x.shed() {
		return
	}
	x.d = x.st.set.Table.Decide(&x.req)
	d := &x.d
	x.ev.Site, x.ev.Client, x.ev.User, x.ev.Limited = d.Site, d.Client, d.User, d.Limited
	if d.Rule != nil {
		x.ev.Route = d.Rule.Name
	}
	x.flight = x.st.flights[d.Site]
	x.flight.Add(1)
	if d.Close || s.retiring.Load() {
		w.Header()["Connection"] = closeValue
	}
	x.identify(d.Trusted)
	if d.Passed && d.Rule.ForwardAuth != nil && !x.forwardAuth() {
		return
	}
	x.act()
}

// act carries the decision out.
func (x *exchange) act() {
	switch d := &x.d; d.Kind {
	case policy.Redirect:
		x.ev.Decision = "redirect"
		x.w.Header()["Location"] = []string{d.Location}
		x.answer(d.Status, "")
	case policy.Proxy:
		x.ev.Decision = "proxy"
		x.proxy(d)
	case policy.Serve:
		x.ev.Decision = "files"
		x.serveFile()
	default:
		x.ev.Decision = "static"
		x.answer(d.Status, d.Body)
	}
}

// begin fills in what the head says.
func (x *exchange) begin() {
	r, c := x.r, x.c
	path, query := splitTarget(r.RequestURI)
	x.fields = fieldsOf(x.fields[:0], r.Header)
	x.req = policy.Request{
		Method: r.Method, Scheme: c.listener, Host: r.Host, Path: path, Query: query,
		Major: r.ProtoMajor, Header: x.fields, Remote: c.remote, TLS: c.version, SNI: c.sni, Cert: c.shown.identity(x.st, c.sni, x.srv.opts.Now),
	}
	x.ev = edge.RequestEvent{
		Start: time.Now(), Listener: c.listener, Site: edge.OtherSite, RequestID: x.srv.ids.next(),
		Remote: c.remote, Client: c.remote.Addr(), Method: r.Method, Scheme: c.listener, Host: r.Host,
		Path: path, Query: query, Proto: r.Proto, TLSVersion: c.version, TLSCipher: c.cipher,
		SNI: c.sni, ALPN: c.alpn, Resumed: c.resumed,
	}
	x.req.ID, x.req.Now = x.ev.RequestID, x.ev.Start.UnixNano()
	if v := r.Header["Traceparent"]; len(v) == 1 {
		if t, ok := trace.Parse(v[0]); ok {
			x.ev.TraceID, x.ev.ParentID, x.ev.Sampled = t.TraceID, t.ParentID, t.Sampled
		}
	}
	if part := x.st.set.Tracing; part != nil {
		x.ev.SpanID = trace.NewSpan()
		if x.ev.TraceID == "" {
			x.ev.TraceID, x.ev.Sampled = trace.NewTrace(*part)
		}
	}
	if v := r.Header["User-Agent"]; len(v) > 0 {
		x.ev.UserAgent = v[0]
	}
	if v := r.Header["Referer"]; len(v) > 0 {
		x.ev.Referer = v[0]
	}
}

// end reports the request, whatever became of it. A panic ends this request
// only; the client sees its connection or stream cut.
func (x *exchange) end() {
	cause := recover()
	if cause != nil && cause != http.ErrAbortHandler {
		x.srv.panics.log(x.srv.log, cause)
	}
	x.closeBody(cause != nil)
	x.ev.Duration = time.Since(x.ev.Start)
	if x.ev.Status == 0 {
		x.ev.Status = statusClientGone
		if cause != nil && cause != http.ErrAbortHandler {
			x.ev.Status = http.StatusInternalServerError
		}
	}
	if x.flight != nil {
		x.flight.Add(-1)
	}
	x.unload()
	x.srv.obs.Request(&x.ev)
	s := x.srv
	abort := cause != nil
	if h1 := x.c.h1.Load(); h1 != nil {
		h1.watch.rest()
		if abort {
			x.c.reset()
		}
	}
	clear(x.fields[:cap(x.fields)])
	*x = exchange{fields: x.fields[:0], onward: x.onward}
	s.exchanges.Put(x)
	if abort {
		panic(http.ErrAbortHandler)
	}
}

// statusClientGone is what is logged for a client that left before its answer.
const statusClientGone = 499

var (
	closeValue = []string{"close"}
	textValue  = []string{"text/plain; charset=utf-8"}
)

// splitTarget cuts a request target into path and query, raw. An absolute-form
// target has passed the guard, which compared it with Host.
func splitTarget(target string) (path, query string) {
	if len(target) > 0 && target[0] != '/' {
		if i := strings.Index(target, "://"); i >= 0 {
			rest := target[i+3:]
			if j := strings.IndexAny(rest, "/?"); j < 0 {
				target = "/"
			} else if target = rest[j:]; target[0] == '?' {
				target = "/" + target
			}
		}
	}
	path, query, _ = strings.Cut(target, "?")
	return path, query
}

// fieldsOf lists a header. Names with underscores are dropped: many
// applications (CGI and its descendants) cannot tell them from hyphens, and
// would take a client's "X_Forwarded_For" for ours.
func fieldsOf(into []policy.Field, h http.Header) []policy.Field {
	for name, values := range h {
		if strings.IndexByte(name, '_') >= 0 {
			continue
		}
		for _, v := range values {
			into = append(into, policy.Field{Name: name, Value: v})
		}
	}
	return into
}

// growStack makes the goroutine's stack as large as an exchange needs it, while
// there is little on it to copy.
//
//go:noinline
func growStack(i int) byte {
	var room [5000]byte
	return room[i]
}
