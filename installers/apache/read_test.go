package apache

import (
	"context"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge/installers"
)

// A FIFO where a file should be holds nobody: locks are held while a plan is made.
func TestFIFO(t *testing.T) {
	t.Parallel()
	site := map[string]string{"a.conf": "<VirtualHost *:80>\nServerName a.test\n</VirtualHost>\n"}
	for _, c := range []struct{ path, want string }{
		{"run/apache2.pid", ""},
		{"le/" + optionsName, "is not a regular file"},
		{"le/" + digestName, "is not a regular file"},
		{"apache2/mods-available/ssl.load", ""},
		{"apache2/mods-available/socache_shmcb.load", ""},
		{"apache2/sites-available/a-le-ssl.conf", "no regular file"},
		{"module.so", ""},
		{"options", ""},
		{"live/fullchain.pem", ""},
	} {
		t.Run(filepath.Base(c.path), func(t *testing.T) {
			t.Parallel()
			s := debianTree(t, site).detect(t)
			path := filepath.Join(s.dir, c.path)
			if err := os.Remove(path); err != nil && !os.IsNotExist(err) {
				t.Fatal(err)
			}
			if err := os.MkdirAll(filepath.Dir(path), 0o755); err != nil {
				t.Fatal(err)
			}
			if err := syscall.Mkfifo(path, 0o644); err != nil {
				t.Fatal(err)
			}
			switch c.path {
			case "module.so":
				if err := os.WriteFile(s.root+"/mods-available/ssl.load", []byte("LoadModule ssl_module "+path+"\n"), 0o644); err != nil {
					t.Fatal(err)
				}
			case "options":
				s.options = path
			}
			r := s.request(installers.Certificate{Key: s.dir + "/live/privkey.pem", FullChain: s.dir + "/live/fullchain.pem"}, "a.test")
			done := make(chan error, 1)
			go func() {
				_, err := s.Plan(context.Background(), r)
				done <- err
			}()
			select {
			case err := <-done:
				if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
					t.Errorf("got %v", err)
				}
			case <-time.After(10 * time.Second):
				t.Error("it waits for a writer")
			}
		})
	}
}

// What has no end is not read to it.
func TestReadBounded(t *testing.T) {
	path := filepath.Join(t.TempDir(), "big")
	if err := os.WriteFile(path, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Truncate(path, maxFile+1); err != nil {
		t.Fatal(err)
	}
	if _, err := readRegular(path); err == nil || !strings.Contains(err.Error(), "has more than") {
		t.Errorf("got %v", err)
	}
}
