package installers

import (
	"cmp"
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"syscall"
	"time"
)

const (
	verifyDefault = 10 * time.Second
	firstPause    = 30 * time.Millisecond
	longestPause  = time.Second
	settleDefault = 300 * time.Millisecond
	// probesAtOnce bounds the load on the server.
	probesAtOnce = 8
	// failuresTold bounds an error for a server of a thousand names.
	failuresTold = 5
)

// place is an endpoint with what it has to show.
type place struct {
	Endpoint
	want   [32]byte          // zero: any certificate
	like   *x509.Certificate // the one that is wanted, where it is at hand
	before shown
	watch  bool
	free   bool     // it may show what it likes, but what it did when that is undone
	exact  bool     // a renewed certificate is not taken for the same
	also   [32]byte // is as good as want
}

// places are those of a plan, with what they show now. Leaf is the certificate that is
// installed, nil for none: then what is shown is to stay.
func places(ctx context.Context, p *Plan, leaf *x509.Certificate) []*place {
	var out []*place
	for _, e := range p.Serves {
		at := &place{Endpoint: e, want: e.Leaf}
		switch {
		case e.Leaf != [32]byte{}:
		case leaf != nil:
			at.want, at.like = leafDigest(leaf), leaf
		default:
			at.watch = true
		}
		out = append(out, at)
	}
	for _, e := range p.Watch {
		out = append(out, &place{Endpoint: e, watch: true})
	}
	each(out, func(at *place) { at.before = probe(ctx, at.Endpoint, at.like) })
	return slices.DeleteFunc(out, func(at *place) bool {
		if !at.watch {
			return false
		}
		if at.before.err == nil {
			at.want, at.like = leafDigest(at.before.leaf), at.before.leaf
		}
		return at.before.err != nil // it showed nothing: it may show what it likes
	})
}

// each calls do for all of them, some at a time, and returns when all are done.
func each[T any](all []T, do func(T)) {
	var group sync.WaitGroup
	slots := make(chan struct{}, probesAtOnce)
	for _, one := range all {
		slots <- struct{}{}
		group.Go(func() {
			defer func() { <-slots }()
			do(one)
		})
	}
	group.Wait()
}

// verify waits until everything is shown at once, or the deadline is over. It has to stay
// so for a moment, unless all there is to look at is telling: while nginx reloads, old and
// new workers answer side by side, and what is watched is the same with the old ones.
func (t *Runner) verify(ctx context.Context, all []*place, checks []HTTPCheck, telling bool) error {
	deadline := time.Now().Add(cmp.Or(t.Verify, verifyDefault))
	round, cancel := context.WithDeadline(ctx, deadline)
	defer cancel()
	var last error // of a round that came to its end
	var wellSince time.Time
	watching := slices.ContainsFunc(all, func(at *place) bool { return at.watch })
	for pause := firstPause; ; pause = min(2*pause, longestPause) {
		err := look(round, all, checks)
		if ctx.Err() != nil {
			return errors.Join(ctx.Err(), last)
		}
		if round.Err() != nil && last != nil {
			return last
		}
		last = err
		switch {
		case err != nil:
			wellSince = time.Time{}
		case len(all)+len(checks) == 0, telling && !watching:
			return nil
		case wellSince.IsZero():
			wellSince = time.Now()
		case time.Since(wellSince) >= cmp.Or(t.settle, settleDefault):
			return nil
		}
		if time.Until(deadline) < pause {
			return err
		}
		select {
		case <-ctx.Done():
		case <-time.After(pause):
		}
	}
}

// look is one round over all places. Those that are only watched come last, when the
// others have shown that the server has taken the new configuration.
func look(ctx context.Context, all []*place, checks []HTTPCheck) error {
	var failed failures
	each(all, func(at *place) {
		if !at.watch {
			failed.add(at.look(ctx))
		}
	})
	each(checks, func(c HTTPCheck) {
		if err := c.run(ctx); err != nil {
			failed.add(fmt.Errorf("%s: %w", c, err))
		}
	})
	if len(failed.list) == 0 {
		each(all, func(at *place) {
			if at.watch {
				failed.add(at.look(ctx))
			}
		})
	}
	return failed.err()
}

