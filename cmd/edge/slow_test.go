package main

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"regexp"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"
)

// slowClient opens a connection and leaves it as a slow client would.
type slowClient struct {
	name string
	open func(s *served) (io.Closer, error)
}

func slowClients() []slowClient {
	secure := func(s *served, protocol string) (*tls.Conn, error) {
		c, err := tls.Dial("tcp", s.https, &tls.Config{RootCAs: s.ca.IssuedPool(), ServerName: "www.example.test", NextProtos: []string{protocol}})
		return c, err
	}
	saying := func(protocol, text string) func(s *served) (io.Closer, error) {
		return func(s *served) (io.Closer, error) {
			c, err := secure(s, protocol)
			if err == nil {
				_, err = io.WriteString(c, text)
			}
			return c, err
		}
	}
	part := strings.Repeat("a", 600) // as much as the slowest rate asks for in ten minutes
	return []slowClient{
		{"nothing said", func(s *served) (io.Closer, error) { return net.Dial("tcp", s.https) }},
		{"half a head", saying("http/1.1", "GET / HTTP/1.1\r\nHost: www.exam")},
		{"half a body", saying("http/1.1", "POST /echo HTTP/1.1\r\nHost: www.example.test\r\nContent-Length: 1000\r\n\r\n"+part)},
		{"kept alive", func(s *served) (io.Closer, error) {
			c, err := secure(s, "http/1.1")
			if err != nil {
				return nil, err
			}
			if _, err = io.WriteString(c, "GET /get?a HTTP/1.1\r\nHost: www.example.test\r\n\r\n"); err != nil {
				return nil, err
			}
			res, err := http.ReadResponse(bufio.NewReader(c), nil)
			if err == nil {
				_, err = io.Copy(io.Discard, res.Body)
			}
			return c, err
		}},
		{"an event stream that is not read", saying("http/1.1", "GET /events HTTP/1.1\r\nHost: www.example.test\r\n\r\n")},
		{"HTTP/2 with half a body", saying("h2", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"+frame(4, 0, 0, "")+
			// :method POST, :scheme https, :path /, :authority
			frame(1, 4, 1, "\x83\x87\x84\x41\x10www.example.test")+frame(0, 0, 1, part))},
	}
}

// frame is one of HTTP/2.
func frame(kind, flags, stream byte, payload string) string {
	n := len(payload)
	return string([]byte{0, byte(n >> 8), byte(n), kind, flags, 0, 0, 0, stream}) + payload
}

// Thousands of slow clients take little memory, and nobody else notices them.
func TestSlowConnections(t *testing.T) {
	n, most := 1000, 110 // MiB: what a process without connections has, and 60 KiB for each
	if os.Getenv("EDGE_SOAK") != "" {
		n, most = 10000, 256
	}
	s := serveProcess(t, loadSite[:strings.Index(loadSite, "limits")]+"limits: {drain: 1s, header_read: 10m, idle: 10m, body_rate: 1B/s}\n")
	st, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	memory := func(field string) int {
		b, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", st.PID))
		m := regexp.MustCompile(field + `:\s+(\d+) kB`).FindSubmatch(b)
		if err != nil || m == nil {
			t.Fatal(err)
		}
		kb, _ := strconv.Atoi(string(m[1]))
		return kb
	}
	kinds := slowClients()
	each := n / len(kinds)
	var mu sync.Mutex
	var open []io.Closer
	defer func() {
		for _, c := range open {
			c.Close()
		}
	}()
	for _, k := range kinds {
		before := memory("VmRSS")
		var wg sync.WaitGroup
		for range 8 {
			wg.Go(func() {
				for range each / 8 {
					c, err := k.open(s)
					if c != nil {
						mu.Lock()
						open = append(open, c)
						mu.Unlock()
					}
					if err != nil {
						t.Errorf("%s: %v", k.name, err)
						return
					}
				}
			})
		}
		wg.Wait()
		t.Logf("%s: %d KiB more for each of %d", k.name, (memory("VmRSS")-before)/(each/8*8), each/8*8)
	}
	c := s.client(false)
	var worst time.Duration
	for range 50 {
		start := time.Now()
		if status, body := s.get(c, "https://www.example.test/get?x"); status != 200 || body != "x" {
			t.Fatal(status, body)
		}
		worst = max(worst, time.Since(start))
	}
	if worst > 2*time.Second {
		t.Errorf("an honest request took %v", worst)
	}
	peak := memory("VmHWM") / 1024
	t.Logf("%d slow connections: %d MiB at most; the slowest of fifty requests beside them took %v", len(open), peak, worst.Round(time.Millisecond))
	if peak > most {
		t.Errorf("%d MiB, want %d at most", peak, most)
	}
}
