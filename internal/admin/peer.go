package admin

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"net"
	"net/http"
	"os"
	"os/user"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"golang.org/x/sys/unix"
)

// peer is who is at the other end of a connection, as the kernel says.
type peer struct {
	uid, gid uint32
	pid      int32
}

// peerOf reads SO_PEERCRED.
func peerOf(c net.Conn) (peer, error) {
	sc, ok := c.(syscall.Conn)
	if !ok {
		return peer{}, errors.New("not a unix socket")
	}
	raw, err := sc.SyscallConn()
	if err != nil {
		return peer{}, err
	}
	var cred *unix.Ucred
	var cerr error
	if err := raw.Control(func(fd uintptr) { cred, cerr = unix.GetsockoptUcred(int(fd), unix.SOL_SOCKET, unix.SO_PEERCRED) }); err != nil {
		return peer{}, err
	}
	if cerr != nil {
		return peer{}, cerr
	}
	return peer{cred.Uid, cred.Gid, cred.Pid}, nil
}

type peerKey struct{}

func withPeer(ctx context.Context, c net.Conn) context.Context {
	if p, err := peerOf(c); err == nil {
		return context.WithValue(ctx, peerKey{}, p)
	}
	return ctx
}

func requestPeer(r *http.Request) (peer, error) {
	p, ok := r.Context().Value(peerKey{}).(peer)
	if !ok {
		return p, errors.New("the kernel does not say who is calling")
	}
	return p, nil
}

type right uint8

const (
	rightStatus right = iota
	rightAll
)

// check applies the rules: root, edge's own user and admin.allow_uids may do
// everything, members of the socket's group may ask for status.
func (s *Server) check(p peer, need right) error {
	if p.uid == 0 || p.uid == uint32(os.Geteuid()) || slices.Contains(s.o.AllowUIDs, p.uid) {
		return nil
	}
	if need == rightStatus && s.inGroup(p) {
		return nil
	}
	return fmt.Errorf("user %d may not do this; root may, and users in admin.allow_uids; members of the socket's group may ask for status", p.uid)
}

// inGroup looks whether the caller is in the socket's group, by its primary
// group or by those that the kernel lists for the process.
func (s *Server) inGroup(p peer) bool {
	info, err := os.Stat(s.o.Path)
	if err != nil {
		return false
	}
	st, ok := info.Sys().(*syscall.Stat_t)
	if !ok {
		return false
	}
	return p.gid == st.Gid || slices.Contains(groupsOf(p), st.Gid) || slices.Contains(namedGroups(p), st.Gid)
}

// namedGroups lists the groups of a user by the group database. A sandbox may
// hide the processes of others (ProtectProc=), and with them what groupsOf reads.
func namedGroups(p peer) []uint32 {
	u, err := user.LookupId(strconv.FormatUint(uint64(p.uid), 10))
	if err != nil {
		return nil
	}
	ids, err := u.GroupIds()
	if err != nil {
		return nil
	}
	var groups []uint32
	for _, id := range ids {
		if n, err := strconv.ParseUint(id, 10, 32); err == nil {
			groups = append(groups, uint32(n))
		}
	}
	return groups
}

// groupsOf lists the supplementary groups of a process. The user is compared as
// well: the PID could belong to somebody else by now.
func groupsOf(p peer) []uint32 {
	f, err := os.Open(fmt.Sprintf("/proc/%d/status", p.pid))
	if err != nil {
		return nil
	}
	defer f.Close()
	var groups []uint32
	same := false
	for lines := bufio.NewScanner(f); lines.Scan(); {
		name, rest, _ := strings.Cut(lines.Text(), ":")
		fields := strings.Fields(rest)
		switch name {
		case "Uid": // real, effective, saved, file system
			same = len(fields) > 1 && fields[1] == strconv.FormatUint(uint64(p.uid), 10)
		case "Groups":
			for _, g := range fields {
				if n, err := strconv.ParseUint(g, 10, 32); err == nil {
					groups = append(groups, uint32(n))
				}
			}
		}
	}
	if !same {
		return nil
	}
	return groups
}
