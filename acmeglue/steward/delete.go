package steward

import (
	"context"
	"errors"
	"fmt"

	"edge/acmeglue/lineage"
	"edge/internal/certbotcli"
	"edge/internal/display"
)

// remove is the verb delete.
func (s *Steward) remove(ctx context.Context, o *certbotcli.Options) error {
	chosen := []string{o.CertName}
	if o.CertName == "" {
		all, err := s.o.Tree.Names()
		if err != nil {
			return err
		}
		if chosen, err = display.ChooseCerts(ctx, s.o.Display, "delete", all); err != nil {
			return err
		}
	}
	yes, err := display.ConfirmDelete(ctx, s.o.Display, chosen)
	if err != nil {
		return err
	}
	if !yes {
		s.o.Log.Info("Deletion of certificate(s) canceled.")
		return nil
	}
	for _, name := range chosen {
		if err := s.removeOne(name); err != nil {
			return err
		}
	}
	return nil
}

func (s *Steward) removeOne(name string) error {
	left, err := s.o.Tree.Delete(name)
	var none *lineage.NotFoundError
	if errors.As(err, &none) {
		return text(fmt.Sprintf("No certificate found with name %s (expected %s).", name, none.ConfPath))
	}
	if err != nil {
		return err
	}
	for _, path := range left {
		s.o.Log.Warn(fmt.Sprintf("%s was left: it is not a file of the lineage, or others use it", path))
	}
	s.notify("Deleted all files relating to certificate %s.", name)
	return nil
}
