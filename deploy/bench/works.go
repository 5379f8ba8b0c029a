package main

import (
	"errors"
	"fmt"
	"time"
)

// work is one thing that every server has to do.
type work struct {
	name, unit string
	run        func(*bench, *process) (value float64, failures int, err error)
	setup      setup    // how the servers are configured
	can        []string // the servers that can do it; nil: all
	sizes      []int    // instead of servers: edge alone, with so many sites
}

// setup is what a work asks of the configuration.
type setup struct {
	sites int  // beside the one; each is a host of its own
	zip   bool // answers are compressed with gzip
	h2up  bool // the backend speaks HTTP/2 without TLS
}

var works = []work{
	{name: "h1", unit: "us CPU a request (1 KiB, HTTPS/1.1, keep-alive)", run: perUnit("h1")},
	{name: "h2", unit: "us CPU a request (1 KiB, HTTPS/2, 32 streams a connection)", run: perUnit("h2")},
	{name: "h3", unit: "us CPU a request (1 KiB, HTTP/3, 32 streams a connection)", run: perUnit("h3"), can: []string{"edge", "caddy"}},
	{name: "1m", unit: "us CPU a request (1 MiB, HTTPS/1.1)", run: perUnit("1m")},
	{name: "zip", unit: "us CPU a request (64 KiB of JSON, gzip on the fly, HTTPS/1.1)", run: perUnit("zip"), setup: setup{zip: true}},
	{name: "h2up", unit: "us CPU a request (1 KiB, HTTPS/1.1, the backend by h2c)", run: perUnit("h1"), setup: setup{h2up: true}, can: []string{"edge", "haproxy", "caddy"}},
	{name: "sites", unit: "us CPU a request (1 KiB, HTTPS/1.1), spread over so many hosts", run: perUnit("sites"), sizes: []int{1, 1000, 10000}},
	{name: "full", unit: "us CPU a full TLS 1.3 handshake", run: perUnit("full")},
	{name: "resumed", unit: "us CPU a resumed TLS 1.3 handshake", run: perUnit("resumed")},
	{name: "idle", unit: "KiB an idle TLS connection", run: idleMemory},
}

func workNames() []string {
	var names []string
	for _, w := range works {
		names = append(names, w.name)
	}
	return append(names, "start")
}

func perUnit(kind string) func(*bench, *process) (float64, int, error) {
	return func(b *bench, s *process) (float64, int, error) {
		rep, cpu, err := b.window(s, kind)
		if err != nil {
			return 0, 0, err
		}
		if rep.Done == 0 {
			return 0, 0, errors.New("nothing was done")
		}
		return float64(cpu.Microseconds()) / float64(rep.Done), rep.Failed, nil
	}
}

// idleMemory opens connections to a fresh process, and looks at its memory
// before and after: what earlier work has left behind would hide the difference.
func idleMemory(b *bench, s *process) (float64, int, error) {
	if err := s.restart(); err != nil {
		return 0, 0, err
	}
	before, err := pssOf(s.pid())
	if err != nil {
		return 0, 0, err
	}
	l, err := startLoad("idle", s, b.o)
	if err != nil {
		return 0, 0, err
	}
	defer l.stop()
	if err := l.expect("begin"); err != nil {
		return 0, 0, err
	}
	time.Sleep(time.Second) // collectors of garbage get a chance
	after, err := pssOf(s.pid())
	if err != nil {
		return 0, 0, err
	}
	return float64(after-before) / 1024 / float64(b.o.idle), 0, nil
}

// target is a ratio that edge promises.
type target struct {
	work, other string
	most        float64
}

var targets = []target{
	{"h1", "caddy", 0.55}, {"h2", "caddy", 0.55}, {"1m", "nginx", 0.8},
	{"h3", "caddy", 1.0}, {"zip", "caddy", 1.0}, {"h2up", "caddy", 1.0},
	{"full", "nginx", 1.0}, {"resumed", "nginx", 1.0}, {"idle", "caddy", 1.0}, {"start", "caddy", 1.0},
}

// maxSites is what a request may cost with the most sites, measured by one site.
const maxSites = 1.15

// maxStart is how long the start with stored certificates may take, in seconds.
const maxStart = 3.0

func (t target) String() string { return fmt.Sprintf("%s <= %.2f x %s", t.work, t.most, t.other) }
