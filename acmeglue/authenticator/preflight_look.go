package authenticator

import (
	"bytes"
	"context"
	"crypto/rand"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"syscall"
	"time"

	"edge"
	"edge/acmeglue"
)

// flight is one Preflight.
type flight struct {
	auth  acmeglue.Authenticator
	o     PreflightOptions
	tries bool // answers are presented
	own   []netip.Addr
}

func newFlight(auth acmeglue.Authenticator, o PreflightOptions) *flight {
	if o.Resolver == nil {
		o.Resolver = net.DefaultResolver
	}
	if o.Dial == nil {
		o.Dial = new(net.Dialer).DialContext
	}
	if o.Addresses == nil {
		o.Addresses = ownAddresses
	}
	if o.HTTPPort == 0 {
		o.HTTPPort = 80
	}
	if o.TLSPort == 0 {
		o.TLSPort = 443
	}
	_, person := auth.(*Manual)
	own, _ := o.Addresses() // none: less is known
	return &flight{auth: auth, o: o, tries: !person, own: own}
}

func ownAddresses() ([]netip.Addr, error) {
	list, err := net.InterfaceAddrs()
	var out []netip.Addr
	for _, a := range list {
		if n, ok := a.(*net.IPNet); ok {
			if ip, ok := netip.AddrFromSlice(n.IP); ok {
				out = append(out, ip.Unmap())
			}
		}
	}
	return out, err
}

// trial is an answer that no CA asked for.
func trial(kind edge.ChallengeType, id edge.Identifier) edge.Answer {
	token := "edge-preflight-" + rand.Text()
	return edge.Answer{Type: kind, Identifier: id, Token: token, KeyAuth: token + "." + rand.Text() + rand.Text()}
}

func (p *flight) cleanup(ctx context.Context, batch []edge.Answer) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), callTime)
	defer cancel()
	_ = p.auth.Cleanup(ctx, batch) // what is wrong there, the order's own cleanup says
}

// look finds out about one name.
func (p *flight) look(ctx context.Context, a edge.Answer, f *Finding) {
	ips, ok := p.resolve(ctx, a.Identifier, f)
	if !ok {
		return
	}
	port := p.o.HTTPPort
	if a.Type != edge.HTTP01 {
		port = p.o.TLSPort
	}
	for _, ip := range ips {
		address := netip.AddrPortFrom(ip, uint16(port)).String()
		err := p.reach(ctx, a, address)
		switch {
		case err == nil:
			if f.Verdict != WouldFail {
				f.Verdict = Fine
			}
		case ctx.Err() != nil:
			if f.Verdict != WouldFail {
				f.Verdict, f.Problem = Unknown, "the time for the check was over before there was an answer from "+address
			}
			return
		default:
			p.judge(ip, address, err, f)
		}
		if f.Verdict == WouldFail {
			return
		}
	}
}

// resolve returns at most one address of each family, IPv6 first, as CAs prefer it.
func (p *flight) resolve(ctx context.Context, id edge.Identifier, f *Finding) ([]netip.Addr, bool) {
	if id.Type == edge.IP {
		ip, err := netip.ParseAddr(id.Value)
		return []netip.Addr{ip}, err == nil
	}
	ips, err := p.o.Resolver.LookupNetIP(ctx, "ip", id.Value+".")
	var dns *net.DNSError
	switch {
	case errors.As(err, &dns) && dns.IsNotFound:
		f.Verdict = WouldFail
		f.Problem = id.Value + " does not exist in the DNS: it has neither an A nor an AAAA record"
		f.Fix = "make a record that leads to this machine, and wait until it is known"
		return nil, false
	case err != nil:
		f.Problem = fmt.Sprintf("%s cannot be looked up from here: %v", id.Value, err)
		return nil, false
	}
	var out []netip.Addr
	for _, six := range []bool{true, false} {
		for _, ip := range ips {
			if ip = ip.Unmap(); ip.Is6() == six {
				out = append(out, ip)
				break
			}
		}
	}
	return out, len(out) > 0
}

// wrongAnswer says that something answered, and not as we would.
type wrongAnswer struct{ text, fix string }

func (w *wrongAnswer) Error() string { return w.text }

// judge decides whether what went wrong from here goes wrong from everywhere.
func (p *flight) judge(ip netip.Addr, address string, err error, f *Finding) {
	f.Problem = fmt.Sprintf("%s: %v", address, err)
	f.Fix = "see that " + f.Identifier.Value + " leads to this machine and that its port can be reached from outside"
	var wrong *wrongAnswer
	switch {
	case errors.As(err, &wrong):
		f.Fix = wrong.fix
		if p.ours(ip) || p.public(ip) {
			f.Verdict = WouldFail
		}
	case errors.Is(err, syscall.ECONNREFUSED) && p.ours(ip):
		f.Verdict = WouldFail
		f.Fix = "start the web server that has the port, or use another authenticator"
	}
}

