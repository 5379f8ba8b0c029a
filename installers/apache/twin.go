package apache

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache/conf"
)

// twinFile is a file NAME-le-ssl.conf, to which twins are added.
type twinFile struct {
	path  string // without symbolic links
	twins []*twin
	// head goes first into the section of mod_ssl, as stapling wants it.
	head []string
}

// twin is the copy of a virtual host for HTTPS, as a draft that is edited by itself.
type twin struct {
	file  *twinFile
	draft *conf.File
	edits conf.Edits
	host  *conf.Directive // in the draft
}

const sifted = `# Some rewrite rules in this file were disabled on your HTTPS site,
# because they have the potential to create redirection loops.
`

// makeTwin drafts the copy.
func (p *planner) makeTwin(s *site) error {
	path, err := p.twinPath(s.host.File.Real)
	if err != nil {
		return err
	}
	f := p.twins[path]
	if f == nil {
		f = &twinFile{path: path}
		p.twins[path] = f
		p.order = append(p.order, path)
	}
	text, siftedAny, err := p.copyFor(s.host)
	if err != nil {
		return err
	}
	newline := "\n"
	if strings.Contains(text, "\r\n") {
		newline = "\r\n"
	}
	end := "\n</VirtualHost>\n</IfModule>\n"
	draft, err := conf.Parse(path, strings.ReplaceAll("<IfModule mod_ssl.c>\n", "\n", newline)+text+strings.ReplaceAll(end, "\n", newline))
	if err != nil {
		return fmt.Errorf("copy %s: %w", s.host.Where(), err)
	}
	t := &twin{file: f, draft: draft}
	for section := range draft.Root.Directives() {
		for d := range section.Block.Directives() {
			t.host = d
		}
	}
	f.twins = append(f.twins, t)
	s.twin, s.block, s.edits, s.path = t, t.host.Block, &t.edits, path
	p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Create a virtual host for HTTPS in %s from the one at %s", path, s.host.Where()))
	if siftedAny {
		p.plan.Notes = append(p.plan.Notes, fmt.Sprintf("Some rewrite rules copied from %s were disabled in the vhost for your HTTPS site located at %s because they have the potential to create redirection loops.", s.host.File.Real, path))
	}
	return nil
}

// twinPath is where the copy of a virtual host goes that is in a file.
func (p *planner) twinPath(file string) (string, error) {
	if p.givenVhost {
		if dir, err := filepath.EvalSymlinks(p.vhostRoot); err == nil {
			file = filepath.Join(dir, filepath.Base(file))
		}
	}
	path := strings.TrimSuffix(file, ".conf") + p.extension
	if info, err := os.Lstat(path); err == nil && !info.Mode().IsRegular() {
		return "", fmt.Errorf("create a virtual host for HTTPS in %s: that is no regular file", path)
	}
	return path, nil
}

// copyFor returns the bytes of a virtual host up to its last line, with addresses for
// HTTPS and without rules that would send HTTPS to HTTPS.
func (p *planner) copyFor(v *conf.VirtualHost) (text string, siftedAny bool, err error) {
	var e conf.Edits
	port := fmt.Sprint(p.r.HTTPSPort)
	for i, w := range v.Args() {
		addr := conf.ParseAddr(w.Value)
		if strings.Contains(w.Value, "${") && i < len(v.Addrs) {
			addr = v.Addrs[i]
		}
		addr.Port = port
		e.ReplaceWord(v.Directive, i+1, addr.String())
	}
	var loops []*conf.Directive // conditions and their rule
	var pending []*conf.Directive
	for _, d := range rewrites(v.Block) {
		pending = append(pending, d)
		if d.Is("RewriteCond") {
			continue
		}
		if len(d.Args()) > 1 && strings.HasPrefix(d.Words[2].Value, "https://") {
			loops = append(loops, pending...)
		}
		pending = nil
	}
	for i, d := range loops {
		if i == 0 {
			e.InsertBefore(d, sifted)
		}
		e.CommentOut(d)
	}
	text, err = v.Directive.Copy(&e)
	return text, len(loops) > 0, err
}

// rewrites are the rules of a virtual host with their conditions, at any depth, in the
// order of the file.
func rewrites(b *conf.Block) []*conf.Directive {
	var out []*conf.Directive
	for d := range b.Directives() {
		switch {
		case d.Is("RewriteCond"), d.Is("RewriteRule"):
			out = append(out, d)
		case d.Block != nil:
			out = append(out, rewrites(d.Block)...)
		}
	}
	return out
}

// writeTwins puts the drafts into their file.
func (p *planner) writeTwins(f *twinFile) error {
	var b strings.Builder
	for i, t := range f.twins {
		if i == 0 && len(f.head) > 0 {
			for section := range t.draft.Root.Directives() {
				t.edits.InsertFirst(section.Block, strings.Join(f.head, "\n"))
			}
		}
		done, err := t.draft.With(&t.edits)
		if err != nil {
			return fmt.Errorf("plan for Apache: %w", err)
		}
		b.WriteString(done.Src)
	}
	old, err := readRegular(f.path)
	switch known := p.set.File(f.path); {
	case known != nil:
		p.edits.InsertLast(known.Root, strings.TrimSuffix(strings.ReplaceAll(b.String(), "\r\n", "\n"), "\n"))
		return nil
	case errors.Is(err, os.ErrNotExist):
		p.edits.NewFile(f.path, b.String())
	case err != nil:
		return fmt.Errorf("create a virtual host for HTTPS: %w", err)
	default:
		// It is there, and not turned on.
		p.plan.Warnings = append(p.plan.Warnings, fmt.Sprintf("%s was there already, but not enabled: all that it has is enabled now", f.path))
		p.late = append(p.late, installers.Change{Path: f.path, Op: installers.Rewrite, Old: old, New: append(slices.Clone(old), b.String()...)})
	}
	return nil
}

// linkSites turns on the files that httpd does not read yet.
func (p *planner) linkSites() error {
	for _, path := range p.order {
		if err := p.enable(path); err != nil {
			return err
		}
	}
	return nil
}

// enable has httpd read a file: by a link in sites-enabled where the distribution has
// that, else by an Include in the main file.
func (p *planner) enable(path string) error {
	if p.enabled[path] || p.set.Reads(path) {
		return nil
	}
	p.enabled[path] = true
	dir := filepath.Join(p.serverRoot, "sites-enabled")
	info, err := os.Stat(dir)
	if !p.sites || err != nil || !info.IsDir() {
		p.edits.InsertLast(p.set.Main.Root, conf.Line("Include", path))
		p.plan.Notes = append(p.plan.Notes, "Enable the site by an Include of "+path+" in "+p.set.Main.Real)
		return nil
	}
	if dir, err = filepath.EvalSymlinks(dir); err != nil {
		return err
	}
	link := filepath.Join(dir, filepath.Base(path))
	if target, err := filepath.EvalSymlinks(link); err == nil && target == path {
		return nil
	}
	if _, err := os.Lstat(link); err == nil {
		return fmt.Errorf("enable the site %s: %s is there already, and is something else", path, link)
	}
	p.edits.NewLink(link, path)
	p.plan.Changes = append(p.plan.Changes, installers.Change{Path: link, Op: installers.Symlink, Target: path})
	p.plan.Notes = append(p.plan.Notes, "Enable the site "+path+" by the link "+link)
	return nil
}
