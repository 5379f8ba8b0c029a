package steward

import (
	"context"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/acmeglue"
)

// counting is a storage that counts what is written, and can be full.
type counting struct {
	*acmeglue.FileStorage
	stores int
	err    error
}

func newCounting(t *testing.T, content string) *counting {
	t.Helper()
	s, err := acmeglue.OpenFileStorage(t.TempDir())
	if err == nil && content != "" {
		err = s.Store(t.Context(), cacheKey, []byte(content))
	}
	if err != nil {
		t.Fatal(err)
	}
	return &counting{FileStorage: s}
}

func (c *counting) Store(ctx context.Context, key string, value []byte) error {
	c.stores++
	if c.err != nil {
		return c.err
	}
	return c.FileStorage.Store(ctx, key, value)
}

func always(string) bool { return true }

// A damaged file costs questions, never the run.
func TestDamagedCache(t *testing.T) {
	for name, content := range map[string]string{
		"not JSON": "{", "another shape": `["a"]`, "null": "null", "bad time": `{"a":{"leaf":"x","ask_ca":"yesterday"}}`,
		"huge": "{" + strings.Repeat(" ", longestCache) + "}",
	} {
		m := newCounting(t, content)
		c, err := loadCache(t.Context(), m)
		if (err == nil) != (name == "null") {
			t.Errorf("%s: error %v", name, err)
		}
		of := certificate{name: "a", leaf: "x"}
		if got := c.get(of); got.Leaf != "x" || got.Window != nil || !got.AskCA.IsZero() {
			t.Errorf("%s: %+v", name, got)
		}
		c.put(of, answers{Leaf: "x", AskCA: time.Unix(1, 0)})
		if err := c.save(t.Context(), m, always); err != nil {
			t.Errorf("%s: %v", name, err)
		}
		if again, err := loadCache(t.Context(), m); err != nil || again.get(of).AskCA.Unix() != 1 {
			t.Errorf("%s: not replaced: %v", name, err)
		}
	}
}

// A cache file that a run cannot have written is not read into memory.
func TestHugeCacheIsNotRead(t *testing.T) {
	r := newRig(t)
	path := r.o.Storage.Filename(cacheKey)
	if err := r.o.Storage.Store(t.Context(), cacheKey, []byte("{}")); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, 1<<40); err != nil {
		t.Fatal(err)
	}
	s := r.steward()
	if !strings.Contains(r.log.String(), "they are asked again") {
		t.Errorf("log: %s", r.log.String())
	}
	s.cache.put(certificate{name: "a", leaf: "x"}, answers{Leaf: "x"})
	if err := s.cache.save(t.Context(), r.o.Storage, always); err != nil {
		t.Fatal(err)
	}
	if info, err := os.Stat(path); err != nil || info.Size() > 1000 {
		t.Errorf("not replaced: %v, %v", info, err)
	}
}

// Nothing new, nothing written; lineages that are gone are forgotten.
func TestCacheWritesWhatChanged(t *testing.T) {
	m := newCounting(t, "")
	c, err := loadCache(t.Context(), m)
	if err != nil {
		t.Fatal(err)
	}
	save := func(exists func(string) bool, want int) {
		t.Helper()
		if err := c.save(t.Context(), m, exists); err != nil || m.stores != want {
			t.Errorf("%d writes, want %d; %v", m.stores, want, err)
		}
	}
	save(always, 0)
	a, b := certificate{name: "a", leaf: "1"}, certificate{name: "b", leaf: "2"}
	c.put(a, answers{Leaf: "1"})
	c.put(b, answers{Leaf: "2"})
	save(always, 1)
	c.put(a, answers{Leaf: "1"})
	save(always, 1)
	c.put(a, answers{Leaf: "1", Revoked: true})
	save(always, 2)
	save(func(name string) bool { return name == "a" }, 3)
	if raw, err := m.Load(t.Context(), cacheKey); err != nil || strings.Contains(string(raw), `"b"`) {
		t.Errorf("b was kept: %s, %v", raw, err)
	}
	c.put(b, answers{Leaf: "2"})
	m.err = syscall.ENOSPC
	if err := c.save(t.Context(), m, always); err == nil {
		t.Error("a full disk went unnoticed")
	}
	m.err = nil
	save(always, 5)
}
