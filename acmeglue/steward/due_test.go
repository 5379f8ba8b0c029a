package steward

import (
	"bytes"
	"context"
	"crypto/x509"
	"errors"
	"io"
	"net/http"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/crypto/ocsp"

	"edge/acmeglue"
)

// informant is a CA that says when to renew, and counts how often it is asked.
type informant struct {
	acmeglue.CA
	says  acmeglue.RenewWindow
	err   error
	asked int
}

func (i *informant) Directory() string { return "https://ca.test/dir" }

func (i *informant) RenewalInfo(context.Context, []byte) (acmeglue.RenewWindow, error) {
	i.asked++
	return i.says, i.err
}

// responder is an OCSP responder in the place of the network.
type responder struct {
	status int
	until  time.Time
	now    func() time.Time
	broken bool

	mu    sync.Mutex // several lineages are looked at at a time
	asked int
}

func (r *responder) RoundTrip(req *http.Request) (*http.Response, error) {
	r.mu.Lock()
	r.asked++
	r.mu.Unlock()
	if r.broken {
		return nil, errors.New("nobody is there")
	}
	raw, err := io.ReadAll(req.Body)
	if err != nil {
		return nil, err
	}
	question, err := ocsp.ParseRequest(raw)
	if err != nil {
		return nil, err
	}
	ca := theCA()
	answer, err := ocsp.CreateResponse(ca.cert, ca.cert, ocsp.Response{
		Status: r.status, SerialNumber: question.SerialNumber, ThisUpdate: r.now(), NextUpdate: r.until, RevokedAt: r.now(),
	}, ca.key)
	if err != nil {
		return nil, err
	}
	return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(bytes.NewReader(answer)), Header: http.Header{}}, nil
}

// certificateFor makes one that is a part of its life old.
func (r *rig) certificateFor(life time.Duration, part float64, ocspServer string) certificate {
	r.t.Helper()
	template := x509.Certificate{DNSNames: []string{"a.test"}, NotBefore: r.now.Add(-time.Duration(part * float64(life)))}
	template.NotAfter = template.NotBefore.Add(life)
	if ocspServer != "" {
		template.OCSPServer = []string{ocspServer}
	}
	chain := issue(r.t, ecKey(r.t), template)
	leaf, err := firstCertificate(chain)
	if err != nil {
		r.t.Fatal(err)
	}
	return certificate{name: "a.test", chain: chain, leaf: sha256Of(leaf.Raw), notBefore: leaf.NotBefore, notAfter: leaf.NotAfter, responder: ocspServer, auto: true}
}

const day = 24 * time.Hour

