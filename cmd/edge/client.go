package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"time"

	"golang.org/x/sys/unix"

	"edge/acmeglue"
	"edge/acmeglue/lineage"
	"edge/acmeglue/steward"
	"edge/hooks"
	"edge/installers/target"
	"edge/installers/targets"
	"edge/internal/certbotcli"
	"edge/internal/display"
	"edge/internal/flock"
	"edge/internal/runlog"
)

// certbotVersion is what scripts that ask for it expect: the age of the files and
// texts that edge writes.
const certbotVersion = "2.1.0"

// client is one run of the certificate client: certbot's verbs.
type client struct {
	asCertbot bool
	program   string // what its texts call it
	args      []string
	stdout    io.Writer
	stderr    io.Writer
	kinds     []target.Kind // that there are plugins for

	o       *certbotcli.Options
	log     *runlog.Log // nil: none could be had, and none is needed
	logger  *slog.Logger
	display display.Display
}

// calledAsCertbot reports whether this program was started through a file of that
// name, such as /usr/bin/certbot.
func calledAsCertbot(arg0 string) bool {
	name := filepath.Base(arg0)
	return name == "certbot" || name == "letsencrypt"
}

// runClient runs a command line of certbot's and returns its exit code.
func runClient(ctx context.Context, args []string, asCertbot bool, stdout, stderr io.Writer) int {
	return runClientWith(ctx, args, asCertbot, targets.All(), stdout, stderr)
}

// runClientWith does, with the targets that there are.
func runClientWith(ctx context.Context, args []string, asCertbot bool, kinds []target.Kind, stdout, stderr io.Writer) int {
	c := &client{asCertbot: asCertbot, program: "edge", args: args, stdout: stdout, stderr: stderr, kinds: kinds, logger: slog.New(slog.DiscardHandler)}
	if asCertbot {
		c.program = "certbot"
	}
	env := certbotcli.Env{AsCertbot: asCertbot, Program: c.program, Kinds: c.kinds}
	var err error
	if c.o, err = certbotcli.Parse(args, env); err != nil {
		return c.notParsed(err, env)
	}
	return c.carryOut(ctx)
}

// carryOut does what the options say, until it is done or a signal comes.
func (c *client) carryOut(ctx context.Context) int {
	ctx, stop := untilSignal(ctx)
	defer stop()
	err := c.run(ctx)
	var sent *signalError
	if err != nil && errors.As(context.Cause(ctx), &sent) {
		err = &interruptedError{sent, err}
	}
	code := c.exit(err)
	if c.log != nil {
		err = c.log.Close()
	}
	if err != nil && code == exitOK {
		fmt.Fprintln(c.stderr, c.program+":", err)
	}
	return code
}

// notParsed answers what is no command to carry out.
func (c *client) notParsed(err error, env certbotcli.Env) int {
	var help *certbotcli.HelpRequest
	var usage *certbotcli.UsageError
	var version *certbotcli.VersionRequest
	switch {
	case errors.As(err, &help):
		fmt.Fprintln(c.stdout, certbotcli.Help(help.Topic, env))
		return exitOK
	case errors.As(err, &version):
		if c.asCertbot {
			fmt.Fprintln(c.stdout, "certbot "+certbotVersion)
		} else {
			fmt.Fprintf(c.stdout, "edge %s\n", versionOf())
		}
		return exitOK
	case errors.As(err, &usage):
		fmt.Fprint(c.stderr, usage.Text())
		return exitUsage
	}
	says := err.Error()
	if !c.asCertbot {
		says = "edge: " + says
	}
	fmt.Fprintln(c.stderr, display.Clean(says))
	return exitFailed
}

func (c *client) run(ctx context.Context) (err error) {
	if err := c.checkHooks(); err != nil {
		return err
	}
	reads := readsOnly(c.o.Verb)
	unlock, err := c.prepare(ctx, reads)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, unlock()) }()
	for _, w := range c.o.Warnings {
		c.logger.Warn(w)
	}
	o, closeDoor, err := c.options(ctx)
	if err != nil {
		return err
	}
	defer closeDoor()
	servers := c.webServers()
	o.WebServers = servers
	defer func() { err = errors.Join(err, servers.close()) }()
	s := steward.New(ctx, o)
	if !reads {
		if err := s.Repair(ctx, c.o); err != nil {
			return err
		}
		if err := c.makeFolders(); err != nil {
			return err
		}
	}
	// Deliveries lock the folders of servers themselves.
	err = errors.Join(s.Run(ctx, c.o), servers.close(), c.deliver(ctx))
	if !reads {
		c.publish(context.WithoutCancel(ctx), s)
	}
	return err
}

