package varnish

import (
	"context"
	"errors"
	"fmt"
	"strings"
)

// node is one Varnish.
type node struct {
	addr   string // of its CLI
	secret string // path
	o      *Options
}

// bring has the node answer with these, and with nothing else: no answers take all away
// that is ours. Name is for a VCL, and was never used.
func (n *node) bring(ctx context.Context, name string, a answers) error {
	c, err := n.connect(ctx)
	if err != nil {
		return err
	}
	defer c.close()
	list, err := c.list(ctx)
	if err != nil {
		return err
	}
	base, err := c.base(ctx, list)
	if err != nil {
		return err
	}
	if n.o.Swap {
		return c.swap(ctx, list, base, name, a)
	}
	if now, err := active(list); err != nil || now.Name != base {
		// A run that exchanged the active VCL was killed.
		if _, err := c.ask(ctx, "vcl.use", base); err != nil {
			return err
		}
	}
	return c.relabel(ctx, list, base, name, a)
}

func (c *cli) list(ctx context.Context) ([]program, error) {
	text, err := c.ask(ctx, "vcl.list", "-j")
	if err != nil {
		return nil, err
	}
	list, err := parseList(text)
	if err != nil {
		return nil, fmt.Errorf("varnish at %s: %w", c.addr, err)
	}
	return list, nil
}

// base is the active VCL, or the one that ours replaces.
func (c *cli) base(ctx context.Context, list []program) (string, error) {
	now, err := active(list)
	if err != nil {
		return "", fmt.Errorf("varnish at %s: %w", c.addr, err)
	}
	if !strings.HasPrefix(now.Name, swaps) {
		if !plainName.MatchString(now.Name) {
			return "", fmt.Errorf("varnish at %s: the name of the active VCL, %s, cannot be used", c.addr, clip(now.Name))
		}
		return now.Name, nil
	}
	source, err := c.ask(ctx, "vcl.show", now.Name)
	if err != nil {
		return "", err
	}
	name, err := replaced(source)
	if err != nil {
		return "", fmt.Errorf("varnish at %s: the active VCL %s: %w", c.addr, now.Name, err)
	}
	return name, nil
}

// relabel has the label lead to the answers.
func (c *cli) relabel(ctx context.Context, list []program, base, name string, a answers) error {
	if err := c.loadEmpty(ctx, list); err != nil {
		return err
	}
	is := named(list, label)
	switch {
	case is == nil:
		if _, err := c.ask(ctx, "vcl.label", label, empty); err != nil {
			return err
		}
		is = &program{}
	case is.State != "label":
		return fmt.Errorf("varnish at %s has a VCL named %s, which has to be a label; discard it", c.addr, label)
	}
	to := empty
	if len(a) > 0 {
		if is.Label.Refs == 0 {
			return c.missing(base)
		}
		to = name
		if err := c.inline(ctx, to, a.vcl()); err != nil {
			return err
		}
	}
	if is.Label.Name != to {
		if _, err := c.ask(ctx, "vcl.label", label, to); err != nil {
			return err
		}
	}
	return c.discard(ctx, list, to)
}

// loadEmpty loads the VCL that the label leads to while there are no challenges.
func (c *cli) loadEmpty(ctx context.Context, list []program) error {
	if named(list, empty) != nil {
		return nil
	}
	return c.inline(ctx, empty, answers{}.vcl())
}

// missing says what the user has to do once.
func (c *cli) missing(base string) error {
	return fmt.Errorf("varnish at %s: its VCL %s hands no challenges over; add this line as the first statement of sub vcl_recv, and load it again "+
		"(the label is there now; docs/targets/varnish.md says what its next start needs): %s", c.addr, base, line)
}

// swap puts a copy of the active VCL with the answers in its place.
func (c *cli) swap(ctx context.Context, list []program, base, name string, a answers) error {
	name = strings.Replace(name, prefix, swaps, 1)
	if is := named(list, label); is != nil && strings.HasPrefix(is.Label.Name, prefix) && is.Label.Name != empty {
		// A run that used the label was killed.
		if err := c.loadEmpty(ctx, list); err != nil {
			return err
		}
		if _, err := c.ask(ctx, "vcl.label", label, empty); err != nil {
			return err
		}
	}
	if len(a) == 0 {
		if now, err := active(list); err != nil || now.Name != base {
			if _, err := c.ask(ctx, "vcl.use", base); err != nil {
				return err
			}
		}
		return c.discard(ctx, list, base)
	}
	if p := named(list, base); p == nil || p.State == "label" {
		return fmt.Errorf("varnish at %s: the VCL %s cannot be copied: it is gone, or a label", c.addr, base)
	}
	source, err := c.ask(ctx, "vcl.show", base)
	if err != nil {
		return err
	}
	vcl, err := a.before(base, source)
	if err != nil {
		return fmt.Errorf("varnish at %s: %w", c.addr, err)
	}
	if err := c.inline(ctx, name, vcl); err != nil {
		return err
	}
	// Somebody may have loaded another one since: that is not to be lost.
	fresh, err := c.list(ctx)
	if err != nil {
		return err
	}
	if now, err := active(fresh); err != nil || now.Name != base && !strings.HasPrefix(now.Name, swaps) {
		_, derr := c.ask(ctx, "vcl.discard", name)
		return errors.Join(fmt.Errorf("varnish at %s: another VCL than %s is active by now: try again", c.addr, base), derr)
	}
	if _, err := c.ask(ctx, "vcl.use", name); err != nil {
		return err
	}
	return c.discard(ctx, list, name)
}

// discard removes the VCLs of ours that were there before, but for one.
func (c *cli) discard(ctx context.Context, before []program, but string) error {
	for _, p := range before {
		if !strings.HasPrefix(p.Name, prefix) || p.Name == but || p.Name == empty || p.State == "label" || !plainName.MatchString(p.Name) {
			continue
		}
		if _, err := c.ask(ctx, "vcl.discard", p.Name); err != nil {
			return err
		}
	}
	return nil
}
