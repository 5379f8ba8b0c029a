package config

import (
	"fmt"
	"io/fs"
	"os"
	"slices"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v4"

	"edge"
)

// Deliver is one target of a certificate: Files, Exec, Server or Target.
type Deliver struct {
	Files  *Files
	Exec   *Exec
	Server *WebServer
	Target *Target
	Reload []string      // argv, run when the certificate was put; nil: nothing
	Verify []Verify      // where the live server has to show it; nil: nobody looks
	Within time.Duration // how long it may take to; 0: what is usual for the target
	Pos    Pos           // of the entry, for messages
}

// Verify is where a server shows a certificate.
type Verify struct {
	Addr     string // host:port
	StartTLS string // smtp, lmtp, imap, pop3, postgres or mysql; "": TLS from the first byte
}

// Files is a folder that a certificate is kept in.
type Files struct {
	Dir          string            // as written, see At
	Layout       string            // separate, fullchain+key, key-first, pkcs12 or jks
	Names        map[string]string // by part: cert, key, chain, fullchain; file; as written, see At
	Owner, Group string            // names or numbers; "": root's
	Mode         fs.FileMode       // of files with the key
	// Password is that of pkcs12 and jks; secret. It is "" where who loads the
	// configuration, such as the door, may not read its file.
	Password string
}

// At is the folder for one certificate, and the names of the files in it by their parts.
func (f *Files) At(name string) (dir string, names map[string]string) {
	fill := strings.NewReplacer("{name}", edge.FileName(name))
	names = make(map[string]string, len(f.Names))
	for part, n := range f.Names {
		names[part] = fill.Replace(n)
	}
	return fill.Replace(f.Dir), names
}

// Exec is a program that gets a certificate.
type Exec struct {
	Command []string
	Style   string // certbot or acme.sh
}

// WebServer is a server whose configuration is changed to use a certificate.
type WebServer struct {
	Kind                string // nginx or apache
	ServerRoot, Ctl     string // "": as the server was built
	HTTPPort, HTTPSPort int    // 0: 80, 443
}

var (
	webServers = []string{"nginx", "apache"}
	layouts    = []string{"separate", "fullchain+key", "key-first", "pkcs12", "jks"}
	protocols  = []string{"smtp", "lmtp", "imap", "pop3", "postgres", "mysql", "ldap", "ftp", "sieve", "xmpp"}
	parts      = []string{"cert", "key", "chain", "fullchain"}
)

// deliverKey is the list of targets of a certificate.
func deliverKey(doc string) key {
	entry := obj("", "",
		obj("files", "a folder, in which the files change all at once",
			must(str("dir", "", "folder; it is made where it is missing, and belongs to root. `{name}` is the name of the lineage or host")),
			of(str("layout", "separate", "PEM in several files or in one, the key at its end or its beginning; or a keystore"), layouts...),
			obj("names", "file names, of those files that are wanted; without it, all that the layout has",
				str("cert", "cert.pem", "separate: the leaf"),
				str("key", "privkey.pem", "separate: the key"),
				str("chain", "chain.pem", "separate: what comes after the leaf"),
				str("fullchain", "fullchain.pem", "separate: both"),
				str("file", "{name}.pem, .p12 or .jks", "the one file of all other layouts")),
			str("owner", "root", "user that the files belong to, a name or a number"),
			str("group", "root", "group of the files"),
			str("mode", "0600", "mode of files with the key, in quotes; 0640 where there is a group. The others are 0644"),
			key{name: "password", kind: kSecret, doc: "of pkcs12 and jks: `file:PATH`"}),
		obj("exec", "a program, run when the certificate is new",
			must(list("command", "", "program and arguments; there is no shell", text())),
			of(str("style", "certbot", "certbot: RENEWED_LINEAGE and RENEWED_DOMAINS in the environment; acme.sh: five more arguments: name, key, cert, chain, fullchain"), "certbot", "acme.sh")),
		webServerKey("nginx", "nginx, whose configuration is changed as `edge install --nginx` does it; it is tested, reloaded, verified and undone", "folder of nginx.conf"),
		webServerKey("apache", "Apache httpd, likewise", "folder of apache2.conf or httpd.conf"),
		list("reload", "", "files: program and arguments that have the server read the files; there is no shell", text()),
		oneOf("verify", "", "not nginx and apache: where the live server has to show the certificate, beside where the target looks itself, else all is undone: `host:port`, `host:port/smtp` (lmtp, imap, pop3, postgres, mysql, ldap, ftp, sieve, xmpp)",
			text(), list("", "", "", text())),
		dur("within", "10s, or what the target needs", "how long the server may take to show it after the reload; longer for one that restarts slowly"))
	entry.fields = append(entry.fields, targetKeys()...)
	return list("deliver", "", doc, entry)
}

