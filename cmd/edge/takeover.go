package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"edge/internal/durable"
)

// ourTimer renews in the place of certbot's timers and cron job.
const ourTimer = "edge-renew.timer"

// theirTimers are certbot's: of Debian, of Fedora and SUSE, of the snap.
var theirTimers = []string{"certbot.timer", "certbot-renew.timer", "snap.certbot.renew.timer"}

// cronJob is certbot's in Debian.
const cronJob = "/etc/cron.d/certbot"

// takeover is where it happens. Tests have a root folder of their own.
type takeover struct {
	root      string // "/"
	systemctl string // the program
	uid       int    // of this process
	now       func() time.Time
	out       io.Writer
	dry       bool
	files     durable.Writer
	renews    bool // somebody does after --undo
}

func newTakeover() *cobra.Command {
	return newTakeoverAt(takeover{root: "/", systemctl: "systemctl", uid: os.Geteuid(), now: time.Now})
}

func newTakeoverAt(t takeover) *cobra.Command {
	parent := &cobra.Command{
		Use:   "takeover",
		Short: "Renew certificates in the place of another client",
		Args:  unknownVerb,
		RunE:  func(cmd *cobra.Command, _ []string) error { return cmd.Help() },
	}
	var undo bool
	cmd := &cobra.Command{
		Use:   "certbot",
		Short: "Have edge's timer renew in the place of certbot's",
		Long: `Certbot turns on edge-renew.timer, turns off certbot's own timers, and comments out
its job in /etc/cron.d/certbot. What it found is noted in /var/lib/edge-steward, a
folder for root only, so that --undo puts back precisely that. Nothing is deleted:
certbot and its certificates stay as they are. Jobs that people wrote themselves are
named and left alone.`,
		Example: "  edge takeover certbot --dry-run\n  edge takeover certbot\n  edge takeover certbot --undo",
		Args:    noArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			t.out = cmd.OutOrStdout()
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*time.Minute)
			defer cancel()
			if err := t.possible(); err != nil {
				return err
			}
			if undo {
				return t.giveBack(ctx)
			}
			return t.takeOver(ctx)
		},
	}
	cmd.Flags().BoolVar(&undo, "undo", false, "put back what was found")
	cmd.Flags().BoolVar(&t.dry, "dry-run", false, "say what would be done, and do nothing")
	parent.AddCommand(cmd)
	return parent
}

// possible refuses where the rest could only fail halfway.
func (t *takeover) possible() error {
	if t.uid != 0 && !t.dry {
		return errors.New("takeover certbot: only root can turn timers on and off; try it with --dry-run")
	}
	if _, err := os.Stat(t.path("/run/systemd/system")); err != nil {
		return fmt.Errorf("takeover certbot: systemd does not run here (%w); comment out certbot's cron job and add one that runs 'edge renew -q'", err)
	}
	return nil
}

func (t *takeover) path(name string) string { return filepath.Join(t.root, name) }

func (t *takeover) say(format string, args ...any) { fmt.Fprintf(t.out, format+"\n", args...) }

// did says what was done, unless this is a dry run, which has said what would be.
func (t *takeover) did(format string, args ...any) {
	if !t.dry {
		t.say(format, args...)
	}
}

// takeOver turns ours on before it turns theirs off: at no time does nobody renew.
// What was found is on disk before anything is changed. Where a step fails, what
// was done so far is noted, and both --undo and another try go on from there.
func (t *takeover) takeOver(ctx context.Context) error {
	rec, err := t.load()
	if err != nil {
		return err
	}
	again := rec != nil
	ours, err := t.unit(ctx, ourTimer)
	if err != nil {
		return err
	}
	if !ours.Found {
		return fmt.Errorf("takeover certbot: systemd knows no %s; install it from deploy/systemd and run systemctl daemon-reload", ourTimer)
	}
	var on []unitState
	known := false
	for _, name := range theirTimers {
		u, err := t.unit(ctx, name)
		if err != nil {
			return err
		}
		known = known || u.Found
		if u.on() {
			on = append(on, u)
		}
	}
	job, err := t.cron()
	if err != nil {
		return err
	}
	if !known && job == nil && !again {
		return errors.New("takeover certbot: certbot has no timer and no cron job here; nothing was changed; " +
			"systemctl enable --now " + ourTimer + " has edge renew all the same")
	}
	t.nameOthers()
	if ours.complete() && len(on) == 0 && (job == nil || job.jobs == 0) {
		t.say("Nothing is left to be done: %s is on, and certbot has nothing that is.", ourTimer)
		return nil
	}
	if !again {
		rec = &record{Version: 1, Taken: t.now().UTC().Truncate(time.Second)}
	}
	rec.add(ours)
	for _, u := range on {
		rec.add(u)
	}
	if job != nil && job.jobs > 0 {
		rec.Cron = &cronRecord{Path: cronJob}
	}
	return t.carryOut(ctx, rec, ours, on, job)
}

func (t *takeover) carryOut(ctx context.Context, rec *record, ours unitState, on []unitState, job *cronFile) error {
	if err := t.save(rec); err != nil {
		return err
	}
	if !ours.complete() {
		if err := t.run(ctx, "enable", "--now", ourTimer); err != nil {
			return err
		}
		t.did("%s: turned on", ourTimer)
	}
	for _, u := range on {
		if err := t.turnOff(ctx, u); err != nil {
			return err
		}
	}
	if job != nil && job.jobs > 0 {
		if err := t.write(job, commentOut(job.data)); err != nil {
			return err
		}
		t.did("%s: %s commented out", cronJob, plural(job.jobs, "job"))
	}
	t.did("edge renews certificates from now on. To go back: edge takeover certbot --undo")
	return nil
}

func (t *takeover) turnOff(ctx context.Context, u unitState) error {
	if u.enabled() {
		if err := t.run(ctx, "disable", "--now", u.Name); err != nil {
			return err
		}
		t.did("%s: turned off", u.Name)
		return nil
	}
	if err := t.run(ctx, "stop", u.Name); err != nil {
		return err
	}
	t.did("%s: stopped. It was running although it is %s: find out who started it.", u.Name, u.State)
	return nil
}

// nameOthers names jobs that people wrote themselves.
func (t *takeover) nameOthers() {
	for _, place := range t.others() {
		t.say("Left alone, look at it yourself: %s", strings.TrimSpace(place))
	}
}
