package flock

import (
	"bytes"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/sys/unix"
)

const (
	maxCommand = 200 // bytes of a command shown
	maxContent = 512 // bytes of a lock file read
)

// BusyError says who has a lock. PID is 0 where that cannot be found out, for
// example because the process lives in another container; Command is empty then.
type BusyError struct {
	Path    string
	PID     int
	Command string
}

func (e *BusyError) Error() string {
	switch {
	case e.PID == 0:
		return fmt.Sprintf("%s is locked by another process; see: fuser -v %s", e.Path, e.Path)
	case e.Command == "":
		return fmt.Sprintf("%s is locked by process %d", e.Path, e.PID)
	}
	return fmt.Sprintf("%s is locked by process %d (%s)", e.Path, e.PID, e.Command)
}

// sign leaves our name in the lock file. It is a courtesy: the lock counts
// without it. A file with a second name elsewhere is not ours to write to.
func sign(f *os.File, command string) {
	var st unix.Stat_t
	if conn, err := f.SyscallConn(); err != nil || conn.Control(func(fd uintptr) {
		if unix.Fstat(int(fd), &st) != nil {
			st.Nlink = 0
		}
	}) != nil || st.Nlink != 1 {
		return
	}
	if f.Truncate(0) == nil {
		_, _ = fmt.Fprintf(f, "%d %s\n", os.Getpid(), clean(command))
	}
}

// whoHolds asks the kernel, which knows the process of a POSIX lock (certbot's)
// but not that of an open file description lock: those who take one sign the
// file. The signature of a dead process, or of one that does not have the file
// open, is left over and not believed. Gone means that nobody has the lock now.
func whoHolds(f *os.File, path string) (busy *BusyError, gone bool) {
	busy = &BusyError{Path: path}
	lk := unix.Flock_t{Type: unix.F_WRLCK, Whence: io.SeekStart}
	if err := fcntl(f, unix.F_OFD_GETLK, &lk); err != nil {
		return busy, false
	}
	if lk.Type == unix.F_UNLCK {
		return busy, true
	}
	if lk.Pid > 0 {
		busy.PID, busy.Command = int(lk.Pid), commandOf(int(lk.Pid))
		return busy, false
	}
	content := make([]byte, maxContent)
	n, _ := f.ReadAt(content, 0)
	line, _, _ := bytes.Cut(content[:n], []byte("\n"))
	first, command, _ := strings.Cut(string(line), " ")
	pid, err := strconv.Atoi(first)
	if err != nil || pid <= 0 || !hasOpen(pid, f) {
		return busy, false
	}
	busy.PID, busy.Command = pid, clean(command)
	if busy.Command == "" {
		busy.Command = commandOf(pid)
	}
	return busy, false
}

// hasOpen says whether a process has the file open, beyond our own descriptor.
func hasOpen(pid int, f *os.File) bool {
	info, err := f.Stat()
	if err != nil {
		return false
	}
	dir := fmt.Sprintf("/proc/%d/fd", pid)
	names, err := os.ReadDir(dir)
	if err != nil {
		return false
	}
	found := 0
	for _, n := range names {
		link := filepath.Join(dir, n.Name())
		// Only descriptors that look like it are asked: a question about one of
		// a dead NFS server would not come back.
		target, err := os.Readlink(link)
		if err != nil || !strings.HasPrefix(filepath.Base(target), Name) {
			continue
		}
		if other, err := os.Stat(link); err == nil && os.SameFile(info, other) {
			found++
		}
	}
	if pid == os.Getpid() {
		return found > 1
	}
	return found > 0
}

// commandOf returns the command line of a process.
func commandOf(pid int) string {
	f, err := os.Open(fmt.Sprintf("/proc/%d/cmdline", pid))
	if err != nil {
		return ""
	}
	defer f.Close() // read-only
	b, err := io.ReadAll(io.LimitReader(f, 16<<10))
	if err != nil {
		return ""
	}
	args := strings.Split(strings.TrimRight(string(b), "\x00"), "\x00")
	return clean(strings.Join(hideSecrets(args), " "))
}

// hideSecrets blanks the values of flags such as --eab-hmac-key: what is
// returned goes into logs.
func hideSecrets(args []string) []string {
	secret := regexp.MustCompile(`(?i)^-.*(hmac|secret|passw|token|api-?key)`)
	out := make([]string, 0, len(args))
	hide := false
	for _, a := range args {
		name, _, hasValue := strings.Cut(a, "=")
		switch {
		case hide:
			out = append(out, "***")
			hide = false
		case secret.MatchString(name) && hasValue:
			out = append(out, name+"=***")
		default:
			out = append(out, a)
			hide = secret.MatchString(name)
		}
	}
	return out
}

// clean makes one printable line of at most maxCommand bytes.
func clean(s string) string {
	s = strings.Map(func(r rune) rune {
		switch {
		case r == utf8.RuneError:
			return '?'
		case unicode.IsSpace(r):
			return ' '
		case !unicode.IsPrint(r):
			return -1
		}
		return r
	}, s)
	s = strings.TrimSpace(s)
	if len(s) <= maxCommand {
		return s
	}
	cut := maxCommand - len("...")
	for !utf8.RuneStart(s[cut]) {
		cut--
	}
	return s[:cut] + "..."
}
