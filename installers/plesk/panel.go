package plesk

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"time"

	"edge/installers/api"
)

// server is Plesk, as certificates are installed in it.
type server interface {
	// site is nil where there is none of that name.
	site(ctx context.Context, name string) (*site, error)
	// has reports whether a site has a certificate of that name.
	has(ctx context.Context, site, name string) (bool, error)
	install(ctx context.Context, site, name string, p pems) error
	update(ctx context.Context, site, name string, p pems) error
	remove(ctx context.Context, site, name string) error
	// assign has a site use a certificate of its own; "" with ssl off: none.
	assign(ctx context.Context, site, name string, ssl bool) error
}

// site is what is known of one.
type site struct {
	id, name    string
	root, login string // www_root, the system user
	certificate string // the name of the one in use
	ssl         bool
}

// pems are a certificate as Plesk takes it.
type pems struct{ key, leaf, chain []byte }

// panel is Plesk behind agent.php.
type panel struct {
	o   *Options
	api *api.Client
}

func newPanel(o *Options, pins []string) (*panel, error) {
	c, err := o.Env.API(api.Options{
		Base: o.Server, Roots: o.Roots, Fingerprint: strings.Join(pins, ","), Timeout: o.Timeout, Limit: 4 << 20,
		Secrets: []string{o.SecretKey, o.Password},
		Sign: func(r *http.Request, _ []byte) error {
			r.Header["HTTP_PRETTY_PRINT"] = []string{"TRUE"}
			if o.SecretKey != "" {
				r.Header["KEY"] = []string{o.SecretKey}
				return nil
			}
			r.Header["HTTP_AUTH_LOGIN"], r.Header["HTTP_AUTH_PASSWD"] = []string{o.Login}, []string{o.Password}
			return nil
		},
	})
	if err != nil {
		return nil, fmt.Errorf("plesk: server: %w", err)
	}
	return &panel{o, c}, nil
}

// A guard against guessed passwords answers 401 without a word for five minutes after
// five failures; a new key takes some seconds to be known. So that is asked again, but
// rarely: each attempt with a wrong key counts.
const (
	guarded     = 3
	guardedWait = 8 * time.Second
)

// call sends one request and returns its results, of which there is at least one. Again
// says that it may be carried out twice.
func (p *panel) call(ctx context.Context, body string, again bool, pick func(*packet) []result) ([]result, *packet, error) {
	r := api.Request{
		Method: http.MethodPost, Path: "/enterprise/control/agent.php", Type: "text/xml", Again: again,
		Body: []byte(`<?xml version="1.0" encoding="UTF-8"?>` + "\n" + el("packet", body)),
	}
	var resp *api.Response
	var err error
	for try := 1; ; try++ {
		resp, err = p.api.Do(ctx, r)
		var status *api.StatusError
		silent := errors.As(err, &status) && status.Status == http.StatusUnauthorized && len(strings.TrimSpace(string(status.Body))) == 0
		if !silent {
			break
		}
		if try == guarded {
			return nil, nil, fmt.Errorf("plesk: %w; Plesk answers without a word: login or secret key are wrong, or its guard against guessing keeps this address out for five minutes", err)
		}
		if werr := p.o.Env.Pause(ctx, guardedWait<<(try-1)); werr != nil {
			return nil, nil, fmt.Errorf("plesk: %w (%w)", err, werr)
		}
	}
	if err != nil {
		return nil, nil, fmt.Errorf("plesk: %w", err)
	}
	answer, err := parsePacket(resp.Body)
	if err != nil {
		return nil, nil, fmt.Errorf("plesk: %s: %w", p.o.Server, err)
	}
	list := pick(answer)
	if len(list) == 0 {
		return nil, nil, fmt.Errorf("plesk: %s: the answer has no result", p.o.Server)
	}
	return list, answer, nil
}

