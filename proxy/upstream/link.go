package upstream

import (
	"io"
	"net"
	"os"
	"syscall"
)

// link is the connection beneath TLS, or the connection itself, with two ways of
// use that net.Conn does not have: a look at it that does not wait, and a write
// that is followed by the wait for an answer. One goroutine uses it at a time.
type link struct {
	net.Conn
	raw     syscall.RawConn // nil: it is not made of a descriptor
	looking bool            // reads do not wait

	// Closures cost an allocation, so that they are made once; these are what
	// they take and give.
	look    func(fd uintptr)
	ask     func(fd uintptr) (done bool)
	out, in []byte
	wrote   bool
	nw, nr  int
	werr    error
	rerr    error
	one     [1]byte
}

func newLink(nc net.Conn) *link {
	l := &link{Conn: nc}
	if sc, ok := nc.(syscall.Conn); ok {
		l.raw, _ = sc.SyscallConn()
	}
	l.look = func(fd uintptr) { l.nr, l.rerr = readNow(fd, l.in) }
	l.ask = func(fd uintptr) bool {
		if l.wrote {
			l.nr, l.rerr = readNow(fd, l.in)
			return l.rerr != errNothing
		}
		l.wrote = true
		l.nw, l.werr = syscall.Write(int(fd), l.out)
		return l.nw < len(l.out) // or else wait, without a look
	}
	return l
}

// errNothing is what a read returns that would have to wait. It is temporary: TLS
// goes on after it.
var errNothing net.Error = nothing{}

type nothing struct{}

func (nothing) Error() string   { return "nothing to read yet" }
func (nothing) Timeout() bool   { return true }
func (nothing) Temporary() bool { return true }

// readNow reads from a descriptor that does not block.
func readNow(fd uintptr, p []byte) (int, error) {
	for {
		n, err := syscall.Read(int(fd), p)
		switch {
		case err == syscall.EINTR:
		case err == syscall.EAGAIN:
			return 0, errNothing
		case err != nil:
			return 0, os.NewSyscallError("read", err)
		case n == 0:
			return 0, io.EOF
		default:
			return n, nil
		}
	}
}

// Read is the connection's, or a look.
func (l *link) Read(p []byte) (int, error) {
	if !l.looking {
		return l.Conn.Read(p)
	}
	l.in = p
	err := l.raw.Control(l.look)
	l.in = nil
	if err != nil {
		return 0, err
	}
	return l.nr, l.rerr
}

// quiet reports whether nothing has come that nobody asked for, and the peer has
// not closed its side. r reads by way of the link, and may hold back bytes of its own.
func (l *link) quiet(r io.Reader) bool {
	if l.raw == nil {
		return true
	}
	l.looking = true
	n, err := r.Read(l.one[:])
	l.looking = false
	return n == 0 && err == errNothing
}

// writeAndWait writes out, and then waits for the first bytes of the answer, which
// go to in. That saves the read that finds nothing: answers take a moment. Where not
// all of out could be written without waiting, it returns how much was, and no more.
func (l *link) writeAndWait(out, in []byte) (nw, nr int, werr, rerr error) {
	l.out, l.in, l.wrote = out, in, false
	l.nw, l.nr, l.werr, l.rerr = 0, 0, nil, nil
	err := l.raw.Read(l.ask)
	l.out, l.in = nil, nil
	switch {
	case l.werr == syscall.EAGAIN || l.werr == syscall.EINTR:
		return 0, 0, nil, nil
	case l.werr != nil:
		return 0, 0, os.NewSyscallError("write", l.werr), nil
	case err != nil:
		return l.nw, 0, nil, err
	}
	return l.nw, l.nr, nil, l.rerr
}
