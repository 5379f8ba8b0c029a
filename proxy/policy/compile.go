package policy

import (
	"fmt"
	"slices"
	"strings"
)

// compiled is what a table makes of a route, once.
type compiled struct {
	paths    []pattern
	location template
	request  []edit
	response []edit
}

// compile checks the routes of a site and makes them ready.
func (s *Site) compile() error {
	if len(s.Routes) == 0 {
		host := ""
		if s.Host == "upstream" {
			host = s.UpstreamHost
		}
		s.Routes = []Route{{Action: Action{Proxy: &ProxyTo{Pool: s.Pool, Host: host}}}}
	} else {
		s.Routes = slices.Clone(s.Routes)
	}
	s.plain = len(s.Routes) == 1
	for i := range s.Routes {
		r := &s.Routes[i]
		c, err := r.compile()
		if err != nil {
			return &RouteError{Site: s.Name, Route: i, Err: err}
		}
		r.compiled = c
		s.plain = s.plain && len(c.paths) == 0
		for j := range s.Routes[:i] {
			by := &s.Routes[j]
			if by.compiled.covers(c, &by.Match, &r.Match) {
				return &UnreachableError{Site: s.Name, Route: i, By: j, Names: [2]string{r.title(), by.title()}}
			}
		}
	}
	return nil
}

// RouteError is a route that makes no sense by itself.
type RouteError struct {
	Site  string
	Route int // index into Site.Routes
	Err   error
}

func (e *RouteError) Error() string {
	return fmt.Sprintf("site %s: route %d: %v", e.Site, e.Route+1, e.Err)
}

// Unwrap returns what is wrong.
func (e *RouteError) Unwrap() error { return e.Err }

// title names a route for people.
func (r *Route) title() string {
	switch {
	case r.Name != "":
		return r.Name
	case len(r.Match.Paths) > 0:
		return strings.Join(r.Match.Paths, ", ")
	}
	return "everything"
}

func (r *Route) compile() (*compiled, error) {
	c := &compiled{}
	for _, text := range r.Match.Paths {
		p, err := newPattern(text)
		if err != nil {
			return nil, err
		}
		c.paths = append(c.paths, p)
	}
	actions := 0
	for _, set := range []bool{r.Action.Proxy != nil, r.Action.Redirect != nil, r.Action.Answer != nil, r.Action.Files != nil} {
		if set {
			actions++
		}
	}
	if actions != 1 {
		return nil, fmt.Errorf("%d actions, want exactly one of proxy, redirect, respond, static", actions)
	}
	var err error
	if to := r.Action.Redirect; to != nil {
		if c.location, err = newTemplate(to.Location); err != nil {
			return nil, err
		}
	}
	if c.request, err = newEdits(r.Request); err != nil {
		return nil, err
	}
	c.response, err = newEdits(r.Response)
	return c, err
}
