package steward

import (
	"context"
	"fmt"

	"edge/internal/certbotcli"
)

// Repair brings the tree into order after a run that was killed, of edge or of
// certbot. Whoever writes calls it first. Lineages that show a new version because
// of that get the deploy hooks, and the reload of their server, that the killed run
// owed them. What fails of that lets Run fail in the end.
func (s *Steward) Repair(ctx context.Context, o *certbotcli.Options) error {
	done, err := s.o.Tree.Repair(ctx)
	for _, r := range done {
		s.o.Log.Info(r.Text, "lineage", r.Name)
	}
	if err != nil {
		// One lineage that cannot be repaired must not stop the others.
		s.o.Log.Warn(fmt.Sprintf("not everything could be repaired: %v", err))
	}
	told := map[string]bool{}
	for _, r := range done {
		if !r.Deployed || o.DryRun || told[r.Name] {
			continue
		}
		told[r.Name] = true
		j, err := s.reconstitute(o, r.Name)
		if err != nil {
			s.o.Log.Warn(err.Error())
			continue
		}
		j.to = s.o.Display
		ran := s.deployHooks(ctx, j, j.l)
		err = s.reload(ctx, j, j.l)
		switch {
		case err != nil:
			err = fmt.Errorf("certificate %s is new, but %s does not use it yet; the next run tries again: %w", r.Name, j.o.Installer, err)
			s.o.Log.Error(err.Error())
			s.owed = append(s.owed, err)
		case ran:
			if err := s.o.Tree.HooksRan(r.Name); err != nil {
				s.o.Log.Warn(err.Error())
			}
		}
		if err := s.toDoor(ctx, j.l); err != nil {
			s.o.Log.Warn(err.Error())
		}
	}
	return nil
}

// updateSymlinks is the verb: Repair, which has run already, is all there is to it.
func (s *Steward) updateSymlinks(context.Context, *certbotcli.Options) error { return nil }
