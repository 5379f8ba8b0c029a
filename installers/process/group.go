package process

import (
	"errors"
	"fmt"
	"os"
	"strconv"
	"strings"
)

// Group is the effective group of a process: that which may read what it has to. The
// owner of its folder in /proc does not tell, where the process gave up rights.
func Group(pid int) (int, error) {
	raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return -1, fmt.Errorf("process %d: %w; is it on another machine?", pid, err)
	}
	for l := range strings.Lines(string(raw)) {
		ids, ok := strings.CutPrefix(l, "Gid:") // real, effective, saved, of files
		if words := strings.Fields(ids); ok && len(words) == 4 {
			return strconv.Atoi(words[1])
		}
	}
	return -1, errors.New("the group of its process cannot be found out")
}
