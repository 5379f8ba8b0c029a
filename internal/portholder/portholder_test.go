package portholder

import (
	"net"
	"net/netip"
	"os"
	"strings"
	"testing"
)

func TestOf(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	port := l.Addr().(*net.TCPAddr).Port
	who := Of(port)
	if len(who) != 1 || who[0].PID != os.Getpid() || who[0].Command == "" {
		t.Errorf("we listen on port %d, and it says %v", port, who)
	}
	if text := Text(port); !strings.Contains(text, "(pid ") {
		t.Errorf("text %q", text)
	}
	if err := l.Close(); err != nil {
		t.Fatal(err)
	}
	if who := Of(port); who != nil {
		t.Errorf("nobody listens any more, and it says %v", who)
	}
	for _, port := range []int{-1, 0, 65536} {
		if who := Of(port); who != nil {
			t.Errorf("port %d: %v", port, who)
		}
	}
}

// Who listens on another address is not in the way.
func TestAt(t *testing.T) {
	for _, tc := range []struct {
		listen    string
		in, apart []string
	}{
		{"127.0.0.1:0", []string{"127.0.0.1", "0.0.0.0", "::", "::ffff:127.0.0.1"}, []string{"127.0.0.2", "::1"}},
		{"[::1]:0", []string{"::1", "::"}, []string{"127.0.0.1", "0.0.0.0", "::2"}},
		{"[::]:0", []string{"::1", "::", "127.0.0.1", "0.0.0.0"}, nil},
	} {
		l, err := net.Listen("tcp", tc.listen)
		if err != nil {
			t.Fatal(err)
		}
		port := l.Addr().(*net.TCPAddr).Port
		for _, a := range tc.in {
			if who := At(netip.MustParseAddr(a), port); len(who) != 1 || who[0].PID != os.Getpid() {
				t.Errorf("%s is in the way of %s, and it says %v", tc.listen, a, who)
			}
		}
		for _, a := range tc.apart {
			if who := At(netip.MustParseAddr(a), port); who != nil {
				t.Errorf("%s is not in the way of %s, and it says %v", tc.listen, a, who)
			}
		}
		if err := l.Close(); err != nil {
			t.Fatal(err)
		}
	}
}
