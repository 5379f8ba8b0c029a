package plesk

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
)

// writing puts a certificate into sites, and knows how to take that back.
type writing struct {
	t        *Target
	s        server
	next     pems
	last     *pems // what was delivered before; nil: it is not known
	undos    []func(context.Context) error
	warnings []string // what cannot be taken back
}

// all does the sites one after the other. What was begun has its undo before it is begun:
// nobody knows what came of a request without an answer.
func (w *writing) all(ctx context.Context, sites []*site) error {
	for _, one := range sites {
		if err := w.site(ctx, one); err != nil {
			return err
		}
	}
	if w.t.o.SecurePanel {
		return w.panel(ctx)
	}
	return nil
}

func (w *writing) site(ctx context.Context, one *site) error {
	name := one.named()
	there, err := w.s.has(ctx, one.name, name)
	if err != nil {
		return err
	}
	switch {
	case !there:
		w.undos = append(w.undos, func(ctx context.Context) error {
			if there, err := w.s.has(ctx, one.name, name); err != nil || !there {
				return err
			}
			return w.s.remove(ctx, one.name, name)
		})
		err = w.s.install(ctx, one.name, name, w.next)
	default:
		if w.last == nil {
			w.warnings = append(w.warnings, fmt.Sprintf("plesk: what was in the certificate %q cannot be put back if this fails, its key is not known", name))
		} else {
			w.undos = append(w.undos, func(ctx context.Context) error { return w.refill(ctx, one) })
		}
		err = w.s.update(ctx, one.name, name, w.next)
	}
	if err != nil {
		return err
	}
	// Always: where an update is a removal, the site uses another one since.
	w.undos = append(w.undos, func(ctx context.Context) error { return w.back(ctx, one) })
	return w.s.assign(ctx, one.name, name, true)
}

// back has a site use what it used before.
func (w *writing) back(ctx context.Context, one *site) error {
	now, err := w.s.site(ctx, one.name)
	if err != nil || now == nil || now.certificate != "" && now.certificate != one.named() || one.certificate == one.named() && one.ssl {
		return err // somebody else has changed it since, or nothing has to change
	}
	return w.s.assign(ctx, one.name, one.certificate, one.ssl)
}

// refill puts what was delivered before into the certificate that a site uses.
func (w *writing) refill(ctx context.Context, one *site) error {
	if err := w.s.update(ctx, one.name, one.named(), *w.last); err != nil || one.certificate != one.named() {
		return err
	}
	now, err := w.s.site(ctx, one.name)
	if err != nil || now == nil || now.certificate == one.named() {
		return err
	}
	return w.s.assign(ctx, one.name, one.named(), one.ssl)
}

// panel has Plesk's own web server use the certificate.
func (w *writing) panel(ctx context.Context) error {
	if w.last == nil {
		w.warnings = append(w.warnings, "plesk: the panel's certificate cannot be put back if this fails, its key is not known")
	} else {
		w.undos = append(w.undos, func(ctx context.Context) error { return w.certmng(ctx, *w.last) })
	}
	return w.certmng(ctx, w.next)
}

func (w *writing) certmng(ctx context.Context, p pems) error {
	all := bytes.Join([][]byte{p.key, p.leaf, p.chain}, []byte("\n"))
	return w.t.o.files(map[string][]byte{"panel": all}, func(paths map[string]string) error {
		if _, err := w.t.o.Env.Run(ctx, []string{w.t.o.certmng(), "--setup-cp-certificate", "--certificate=" + paths["panel"]}); err != nil {
			return fmt.Errorf("plesk: %w", err)
		}
		return nil
	})
}

// undo takes everything back, the last first: a certificate in use cannot be removed.
func (w *writing) undo(ctx context.Context) error {
	var errs []error
	for _, undo := range slices.Backward(w.undos) {
		errs = append(errs, undo(ctx))
	}
	return errors.Join(errs...)
}
