package config

import (
	"fmt"
	"maps"
	"net"
	"path/filepath"
	"slices"
	"strings"
	"time"

	"edge"
)

// deliveries looks at all targets of a configuration: what two of them write would be
// written by one alone.
type deliveries struct {
	l    *loader
	seen map[string]Pos // files that are written, programs that are run for a name
}

func (l *loader) checkDeliveries() {
	d := deliveries{l, map[string]Pos{}}
	for i := range l.cfg.Certificates {
		c := &l.cfg.Certificates[i]
		d.check(fmt.Sprintf("certificates[%d].deliver", i), c.Deliver, []string{c.Name})
	}
	for i := range l.cfg.Sites {
		s := &l.cfg.Sites[i]
		path := fmt.Sprintf("sites[%d].deliver", i)
		if len(s.Deliver) == 0 {
			continue
		}
		switch {
		case s.TLS.Off:
			l.bad(path, "remove it", "a site without TLS has no certificate")
		case s.TLS.Lineage != "":
			l.bad(path, "write it under certificates, beside the lineage", "the certificate of this site is a lineage")
		case s.TLS.Cert != "":
			l.bad(path, "remove it", "the certificate of this site is in files already")
		case s.TLS.OnDemand != nil:
			l.bad(path, "give the names that are to be delivered a site of their own", "on-demand names are not known beforehand")
		default:
			d.check(path, s.Deliver, s.Hosts)
		}
	}
}

func (d *deliveries) check(path string, targets []Deliver, names []string) {
	l := d.l
	for i := range targets {
		t := &targets[i]
		p := fmt.Sprintf("%s[%d]", path, i)
		targets := 0
		for _, is := range []bool{t.Files != nil, t.Exec != nil, t.Server != nil, t.Target != nil} {
			if is {
				targets++
			}
		}
		switch {
		case targets > 1:
			l.bad(p, "write an entry for each", "two targets in one entry")
		case t.Server != nil:
			d.server(p, t, names)
		case t.Files != nil:
			d.files(p+".files", t.Files, names)
		case t.Exec != nil:
			d.exec(p, t, names)
		case t.Target != nil:
			d.target(p, t, names)
		default:
			l.bad(p, "add "+strings.Join(targetNames(), ", "), "no target")
		}
		l.checkArgv(p+".reload", t.Reload)
		l.checkWithin(p+".within", t)
		for j := range t.Verify {
			at := fmt.Sprintf("%s.verify[%d]", p, j)
			if host, port, err := net.SplitHostPort(t.Verify[j].Addr); err != nil || host == "" || !validPort(port) || strings.ContainsAny(host, " @") {
				l.bad(at, "write host:port, or host:port/smtp, IPv6 in brackets", "%q is not where a server can be asked", shown(t.Verify[j].Addr))
			}
		}
	}
}

// maxWithin bounds how long a renewal may be held up by one server.
const maxWithin = 30 * time.Minute

func (l *loader) checkWithin(path string, t *Deliver) {
	_, written := l.pos[path]
	switch {
	case !written:
	case t.Verify == nil && t.Target == nil:
		l.bad(path, "add verify, or remove it", "nobody waits for a server where verify does not name it")
	case t.Within <= 0 || t.Within > maxWithin:
		l.bad(path, "leave it out for what is usual; at most half an hour is possible", "%s is no time to wait", t.Within)
	}
}

func validPort(s string) bool {
	n, ok := plainInt(s)
	return ok && n >= 1 && n <= 65535
}

func (l *loader) checkArgv(path string, argv []string) {
	switch {
	case argv == nil:
	case len(argv) == 0 || argv[0] == "":
		l.bad(path, "name a program", "no program")
	case len(argv) == 1 && strings.ContainsAny(argv[0], " \t"):
		words := strings.Join(strings.Fields(argv[0]), ", ")
		l.bad(path, "there is no shell: write each word as an entry: ["+words+"]", "%q is no program", shown(argv[0]))
	case slices.ContainsFunc(argv, func(a string) bool { return strings.Contains(a, "\x00") }):
		l.bad(path, "", "an argument has a NUL byte")
	}
}

func (d *deliveries) exec(path string, t *Deliver, names []string) {
	l := d.l
	if l.checkArgv(path+".exec.command", t.Exec.Command); t.Exec.Command == nil {
		l.bad(path+".exec.command", "name a program", "no program")
	}
	if t.Reload != nil {
		l.bad(path+".reload", "do it in the command", "exec runs its command and nothing else")
	}
	for _, n := range names {
		d.once(path, "program\x00"+n+"\x00"+strings.Join(t.Exec.Command, "\x00"), "this program gets the certificate of "+n+" already")
	}
}

