package steward

import (
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

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

	refused map[string]bool // lineages that cannot be had as the configuration wants them

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
	p := &pass{s: s, o: o, paused: make(chan struct{}, 1), refused: map[string]bool{}}
	p.paused <- struct{}{}
	configured := p.configure(ctx)
	// Where a lineage cannot be had as the configuration wants it, it is renewed as it is.
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
	if !p.s.o.AsCertbot {
		p.s.notify("Waiting for %s, so that not all machines ask the CA at once (--no-random-sleep-on-renew does not wait)", d.Round(time.Second))
	}
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
