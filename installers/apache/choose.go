package apache

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache/conf"
)

// best returns the virtual host that certbot would take for a name, nil for none: the
// most points, and of several the first. Those that macros make are left out, and so is
// a name with a bracket, which certbot takes for a pattern.
func best(hosts []*conf.VirtualHost, name string) *conf.VirtualHost {
	var found *conf.VirtualHost
	most := 0
	for _, v := range hosts {
		if points := rank(v, name); points > most {
			found, most = v, points
		}
	}
	if found != nil {
		return found
	}
	// Is there only one that makes sense?
	for _, v := range hosts {
		if v.Made || allDefault(v) {
			continue
		}
		if found != nil {
			return nil
		}
		found = v
	}
	return found
}

// rank is 3 for a name, 2 for a pattern, 1 for an address, and 3 more with TLS; 0 for
// none of them.
func rank(v *conf.VirtualHost, name string) int {
	points := 0
	switch {
	case v.Made:
		return 0
	case slices.Contains(v.Names(), name):
		points = 3
	case covered(v.Names(), name):
		points = 2
	case slices.ContainsFunc(v.Addrs, func(a conf.Addr) bool { return a.Host == name }):
		points = 1
	default:
		return 0
	}
	if v.TLS {
		points += 3
	}
	return points
}

// covered reports whether a name is one of some, in any case, or of their patterns.
func covered(names []string, name string) bool {
	return slices.ContainsFunc(names, func(n string) bool {
		return !strings.Contains(n, "[") && conf.MatchName(n, name)
	})
}

func allDefault(v *conf.VirtualHost) bool {
	return !slices.ContainsFunc(v.Addrs, func(a conf.Addr) bool { return a.Host != "_default_" })
}

// chosen are the virtual hosts for a name, which for a wildcard may be several.
func chosen(ctx context.Context, hosts []*conf.VirtualHost, name string, r installers.Request) ([]*conf.VirtualHost, error) {
	if strings.HasPrefix(name, "*.") {
		return chosenForWildcard(ctx, hosts, name, r)
	}
	if v := best(hosts, name); v != nil {
		return []*conf.VirtualHost{v}, nil
	}
	candidates := slices.DeleteFunc(slices.Clone(hosts), func(v *conf.VirtualHost) bool { return v.Made })
	return ask(ctx, r, candidates, name, fmt.Sprintf("We were unable to find a vhost with a ServerName or Address of %s.\nWhich virtual host would you like to choose?", name), false)
}

// chosenForWildcard offers the virtual hosts with names of as many labels, for each name
// the one with TLS if there is one.
func chosenForWildcard(ctx context.Context, hosts []*conf.VirtualHost, name string, r installers.Request) ([]*conf.VirtualHost, error) {
	by := map[string]*conf.VirtualHost{}
	for _, v := range hosts {
		for _, n := range v.Names() {
			if !v.Made && strings.Count(n, ".") == strings.Count(name, ".") && conf.MatchName(name, n) && (by[n] == nil || v.TLS) {
				by[n] = v
			}
		}
	}
	var candidates []*conf.VirtualHost
	for _, v := range hosts {
		if slices.ContainsFunc(v.Names(), func(n string) bool { return by[n] == v }) {
			candidates = append(candidates, v)
		}
	}
	return ask(ctx, r, candidates, name, "Which VirtualHosts would you like to install the wildcard certificate for?", true)
}

func ask(ctx context.Context, r installers.Request, candidates []*conf.VirtualHost, name, question string, many bool) ([]*conf.VirtualHost, error) {
	none := certbots("Certbot could not find a VirtualHost for %s in the Apache configuration. Please create a VirtualHost with a ServerName matching %s and try again.", name, name)
	if len(candidates) == 0 {
		return nil, none
	}
	var shown []string
	for _, v := range candidates {
		shown = append(shown, describe(v))
	}
	if r.Choose == nil {
		return nil, fmt.Errorf("%w candidates are: %s", none, strings.Join(shown, "; "))
	}
	picked, err := r.Choose(ctx, question, shown, many)
	if err != nil {
		return nil, fmt.Errorf("choose a virtual host for %s: %w", name, err)
	}
	var out []*conf.VirtualHost
	for _, i := range picked {
		if i < 0 || i >= len(candidates) {
			return nil, errors.New("choose a virtual host: there is no such candidate")
		}
		out = append(out, candidates[i])
	}
	if len(out) == 0 || !many && len(out) > 1 {
		return nil, none
	}
	return out, nil
}

func describe(v *conf.VirtualHost) string {
	var addrs []string
	for _, a := range v.Addrs {
		addrs = append(addrs, a.String())
	}
	https := ""
	if v.TLS {
		https = ", HTTPS"
	}
	return fmt.Sprintf("%s (%s%s) in %s", strings.Join(v.Names(), " "), strings.Join(addrs, " "), https, v.Where())
}
