package hooks

import (
	"bytes"
	"fmt"
	"os"
	"strconv"
	"syscall"
)

// kill signals a process group and says whether there is one.
func kill(group int, sig syscall.Signal) bool { return syscall.Kill(-group, sig) == nil }

// alive says whether a process group has a member that can still do something.
// The kernel counts zombies as members, and where PID 1 reaps nobody, as in many
// containers, they stay for ever.
func alive(group int) bool {
	if !kill(group, 0) {
		return false
	}
	proc, err := os.Open("/proc")
	if err != nil {
		return true
	}
	defer proc.Close()
	processes, err := proc.Readdirnames(-1)
	if err != nil {
		return true
	}
	for _, pid := range processes {
		if _, err := strconv.Atoi(pid); err != nil {
			continue
		}
		// One that is gone by now needs no time.
		stat, err := os.ReadFile("/proc/" + pid + "/stat")
		if err == nil && memberAlive(stat, group) {
			return true
		}
	}
	// A process that began during the walk may have been missed: it is killed
	// with the group, without a grace.
	return false
}

// memberAlive reads /proc/PID/stat: PID (NAME) STATE PARENT GROUP ... The name is
// anything that its process likes.
func memberAlive(stat []byte, group int) bool {
	rest := stat[bytes.LastIndexByte(stat, ')')+1:]
	var state string
	var parent, of int
	if _, err := fmt.Sscan(string(rest), &state, &parent, &of); err != nil || of != group {
		return false
	}
	return state != "Z" && state != "X"
}
