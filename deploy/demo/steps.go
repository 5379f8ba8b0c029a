package main

import (
	"bufio"
	"bytes"
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os/exec"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"time"
)

func configuredName(ctx context.Context, s *stage) (string, error) {
	var issuer string
	if err := eventually(ctx, func() error {
		leaf, _, err := s.leaf(ctx, managedName)
		if err == nil {
			issuer = leaf.Issuer.CommonName
		}
		return err
	}); err != nil {
		return "", err
	}
	if n := s.ca.Orders(); n != 1 {
		return "", fmt.Errorf("the CA saw %d orders, want 1", n)
	}
	return fmt.Sprintf("%s: issued by %q", managedName, issuer), nil
}

func firstHandshake(ctx context.Context, s *stage) (string, error) {
	orders := s.ca.Orders()
	leaf, took, err := s.leaf(ctx, shopName)
	if err != nil {
		return "", err
	}
	if got := s.ca.Orders() - orders; got != 1 {
		return "", fmt.Errorf("the CA saw %d orders, want 1", got)
	}
	s.first = leaf
	return fmt.Sprintf("%s: issued by %q and served in %v, the handshake that asked for it", shopName, leaf.Issuer.CommonName, took.Round(100*time.Microsecond)), nil
}

func secondHandshake(ctx context.Context, s *stage) (string, error) {
	orders := s.ca.Orders()
	leaf, took, err := s.leaf(ctx, shopName)
	if err != nil {
		return "", err
	}
	if !leaf.Equal(s.first) || s.ca.Orders() != orders {
		return "", errors.New("the second handshake did not get the first one's certificate")
	}
	return fmt.Sprintf("handshake in %v, no order", took.Round(10*time.Microsecond)), nil
}

func refusedName(ctx context.Context, s *stage) (string, error) {
	orders := s.ca.Orders()
	start := time.Now()
	_, _, err := s.leaf(ctx, refusedHost)
	took := time.Since(start)
	// The alert of RFC 6066 section 3.
	if err == nil || !strings.Contains(err.Error(), "tls: unrecognized name") {
		return "", fmt.Errorf("want alert unrecognized_name, got %v", err)
	}
	if s.ca.Orders() != orders {
		return "", errors.New("an order was made for it")
	}
	return fmt.Sprintf("%s: %v in %v, no order", refusedHost, err, took.Round(10*time.Microsecond)), nil
}

// client speaks to edge whatever name a URL has.
func (s *stage) client(h2 bool) *http.Client {
	t := &http.Transport{
		TLSClientConfig:   &tls.Config{RootCAs: s.roots},
		ForceAttemptHTTP2: h2,
		DialContext: func(ctx context.Context, _, addr string) (net.Conn, error) {
			to := s.httpsAddr
			if strings.HasSuffix(addr, ":80") {
				to = s.httpAddr
			}
			var d net.Dialer
			return d.DialContext(ctx, "tcp", to)
		},
	}
	return &http.Client{
		Transport:     t,
		Timeout:       10 * time.Second,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

func get(ctx context.Context, c *http.Client, url string) (*http.Response, string, error) {
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return nil, "", err
	}
	res, err := c.Do(req)
	if err != nil {
		return nil, "", err
	}
	defer res.Body.Close()
	body, err := io.ReadAll(res.Body)
	return res, string(body), err
}

func proxiedAnswer(ctx context.Context, s *stage) (string, error) {
	var said []string
	for _, h2 := range []bool{false, true} {
		c := s.client(h2)
		res, body, err := get(ctx, c, "https://"+managedName+"/")
		c.CloseIdleConnections()
		if err != nil {
			return "", err
		}
		want := "host=" + managedName + " proto=https for=127.0.0.1"
		if res.StatusCode != 200 || !strings.Contains(body, want) {
			return "", fmt.Errorf("got %s %q, want %q in it", res.Status, body, want)
		}
		said = append(said, res.Proto+" "+res.Status)
		if h2 {
			said = append(said, strings.TrimSpace(body))
		}
	}
	return strings.Join(said, ", "), nil
}

func redirected(ctx context.Context, s *stage) (string, error) {
	c := s.client(false)
	defer c.CloseIdleConnections()
	res, _, err := get(ctx, c, "http://"+managedName+"/a?b=c")
	if err != nil {
		return "", err
	}
	_, port, _ := net.SplitHostPort(s.httpsAddr)
	want := "https://" + managedName + ":" + port + "/a?b=c"
	if got := res.Header.Get("Location"); res.StatusCode != http.StatusPermanentRedirect || got != want {
		return "", fmt.Errorf("got %s to %q, want 308 to %q", res.Status, got, want)
	}
	return res.Status + " to " + want, nil
}

func reloadUnderLoad(ctx context.Context, s *stage) (string, error) {
	loadCtx, stop := context.WithCancel(ctx)
	defer stop()
	var done, failed atomic.Int64
	var firstErr atomic.Value
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			c := s.client(i%2 == 0)
			defer c.CloseIdleConnections()
			for loadCtx.Err() == nil {
				res, _, err := get(ctx, c, "https://"+managedName+"/")
				if err == nil && res.StatusCode != 200 {
					err = errors.New(res.Status)
				}
				if err != nil {
					failed.Add(1)
					firstErr.CompareAndSwap(nil, err)
				}
				done.Add(1)
			}
		})
	}
	const reloads = 10
	for i := range reloads {
		if err := s.writeConfig(i%2 == 0); err != nil {
			return "", err
		}
		if i == reloads-1 {
			if err := s.writeConfig(true); err != nil {
				return "", err
			}
		}
		if out, err := exec.CommandContext(ctx, s.bin, "reload", "--config", s.config()).CombinedOutput(); err != nil {
			return "", fmt.Errorf("edge reload: %w: %s", err, out)
		}
	}
	c := s.client(true)
	defer c.CloseIdleConnections()
	if err := eventually(ctx, func() error {
		res, _, err := get(ctx, c, "https://"+reloadName+"/")
		if err == nil && res.StatusCode != 200 {
			err = errors.New(res.Status)
		}
		return err
	}); err != nil {
		return "", fmt.Errorf("the site that the reload added: %w", err)
	}
	stop()
	wg.Wait()
	if n := failed.Load(); n > 0 {
		return "", fmt.Errorf("%d of %d requests failed, first: %v", n, done.Load(), firstErr.Load())
	}
	if done.Load() == 0 {
		return "", errors.New("there was no load")
	}
	return fmt.Sprintf("%d reloads, %d requests over HTTP/1.1 and HTTP/2, 0 failed; https://%s/ answers", reloads, done.Load(), reloadName), nil
}

