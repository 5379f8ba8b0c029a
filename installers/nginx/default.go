package nginx

import (
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// once are parameters that only one listen of an address may have. The copy of a block
// goes without them.
var once = []string{
	"default_server", "default", "setfib", "fastopen", "backlog", "rcvbuf", "sndbuf", "accept_filter", "deferred", "bind", "ipv6only", "reuseport", "so_keepalive", "multipath",
}

func repeatable(param string) bool {
	name, _, _ := strings.Cut(param, "=")
	return !slices.Contains(once, name)
}

// copyDefault has the default block copied for a name that no block has. All such
// names share one copy.
func (p *planner) copyDefault(name string) error {
	if p.fresh == nil {
		s := defaultServer(p.site.http, p.https, true)
		if s == nil || !p.request.UseDefault {
			return noMatch(name)
		}
		p.fresh = &job{server: s, deploy: true}
	}
	p.fresh.names = append(p.fresh.names, name)
	p.note("Successfully deployed certificate for %s to %s", name, p.fresh.server.Directive.File.Path)
	return nil
}

func noMatch(name string) error {
	return certbotError("Could not automatically find a matching server block for %s. Set the `server_name` directive to use the Nginx installer.", name)
}

// defaultServer is the one block that says default_server on a port, or the only one at
// all that does; nil where there is none, or more than one.
func defaultServer(h *conf.HTTP, port uint16, anyPort bool) *conf.Server {
	var all, there []*conf.Server
	for _, s := range h.Servers {
		for _, l := range s.Listens {
			if !l.Default || l.Unix != "" {
				continue
			}
			if !slices.Contains(all, s) {
				all = append(all, s)
			}
			if l.Port <= port && port <= l.LastPort && !slices.Contains(there, s) {
				there = append(there, s)
			}
		}
	}
	switch {
	case len(there) == 1:
		return there[0]
	case len(all) == 1 && anyPort:
		return all[0]
	}
	return nil
}

// stripListens takes what only one listen may have out of the listens of a copy, but for
// those that are removed anyway.
func stripListens(s *conf.Server, e *conf.Edits, removed []conf.Listen) {
	for _, d := range own(s, "listen") {
		if slices.ContainsFunc(removed, func(l conf.Listen) bool { return l.Directive == d }) {
			continue
		}
		for i, w := range d.Args() {
			if i > 0 && !repeatable(w.Value) {
				e.RemoveWord(d, i+1)
			}
		}
	}
}

// renameTo gives a copy its names.
func renameTo(s *conf.Server, names []string, e *conf.Edits) {
	line := conf.Line("server_name", names...)
	for i, d := range own(s, "server_name") {
		switch {
		case i > 0:
			e.Remove(d)
		case d.Trailing() != nil:
			e.Replace(d, line)
		default:
			e.Replace(d, line+managed)
		}
	}
	if len(own(s, "server_name")) == 0 {
		e.InsertFirst(s.Directive.Block, line+managed)
	}
}