func TestDue(t *testing.T) {
	window := func(start, end time.Duration) func(*rig) *informant {
		return func(r *rig) *informant {
			return &informant{says: acmeglue.RenewWindow{Start: r.now.Add(start), End: r.now.Add(end)}}
		}
	}
	silent := func(*rig) *informant { return &informant{err: errors.New("no answer")} }
	none := func(*rig) *informant { return &informant{} }
	for _, c := range []struct {
		name    string
		life    time.Duration
		part    float64 // of the life that is over
		ca      func(*rig) *informant
		reserve time.Duration
		off     bool
		revoked bool
		want    bool
		why     string
	}{
		{name: "young", life: 90 * day, part: 0.66, ca: none, why: "by its lifetime"},
		{name: "two thirds", life: 90 * day, part: 0.67, ca: none, want: true, why: "by its lifetime"},
		{name: "short-lived, young", life: 6 * day, part: 0.49, ca: none, why: "by its lifetime"},
		{name: "short-lived, half", life: 6 * day, part: 0.51, ca: none, want: true, why: "by its lifetime"},
		{name: "ten days are not short", life: 10 * day, part: 0.6, ca: none, why: "by its lifetime"},
		{name: "silent CA, young", life: 90 * day, part: 0.5, ca: silent, why: "by its lifetime"},
		{name: "silent CA, old", life: 90 * day, part: 0.7, ca: silent, want: true, why: "by its lifetime"},
		{name: "window to come", life: 90 * day, part: 0.7, ca: window(time.Hour, 2*time.Hour), why: "window"},
		{name: "window has come", life: 90 * day, part: 0.2, ca: window(-2*time.Hour, -time.Hour), want: true, why: "window"},
		{name: "in the first half of the window", life: 90 * day, part: 0.2, ca: window(-time.Hour, 2*time.Hour), why: "window"},
		{name: "in the second half of the window", life: 90 * day, part: 0.2, ca: window(-2*time.Hour, time.Hour), want: true, why: "window"},
		{name: "a CA that wants each one back at once", life: 90 * day, part: 0.005, ca: window(-300*day, -200*day), why: "window"},
		{name: "a window after the end", life: 90 * day, part: 0.91, ca: window(300*day, 400*day), want: true, why: "window"},
		{name: "renew_before_expiry has come", life: 90 * day, part: 0.5, ca: none, reserve: 46 * day, want: true, why: "renew_before_expiry"},
		{name: "renew_before_expiry, in place of the lifetime", life: 90 * day, part: 0.8, ca: none, reserve: 10 * day, why: "renew_before_expiry"},
		{name: "renew_before_expiry before the window", life: 90 * day, part: 0.5, ca: window(day, 2*day), reserve: 46 * day, want: true, why: "renew_before_expiry"},
		{name: "the window before renew_before_expiry", life: 90 * day, part: 0.5, ca: window(-2*day, -day), reserve: 10 * day, want: true, why: "window"},
		{name: "autorenew off", life: 90 * day, part: 0.99, ca: none, off: true, why: "autorenew"},
		{name: "autorenew off and expired", life: 90 * day, part: 1.1, ca: none, off: true, why: "autorenew"},
		{name: "expired", life: 90 * day, part: 1.1, ca: window(300*day, 400*day), want: true, why: "expired"},
		{name: "revoked", life: 90 * day, part: 0.1, ca: none, revoked: true, want: true, why: "revoked"},
		{name: "revoked, whatever the window", life: 90 * day, part: 0.1, ca: window(day, 2*day), revoked: true, want: true, why: "revoked"},
		{name: "revoked, autorenew off", life: 90 * day, part: 0.1, ca: none, off: true, revoked: true, why: "autorenew"},
	} {
		t.Run(c.name, func(t *testing.T) {
			r := newRig(t)
			answer := &responder{status: ocsp.Good, until: r.now.Add(7 * day), now: r.o.Now}
			if c.revoked {
				answer.status = ocsp.Revoked
			}
			r.o.HTTP = &http.Client{Transport: answer}
			cert := r.certificateFor(c.life, c.part, "http://ocsp.test/")
			cert.reserve, cert.auto = c.reserve, !c.off
			got := r.steward().due(t.Context(), cert, c.ca(r))
			if got.due != c.want || !strings.Contains(got.why, c.why) {
				t.Errorf("due: %v because %q; want %v because %q", got.due, got.why, c.want, c.why)
			}
		})
	}
}

// Answers are believed as long as their senders say, within bounds, and over runs.
func TestAnswersAreKept(t *testing.T) {
	r := newRig(t)
	answer := &responder{status: ocsp.Good, until: r.now.Add(3 * time.Hour), now: r.o.Now}
	r.o.HTTP = &http.Client{Transport: answer}
	ca := &informant{says: acmeglue.RenewWindow{Start: r.now.Add(30 * day), End: r.now.Add(31 * day), RetryAfter: r.now.Add(2 * time.Hour)}}
	cert := r.certificateFor(90*day, 0.1, "http://ocsp.test/")
	all := func(string) bool { return true }
	step := func(later time.Duration, wantCA, wantResponder int, text string) {
		t.Helper()
		r.now = r.now.Add(later)
		s := r.steward()
		s.due(t.Context(), cert, ca)
		if ca.asked != wantCA || answer.asked != wantResponder {
			t.Errorf("%s: the CA was asked %d times, the responder %d, want %d and %d", text, ca.asked, answer.asked, wantCA, wantResponder)
		}
		if err := s.cache.save(t.Context(), r.o.Storage, all); err != nil {
			t.Fatal(err)
		}
	}
	step(0, 1, 1, "at first")
	step(time.Hour, 1, 1, "while both are fresh")
	step(time.Hour+time.Second, 2, 1, "after the CA's Retry-After")
	answer.until = r.now.Add(100 * day)
	ca.says.RetryAfter = r.now.Add(100 * day)
	step(time.Hour, 3, 2, "after the responder's answer ran out")
	step(askLatest-time.Second, 3, 2, "a day is the longest, not over")
	step(time.Second, 4, 3, "a day is the longest, over")
	ca.says.RetryAfter = r.now.Add(-time.Hour)
	step(askLatest, 5, 4, "the next day")
	step(askSoonest-time.Second, 5, 4, "a minute is the shortest, not over")
	step(time.Second, 6, 4, "a minute is the shortest, over")

	ca.err, answer.broken = errors.New("down"), true
	r.now = r.now.Add(2 * askLatest)
	step(0, 7, 5, "both are down")
	step(askAgain-time.Second, 7, 5, "both are down, and left alone")
	step(time.Second, 8, 6, "both are down, six hours later")
}

