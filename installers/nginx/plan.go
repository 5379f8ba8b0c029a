package nginx

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/nginx/conf"
)

// planner makes one plan. All edits are made of the configuration as it was found, in
// one go: a block that gets a certificate, a redirect and a header is changed once.
type planner struct {
	*Nginx
	request     installers.Request
	http, https uint16 // ports
	plan        *installers.Plan
	site        *site
	edits       *conf.Edits
	options     managedFile
	dhparams    managedFile

	jobs     []*job
	bySrv    map[*conf.Server]*job
	fresh    *job                      // the copy of the default block, nil for none
	targets  map[string][]*conf.Server // that get the certificate, by requested name
	v6done   map[string]bool           // listens that have been given an ipv6only
	optioned bool                      // the options file is included somewhere new
	behind   []func()                  // edits that come behind what a job made
}

// job is what is to be done with one server block, or with a copy of it.
type job struct {
	server *conf.Server
	names  []string // those of the copy; none for the block itself

	deploy, hsts, staple bool
	redirect             []string // the names that are redirected
}

// Plan reads the configuration and says what is to be changed.
func (n *Nginx) Plan(ctx context.Context, r installers.Request) (*installers.Plan, error) {
	if err := n.check(r); err != nil {
		return nil, err
	}
	site, err := n.load(ctx)
	if err != nil {
		return nil, err
	}
	p, err := n.planOn(ctx, site, r)
	if err != nil {
		return nil, err
	}
	if _, ok := n.running(); !ok && (!p.Empty() || len(p.Serves) > 0) {
		p.Warnings = append(p.Warnings, "nginx does not run with "+n.conf+": it is started")
	}
	return p, nil
}

func (n *Nginx) planOn(ctx context.Context, site *site, r installers.Request) (*installers.Plan, error) {
	r.Names = slices.Clone(r.Names)
	for i, name := range r.Names {
		r.Names[i] = strings.ToLower(name) // as $host is
	}
	p := &planner{
		Nginx: n, request: r, site: site, plan: &installers.Plan{}, edits: &conf.Edits{},
		http: cmp.Or(r.HTTPPort, 80), https: cmp.Or(r.HTTPSPort, 443),
		bySrv: map[*conf.Server]*job{}, targets: map[string][]*conf.Server{}, v6done: map[string]bool{},
	}
	for _, step := range []func(context.Context) error{p.files, p.pick, p.pickEnhancements} {
		if err := step(ctx); err != nil {
			return nil, err
		}
	}
	for _, j := range p.jobs {
		if err := p.do(j); err != nil {
			return nil, err
		}
	}
	if p.optioned && p.options.create() {
		p.edits.NewFile(p.options.path, string(p.options.change.New))
	}
	after, err := n.with(site, p.edits)
	if err != nil {
		return nil, err
	}
	if err := n.checkNewSockets(site, after); err != nil {
		return nil, err
	}
	p.keep(after)
	p.changes(after)
	if err := p.expect(after); err != nil {
		return nil, err
	}
	return p.plan, nil
}

// check refuses requests that cannot be planned for.
func (n *Nginx) check(r installers.Request) error {
	for _, name := range r.Names {
		if !validHost(strings.TrimPrefix(strings.ToLower(name), "*.")) {
			return fmt.Errorf("%q is not a name that nginx can be asked for", name)
		}
	}
	switch {
	case len(r.Names) == 0:
		return errors.New("nothing to install: no names are given")
	case r.Enhance.UIR:
		return certbotError("Upgrade-Insecure-Requests is not supported by the nginx plugin.")
	case r.Deploy && r.Certificate.FullChain == "":
		return certbotError("The nginx plugin currently requires --fullchain-path to install a certificate.")
	case r.Enhance.Staple && versions(n.build.base, "1.3.7") < 0:
		return certbotError("Version 1.3.7 or greater of nginx is needed to enable OCSP stapling")
	case r.Enhance.Staple && r.Certificate.Chain == "":
		return certbotError("--chain-path is required to enable Online Certificate Status Protocol (OCSP) stapling on nginx >= 1.3.7.")
	case r.Deploy && r.ConfigDir == "":
		return errors.New("no folder is given for options-ssl-nginx.conf")
	}
	return nil
}

