package main

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"time"

	"golang.org/x/sys/unix"
)

// way joins a process and the one that takes its place: a pair of sockets, each
// message of which is a note, with one open socket at most.
type way struct{ *net.UnixConn }

// note is what the two tell each other. From the old process come an offer, the
// sockets, and "go" once it has stepped back; from the new one "ready" or "failed".
// After that both tell of answers to challenges.
type note struct {
	Kind    noteKind       `json:"kind"`
	PID     int            `json:"pid,omitempty"`
	Version string         `json:"version,omitempty"`
	Role    string         `json:"role,omitempty"` // of a socket: "proxy", "admin" or "metrics"
	Name    string         `json:"name,omitempty"` // of a socket, as in proxy.Inherited
	Error   string         `json:"error,omitempty"`
	Answer  *challengeNote `json:"answer,omitempty"`
}

type noteKind string

const (
	noteOffer  noteKind = "offer"
	noteSocket noteKind = "socket"
	noteEnd    noteKind = "end" // of the sockets
	noteReady  noteKind = "ready"
	noteFailed noteKind = "failed"
	noteGo     noteKind = "go"
	notePut    noteKind = "put"
	noteRemove noteKind = "remove"
)

// maxNote bounds a note. The longest have the reason of a failure.
const maxNote = 64 << 10

// newWay returns both ends, the second as a file for another process.
func newWay() (*way, *os.File, error) {
	fds, err := unix.Socketpair(unix.AF_UNIX, unix.SOCK_SEQPACKET|unix.SOCK_CLOEXEC, 0)
	if err != nil {
		return nil, nil, os.NewSyscallError("socketpair", err)
	}
	far := os.NewFile(uintptr(fds[1]), "successor")
	w, err := wayOf(os.NewFile(uintptr(fds[0]), "predecessor"))
	if err != nil {
		far.Close()
		return nil, nil, err
	}
	return w, far, nil
}

// wayOf makes a way of one end, which it closes.
func wayOf(f *os.File) (*way, error) {
	defer f.Close()
	c, err := net.FileConn(f)
	if err != nil {
		return nil, err
	}
	u, ok := c.(*net.UnixConn)
	if !ok {
		c.Close()
		return nil, fmt.Errorf("%s is no unix socket", f.Name())
	}
	return &way{u}, nil
}

// send sends a note, and the socket fd with it unless that is negative.
func (w *way) send(n note, fd int) error {
	b, err := json.Marshal(n)
	if err != nil {
		return err
	}
	if len(b) > maxNote {
		return fmt.Errorf("a note of %d bytes is too long", len(b))
	}
	var rights []byte
	if fd >= 0 {
		rights = unix.UnixRights(fd)
	}
	if err := w.SetWriteDeadline(time.Now().Add(noteTime)); err != nil {
		return err
	}
	_, _, err = w.WriteMsgUnix(b, rights, nil)
	return err
}

// noteTime is how long the other side may take to read a note, and to send one
// that it has at hand.
const noteTime = 10 * time.Second

// receive returns the next note, and the socket that came with it or nil; io.EOF
// where the other process has ended.
func (w *way) receive() (n note, f *os.File, err error) {
	buf, rights := make([]byte, maxNote), make([]byte, unix.CmsgSpace(4))
	size, nr, _, _, err := w.ReadMsgUnix(buf, rights)
	if err != nil {
		return n, nil, err
	}
	if size == 0 {
		return n, nil, io.EOF
	}
	if nr > 0 {
		if f, err = socketFile(rights[:nr]); err != nil {
			return n, nil, err
		}
	}
	if err = json.Unmarshal(buf[:size], &n); err != nil && f != nil {
		f.Close()
	}
	return n, f, err
}

func socketFile(rights []byte) (*os.File, error) {
	msgs, err := unix.ParseSocketControlMessage(rights)
	if err != nil {
		return nil, err
	}
	var files []*os.File
	for i := range msgs {
		fds, err := unix.ParseUnixRights(&msgs[i])
		if err != nil {
			continue // credentials, which nobody asked for
		}
		for _, fd := range fds {
			unix.CloseOnExec(fd)
			files = append(files, os.NewFile(uintptr(fd), "socket"))
		}
	}
	if len(files) != 1 {
		for _, f := range files {
			f.Close()
		}
		return nil, errors.New("a note with other than one socket")
	}
	return files[0], nil
}
