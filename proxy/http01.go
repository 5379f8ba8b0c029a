package proxy

import (
	"net/http"
	"net/netip"
	"strings"

	"edge"
)

// maxToken is far above what any CA sends (RFC 8555 asks for 128 bits at least;
// Let's Encrypt sends 43 characters).
const maxToken = 256

// challenge answers HTTP-01 requests whose token is known, before anything
// else has a say. Unknown tokens go on to the backend of the host, so that
// ACME clients behind edge keep working.
func (x *exchange) challenge() bool {
	token, ok := strings.CutPrefix(x.req.Path, edge.HTTP01Prefix)
	if !ok || x.r.Method != http.MethodGet && x.r.Method != http.MethodHead {
		return false
	}
	keyAuth, known := "", false
	if host := challengeHost(x.r.Host); host != "" && isToken(token) && x.srv.opts.Challenges != nil {
		keyAuth, known = x.srv.opts.Challenges.HTTP01(host, token)
	}
	ev := edge.ChallengeEvent{Type: edge.HTTP01, Result: "unknown"}
	if known {
		ev.Result = "answered"
	}
	x.srv.obs.Challenge(&ev)
	if !known {
		return false
	}
	x.ev.Decision = "challenge"
	x.endSpare()
	x.answer(http.StatusOK, keyAuth)
	return true
}

// isToken reports whether s is base64url (RFC 8555 section 8.3). Anything else
// could be a path or a pattern to whoever looks it up.
func isToken(s string) bool {
	if s == "" || len(s) > maxToken {
		return false
	}
	for i := 0; i < len(s); i++ {
		c := s[i]
		if !(c >= '0' && c <= '9' || c >= 'A' && c <= 'Z' || c >= 'a' && c <= 'z' || c == '-' || c == '_') {
			return false
		}
	}
	return true
}

// challengeHost is the identifier under validation: the Host without its port,
// or "" where it can be none.
func challengeHost(host string) string {
	if i := strings.LastIndexByte(host, ':'); i >= 0 && strings.IndexByte(host[i:], ']') < 0 {
		host = host[:i]
	}
	if name, ok := edge.CleanName(host); ok {
		return name
	}
	if a, err := netip.ParseAddr(strings.TrimSuffix(strings.TrimPrefix(host, "["), "]")); err == nil {
		return a.String()
	}
	return ""
}
