// Command bench measures edge beside nginx, HAProxy and Caddy on the same work:
// server CPU for each request and handshake, memory for each idle connection,
// and the start with ten thousand stored certificates.
package main

import (
	"encoding/json"
	"flag"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"time"
)

type options struct {
	edge    string
	rounds  int
	seconds float64
	warmup  float64
	idle    int
	certs   int
	only    string
	servers string
	output  string
}

func main() {
	if len(os.Args) > 1 && os.Args[1] == "child" {
		child(os.Args[2:])
		return
	}
	var o options
	var quick bool
	flag.StringVar(&o.edge, "edge", "bin/edge", "the edge `binary`")
	flag.IntVar(&o.rounds, "rounds", 3, "rounds, interleaved over the servers")
	flag.Float64Var(&o.seconds, "seconds", 5, "measured `seconds` of each work in each round")
	flag.Float64Var(&o.warmup, "warmup", 1, "`seconds` before that")
	flag.IntVar(&o.idle, "idle", 2000, "idle connections")
	flag.IntVar(&o.certs, "certs", 10000, "stored certificates")
	flag.StringVar(&o.only, "only", strings.Join(workNames(), ","), "works")
	flag.StringVar(&o.servers, "servers", "edge,nginx,haproxy,caddy", "servers")
	flag.StringVar(&o.output, "o", "text", "output `format`: text or json")
	flag.BoolVar(&quick, "quick", false, "a short run, to see that everything works")
	flag.Parse()
	if quick {
		o.rounds, o.seconds, o.warmup, o.idle, o.certs = 1, 0.5, 0.2, 200, 200
	}
	if err := run(o); err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
		os.Exit(1)
	}
}

func run(o options) error {
	dir, err := os.MkdirTemp("", "edge-bench-")
	if err != nil {
		return err
	}
	defer os.RemoveAll(dir)
	bin, err := filepath.Abs(o.edge)
	if err != nil {
		return err
	}
	b := &bench{o: o, dir: dir, edge: bin, names: strings.Split(o.servers, ",")}
	defer b.close()
	if err := b.start(); err != nil {
		return err
	}
	var results []result
	for _, w := range works {
		if !slices.Contains(strings.Split(o.only, ","), w.name) {
			continue
		}
		b.closeServers()
		r, err := b.measure(w)
		if err != nil {
			return fmt.Errorf("%s: %w", w.name, err)
		}
		results = append(results, r)
		if o.output == "text" {
			printResult(os.Stdout, r)
		}
	}
	b.close()
	if slices.Contains(strings.Split(o.only, ","), "start") {
		r, err := b.starts(bin)
		if err != nil {
			return fmt.Errorf("start: %w", err)
		}
		results = append(results, r)
		if o.output == "text" {
			printResult(os.Stdout, r)
		}
	}
	if o.output == "json" {
		enc := json.NewEncoder(os.Stdout)
		enc.SetIndent("", "  ")
		return enc.Encode(results)
	}
	printTargets(os.Stdout, results)
	return nil
}

// bench is what runs: a backend and the servers in front of it.
type bench struct {
	o       options
	dir     string
	edge    string // the binary
	names   []string
	backend *process
	h2c     string // address at which the backend speaks HTTP/2
	servers map[string]*process
}

func (b *bench) close() {
	b.closeServers()
	if b.backend != nil {
		b.backend.stop()
		b.backend = nil
	}
}

func (b *bench) closeServers() {
	for _, s := range b.servers {
		s.stop()
	}
	b.servers = nil
}

// measure runs one work against all servers in turn, round after round.
func (b *bench) measure(w work) (result, error) {
	r := result{Work: w.name, Unit: w.unit, Samples: map[string][]float64{}, Failures: map[string]int{}}
	players := b.players(w)
	for range b.o.rounds {
		for _, p := range players {
			s, err := b.server(p)
			if err != nil {
				return r, fmt.Errorf("%s: %w", p.name, err)
			}
			v, failures, err := w.run(b, s)
			if err != nil {
				return r, fmt.Errorf("%s: %w", p.name, err)
			}
			r.Samples[p.name] = append(r.Samples[p.name], v)
			r.Failures[p.name] += failures
		}
	}
	return r, nil
}

// player is a server in one work.
type player struct {
	name   string // in the table
	server string
	setup  setup
}

func (b *bench) players(w work) (out []player) {
	for _, n := range w.sizes {
		out = append(out, player{siteCount(n), "edge", setup{sites: n}})
	}
	for _, name := range b.names {
		if w.sizes == nil && (w.can == nil || slices.Contains(w.can, name)) {
			out = append(out, player{name, name, w.setup})
		}
	}
	return out
}

func siteCount(n int) string { return fmt.Sprintf("%5d sites", n) }

// window runs a load and returns its report with the CPU time that the server
// spent meanwhile.
func (b *bench) window(s *process, kind string) (report, time.Duration, error) {
	l, err := startLoad(kind, s, b.o)
	if err != nil {
		return report{}, 0, err
	}
	defer l.stop()
	if err := l.expect("begin"); err != nil {
		return report{}, 0, err
	}
	before, err := cpuOf(s.pid())
	if err != nil {
		return report{}, 0, err
	}
	if err := l.expect("end"); err != nil {
		return report{}, 0, err
	}
	after, err := cpuOf(s.pid())
	if err != nil {
		return report{}, 0, err
	}
	rep, err := l.report()
	return rep, after - before, err
}
