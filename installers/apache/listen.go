package apache

import (
	"path/filepath"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

// listen has httpd listen on a port, on all addresses or on each that it listens on
// already.
func (p *planner) listen(port string, https bool) error {
	service := port
	if https && port != "443" {
		service += " https"
	}
	var add []string
	listens := p.set.Listens()
	if slices.ContainsFunc(listens, func(l conf.Listen) bool { return l.Port == port }) {
		return nil
	}
	for _, l := range listens {
		if l.Host == "" {
			add = []string{service}
			break
		}
		if one := l.Host + ":" + service; !slices.Contains(add, one) {
			add = append(add, one)
		}
	}
	if len(listens) == 0 {
		add = []string{service}
	}
	for i, a := range add {
		add[i] = "Listen " + a
	}
	file := p.set.Main
	if real, err := filepath.EvalSymlinks(filepath.Join(p.serverRoot, "ports.conf")); err == nil && p.set.File(real) != nil {
		file = p.set.File(real)
	}
	p.plan.Notes = append(p.plan.Notes, "Add "+strings.Join(add, ", ")+" to "+file.Real)
	text := strings.Join(add, "\n")
	if !https {
		p.edits.InsertLast(file.Root, text)
		return nil
	}
	p.intoSSL(&p.edits, file, text)
	return nil
}

// intoSSL puts lines first into the section <IfModule mod_ssl.c> of a file, which is
// made where there is none.
func (p *planner) intoSSL(e *conf.Edits, file *conf.File, text string) {
	for d := range file.Root.Directives() {
		if d.Block != nil && d.Is("IfModule") && len(d.Args()) == 1 && d.Words[1].Value == "mod_ssl.c" {
			e.InsertFirst(d.Block, text)
			return
		}
	}
	e.InsertLast(file.Root, "<IfModule mod_ssl.c>\n"+text+"\n</IfModule>")
}
