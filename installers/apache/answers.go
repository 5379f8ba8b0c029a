package apache

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge"
	"edge/installers"
	"edge/installers/answer"
	"edge/installers/apache/conf"
)

// The files of certbot for challenges, in the folder for them.
const (
	preFile  = "le_http_01_challenge_pre.conf"
	postFile = "le_http_01_challenge_post.conf"
	sniFile  = "le_tls_sni_01_cert_challenge.conf"
)

const preText = `        RewriteEngine on
        RewriteRule ^/\.well-known/acme-challenge/([A-Za-z0-9-_=]+)$ %s/$1 [END]
    `

const postText = `        <Directory %s>
            Require all granted
        </Directory>
        <Location /.well-known/acme-challenge>
            Require all granted
        </Location>
    `

// answerer makes the plan for one batch.
type answerer struct {
	*planner
	o         AuthenticatorOptions
	challenge string // the folder for the answers
	http      []edge.Answer
	sni       []sniAnswer
	chosen    []*conf.VirtualHost // that get the answers of HTTP-01
}

// planAnswers says what has to be changed so that Apache gives the answers.
func (a *Apache) planAnswers(ctx context.Context, batch []edge.Answer, o AuthenticatorOptions) (*installers.Plan, error) {
	w := &answerer{o: o, challenge: filepath.Join(realPath(o.WorkDir), "http_challenges")}
	for _, one := range batch {
		if err := answer.Check("Apache", one, o); err != nil {
			return nil, err
		}
		if one.Type == edge.HTTP01 {
			w.http = append(w.http, one)
			continue
		}
		s, err := answer.NewSNI01(one)
		if err != nil {
			return nil, err
		}
		w.sni = append(w.sni, sniAnswer{SNI01: s})
	}
	var err error
	w.planner, err = a.start(ctx, installers.Request{HTTPPort: o.HTTPPort, HTTPSPort: o.HTTPSPort, ConfigDir: o.ConfigDir}, len(w.sni) > 0)
	if err != nil {
		return nil, err
	}
	w.plan.Titles = []string{"HTTP Challenge"}
	if len(w.http) > 0 {
		if err := w.answerHTTP(); err != nil {
			return nil, err
		}
	}
	if len(w.sni) > 0 {
		if err := w.answerSNI(); err != nil {
			return nil, err
		}
	}
	plan, err := w.finish()
	if err != nil {
		return nil, err
	}
	w.checkAnswers()
	return plan, nil
}

// answerHTTP has the virtual hosts that may be asked look into a folder.
func (w *answerer) answerHTTP() error {
	if err := w.listen(fmt.Sprint(w.r.HTTPPort), false); err != nil {
		return err
	}
	if err := w.needModules("rewrite", "authz_core"); err != nil {
		return err
	}
	for _, answer := range w.http {
		if err := w.choose(answer.Identifier.Value); err != nil {
			return err
		}
	}
	pre, post := filepath.Join(w.challenges, preFile), filepath.Join(w.challenges, postFile)
	edited := map[*conf.Directive]bool{}
	for _, v := range w.chosen {
		if edited[v.Directive] {
			continue
		}
		edited[v.Directive] = true
		w.edits.InsertFirst(v.Block, v.File.Indent(v.Block)+conf.Line("Include", pre))
		w.edits.InsertLast(v.Block, conf.Line("Include", post))
		w.plan.Notes = append(w.plan.Notes, "Answer challenges in the virtual host at "+v.Where())
	}
	if err := w.folders(w.challenge); err != nil {
		return err
	}
	files := map[string]string{pre: fmt.Sprintf(preText, w.challenge), post: fmt.Sprintf(postText, conf.Quote(w.challenge))}
	for _, answer := range w.http {
		files[filepath.Join(w.challenge, answer.Token)] = answer.KeyAuth
	}
	return w.writeAll(files)
}

// writeAll writes files. Those that httpd includes are read with what comes.
func (w *answerer) writeAll(files map[string]string) error {
	for _, path := range slices.Sorted(maps.Keys(files)) {
		dir, err := filepath.EvalSymlinks(filepath.Dir(path))
		if errors.Is(err, fs.ErrNotExist) {
			// The folder is to be made.
			w.late = append(w.late, installers.Change{Path: path, Op: installers.Create, New: []byte(files[path]), Mode: 0o644})
			continue
		}
		if err != nil {
			return err
		}
		changes, err := fileChange(filepath.Join(dir, filepath.Base(path)), files[path])
		if err != nil {
			return err
		}
		w.late = append(w.late, changes...)
	}
	return nil
}

