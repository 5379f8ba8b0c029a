package steward

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// renewals is how many lineages are worked on at a time. Called as certbot, it is
// one: its hooks and scripts were written for that.
const renewals = 4

// pass is one run of renew over lineages.
type pass struct {
	s      *Steward
	o      *certbotcli.Options
	paused chan struct{} // has a token while nobody has slept yet

	results []result
}

// result is what became of one lineage.
type result struct {
	name   string
	conf   string
	path   string // of the full chain
	broken bool
	due    bool
	err    error
	ends   time.Time
	names  []string
}

// renew renews what is due (certbot: renewal.py, handle_renewal_request). One
// lineage that fails never stops the others.
func (s *Steward) renew(ctx context.Context, o *certbotcli.Options) error {
	if len(o.Domains) > 0 {
		return text("Currently, the renew verb is capable of either renewing all installed certificates that are due to be renewed or renewing a single " +
			"certificate specified by its name. If you would like to renew specific certificates by their domains, use the certonly command instead. " +
			"The renew verb may provide other options for selecting certificates to renew in the future.")
	}
	names, err := s.o.Tree.Names()
	if err != nil {
		return err
	}
	if o.CertName != "" {
		switch {
		case s.o.Tree.Exists(o.CertName):
			names = []string{o.CertName}
		case s.configuredFor(o.CertName) != nil:
			names = nil // configure obtains it
		default:
			return text(fmt.Sprintf("No certificate found with name %s (expected %s).", o.CertName, s.o.Tree.ConfPath(o.CertName)))
		}
	}
	p := &pass{s: s, o: o, paused: make(chan struct{}, 1)}
	p.paused <- struct{}{}
	configured := p.configure(ctx)
	// Where the new names of a lineage cannot be had, it is renewed with the old ones.
	names = slices.DeleteFunc(names, func(name string) bool {
		return slices.ContainsFunc(configured, func(r result) bool { return r.name == name && r.err == nil })
	})
	p.results = make([]result, len(names))
	p.all(ctx, names)
	p.results = append(configured, p.results...)
	s.sayUnlisted(names)
	var renewed, failed []string
	for _, r := range p.results {
		switch {
		case r.err != nil:
			failed = append(failed, r.names...)
		case r.due:
			renewed = append(renewed, r.names...)
		}
	}
	s.report.Complete = o.CertName == "" && ctx.Err() == nil
	if err := s.cache.save(context.WithoutCancel(ctx), s.o.Storage, s.o.Tree.Exists); err != nil {
		s.o.Log.Warn("what CAs said is asked again next time", "error", err)
	}
	p.describe()
	_ = s.o.Hooks.Post(context.WithoutCancel(ctx), renewed, failed) // see Hooks.Err
	return p.outcome(ctx)
}

// all goes through the lineages, several at a time, with the texts of each kept
// together and in order.
func (p *pass) all(ctx context.Context, names []string) {
	workers := renewals
	if p.s.o.AsCertbot {
		workers = 1
	}
	queue := newTranscripts(p.s.o.Display, len(names))
	next := make(chan int)
	done := make(chan struct{})
	for range workers {
		go func() {
			for n := range next {
				p.results[n] = p.one(ctx, names[n], queue.at(n))
				queue.end(n)
			}
			done <- struct{}{}
		}()
	}
	for n := range names {
		next <- n
	}
	close(next)
	for range workers {
		<-done
	}
}

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
	if err := p.s.choosePlugins(ctx, j.o, "certonly"); err != nil {
		return err
	}
	_, err := p.s.obtain(ctx, j)
	return err
}

// pause is the random delay before the first renewal of a run that nobody
// watches: it spreads the load on the CA where many machines have the same timer.
func (p *pass) pause(ctx context.Context) error {
	if _, first := <-p.paused; !first {
		return nil
	}
	defer close(p.paused) // the others wait until this one has slept
	if p.s.o.Terminal || !p.o.RandomSleepOnRenew {
		return nil
	}
	d := time.Second + time.Duration(p.s.o.Rand()*float64(479*time.Second))
	p.s.o.Log.Info(fmt.Sprintf("Non-interactive renewal: random delay of %v seconds", d.Seconds()))
	return p.s.o.Sleep(ctx, d)
}

// outcome is the error that the run ends with.
func (p *pass) outcome(ctx context.Context) error {
	e := &RenewError{Later: true}
	for _, r := range p.results {
		switch {
		case r.broken:
			e.Broken++
			e.Later = false
		case r.err != nil:
			e.Failures++
			e.Later = e.Later && Later(r.err)
		}
	}
	if ctx.Err() != nil {
		return context.Cause(ctx)
	}
	if e.Failures+e.Broken == 0 {
		return nil
	}
	return e
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

// describe prints the summary at the end (certbot: renewal.py,
// _renew_describe_results).
func (p *pass) describe() {
	var done, failed, skipped, broken []string
	for _, r := range p.results {
		switch {
		case r.broken:
			broken = append(broken, r.conf)
		case r.err != nil:
			failed = append(failed, r.path)
		case r.due:
			done = append(done, r.path)
		default:
			skipped = append(skipped, fmt.Sprintf("%s expires on %s", r.path, r.ends.UTC().Format("2006-01-02")))
		}
	}
	noun := "renewal"
	if p.o.DryRun {
		noun = "simulated renewal"
	}
	say, complain := p.s.o.Display.Notify, func(t string) { p.s.o.Log.Error(t) }
	say("\n"+display.SideFrame, false)
	if len(skipped) > 0 {
		say("The following certificates are not due for renewal yet:", false)
		say(lines(skipped, "skipped"), false)
	}
	switch {
	case len(done)+len(failed) == 0:
		say(fmt.Sprintf("No %ss were attempted.", noun), false)
		if p.o.PreHook != "" || p.o.DeployHook != "" || p.o.PostHook != "" {
			say("No hooks were run.", false)
		}
	case len(failed) == 0:
		say(fmt.Sprintf("Congratulations, all %ss succeeded: ", noun), false)
		say(lines(done, "success"), false)
	case len(done) == 0:
		complain(fmt.Sprintf("All %ss failed. The following certificates could not be renewed:", noun))
		complain(lines(failed, "failure"))
	default:
		say(fmt.Sprintf("The following %ss succeeded:", noun), false)
		say(lines(done, "success")+"\n", false)
		complain(fmt.Sprintf("The following %ss failed:", noun))
		complain(lines(failed, "failure"))
	}
	if len(broken) > 0 {
		say("\nAdditionally, the following renewal configurations were invalid: ", false)
		say(lines(broken, "parsefail"), false)
	}
	say(display.SideFrame, false)
}

func lines(paths []string, category string) string {
	marked := slices.Clone(paths)
	for n := range marked {
		marked[n] += " (" + category + ")"
	}
	return "  " + strings.Join(marked, "\n  ")
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
