package steward

import (
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"edge"
	"edge/acmeglue"
	"edge/internal/display"
)

func name(s string) edge.Identifier { return edge.Identifier{Type: edge.DNS, Value: s} }

// The report on failed challenges is certbot's: sorted by the kind of problem, else in
// the CA's order; wildcards by the name they were proved by.
func TestReportOfFailures(t *testing.T) {
	failed := &acmeglue.AuthorizationError{Failed: []acmeglue.FailedAuthorization{
		{Identifier: name("b.test"), Challenge: edge.HTTP01, Problem: &acmeglue.Problem{Type: "unauthorized", Detail: "wrong answer"}},
		{Identifier: name("*.a.test"), Challenge: edge.DNS01, Problem: &acmeglue.Problem{Type: "dns", Detail: "no record"}},
		{Identifier: name("a.test"), Challenge: edge.HTTP01, Problem: &acmeglue.Problem{Type: "unauthorized", Detail: "nobody home"}},
		{Identifier: name("c.test"), Err: errors.New("the disk is full")},
	}}
	const want = `
Certbot failed to authenticate some domains (authenticator: webroot). The Certificate Authority reported these problems:
  Domain: a.test
  Type:   dns
  Detail: no record

  Domain: c.test
  Type:   local
  Detail: the disk is full

  Domain: b.test
  Type:   unauthorized
  Detail: wrong answer

  Domain: a.test
  Type:   unauthorized
  Detail: nobody home

Hint: look closer
`
	if got := report("Certbot", webrootName, failed, "look closer"); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// A hint for every authenticator, and the right one for scripts and for people.
func TestHints(t *testing.T) {
	r := newRig(t)
	overHTTP := &acmeglue.AuthorizationError{Failed: []acmeglue.FailedAuthorization{{Challenge: edge.HTTP01}}}
	overDNS := &acmeglue.AuthorizationError{Failed: []acmeglue.FailedAuthorization{{Challenge: edge.DNS01}}}
	for _, c := range []struct {
		auth, line string
		failed     *acmeglue.AuthorizationError
		want       string
	}{
		{standaloneName, "--http-01-port 8080", overHTTP, "on port 8080."},
		{webrootName, "", overHTTP, "--webroot-path/-w"},
		{doorName, "", overHTTP, "front door"},
		{"dns-rfc2136", "", overDNS, "--dns-rfc2136-propagation-seconds"},
		{manualName, "", overHTTP, "manually created challenge files"},
		{manualName, "", overDNS, "manually created DNS TXT records"},
		{manualName, "--manual-auth-hook /bin/true", overHTTP, "challenge files created by the --manual-auth-hook. Ensure that this hook is functioning correctly. "},
		{manualName, "--manual-auth-hook /bin/true", overDNS, "correctly and that it waits"},
		{"other", "", overHTTP, ""},
	} {
		o := r.options("certonly -d a.test " + c.line)
		o.Authenticator = c.auth
		if got := hint(o, c.failed); !strings.Contains(got, c.want) || c.want == "" && got != "" {
			t.Errorf("%s %s: %q has no %q", c.auth, c.line, got, c.want)
		}
	}
}

// The texts of lineages that are worked on at the same time stay together, and come
// in the order of the lineages, none lost.
func TestTranscripts(t *testing.T) {
	const lineages, texts = 40, 20
	var got lockedLines
	q := newTranscripts(display.NewNonInteractive(&got, display.Options{}), lineages)
	var wg sync.WaitGroup
	next := make(chan int)
	for range 8 {
		wg.Go(func() {
			for n := range next {
				to := q.at(n)
				for i := range texts {
					switch i % 3 {
					case 0:
						to.Notify(fmt.Sprintf("%d/%d", n, i), false)
					case 1:
						to.Heading(fmt.Sprintf("%d/%d", n, i))
					default:
						to.Notify(fmt.Sprintf("%d/%d", n, i), false)
					}
				}
				q.end(n)
			}
		})
	}
	for n := lineages - 1; n >= 0; n-- { // the last begin first
		next <- n
	}
	close(next)
	wg.Wait()
	var want strings.Builder
	for n := range lineages {
		for i := range texts {
			fmt.Fprintf(&want, "%d/%d\n", n, i)
		}
	}
	if got.b.String() != want.String() {
		t.Errorf("out of order or incomplete:\n%s", got.b.String())
	}
}

// lockedLines is a writer that several goroutines use.
type lockedLines struct {
	mu sync.Mutex
	b  strings.Builder
}

func (l *lockedLines) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.b.Write(p)
}

