package installers

import (
	"context"
	"errors"
	"slices"
	"strings"
)

// together are several servers as one, for checkpoints of several. It may be none.
type together []Server

func (t together) Name() string {
	var names []string
	for _, s := range t {
		names = append(names, s.Name())
	}
	if len(names) == 0 {
		return "no server"
	}
	return strings.Join(names, ", ")
}

func (t together) Test(ctx context.Context) error {
	return t.all(func(s Server) error { return s.Test(ctx) })
}

func (t together) Activate(ctx context.Context) error {
	return t.all(func(s Server) error { return s.Activate(ctx) })
}

func (t together) all(do func(Server) error) error {
	var failed []error
	for _, s := range t {
		failed = append(failed, do(s))
	}
	return errors.Join(failed...)
}

// Commands are not used: see commands.
func (t together) Commands() (test, activate []string) { return nil, nil }

// commands are those of a server, or of several, for people.
func commands(s Server) [][]string {
	var out [][]string
	all, ok := s.(together)
	if !ok {
		all = together{s}
	}
	for _, one := range all {
		test, activate := one.Commands()
		out = append(out, test, activate)
	}
	return slices.DeleteFunc(out, func(argv []string) bool { return len(argv) == 0 })
}
