package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"time"

	"edge/internal/display"
)

// unitState is what systemd says of a timer.
type unitState struct {
	Name   string `json:"name"`
	State  string `json:"state"`  // UnitFileState: enabled, enabled-runtime, disabled, static, masked, ...
	Active bool   `json:"active"` // waiting for its time

	Found bool `json:"-"`
}

func (u unitState) enabled() bool { return u.State == "enabled" || u.State == "enabled-runtime" }

// on is true where it runs now or would after the next boot.
func (u unitState) on() bool { return u.Found && (u.enabled() || u.Active) }

// complete is true where it does both.
func (u unitState) complete() bool { return u.State == "enabled" && u.Active }

func (u unitState) describe() string {
	if u.Active {
		return u.State + " and running"
	}
	return u.State + " and not running"
}

// unit asks for the state of a timer.
func (t *takeover) unit(ctx context.Context, name string) (unitState, error) {
	out, err := t.call(ctx, "show", "--property=LoadState,UnitFileState,ActiveState", name)
	if err != nil {
		return unitState{}, err
	}
	u := unitState{Name: name}
	for line := range strings.Lines(out) {
		switch key, value, _ := strings.Cut(strings.TrimSpace(line), "="); key {
		case "LoadState":
			// A masked one is loaded as "masked": somebody does not want it.
			u.Found = value == "loaded" || value == "masked"
		case "UnitFileState":
			u.State = value
		case "ActiveState":
			u.Active = value == "active" || value == "activating"
		}
	}
	return u, nil
}

// run changes something, unless this is a dry run.
func (t *takeover) run(ctx context.Context, args ...string) error {
	if t.dry {
		t.say("would run: systemctl %s", strings.Join(args, " "))
		return nil
	}
	_, err := t.call(ctx, args...)
	return err
}

func (t *takeover) call(ctx context.Context, args ...string) (stdout string, err error) {
	cmd := exec.CommandContext(ctx, t.systemctl, args...)
	cmd.Env = append(os.Environ(), "LC_ALL=C", "SYSTEMD_COLORS=0", "SYSTEMD_PAGER=")
	cmd.WaitDelay = time.Second
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return "", fmt.Errorf("systemctl %s: %w: %s", strings.Join(args, " "), err, display.CleanLine(strings.TrimSpace(stderr.String())))
	}
	return out.String(), nil
}