// ours reports whether an address is one of this machine.
func (p *flight) ours(ip netip.Addr) bool {
	for _, own := range p.own {
		if own.WithZone("") == ip {
			return true
		}
	}
	return ip.IsLoopback()
}

// public reports whether an address means the same from here and from outside:
// it is of the public network, and so is one of ours, so that no NAT is between.
func (p *flight) public(ip netip.Addr) bool {
	if !isPublic(ip) {
		return false
	}
	for _, own := range p.own {
		if own.Is4() == ip.Is4() && isPublic(own) {
			return true
		}
	}
	return false
}

var sharedNAT = netip.MustParsePrefix("100.64.0.0/10") // RFC 6598

func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !sharedNAT.Contains(ip)
}

// reach looks for the answer at one address.
func (p *flight) reach(ctx context.Context, a edge.Answer, address string) error {
	if !p.tries {
		c, err := p.o.Dial(ctx, "tcp", address)
		if err != nil {
			return err
		}
		return c.Close()
	}
	if a.Type == edge.HTTP01 {
		return p.get(ctx, a, address)
	}
	return p.shake(ctx, a, address)
}

// get does what a CA does for HTTP-01: redirects are followed, certificates on
// the way are not looked at.
func (p *flight) get(ctx context.Context, a edge.Answer, address string) error {
	first := net.JoinHostPort(a.Identifier.Value, "80")
	client := &http.Client{Transport: &http.Transport{
		DisableKeepAlives: true,
		TLSClientConfig:   &tls.Config{InsecureSkipVerify: true},
		DialContext: func(ctx context.Context, network, to string) (net.Conn, error) {
			if to == first {
				to = address
			}
			return p.o.Dial(ctx, network, to)
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
	at := res.Request.URL.Redacted()
	w := &wrongAnswer{text: fmt.Sprintf("%s was answered with %s, by something that does not have our challenge file", at, res.Status)}
	if server := res.Header.Get("Server"); server != "" && len(server) < 80 {
		w.text += fmt.Sprintf(" (it calls itself %q)", server)
	}
	switch {
	case res.StatusCode == http.StatusOK:
		w.fix = "the web server answers every path itself; let it give " + edge.HTTP01Prefix + " as files are, without a page around them"
	default:
		w.fix = "see that the web server for " + a.Identifier.Value + " gives out what is put to " + edge.HTTP01Prefix + ", and that every A and AAAA record leads to it"
	}
	return w
}

// shake does what a CA does for TLS-ALPN-01 and TLS-SNI-01.
func (p *flight) shake(ctx context.Context, a edge.Answer, address string) error {
	conf := &tls.Config{InsecureSkipVerify: true, ServerName: a.Identifier.Value, NextProtos: []string{edge.ALPNProto}}
	if a.Type == edge.TLSSNI01 {
		conf.ServerName, conf.NextProtos = edge.SNI01Name(a.KeyAuth), nil
	} else if a.Identifier.Type == edge.IP {
		return nil // the server name is a reverse name: nothing that crypto/tls would send
	}
	c, err := p.o.Dial(ctx, "tcp", address)
	if err != nil {
		return err
	}
	defer c.Close()
	stop := context.AfterFunc(ctx, func() { _ = c.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	fix := "see that port " + strconv.Itoa(p.o.TLSPort) + " of " + a.Identifier.Value + " leads to this machine, without a proxy between that ends TLS"
	conn := tls.Client(c, conf)
	if err := conn.HandshakeContext(ctx); err != nil {
		if ctx.Err() == nil && (strings.HasPrefix(err.Error(), "remote error: ") || strings.HasPrefix(err.Error(), "tls: ")) {
			return &wrongAnswer{"the TLS handshake failed: " + err.Error(), fix}
		}
		return err
	}
	state := conn.ConnectionState()
	if a.Type == edge.TLSSNI01 {
		if state.PeerCertificates[0].VerifyHostname(conf.ServerName) == nil {
			return nil
		}
	} else if state.NegotiatedProtocol == edge.ALPNProto && state.PeerCertificates[0].VerifyHostname(a.Identifier.Value) == nil {
		return nil
	}
	return &wrongAnswer{"it has another certificate than the challenge's", fix}
}
