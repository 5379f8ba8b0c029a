package proxy

import (
	"net/http"
	"net/textproto"
	"strconv"
	"strings"
	"time"

	"edge/proxy/compress"
	"edge/proxy/policy"
)

// writeHead sends the head of the final answer: what policy adds, then the
// route's edits, whoever the answer comes from.
func (x *exchange) writeHead(status int) {
	h := x.w.Header()
	for _, f := range x.d.Header {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		if name == "Vary" {
			addVary(h, f.Value)
		} else {
			h[name] = append(h[name], f.Value)
		}
	}
	if rt := x.d.Rule; rt != nil && rt.EditsResponse() {
		x.editHeader(h, rt)
		if x.req.TLS == 0 && !x.d.Trusted {
			delete(h, "Strict-Transport-Security") // RFC 6797 section 7.2
		}
	}
	x.ev.Status = status
	x.w.WriteHeader(status)
	x.ev.TTFB = time.Since(x.ev.Start)
}

// editHeader carries the route's edits out on a map. Fields that net/http must
// not add by itself stay as they are.
func (x *exchange) editHeader(h http.Header, rt *policy.Route) {
	var fields []policy.Field
	for name, values := range h {
		for _, v := range values {
			fields = append(fields, policy.Field{Name: name, Value: v})
		}
		if len(values) > 0 {
			delete(h, name)
		}
	}
	for _, f := range rt.EditResponse(fields, &x.req, &x.d) {
		name := textproto.CanonicalMIMEHeaderKey(f.Name)
		h[name] = append(h[name], f.Value)
	}
}

// addVary adds a name to Vary, once.
func addVary(h http.Header, name string) {
	if !namesField(h["Vary"], name) && !namesField(h["Vary"], "*") {
		h["Vary"] = append(h["Vary"], name)
	}
}

// answer sends an answer of ours: the decision's, or a text in place of one, for
// which the route may have a page.
func (x *exchange) answer(status int, body string) {
	h := x.w.Header()
	typ := ""
	if x.d.Kind == policy.Static && x.d.Status == status {
		typ = x.d.Type
	}
	if p := x.d.Rule.ErrorPage(status); p != nil && !x.authored(status) {
		body, typ = strings.NewReplacer("{status}", strconv.Itoa(status), "{request_id}", x.ev.RequestID).Replace(string(p.Body)), p.Type
	}
	x.sendText(h, status, typ, body)
}

// authored reports whether the body is one that the configuration gives.
func (x *exchange) authored(status int) bool {
	rt := x.d.Rule
	return x.d.Kind == policy.Static && x.d.Status == status && (rt.Action.Answer != nil && x.d.Passed || x.d.Type != "")
}

func (x *exchange) sendText(h http.Header, status int, typ, body string) {
	bodyless := status == http.StatusNoContent || status == http.StatusNotModified
	if bodyless {
		body = ""
	} else {
		h["Content-Length"] = []string{strconv.Itoa(len(body))}
	}
	switch {
	case typ != "":
		h["Content-Type"] = []string{typ}
	case body != "":
		h["Content-Type"] = textValue
		h["X-Content-Type-Options"] = []string{"nosniff"}
	}
	how := x.encoding(status, int64(len(body)))
	x.writeHead(status)
	if body != "" && x.r.Method != http.MethodHead {
		if err := x.sendBody([]byte(body), how); err != nil {
			x.ev.Err = err
		}
	}
	x.guardWrites()
}

func (x *exchange) sendBody(body []byte, how *compress.Encoding) error {
	if how == nil && len(body) < heldFrom {
		n, err := x.w.Write(body) // which has room for a short text
		x.ev.BytesOut += int64(n)
		return err
	}
	out := bodyWriter{x: x}
	if how != nil {
		out.zip = x.srv.encoders.Begin(how, plainWriter{x})
		defer out.zip.Abandon()
	}
	if err := out.write(body); err != nil {
		return err
	}
	return out.end()
}

// identify chooses the identifier of the request: a trusted proxy's, where it is
// clean, or ours.
func (x *exchange) identify(trusted bool) {
	if !trusted {
		return
	}
	if v := x.r.Header["X-Request-Id"]; len(v) == 1 && cleanID(v[0]) {
		x.ev.RequestID, x.req.ID = v[0], v[0]
	}
}

// cleanID reports whether an identifier from outside can stand in logs and fields.
func cleanID(s string) bool {
	for i := 0; i < len(s); i++ {
		if s[i] <= ' ' || s[i] >= 0x7f || s[i] == '"' || s[i] == '\\' {
			return false
		}
	}
	return s != "" && len(s) <= 128
}