func webServerKey(name, doc, root string) key {
	return obj(name, doc,
		str("server_root", "the installed one's", root),
		str("ctl", "", "its program"),
		num("http_port", "80", "port of plain HTTP in its configuration"),
		num("https_port", "443", "port of HTTPS in its configuration"))
}

func (l *loader) decodeDeliver(v value) []Deliver {
	var all []Deliver
	for _, i := range v.items(0) {
		d := Deliver{Pos: v.f.pos(i.n)}
		if f := i.get("files"); f.n != nil {
			d.Files = l.decodeFiles(f)
		}
		if e := i.get("exec"); e.n != nil {
			d.Exec = &Exec{Style: "certbot"}
			e.get("command").texts(&d.Exec.Command)
			e.get("style").text(&d.Exec.Style)
		}
		for _, kind := range webServers {
			w := i.get(kind)
			if w.n == nil {
				continue
			}
			if d.Server != nil {
				l.at(w.f, w.n, i.path+": two targets in one entry", "write an entry for each")
			}
			d.Server = &WebServer{Kind: kind}
			w.get("server_root").text(&d.Server.ServerRoot)
			w.get("ctl").text(&d.Server.Ctl)
			w.get("http_port").number(&d.Server.HTTPPort)
			w.get("https_port").number(&d.Server.HTTPSPort)
		}
		d.Target = l.decodeTarget(i)
		i.get("reload").texts(&d.Reload)
		d.Verify = l.decodeVerify(i.get("verify"))
		i.get("within").duration(&d.Within)
		all = append(all, d)
	}
	return all
}

func (l *loader) decodeFiles(v value) *Files {
	f := &Files{Layout: "separate", Names: map[string]string{}}
	v.get("dir").text(&f.Dir)
	v.get("layout").text(&f.Layout)
	v.get("owner").text(&f.Owner)
	v.get("group").text(&f.Group)
	names := v.get("names")
	for _, part := range append([]string{"file"}, parts...) {
		if n := names.get(part); n.n != nil {
			f.Names[part] = n.n.Value
		}
	}
	if names.n == nil {
		f.Names = defaultNames(f.Layout)
	}
	f.Mode = 0o600
	if f.Group != "" {
		f.Mode = 0o640
	}
	if m := v.get("mode"); m.n != nil {
		n, err := strconv.ParseUint(m.n.Value, 8, 32)
		if f.Mode = fs.FileMode(n); err != nil || len(m.n.Value) < 3 || n > 0o777 || n&0o002 != 0 {
			l.at(m.f, m.n, fmt.Sprintf("%s: %q is not the mode of a key", m.path, shown(m.n.Value)), `write it as "0600" or "0640"`)
		}
	}
	l.decodePassword(v.get("password"), f)
	return f
}

// decodePassword reads the file of a password, unless it is for the steward alone: the
// door has no need of it.
func (l *loader) decodePassword(v value, f *Files) {
	if v.n == nil {
		return
	}
	path, ok := strings.CutPrefix(v.n.Value, "file:")
	if !ok {
		l.at(v.f, v.n, v.path+": the password is written out", "put it into a file that only root can read, and write file:PATH")
		return
	}
	if l.trust == nil {
		if r, err := os.Open(beside(v.f.path, path)); err != nil {
			if os.IsPermission(err) {
				return
			}
		} else {
			r.Close()
		}
	}
	l.secret(v, &f.Password)
}

func defaultNames(layout string) map[string]string {
	switch layout {
	case "separate":
		return map[string]string{"cert": "cert.pem", "key": "privkey.pem", "chain": "chain.pem", "fullchain": "fullchain.pem"}
	case "pkcs12":
		return map[string]string{"file": "{name}.p12"}
	case "jks":
		return map[string]string{"file": "{name}.jks"}
	}
	return map[string]string{"file": "{name}.pem"}
}

func (l *loader) decodeVerify(v value) []Verify {
	if v.n == nil {
		return nil
	}
	items := []value{v}
	if v.n.Kind == yaml.SequenceNode {
		items = v.items(0)
	}
	var all []Verify
	for _, i := range items {
		addr, proto, slash := strings.Cut(i.n.Value, "/")
		if slash && !slices.Contains(protocols, proto) {
			hint := "possible: " + strings.Join(protocols, ", ") + "; without any, TLS from the first byte"
			if s := suggest(proto, protocols); s != "" {
				hint = "did you mean " + s + "? " + hint
			}
			l.at(i.f, i.n, fmt.Sprintf("%s: no way is known to begin TLS in %q", i.path, shown(proto)), hint)
		}
		all = append(all, Verify{addr, proto})
	}
	return all
}
