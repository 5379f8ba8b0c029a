package sftp

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// web is a TLS server that reads all certificates of a folder, NAME.pem and NAME.key,
// when a line is written to its pipe.
type web struct {
	t    *testing.T
	dir  string
	addr string
	pipe string

	mu     sync.Mutex
	pairs  []*tls.Certificate
	ignore bool
	l      net.Listener
	loads  int
}

func newWeb(t *testing.T) *web {
	t.Helper()
	s := &web{t: t, dir: t.TempDir(), pipe: filepath.Join(t.TempDir(), "ctl"), addr: "127.0.0.1:" + strconv.Itoa(freePort(t))}
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), "none.test")
	pair, err := tls.X509KeyPair(b.Chain, b.Key)
	if err != nil {
		t.Fatal(err)
	}
	s.pairs = []*tls.Certificate{&pair}
	s.start()
	t.Cleanup(s.stop)
	return s
}

// command is the line that has it read its files.
func (s *web) command() string { return "test -p " + s.pipe + " && echo reload > " + s.pipe }

func (s *web) start() {
	s.t.Helper()
	if err := syscall.Mkfifo(s.pipe, 0o600); err != nil {
		s.t.Fatal(err)
	}
	// For reading and writing: it is never at its end.
	f, err := os.OpenFile(s.pipe, os.O_RDWR, 0)
	if err != nil {
		s.t.Fatal(err)
	}
	go func() {
		lines := bufio.NewScanner(f)
		for lines.Scan() && lines.Text() != "stop" {
			s.load()
		}
		f.Close()
	}()
	l, err := tls.Listen("tcp", s.addr, &tls.Config{GetCertificate: s.certificate})
	if err != nil {
		s.t.Fatal(err)
	}
	s.l = l
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_, _ = io.Copy(c, c)
			}()
		}
	}()
}

func (s *web) stop() {
	if s.l == nil {
		return
	}
	s.l.Close()
	s.l = nil
	if f, err := os.OpenFile(s.pipe, os.O_WRONLY|syscall.O_NONBLOCK, 0); err == nil {
		fmt.Fprintln(f, "stop")
		f.Close()
	}
	os.Remove(s.pipe)
}

func (s *web) load() {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.loads++
	if s.ignore {
		return
	}
	certs, _ := filepath.Glob(filepath.Join(s.dir, "*.pem"))
	next := s.pairs[:1:1]
	for _, c := range certs {
		pair, err := tls.LoadX509KeyPair(c, strings.TrimSuffix(c, ".pem")+".key")
		if err != nil {
			return // it goes on as before
		}
		next = append(next, &pair)
	}
	s.pairs = next
}

func (s *web) certificate(hello *tls.ClientHelloInfo) (*tls.Certificate, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.pairs {
		if p.Leaf.VerifyHostname(hello.ServerName) == nil {
			return p, nil
		}
	}
	return s.pairs[0], nil
}

// snapshot is all that is in the folder.
func (s *web) snapshot(t *testing.T) string {
	var b strings.Builder
	entries, err := os.ReadDir(s.dir)
	if err != nil {
		t.Fatal(err)
	}
	for _, e := range entries {
		info, err := e.Info()
		if err != nil {
			t.Fatal(err)
		}
		st := info.Sys().(*syscall.Stat_t)
		fmt.Fprintf(&b, "%s %v %d:%d\n", e.Name(), info.Mode(), st.Uid, st.Gid)
		if info.Mode().IsRegular() {
			b.WriteString(read(t, filepath.Join(s.dir, e.Name())))
		}
	}
	return b.String()
}
