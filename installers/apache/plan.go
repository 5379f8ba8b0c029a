package apache

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge/installers"
	"edge/installers/apache/conf"
)

// Plan makes the plan of an installation. It changes nothing.
func (a *Apache) Plan(ctx context.Context, r installers.Request) (*installers.Plan, error) {
	p, err := a.start(ctx, r, true)
	if err != nil {
		return nil, err
	}
	if r.Deploy {
		err = p.deploy(ctx)
	} else {
		err = p.find(ctx)
	}
	if err == nil {
		err = p.enhance()
	}
	if err != nil {
		return nil, err
	}
	return p.finish()
}

// planner gathers what a plan consists of. The server is thought to have the modules
// already that it needs.
type planner struct {
	*Apache
	r     installers.Request
	env   conf.Env
	set   *conf.Set
	hosts []*conf.VirtualHost
	have  map[string]bool // modules that are loaded now
	uses  map[*conf.Directive]int
	local []netip.Addr // addresses of this machine
	// What comes of the plan: where httpd listens, and what is some virtual host's alone.
	listening []conf.Listen
	taken     map[string]bool // "127.0.0.1 80", "[::1] *"

	loaded  time.Time     // when httpd has read its configuration last; zero: not known
	listens []conf.Listen // as httpd has them now

	edits    conf.Edits // of files that httpd reads
	targets  []*site
	twins    map[string]*twinFile // by path
	order    []string             // of twins
	enabled  map[string]bool      // what is turned on by this plan
	redirs   map[*conf.VirtualHost]bool
	stapling bool     // a cache is added already
	checks   []func() // what to ask for, when it is known where httpd will listen
	plan     *installers.Plan
	late     []installers.Change // files that httpd does not read by itself
}

// site is a virtual host that is to show the certificate.
type site struct {
	// host is the one that was chosen; with a twin, that of HTTP.
	host *conf.VirtualHost
	// block is where directives go, edits what takes them there: those of the plan, or
	// of a draft of the twin.
	block *conf.Block
	edits *conf.Edits
	path  string // of the file
	twin  *twin
	names []string // of the request, each "*.x" also
}

// start reads the configuration: with tls, as it is when mod_ssl is there. What
// <IfModule mod_ssl.c> hides comes to light when that module is turned on.
func (a *Apache) start(ctx context.Context, r installers.Request, tls bool) (*planner, error) {
	if r.HTTPPort == 0 {
		r.HTTPPort = 80
	}
	if r.HTTPSPort == 0 {
		r.HTTPSPort = 443
	}
	env, err := a.env(ctx)
	if err != nil {
		return nil, err
	}
	set, err := conf.Load(a.main, env)
	if err != nil {
		return nil, err
	}
	dropped, err := a.crosscheck(ctx, set)
	if err != nil {
		return nil, err
	}
	p := &planner{
		Apache: a, r: r, env: env, set: set, have: set.Modules, twins: map[string]*twinFile{},
		enabled: map[string]bool{}, redirs: map[*conf.VirtualHost]bool{}, plan: &installers.Plan{}, local: localAddresses(),
	}
	if tls && p.modules && !set.Modules["ssl_module"] {
		p.env.Modules = append(slices.Clone(env.Modules), "ssl_module", "socache_shmcb_module")
		if p.set, err = set.WithEnv(&conf.Edits{}, p.env); err != nil {
			return nil, err
		}
	}
	p.loaded, p.listens = a.loadedAt(ctx, set), set.Listens()
	p.hosts = slices.DeleteFunc(p.set.Hosts(), func(v *conf.VirtualHost) bool { return !v.Made && dropped[placeOf(v)] })
	p.uses = map[*conf.Directive]int{}
	p.count(p.set.Root)
	return p, nil
}

// count notes how often a directive counts, so that one that stands for several virtual
// hosts is left alone.
func (p *planner) count(n *conf.Node) {
	for _, d := range n.Nodes {
		p.uses[d.Directive]++
		p.count(d)
	}
}

// own reports whether an edit of a directive changes nothing else.
func (p *planner) own(d *conf.Node) bool { return !d.Made && p.uses[d.Directive] == 1 }

// deploy puts the certificate where each name is.
func (p *planner) deploy(ctx context.Context) error {
	p.plan.Titles = append(p.plan.Titles, "Deployed ACME Certificate")
	for _, name := range p.r.Names {
		hosts, err := chosen(ctx, p.hosts, name, p.r)
		if err != nil {
			return err
		}
		for _, v := range hosts {
			s, err := p.siteOf(v)
			if err != nil {
				return err
			}
			if err := p.addName(s, name); err != nil {
				return err
			}
			s.names = append(s.names, name)
		}
	}
	if err := p.needModules("ssl", "socache_shmcb"); err != nil {
		return err
	}
	if err := p.optionsFile(); err != nil {
		return err
	}
	for _, s := range p.targets {
		if err := p.sparesOthers(s); err != nil {
			return err
		}
		if err := p.certificate(s); err != nil {
			return err
		}
		for _, name := range s.names {
			p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Successfully deployed certificate for %s to %s", name, s.path)) // certbot's words
		}
	}
	return p.listen(fmt.Sprint(p.r.HTTPSPort), true)
}

