package nginx

import (
	"bytes"
	"errors"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// trusted says whether a process is root's, or of whoever runs edge. The real user counts:
// anybody can start a program that becomes root, under any title.
func trusted(proc string) bool {
	raw, err := readSome(filepath.Join(proc, "status"), 16<<10)
	if err != nil {
		return false
	}
	for line := range strings.Lines(string(raw)) {
		if users, ok := strings.CutPrefix(line, "Uid:"); ok {
			fields := strings.Fields(users)
			return len(fields) > 0 && (fields[0] == "0" || fields[0] == strconv.Itoa(os.Getuid()))
		}
	}
	return false
}

// runsProgram says whether a process runs our program, also one that an upgrade replaced
// since it began.
func (n *Nginx) runsProgram(proc string) bool {
	exe, err := os.Readlink(filepath.Join(proc, "exe"))
	if errors.Is(err, fs.ErrPermission) {
		return true // it is root's and we are not: there is nothing to be had from us
	}
	real, err2 := filepath.EvalSymlinks(n.ctl)
	if err != nil || err2 != nil {
		return false
	}
	// nginx's own make install moves the old program out of the way.
	exe = strings.TrimSuffix(strings.TrimSuffix(exe, " (deleted)"), ".old")
	switch {
	case exe == real || sameFile(filepath.Join(proc, "exe"), real):
		return true
	case real != n.ctl: // a link may have led to a folder of an older version
		return filepath.Base(exe) == filepath.Base(real)
	}
	return isScript(real) // which program it runs is its secret
}

func isScript(path string) bool {
	start, err := readSome(path, 2)
	return err == nil && string(start) == "#!"
}

// sees says whether a process has the same file under a path as we do. Units with PrivateTmp,
// such as edge's own, have other mounts and most files in common; a container has
// another root, and is left alone even where it shares the configuration.
func sees(proc, path string) bool {
	root := filepath.Join(proc, "root")
	if _, err := os.Readlink(root); errors.Is(err, fs.ErrPermission) {
		return true // only root can tell
	}
	real, err := filepath.EvalSymlinks(path)
	return err == nil && sameFile(root, "/") && sameFile(filepath.Join(root, real), real)
}

// stat are the fields of /proc/PID/stat from the state on, none where the process is gone.
func stat(pid int) []string {
	raw, err := readSome(filepath.Join("/proc", strconv.Itoa(pid), "stat"), 4<<10)
	if err != nil {
		return nil
	}
	// The name, in parentheses, may have anything in it.
	return strings.Fields(string(raw[bytes.LastIndexByte(raw, ')')+1:]))
}

// stopped says whether somebody has stopped a process with a signal.
func stopped(pid int) bool {
	fields := stat(pid)
	return len(fields) > 0 && fields[0] == "T"
}

func readSome(path string, limit int64) ([]byte, error) {
	f, err := os.Open(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return io.ReadAll(io.LimitReader(f, limit))
}
