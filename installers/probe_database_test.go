package installers

import (
	"crypto/tls"
	"encoding/binary"
	"io"
	"net"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// greeting is a server's of MySQL's protocol.
func greeting(capabilities uint16) []byte {
	b := append([]byte("\x0a10.11.6-MariaDB\x00"), make([]byte, 13)...)
	b = binary.LittleEndian.AppendUint16(b, capabilities)
	b = append(b, make([]byte, 20)...)
	return append([]byte{byte(len(b)), 0, 0, 0}, b...)
}

// Databases begin TLS in their own ways; what they say otherwise is told.
func TestShowsOfDatabases(t *testing.T) {
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), "db.example.test")
	pair, err := tls.X509KeyPair(b.Chain, b.Key)
	if err != nil {
		t.Fatal(err)
	}
	serve := func(talk func(c net.Conn) bool) string {
		l, err := net.Listen("tcp", "127.0.0.1:0")
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { l.Close() })
		go func() {
			for {
				c, err := l.Accept()
				if err != nil {
					return
				}
				go func() {
					defer c.Close()
					if talk(c) {
						_ = tls.Server(c, &tls.Config{Certificates: []tls.Certificate{pair}}).Handshake()
					}
				}()
			}
		}()
		return l.Addr().String()
	}
	postgres := func(answer string) func(net.Conn) bool {
		return func(c net.Conn) bool {
			request := make([]byte, 8)
			if _, err := io.ReadFull(c, request); err != nil || binary.BigEndian.Uint32(request) != 8 || binary.BigEndian.Uint32(request[4:]) != 80877103 {
				return false
			}
			_, _ = c.Write([]byte(answer))
			return answer == "S"
		}
	}
	mysql := func(greets []byte) func(net.Conn) bool {
		return func(c net.Conn) bool {
			_, _ = c.Write(greets)
			request := make([]byte, 36)
			_, err := io.ReadFull(c, request)
			return err == nil && request[0] == 32 && request[3] == 1 && binary.LittleEndian.Uint32(request[4:])&mysqlSSL != 0
		}
	}
	for _, c := range []struct {
		protocol, want string
		talk           func(net.Conn) bool
	}{
		{"postgres", "", postgres("S")},
		{"postgres", "speaks no TLS", postgres("N")},
		{"postgres", "not S", postgres("E")},
		{"postgres", "EOF", postgres("")}, // reads first: a close with unread bytes is a reset
		{"mysql", "", mysql(greeting(mysqlSSL | mysqlProtocol41))},
		{"mysql", "speaks no TLS", mysql(greeting(mysqlProtocol41))},
		{"mysql", "Host is blocked", mysql(append([]byte{19, 0, 0, 0}, "\xff\x69\x04Host is blocked!"...))},
		{"mysql", "version 9", mysql([]byte{1, 0, 0, 0, 9})},
		{"mysql", "too early", mysql([]byte{3, 0, 0, 0, 10, 'x', 0})},
		{"mysql", "bytes", mysql([]byte{0xff, 0xff, 0xff, 0})},
	} {
		got, err := Shows(t.Context(), Endpoint{Addr: serve(c.talk), Name: "db.example.test", StartTLS: c.protocol}, nil)
		switch {
		case c.want == "" && (err != nil || !got.Equal(pair.Leaf)):
			t.Errorf("%s: %v", c.protocol, err)
		case c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)):
			t.Errorf("%s: %v, want %q", c.protocol, err, c.want)
		}
	}
}

func FuzzMySQLGreeting(f *testing.F) {
	f.Add(greeting(mysqlSSL)[4:])
	f.Add([]byte("\xff\x00"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if len(b) > 0 {
			_, _ = mysqlGreeting(b)
		}
	})
}