// find takes the sites that show a certificate already, for enhancements alone.
func (p *planner) find(ctx context.Context) error {
	for _, name := range p.r.Names {
		hosts, err := chosen(ctx, p.hosts, name, p.r)
		if err != nil {
			return err
		}
		hosts = slices.DeleteFunc(hosts, func(v *conf.VirtualHost) bool { return !v.TLS })
		if len(hosts) == 0 {
			return certbots("Certbot was not able to find SSL VirtualHost for a domain %s for enabling enhancement. The requested enhancement was not configured.", name)
		}
		for _, v := range hosts {
			s, err := p.siteOf(v)
			if err != nil {
				return err
			}
			s.names = append(s.names, name)
		}
	}
	return nil
}

// siteOf returns the site of a virtual host, with a twin for HTTPS where that needs one.
func (p *planner) siteOf(v *conf.VirtualHost) (*site, error) {
	for _, s := range p.targets {
		if s.host == v {
			return s, nil
		}
	}
	if v.Made {
		return nil, fmt.Errorf("%s: the virtual host is made by a macro, and mod_macro is not supported; write it out", v.Where())
	}
	s := &site{host: v, block: v.Block, edits: &p.edits, path: v.File.Real}
	if !v.TLS {
		if err := p.makeTwin(s); err != nil {
			return nil, err
		}
	}
	p.targets = append(p.targets, s)
	return s, nil
}

// addName gives a site a name that it lacks.
func (p *planner) addName(s *site, name string) error {
	names := append(s.host.Names(), s.names...)
	if slices.Contains(names, name) || covered(names, name) || strings.HasPrefix(name, "*.") && p.hasBelow(s, name) {
		return nil
	}
	directive := "ServerAlias"
	if s.host.ServerName == "" && len(s.names) == 0 {
		directive = "ServerName"
	}
	s.edits.InsertLast(s.block, conf.Line(directive, name))
	return nil
}

// hasBelow reports whether a site has a name that a wildcard covers: that is why it was
// chosen, and it needs no other.
func (p *planner) hasBelow(s *site, wildcard string) bool {
	return slices.ContainsFunc(s.host.Names(), func(n string) bool { return conf.MatchName(wildcard, n) })
}

// finish makes changes of edits, and looks at what comes of them.
func (p *planner) finish() (*installers.Plan, error) {
	for _, path := range p.order {
		if err := p.writeTwins(p.twins[path]); err != nil {
			return nil, err
		}
	}
	if err := p.linkSites(); err != nil {
		return nil, err
	}
	// New files that are included by name have to be there when what comes is read.
	for _, c := range p.late {
		if c.Op == installers.Create && included(c.Path) {
			p.edits.NewFile(c.Path, string(c.New))
		}
	}
	next, err := p.set.WithEnv(&p.edits, p.env)
	if err != nil {
		return nil, fmt.Errorf("plan for Apache: %w", err)
	}
	for _, c := range next.Changes() {
		if !slices.ContainsFunc(p.late, func(l installers.Change) bool { return l.Path == c.Path }) {
			p.late = append(p.late, change(c))
		}
	}
	p.plan.Changes = ordered(append(p.late, p.plan.Changes...))
	if err := p.checkNewSockets(next); err != nil {
		return nil, err
	}
	p.verify(next)
	return p.plan, nil
}

// included reports whether a file is one of those that are included by name.
func included(path string) bool {
	return slices.Contains([]string{optionsName, preFile, postFile, sniFile}, filepath.Base(path))
}

func change(c conf.Change) installers.Change {
	if c.Created {
		return installers.Change{Path: c.Path, Op: installers.Create, New: []byte(c.New), Mode: 0o644}
	}
	return installers.Change{Path: c.Path, Op: installers.Rewrite, Old: []byte(c.Old), New: []byte(c.New)}
}

// ordered puts folders and new files first: a server that reloads by itself in between
// finds what is named.
func ordered(changes []installers.Change) []installers.Change {
	rank := map[installers.Op]int{installers.Mkdir: 0, installers.Create: 1, installers.Symlink: 2, installers.Rewrite: 3, installers.Delete: 4}
	slices.SortStableFunc(changes, func(a, b installers.Change) int { return rank[a.Op] - rank[b.Op] })
	return changes
}

// fileChange is how a file gets its content, none where it has it. The path may lead
// through symbolic links.
func fileChange(path, content string) ([]installers.Change, error) {
	real, err := filepath.EvalSymlinks(filepath.Dir(path))
	if err != nil {
		return nil, fmt.Errorf("find the folder of %s: %w", path, err)
	}
	real = filepath.Join(real, filepath.Base(path))
	if final, err := filepath.EvalSymlinks(real); err == nil {
		real = final
	}
	old, err := readRegular(real)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return []installers.Change{{Path: real, Op: installers.Create, New: []byte(content), Mode: 0o644}}, nil
	case err != nil:
		return nil, err
	case string(old) == content:
		return nil, nil
	}
	return []installers.Change{{Path: real, Op: installers.Rewrite, Old: old, New: []byte(content)}}, nil
}
