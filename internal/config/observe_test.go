package config

import (
	"fmt"
	"strings"
	"testing"
)

func TestObservation(t *testing.T) {
	load := func(text string) (*Config, error) {
		return Load(write(t, t.TempDir(), "edge.yaml", text, 0o644))
	}
	c, err := load(minimal + `log: {slow: 2s, access: {sample: 0.1, only: {status: [5xx, 404], site: example.org, slower: 1s}, redact: {query: [q], fields: [user]}}}
tracing: {otlp: "http://127.0.0.1:4318", headers: {X-Key: secret}}
metrics: {status_page: true}
`)
	if err != nil {
		t.Fatal(err)
	}
	if got, want := fmt.Sprintf("%v %v %+v %v %v", c.Log.Slow, c.Log.Access.Sample, c.Log.Access.Only, c.Log.Access.Redact, c.Tracing),
		"2s 0.1 {Status:[{From:500 To:599} {From:404 To:404}] Sites:[example.org] Slower:1s} {[q] [user]} {http://127.0.0.1:4318 0.01 map[X-Key:secret]}"; got != want || !c.Metrics.StatusPage {
		t.Errorf("got %s", got)
	}
	for text, want := range map[string]string{
		"tracing: {otlp: 127.0.0.1}":             "is not the URL of a collector",
		"tracing: {otlp: 'http://a', sample: 2}": "write 0 to 1",
		"log: {access: {only: {status: 6xx}}}":   "write 404, 4xx or 5xx",
		"log: {access: {redact: {query: x}}}":    "want a list",
	} {
		if _, err := load(minimal + text + "\n"); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("want %q, got %v", want, err)
		}
	}
}
