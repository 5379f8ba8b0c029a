package varnish

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"time"

	"edge"
)

// listens are the addresses at which the node takes requests.
func (n *node) listens(ctx context.Context) ([]string, error) {
	if len(n.o.Listen) > 0 {
		return n.o.Listen, nil
	}
	c, err := n.connect(ctx)
	if err != nil {
		return nil, err
	}
	defer c.close()
	text, err := c.ask(ctx, "debug.listen_address")
	var no *refusal
	if errors.As(err, &no) && no.status == statusUnknown {
		return nil, fmt.Errorf("varnish at %s does not say where it listens; set listen", n.addr)
	}
	if err != nil {
		return nil, err
	}
	at := parseListen(text, n.addr)
	if len(at) == 0 {
		return nil, fmt.Errorf("varnish at %s listens on no address that can be asked; set listen", n.addr)
	}
	return at, nil
}

const maxListen = 100 // addresses

// parseListen reads lines of NAME HOST PORT. Where it listens everywhere, it is asked at
// the host of its CLI.
func parseListen(text, cli string) []string {
	host, _, err := net.SplitHostPort(cli)
	if ip, perr := netip.ParseAddr(host); err != nil || strings.HasPrefix(cli, "unix:") || host == "" || perr == nil && ip.IsUnspecified() {
		host = "127.0.0.1"
	}
	var list []string
	for line := range strings.Lines(text) {
		f := strings.Fields(line)
		if len(f) != 3 || len(list) == maxListen {
			continue
		}
		ip, err := netip.ParseAddr(f[1])
		if err != nil {
			continue // a socket of the file system
		}
		at := ip.String()
		if ip.IsUnspecified() {
			at = host
		}
		list = append(list, net.JoinHostPort(at, f[2]))
	}
	return list
}

const (
	getTimeout = 5 * time.Second
	maxBody    = 4 << 10 // bytes
)

// get asks for an answer as a CA does.
func (n *node) get(ctx context.Context, addr string, one edge.Answer) error {
	ctx, cancel := context.WithTimeout(ctx, getTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: 64 << 10,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) { return n.o.Dial(ctx, "tcp", addr) },
	}
	host := one.Identifier.Value
	if ip, err := netip.ParseAddr(host); err == nil && ip.Is6() {
		host = "[" + host + "]"
	}
	u := url.URL{Scheme: "http", Host: host, Path: folder + one.Token}
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return err
	}
	resp, err := transport.RoundTrip(req)
	if err != nil {
		return fmt.Errorf("%s: %w", addr, err)
	}
	defer resp.Body.Close() // it was read
	body, err := io.ReadAll(io.LimitReader(resp.Body, maxBody))
	switch {
	case err != nil:
		return fmt.Errorf("%s: %w", addr, err)
	case resp.StatusCode != http.StatusOK:
		return fmt.Errorf("%s answers %s", addr, clip(resp.Status))
	case strings.TrimRight(string(body), " \t\r\n") != one.KeyAuth:
		return fmt.Errorf("%s answers something else", addr)
	}
	return nil
}
