package plesk

import (
	"context"
	"errors"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"edge"
)

func (e *entry) value() string { return edge.DNS01Value(e.answer.KeyAuth) }

// fqdn is the name of the record, with its dot.
func (e *entry) fqdn() string { return e.host + "." + e.site.name + "." }

// record is the id of the record with the answer, "" where there is none; one that is
// missing is added, where that is wanted. What an earlier run added counts.
func (a *Authenticator) record(ctx context.Context, e *entry, add bool) (string, error) {
	id, err := a.lookup(ctx, e)
	if err != nil || id != "" || !add {
		return id, err
	}
	body := el("dns", el("add_rec", el("site-id", text(e.site.id)), el("type", "TXT"), el("host", text(e.host)), el("value", text(e.value()))))
	r, _, err := a.panel.one(ctx, "record "+e.fqdn(), body, false, func(p *packet) []result { return p.AddRec })
	if err == nil {
		return r.ID, nil
	}
	// The answer may have been lost.
	if id, lerr := a.lookup(ctx, e); lerr == nil && id != "" {
		return id, nil
	}
	return "", err
}

func (a *Authenticator) lookup(ctx context.Context, e *entry) (string, error) {
	body := el("dns", el("get_rec", el("filter", el("site-id", text(e.site.id)))))
	list, _, err := a.panel.call(ctx, body, true, func(p *packet) []result { return p.GetRec })
	if err != nil {
		return "", err
	}
	for i := range list {
		r := &list[i]
		if err := r.check(); missing(err) {
			continue
		} else if err != nil {
			return "", fmt.Errorf("plesk: records of %s: %w", e.site.name, err)
		}
		if r.Type == "TXT" && strings.EqualFold(strings.TrimSuffix(r.Host, ".")+".", e.fqdn()) && strings.Trim(r.Value, `"`) == e.value() {
			return r.ID, nil
		}
	}
	return "", nil
}

func (a *Authenticator) drop(ctx context.Context, e *entry) error {
	id, err := a.record(ctx, e, false)
	if err != nil || id == "" {
		return err
	}
	body := el("dns", el("del_rec", el("filter", el("id", text(id)))))
	_, _, err = a.panel.one(ctx, "record "+e.fqdn(), body, true, func(p *packet) []result { return p.DelRec })
	if missing(err) {
		return nil
	}
	return err
}

const (
	askEvery = 2 * time.Second
	askTime  = 5 * time.Second // for one answer
)

// awaitRecord asks the name servers until all that answer show the record.
func (a *Authenticator) awaitRecord(ctx context.Context, e *entry) error {
	for waited := time.Duration(0); ; waited += askEvery {
		err := a.shown(ctx, e)
		if err == nil {
			return nil
		}
		if waited >= a.o.Propagation {
			return fmt.Errorf("plesk: after %v, %w; name those that serve the zone with nameservers", a.o.Propagation, err)
		}
		if perr := a.o.Env.Pause(ctx, askEvery); perr != nil {
			return fmt.Errorf("plesk: %w: %w", perr, err)
		}
	}
}

func (a *Authenticator) shown(ctx context.Context, e *entry) error {
	for _, server := range a.o.Nameservers {
		r := &net.Resolver{PreferGo: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
			return a.o.Env.Dial(ctx, "tcp", server)
		}}
		ctx, cancel := context.WithTimeout(ctx, askTime)
		values, err := r.LookupTXT(ctx, e.fqdn())
		cancel()
		var dns *net.DNSError
		switch {
		case err != nil && (!errors.As(err, &dns) || !dns.IsNotFound):
			return fmt.Errorf("name server %s: %w", server, err)
		case !slices.Contains(values, e.value()):
			return fmt.Errorf("name server %s does not show the record of %s", server, strings.TrimSuffix(e.fqdn(), "."))
		}
	}
	return nil
}
