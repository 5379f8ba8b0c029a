package main

import (
	"context"
	"errors"
	"fmt"
	"path/filepath"
	"time"

	"edge"
	"edge/acmeglue/lineage"
	"edge/installers/delivery"
	"edge/internal/admin"
)

// source is where certificates come from: certbot's tree, or the door. Neither is
// trusted: delivery.NewMaterial looks at what came.
type source struct {
	tree *lineage.Tree
	door *admin.Client
	now  func() time.Time
	live func(name string) string // where programs find a certificate of the door
}

func (d *deliveries) source() *source {
	return &source{
		tree: lineage.Open(lineage.Dirs{Config: d.tree, Work: d.work, Logs: filepath.Join(d.work, "logs")}, lineage.Options{}),
		door: admin.NewClient(d.cfg.Admin.Socket), now: time.Now, live: d.liveDir,
	}
}

func (s *source) close() { s.door.Close() }

// material returns a certificate that is fit for delivery, nil where there is none yet.
func (s *source) material(ctx context.Context, w wanted) (*delivery.Material, error) {
	if w.site {
		return s.fromDoor(ctx, w)
	}
	// A renewal may change the links between two reads: then the key is another's.
	m, err := s.fromTree(w)
	for range 3 {
		if err == nil {
			break
		}
		m, err = s.fromTree(w)
	}
	return m, err
}

func (s *source) fromTree(w wanted) (*delivery.Material, error) {
	l, err := s.tree.Load(w.name)
	var missing *lineage.NotFoundError
	if errors.As(err, &missing) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var b edge.Bundle
	if b.Chain, err = l.Read(lineage.FullChain); err != nil {
		return nil, fmt.Errorf("lineage %s: %w", w.name, err)
	}
	if b.Key, err = l.Read(lineage.PrivKey); err != nil {
		return nil, fmt.Errorf("lineage %s: %w", w.name, err)
	}
	// A lineage whose hosts were changed goes on until it is issued anew: what it is
	// for is the steward's business.
	m, err := delivery.NewMaterial(w.name, b, nil, s.now())
	if err == nil {
		m.Live = l.LiveDir()
	}
	return m, err
}

func (s *source) fromDoor(ctx context.Context, w wanted) (*delivery.Material, error) {
	ctx, cancel := context.WithTimeout(ctx, adminTimeout)
	defer cancel()
	c, err := s.door.Certificate(ctx, w.name)
	if errors.Is(err, admin.ErrNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("certificate of %s: %w", w.name, err)
	}
	m, err := delivery.NewMaterial(w.name, edge.Bundle{Chain: []byte(c.Chain), Key: []byte(c.Key)}, w.hosts, s.now())
	if err == nil {
		m.Live = s.live(w.name)
	}
	return m, err
}
