package proxy

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"strconv"
	"sync"
	"time"

	"edge/proxy/policy"
	"edge/proxy/upstream"
)

// upgradeOf returns the protocol that a request wants to change to, if edge
// lets it. It is the parsed form of what made the guard stop checking the
// connection (head.check), and must not disagree with it.
func upgradeOf(r *http.Request) string {
	if isExtended(r) {
		return extendedProto
	}
	if r.Method != http.MethodGet || r.ProtoMajor != 1 || r.ProtoMinor != 1 || len(r.TransferEncoding) > 0 ||
		len(r.Header["Content-Length"]) > 0 || len(r.Header["Upgrade"]) != 1 || !namesField(r.Header["Connection"], "upgrade") {
		return ""
	}
	return knownUpgrade(r.Header["Upgrade"][0])
}

// tunnel answers 101 and copies both ways until both sides have ended. A reload
// leaves tunnels alone; a shutdown waits for them, up to its limit.
func (x *exchange) tunnel(res *upstream.Response) {
	if isExtended(x.r) {
		x.tunnelStream(res)
		return
	}
	up := res.Upgraded
	nc, buffered, err := x.rc.Hijack()
	if err != nil {
		up.Close()
		x.ev.Err = err
		panic(http.ErrAbortHandler)
	}
	nc.SetReadDeadline(time.Time{})
	x.ev.Status = http.StatusSwitchingProtocols
	x.srv.tunnels.add()
	defer x.srv.tunnels.remove()
	defer nc.Close()
	defer up.Close()
	if _, err := nc.Write(switchHead(res.Header, x.up.Upgrade)); err != nil {
		x.ev.Err = err
		return
	}
	x.ev.TTFB = time.Since(x.ev.Start)
	stop := context.AfterFunc(x.srv.ctx, func() { nc.Close(); up.Close() })
	defer stop()
	x.ev.BytesIn, x.ev.BytesOut = splice(nc, buffered.Reader, up, &x.srv.buffers)
}

// switchHead is the head of a 101.
func switchHead(header []policy.Field, protocol string) []byte {
	b := []byte("HTTP/1.1 " + strconv.Itoa(http.StatusSwitchingProtocols) + " Switching Protocols\r\nConnection: Upgrade\r\nUpgrade: " + protocol + "\r\n")
	for _, f := range header {
		switch http.CanonicalHeaderKey(f.Name) {
		case "Connection", "Upgrade", "Content-Length", "Transfer-Encoding":
			continue
		}
		b = append(b, f.Name+": "+f.Value+"\r\n"...)
	}
	return append(b, "\r\n"...)
}

// splice copies in both directions. The end of one direction is passed on as a
// half-close, so that the other can finish.
func splice(client net.Conn, early *bufio.Reader, up net.Conn, buffers *sync.Pool) (in, out int64) {
	var wg sync.WaitGroup
	wg.Go(func() {
		var n int64
		if early != nil && early.Buffered() > 0 {
			n = int64(early.Buffered())
			b, _ := early.Peek(int(n))
			if _, err := up.Write(b); err != nil {
				closeBoth(client, up)
				return
			}
		}
		in = n + pump(up, client, buffers)
	})
	out = pump(client, up, buffers)
	wg.Wait()
	return in, out
}

// pump copies until src ends. After an error neither direction is of any use.
func pump(dst, src net.Conn, buffers *sync.Pool) (n int64) {
	buf := buffers.Get().(*[copyBuffer]byte)
	defer buffers.Put(buf)
	for {
		m, err := src.Read(buf[:])
		if m > 0 {
			if _, werr := dst.Write(buf[:m]); werr != nil {
				closeBoth(dst, src)
				return n
			}
			n += int64(m)
		}
		if err == io.EOF {
			if cw, ok := dst.(interface{ CloseWrite() error }); ok && cw.CloseWrite() == nil {
				return n
			}
		}
		if err != nil {
			closeBoth(dst, src)
			return n
		}
	}
}

// closeBoth gives up on both sides.
func closeBoth(a, b net.Conn) {
	a.Close()
	b.Close()
}

// tunnels counts what net/http has no part in any more.
type tunnels struct {
	mu   sync.Mutex
	n    int
	idle chan struct{} // closed when n falls to zero; nil unless somebody waits
}

func (t *tunnels) add() {
	t.mu.Lock()
	t.n++
	t.mu.Unlock()
}

func (t *tunnels) remove() {
	t.mu.Lock()
	defer t.mu.Unlock()
	if t.n--; t.n == 0 && t.idle != nil {
		close(t.idle)
		t.idle = nil
	}
}

// drained waits until there are none, or ctx ends.
func (t *tunnels) drained(ctx context.Context) {
	t.mu.Lock()
	if t.n == 0 {
		t.mu.Unlock()
		return
	}
	if t.idle == nil {
		t.idle = make(chan struct{})
	}
	idle := t.idle
	t.mu.Unlock()
	select {
	case <-idle:
	case <-ctx.Done():
	}
}

// Tunnels returns how many upgraded connections there are.
func (s *Server) Tunnels() int {
	s.tunnels.mu.Lock()
	defer s.tunnels.mu.Unlock()
	return s.tunnels.n
}
