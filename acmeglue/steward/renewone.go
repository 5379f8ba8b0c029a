package steward

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// one looks at a lineage and renews it if that is due.
func (p *pass) one(ctx context.Context, name string, to display.Display) (r result) {
	s := p.s
	r = result{name: name, conf: s.o.Tree.ConfPath(name)}
	to.Notify("Processing "+r.conf, true)
	j, err := s.reconstitute(p.o, name)
	if err != nil {
		s.o.Log.Error(err.Error())
		r.broken, r.err = true, err
		s.note(&job{o: p.o, name: name}, nil, err)
		return r
	}
	j.to = to
	r.path, r.names = j.l.Path(lineage.FullChain), j.names
	r.ends, _ = j.l.NotAfter()
	verdict, err := s.shouldRenew(ctx, j.o, j.l, to)
	if err == nil && !verdict.due {
		s.noteNotDue(j, verdict)
		if !j.o.DryRun {
			err = s.toDoor(ctx, j.l)
		}
		r.err = err
		return r
	}
	if r.due = true; err == nil {
		err = p.renewOne(ctx, j)
	}
	r.err = err
	s.note(j, j.l, err)
	if err != nil {
		s.o.Log.Error(fmt.Sprintf("Failed to renew certificate %s with error: %v", name, err))
	}
	r.ends, _ = j.l.NotAfter()
	return r
}

func (p *pass) renewOne(ctx context.Context, j *job) error {
	if err := ctx.Err(); err != nil {
		return context.Cause(ctx)
	}
	if err := p.pause(ctx); err != nil {
		return err
	}
	if c := p.s.configuredFor(j.lineageName()); c != nil && !p.refused[c.Name] {
		_, err := p.fromAny(ctx, *c, j.l, j.to)
		return err
	}
	if err := p.s.choosePlugins(ctx, j.o, "certonly"); err != nil {
		return err
	}
	_, err := p.s.obtain(ctx, j)
	return err
}

// reconstitute loads a lineage with the options that it was obtained with, where
// the command line does not say otherwise.
func (s *Steward) reconstitute(o *certbotcli.Options, name string) (*job, error) {
	conf := s.o.Tree.ConfPath(name)
	l, err := s.o.Tree.Load(name)
	if err != nil {
		var broken *lineage.BrokenError
		if errors.As(err, &broken) {
			return nil, text(fmt.Sprintf("Renewal configuration file %s is broken.\nThe error was: %s\nSkipping.", conf, broken.Error()))
		}
		return nil, text(fmt.Sprintf("Renewal configuration file %s (cert: %s) produced an unexpected error: %v. Skipping.", conf, name, err))
	}
	if err := l.Renewable(); err != nil {
		return nil, text(fmt.Sprintf("Renewal configuration file %s %v Skipping.", conf, err))
	}
	own, err := withSaved(o, l)
	if err != nil {
		return nil, text(fmt.Sprintf("An error occurred while parsing %s. The error was %v. Skipping the file.", conf, err))
	}
	names, err := l.Names()
	if err == nil {
		_, err = identifiers(names)
	}
	if err != nil {
		return nil, text(fmt.Sprintf("Renewal configuration file %s references a certificate that contains an invalid domain name. The problem was: %v. Skipping.", conf, err))
	}
	return &job{o: own, l: l, names: names}, nil
}

