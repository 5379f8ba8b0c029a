package hitch

import (
	"bytes"
	"context"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strconv"

	"edge"
	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
)

// load reads the configuration that hitch has, wherever links lead to.
func (h *Hitch) load() (path string, l *layout, err error) {
	path, err = filepath.EvalSymlinks(h.o.Config)
	if err != nil {
		return "", nil, err
	}
	info, err := os.Stat(path)
	switch {
	case err != nil:
		return "", nil, err
	case !info.Mode().IsRegular() || info.Size() > maxConf:
		return "", nil, fmt.Errorf("%s is not a file of at most %d bytes", path, maxConf)
	}
	src, err := os.ReadFile(path)
	if err != nil {
		return "", nil, err
	}
	if l, err = read(src); err != nil {
		return "", nil, fmt.Errorf("%s: %w", path, err)
	}
	return path, l, nil
}

// pemPath is where the certificate goes.
func (h *Hitch) pemPath(l *layout) (string, error) {
	name := edge.FileName(h.o.Name) + ".pem"
	switch {
	case h.o.PEM != "":
		return h.o.PEM, nil
	case l.dir == "":
		return filepath.Join(h.o.Dir, name), nil
	case !filepath.IsAbs(l.dir):
		return "", fmt.Errorf("pem-dir %q is not absolute; write it so, or say with pem: which file it is", l.dir)
	case !l.matches(name):
		return "", fmt.Errorf("pem-dir-glob %q leaves %s out; change it, or say with pem: which file it is", l.glob, name)
	}
	return filepath.Join(l.dir, name), nil
}

// Plan implements delivery.Planner.
func (h *Hitch) Plan(_ context.Context, m *delivery.Material) (*installers.Plan, error) {
	conf, l, err := h.load()
	if err != nil {
		return nil, err
	}
	ours, err := h.pemPath(l)
	if err != nil {
		return nil, err
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to hitch"}}
	uses, err := l.use(ours, sni(m.Certs[0]))
	if err != nil {
		return nil, fmt.Errorf("%s: %w", conf, err)
	}
	if err := h.planPEM(p, ours, m); err != nil {
		return nil, err
	}
	if len(uses.edits) > 0 {
		src, err := apply(l.src, uses.edits)
		if err != nil {
			return nil, err
		}
		p.Changes = append(p.Changes, installers.Change{Path: conf, Op: installers.Rewrite, Old: l.src, New: src})
	}
	p.Serves = delivery.Asked(uses.at, m)
	p.Watch = uses.watch
	p.Notes = uses.notes
	return p, nil
}

// planPEM plans the one file of the certificate.
func (h *Hitch) planPEM(p *installers.Plan, ours string, m *delivery.Material) error {
	c := installers.Change{Path: ours, Op: installers.Create, New: slices.Concat(m.FullChainPEM, m.KeyPEM), Mode: 0o600, Secret: true}
	dir := filepath.Dir(ours)
	real, err := filepath.EvalSymlinks(dir)
	switch {
	case errors.Is(err, fs.ErrNotExist) && h.o.PEM == "" && dir == h.o.Dir:
		above, err := filepath.EvalSymlinks(filepath.Dir(dir))
		if err != nil {
			return err
		}
		real = filepath.Join(above, filepath.Base(dir))
		p.Changes = append(p.Changes, installers.Change{Path: real, Op: installers.Mkdir, Mode: 0o700})
	case err != nil:
		return err
	}
	c.Path = filepath.Join(real, filepath.Base(ours))
	if target, err := filepath.EvalSymlinks(c.Path); err == nil {
		c.Path = target
	} else if !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	if err := h.noteAll(); err != nil {
		return err
	}
	h.ours = c.Path
	_, old, err := leafOf(c.Path)
	switch {
	case errors.Is(err, fs.ErrNotExist):
		p.Changes = append(p.Changes, c)
		return nil
	case err != nil && old == nil:
		return err
	}
	if err := pemfile.Takes(c.Path, old); err != nil {
		return err
	}
	c.Op, c.Old, c.New = installers.Rewrite, old, append(c.New, parameters(old)...)
	if !bytes.Equal(c.Old, c.New) {
		p.Changes = append(p.Changes, c)
		p.Forget = true // no old key is kept
	}
	return nil
}

// parameters are what a PEM file has for hitch beside certificate and key.
func parameters(old []byte) []byte {
	var out []byte
	for block, rest := pem.Decode(old); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "DH PARAMETERS" {
			out = append(out, pem.EncodeToMemory(block)...)
		}
	}
	return out
}

// uses is how a certificate gets into use.
type uses struct {
	edits []edit
	at    []installers.Endpoint // where it has to be shown, without names
	watch []installers.Endpoint
	notes []string
}

