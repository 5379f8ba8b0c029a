package steward

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"sync"
	"time"

	"edge/acmeglue"
)

// answers are what the CA and its responder said about one certificate.
type answers struct {
	Leaf         string                `json:"leaf"` // SHA-256 of the certificate that it is about
	Window       *acmeglue.RenewWindow `json:"window,omitempty"`
	AskCA        time.Time             `json:"ask_ca,omitzero"` // not before
	Revoked      bool                  `json:"revoked,omitempty"`
	AskResponder time.Time             `json:"ask_responder,omitzero"` // not before
}

// cacheKey is where the answers about all lineages lie in storage. One file: with
// a thousand lineages, most runs find nothing to do and nothing to write.
const cacheKey = "edge/renewal.json"

// longestCache is the size of that file, in bytes, beyond which it is not ours.
const longestCache = 64 << 20

// storage is the part of a storage that the cache needs.
type storage interface {
	Filename(key string) string
	Load(ctx context.Context, key string) ([]byte, error)
	Store(ctx context.Context, key string, value []byte) error
}

// cache keeps answers from one run to the next. Losing it costs questions and
// nothing else. Safe for concurrent use.
type cache struct {
	mu      sync.Mutex
	known   map[string]answers // by lineage
	changed bool
}

func loadCache(ctx context.Context, s storage) (*cache, error) {
	c := &cache{known: map[string]answers{}}
	info, err := os.Stat(s.Filename(cacheKey))
	if errors.Is(err, fs.ErrNotExist) {
		return c, nil
	}
	if err == nil && info.Size() > longestCache {
		err = fmt.Errorf("%d bytes are too many", info.Size())
	}
	var raw []byte
	if err == nil {
		raw, err = s.Load(ctx, cacheKey)
	}
	if err == nil {
		err = json.Unmarshal(raw, &c.known)
	}
	if err != nil || c.known == nil {
		c.known = map[string]answers{}
	}
	return c, err
}

// get returns what is known about a certificate; nothing, if it is another one
// than the answers were about.
func (c *cache) get(of certificate) answers {
	c.mu.Lock()
	defer c.mu.Unlock()
	if a := c.known[of.name]; a.Leaf == of.leaf {
		return a
	}
	return answers{Leaf: of.leaf}
}

func (c *cache) put(of certificate, a answers) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if old, ok := c.known[of.name]; ok && same(old, a) {
		return
	}
	c.known[of.name], c.changed = a, true
}

func same(a, b answers) bool {
	if (a.Window == nil) != (b.Window == nil) || a.Window != nil && *a.Window != *b.Window {
		return false
	}
	return a.Leaf == b.Leaf && a.AskCA.Equal(b.AskCA) && a.Revoked == b.Revoked && a.AskResponder.Equal(b.AskResponder)
}

// save writes what has changed, without lineages that are gone.
func (c *cache) save(ctx context.Context, s storage, exists func(name string) bool) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	for name := range c.known {
		if !exists(name) {
			delete(c.known, name)
			c.changed = true
		}
	}
	if !c.changed {
		return nil
	}
	raw, err := json.Marshal(c.known)
	if err == nil {
		err = s.Store(ctx, cacheKey, raw)
	}
	if err != nil {
		return fmt.Errorf("keep what the CA said about renewals: %w", err)
	}
	c.changed = false
	return nil
}
