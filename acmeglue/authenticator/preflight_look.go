package authenticator

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"strconv"
	"syscall"
	"time"

	"edge"
	"edge/acmeglue"
)

const (
	lookTime = 4 * time.Second // for one address, and for what is asked of name servers
	mostIPs  = 4               // addresses of each family that are tried
)

// flight is one Preflight.
type flight struct {
	auth  acmeglue.Authenticator
	o     PreflightOptions
	tries bool // answers are presented
	own   []netip.Addr
	left  time.Duration // of the time
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
	return &flight{auth: auth, o: o, tries: !person, own: own, left: o.Time}
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

// resolve finds where a CA would look, IPv6 first as CAs prefer it.
func (p *flight) resolve(ctx context.Context, s *subject) {
	if s.id.Type == edge.IP {
		ip, err := netip.ParseAddr(s.id.Value)
		if err == nil {
			s.ips = []netip.Addr{ip}
		}
		s.noAddr.Verdict = Unknown
		return
	}
	if !slices.ContainsFunc(s.kinds, func(t edge.ChallengeType) bool { return t != edge.DNS01 }) {
		return
	}
	ctx, cancel := context.WithTimeout(ctx, lookTime)
	defer cancel()
	name := s.id.Value
	ips, err := p.o.Resolver.LookupNetIP(ctx, "ip", name+".")
	if err != nil || len(ips) == 0 {
		s.noAddr = Finding{Verdict: Unknown, Problem: fmt.Sprintf("%s cannot be looked up from here: %v", name, err), Fix: "see that the resolver of this machine works"}
		if err == nil || notFound(err) {
			s.noAddr.Problem = name + " does not exist in the DNS: it has neither an A nor an AAAA record"
			s.noAddr.Fix = "make a record that leads to this machine, and wait until it is known"
			if p.missing(ctx, name) {
				s.noAddr.Verdict = WouldFail
			}
		}
		return
	}
	var four []netip.Addr
	for _, ip := range ips {
		if ip = ip.Unmap(); ip.Is4() {
			four = append(four, ip)
		} else {
			s.ips = append(s.ips, ip)
		}
	}
	s.ips = append(s.ips[:min(len(s.ips), mostIPs)], four[:min(len(four), mostIPs)]...)
}

// missing reports whether the public name servers of a name's zone know nothing of
// it. That the resolver of this machine does not is no proof: it may have its own
// idea of the zone (split DNS).
func (p *flight) missing(ctx context.Context, name string) bool {
	servers, err := zoneServers(ctx, p.o.Resolver, name)
	if err != nil {
		return false
	}
	asked := 0
	for _, ips := range servers {
		if slices.ContainsFunc(ips, func(ip netip.Addr) bool { return !isPublic(ip) }) {
			return false
		}
		for _, address := range dnsPorts(ips[:1]) {
			// A record that leads to another name would be found as well.
			_, err := askServer(p.o.Dial, address).LookupCNAME(ctx, name+".")
			if err == nil {
				return false
			}
			if notFound(err) {
				asked++
			}
		}
	}
	return asked > 0 && ctx.Err() == nil
}

// look finds out about one name, at all of its addresses: which one a CA takes,
// nobody can tell.
func (p *flight) look(ctx context.Context, s *subject) {
	port := p.o.HTTPPort
	if s.answer.Type != edge.HTTP01 {
		port = p.o.TLSPort
	}
	var doubts, wrong []error
	for _, ip := range s.ips {
		err := p.reach(ctx, s.answer, netip.AddrPortFrom(ip, uint16(port)))
		var w *wrongAnswer
		switch {
		case err == nil:
		case ctx.Err() != nil:
			doubts = append(doubts, fmt.Errorf("the time for the check was over before %s answered", ip))
		case errors.As(err, &w) && p.certain(w):
			wrong = append(wrong, err)
		case errors.Is(err, context.DeadlineExceeded):
			doubts = append(doubts, fmt.Errorf("%s port %d does not answer", ip, port))
		default:
			doubts = append(doubts, err)
		}
	}
	fine := len(s.ips) - len(wrong) - len(doubts)
	switch {
	case len(wrong) == len(s.ips):
		s.found.Verdict = WouldFail
	case fine > 0 && len(wrong) == 0:
		s.found.Verdict = Fine
		return
	}
	worst := append(wrong, doubts...)[0]
	s.found.Problem, s.found.Fix = worst.Error(), p.fix(worst, s.id, port)
}

func (p *flight) fix(err error, id edge.Identifier, port int) string {
	var w *wrongAnswer
	switch {
	case errors.As(err, &w):
		return w.fix
	case errors.Is(err, syscall.ECONNREFUSED):
		return "start the web server that has port " + strconv.Itoa(port) + ", unless the port is redirected for connections from outside"
	}
	return "see that " + id.Value + " leads to this machine and that port " + strconv.Itoa(port) + " can be reached from outside"
}

// wrongAnswer says that something answered, and not as we would.
type wrongAnswer struct {
	text, fix string
	from, to  netip.Addr // of the connection
	busy      bool       // it may answer otherwise the next time
	refused   bool       // it may answer others otherwise
}

func (w *wrongAnswer) Error() string { return w.text }

// certain reports whether what is wrong from here is wrong from everywhere: the
// address is of the public network, and is ours or is reached from another one of
// it, so that neither NAT nor a hairpin is between. What answers may still tell
// strangers, as we are one, from a CA.
func (p *flight) certain(w *wrongAnswer) bool {
	if w.busy || !isPublic(w.to) {
		return false
	}
	return slices.Contains(p.own, w.to) || isPublic(w.from) && !w.refused
}

// special are addresses that are not of the public network, or do not lead where
// they seem to, and which netip does not know as such.
var special = []netip.Prefix{
	netip.MustParsePrefix("100.64.0.0/10"),  // RFC 6598, NAT of providers
	netip.MustParsePrefix("192.0.0.0/24"),   // RFC 6890
	netip.MustParsePrefix("198.18.0.0/15"),  // RFC 2544
	netip.MustParsePrefix("64:ff9b::/96"),   // RFC 6052, NAT64
	netip.MustParsePrefix("64:ff9b:1::/48"), // RFC 8215
}

func isPublic(ip netip.Addr) bool {
	return ip.IsGlobalUnicast() && !ip.IsPrivate() && !slices.ContainsFunc(special, func(p netip.Prefix) bool { return p.Contains(ip) })
}
