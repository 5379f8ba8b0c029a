package steward

import (
	"context"
	"fmt"

	"edge/internal/certbotcli"
)

// HooksTest is the verb of edge's own that runs a lineage's hooks as a renewal
// would, without an order.
const HooksTest = "hooks test"

// testHooks runs the hooks of the lineage that --cert-name names. Any failure is
// the error: to find it is what this is for.
func (s *Steward) testHooks(ctx context.Context, o *certbotcli.Options) error {
	if !s.o.Tree.Exists(o.CertName) {
		return text(fmt.Sprintf("No certificate found with name %s (expected %s).", o.CertName, s.o.Tree.ConfPath(o.CertName)))
	}
	j, err := s.reconstitute(o, o.CertName)
	if err != nil {
		return err
	}
	live := j.l.LiveDir()
	s.notify("Running the hooks of %s as a renewal would; no certificate is ordered.", o.CertName)
	_ = s.o.Hooks.Pre(ctx, j.hooks()) // all failures are in Err
	_ = s.o.Hooks.Deploy(ctx, j.hooks(), live, j.names)
	_ = s.o.Hooks.Post(context.WithoutCancel(ctx), j.names, nil)
	if err := s.o.Hooks.Err(); err != nil {
		return &HookError{err}
	}
	s.notify("All hooks succeeded, in %.1f seconds.", s.o.Hooks.Seconds(live)+s.o.Hooks.Seconds(""))
	return nil
}
