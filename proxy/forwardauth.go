package proxy

import (
	"context"
	"errors"
	"io"
	"net/http"
	"slices"
	"strings"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

// maxAuthAnswer bounds the body of a refusal that is passed on.
const maxAuthAnswer = 1 << 20

// forwardAuth asks the server of the route's whether the request may pass. It
// answers, and reports false, where it may not.
func (x *exchange) forwardAuth() bool {
	fa := x.d.Rule.ForwardAuth
	pool := x.st.set.Pools[fa.Pool]
	if pool == nil {
		x.ev.Err = errors.New("no pool " + fa.Pool)
		x.fail(http.StatusBadGateway)
		return false
	}
	host := fa.Host
	if host == "" {
		host = x.req.Host
	}
	ctx, cancel := context.WithCancel(x.r.Context())
	defer cancel()
	res, err := pool.RoundTrip(ctx, &upstream.Request{
		Method: http.MethodGet, Target: fa.Path, Host: host, Header: x.authFields(fa), Replayable: true,
		Client: x.clientAddr(), Local: x.c.local(), Interim: func(int, []policy.Field) error { return nil },
	})
	if err != nil {
		x.failUpstream(err)
		return false
	}
	defer res.Body.Close()
	if res.Status < 200 || res.Status > 299 {
		x.refuseAs(res)
		return false
	}
	for _, f := range res.Header {
		if slices.ContainsFunc(fa.Copy, func(name string) bool { return strings.EqualFold(name, f.Name) }) {
			x.granted = append(x.granted, f)
		}
	}
	return true
}

// authFields are the fields of the question: what the client sent, or what was
// chosen of it, and what it asks for.
func (x *exchange) authFields(fa *policy.ForwardAuth) []policy.Field {
	all := endToEnd(slices.Clone(x.fields), x.r.Header, x.d.Trusted)
	fields := all[:0]
	for _, f := range all {
		name := strings.ToLower(f.Name)
		chosen := len(fa.Request) == 0 && !strings.HasPrefix(name, "content-") && name != "range" && !strings.HasPrefix(name, "if-")
		if chosen || slices.ContainsFunc(fa.Request, func(n string) bool { return strings.EqualFold(n, name) }) {
			if !strings.HasPrefix(name, "x-forwarded-") {
				fields = append(fields, f)
			}
		}
	}
	proto := "http"
	if x.req.TLS != 0 {
		proto = "https"
	}
	for _, f := range x.d.Forwarded {
		if f.Name == "X-Forwarded-Proto" {
			proto = f.Value // a trusted proxy's word
		}
	}
	return append(fields,
		policy.Field{Name: "X-Forwarded-Method", Value: x.req.Method},
		policy.Field{Name: "X-Forwarded-Proto", Value: proto},
		policy.Field{Name: "X-Forwarded-Host", Value: x.req.Host},
		policy.Field{Name: "X-Forwarded-Uri", Value: originForm(x.req.Path, x.req.Query)},
		policy.Field{Name: "X-Forwarded-For", Value: x.d.Client.String()},
		policy.Field{Name: "X-Request-Id", Value: x.ev.RequestID})
}

// refuseAs passes the answer of the authentication server on.
func (x *exchange) refuseAs(res *upstream.Response) {
	x.ev.Decision = "auth"
	x.answerHeader(res)
	h := x.w.Header()
	delete(h, "Content-Length")
	body, err := io.ReadAll(io.LimitReader(res.Body, maxAuthAnswer+1))
	if err != nil || len(body) > maxAuthAnswer {
		clear(h)
		x.ev.Err = errors.Join(errors.New("answer of the authentication server"), err)
		x.fail(http.StatusBadGateway)
		return
	}
	x.writeHead(res.Status)
	if x.r.Method != http.MethodHead {
		n, err := x.write(body)
		x.ev.BytesOut, x.ev.Err = int64(n), err
	}
	x.guardWrites()
}

// withoutAll drops what a client sent under the names that only the
// authentication server may fill in, also spelt so that CGI cannot tell.
func withoutAll(fields []policy.Field, fa *policy.ForwardAuth) []policy.Field {
	if fa == nil {
		return fields
	}
	out := fields[:0]
	for _, f := range fields {
		if !slices.ContainsFunc(fa.Copy, func(name string) bool { return strings.EqualFold(name, strings.ReplaceAll(f.Name, "_", "-")) }) {
			out = append(out, f)
		}
	}
	return out
}
