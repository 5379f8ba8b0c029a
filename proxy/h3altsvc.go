package proxy

import "strings"

var altSvcValue = []string{`h3=":443"; ma=86400`}

// offerHTTP3 tells clients on TCP that the site speaks HTTP/3, on the port that they
// see, which may be another than the one listened on (RFC 7838).
func (x *exchange) offerHTTP3() {
	if !x.st.set.HTTP3 || !x.c.tls || x.c.quic != nil || x.srv.retiring.Load() {
		return
	}
	value := altSvcValue
	host := x.r.Host
	if i := strings.LastIndexByte(host, ':'); i >= 0 && i < len(host)-1 && strings.IndexByte(host[i:], ']') < 0 && isPort(host[i+1:]) {
		value = []string{`h3=":` + host[i+1:] + `"; ma=86400`}
	}
	x.w.Header()["Alt-Svc"] = value
}

func isPort(s string) bool {
	for _, c := range []byte(s) {
		if c < '0' || c > '9' {
			return false
		}
	}
	return len(s) <= 5
}