// readsOnly are the verbs that change nothing on this machine: they take no lock.
func readsOnly(verb string) bool {
	return verb == "certificates" || verb == "plugins" || verb == "show_account"
}

// exit prints an error as people expect it from the program that they called, and
// returns the exit code.
func (c *client) exit(err error) int {
	if err == nil {
		return exitOK
	}
	var usage *certbotcli.UsageError
	if errors.As(err, &usage) {
		fmt.Fprint(c.stderr, usage.Text())
		return exitUsage
	}
	var stopped *interruptedError
	if errors.As(err, &stopped) && c.asCertbot {
		return c.exitAsCertbot(stopped)
	}
	says := err.Error()
	if !c.asCertbot {
		says = "edge: " + says
	}
	fmt.Fprintln(c.stderr, display.Clean(says))
	c.logger.Debug("the run failed", "error", err)
	var last *steward.LastWord
	switch {
	case errors.As(err, &last):
	case c.log != nil && c.asCertbot:
		fmt.Fprintln(c.stderr, c.log.Advice("Certbot"))
	case c.log != nil:
		fmt.Fprintf(c.stderr, "edge: details are in %s; -v shows more here\n", c.log.Path())
	}
	if steward.Later(err) && !c.asCertbot {
		return exitTryLater
	}
	return exitFailed
}

// checkHooks looks whether the commands that are given can be found, before
// anything is done that would need them.
func (c *client) checkHooks() error {
	if !c.o.ValidateHooks {
		return nil
	}
	for _, h := range []struct {
		kind    hooks.Kind
		command string
	}{
		{hooks.Pre, c.o.PreHook}, {hooks.Post, c.o.PostHook}, {hooks.Deploy, c.o.DeployHook}, {"renew-hook", c.o.RenewHook},
		{hooks.ManualAuth, c.o.ManualAuthHook}, {hooks.ManualCleanup, c.o.ManualCleanupHook}, {hooks.OnFailure, c.o.OnFailureHook},
	} {
		if err := hooks.Validate(h.kind, h.command, os.Getenv("PATH")); err != nil {
			return err
		}
	}
	return nil
}

// prepare makes the three folders, locks them, and opens the log. Who only reads
// does what it can of that without locks.
func (c *client) prepare(ctx context.Context, reads bool) (unlock func() error, err error) {
	unlock = func() error { return nil }
	if reads && !c.asCertbot {
		c.openDisplay()
		return unlock, nil
	}
	for _, d := range []struct {
		path string
		mode os.FileMode
	}{{c.o.LogsDir, 0o700}, {c.o.ConfigDir, 0o755}, {c.o.WorkDir, 0o755}} {
		if err := runlog.MakeDir(d.path, d.mode, c.o.StrictPerms); err != nil {
			c.openTemporaryLog()
			return nil, err
		}
	}
	if !reads {
		if unlock, err = c.lock(ctx); err != nil {
			return nil, err
		}
	}
	c.log, err = runlog.Open(runlog.Options{
		Dir: c.o.LogsDir, MaxBackups: c.o.MaxLogBackups, Verbosity: c.o.VerboseCount, Quiet: c.o.Quiet, Stderr: c.stderr,
	})
	if err != nil {
		return nil, errors.Join(err, unlock())
	}
	c.log.Redactor.Hide(c.o.EABHMACKey)
	c.logger = c.log.Logger()
	c.logger.Debug(fmt.Sprintf("edge version: %s", versionOf()))
	c.logger.Debug(fmt.Sprintf("Arguments: %q", c.args))
	c.openDisplay()
	return unlock, nil
}

