package portholder

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// Process listens on a port.
type Process struct {
	PID     int
	Command string // as in /proc/PID/comm
}

// most processes are listed: a master and some of its workers say enough.
const most = 4

// Of lists the processes that listen on a TCP port, as far as /proc shows them
// to us: the descriptors of another user's processes are only visible to root.
func Of(port int) []Process {
	if port <= 0 || port > 65535 {
		return nil
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listeningInodes(table, fmt.Sprintf(":%04X", port), inodes)
	}
	if len(inodes) == 0 {
		return nil
	}
	var who []Process
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		pid, err := strconv.Atoi(filepath.Base(dir))
		if err != nil || !holdsSocket(dir, inodes) {
			continue
		}
		comm, _ := os.ReadFile(dir + "/comm")
		who = append(who, Process{pid, strings.TrimSpace(string(comm))})
		if len(who) == most {
			break
		}
	}
	return who
}

// Text names the processes that listen on a port, "nginx (pid 812)", or is ""
// where none can be seen.
func Text(port int) string {
	var texts []string
	for _, p := range Of(port) {
		texts = append(texts, fmt.Sprintf("%s (pid %d)", p.Command, p.PID))
	}
	return strings.Join(texts, ", ")
}

// listeningInodes adds the inodes of listening sockets whose local port has the
// given hexadecimal suffix. Columns: proc_pid_net(5), /proc/net/tcp.
func listeningInodes(table, suffix string, into map[string]bool) {
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		col := strings.Fields(sc.Text())
		const listen = "0A"
		if len(col) > 9 && col[3] == listen && strings.HasSuffix(col[1], suffix) {
			into[col[9]] = true
		}
	}
}

func holdsSocket(procDir string, inodes map[string]bool) bool {
	fds, err := os.ReadDir(procDir + "/fd")
	if err != nil {
		return false
	}
	for _, fd := range fds {
		target, err := os.Readlink(procDir + "/fd/" + fd.Name())
		if err != nil {
			continue
		}
		if inode, ok := strings.CutPrefix(target, "socket:["); ok && inodes[strings.TrimSuffix(inode, "]")] {
			return true
		}
	}
	return false
}
