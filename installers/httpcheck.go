package installers

import (
	"cmp"
	"context"
	"crypto/tls"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"net/url"
	"slices"
	"strings"
)

func (c HTTPCheck) url() *url.URL {
	u := &url.URL{Scheme: "http", Host: c.Host, Path: cmp.Or(c.Path, "/")}
	if c.TLS {
		u.Scheme = "https"
	}
	return u
}

// String is for people.
func (c HTTPCheck) String() string {
	return fmt.Sprintf("GET %s at %s", c.url(), c.Addr)
}

// wants is what has to come of it, for people.
func (c HTTPCheck) wants() string {
	if c.WantNone {
		return "is not answered"
	}
	var parts []string
	if len(c.WantStatus) > 0 {
		var status []string
		for _, s := range c.WantStatus {
			status = append(status, fmt.Sprint(s))
		}
		parts = append(parts, "answers "+strings.Join(status, " or "))
	}
	if c.WantLocationPrefix != "" {
		parts = append(parts, "leads to "+c.WantLocationPrefix)
	}
	for _, name := range slices.Sorted(maps.Keys(c.WantHeader)) {
		parts = append(parts, fmt.Sprintf("has %s: %s", name, c.WantHeader[name]))
	}
	if c.WantBody != "" {
		parts = append(parts, fmt.Sprintf("says %.80q", c.WantBody))
	}
	if len(parts) == 0 {
		return "is answered"
	}
	return strings.Join(parts, ", ")
}

// run makes the request; nil means that all that is wanted came.
func (c HTTPCheck) run(ctx context.Context) error {
	whole := ctx
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	transport := &http.Transport{
		DisableKeepAlives: true, DisableCompression: true, MaxResponseHeaderBytes: maxOutput,
		DialContext: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return dial(ctx, c.Addr, c.ProxyProtocol)
		},
		TLSClientConfig: &tls.Config{InsecureSkipVerify: true, MinVersion: tls.VersionTLS10}, // Endpoints compare certificates
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, c.url().String(), nil)
	if err != nil {
		return err
	}
	answer, err := transport.RoundTrip(request)
	if c.WantNone && err == nil {
		_ = answer.Body.Close() // nobody wants it
		return fmt.Errorf("it answers %s, without TLS", answer.Status)
	}
	if c.WantNone && whole.Err() == nil {
		return nil // nothing listens, or it wants TLS
	}
	if err != nil {
		return err
	}
	defer answer.Body.Close() // read as far as it matters
	body, err := io.ReadAll(io.LimitReader(answer.Body, maxOutput))
	if err != nil {
		return err
	}
	return c.judge(answer, string(body))
}

func (c HTTPCheck) judge(answer *http.Response, body string) error {
	if len(c.WantStatus) > 0 && !slices.Contains(c.WantStatus, answer.StatusCode) {
		return fmt.Errorf("the answer is %s, not %s", answer.Status, strings.Trim(fmt.Sprint(c.WantStatus), "[]"))
	}
	if location := answer.Header.Get("Location"); !strings.HasPrefix(location, c.WantLocationPrefix) {
		return fmt.Errorf("it leads to %q, not to %s", location, c.WantLocationPrefix)
	}
	for name, want := range c.WantHeader {
		if got := answer.Header.Get(name); got != want {
			return fmt.Errorf("the header %s is %q, not %q", name, got, want)
		}
	}
	if c.WantBody != "" && strings.TrimRight(body, " \t\r\n") != strings.TrimRight(c.WantBody, " \t\r\n") {
		return fmt.Errorf("the answer %s is %.80q, not %.80q", answer.Status, body, c.WantBody)
	}
	return nil
}
