package nginx

import (
	"bytes"
	"context"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

const (
	// settleDefault is how long old workers are waited for.
	settleDefault = 5 * time.Second
	settlePause   = 10 * time.Millisecond
)

// workers are the processes of a master that accept connections.
func workers(m master) []int {
	var out []int
	entries, _ := os.ReadDir("/proc") // none can be found then
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil && parent(pid) == m.pid && accepts(pid) {
			out = append(out, pid)
		}
	}
	return out
}

// parent is the process that started another one, 0 where that is gone.
func parent(pid int) int {
	fields := stat(pid)
	if len(fields) < 2 {
		return 0
	}
	n, _ := strconv.Atoi(fields[1])
	return n
}

// loaded is when the running nginx read its certificates, as far as the start of its
// workers tells: not before. It is now where nginx does not run.
func (n *Nginx) loaded() time.Time {
	out := time.Now()
	m, ok := n.running()
	if !ok {
		return out
	}
	boot := bootTime()
	for _, pid := range workers(m) {
		if at := boot.Add(sinceBoot(pid)); at.Before(out) {
			out = at
		}
	}
	return out
}

// sinceBoot is when a process began.
func sinceBoot(pid int) time.Duration {
	fields := stat(pid)
	if len(fields) < 20 {
		return 0
	}
	ticks, _ := strconv.ParseInt(fields[19], 10, 64) // 100 a second on all of Linux
	return time.Duration(ticks) * (time.Second / 100)
}

func bootTime() time.Time {
	raw, _ := readSome("/proc/stat", 1<<20) // 1970 then: everything is newer
	for line := range strings.Lines(string(raw)) {
		if text, ok := strings.CutPrefix(line, "btime "); ok {
			seconds, _ := strconv.ParseInt(strings.TrimSpace(text), 10, 64)
			return time.Unix(seconds, 0)
		}
	}
	return time.Time{}
}

// accepts says whether a process is a worker that is not shutting down: then it has closed
// its sockets and says so in its title.
func accepts(pid int) bool {
	raw, err := readSome(filepath.Join("/proc", strconv.Itoa(pid), "cmdline"), 4<<10)
	return err == nil && bytes.HasSuffix(bytes.TrimRight(raw, "\x00 "), []byte(": worker process"))
}

// settle waits until workers have stopped to accept connections: for as long as old
// and new ones do, a CA may ask either. When it takes too long the reload has failed, or the
// master is busy: what the server shows tells.
func (n *Nginx) settle(ctx context.Context, old []int) {
	ctx, cancel := context.WithTimeout(ctx, n.settleTime)
	defer cancel()
	tick := time.NewTicker(settlePause)
	defer tick.Stop()
	for slices.ContainsFunc(old, accepts) {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
	}
}