// one is call for what has one result.
func (p *panel) one(ctx context.Context, what, body string, again bool, pick func(*packet) []result) (*result, *packet, error) {
	list, answer, err := p.call(ctx, body, again, pick)
	if err != nil {
		return nil, nil, err
	}
	if err := list[0].check(); err != nil {
		return nil, answer, fmt.Errorf("plesk: %s: %w", what, err)
	}
	return &list[0], answer, nil
}

func (p *panel) site(ctx context.Context, name string) (*site, error) {
	body := el("site", el("get", el("filter", el("name", text(name))), el("dataset", el("hosting"))))
	r, _, err := p.one(ctx, "site "+name, body, true, func(a *packet) []result { return a.SiteGet })
	if missing(err) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	return &site{
		id: r.ID, name: name, root: r.property("www_root"), login: r.property("ftp_login"),
		certificate: r.property("certificate_name"), ssl: r.property("ssl") == "true",
	}, nil
}

// pool are the names of a site's certificates.
func (p *panel) pool(ctx context.Context, site string) ([]string, *packet, error) {
	body := el("certificate", el("get-pool", el("filter", el("domain-name", text(site)))))
	r, answer, err := p.one(ctx, "certificates of "+site, body, true, func(a *packet) []result { return a.Pool })
	if missing(err) {
		return nil, answer, nil
	}
	if err != nil {
		return nil, nil, err
	}
	return r.Names, answer, nil
}

func (p *panel) has(ctx context.Context, site, name string) (bool, error) {
	names, _, err := p.pool(ctx, site)
	return slices.Contains(names, name), err
}

// owner is the element that names the site of a certificate.
func owner(site string, answer *packet) string {
	if newer(answer.Version, [4]int{1, 6, 9, 0}) {
		return el("webspace", text(site))
	}
	return el("site", text(site))
}

func content(p pems) string {
	ca := el("ca")
	if len(p.chain) > 0 {
		ca = el("ca", text(string(p.chain)))
	}
	return el("content", el("csr"), el("pvt", text(string(p.key))), el("cert", text(string(p.leaf))), ca)
}

func (p *panel) install(ctx context.Context, site, name string, c pems) error {
	_, answer, err := p.pool(ctx, site)
	if err != nil {
		return err
	}
	body := el("certificate", el("install", el("name", text(name)), owner(site, answer), content(c)))
	_, _, err = p.one(ctx, "install certificate "+name, body, false, func(a *packet) []result { return a.Install })
	return err
}

// update was new in 1.6.8.0; before, one is taken away and put anew.
func (p *panel) update(ctx context.Context, site, name string, c pems) error {
	_, answer, err := p.pool(ctx, site)
	if err != nil {
		return err
	}
	if !newer(answer.Version, [4]int{1, 6, 8, 0}) {
		if err := p.remove(ctx, site, name); err != nil {
			return err
		}
		return p.install(ctx, site, name, c)
	}
	body := el("certificate", el("update", el("name", text(name)), owner(site, answer), content(c)))
	_, _, err = p.one(ctx, "update certificate "+name, body, true, func(a *packet) []result { return a.Update })
	return err
}

func (p *panel) remove(ctx context.Context, site, name string) error {
	_, answer, err := p.pool(ctx, site)
	if err != nil {
		return err
	}
	body := el("certificate", el("remove", el("filter", el("name", text(name))), owner(site, answer)))
	_, _, err = p.one(ctx, "remove certificate "+name, body, true, func(a *packet) []result { return a.Remove })
	if missing(err) {
		return nil
	}
	return err
}

func (p *panel) assign(ctx context.Context, site, name string, ssl bool) error {
	list := []string{property("ssl", fmt.Sprint(ssl))}
	if name != "" {
		list = append(list, property("certificate_name", name))
	}
	body := el("site", el("set", el("filter", el("name", text(site))), el("values", el("hosting", el("vrt_hst", list...)))))
	_, _, err := p.one(ctx, "site "+site, body, true, func(a *packet) []result { return a.SiteSet })
	return err
}