// use finds the place for a PEM file in the configuration. A certificate that is for none
// but the same names makes room for it.
func (l *layout) use(ours string, names map[string]bool) (*uses, error) {
	u := &uses{}
	others, err := l.inDir()
	if err != nil {
		return nil, err
	}
	for _, path := range others {
		if path == ours {
			continue
		}
		if leaf, _, err := leafOf(path); err == nil {
			if both := shared(sni(leaf), names); both != "" {
				return nil, fmt.Errorf("%s has a certificate for %s too, and which one hitch shows is left to chance; remove it, or say with pem: that it is the file to write", path, both)
			}
		}
	}
	global := false
	for _, f := range l.frontends {
		has, err := u.scope(f.files, ours, names)
		if err != nil {
			return nil, err
		}
		if f.global || has {
			u.at = append(u.at, f.at)
		} else {
			u.notes = append(u.notes, fmt.Sprintf("the frontend %s has certificates of its own, and stays as it is", f.at.Addr))
		}
		global = global || f.global
	}
	switch {
	case len(u.at) == 0:
		return nil, errors.New("each frontend of hitch has pem-files of its own, and none is for these names; write match-global-certs = on into the frontend that is to show the certificate")
	case !global:
		return u, nil
	}
	has, err := u.scope(l.files, ours, names)
	if err != nil {
		return nil, err
	}
	takes := filepath.Dir(ours) == filepath.Clean(l.dir) && l.matches(filepath.Base(ours))
	if !has && !takes {
		u.edits = append(u.edits, l.insert(ours))
	}
	// The last one is for clients that name no host, and stays so.
	if n := len(l.files); n > 0 && len(u.edits) > 0 && l.files[n-1].path != ours && !u.edit(l.files[n-1].val) {
		u.watchDefault(l)
	}
	return u, nil
}

// edit reports whether a value gets another one.
func (u *uses) edit(val span) bool {
	return slices.ContainsFunc(u.edits, func(e edit) bool { return e.span == val })
}

func (u *uses) watchDefault(l *layout) {
	for _, f := range l.frontends {
		if len(f.files) == 0 {
			u.watch = append(u.watch, f.at)
		}
	}
}

// scope looks at the entries of one frontend, or those of all: whether the file is, or
// will be, one of them.
func (u *uses) scope(files []pemFile, ours string, names map[string]bool) (has bool, err error) {
	for _, f := range files {
		path := f.path
		if !filepath.IsAbs(path) {
			path = filepath.Join("/", path) // where units are started
		}
		if path == ours {
			if has {
				return false, fmt.Errorf("line %d: %s is named twice, or takes the place of another one; remove one", f.line, ours)
			}
			has = true
			continue
		}
		leaf, _, err := leafOf(path)
		if err != nil {
			return false, fmt.Errorf("line %d: pem-file %.100q: %w", f.line, f.path, err)
		}
		theirs := sni(leaf)
		both := shared(theirs, names)
		if both == "" {
			continue
		}
		if extra := beyond(theirs, names); extra != "" || f.plus || has {
			return false, fmt.Errorf("line %d: %s has a certificate for %s too, and which one hitch shows is left to chance; remove the entry, or say with pem: that it is the file to write", f.line, f.path, both)
		}
		has = true
		u.edits = append(u.edits, edit{f.val, `"` + ours + `"`})
		for _, d := range f.drop {
			u.edits = append(u.edits, edit{d, ""}) // the key of the old one, and what its CA said
		}
		u.notes = append(u.notes, fmt.Sprintf("%s takes the place of %s, which stays where it is", ours, f.path))
	}
	return has, nil
}

// insert is an entry before all others, since the last one is the default.
func (l *layout) insert(ours string) edit {
	line := `pem-file = "` + ours + "\"\n"
	if len(l.files) > 0 {
		at := l.files[0].at.from
		return edit{span{at, at}, line}
	}
	if n := len(l.src); n > 0 && l.src[n-1] != '\n' {
		line = "\n" + line
	}
	return edit{span{len(l.src), len(l.src)}, line}
}

// shared is a name of both, "" where there is none.
func shared(a, b map[string]bool) string {
	for _, n := range slices.Sorted(maps.Keys(a)) {
		if b[n] {
			return n
		}
	}
	return ""
}

// beyond is a name that only the first has.
func beyond(a, b map[string]bool) string {
	for _, n := range slices.Sorted(maps.Keys(a)) {
		if !b[n] {
			return n
		}
	}
	return ""
}

// Test implements installers.Server.
func (h *Hitch) Test(ctx context.Context) error {
	test, _ := h.Commands()
	_, err := h.o.Run(ctx, test)
	return err
}

// Commands implements installers.Server.
func (h *Hitch) Commands() (test, activate []string) {
	test = []string{h.o.Program, "--test", "--config=" + h.o.Config}
	if len(h.o.Reload) > 0 {
		return test, h.o.Reload
	}
	if p, err := h.running(); err == nil {
		return test, []string{"kill", "-HUP", strconv.Itoa(p.PID)}
	}
	return test, []string{"systemctl", "start", "hitch"}
}
