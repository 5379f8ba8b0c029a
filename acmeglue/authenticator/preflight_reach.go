package authenticator

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"

	"edge"
)

// reach looks for the answer at one address.
func (p *flight) reach(ctx context.Context, a edge.Answer, at netip.AddrPort) error {
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	switch {
	case p.tries && a.Type == edge.HTTP01:
		return p.get(ctx, a, at)
	case p.tries && (a.Type == edge.TLSSNI01 || a.Identifier.Type == edge.DNS):
		return p.shake(ctx, a, at)
	}
	// Nothing to look for, but the port has to be there.
	c, err := p.o.Dial(ctx, "tcp", at.String())
	if err != nil {
		return err
	}
	return c.Close()
}

// route remembers where the last connection went.
type route struct{ from, to netip.Addr }

func (p *flight) dial(ctx context.Context, to netip.AddrPort, r *route) (net.Conn, error) {
	c, err := p.o.Dial(ctx, "tcp", to.String())
	if err == nil {
		r.to = to.Addr()
		if local, lerr := netip.ParseAddrPort(c.LocalAddr().String()); lerr == nil {
			r.from = local.Addr().Unmap()
		}
	}
	return c, err
}

// follow connects to where a request or a redirect leads. The name itself leads to
// the address that is looked at.
func (p *flight) follow(ctx context.Context, a edge.Answer, at netip.AddrPort, address string, r *route) (net.Conn, error) {
	host, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	ip := at.Addr()
	if host != a.Identifier.Value {
		if ip, err = netip.ParseAddr(host); err != nil {
			ips, err := p.o.Resolver.LookupNetIP(ctx, "ip", strings.TrimSuffix(host, ".")+".")
			if err != nil {
				return nil, err
			}
			ip = ips[0].Unmap()
		}
	}
	n, err := strconv.ParseUint(port, 10, 16)
	switch {
	case err != nil:
		return nil, err
	case n == 80:
		n = uint64(p.o.HTTPPort)
	case n == 443:
		n = uint64(p.o.TLSPort)
	}
	return p.dial(ctx, netip.AddrPortFrom(ip, uint16(n)), r)
}

// get does what a CA does for HTTP-01: redirects are followed, certificates on
// the way are not looked at.
func (p *flight) get(ctx context.Context, a edge.Answer, at netip.AddrPort) error {
	var r route // the connections are made one after the other
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, _, to string) (net.Conn, error) {
			return p.follow(ctx, a, at, to, &r)
		},
	}}
	defer client.CloseIdleConnections()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, challengeURL(a), nil)
	if err != nil {
		return err
	}
	req.Header.Set("User-Agent", "edge preflight")
	res, err := client.Do(req)
	if err != nil {
		return err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(io.LimitReader(res.Body, 4<<10))
	if err != nil {
		return err
	}
	if res.StatusCode == http.StatusOK && string(bytes.TrimRight(body, "\n\r\t ")) == a.KeyAuth {
		return nil
	}
	return notOurs(a, res, r)
}

// notOurs explains an answer to a request for ours.
func notOurs(a edge.Answer, res *http.Response, r route) *wrongAnswer {
	w := &wrongAnswer{from: r.from, to: r.to}
	w.text = fmt.Sprintf("%s at %s was answered with %s, by something that does not have our challenge file",
		res.Request.URL.Redacted(), r.to, strings.TrimSpace(fmt.Sprint(res.StatusCode, " ", http.StatusText(res.StatusCode))))
	if server := res.Header.Get("Server"); server != "" && len(server) < 80 {
		w.text += fmt.Sprintf(" (it calls itself %q)", server)
	}
	w.fix = "see that the web server for " + a.Identifier.Value + " gives out what is put to " + edge.HTTP01Prefix + ", and that every A and AAAA record leads to it"
	switch {
	case res.StatusCode == http.StatusOK:
		w.fix = "see that every A and AAAA record of " + a.Identifier.Value + " leads to the right machine, and that its web server gives " + edge.HTTP01Prefix + " as files are, without a page of its own"
	case res.StatusCode == http.StatusTooManyRequests || res.StatusCode == http.StatusServiceUnavailable:
		w.busy = true
	case res.StatusCode == http.StatusUnauthorized || res.StatusCode == http.StatusForbidden || res.StatusCode >= 500:
		w.refused = true
	}
	return w
}

// shake does what a CA does for TLS-ALPN-01 and TLS-SNI-01.
func (p *flight) shake(ctx context.Context, a edge.Answer, at netip.AddrPort) error {
	conf := &tls.Config{InsecureSkipVerify: true, ServerName: a.Identifier.Value, NextProtos: []string{edge.ALPNProto}}
	if a.Type == edge.TLSSNI01 {
		conf.ServerName, conf.NextProtos = edge.SNI01Name(a.KeyAuth), nil
	}
	var r route
	c, err := p.dial(ctx, at, &r)
	if err != nil {
		return err
	}
	defer c.Close()
	wrong := func(text string) *wrongAnswer {
		return &wrongAnswer{text: fmt.Sprintf("%s: %s", at, text), from: r.from, to: r.to,
			fix: fmt.Sprintf("see that port %d of %s leads to this machine, without a proxy between that ends TLS", p.o.TLSPort, a.Identifier)}
	}
	conn := tls.Client(c, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		if ctx.Err() == nil && (strings.HasPrefix(err.Error(), "remote error: ") || strings.HasPrefix(err.Error(), "tls: ")) {
			return wrong("the TLS handshake failed: " + err.Error())
		}
		return err
	}
	state := conn.ConnectionState()
	if state.PeerCertificates[0].VerifyHostname(conf.ServerName) != nil || a.Type == edge.TLSALPN01 && state.NegotiatedProtocol != edge.ALPNProto {
		return wrong("it has another certificate than the challenge's")
	}
	return nil
}
