package policy

import (
	"net/netip"
	"strconv"
	"strings"
)

// conditions answers for a route in whose way something stands, and reports
// whether it did.
func (d *Decision) conditions(rt *Route, r *Request) bool {
	if m := rt.Maintenance; m != nil && !contains(m.Allow, d.Client) {
		if m.RetryAfter > 0 {
			d.Header = append(d.Header, Field{"Retry-After", strconv.Itoa(m.RetryAfter)})
		}
		d.refuse(503, "down for maintenance\n")
		if len(m.Body) > 0 {
			d.Body, d.Type = string(m.Body), m.Type
		}
		return true
	}
	if contains(rt.Deny, d.Client) || len(rt.Allow) > 0 && !contains(rt.Allow, d.Client) {
		d.refuse(403, "forbidden\n")
		return true
	}
	if !d.rate(rt, r) {
		return true
	}
	if rt.CORS != nil && d.cors(rt.CORS, r) {
		return true
	}
	return rt.BasicAuth != nil && !d.basic(rt.BasicAuth, r)
}

func (d *Decision) refuse(status int, body string) {
	d.Kind, d.Status, d.Body = Static, status, body
}

// rate takes a token of each limit.
func (d *Decision) rate(rt *Route, r *Request) bool {
	for i := range rt.RateLimits {
		l := &rt.RateLimits[i]
		v := l.Limiter.Take(rateKey(l.By, r, d.Client), r.Now)
		name := l.Limiter.name()
		d.Header = append(d.Header, Field{"RateLimit-Policy", l.Limiter.policy()},
			Field{"RateLimit", name + ";r=" + strconv.Itoa(v.Remaining) + ";t=" + strconv.Itoa(v.Reset)})
		if !v.OK {
			d.Header = append(d.Header, Field{"Retry-After", strconv.Itoa(v.Wait)})
			d.refuse(429, "too many requests\n")
			d.Limited = "rate"
			return false
		}
	}
	return true
}

// rateKey is what a limit counts by. Keys of different kinds never meet.
func rateKey(by string, r *Request, client netip.Addr) string {
	kind, name, _ := strings.Cut(by, ":")
	switch kind {
	case "header":
		if v := headerValues(r.Header, name); len(v) > 0 && v[0] != "" && len(v[0]) <= maxRateKey {
			return "h" + v[0]
		}
	case "cookie":
		if v, ok := cookie(r.Header, name); ok && v != "" && len(v) <= maxRateKey {
			return "c" + v
		}
	}
	return "a" + clientBlock(client).String()
}

// maxRateKey bounds what a stranger can have us remember.
const maxRateKey = 256

// clientBlock is what one client can be assumed to own.
func clientBlock(a netip.Addr) netip.Addr {
	if !a.Is6() {
		return a
	}
	p, err := a.WithZone("").Prefix(64)
	if err != nil {
		return a
	}
	return p.Addr()
}

// cookie returns the first cookie of a name.
func cookie(h []Field, name string) (string, bool) {
	for i := range h {
		if !strings.EqualFold(h[i].Name, "Cookie") {
			continue
		}
		for part := range strings.SplitSeq(h[i].Value, ";") {
			if k, v, ok := strings.Cut(strings.TrimSpace(part), "="); ok && k == name {
				return strings.Trim(v, `"`), true
			}
		}
	}
	return "", false
}

// cors adds the fields of an allowed origin and answers preflights, which it reports.
func (d *Decision) cors(c *CORS, r *Request) bool {
	origin := headerValues(r.Header, "Origin")
	preflight := r.Method == "OPTIONS" && len(origin) > 0 && len(headerValues(r.Header, "Access-Control-Request-Method")) > 0
	allowed := ""
	if len(origin) == 1 {
		allowed = c.allows(origin[0])
	}
	if allowed != "*" {
		d.Header = append(d.Header, Field{"Vary", "Origin"})
	}
	if allowed != "" {
		d.Header = append(d.Header, Field{"Access-Control-Allow-Origin", allowed})
		if c.Credentials && allowed != "*" {
			d.Header = append(d.Header, Field{"Access-Control-Allow-Credentials", "true"})
		}
		if len(c.Expose) > 0 && !preflight {
			d.Header = append(d.Header, Field{"Access-Control-Expose-Headers", strings.Join(c.Expose, ", ")})
		}
	}
	if !preflight {
		return false
	}
	d.refuse(204, "")
	if allowed == "" {
		return true // without the fields, which the browser takes for a no
	}
	methods := "GET, HEAD, POST"
	if len(c.Methods) > 0 {
		methods = strings.Join(c.Methods, ", ")
	}
	d.Header = append(d.Header, Field{"Access-Control-Allow-Methods", methods})
	headers := strings.Join(c.Headers, ", ")
	if headers == "" {
		headers = strings.Join(headerValues(r.Header, "Access-Control-Request-Headers"), ", ")
		d.Header = append(d.Header, Field{"Vary", "Access-Control-Request-Headers"})
	}
	if headers != "" {
		d.Header = append(d.Header, Field{"Access-Control-Allow-Headers", headers})
	}
	if c.MaxAge > 0 {
		d.Header = append(d.Header, Field{"Access-Control-Max-Age", strconv.Itoa(c.MaxAge)})
	}
	return true
}

// allows returns what Access-Control-Allow-Origin says, or "".
func (c *CORS) allows(origin string) string {
	for _, o := range c.Origins {
		scheme, host, wild := strings.Cut(o, "*.")
		switch {
		case o == "*" && !c.Credentials:
			return "*"
		case strings.EqualFold(o, origin):
			return origin
		case wild && len(origin) > len(scheme) && strings.EqualFold(origin[:len(scheme)], scheme):
			if label, ok := strings.CutSuffix(strings.ToLower(origin[len(scheme):]), "."+strings.ToLower(host)); ok && label != "" && !strings.ContainsAny(label, "/:@.") {
				return origin
			}
		}
	}
	return ""
}

// basic checks the credentials.
func (d *Decision) basic(a *BasicAuth, r *Request) bool {
	auth := headerValues(r.Header, "Authorization")
	if len(auth) == 1 {
		if user, password, ok := basicCredentials(auth[0]); ok {
			switch ok, busy := a.verify(user, password); {
			case ok:
				d.User = user
				return true
			case busy:
				d.Header = append(d.Header, Field{"Retry-After", "1"})
				d.refuse(503, "busy checking passwords\n")
				d.Limited = "auth"
				return false
			}
		}
	}
	d.Header = append(d.Header, Field{"WWW-Authenticate", "Basic realm=" + quoted(a.realm) + `, charset="UTF-8"`})
	d.refuse(401, "authentication required\n")
	return false
}

// quoted is a quoted-string of RFC 9110 section 5.6.4.
func quoted(s string) string {
	return `"` + strings.NewReplacer(`\`, `\\`, `"`, `\"`).Replace(s) + `"`
}
