package proxy

import (
	"bytes"
	"errors"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"
	"time"
)

// sink is a connection that takes so much of each write.
type sink struct {
	net.Conn
	takes  []int // and then os.ErrDeadlineExceeded; where there is none, all
	writes [][]byte
}

func (s *sink) Write(p []byte) (int, error) {
	if len(s.takes) > 0 {
		n := min(s.takes[0], len(p))
		s.takes = s.takes[1:]
		s.writes = append(s.writes, bytes.Clone(p[:n]))
		return n, os.ErrDeadlineExceeded
	}
	s.writes = append(s.writes, bytes.Clone(p))
	return len(p), nil
}

func (s *sink) SetWriteDeadline(time.Time) error { return nil }

func TestHeldWritesGoOutInOnePiece(t *testing.T) {
	for _, c := range []struct{ parts, want []int }{
		{[]int{100, 16000, 16000}, []int{32100}},
		{[]int{30000, 10000, 900, 100}, []int{40000, 1000}},
		{[]int{100, heldBytes + 1, 10}, []int{100, heldBytes + 1, 10}},
		{nil, nil},
	} {
		s := &sink{}
		cn := &conn{Conn: s}
		cn.hold(new([heldBytes]byte))
		var sent []byte
		for i, n := range c.parts {
			p := bytes.Repeat([]byte{byte('a' + i)}, n)
			sent = append(sent, p...)
			if m, err := cn.Write(p); m != n || err != nil {
				t.Fatal(m, err)
			}
		}
		if err := cn.letGo(); err != nil {
			t.Fatal(err)
		}
		var got []int
		for _, w := range s.writes {
			got = append(got, len(w))
		}
		if len(got) != len(c.want) || !bytes.Equal(bytes.Join(s.writes, nil), sent) {
			t.Errorf("%v: writes of %v, want %v", c.parts, got, c.want)
		}
		n := len(s.writes)
		if cn.Write([]byte("x")); len(s.writes) != n+1 {
			t.Errorf("%v: held after letGo", c.parts)
		}
	}
}

// A client that takes a record in the time of a stall is waited for; one that
// takes less is not.
func TestStallOfALongWrite(t *testing.T) {
	p := make([]byte, 3*maxRecord)
	s := &sink{takes: []int{maxRecord, maxRecord + 1}}
	if n, err := (&conn{Conn: s}).Write(p); n != len(p) || err != nil {
		t.Error(n, err)
	}
	for _, takes := range [][]int{{0}, {maxRecord - 1}, {maxRecord, 0}, {maxRecord, maxRecord - 1}} {
		s := &sink{takes: takes}
		cn := &conn{Conn: s}
		cn.hold(new([heldBytes]byte))
		cn.Write(p[:2*maxRecord+10])
		if err := cn.letGo(); !errors.Is(err, os.ErrDeadlineExceeded) {
			t.Errorf("%v: %v", takes, err)
		}
	}
}

// writesSeen counts the writes of accepted connections.
type writesSeen struct {
	net.Listener
	sizes chan int
}

func (l writesSeen) Accept() (net.Conn, error) {
	nc, err := l.Listener.Accept()
	return writeSeen{nc, l.sizes}, err
}

type writeSeen struct {
	net.Conn
	sizes chan int
}

func (c writeSeen) Write(p []byte) (int, error) {
	c.sizes <- len(p)
	return c.Conn.Write(p)
}

// The first answer on a connection, of small records, costs few writes.
func TestAnswerInFewWrites(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	seen := writesSeen{l, make(chan int, 1000)}
	body := strings.Repeat("0123456789abcdef", 3<<10) // 48 KiB
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Length", "49152")
		io.WriteString(w, body)
	}), func(o *Options, s *Settings) {
		s.HTTPS = []string{"fd:seen"}
		o.Inherited = func() (Inherited, error) {
			return Inherited{Listeners: map[string][]net.Listener{"fd:seen": {seen}}}, nil
		}
	})
	if status, got := r.get(false, "https://example.org/"); status != 200 || got != body {
		t.Fatalf("%d, %d bytes", status, len(got))
	}
	// One of the handshake, one of the ticket, and the body as it comes from the
	// backend; eleven where nothing is held back.
	if n := len(seen.sizes); n > 8 {
		t.Errorf("%d writes", n)
	}
}
