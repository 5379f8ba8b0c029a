package nginx

import (
	"context"
	"io/fs"
	"net/netip"
	"path/filepath"
	"strings"
	"testing"

	"edge"
	"edge/installers"
	"edge/installers/nginx/conf"
)

// wild are configurations found in the wild, each as a nginx.conf: what is none is
// included in one.
func wild(t *testing.T) map[string]string {
	t.Helper()
	dir := t.TempDir()
	corpus(t, "roundtrip", dir)
	out := map[string]string{}
	err := filepath.WalkDir(dir, func(p string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		for _, around := range []string{"%", "http { % }", "http { server { % } }"} {
			main := strings.Replace(around, "%", "include "+p+";", 1)
			l := newLab(t, map[string]string{"nginx.conf": main})
			n := wildNginx(l)
			set, err := conf.Load(n.conf)
			if err != nil {
				return nil // it includes files that are not there
			}
			if s, err := n.meaning(set); err == nil && len(s.http.Servers) > 0 {
				out[p] = l.root
				return nil
			}
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return out
}

func wildNginx(l *lab) *Nginx {
	return &Nginx{conf: l.root + "/nginx.conf", ctl: "nginx", build: build{base: "1.22.1", version: "1.22.1"}, resolve: func(string) ([]netip.Addr, error) {
		return []netip.Addr{netip.MustParseAddr("10.0.0.1")}, nil
	}}
}

// Whatever is there, a plan is made or refused; and a plan that was carried out leaves
// nothing to do.
func TestWildConfigurations(t *testing.T) {
	all := wild(t)
	plans, answered, refused := 0, 0, map[string]int{}
	for p, root := range all {
		l := &lab{root: root, dir: filepath.Dir(root)}
		n := wildNginx(l)
		names, err := n.Names(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		for _, name := range append(names[:min(3, len(names))], "unheard.test") {
			err := planTwice(t, n, l, name)
			if err != nil {
				refused[strings.SplitN(err.Error(), ":", 2)[0]]++
				continue
			}
			plans++
			if err := answersOf(n, l, name); err != nil {
				t.Errorf("%s: answers for %s: %v", p, name, err)
			}
			answered++
		}
	}
	t.Logf("%d configurations, %d plans, %d answers, refused: %v", len(all), plans, answered, refused)
	if len(all) < 40 || plans < 60 {
		t.Error("that is less than there are")
	}
}

func answersOf(n *Nginx, l *lab, name string) error {
	s, err := wildSite(n)
	if err != nil {
		return err
	}
	a := &answerer{Nginx: n, http: 80, https: 443, site: s, http01: http01(name), blocks: map[*conf.Server][]edge.Answer{}, o: AuthenticatorOptions{ConfigDir: l.dir + "/le", WorkDir: l.dir + "/work"}}
	_, err = a.planOn()
	return err
}

// planTwice plans on what is there, then on that with the plan's bytes laid over it.
func planTwice(t *testing.T, n *Nginx, l *lab, name string) error {
	t.Helper()
	r := l.request(name)
	r.Enhance = installers.Enhancements{Redirect: true, HSTS: true, Staple: true}
	s, err := wildSite(n)
	if err != nil {
		return err
	}
	p, err := n.planOn(context.Background(), s, r)
	if err != nil {
		return err
	}
	back := map[string]string{}
	for _, c := range p.Changes {
		if c.Op == installers.Rewrite {
			back[c.Path] = string(c.Old)
		}
	}
	l.write(t, p)
	defer func() {
		for path, src := range back {
			write(t, path, src)
		}
	}()
	if s, err = wildSite(n); err != nil {
		t.Errorf("%s: after the plan: %v", name, err)
		return nil
	}
	again, err := n.planOn(context.Background(), s, r)
	if err != nil || !again.Empty() {
		t.Errorf("%s for %s: the second plan: %v %+v", l.root, name, err, again)
	}
	return nil
}

func wildSite(n *Nginx) (*site, error) {
	set, err := conf.Load(n.conf)
	if err != nil {
		return nil, err
	}
	return n.meaning(set)
}
