package portholder

import (
	"bufio"
	"encoding/binary"
	"encoding/hex"
	"fmt"
	"net/netip"
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
func Of(port int) []Process { return At(netip.Addr{}, port) }

// At is Of for those alone who keep others from listening on an address; the
// zero address and unspecified ones stand for all.
func At(addr netip.Addr, port int) []Process {
	if port <= 0 || port > 65535 {
		return nil
	}
	inodes := map[string]bool{}
	for _, table := range []string{"/proc/net/tcp", "/proc/net/tcp6"} {
		listeningInodes(table, addr, port, inodes)
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
func Text(port int) string { return TextAt(netip.Addr{}, port) }

// TextAt is Text for those alone who are in the way of an address.
func TextAt(addr netip.Addr, port int) string {
	var texts []string
	for _, p := range At(addr, port) {
		texts = append(texts, fmt.Sprintf("%s (pid %d)", p.Command, p.PID))
	}
	return strings.Join(texts, ", ")
}

// listeningInodes adds the inodes of sockets that listen on a port, on an address
// that is in the way of addr. Columns: proc_pid_net(5), /proc/net/tcp.
func listeningInodes(table string, addr netip.Addr, port int, into map[string]bool) {
	suffix := fmt.Sprintf(":%04X", port)
	f, err := os.Open(table)
	if err != nil {
		return
	}
	defer f.Close()
	for sc := bufio.NewScanner(f); sc.Scan(); {
		col := strings.Fields(sc.Text())
		const listen = "0A"
		if len(col) < 10 || col[3] != listen {
			continue
		}
		if local, ok := strings.CutSuffix(col[1], suffix); ok && inTheWay(parseLocal(local), addr) {
			into[col[9]] = true
		}
	}
}

// parseLocal reads an address of /proc/net/tcp: 32-bit words in the machine's
// byte order, in hexadecimal.
func parseLocal(s string) netip.Addr {
	b, err := hex.DecodeString(s)
	if err != nil || len(b)%4 != 0 {
		return netip.Addr{}
	}
	for i := 0; i < len(b); i += 4 {
		binary.NativeEndian.PutUint32(b[i:], binary.BigEndian.Uint32(b[i:]))
	}
	a, _ := netip.AddrFromSlice(b)
	return a.Unmap()
}

// inTheWay reports whether a socket on have keeps another from want. A socket
// on :: may or may not take IPv4 as well, which /proc does not tell.
func inTheWay(have, want netip.Addr) bool {
	want = want.Unmap()
	if !have.IsValid() || !want.IsValid() || have == want {
		return true
	}
	if have.IsUnspecified() || want.IsUnspecified() {
		return have.Is4() == want.Is4() || have.Is6() && have.IsUnspecified() || want.Is6() && want.IsUnspecified()
	}
	return false
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
