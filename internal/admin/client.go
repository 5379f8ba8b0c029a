package admin

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/url"
	"os"
	"syscall"
)

// Client talks to a running edge. Safe for concurrent use.
type Client struct {
	path string
	http *http.Client
}

// NewClient returns a client for the socket at path; it connects when it is used.
func NewClient(path string) *Client {
	dial := func(ctx context.Context, _, _ string) (net.Conn, error) {
		return new(net.Dialer).DialContext(ctx, "unix", path)
	}
	return &Client{path, &http.Client{Transport: &http.Transport{DialContext: dial, MaxIdleConns: 1}}}
}

// Close lets go of the connection.
func (c *Client) Close() { c.http.CloseIdleConnections() }

// Status asks for the state of everything.
func (c *Client) Status(ctx context.Context) (*Status, error) {
	var s Status
	return &s, c.call(ctx, http.MethodGet, "/v1/status", nil, &s)
}

// Reload has the configuration read again and waits for the outcome.
func (c *Client) Reload(ctx context.Context) error {
	return c.call(ctx, http.MethodPost, "/v1/reload", nil, nil)
}

// Upgrade has another process started in the place of the running one, and waits for
// the outcome.
func (c *Client) Upgrade(ctx context.Context) (*UpgradeResult, error) {
	var r UpgradeResult
	return &r, c.call(ctx, http.MethodPost, "/v1/upgrade", nil, &r)
}

// PutChallenge has an answer given to a validating CA.
func (c *Client) PutChallenge(ctx context.Context, ch Challenge) error {
	return c.call(ctx, http.MethodPut, "/v1/challenges", ch, nil)
}

// RemoveChallenge takes an answer away.
func (c *Client) RemoveChallenge(ctx context.Context, ch Challenge) error {
	return c.call(ctx, http.MethodDelete, "/v1/challenges", ch, nil)
}

// Certificate fetches a site's chain and key.
func (c *Client) Certificate(ctx context.Context, name string) (*Certificate, error) {
	var cert Certificate
	return &cert, c.call(ctx, http.MethodGet, "/v1/certificates/"+url.PathEscape(name), nil, &cert)
}

func (c *Client) call(ctx context.Context, method, path string, in, out any) error {
	var body io.Reader
	if in != nil {
		b, err := json.Marshal(in)
		if err != nil {
			return err
		}
		body = bytes.NewReader(b)
	}
	req, err := http.NewRequestWithContext(ctx, method, "http://edge"+path, body)
	if err != nil {
		return err
	}
	res, err := c.http.Do(req)
	if err != nil {
		return c.explain(err)
	}
	defer res.Body.Close()
	if res.StatusCode >= 300 {
		var p problem
		if err := json.NewDecoder(io.LimitReader(res.Body, 1<<20)).Decode(&p); err != nil || p.Error == "" {
			p.Error = res.Status
		}
		switch res.StatusCode {
		case http.StatusNotFound:
			return known{ErrNotFound, p.Error}
		case http.StatusUnprocessableEntity:
			return known{ErrRefused, p.Error}
		}
		return errors.New(p.Error)
	}
	if out == nil {
		return nil
	}
	// The steward is root, and the door may be in the hands of somebody else.
	if err := json.NewDecoder(io.LimitReader(res.Body, maxAnswer)).Decode(out); err != nil {
		return fmt.Errorf("answer of the admin socket %s: %w", c.path, err)
	}
	return nil
}

// maxAnswer bounds an answer: the status of a hundred thousand certificates.
const maxAnswer = 64 << 20

// known is an error in the words of the server, and of a kind that callers branch on.
type known struct {
	kind  error
	words string
}

func (k known) Error() string { return k.words }
func (k known) Unwrap() error { return k.kind }

// explain says what to do about a socket that cannot be reached.
func (c *Client) explain(err error) error {
	switch {
	case errors.Is(err, os.ErrNotExist), errors.Is(err, syscall.ECONNREFUSED):
		return fmt.Errorf("no edge is running at the admin socket %s; start it with edge serve, or name its socket with --admin", c.path)
	case errors.Is(err, os.ErrPermission):
		group := ""
		if info, serr := os.Stat(c.path); serr == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				group = fmt.Sprintf(" (group %d may ask for status)", st.Gid)
			}
		}
		return fmt.Errorf("admin socket %s: permission denied; run this as root or as the user of edge%s", c.path, group)
	}
	var ue *url.Error
	if errors.As(err, &ue) {
		err = ue.Err
	}
	return fmt.Errorf("admin socket %s: %w", c.path, err)
}
