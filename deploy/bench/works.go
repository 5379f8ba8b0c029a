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
}

var works = []work{
	{"h1", "us CPU a request (1 KiB, HTTPS/1.1, keep-alive)", perUnit("h1")},
	{"h2", "us CPU a request (1 KiB, HTTPS/2, 32 streams a connection)", perUnit("h2")},
	{"1m", "us CPU a request (1 MiB, HTTPS/1.1)", perUnit("1m")},
	{"full", "us CPU a full TLS 1.3 handshake", perUnit("full")},
	{"resumed", "us CPU a resumed TLS 1.3 handshake", perUnit("resumed")},
	{"idle", "KiB an idle TLS connection", idleMemory},
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
	l, err := startLoad("idle", s.addr, b.o)
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
	{"full", "nginx", 1.0}, {"resumed", "nginx", 1.0}, {"idle", "caddy", 1.0}, {"start", "caddy", 1.0},
}

// maxStart is how long the start with stored certificates may take, in seconds.
const maxStart = 3.0

func (t target) String() string { return fmt.Sprintf("%s <= %.2f x %s", t.work, t.most, t.other) }
