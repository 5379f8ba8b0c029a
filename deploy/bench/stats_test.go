package main

import (
	"strings"
	"testing"
	"time"
)

func TestStatistics(t *testing.T) {
	if m := median([]float64{3, 1, 2}); m != 2 {
		t.Error(m)
	}
	if m := median([]float64{4, 1, 2, 3}); m != 2.5 {
		t.Error(m)
	}
	if s := spread([]float64{9, 10, 11}); s != 0.2 {
		t.Error(s)
	}
	if q := ratios([]float64{1, 2}, []float64{2, 2, 5}); len(q) != 2 || q[0] != 0.5 || q[1] != 1 {
		t.Error(q)
	}
}

func TestVerdict(t *testing.T) {
	goal := target{"h1", "caddy", 0.55}
	for want, r := range map[string]result{
		"yes":                                   {Samples: map[string][]float64{"edge": {5, 5, 5}, "caddy": {10, 10, 10}}},
		"no":                                    {Samples: map[string][]float64{"edge": {6, 6, 6}, "caddy": {10, 10, 10}}},
		"no figure: there were failures":        {Samples: map[string][]float64{"edge": {5}, "caddy": {10}}, Failures: map[string]int{"edge": 1}},
		"no figure: the rounds differ too much": {Samples: map[string][]float64{"edge": {3, 5, 9}, "caddy": {10, 10, 10}}},
		"not measured":                          {Samples: map[string][]float64{"edge": {5}}},
	} {
		if _, got := verdict(goal, r); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestParseStat(t *testing.T) {
	d, err := parseStat("12 (a) b) S 1 1 1 0 -1 4194304 1 0 0 0 250 50 7 7 20 0 1 0 1 1 1")
	if err != nil || d != 3*time.Second {
		t.Errorf("got %v %v", d, err)
	}
	if _, err := parseStat("nonsense"); err == nil {
		t.Error("no error")
	}
}

func TestTable(t *testing.T) {
	var b strings.Builder
	r := result{Work: "h1", Unit: "us", Samples: map[string][]float64{"edge": {50}, "caddy": {100}}}
	printResult(&b, r)
	printTargets(&b, []result{r})
	for _, want := range []string{"edge    50.0", "0.50 x", "h1 <= 0.55 x caddy  0.50 x    yes"} {
		if !strings.Contains(b.String(), want) {
			t.Errorf("no %q in\n%s", want, b.String())
		}
	}
}
