package hitch

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"

	"edge/installers/process"
)

// step is between two times of modification that hitch can tell apart: it keeps them as a
// float64 of seconds.
const step = 10 * time.Millisecond

// Activate implements installers.Server: hitch loads what is new. Files that are put back
// look older than what it has, so they are made newer first.
func (h *Hitch) Activate(ctx context.Context) error {
	if err := h.refresh(); err != nil {
		return err
	}
	if len(h.o.Reload) > 0 {
		_, err := h.o.Run(ctx, h.o.Reload)
		return err
	}
	p, err := h.running()
	if errors.Is(err, fs.ErrNotExist) && h.down {
		return nil // it has loaded nothing that would have to be taken back
	}
	h.down = errors.Is(err, fs.ErrNotExist)
	if err != nil {
		return err
	}
	return h.o.Signal(p.PID, syscall.SIGHUP)
}

func (h *Hitch) refresh() error {
	// What a run that died has put back is not known where nothing was planned: all may be.
	all := h.newest == nil
	if all {
		if err := h.noteAll(); err != nil {
			return err
		}
	}
	for path, newest := range h.newest {
		info, err := os.Stat(path)
		if errors.Is(err, fs.ErrNotExist) {
			continue // taken back
		}
		if err != nil {
			return err
		}
		now := info.ModTime()
		wanted := (all || path == h.ours) && !newest.IsZero() && !now.After(newest.Add(step))
		if wanted || now.Before(newest) {
			if now = h.o.Now(); !now.After(newest.Add(step)) {
				now = newest.Add(2 * step)
			}
			if err := h.o.Durable.Touch(path, now); err != nil {
				return err
			}
		}
		h.newest[path] = now
	}
	return nil
}

// noteAll remembers the time of modification of all files that hitch loads.
func (h *Hitch) noteAll() error {
	_, l, err := h.load()
	if err != nil {
		return err
	}
	if h.newest == nil {
		h.newest = map[string]time.Time{}
	}
	list, err := l.inDir()
	if err != nil {
		return err
	}
	for _, f := range l.files {
		list = append(list, f.path)
	}
	for _, f := range l.frontends {
		for _, own := range f.files {
			list = append(list, own.path)
		}
	}
	for _, path := range list {
		path, err := filepath.EvalSymlinks(path)
		if err != nil {
			continue // hitch says what is wrong with it
		}
		info, err := os.Stat(path)
		if err != nil {
			continue
		}
		if t := info.ModTime(); t.After(h.newest[path]) {
			h.newest[path] = t
		}
	}
	return nil
}

// running is the process that has our configuration. The error wraps fs.ErrNotExist where
// none runs.
func (h *Hitch) running() (process.Process, error) {
	if h.o.PIDFile != "" {
		p, err := process.Named(h.o.PIDFile, h.o.Program)
		if err != nil {
			return p, fmt.Errorf("hitch: %w; start it", err)
		}
		return p, nil
	}
	ours := slices.DeleteFunc(process.Running(h.o.Program), func(p process.Process) bool { return !h.has(p) })
	switch len(ours) {
	case 1:
		return ours[0], nil
	case 0:
		return process.Process{}, fmt.Errorf("no hitch runs with %s (%w); start it, or set pid_file or reload", h.o.Config, fs.ErrNotExist)
	}
	return process.Process{}, fmt.Errorf("%d hitch processes run with %s; set pid_file or reload", len(ours), h.o.Config)
}

// has reports whether a process was started with our configuration.
func (h *Hitch) has(p process.Process) bool {
	for i, arg := range p.Args {
		path, given := strings.CutPrefix(arg, "--config=")
		if arg == "--config" && i+1 < len(p.Args) {
			path, given = p.Args[i+1], true
		}
		if !given {
			continue
		}
		a, aerr := filepath.EvalSymlinks(path)
		b, berr := filepath.EvalSymlinks(h.o.Config)
		return aerr == nil && berr == nil && a == b
	}
	return false
}
