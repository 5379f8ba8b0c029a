package gandi

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

const (
	askEvery = 2 * time.Second
	askTime  = 5 * time.Second // for one answer
	// unseen is waited for where no name server can be asked.
	unseen = time.Minute
)

// Ready implements target.Authenticator: all name servers that can be asked show all
// values.
func (a *Authenticator) Ready(ctx context.Context, batch []edge.Answer) error {
	list := a.known(batch)
	if a.o.Blind > 0 || len(list) == 0 {
		return a.wait(ctx, a.o.Blind)
	}
	var why error
	for waited := time.Duration(0); ; waited += askEvery {
		if why = a.look(ctx, list); why == nil {
			return nil
		}
		if errors.Is(why, errUnasked) && waited >= min(unseen, a.o.Propagation) {
			a.o.Log.Warn("no name server could be asked for the records, which may be too young", "component", "gandi", "error", why)
			return nil
		}
		if waited >= a.o.Propagation {
			return fmt.Errorf("gandi: after %v, %w", a.o.Propagation, why)
		}
		if err := a.wait(ctx, askEvery); err != nil {
			return fmt.Errorf("gandi: %w: %w", err, why)
		}
	}
}

func (a *Authenticator) wait(ctx context.Context, d time.Duration) error {
	if a.o.Wait != nil {
		return a.o.Wait(ctx, d)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return context.Cause(ctx)
	}
}

// errUnasked is that no name server can be asked.
var errUnasked = errors.New("no name server answers")

// look says which value is not to be seen.
func (a *Authenticator) look(ctx context.Context, list []entry) error {
	for i := range list {
		e := &list[i]
		// Another run may have written over it meanwhile.
		if err := a.ensure(ctx, e); err != nil {
			return err
		}
		servers := a.o.Nameservers
		if len(servers) == 0 {
			found, err := a.o.LookupNS(ctx, e.zone+".")
			if err != nil {
				return fmt.Errorf("%w: the name servers of %s cannot be found: %w", errUnasked, e.zone, err)
			}
			for _, ns := range found {
				servers = append(servers, net.JoinHostPort(strings.TrimSuffix(ns.Host, "."), "53"))
			}
		}
		if err := a.shown(ctx, servers, e); err != nil {
			return err
		}
	}
	return nil
}

// shown asks each of the servers. Those that do not answer may be elsewhere for a CA.
func (a *Authenticator) shown(ctx context.Context, servers []string, e *entry) error {
	asked := false
	var silent error
	for _, server := range servers {
		values, err := a.ask(ctx, server, e.fqdn())
		var dns *net.DNSError
		if err != nil && (!errors.As(err, &dns) || !dns.IsNotFound) {
			silent = err
			continue
		}
		asked = true
		if !slices.Contains(values, e.value()) {
			return fmt.Errorf("%s does not show the record of %s", server, strings.TrimSuffix(e.fqdn(), "."))
		}
	}
	if !asked {
		return fmt.Errorf("%w for %s: %w", errUnasked, e.zone, silent)
	}
	return nil
}

// ask asks one server, by TCP: it can be asked for what is not its own as well, and
// nobody else can answer.
func (a *Authenticator) ask(ctx context.Context, server, fqdn string) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, askTime)
	defer cancel()
	r := &net.Resolver{PreferGo: true, StrictErrors: true, Dial: func(ctx context.Context, _, _ string) (net.Conn, error) {
		return a.o.Dial(ctx, "tcp", server)
	}}
	return r.LookupTXT(ctx, fqdn)
}