func (at *place) look(ctx context.Context) error {
	got := probe(ctx, at.Endpoint, at.like)
	switch {
	case got.err != nil:
	case at.want == [32]byte{}, leafDigest(got.leaf) == at.want, leafDigest(got.leaf) == at.also:
		return nil
	case at.watch && !at.exact && at.like != nil && renewed(at.like, got.leaf):
		return nil
	}
	return &placeError{at, got}
}

// renewed reports whether a certificate took the place of another one for the same
// names: its file was replaced before, and a reload has the server read all files.
func renewed(old, now *x509.Certificate) bool {
	a, b := sans(old), sans(now)
	slices.Sort(a)
	slices.Sort(b)
	return slices.Equal(a, b) && !now.NotBefore.Before(old.NotBefore)
}

// telling reports whether something is to be seen that is not there now, so that a look
// tells that the server has taken the new configuration.
func telling(ctx context.Context, all []*place, checks []HTTPCheck) bool {
	differs := func(at *place) bool {
		return at.want != [32]byte{} && (at.before.err != nil || leafDigest(at.before.leaf) != at.want)
	}
	return slices.ContainsFunc(all, differs) || look(ctx, nil, checks) != nil
}

// placeError is a place that does not show what it has to.
type placeError struct {
	at  *place
	got shown
}

func (e *placeError) Error() string {
	if e.got.err != nil {
		return fmt.Sprintf("%s: %v", e.at.Endpoint, e.got.err)
	}
	return fmt.Sprintf("%s shows %s", e.at.Endpoint, describe(e.got.leaf))
}

func (e *placeError) Unwrap() error { return e.got.err }

// cause says what is behind it, as far as that can be told from outside.
func (e *placeError) cause() string {
	at, before, got := e.at, e.at.before, e.got
	switch {
	case errors.Is(got.err, syscall.ECONNREFUSED), errors.Is(got.err, syscall.ENOENT):
		if before.leaf != nil {
			return "nothing listens there any more: the server has ended, or no longer listens there"
		}
		return "nothing listens there: the server does not run, or did not take the new configuration"
	case errors.Is(got.err, errHandshake):
		return "the server answers, but the TLS handshake fails: it could not load the certificate or the key, or speaks no TLS there"
	case got.err != nil:
		return "the server does not answer there"
	case at.watch:
		return "the change has an effect on a name that it must not have any on"
	case before.leaf != nil && got.leaf.Equal(before.leaf):
		return fmt.Sprintf("the running server still shows the certificate with serial %x: it ignored the reload, or answers this name from somewhere else in its configuration", got.leaf.SerialNumber)
	}
	return "it is neither the old certificate nor the new one: another program has changed the server meanwhile, or another server answers there"
}

func describe(c *x509.Certificate) string {
	sum := leafDigest(c)
	return fmt.Sprintf("the certificate of %.100s with serial %x (SHA-256 %x…), valid until %s", strings.Join(sans(c), ", "), c.SerialNumber, sum[:8], c.NotAfter.UTC().Format(time.DateTime))
}

// failures collects errors from several goroutines.
type failures struct {
	mu   sync.Mutex
	list []error
}

func (f *failures) add(err error) {
	if err != nil {
		f.mu.Lock()
		defer f.mu.Unlock()
		f.list = append(f.list, err)
	}
}

func (f *failures) err() error {
	if len(f.list) <= failuresTold {
		return errors.Join(f.list...)
	}
	more := fmt.Errorf("and %d more", len(f.list)-failuresTold)
	return errors.Join(append(slices.Clone(f.list[:failuresTold]), more)...)
}