func renewal(ctx context.Context, s *stage) (string, error) {
	old, _, err := s.leaf(ctx, managedName)
	if err != nil {
		return "", err
	}
	fmt.Printf("   (waiting for it: the CA's certificates live for %v here)\n", lifetime)
	if err := eventually(ctx, func() error {
		leaf, _, err := s.leaf(ctx, managedName)
		if err != nil {
			return err
		}
		if leaf.Equal(old) {
			return errors.New("still the old certificate")
		}
		if time.Now().After(old.NotAfter) {
			return errors.New("renewed only after the old certificate had expired")
		}
		s.managedLeaf = leaf
		return nil
	}); err != nil {
		return "", err
	}
	return fmt.Sprintf("%s: serial %x replaced by %x, %v before the old one's end", managedName,
		old.SerialNumber, s.managedLeaf.SerialNumber, time.Until(old.NotAfter).Round(time.Second)), nil
}

// moved are the metrics of which the demo must have moved at least one series.
var moved = []string{
	"edge_acme_orders_total", "edge_ondemand_decisions_total", "edge_tls_handshakes_total",
	"edge_http_requests_total", "edge_challenge_responses_total", "edge_config_reloads_total",
}

func metricsMoved(ctx context.Context, s *stage) (string, error) {
	now, err := s.scrape(ctx)
	if err != nil {
		return "", err
	}
	var b strings.Builder
	for _, name := range moved {
		was, is := s.before[name], now[name]
		if is <= was {
			return "", fmt.Errorf("%s did not move: %v, then %v", name, was, is)
		}
		fmt.Fprintf(&b, "%s %v -> %v\n   ", name, was, is)
	}
	return strings.TrimSpace(b.String()), nil
}

// scrape reads the metrics and sums the series of each name.
func (s *stage) scrape(ctx context.Context) (map[string]float64, error) {
	_, body, err := get(ctx, http.DefaultClient, "http://"+s.metricsAddr+"/metrics")
	if err != nil {
		return nil, err
	}
	sums := map[string]float64{}
	lines := bufio.NewScanner(strings.NewReader(body))
	for lines.Scan() {
		series, value, ok := strings.Cut(lines.Text(), " ")
		if i := strings.LastIndexByte(lines.Text(), ' '); ok && i > 0 {
			series, value = lines.Text()[:i], lines.Text()[i+1:]
		}
		v, err := strconv.ParseFloat(value, 64)
		if err != nil || strings.HasPrefix(series, "#") {
			continue
		}
		name, _, _ := strings.Cut(series, "{")
		sums[name] += v
	}
	return sums, lines.Err()
}

func status(ctx context.Context, s *stage) (string, error) {
	out, err := exec.CommandContext(ctx, s.bin, "status", "--config", s.config()).CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("%w: %s", err, out)
	}
	for _, name := range []string{managedName, shopName, reloadName} {
		if !bytes.Contains(out, []byte(name)) {
			return "", fmt.Errorf("%s is missing in it:\n%s", name, out)
		}
	}
	return strings.ReplaceAll(strings.TrimSpace(string(out)), "\n", "\n   "), nil
}

// eventually repeats a check until it succeeds or the context ends.
func eventually(ctx context.Context, check func() error) error {
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		err := check()
		if err == nil {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w (last: %w)", ctx.Err(), err)
		case <-tick.C:
		}
	}
}