// A window that was known stays when the CA falls silent, and the time within it
// stays when the CA repeats itself.
func TestWindowStays(t *testing.T) {
	r := newRig(t)
	cert := r.certificateFor(90*day, 0.1, "")
	ca := &informant{says: acmeglue.RenewWindow{Start: r.now.Add(10 * day), End: r.now.Add(20 * day)}}
	s := r.steward()
	first := s.due(t.Context(), cert, ca)
	if want := r.now.Add(15 * day); !first.at.Equal(want) {
		t.Fatalf("chosen: %v, want %v", first.at, want)
	}
	s.o.Rand = func() float64 { return 0.9 }
	r.now = r.now.Add(day)
	if again := s.due(t.Context(), cert, ca); !again.at.Equal(first.at) || ca.asked != 2 {
		t.Errorf("asked %d times: %v, and before %v", ca.asked, again.at, first.at)
	}
	r.now, ca.err = r.now.Add(day), errors.New("down")
	if silent := s.due(t.Context(), cert, ca); !silent.at.Equal(first.at) || ca.asked != 3 {
		t.Errorf("asked %d times, silent: %v, and before %v", ca.asked, silent.at, first.at)
	}
}

// A clock that was ahead, and is right again, leaves answers that would be believed
// for years.
func TestClockSetBack(t *testing.T) {
	r := newRig(t)
	answer := &responder{status: ocsp.Good, until: r.now.Add(10 * 365 * day), now: r.o.Now}
	r.o.HTTP = &http.Client{Transport: answer}
	cert := r.certificateFor(20*365*day, 0.5, "http://ocsp.test/")
	ca := &informant{}
	s := r.steward()
	s.due(t.Context(), cert, ca)
	r.now = r.now.Add(-5 * 365 * day)
	answer.status = ocsp.Revoked
	if v := s.due(t.Context(), cert, ca); ca.asked != 2 || answer.asked != 2 || !v.due {
		t.Errorf("the CA was asked %d times, the responder %d; due: %v; all were to be asked again", ca.asked, answer.asked, v)
	}
}

// Answers about a certificate say nothing about its successor.
func TestAnswersAreAboutOneCertificate(t *testing.T) {
	r := newRig(t)
	answer := &responder{status: ocsp.Revoked, until: r.now.Add(day), now: r.o.Now}
	r.o.HTTP = &http.Client{Transport: answer}
	ca := &informant{}
	s := r.steward()
	if v := s.due(t.Context(), r.certificateFor(90*day, 0.1, "http://ocsp.test/"), ca); !v.due {
		t.Fatalf("not due: %v", v)
	}
	answer.status = ocsp.Good
	if v := s.due(t.Context(), r.certificateFor(90*day, 0, "http://ocsp.test/"), ca); v.due || ca.asked != 2 || answer.asked != 2 {
		t.Errorf("due: %v; CA asked %d times, responder %d", v, ca.asked, answer.asked)
	}
}

// A CA or a responder that does not answer is left alone after a while, for this run;
// one that only does not know one certificate is asked about the others.
func TestSilentOnesAreLeftAlone(t *testing.T) {
	r := newRig(t)
	silent := &responder{broken: true, until: r.now.Add(day), now: r.o.Now}
	r.o.HTTP = &http.Client{Transport: silent}
	ca := &informant{err: errors.New("no answer")}
	s := r.steward()
	ask := func(times int) {
		for range times {
			s.due(t.Context(), r.certificateFor(90*day, 0.1, "http://ocsp.test/"), ca)
		}
	}
	ask(patience - 1)
	ca.err, silent.broken = nil, false
	ask(1)
	ca.err, silent.broken = errors.New("no answer"), true
	ask(2 * patience)
	if want := 2 * patience; ca.asked != want || silent.asked != want {
		t.Errorf("the CA was asked %d times, the responder %d, want %d", ca.asked, silent.asked, want)
	}
	s = r.steward()
	ca.err, silent.broken = nil, false
	ask(1)
	if want := 2*patience + 1; ca.asked != want || silent.asked != want {
		t.Errorf("in the next run, the CA was asked %d times, the responder %d, want %d", ca.asked, silent.asked, want)
	}
}
