package conf

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// golden is a server block as certbot 2.1 sees it.
type golden struct {
	File  string
	Path  []int
	SSL   bool
	Names []string
	Addrs []string
}

// roots are copies of the configurations of the corpus that certbot was asked about.
func roots(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	if err := os.CopyFS(dir, os.DirFS(corpus(t))); err != nil {
		t.Fatal(err)
	}
	out := map[string]string{
		"unit/etc_nginx":            filepath.Join(dir, "unit/etc_nginx"),
		"compat/great-nginx-config": filepath.Join(dir, "trees/great-nginx-config/stuff"),
		"compat/site-10033":         filepath.Join(dir, "trees/site-10033/nginx"),
	}
	for key, root := range out {
		if strings.HasPrefix(key, "compat/") {
			move(t, root)
		}
	}
	return out
}

// move puts a tree that names /etc/nginx where it is now, its logs included.
func move(t *testing.T, root string) {
	t.Helper()
	for _, name := range regularFiles(t, root) {
		b, err := os.ReadFile(name)
		if err != nil {
			t.Fatal(err)
		}
		src := strings.NewReplacer("/etc/nginx", root, "/var/log/nginx", root).Replace(string(b))
		if err := os.WriteFile(name, []byte(src), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// asCertbot describes a server block in certbot's terms.
func asCertbot(root string, h *HTTP, s *Server) golden {
	file, _ := filepath.Rel(root, s.Directive.File.Path)
	g := golden{File: file, SSL: s.TLS}
	for d := s.Directive; d != nil; d = d.Parent.Owner {
		i := slices.Index(d.Parent.Items, Item(d))
		if g.Path != nil {
			g.Path = append([]int{1}, g.Path...)
		}
		g.Path = append([]int{i}, g.Path...)
	}
	for _, n := range s.Names {
		if n.Directive != nil {
			g.Names = append(g.Names, n.Text)
		}
	}
	for _, l := range s.Listens {
		if l.Directive == nil || l.Unix != "" {
			continue
		}
		addr := l.Text
		if l.Default {
			addr += " default_server"
		}
		if slices.ContainsFunc(h.Servers, func(o *Server) bool { return o.sslAt(l.Text) }) {
			addr += " ssl"
		}
		g.Addrs = append(g.Addrs, addr)
	}
	slices.Sort(g.Names)
	slices.Sort(g.Addrs)
	g.Names, g.Addrs = slices.Compact(g.Names), slices.Compact(g.Addrs)
	return g
}

// sslAt says whether the block turns TLS on for an address as it is written.
func (s *Server) sslAt(text string) bool {
	return slices.ContainsFunc(s.Listens, func(l Listen) bool { return l.Text == text && (l.SSL || s.sslOn()) })
}

// The server blocks are those that certbot finds, with the same names and addresses. TLS
// differs where certbot errs: it does not take *:80 and 80 for the same socket, nor does
// it see that a block without listen is on that socket too.
func TestServersAsCertbot(t *testing.T) {
	b, err := os.ReadFile(shared(t, "golden/nginx/vhosts-certbot-2.1.0.json"))
	if err != nil {
		t.Fatal(err)
	}
	var want map[string][]golden
	if err := json.Unmarshal(b, &want); err != nil {
		t.Fatal(err)
	}
	have := roots(t)
	total := 0
	var differ []string
	for key, blocks := range want {
		root := have[key]
		if root == "" {
			t.Errorf("the corpus has no %s", key)
			continue
		}
		h := mustHTTP(t, mustLoad(t, filepath.Join(root, "nginx.conf")), Env{Hostname: "h.test"})
		got := map[string]golden{}
		for _, s := range h.Servers {
			g := asCertbot(root, h, s)
			got[fmt.Sprint(g.File, g.Path)] = g
		}
		if len(got) != len(blocks) || len(h.Servers) != len(blocks) {
			t.Errorf("%s: %d server blocks, certbot has %d", key, len(h.Servers), len(blocks))
		}
		for _, w := range blocks {
			total++
			g, ok := got[fmt.Sprint(w.File, w.Path)]
			if !ok {
				t.Errorf("%s: no block at %s %v", key, w.File, w.Path)
				continue
			}
			// In foo.conf of the unit tree is *:80 with ssl.
			onPort80 := len(w.Addrs) == 0 || slices.Contains(w.Addrs, "80")
			if key == "unit/etc_nginx" && onPort80 && !w.SSL {
				w.SSL = true
				differ = append(differ, w.Names[0])
			}
			if !slices.Equal(g.Names, w.Names) || !slices.Equal(g.Addrs, w.Addrs) || g.SSL != w.SSL {
				t.Errorf("%s: %+v, certbot has %+v", key, g, w)
			}
		}
	}
	slices.Sort(differ)
	if got := strings.Join(differ, " "); got != "$hostname *.both.com ipv6.com migration.com no-listens.com ssl.both.com ssl.both.com" {
		t.Errorf("TLS differs for %s", got)
	}
	if total != 47 {
		t.Errorf("certbot's list has %d blocks, so the corpus has changed", total)
	}
}
