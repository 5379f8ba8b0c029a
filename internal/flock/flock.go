package flock

import (
	"context"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"golang.org/x/sys/unix"
)

// Name is that of the lock file in a folder (certbot: _internal/lock.py).
const Name = ".certbot.lock"

// Waiting polls: the kernel's waiting form of these locks cannot be cancelled,
// and it would wait for a file that its holder unlinks.
const (
	firstPoll = time.Millisecond
	lastPoll  = 200 * time.Millisecond
)

// maxReplacements ends the attempts on file systems that never show the same
// file twice.
const maxReplacements = 1000

// Options of Dir and Dirs.
type Options struct {
	// Timeout is how long to wait for others, all folders together. Zero: fail
	// at once, as certbot does.
	Timeout time.Duration
	// Command says what we are doing. It goes into the lock file for those who
	// find it held.
	Command string
	// OnWait, where set, is called for each lock that is held by others, once,
	// before waiting for it.
	OnWait func(*BusyError)
}

// Held is a lock that we have. Safe for concurrent use.
type Held struct {
	path string
	f    *os.File
}

// Path is that of the lock file.
func (h *Held) Path() string { return h.path }

// Dir locks a folder that exists. While another process or another part of this
// one has it, and when the timeout is over, the error is a *BusyError; when ctx
// ends first, the error wraps that of ctx. Permission problems wrap
// fs.ErrPermission.
func Dir(ctx context.Context, dir string, o Options) (*Held, error) {
	return lockDir(ctx, dir, o, time.Now().Add(o.Timeout))
}

func lockDir(ctx context.Context, dir string, o Options, deadline time.Time) (*Held, error) {
	path := filepath.Join(dir, Name)
	for poll, waited := firstPoll, false; ; poll = min(2*poll, lastPoll) {
		if err := ctx.Err(); err != nil {
			return nil, fmt.Errorf("lock %s: %w", path, err)
		}
		h, busy, err := try(path, o.Command)
		if h != nil || err != nil {
			return h, err
		}
		left := time.Until(deadline)
		if o.Timeout <= 0 || left <= 0 {
			return nil, busy
		}
		if !waited && o.OnWait != nil {
			o.OnWait(busy)
		}
		waited = true
		timer := time.NewTimer(min(poll, left))
		select {
		case <-timer.C:
		case <-ctx.Done():
			timer.Stop()
			return nil, fmt.Errorf("wait for a lock: %w (%v)", ctx.Err(), busy)
		}
	}
}

// try returns a lock, or who has it, or an error.
func try(path, command string) (*Held, *BusyError, error) {
	// A holder that leaves between the two questions gives no answer to the
	// second; a file system that never gives one must not keep us here.
	for gone, replacements := 0, 0; ; {
		f, err := open(path)
		if err != nil {
			return nil, nil, err
		}
		state, err := take(f, path)
		switch {
		case err != nil:
			f.Close()
			return nil, nil, fmt.Errorf("lock %s: %w", path, err)
		case state == taken:
			sign(f, command)
			return &Held{path, f}, nil, nil
		case state == replaced:
			f.Close()
			if replacements++; replacements == maxReplacements {
				return nil, nil, fmt.Errorf("lock %s: the file is another one each time; is its file system sound?", path)
			}
			continue // somebody else made progress: so do we
		}
		busy, left := whoHolds(f, path)
		f.Close()
		if gone++; !left || gone == 3 {
			return nil, busy, nil
		}
	}
}

// open opens or creates the lock file, which must be a plain file: what stands
// in our place may be a trap where others can write to the folder.
func open(path string) (*os.File, error) {
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0o600)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("lock %s: it is a symbolic link; remove it: %w", path, err)
	}
	if err != nil {
		return nil, fmt.Errorf("lock: %w", err)
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("it is no plain file (%s); remove it", info.Mode().Type())
	}
	if err != nil {
		f.Close()
		return nil, fmt.Errorf("lock %s: %w", path, err)
	}
	return f, nil
}

// state is what came of an attempt.
type state int

const (
	taken    state = iota
	held           // by somebody else
	replaced       // locked, but the file is not at its path any more
)

// take locks the file and makes sure that the others see the same one.
func take(f *os.File, path string) (state, error) {
	switch err := fcntl(f, unix.F_OFD_SETLK, &unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}); err {
	case nil:
	case syscall.EACCES, syscall.EAGAIN:
		return held, nil
	default:
		return held, err
	}
	if same, err := atPath(f, path); err != nil || !same {
		return replaced, err
	}
	return taken, nil
}

// atPath says whether the path still leads to the open file.
func atPath(f *os.File, path string) (bool, error) {
	here, err := f.Stat()
	if err != nil {
		return false, err
	}
	there, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return os.SameFile(here, there), nil
}

// Release unlinks the file and frees the lock. In this order: else the next
// holder's file would be the one that is unlinked. It is free afterwards even if
// there is an error. Called twice, the second call does nothing.
func (h *Held) Release() error {
	same, err := atPath(h.f, h.path)
	switch {
	case errors.Is(err, os.ErrClosed):
		return nil
	case err == nil && same:
		err = os.Remove(h.path)
	case err == nil:
		err = fmt.Errorf("release %s: somebody removed it while it was held, and may have worked at the same time", h.path)
	}
	// Nothing was written that anybody relies on.
	_ = h.f.Close()
	return err
}

func fcntl(f *os.File, cmd int, lk *unix.Flock_t) error {
	conn, err := f.SyscallConn()
	if err != nil {
		return err
	}
	var ferr error
	err = conn.Control(func(fd uintptr) {
		for {
			if ferr = unix.FcntlFlock(fd, cmd, lk); ferr != syscall.EINTR {
				return
			}
		}
	})
	if err != nil {
		return err
	}
	return ferr
}
