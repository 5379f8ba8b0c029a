package nginx

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// site is a configuration at one moment of making a plan, with what it means.
type site struct {
	set  *conf.Set
	http *conf.HTTP
}

// load reads the configuration, which has to be one that nginx itself accepts and reads
// from the same files. Where the running nginx cannot take another one, there is no use.
func (n *Nginx) load(ctx context.Context) (*site, error) {
	if m, ok := n.running(); ok && stopped(m.pid) {
		return nil, fmt.Errorf("the master process %d of nginx is stopped, and takes no new configuration: have it go on with kill -CONT %d", m.pid, m.pid)
	}
	set, err := conf.Load(n.conf)
	if err != nil {
		return nil, err
	}
	if err := n.compare(ctx, set); err != nil {
		return nil, err
	}
	return n.meaning(set)
}

func (n *Nginx) meaning(set *conf.Set) (*site, error) {
	http, err := set.HTTP(conf.Env{Resolve: n.resolve})
	if err != nil {
		return nil, err
	}
	return &site{set, http}, http.Conflict()
}

// with returns the site after edits.
func (n *Nginx) with(s *site, e *conf.Edits) (*site, error) {
	set, err := s.set.With(e)
	if err != nil {
		return nil, err
	}
	return n.meaning(set)
}

// firstDump is the version of nginx that knows -T.
const firstDump = "1.9.2"

// compare has nginx test the configuration and say which files it reads. A file that
// we miss could have the server block that is meant.
func (n *Nginx) compare(ctx context.Context, set *conf.Set) error {
	if versions(n.build.base, firstDump) < 0 {
		return n.Test(ctx)
	}
	out, _, err := n.run(ctx, n.argv("-T", "-q")...)
	if err != nil {
		// The error has all of the configuration: -t says what matters.
		return cmp.Or(n.Test(ctx), fmt.Errorf("run %s -T: it fails, but -t does not", n.ctl))
	}
	for _, name := range set.Opened {
		src, err := set.Source(name)
		if err != nil {
			return err
		}
		rest, found := strings.CutPrefix(out, "# configuration file "+name+":\n"+src+"\n")
		if !found {
			return difference(set, out)
		}
		out = rest
	}
	if strings.Contains(out, "# configuration file ") {
		return difference(set, out)
	}
	return nil
}

// difference says what nginx reads otherwise than we do, as far as the names tell.
func difference(set *conf.Set, rest string) error {
	for line := range strings.Lines(rest) {
		name, ok := strings.CutPrefix(strings.TrimSuffix(line, ":\n"), "# configuration file ")
		if ok && !slices.Contains(set.Opened, name) {
			return fmt.Errorf("read nginx's configuration: nginx reads %s, which was not found from %s: report this, with the include that leads there", name, set.Main.Path)
		}
		if ok {
			return fmt.Errorf("read nginx's configuration: nginx sees something else in %s: it was changed meanwhile, run the command again", name)
		}
	}
	return fmt.Errorf("read nginx's configuration: nginx -T does not end as it should: %.200s", rest)
}