// jobFor returns the job of a block, a new one where it has none.
func (p *planner) jobFor(s *conf.Server) *job {
	if j := p.bySrv[s]; j != nil {
		return j
	}
	j := &job{server: s}
	p.bySrv[s] = j
	p.jobs = append(p.jobs, j)
	return j
}

// do makes the edits of one job.
func (p *planner) do(j *job) error {
	var failed error
	if j != p.fresh {
		failed = p.editBlock(j, p.edits)
	} else {
		// At the end, as certbot: whoever comes without a name gets the block that he
		// got before, unless there was none.
		p.edits.DuplicateLast(j.server.Directive, func(inner *conf.Edits) {
			stripListens(j.server, inner, p.moved(j))
			renameTo(j.server, j.names, inner)
			failed = p.editBlock(j, inner)
		})
	}
	for _, edit := range p.behind {
		edit()
	}
	p.behind = nil
	return failed
}

// editBlock makes the edits inside of a block, or of a copy that is being made of it.
func (p *planner) editBlock(j *job, e *conf.Edits) error {
	var text lines
	if j.deploy {
		if err := p.deploy(j, e, &text); err != nil {
			return err
		}
	}
	if j.hsts {
		p.hsts(j, &text)
	}
	if j.staple {
		if err := p.staple(j, &text); err != nil {
			return err
		}
	}
	if err := p.separate(j, e); err != nil {
		return err
	}
	if len(text) > 0 {
		e.InsertLast(j.server.Directive.Block, text.String())
	}
	return nil
}

// changes are those of the configuration, behind those of certbot's files.
func (p *planner) changes(after *site) {
	for _, c := range changesOf(after.set) {
		// The options file may be there already.
		if !slices.ContainsFunc(p.plan.Changes, func(have installers.Change) bool { return have.Path == c.Path }) {
			p.plan.Changes = append(p.plan.Changes, c)
		}
	}
	for _, t := range []struct {
		on    bool
		title string
	}{
		{p.request.Deploy, "Deployed ACME Certificate"},
		{p.request.Enhance.HSTS, "Add enhancement ensure-http-header"},
		{p.request.Enhance.Redirect, "Add enhancement redirect"},
		{p.request.Enhance.Staple, "Add enhancement staple-ocsp"},
	} {
		if t.on {
			p.plan.Titles = append(p.plan.Titles, t.title)
		}
	}
}

func changesOf(set *conf.Set) []installers.Change {
	var out []installers.Change
	for _, c := range set.Changes() {
		change := installers.Change{Path: c.Path, Old: []byte(c.Old), New: []byte(c.New)}
		if c.Created {
			change.Op, change.Mode, change.Old = installers.Create, 0o644, nil
		}
		out = append(out, change)
	}
	return out
}

func (p *planner) note(format string, args ...any) {
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf(format, args...))
}

func (p *planner) warn(format string, args ...any) {
	p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf(format, args...))
}

// files looks after certbot's files for nginx.
func (p *planner) files(context.Context) error {
	if !p.request.Deploy {
		return nil
	}
	dir := p.request.ConfigDir
	var err error
	if p.options, err = manage(filepath.Join(dir, optionsName), filepath.Join(dir, optionsDigest), p.build.tlsOptions(), optionsHashes); err != nil {
		return err
	}
	if p.dhparams, err = manage(filepath.Join(dir, dhparamsName), filepath.Join(dir, dhparamsDigest), "ssl-dhparams.pem", dhparamsHashes); err != nil {
		return err
	}
	return nil
}

// keep has certbot's files written or renewed where the configuration uses them.
func (p *planner) keep(after *site) {
	if !p.request.Deploy || !slices.Contains(after.set.Opened, p.options.path) {
		return
	}
	for _, f := range []managedFile{p.options, p.dhparams} {
		p.plan.Changes = append(p.plan.Changes, f.changes()...)
		if f.warning != "" {
			p.warn("%s", f.warning)
		}
	}
}
