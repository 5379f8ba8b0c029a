package heroku

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"strings"

	"edge/installers/api"
)

// platform is Heroku's API for one account.
type platform struct{ client *api.Client }

func newPlatform(o *Options) (*platform, error) {
	if o.Token == "" || strings.ContainsFunc(o.Token, func(r rune) bool { return r <= ' ' || r > '~' }) {
		return nil, errors.New("token is empty or has characters that it cannot have")
	}
	c, err := o.Env.API(api.Options{
		Base: cmp.Or(o.Base, "https://api.heroku.com"), Roots: o.Roots, Secrets: []string{o.Token}, Timeout: o.Timeout, Limit: 8 << 20,
		Sign: func(r *http.Request, _ []byte) error {
			r.Header.Set("Authorization", "Bearer "+o.Token)
			r.Header.Set("Accept", "application/vnd.heroku+json; version=3")
			return nil
		},
	})
	return &platform{c}, err
}

// endpoint is an SNI endpoint: a certificate of an app.
type endpoint struct {
	ID    string
	Name  string
	Chain string `json:"certificate_chain"`
	Cert  struct {
		Domains []string `json:"cert_domains"`
	} `json:"ssl_cert"`
}

// domain is a name of an app.
type domain struct {
	Hostname string
	CName    string // what DNS has to lead to; null for Heroku's own
	Kind     string
	Endpoint *struct{ ID string } `json:"sni_endpoint"`
}

// attached is the id of its endpoint.
func (d *domain) attached() string {
	if d.Endpoint == nil {
		return ""
	}
	return d.Endpoint.ID
}

// dyno is a process of an app.
type dyno struct {
	Name, State, Type string
	Release           struct{ Version int }
}

// do makes a request about an app. In and out are JSON; nil: none.
func (p *platform) do(ctx context.Context, method, app, path string, in, out any) error {
	_, err := p.ask(ctx, method, app, path, "", in, out)
	return err
}

func (p *platform) ask(ctx context.Context, method, app, path, span string, in, out any) (next string, err error) {
	r := api.Request{Method: method, Path: "/apps/" + url.PathEscape(app) + path, Header: http.Header{}}
	if span != "" {
		r.Header.Set("Range", span)
	}
	if in != nil {
		if r.Body, err = json.Marshal(in); err != nil {
			return "", err
		}
		r.Type = "application/json"
	}
	r.Again = method == http.MethodPatch // the same twice is the same
	resp, err := p.client.Do(ctx, r)
	if err != nil {
		return "", advise(app, err)
	}
	if out != nil {
		if err := json.Unmarshal(resp.Body, out); err != nil {
			// The text of the error quotes at most a character: variables are secret.
			return "", fmt.Errorf("%s %s: the answer is not what Heroku says: %w", method, r.Path, err)
		}
	}
	return resp.Header.Get("Next-Range"), nil
}

// maxPages bounds the pages of a list, of 200 each.
const maxPages = 100

// list fetches all pages of a list.
func list[T any](ctx context.Context, p *platform, app, path string) ([]T, error) {
	var all []T
	span := ""
	for range maxPages {
		var page []T
		next, err := p.ask(ctx, http.MethodGet, app, path, span, nil, &page)
		if err != nil {
			return nil, err
		}
		all = append(all, page...)
		if next == "" {
			return all, nil
		}
		span = next
	}
	return nil, fmt.Errorf("GET /apps/%s%s: more than %d pages", app, path, maxPages)
}

func status(err error) int {
	var s *api.StatusError
	if errors.As(err, &s) {
		return s.Status
	}
	return 0
}

// advise adds what people can do.
func advise(app string, err error) error {
	do := map[int]string{
		http.StatusUnauthorized:    "make a new token: heroku authorizations:create",
		http.StatusPaymentRequired: "Heroku wants to be paid first",
		http.StatusForbidden:       "the token's account has to be a collaborator of the app",
		http.StatusNotFound:        "is there an app " + app + " that the token may see?",
	}[status(err)]
	if do == "" {
		return err
	}
	return fmt.Errorf("%w; %s", err, do)
}