// folders makes a folder, and those above it that are not there.
func (w *answerer) folders(path string) error {
	if info, err := os.Stat(path); err == nil {
		if !info.IsDir() {
			return fmt.Errorf("make the folder %s: it is something else", path)
		}
		return nil
	}
	if parent := filepath.Dir(path); parent != path {
		if err := w.folders(parent); err != nil {
			return err
		}
	}
	w.late = append(w.late, installers.Change{Path: path, Op: installers.Mkdir, Mode: 0o755})
	return nil
}

// realPath is a path without symbolic links, as far as it is there.
func realPath(path string) string {
	if real, err := filepath.EvalSymlinks(path); err == nil || path == "/" || path == "." {
		return real
	}
	return filepath.Join(realPath(filepath.Dir(path)), filepath.Base(path))
}

// choose adds the virtual hosts that a name may lead to: those that have it, and those
// without a name; where none of the first is on the port, all on the port.
func (w *answerer) choose(name string) error {
	onPort := func(v *conf.VirtualHost) bool {
		return slices.ContainsFunc(v.Addrs, func(a conf.Addr) bool { return a.AnyPort() || a.Port == fmt.Sprint(w.r.HTTPPort) })
	}
	var hosts []*conf.VirtualHost
	found := false
	for _, v := range w.hosts {
		if covered(v.Names(), name) || v.Has(name) {
			hosts = append(hosts, v)
			found = found || onPort(v) && !v.Made
		}
	}
	for _, v := range w.hosts {
		if found && v.ServerName == "" || !found && onPort(v) && !v.TLS {
			hosts = append(hosts, v)
		}
	}
	if i := slices.IndexFunc(hosts, func(v *conf.VirtualHost) bool { return v.Made && v.Has(name) && onPort(v) }); i >= 0 && !found {
		return fmt.Errorf("answer for %s: its virtual host is made by a macro at %s, and mod_macro is not supported; write it out", name, hosts[i].Where())
	}
	hosts = slices.DeleteFunc(hosts, func(v *conf.VirtualHost) bool { return v.Made })
	if len(hosts) == 0 {
		return certbots("Unable to find a virtual host listening on port %[1]d which is currently needed for Certbot to prove to the CA that you control your domain. Please add a virtual host for port %[1]d.", w.r.HTTPPort)
	}
	for _, v := range hosts {
		if !slices.Contains(w.chosen, v) {
			w.chosen = append(w.chosen, v)
		}
	}
	return nil
}

// checkAnswers says who has to be asked for what. The planner has what comes by now.
func (w *answerer) checkAnswers() {
	var addrs []string
	for _, v := range w.planner.hosts {
		if !v.TLS {
			for _, addr := range w.hostAddresses(v, w.r.HTTPPort) {
				if !slices.Contains(addrs, addr) {
					addrs = append(addrs, addr)
				}
			}
		}
	}
	if len(addrs) == 0 && len(w.http) > 0 {
		w.plan.Warnings = append(w.plan.Warnings, fmt.Sprintf("Apache listens on port %d of no address of this machine; whether it answers cannot be seen from here", w.r.HTTPPort))
	}
	for _, answer := range w.http {
		for _, addr := range w.answering(addrs, answer.Identifier.Value) {
			w.plan.Checks = append(w.plan.Checks, installers.HTTPCheck{
				Addr: addr, Host: answer.Identifier.Value, Path: edge.HTTP01Prefix + answer.Token, WantStatus: []int{200}, WantBody: answer.KeyAuth,
			})
		}
	}
	for _, s := range w.sni {
		for _, addr := range s.addrs {
			w.plan.Serves = append(w.plan.Serves, installers.Endpoint{Addr: addr, Name: s.Name, Leaf: s.Leaf})
		}
	}
}

// answering are the addresses where hosts of a name answer, all where none has it.
func (w *answerer) answering(all []string, name string) []string {
	var out []string
	found := false
	for _, v := range w.planner.hosts {
		if v.TLS || !v.Has(name) {
			continue
		}
		found = true
		for _, addr := range w.hostAddresses(v, w.r.HTTPPort) {
			if !slices.Contains(out, addr) {
				out = append(out, addr)
			}
		}
	}
	if !found {
		return all
	}
	return out
}

func indent(lines ...string) string { return "    " + strings.Join(lines, "\n    ") }
