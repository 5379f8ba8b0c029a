package main

import (
	"context"
	"errors"
	"fmt"
	"sync"

	"edge/acmeglue/steward"
	"edge/hooks"
)

// hookRunner runs the scripts of the authenticator manual.
type hookRunner struct{ runner *hooks.Runner }

// Run implements authenticator.HookRunner.
func (h hookRunner) Run(ctx context.Context, kind, shell string, env map[string]string) (stdout string, exit int, err error) {
	result, err := h.runner.Run(ctx, hooks.Command{Kind: hooks.Kind(kind), Shell: shell, Env: env})
	var failed *hooks.FailedError
	if errors.As(err, &failed) && failed.Err == nil {
		return result.Stdout, result.ExitCode, nil
	}
	return result.Stdout, result.ExitCode, err
}

// hookRunner shows what hooks print as certbot does.
func (c *client) hookRunner() *hooks.Runner {
	r := &hooks.Runner{Timeout: c.o.HookTimeout, Log: c.logger}
	r.Output = func(result hooks.Result) {
		notice, warnings := result.Report(hookName(result))
		if notice != "" {
			c.display.Notify(notice, false)
		}
		for _, w := range warnings {
			c.logger.Warn(w)
		}
	}
	return r
}

// hookName is what certbot calls a hook in front of its output.
func hookName(r hooks.Result) string {
	if domain := r.Env["CERTBOT_DOMAIN"]; domain != "" {
		return fmt.Sprintf("Hook '--%s' for %s", r.Kind, domain)
	}
	return fmt.Sprintf("Hook '%s'", r.Kind)
}

// hookSession is the session of hooks that a Steward gets: package hooks knows no
// lineages, package steward no hooks.
type hookSession struct {
	s *hooks.Session

	mu      sync.Mutex
	seconds map[string]float64
}

func (c *client) hookSession(runner *hooks.Runner) *hookSession {
	var folders hooks.Folders
	if c.o.DirectoryHooks {
		folders = hooks.Folders{Pre: c.hookFolder("pre"), Deploy: c.hookFolder("deploy"), Post: c.hookFolder("post")}
	}
	h := &hookSession{seconds: map[string]float64{}}
	inner := runner.Output
	timed := *runner
	timed.Output = func(r hooks.Result) {
		h.mu.Lock()
		h.seconds[r.Env["RENEWED_LINEAGE"]] += r.Duration.Seconds()
		h.mu.Unlock()
		inner(r)
	}
	h.s = hooks.NewSession(&timed, folders, c.o.DryRun && !c.o.RunDeployHooks)
	return h
}

func commands(h steward.HookCommands) hooks.Hooks {
	return hooks.Hooks{Pre: h.Pre, Deploy: h.Deploy, Post: h.Post, OnFailure: h.OnFailure}
}

// Pre implements steward.Hooks.
func (h *hookSession) Pre(ctx context.Context, c steward.HookCommands) error {
	return h.s.Pre(ctx, commands(c))
}

// Deploy implements steward.Hooks.
func (h *hookSession) Deploy(ctx context.Context, c steward.HookCommands, live string, domains []string) error {
	return h.s.Deploy(ctx, commands(c), hooks.Lineage{Path: live, Domains: domains})
}

// OnFailure implements steward.Hooks.
func (h *hookSession) OnFailure(ctx context.Context, c steward.HookCommands, name string, domains []string, cause error) error {
	return h.s.OnFailure(ctx, commands(c), hooks.Failure{Lineage: name, Domains: domains, Err: cause})
}

// Post implements steward.Hooks.
func (h *hookSession) Post(ctx context.Context, renewed, failed []string) error {
	return h.s.Post(ctx, renewed, failed)
}

// Err implements steward.Hooks.
func (h *hookSession) Err() error { return h.s.Err() }

// Seconds implements steward.Hooks.
func (h *hookSession) Seconds(live string) float64 {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.seconds[live]
}
