package api

import (
	"crypto/tls"
	"errors"
	"fmt"
	"net"
	"net/http"
	"net/url"
	"regexp"
	"strings"
)

// StatusError is an answer that is no success.
type StatusError struct {
	Method, Path string
	Status       int
	Reason       string // the status line: "401 Authentication failed!"
	Header       http.Header
	Body         []byte // bounded
	Says         string // the beginning of the body, for people, on one line
}

func (e *StatusError) Error() string {
	says := fmt.Sprintf("%s %s: %s", e.Method, e.Path, e.Reason)
	if e.Says != "" {
		says += ": " + e.Says
	}
	return says
}

// finalError is one of this side, or one that stays whatever is done.
type finalError struct{ err error }

func (e *finalError) Error() string { return e.err.Error() }
func (e *finalError) Unwrap() error { return e.err }

func final(err error) bool {
	var own *finalError
	var tls *tls.CertificateVerificationError
	return errors.As(err, &own) || errors.As(err, &tls)
}

// unsent reports that there was no connection, so that nothing was done.
func unsent(err error) bool {
	var op *net.OpError
	return errors.As(err, &op) && op.Op == "dial"
}

func (c *Client) refused(r Request, resp *http.Response, body []byte) error {
	e := &StatusError{
		Method: r.Method, Path: c.redact(c.base.Host + r.Path), Status: resp.StatusCode, Reason: clip(c.redact(resp.Status)),
		Header: resp.Header, Body: body, Says: clip(c.redact(strings.Join(strings.Fields(printable(string(body))), " "))),
	}
	if resp.StatusCode/100 == 3 {
		e.Says = "redirects are not followed: give the address of the service itself"
		if to, err := resp.Location(); err == nil {
			e.Says += ", perhaps " + clip(c.redact(to.Scheme+"://"+to.Host))
		}
	}
	return e
}

// secretError is an error without the secrets of its text.
type secretError struct {
	says string
	err  error
}

func (e *secretError) Error() string { return e.says }
func (e *secretError) Unwrap() error { return e.err }

func (c *Client) clean(err error) error {
	if says := c.redact(err.Error()); says != err.Error() {
		return &secretError{says, err}
	}
	return err
}

// userinfo is a user and a password in an address.
var userinfo = regexp.MustCompile(`//[^/]*@`)

// privateKey is one in PEM form, or what there is of it, perhaps in JSON.
var privateKey = regexp.MustCompile(`(?s)-----BEGIN [A-Z ]*PRIVATE KEY-----.*?(-----END [A-Z ]*PRIVATE KEY-----|$)`)

// redact takes secrets out of a text, also as they are in addresses, and private keys,
// which some services repeat when they do not like them.
func (c *Client) redact(s string) string {
	for _, secret := range c.o.Secrets {
		for _, form := range []string{secret, url.QueryEscape(secret), url.PathEscape(secret)} {
			if secret != "" {
				s = strings.ReplaceAll(s, form, "[secret]")
			}
		}
	}
	return privateKey.ReplaceAllString(s, "[secret]")
}

// clip bounds what is quoted of somebody else's text.
func clip(s string) string {
	const most = 300
	if len(s) > most {
		return strings.ToValidUTF8(s[:most], "") + "..."
	}
	return s
}

func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if r < ' ' || r == 0x7f {
			return ' '
		}
		return r
	}, strings.ToValidUTF8(s, "\uFFFD"))
}
