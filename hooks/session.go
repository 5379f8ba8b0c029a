package hooks

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
)

// maxDomains bounds RENEWED_DOMAINS and FAILED_DOMAINS of post hooks, each, in
// bytes.
const maxDomains = 16000

// Hooks are the commands of one lineage; any may be empty.
type Hooks struct {
	Pre, Deploy, Post, OnFailure string
}

// Folders hold the directory hooks. An empty one is not looked into.
type Folders struct {
	Pre, Deploy, Post string
}

// Lineage is what deploy hooks are told.
type Lineage struct {
	Path    string // of its folder under live
	Domains []string
}

// Failure is what on-failure hooks are told.
type Failure struct {
	Lineage string // name
	Domains []string
	Err     error
}

// Session runs the hooks of one run over any number of lineages, in certbot's
// order: directory hooks before the lineage's own; pre hooks once; deploy hooks
// for each lineage; post hooks once, at the end. Lineages may go through it at
// the same time, hooks never do: scripts are written as if they were alone. A
// lineage whose pre hook is being run for another waits until it has run.
//
// Failing hooks stop nothing. Each method returns the failures of its call, and
// Err all of them, for the exit status.
type Session struct {
	runner  *Runner
	folders Folders
	dryRun  bool

	turn  chan struct{} // has a token in it while hooks run; guards done and queue
	done  map[string]bool
	queue []Command

	mu     sync.Mutex
	failed []error
}

// NewSession returns a session. In a dry run there is nothing to deploy and
// nobody to tell of failures: those hooks are skipped, with certbot's text.
func NewSession(r *Runner, folders Folders, dryRun bool) *Session {
	return &Session{runner: r, folders: folders, dryRun: dryRun, turn: make(chan struct{}, 1), done: map[string]bool{}}
}

// Pre comes before each lineage's order. It runs the pre hooks that have not run
// before, and queues the post hooks, which then run whatever becomes of the order.
func (s *Session) Pre(ctx context.Context, h Hooks) error {
	return s.exclusively(ctx, func() []error {
		post, err := list(Post, s.folders.Post, h.Post)
		errs := []error{err}
		for _, c := range post {
			if !slices.ContainsFunc(s.queue, func(q Command) bool { return q.String() == c.String() }) {
				s.queue = append(s.queue, c)
			}
		}
		pre, err := list(Pre, s.folders.Pre, h.Pre)
		errs = append(errs, err)
		for _, c := range pre {
			if s.done[c.String()] {
				s.say("Pre-hook command already run, skipping: %s", c)
				continue
			}
			errs = append(errs, s.run(ctx, c, nil))
			s.done[c.String()] = true
		}
		return errs
	})
}

// Deploy comes after a lineage's new certificate is in its place.
func (s *Session) Deploy(ctx context.Context, h Hooks, l Lineage) error {
	return s.exclusively(ctx, func() []error {
		commands, err := list(Deploy, s.folders.Deploy, h.Deploy)
		errs := []error{err}
		ran := map[string]bool{}
		for _, c := range commands {
			switch {
			case ran[c.String()]:
				s.say("Skipping deploy-hook '%s' as it was already run.", c)
			case s.dryRun:
				s.say("Dry run: skipping deploy hook command: %s", c)
			default:
				errs = append(errs, s.run(ctx, c, map[string]string{
					"RENEWED_LINEAGE": l.Path,
					"RENEWED_DOMAINS": strings.Join(l.Domains, " "),
				}))
			}
			ran[c.String()] = true
		}
		return errs
	})
}

// OnFailure comes after a lineage could not be obtained or renewed.
func (s *Session) OnFailure(ctx context.Context, h Hooks, f Failure) error {
	if h.OnFailure == "" {
		return nil
	}
	c := Command{Kind: OnFailure, Shell: h.OnFailure}
	if s.dryRun {
		s.say("Dry run: skipping on-failure hook command: %s", c)
		return nil
	}
	env := map[string]string{"EDGE_FAILED_LINEAGE": f.Lineage, "FAILED_DOMAINS": strings.Join(f.Domains, " "), "EDGE_ERROR": ""}
	if f.Err != nil {
		env["EDGE_ERROR"] = f.Err.Error()
	}
	return s.exclusively(ctx, func() []error { return []error{s.run(ctx, c, env)} })
}

// Post comes at the very end and runs what Pre queued, with the domains of all
// lineages that were renewed or failed. Give it a context that outlives an
// interrupted run: what a pre hook has stopped must be started again.
func (s *Session) Post(ctx context.Context, renewed, failed []string) error {
	return s.exclusively(ctx, func() []error {
		if len(s.queue) == 0 {
			return nil
		}
		env := map[string]string{
			"RENEWED_DOMAINS": s.limit("RENEWED_DOMAINS", renewed),
			"FAILED_DOMAINS":  s.limit("FAILED_DOMAINS", failed),
		}
		var errs []error
		for _, c := range s.queue {
			errs = append(errs, s.run(ctx, c, env))
		}
		s.queue = nil
		return errs
	})
}

// Err returns all failures so far, or nil.
func (s *Session) Err() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	return errors.Join(s.failed...)
}

// exclusively waits for its turn. What f returns is kept for Err.
func (s *Session) exclusively(ctx context.Context, f func() []error) error {
	var err error
	select {
	case s.turn <- struct{}{}: // even where ctx has ended: each hook then says so by name
		err = s.use(f)
	default:
		select {
		case s.turn <- struct{}{}:
			err = s.use(f)
		case <-ctx.Done():
			err = fmt.Errorf("wait for the hooks of other lineages: %w", context.Cause(ctx))
		}
	}
	if err != nil {
		s.mu.Lock()
		s.failed = append(s.failed, err)
		s.mu.Unlock()
	}
	return err
}

// use calls f in a turn that was taken, and ends the turn.
func (s *Session) use(f func() []error) error {
	defer func() { <-s.turn }()
	return errors.Join(f()...)
}

func (s *Session) run(ctx context.Context, c Command, env map[string]string) error {
	c.Env = env
	_, err := s.runner.Run(ctx, c)
	return err
}

func (s *Session) say(format string, c Command) { s.runner.log().Info(fmt.Sprintf(format, c)) }

// limit joins domains as long as they fit, and never cuts one.
func (s *Session) limit(name string, domains []string) string {
	length := -1
	for i, d := range domains {
		if length += 1 + len(d); length > maxDomains {
			s.runner.log().Warn(fmt.Sprintf("Limiting %s environment variable to 16k characters", name))
			return strings.Join(domains[:i], " ")
		}
	}
	return strings.Join(domains, " ")
}

// list returns the commands of a kind: those of the folder, then the lineage's.
// With an error come those that could be found.
func list(kind Kind, dir, own string) (commands []Command, err error) {
	if dir != "" {
		files, derr := Directory(dir)
		if derr != nil {
			err = fmt.Errorf("list the %ss: %w", kind, derr)
		}
		for _, f := range files {
			commands = append(commands, Command{Kind: kind, File: f})
		}
	}
	if own != "" {
		commands = append(commands, Command{Kind: kind, Shell: own})
	}
	return commands, err
}
