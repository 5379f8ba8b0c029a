package acmeglue

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"log/slog"
	"maps"
	"slices"
	"sync"

	"edge"

	"github.com/caddyserver/certmagic"
)

// LineageSite is a set of hosts that are served with a lineage: what the steward
// has put. Nothing is ever ordered for them here.
type LineageSite struct {
	Lineage string
	Hosts   []string // exact, "*.x", an address, or "*" for whatever nobody else has
}

// Errors of PutLineage that callers branch on.
var (
	ErrLineageUnused  = errors.New("no site of this door uses the lineage")
	ErrLineageRefused = errors.New("the lineage cannot be served")
)

// lineages keeps what the steward has put:
//
//	edge/lineages/<name>.json   {"chain": PEM, "key": PEM}
//
// Chain and key are one file, so that whoever dies while it is written finds the
// old pair or the new. A file stays when a reload takes the lineage out of use:
// a site that comes back is served at once.
type lineages struct {
	storage certmagic.Storage
	log     *slog.Logger
	share   *share

	mu sync.Mutex
	m  map[string]*lineage // of those in use, read at their first use
}

// lineage is what there is of one name. The two differ where a full disk kept
// what was put from being stored. Not changed once it is in the map.
type lineage struct {
	served, stored *held // nil: never put
}

const lineagePrefix = "edge/lineages/"

func lineageKey(name string) string { return lineagePrefix + name + ".json" }

// get returns what there is of a lineage; it reads storage once.
func (l *lineages) get(ctx context.Context, name string) *lineage {
	l.mu.Lock()
	defer l.mu.Unlock()
	if have := l.m[name]; have != nil {
		return have
	}
	h, err := l.load(ctx, name)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		if ctx.Err() != nil {
			return &lineage{} // cut short by the end of the process: that says nothing
		}
		l.log.Error("a stored lineage cannot be used; the next edge renew puts it again", "lineage", name, "file", lineageKey(name), "error", err)
	}
	have := &lineage{served: h, stored: h}
	l.m[name] = have
	return have
}

func (l *lineages) load(ctx context.Context, name string) (*held, error) {
	raw, err := l.storage.Load(ctx, lineageKey(name))
	if err != nil {
		return nil, err
	}
	var f lineageFile
	if err := json.Unmarshal(raw, &f); err != nil {
		return nil, err
	}
	return l.share.parse([]byte(f.Chain), []byte(f.Key))
}

type lineageFile struct {
	Chain string `json:"chain"`
	Key   string `json:"key"`
}

// put stores a bundle, of which h was made, and has it served. Where it cannot be
// stored it is served all the same, and the error says so.
func (l *lineages) put(ctx context.Context, name string, b edge.Bundle, h *held) error {
	raw, err := json.Marshal(lineageFile{string(b.Chain), string(b.Key)})
	if err == nil {
		err = l.storage.Store(context.WithoutCancel(ctx), lineageKey(name), raw)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	have := &lineage{served: h, stored: h}
	if old := l.m[name]; err != nil && old != nil {
		have.stored = old.stored
	}
	l.m[name] = have
	if err != nil {
		return fmt.Errorf("lineage %s is served, but was not stored and ends with this process: %w; make room and put it again", name, err)
	}
	return nil
}

// keep forgets what is not in use any more; its file stays.
func (l *lineages) keep(used map[string][]*slot) {
	l.mu.Lock()
	defer l.mu.Unlock()
	maps.DeleteFunc(l.m, func(name string, _ *lineage) bool { return used[name] == nil })
}

// PutLineage stores the chain and key of a lineage and serves them, for every
// host that uses the lineage and that the leaf is for. What is served already may
// be put again. The error wraps ErrLineageUnused where no host uses it, and
// ErrLineageRefused for a bundle that cannot be served: nothing has changed then.
func (m *Manager) PutLineage(ctx context.Context, name string, b edge.Bundle) (edge.LineageStatus, error) {
	m.apply.Lock()
	defer m.apply.Unlock()
	slots := m.view.Load().lineages[name]
	if len(slots) == 0 {
		return edge.LineageStatus{}, fmt.Errorf("lineage %s: %w", name, ErrLineageUnused)
	}
	h, err := m.acceptable(b, slots)
	if err != nil {
		return edge.LineageStatus{}, fmt.Errorf("%w: %s: %w", ErrLineageRefused, name, err)
	}
	if have := m.lineages.get(ctx, name); !sameChain(have.stored, h) || have.served != have.stored {
		err = m.lineages.put(ctx, name, b, h)
		for _, s := range slots {
			s.mu.Lock()
			m.dressLocked(ctx, s)
			s.mu.Unlock()
			m.schedule(s)
		}
		m.log.Info("lineage taken", "lineage", name, "issuer", h.issuer, "not_after", h.notAfter, "hosts", len(slots))
	}
	return m.lineageStatus(name, slots), err
}

// Lineages lists the lineages that are in use, sorted by name. Sites are for the
// caller to fill in.
func (m *Manager) Lineages() []edge.LineageStatus {
	used := m.view.Load().lineages
	out := make([]edge.LineageStatus, 0, len(used))
	for _, name := range slices.Sorted(maps.Keys(used)) {
		out = append(out, m.lineageStatus(name, used[name]))
	}
	return out
}

// lineageStatus tells of what is stored: what is served alone would be gone with
// the process, and has to be put again.
func (m *Manager) lineageStatus(name string, slots []*slot) edge.LineageStatus {
	st := edge.LineageStatus{Name: name, Sites: []string{}}
	l := m.lineages.get(m.ctx, name)
	if h := l.stored; h != nil {
		st.SHA256, st.Names, st.NotAfter = hex.EncodeToString(h.sum[:]), h.names, h.notAfter
		chain := sha256.Sum256(slices.Concat(h.served.Certificate.Certificate...))
		st.ChainSHA256 = hex.EncodeToString(chain[:])
	}
	if l.served != nil {
		for _, s := range slots {
			if !l.served.covers(s.id.Value) {
				st.Uncovered = append(st.Uncovered, s.id.Value)
			}
		}
	}
	return st
}