// shouldRenew is due with certbot's texts, and with the flags that override it.
func (s *Steward) shouldRenew(ctx context.Context, o *certbotcli.Options, l *lineage.Lineage, to display.Display) (verdict, error) {
	if o.ForceRenewal {
		s.o.Log.Debug("Auto-renewal forced with --force-renewal...")
		return verdict{due: true, why: "--force-renewal"}, nil
	}
	c, err := certificateOf(l)
	if err != nil {
		return verdict{}, err
	}
	params, err := l.Params()
	if err != nil {
		return verdict{}, err
	}
	if c.auto, err = params.Autorenew(); err != nil {
		return verdict{}, err
	}
	if o.IsSet("autorenew") {
		c.auto = o.Autorenew
	}
	if params.RenewBefore != nil && *params.RenewBefore != "" {
		before, err := lineage.ParseInterval(*params.RenewBefore)
		if err != nil {
			return verdict{}, err
		}
		now := s.o.Now()
		c.reserve = before.After(now).Sub(now)
	}
	v := s.due(ctx, c, s.caOf(o, &params))
	switch {
	case v.due:
		s.o.Log.Info("Certificate is due for renewal, auto-renewing...", "lineage", l.Name(), "why", v.why)
	case o.DryRun:
		s.o.Log.Info("Certificate not due for renewal, but simulating renewal for dry run")
		v.due = true
	default:
		s.o.Log.Debug("not due", "lineage", l.Name(), "why", v.why)
		to.Notify("Certificate not yet due for renewal", false)
	}
	return v, nil
}

// caOf is the CA that a lineage came from, to ask when it should be renewed. It
// needs no account.
func (s *Steward) caOf(o *certbotcli.Options, p *lineage.Params) acmeglue.CA {
	at := o.Clone()
	if at.Server = p.Server(); at.Server == "" {
		at.Server = certbotcli.DefaultServer
	}
	at.Account = p.Renewal.String("account")
	s.mu.Lock()
	defer s.mu.Unlock()
	i, err := s.issuerFor(at)
	if err != nil {
		s.o.Log.Debug("no CA to ask", "server", at.Server, "error", err)
		return nil
	}
	return i
}

// certificateOf reads what decisions need of a lineage's certificate.
func certificateOf(l *lineage.Lineage) (certificate, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return certificate{}, err
	}
	chain, err := l.Read(lineage.FullChain)
	c := certificate{name: l.Name(), chain: chain, leaf: sha256Of(leaf.Raw), notBefore: leaf.NotBefore, notAfter: leaf.NotAfter, auto: true}
	if len(leaf.OCSPServer) > 0 {
		c.responder = leaf.OCSPServer[0]
	}
	return c, err
}

// note adds to the report what became of a lineage.
func (s *Steward) note(j *job, l *lineage.Lineage, err error) {
	if j.o.DryRun {
		return
	}
	r := edge.LineageReport{Name: j.lineageName(), Result: edge.ResultRenewed}
	if err != nil {
		r.Result, r.Reason = edge.ResultFailed, reasonOf(err)
	} else {
		r.LastSuccess = s.o.Now()
	}
	s.addReport(r, l)
}

func (s *Steward) noteNotDue(j *job, v verdict) {
	if !j.o.DryRun {
		s.addReport(edge.LineageReport{Name: j.lineageName(), Result: edge.ResultNotDue, NextRenewal: v.at}, j.l)
	}
}

func (s *Steward) addReport(r edge.LineageReport, l *lineage.Lineage) {
	if l != nil {
		r.Name = l.Name()
		if leaf, err := l.Leaf(); err == nil {
			r.NotBefore, r.NotAfter = leaf.NotBefore, leaf.NotAfter
		}
		r.HookSeconds = s.o.Hooks.Seconds(l.LiveDir())
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	n := slices.IndexFunc(s.report.Lineages, func(was edge.LineageReport) bool { return was.Name == r.Name })
	switch {
	case n < 0:
		s.report.Lineages = append(s.report.Lineages, r)
	case s.report.Lineages[n].Result == edge.ResultFailed:
		// Renewed with the names it had: those that the configuration wants failed.
		s.report.Lineages[n].NotBefore, s.report.Lineages[n].NotAfter = r.NotBefore, r.NotAfter
	default:
		s.report.Lineages[n] = r
	}
}

func reasonOf(err error) edge.Reason {
	var ie *edge.IssueError
	if errors.As(err, &ie) {
		return ie.Reason
	}
	if errors.Is(err, context.DeadlineExceeded) {
		return edge.ReasonTimeout
	}
	return edge.ReasonPermission
}