// The first shows what it says at once: a person waits for it.
func TestFirstTranscriptIsLive(t *testing.T) {
	var got lockedLines
	q := newTranscripts(display.NewNonInteractive(&got, display.Options{}), 2)
	q.at(1).Notify("second", false)
	q.at(0).Notify("first", false)
	if got.b.String() != "first\n" {
		t.Errorf("shown: %q", got.b.String())
	}
	q.end(1)
	q.end(0)
	if got.b.String() != "first\nsecond\n" {
		t.Errorf("shown: %q", got.b.String())
	}
}

// The summary of renew, and the error it ends with, by what became of lineages.
func TestSummaryOfRenew(t *testing.T) {
	r := newRig(t)
	end := r.now.Add(60 * day)
	ends := end.Format("2006-01-02")
	limited := &edge.IssueError{Reason: edge.ReasonRateLimited, Err: errors.New("too many")}
	skip := result{path: "/s", ends: end}
	good, bad := result{path: "/g", due: true}, result{path: "/b", due: true, err: errors.New("no")}
	later, broken := result{path: "/l", due: true, err: limited}, result{conf: "/c", broken: true, err: errors.New("broken")}
	for _, c := range []struct {
		name    string
		results []result
		line    string
		out     string // on standard output
		log     string
		err     string
		later   bool
	}{
		{"none", nil, "", "No renewals were attempted.", "", "", false},
		{"hooks for none", []result{skip}, "--pre-hook true", "  /s expires on " + ends + " (skipped)\nNo renewals were attempted.\nNo hooks were run.", "", "", false},
		{"all good", []result{good, good}, "", "Congratulations, all renewals succeeded: \n  /g (success)\n  /g (success)", "", "", false},
		{"dry", []result{good}, "--dry-run", "Congratulations, all simulated renewals succeeded: ", "", "", false},
		{"all bad", []result{bad}, "", "", "All renewals failed. The following certificates could not be renewed:", "1 renew failure(s), 0 parse failure(s)", false},
		{"mixed", []result{good, bad, skip}, "", "The following renewals succeeded:\n  /g (success)", "  /b (failure)", "1 renew failure(s), 0 parse failure(s)", false},
		{"broken", []result{skip, broken}, "", "Additionally, the following renewal configurations were invalid: \n  /c (parsefail)", "", "0 renew failure(s), 1 parse failure(s)", false},
		{"later", []result{good, later}, "", "", "", "1 renew failure(s), 0 parse failure(s)", true},
		{"later and bad", []result{later, bad}, "", "", "", "2 renew failure(s), 0 parse failure(s)", false},
		{"later and broken", []result{later, broken}, "", "", "", "1 renew failure(s), 1 parse failure(s)", false},
	} {
		t.Run(c.name, func(t *testing.T) {
			r.out.Reset()
			r.log.Reset()
			p := &pass{s: r.steward(), o: r.options("renew " + c.line), results: c.results}
			p.describe()
			if !strings.Contains(r.out.String(), c.out) || !strings.Contains(r.log.String(), c.log) {
				t.Errorf("shown:\n%s\nlogged:\n%s", r.out.String(), r.log.String())
			}
			err := p.outcome(t.Context())
			if c.err == "" && err == nil {
				return
			}
			if err == nil || err.Error() != c.err || Later(err) != c.later {
				t.Errorf("error %v, later %v; want %q, %v", err, Later(err), c.err, c.later)
			}
		})
	}
}
