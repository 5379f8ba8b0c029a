package portholder

import (
	"net"
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
