package nginx

import (
	"context"
	"os"
	"slices"
	"strings"

	"edge/installers/nginx/conf"
)

// Names returns the names of hosts that server blocks have, and those that listen
// directives have, as far as a certificate can be had for them, sorted. certbot also looks
// addresses up in the DNS; edge asks nobody.
func (n *Nginx) Names(context.Context) ([]string, error) {
	set, err := conf.Load(n.conf)
	if err != nil {
		return nil, err
	}
	site, err := n.meaning(set)
	if err != nil {
		return nil, err
	}
	var out []string
	add := func(name string) {
		if name = strings.ToLower(name); validHost(name) && strings.Contains(name, ".") && !strings.Contains(name, "_") {
			out = append(out, name)
		}
	}
	for _, s := range site.http.Servers {
		for _, name := range s.Names {
			if name.Text == "$hostname" {
				host, _ := os.Hostname() // only one name less
				add(host)
			} else {
				add(name.Text)
			}
		}
		for _, l := range s.Listens {
			add(l.Host)
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}
