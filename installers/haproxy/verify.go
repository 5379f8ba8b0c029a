package haproxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"slices"
	"strings"
	"time"

	"edge"
)

const (
	askTimeout = 3 * time.Second
	askFor     = time.Second // how long an answer may take to be seen
	maxBody    = 4 << 10
)

// plainHTTP are the addresses where a CA's requests may arrive: port 80, or where there is
// none, all of HTTP without TLS.
func (w *world) plainHTTP() []string {
	var all, standard []string
	for _, b := range w.binds {
		if b.ssl || !b.http {
			continue
		}
		for _, e := range b.at {
			if e.ProxyProtocol || slices.Contains(all, e.Addr) {
				continue
			}
			all = append(all, e.Addr)
			if _, port, err := net.SplitHostPort(e.Addr); err == nil && port == "80" {
				standard = append(standard, e.Addr)
			}
		}
	}
	if len(standard) > 0 {
		return standard
	}
	return all
}

// ask makes the CA's request to HAProxy, until the answer is right at one address.
func (a *Authenticator) ask(ctx context.Context, w *world, one edge.Answer) error {
	at := w.plainHTTP()
	if a.a.Address != "" {
		at = []string{a.a.Address}
	}
	if len(at) == 0 {
		return fmt.Errorf("the configuration has no address for plain HTTP (mode http, no ssl, no accept-proxy) that HAProxy could be asked at; say it with http_address")
	}
	for deadline := time.Now().Add(askFor); ; {
		var errs []error
		for _, addr := range at {
			err := get(ctx, addr, one)
			if err == nil {
				return nil
			}
			errs = append(errs, fmt.Errorf("%s: %w", addr, err))
		}
		err := errors.Join(errs...)
		if !time.Now().Before(deadline) {
			return fmt.Errorf("HAProxy does not answer the challenge for %s: %w\n%s", one.Identifier.Value, err, a.advice(w, one))
		}
		if perr := pause(ctx, 100*time.Millisecond); perr != nil {
			return errors.Join(perr, err)
		}
	}
}

// get is one request; nil means that the answer is right.
func get(ctx context.Context, addr string, one edge.Answer) error {
	ctx, cancel := context.WithTimeout(ctx, askTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			if path, ok := strings.CutPrefix(addr, "unix:"); ok {
				return new(net.Dialer).DialContext(ctx, "unix", path)
			}
			return new(net.Dialer).DialContext(ctx, "tcp", loopback(addr))
		},
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+one.Identifier.Value+edge.HTTP01Prefix+one.Token, nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return err
	}
	defer resp.Body.Close() // read as far as it matters
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch got := strings.TrimSpace(string(body)); {
	case err != nil:
		return err
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("it answers %s", resp.Status)
	case got == one.KeyAuth:
		return nil
	case strings.HasPrefix(got, one.Token+"."):
		return fmt.Errorf("it answers for another account: thumbprint %.64q, not %q", strings.TrimPrefix(got, one.Token+"."), thumbprint(one.KeyAuth))
	default:
		return fmt.Errorf("it answers %.100q", got)
	}
}

// loopback is where to connect to for an address that HAProxy binds to.
func loopback(addr string) string {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return addr
	}
	switch host {
	case "", "*", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return net.JoinHostPort(host, port)
}

// advice is what has to be in haproxy.cfg, as far as it is not.
func (a *Authenticator) advice(w *world, one edge.Answer) string {
	const in = "write into the frontend of port 80 in haproxy.cfg, ahead of redirects and of other http-request rules, and reload HAProxy:\n"
	switch a.a.Mode {
	case statelessMode:
		says := ""
		thumb := thumbprint(one.KeyAuth)
		if v, ok := w.env[a.a.Variable]; !ok {
			says = fmt.Sprintf("write into the section global:\n    setenv %s %s\n", a.a.Variable, thumb)
		} else if v != thumb {
			says = fmt.Sprintf("%s is %.64q in haproxy.cfg, and the account has another thumbprint; write into the section global:\n    setenv %[1]s %[3]s\n", a.a.Variable, v, thumb)
		}
		return says + in + fmt.Sprintf(`    http-request return status 200 content-type text/plain lf-string "%%[path,field(-1,/)].${%s}" if { path_beg %s }`, a.a.Variable, edge.HTTP01Prefix)
	case helperMode:
		return fmt.Sprintf(`write into the frontend of port 80 in haproxy.cfg, add "unless is_certbot" to its redirects and other http-request rules, and reload HAProxy:
    acl is_certbot path_beg -i %s
    use_backend certbot if is_certbot
and as a section of its own:
backend certbot
    mode http
    server certbot 127.0.0.1:%d`, strings.TrimSuffix(edge.HTTP01Prefix, "/"), a.a.Port)
	}
	if slices.Contains(w.maps, a.a.Map) {
		return "the map is used in haproxy.cfg: has HAProxy been reloaded since, and do other rules or redirects come first?"
	}
	return "make an empty file " + a.a.Map + ", " + in +
		fmt.Sprintf(`    http-request return status 200 content-type text/plain lf-string "%%[path,map(%s)]" if { path,map(%[1]s) -m found }`, a.a.Map)
}
