package main

import (
	"context"
	"testing"

	"edge/internal/config"
)

// A reload that does not change a pool or a limit keeps it, with what it knows;
// one that does makes a new one.
func TestReloadKeepsPoolsAndLimiters(t *testing.T) {
	block := "sites:\n  - hosts: [example.org]\n    tls: off\n    rate_limit: {rate: 1/h, burst: 2}\n    proxy: http://127.0.0.1:8080\n"
	v := newVisit(t, block)
	cfg := v.door.live.Load().cfg
	use := func(change func(*config.Config)) *live {
		next := *cfg
		next.Sites = append([]config.Site(nil), cfg.Sites...)
		next.Sites[0].Routes = append([]config.Route(nil), cfg.Sites[0].Routes...)
		change(&next)
		v.door.source = func() (*config.Config, error) { return &next, nil }
		if err := v.door.Reload(context.Background()); err != nil {
			t.Fatal(err)
		}
		return v.door.live.Load()
	}
	same := func(a, b *live) bool {
		for key, p := range a.proxy.Pools {
			if b.proxy.Pools[key] != p {
				return false
			}
		}
		return true
	}
	first := v.door.live.Load()
	v.want(v.ask("GET", "http://example.org/"), 200)
	second := use(func(c *config.Config) { c.Limits.Headers = 50 })
	if !same(first, second) {
		t.Error("an unchanged pool was made anew")
	}
	v.want(v.ask("GET", "http://example.org/"), 200)
	v.want(v.ask("GET", "http://example.org/"), 429) // the two tokens are spent, over the reload
	third := use(func(c *config.Config) {
		p := *c.Sites[0].Routes[0].Proxy
		p.MaxConnections = 7
		c.Sites[0].Routes[0].Proxy = &p
		c.Sites[0].Routes[0].RateLimits = nil
	})
	if same(second, third) {
		t.Error("a changed pool was kept")
	}
	v.want(v.ask("GET", "http://example.org/"), 200)

	// What cannot be bound changes nothing.
	v.door.source = func() (*config.Config, error) {
		next := *cfg
		next.Listen.HTTP = []string{v.http, v.one.addr}
		return &next, nil
	}
	if err := v.door.Reload(context.Background()); err == nil {
		t.Error("bound an address that is in use")
	}
	if v.door.live.Load() != third {
		t.Error("a reload that failed changed the configuration")
	}
	v.want(v.ask("GET", "http://example.org/"), 200)
}