// openTemporaryLog gives a run that cannot use its folders a log all the same.
func (c *client) openTemporaryLog() {
	var err error
	if c.log, err = runlog.Open(runlog.Options{Verbosity: c.o.VerboseCount, Quiet: true, Stderr: c.stderr}); err == nil {
		c.logger = c.log.Logger()
	}
}

// lock takes certbot's locks in its order. Called as certbot, it does not wait.
func (c *client) lock(ctx context.Context) (func() error, error) {
	release, err := flock.Dirs(ctx, []string{c.o.LogsDir, c.o.ConfigDir, c.o.WorkDir}, c.lockOptions())
	var busy *flock.BusyError
	switch {
	case errors.As(err, &busy) && c.asCertbot:
		return nil, certbotText("Another instance of Certbot is already running.")
	case errors.Is(err, os.ErrPermission):
		return nil, &runlog.DirError{Err: err}
	}
	return release, err
}

func (c *client) lockOptions() flock.Options {
	return flock.Options{
		Timeout: c.o.LockTimeout, Command: c.program + " " + c.o.Verb,
		OnWait: func(b *flock.BusyError) {
			if !c.o.Quiet {
				fmt.Fprintf(c.stderr, "%s: waiting up to %s: %v\n", c.program, c.o.LockTimeout, b)
			}
		},
	}
}

func (c *client) openDisplay() {
	o := display.Options{ForceInteractive: c.o.ForceInteractive, Program: strings.ToUpper(c.program[:1]) + c.program[1:], Log: c.logger}
	switch {
	case c.o.Quiet:
		c.display = display.NewNonInteractive(io.Discard, o)
	case c.o.NonInteractive:
		c.display = display.NewNonInteractive(c.stdout, o)
	default:
		c.display = display.NewTerminal(os.Stdin, c.stdout, o)
	}
}

// makeFolders makes what certbot has in every tree.
func (c *client) makeFolders() error {
	for _, kind := range []string{"pre", "deploy", "post"} {
		dir := c.hookFolder(kind)
		if err := os.MkdirAll(dir, 0o755); err != nil {
			return err
		}
	}
	return nil
}

func (c *client) hookFolder(kind string) string {
	return filepath.Join(c.o.ConfigDir, "renewal-hooks", kind)
}

// options are what a Steward gets of this process.
func (c *client) options(ctx context.Context) (steward.Options, func(), error) {
	none := func() {}
	storage, err := c.storage()
	if err != nil {
		return steward.Options{}, none, err
	}
	roots, err := trustedRoots()
	if err != nil {
		return steward.Options{}, none, err
	}
	o := steward.Options{
		Tree:    lineage.Open(lineage.Dirs{Config: c.o.ConfigDir, Work: c.o.WorkDir, Logs: c.o.LogsDir}, lineage.Options{Log: c.logger}),
		Display: c.display, Log: c.logger, Storage: storage,
		AsCertbot: c.asCertbot, Program: c.program, Version: versionOf(), Arguments: c.args,
		In: os.Stdin, Out: c.stdout, Terminal: isTerminal(os.Stdin), Roots: roots,
		Now: time.Now, Rand: rand.Float64,
	}
	runner := c.hookRunner()
	o.Hooks, o.HookRunner = c.hookSession(runner), hookRunner{runner}
	door, closeDoor := openDoor(ctx, c.o.AdminSocket)
	if door != nil {
		o.Door = door
	}
	if o.Configured, err = c.configured(); err != nil {
		closeDoor()
		return o, none, err
	}
	return o, closeDoor, nil
}

// storage is where edge keeps what certbot does not know. Who only reads may not be
// allowed to write there.
func (c *client) storage() (*acmeglue.FileStorage, error) {
	dir := filepath.Join(c.o.WorkDir, "edge")
	if readsOnly(c.o.Verb) {
		return acmeglue.ReadFileStorage(dir), nil
	}
	return acmeglue.OpenFileStorage(dir)
}

func versionOf() string { return strings.TrimPrefix(version, "v") }

func isTerminal(f *os.File) bool {
	_, err := unix.IoctlGetTermios(int(f.Fd()), unix.TCGETS)
	return err == nil
}

// certbotText is one of certbot's messages.
type certbotText string

func (t certbotText) Error() string { return string(t) }
