package accesslog

import (
	"fmt"
	"hash/fnv"
	"log/slog"
	"net/netip"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"edge"
)

// Options say what is logged, where and how. The zero value logs nothing.
type Options struct {
	Path   string   // "": no access log
	Format string   // "json", "combined", "common", or "template " and a text (see Template)
	Sample float64  // part of the requests, by their identifier; errors (5xx) always are. 0: all
	Status [][2]int // codes from the first to the second; none: all
	Sites  []string // none: all
	Slower time.Duration
	Query  []string // parameters whose values are hidden, besides what looks like a secret
	Hidden []string // fields that are left out: one of HiddenFields
}

// HiddenFields are what Options.Hidden may name.
func HiddenFields() []string {
	return []string{"client_ip", "remote_ip", "user_agent", "referer", "query", "path", "host", "user", "error", "sni"}
}

// Check reports what makes no sense.
func (o *Options) Check() error {
	if text, ok := strings.CutPrefix(o.Format, "template "); ok {
		if _, err := parseTemplate(text); err != nil {
			return err
		}
	} else if !slices.Contains([]string{"json", "combined", "common"}, o.Format) && o.Path != "" {
		return fmt.Errorf("access log: format %q; use json, combined, common or \"template …\"", o.Format)
	}
	for _, f := range o.Hidden {
		if !slices.Contains(HiddenFields(), f) {
			return fmt.Errorf("access log: field %q cannot be left out; possible: %s", f, strings.Join(HiddenFields(), ", "))
		}
	}
	return nil
}

// wants reports whether a request is logged.
func (o *Options) wants(e *edge.RequestEvent) bool {
	if len(o.Status) > 0 && !slices.ContainsFunc(o.Status, func(r [2]int) bool { return r[0] <= e.Status && e.Status <= r[1] }) {
		return false
	}
	if len(o.Sites) > 0 && !slices.Contains(o.Sites, e.Site) || o.Slower > 0 && e.Duration < o.Slower {
		return false
	}
	if o.Sample > 0 && o.Sample < 1 && e.Status < 500 {
		h := fnv.New32a()
		_, _ = h.Write([]byte(e.RequestID))
		// FNV's low bits are the well mixed ones.
		return float64(h.Sum32()%100000) < o.Sample*100000
	}
	return true
}

// censored is the event without what is hidden; e itself where nothing is.
func (o *Options) censored(e *edge.RequestEvent) *edge.RequestEvent {
	if len(o.Hidden) == 0 && len(o.Query) == 0 {
		return e
	}
	c := *e
	if len(o.Query) > 0 {
		c.Query = hideNamed(c.Query, o.Query)
		if before, query, ok := strings.Cut(c.Referer, "?"); ok {
			c.Referer = before + "?" + hideNamed(query, o.Query)
		}
	}
	for _, f := range o.Hidden {
		switch f {
		case "client_ip":
			c.Client = netip.Addr{}
		case "remote_ip":
			c.Remote = netip.AddrPort{}
		case "user_agent":
			c.UserAgent = ""
		case "referer":
			c.Referer = ""
		case "query":
			c.Query = ""
		case "path":
			c.Path, c.Query = "", ""
		case "host":
			c.Host = ""
		case "user":
			c.User = ""
		case "error":
			c.Err = nil
		case "sni":
			c.SNI = ""
		}
	}
	return &c
}

// hideNamed replaces the values of parameters by name.
func hideNamed(query string, names []string) string {
	parts := strings.Split(query, "&")
	for i, p := range parts {
		if name, _, ok := strings.Cut(p, "="); ok && slices.Contains(names, name) {
			parts[i] = name + "=***"
		}
	}
	return strings.Join(parts, "&")
}

// formatter returns how an event becomes a line. Options have been checked.
func (o *Options) formatter() func([]byte, *edge.RequestEvent) []byte {
	switch o.Format {
	case "combined":
		return appendCombined
	case "common":
		return appendCommon
	}
	if text, ok := strings.CutPrefix(o.Format, "template "); ok {
		if t, err := parseTemplate(text); err == nil {
			return t.append
		}
	}
	return appendJSON
}

// Slow logs requests whose answer began late, with where the time went. The zero
// value logs nothing. Safe for concurrent use.
type Slow struct {
	log   *slog.Logger
	limit atomic.Int64 // nanoseconds; 0: off
}

// NewSlow returns a Slow that writes to log.
func NewSlow(log *slog.Logger) *Slow { return &Slow{log: log} }

// Set changes the time after which a request is slow; 0: none is.
func (s *Slow) Set(d time.Duration) { s.limit.Store(int64(d)) }

// Request takes a finished request.
func (s *Slow) Request(e *edge.RequestEvent) {
	limit := time.Duration(s.limit.Load())
	if limit <= 0 || e.TTFB < limit && (e.TTFB > 0 || e.Duration < limit) {
		return
	}
	s.log.Warn("slow request", "site", e.Site, "route", e.Route, "method", e.Method, "path", e.Path, "status", e.Status, "request_id", e.RequestID,
		"ttfb", e.TTFB.Seconds(), "duration", e.Duration.Seconds(), "queue_duration", e.QueueTime.Seconds(),
		"upstream_duration", e.UpstreamDuration.Seconds(), "upstream", e.Upstream, "attempts", e.Attempts)
}
