package proxy

import (
	"bufio"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// portHolder names the processes that listen on a TCP port, as far as /proc
// shows them to us ("nginx (pid 812)"), or "" where it shows none: the
// descriptors of another user's processes are only visible to root.
func portHolder(port string) string {
	n, err := strconv.ParseUint(port, 10, 16)
	if err != nil || n == 0 {
		return ""
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listeningInodes(table, fmt.Sprintf(":%04X", n), inodes)
	}
	if len(inodes) == 0 {
		return ""
	}
	var who []string
	procs, _ := filepath.Glob("/proc/[0-9]*")
	for _, dir := range procs {
		if !holdsSocket(dir, inodes) {
			continue
		}
		comm, _ := os.ReadFile(dir + "/comm")
		who = append(who, fmt.Sprintf("%s (pid %s)", strings.TrimSpace(string(comm)), filepath.Base(dir)))
		if len(who) == 4 { // a master and some of its workers say enough
			break
		}
	}
	return strings.Join(who, ", ")
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
