package proxy

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"edge"
	"edge/proxy/proxyproto"
)

// forward carries a connection to the first of f's servers that takes it, as it is,
// until both sides have ended, or nothing has come from either for too long. A
// reload leaves it alone; a shutdown waits for it, up to its limit.
func (s *Server) forward(c *conn, f *Forward) {
	c.began.Store(true)
	s.tunnels.add()
	defer s.tunnels.remove() // last: Shutdown then looks for connections that are still open
	defer c.Close()
	start := time.Now()
	up, err := s.reach(f)
	if err != nil {
		s.log.Warn("no server takes a forwarded connection", "listener", c.listener, "sni", c.sni, "error", err)
		s.obs.Conn(&edge.ConnEvent{Listener: c.listener, Remote: c.remote, Refused: "upstream"})
		c.reset()
		return
	}
	defer up.Close()
	p := pipe{idle: f.Idle, buffers: &s.buffers}
	def(&p.idle, 10*time.Minute)
	client := c.Conn
	var early []byte
	if f.ProxyProtocol > 0 {
		early = proxyproto.Append(nil, f.ProxyProtocol, c.remote, addrPort(c.LocalAddr()))
	}
	if r, ok := client.(*replayed); ok {
		early, client = append(early, r.early...), r.Conn
	}
	in, out, err := p.run(client, up, early)
	s.log.Debug("forwarded", "listener", c.listener, "sni", c.sni, "client", c.remote.String(), "server", up.RemoteAddr().String(),
		"bytes_in", in, "bytes_out", out, "duration", time.Since(start), "error", err)
}

// downTime is how long a server that could not be reached is tried last.
const downTime = 5 * time.Second

// reach connects to a server of f. Those that failed a moment ago come last.
func (s *Server) reach(f *Forward) (net.Conn, error) {
	timeout := f.ConnectTimeout
	def(&timeout, 5*time.Second)
	now := time.Now()
	var last []string
	var errs []error
	try := func(address string) (net.Conn, error) {
		up, err := dialForward(s.ctx, address, timeout)
		if err == nil {
			s.down.Delete(address)
			return up, nil
		}
		s.down.Store(address, time.Now().Add(downTime))
		errs = append(errs, err)
		return nil, err
	}
	for _, address := range f.Servers {
		if until, ok := s.down.Load(address); ok && now.Before(until.(time.Time)) {
			last = append(last, address)
			continue
		}
		if up, err := try(address); err == nil {
			return up, nil
		}
	}
	for _, address := range last {
		if up, err := try(address); err == nil {
			return up, nil
		}
	}
	if len(errs) == 0 {
		return nil, errors.New("no server is configured")
	}
	return nil, errors.Join(errs...)
}

func dialForward(ctx context.Context, address string, timeout time.Duration) (net.Conn, error) {
	network := "tcp"
	if path, ok := strings.CutPrefix(address, "unix:"); ok {
		network, address = "unix", path
	}
	d := net.Dialer{Timeout: timeout, KeepAliveConfig: keepAlive}
	up, err := d.DialContext(ctx, network, address)
	if err != nil {
		return nil, fmt.Errorf("connect to %s: %w", address, err)
	}
	return up, nil
}

// pipe copies both ways. A direction that waits for bytes holds no buffer: most
// forwarded connections are silent most of the time.
type pipe struct {
	idle    time.Duration
	buffers *sync.Pool
	last    atomic.Int64 // Unix nanoseconds of the last byte in either direction
}

var errIdle = errors.New("nothing came from either side for too long")

// run sends early to the server, then copies until both directions have ended.
func (p *pipe) run(client, up net.Conn, early []byte) (in, out int64, err error) {
	p.last.Store(time.Now().UnixNano())
	if len(early) > 0 {
		up.SetWriteDeadline(time.Now().Add(p.idle))
		if _, err := up.Write(early); err != nil {
			abort(client, up)
			return 0, 0, err
		}
	}
	var wg sync.WaitGroup
	var inErr error
	wg.Go(func() { in, inErr = p.copy(up, client) })
	out, err = p.copy(client, up)
	wg.Wait()
	if err == nil {
		err = inErr
	}
	return in, out, err
}

// copy copies until src ends, and passes the end on. After an error neither
// direction is of any use, and neither side may take that for a proper end.
func (p *pipe) copy(dst, src net.Conn) (n int64, err error) {
	raw, err := src.(syscall.Conn).SyscallConn()
	if err != nil {
		abort(dst, src)
		return 0, err
	}
	var until, writeUntil time.Time
	for {
		now := time.Now()
		if until.Sub(now) < p.idle*3/4 {
			until = now.Add(p.idle)
			src.SetReadDeadline(until)
		}
		buf, m, err := p.read(raw)
		if m > 0 {
			now = time.Now()
			p.last.Store(now.UnixNano())
			if writeUntil.Sub(now) < p.idle*3/4 {
				writeUntil = now.Add(p.idle)
				dst.SetWriteDeadline(writeUntil)
			}
			_, err = dst.Write(buf[:m])
			n += int64(m)
		}
		if buf != nil {
			p.buffers.Put(buf)
		}
		switch {
		case err == nil:
		case err == io.EOF:
			if err := dst.(interface{ CloseWrite() error }).CloseWrite(); err != nil {
				abort(dst, src)
				return n, err
			}
			return n, nil
		case m == 0 && errors.Is(err, os.ErrDeadlineExceeded) && time.Since(time.Unix(0, p.last.Load())) < p.idle:
			until = time.Unix(0, p.last.Load()).Add(p.idle) // the other direction is alive
			src.SetReadDeadline(until)
		case m == 0 && errors.Is(err, os.ErrDeadlineExceeded):
			closeBoth(dst, src)
			return n, errIdle
		default:
			abort(dst, src)
			return n, err
		}
	}
}

// read waits for bytes, and takes a buffer when there are some.
func (p *pipe) read(raw syscall.RawConn) (buf *[copyBuffer]byte, n int, err error) {
	rerr := raw.Read(func(fd uintptr) bool {
		buf = p.buffers.Get().(*[copyBuffer]byte)
		for {
			n, err = unix.Read(int(fd), buf[:])
			if err != unix.EINTR {
				break
			}
		}
		if err == unix.EAGAIN {
			p.buffers.Put(buf)
			buf = nil
			return false
		}
		return true
	})
	switch {
	case rerr != nil:
		return nil, 0, rerr
	case err != nil:
		return buf, 0, os.NewSyscallError("read", err)
	case n == 0:
		return buf, 0, io.EOF
	}
	return buf, n, nil
}

// abort closes both sides in a way that neither can take for the end of what was sent.
func abort(sides ...net.Conn) {
	for _, c := range sides {
		if t, ok := c.(interface{ SetLinger(int) error }); ok {
			t.SetLinger(0)
		}
		c.Close()
	}
}