func (d *deliveries) server(path string, t *Deliver, names []string) {
	l, s := d.l, t.Server
	at := path + "." + s.Kind
	if t.Reload != nil {
		l.bad(path+".reload", "remove it", "%s is reloaded anyway", s.Kind)
	}
	if t.Verify != nil {
		l.bad(path+".verify", "remove it", "%s is asked for the certificate anyway, where its configuration has the names", s.Kind)
	}
	if s.ServerRoot != "" && (!filepath.IsAbs(s.ServerRoot) || filepath.Clean(s.ServerRoot) != s.ServerRoot) {
		l.bad(at+".server_root", "write an absolute path, without . and ..", "%q is not the path of a folder", shown(s.ServerRoot))
	}
	for key, port := range map[string]int{"http_port": s.HTTPPort, "https_port": s.HTTPSPort} {
		if port < 0 || port > 65535 {
			l.bad(at+"."+key, "", "port %d", port)
		}
	}
	for _, n := range names {
		d.once(path, "server\x00"+s.Kind+"\x00"+s.ServerRoot+"\x00"+n, s.Kind+" gets the certificate of "+n+" already")
	}
}

func targetNames() []string {
	names := []string{"files", "exec", "nginx", "apache"}
	for _, k := range installing() {
		names = append(names, k.Name)
	}
	return names
}

// target looks at what is outside of the settings of a kind, which target.Parse has looked
// at.
func (d *deliveries) target(path string, t *Deliver, names []string) {
	kind := t.Target.Kind.Name
	if t.Reload != nil {
		d.l.bad(path+".reload", "remove it; see the settings of "+kind, "%s is told of new certificates by what it has for that", kind)
	}
	for _, n := range names {
		where := "target\x00" + kind + "\x00" + t.Target.Values.String()
		if !t.Target.Kind.Single {
			where += "\x00" + n
		}
		if first, twice := d.seen[where]; twice && t.Target.Kind.Single {
			d.l.bad(path, "keep one of the two, with all names in one certificate", "%s has one certificate, and gets one already, at %s", kind, first)
			return
		}
		d.once(path, where, kind+" gets the certificate of "+n+" already")
	}
}

// once refuses what another delivery does as well.
func (d *deliveries) once(path, what, says string) bool {
	if first, twice := d.seen[what]; twice {
		d.l.bad(path, "keep one of the two, or put {name} into dir or names", "%s, at %s", says, first)
		return false
	}
	d.seen[what] = d.l.place(path)
	return true
}

func (d *deliveries) files(path string, f *Files, names []string) {
	l := d.l
	wanted := parts
	if f.Layout != "separate" {
		wanted = []string{"file"}
	}
	if len(f.Names) == 0 {
		l.bad(path+".names", "leave it out for the default", "no file is wanted")
	}
	for part := range f.Names {
		if !slices.Contains(wanted, part) {
			l.bad(path+".names."+part, "possible: "+strings.Join(wanted, ", "), "layout %s has no %s", f.Layout, part)
		}
	}
	keystore := f.Layout == "pkcs12" || f.Layout == "jks"
	switch _, written := l.pos[path+".password"]; {
	case keystore && !written:
		l.bad(path, "add password: file:PATH", "layout %s needs a password", f.Layout)
	case !keystore && written:
		l.bad(path+".password", "remove it", "layout %s has no password", f.Layout)
	case f.Layout == "jks" && f.Password != "" && len(f.Password) < 6:
		l.bad(path+".password", "choose a longer one", "a JKS wants a password of six characters and more")
	case strings.ContainsFunc(f.Password, func(c rune) bool { return c < ' ' || c > '~' }):
		l.bad(path+".password", "choose another one", "the password has characters beyond ASCII, which programs encode in different ways")
	}
	for _, n := range names {
		dir, at := f.At(n)
		if !filepath.IsAbs(dir) || filepath.Clean(dir) != dir || dir == "/" {
			l.bad(path+".dir", "write an absolute path, without . and ..", "%q is not the path of a folder", shown(dir))
			return
		}
		// Their versions lie in a folder of that name.
		if !d.once(path, dir+"\x00"+edge.FileName(n), "this folder has the certificate of "+n) {
			return
		}
		for _, part := range slices.Sorted(maps.Keys(at)) {
			name := at[part]
			if name == "" || len(name) > 200 || name[0] == '.' || strings.ContainsAny(name, "/\x00") {
				l.bad(path+".names."+part, "write a plain name; the folder is dir", "%q cannot be the name of a file here", shown(name))
				return
			}
			if !d.once(path, filepath.Join(dir, name), filepath.Join(dir, name)+" is written already") {
				return
			}
		}
	}
}
