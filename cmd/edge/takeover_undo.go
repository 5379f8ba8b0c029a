package main

import (
	"context"
	"errors"
	"fmt"
)

// giveBack puts back what the record has, and nothing else. It goes on after
// errors, and keeps the record until everything is back.
func (t *takeover) giveBack(ctx context.Context) error {
	rec, err := t.load()
	if err != nil {
		return err
	}
	if rec == nil {
		t.say("There is nothing to undo: %s does not exist.", recordPath)
		return nil
	}
	var errs []error
	if rec.Cron != nil {
		errs = append(errs, t.restoreCron())
	}
	// Ours comes last, once theirs are on.
	var ours *unitState
	for _, was := range rec.Units {
		if was.Name == ourTimer {
			ours = &was
			continue
		}
		errs = append(errs, t.restoreUnit(ctx, was))
	}
	if err := errors.Join(errs...); err != nil {
		return fmt.Errorf("%w\n%s stays on", err, ourTimer)
	}
	if ours != nil {
		if err := t.restoreUnit(ctx, *ours); err != nil {
			return err
		}
	}
	if t.dry {
		return nil
	}
	if err := t.files.Remove(t.path(recordPath)); err != nil {
		return fmt.Errorf("takeover certbot: everything is back, but the note of it cannot be removed: %w", err)
	}
	t.say("Everything is as it was on %s.", rec.Taken.Local().Format("2006-01-02 15:04"))
	if !t.renews {
		t.say("Nothing renews certificates now. To have edge do it: systemctl enable --now %s", ourTimer)
	}
	return nil
}

// restoreUnit gives a timer the state that it had.
func (t *takeover) restoreUnit(ctx context.Context, was unitState) error {
	is, err := t.unit(ctx, was.Name)
	switch {
	case err != nil:
		return err
	case !is.Found:
		t.say("%s: does not exist any more; left alone", was.Name)
		return nil
	}
	if was.enabled() != is.enabled() {
		verb := []string{"disable", was.Name}
		if was.enabled() {
			verb = []string{"enable", was.Name}
		}
		if was.State == "enabled-runtime" {
			verb = []string{"enable", "--runtime", was.Name}
		}
		if err := t.run(ctx, verb...); err != nil {
			return err
		}
	}
	if was.Active != is.Active {
		verb := "stop"
		if was.Active {
			verb = "start"
		}
		if err := t.run(ctx, verb, was.Name); err != nil {
			return err
		}
	}
	t.renews = t.renews || was.Active
	t.did("%s: %s, as before", was.Name, was.describe())
	return nil
}

func (t *takeover) restoreCron() error {
	job, err := t.cron()
	switch {
	case err != nil:
		return err
	case job == nil:
		t.say("%s: does not exist any more; left alone", cronJob)
		return nil
	}
	if back := commentIn(job.data); back != job.data {
		if err := t.write(job, back); err != nil {
			return err
		}
	}
	t.renews = true
	t.did("%s: as before", cronJob)
	return nil
}
