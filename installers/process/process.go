package process

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
)

// Process is one that runs.
type Process struct {
	PID, Parent int
	UID         int      // the real one
	Args        []string // as it was started, or as it calls itself since
	// Program is the file that it runs, with symbolic links resolved; empty where only root
	// can tell.
	Program string
}

const maxProc = 64 << 10 // bytes of a file of /proc that are read

// Read looks at a process. The error wraps fs.ErrNotExist where there is none.
func Read(pid int) (Process, error) {
	p := Process{PID: pid}
	dir := filepath.Join("/proc", strconv.Itoa(pid))
	status, err := readSome(filepath.Join(dir, "status"), maxProc)
	if err != nil {
		return p, fmt.Errorf("process %d: %w", pid, err)
	}
	p.UID, p.Parent = -1, -1
	for line := range strings.Lines(string(status)) {
		name, value, _ := strings.Cut(line, ":")
		fields := strings.Fields(value)
		if len(fields) == 0 {
			continue
		}
		switch n, err := strconv.Atoi(fields[0]); {
		case err != nil:
		case name == "Uid":
			p.UID = n
		case name == "PPid":
			p.Parent = n
		}
	}
	args, err := readSome(filepath.Join(dir, "cmdline"), maxProc)
	if err != nil {
		return p, fmt.Errorf("process %d: %w", pid, err)
	}
	if args = bytes.TrimSuffix(args, []byte{0}); len(args) > 0 {
		p.Args = strings.Split(string(args), "\x00")
	}
	p.Program, err = os.Readlink(filepath.Join(dir, "exe"))
	if err != nil && !errors.Is(err, fs.ErrPermission) {
		return p, fmt.Errorf("process %d: %w", pid, err) // it has ended, or is the kernel's
	}
	p.Program = strings.TrimSuffix(p.Program, " (deleted)") // an upgrade replaced it
	return p, nil
}

// Runs reports whether the process is root's or ours, runs the program, and sees the same
// root folder as we do: those in containers are none of ours.
func (p Process) Runs(program string) bool {
	real, err := filepath.EvalSymlinks(program)
	if err != nil || p.Program != real {
		return false
	}
	return (p.UID == 0 || p.UID == os.Getuid()) && sameRoot(p.PID)
}

func sameRoot(pid int) bool {
	theirs, err := os.Stat(filepath.Join("/proc", strconv.Itoa(pid), "root"))
	if errors.Is(err, fs.ErrPermission) {
		return true // only root can tell
	}
	ours, oerr := os.Stat("/")
	return err == nil && oerr == nil && os.SameFile(theirs, ours)
}

// Named returns the process of a pid file, which has to run the program. The error wraps
// fs.ErrNotExist where there is no such file, or no such process.
func Named(pidFile, program string) (Process, error) {
	raw, err := readSome(pidFile, 64)
	if err != nil {
		return Process{}, err
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid <= 1 {
		return Process{}, fmt.Errorf("%s has no process id in it", pidFile)
	}
	p, err := Read(pid)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return p, fmt.Errorf("%s names process %d, which has ended: %w", pidFile, pid, fs.ErrNotExist)
	case err != nil:
		return p, err
	case !p.Runs(program):
		return p, fmt.Errorf("%s names process %d, which is not %s of root or of user %d", pidFile, pid, program, os.Getuid())
	}
	return p, nil
}

// Running are the processes that run a program, see Process.Runs, but for those that
// another of them has started.
func Running(program string) []Process {
	entries, _ := os.ReadDir("/proc") // none can be found then
	all := map[int]Process{}
	var pids []int
	for _, e := range entries {
		pid, err := strconv.Atoi(e.Name())
		if err != nil {
			continue
		}
		if p, err := Read(pid); err == nil && p.Program != "" && filepath.Base(p.Program) == filepath.Base(program) {
			all[pid] = p
			pids = append(pids, pid)
		}
	}
	var out []Process
	for _, pid := range pids {
		p := all[pid]
		if _, child := all[p.Parent]; !child && p.Runs(program) {
			out = append(out, p)
		}
	}
	return out
}

// readSome reads a file, and no more of it than that.
func readSome(path string, most int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return io.ReadAll(io.LimitReader(f, most))
}
