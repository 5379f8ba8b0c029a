package haproxy

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/delivery"
	"edge/installers/pemfile"
)

// HAProxy is one on this machine. It implements delivery.Planner. Not safe for concurrent
// use.
type HAProxy struct {
	o Options
	// place is that of the last plan, created says that its file was not there before.
	place   *place
	created bool
	// recovering: what a run that died left was taken back, of whatever delivery.
	recovering bool
}

var _ delivery.Planner = (*HAProxy)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*HAProxy, error) {
	if err := o.check(); err != nil {
		return nil, err
	}
	return &HAProxy{o: o}, nil
}

// Name implements installers.Server.
func (h *HAProxy) Name() string { return "haproxy" }

// Root implements delivery.Planner.
func (h *HAProxy) Root() string {
	if real, err := filepath.EvalSymlinks(h.o.Config[0]); err == nil {
		return filepath.Dir(real)
	}
	return filepath.Dir(h.o.Config[0])
}

// Settings implements delivery.Planner.
func (h *HAProxy) Settings() string { return h.o.Settings }

type locker = func(ctx context.Context, s installers.Server, root string) (release func() error, err error)

// locked tells what Recover activates from what a plan does.
func (h *HAProxy) locked(lock locker) locker {
	if lock == nil {
		return nil
	}
	return func(ctx context.Context, s installers.Server, root string) (func() error, error) {
		h.recovering = true
		defer func() { h.recovering = false }()
		return lock(ctx, s, root)
	}
}

// Plan implements delivery.Planner.
func (h *HAProxy) Plan(ctx context.Context, m *delivery.Material) (*installers.Plan, error) {
	w, err := h.o.look()
	if err != nil {
		return nil, err
	}
	at, err := w.choose(m)
	if err != nil {
		return nil, err
	}
	p := &installers.Plan{Titles: []string{"Deployed ACME Certificate to HAProxy"}}
	pem := slices.Concat(m.FullChainPEM, m.KeyPEM)
	if err := h.planPEM(p, at, pem); err != nil {
		return nil, err
	}
	if err := planLine(p, at); err != nil {
		return nil, err
	}
	how, err := w.how(ctx, at, len(pem))
	if err != nil {
		return nil, err
	}
	p.Notes = append(p.Notes, fmt.Sprintf("put the certificate into %s", at.path), how)
	p.Serves = serves(at, m)
	if len(p.Serves) == 0 {
		p.Warnings = append(p.Warnings, "no address of HAProxy can be asked for the certificate; say with verify: where it is shown")
	}
	p.Warnings = append(p.Warnings, besides(at.path)...)
	if h.created {
		p.Warnings = append(p.Warnings, first(at)...)
	}
	h.place = at
	return p, nil
}

// planPEM plans the one file of the certificate.
func (h *HAProxy) planPEM(p *installers.Plan, at *place, pem []byte) error {
	path, err := realPath(at.path)
	if err != nil {
		return err
	}
	c := installers.Change{Path: path, Op: installers.Create, New: pem, Mode: h.o.Mode, Owner: h.o.Owner, Secret: true}
	info, err := os.Lstat(path)
	if errors.Is(err, fs.ErrNotExist) {
		h.created = true
		p.Changes = append(p.Changes, c)
		return nil
	}
	if err != nil {
		return err
	}
	h.created = false
	c.Op = installers.Rewrite
	if c.Path, err = filepath.EvalSymlinks(path); err != nil {
		return err
	}
	if c.Old, err = readFile(c.Path, maxPEM); err != nil {
		return err
	}
	if info.Mode()&fs.ModeSymlink != 0 && !hasKey(c.Old) {
		return fmt.Errorf("%s is a symbolic link to %s, which has no key in it: a file of something else is not overwritten; put a PEM file with certificate and key there", path, c.Path)
	}
	if err := pemfile.Takes(c.Path, c.Old); err != nil {
		return err
	}
	if !bytes.Equal(c.Old, c.New) {
		p.Changes = append(p.Changes, c)
		p.Forget = true // no old key is kept
	}
	return nil
}

// planLine plans the line of a crt-list.
func planLine(p *installers.Plan, at *place) error {
	if at.crtList == "" {
		return nil
	}
	path, err := filepath.EvalSymlinks(at.crtList)
	if err != nil {
		return err
	}
	old, err := readFile(path, maxConf)
	if err != nil {
		return err
	}
	p.Changes = append(p.Changes, installers.Change{Path: path, Op: installers.Rewrite, Old: old, New: withLine(old, at.path)})
	return nil
}

// serves are where the certificate has to be shown, for the names that it is shown for.
func serves(at *place, m *delivery.Material) []installers.Endpoint {
	var out []installers.Endpoint
	for _, u := range at.uses {
		some := *m
		some.Hosts = slices.DeleteFunc(slices.Clone(m.Hosts), func(name string) bool { return u.line != nil && !u.line.covers(name) })
		for _, e := range delivery.Asked(u.bind.at, &some) {
			if !slices.Contains(out, e) {
				out = append(out, e)
			}
		}
	}
	return out
}

// besides are warnings of files that HAProxy loads with a PEM file and nobody renews.
func besides(path string) []string {
	var list []string
	for _, suffix := range []string{".ocsp", ".sctl"} {
		if _, err := os.Stat(path + suffix); err == nil {
			list = append(list, fmt.Sprintf("HAProxy loads %s%s with the certificate; it is of the last one: renew or remove it", path, suffix))
		}
	}
	return list
}

// first warns of a new file that comes first in its folder: from the next reload on its
// certificate is that of clients that ask for no name, or an unknown one.
func first(at *place) []string {
	for _, u := range at.uses {
		own := len(u.bind.certs) > 0 && filepath.Clean(u.bind.certs[0].path) == filepath.Dir(at.path)
		if !own || u.bind.strict || u.list != filepath.Dir(at.path) {
			continue
		}
		entries, err := os.ReadDir(u.list) // in order
		entries = slices.DeleteFunc(entries, func(e os.DirEntry) bool { return e.Name()[0] == '.' })
		if err == nil && len(entries) > 0 && filepath.Base(at.path) < entries[0].Name() {
			return []string{fmt.Sprintf("%s is the first file of its folder: after the next reload %s shows it to clients that ask for another name or none; name the one for them before the folder (crt FILE crt %s/)",
				at.path, u.bind.section, u.list)}
		}
	}
	return nil
}

// how says how the certificate gets into use, or why it cannot.
func (w *world) how(ctx context.Context, at *place, size int) (string, error) {
	c, why := w.runtime(ctx, at, size)
	if c != nil {
		return "have HAProxy take it by " + c.String(), nil
	}
	why = fmt.Errorf("HAProxy's socket cannot be used: %w", why)
	if w.o.Update == byRuntime {
		return "", why
	}
	way, err := w.way(ctx)
	if err != nil {
		return "", errors.Join(why, err)
	}
	note := way.says
	if w.o.Update == auto {
		note += " (" + strings.ReplaceAll(why.Error(), "\n", "; ") + ")"
	}
	return note, nil
}

// Test implements installers.Server: haproxy -c, with HAProxy's own environment.
func (h *HAProxy) Test(ctx context.Context) error {
	argv, _ := h.Commands()
	run := find(h.o.Program, h.o.Config)
	if run == nil || run.env == nil {
		_, err := h.o.Run(ctx, argv)
		return err
	}
	said, err := h.o.Exec(ctx, installers.Program{Argv: argv, Env: run.env})
	if err == nil && said.Code != 0 {
		err = fmt.Errorf("%s: exit status %d:\n%s", strings.Join(argv, " "), said.Code, strings.TrimSpace(said.Stdout+"\n"+said.Stderr))
	}
	return err
}

// Commands implements installers.Server. How HAProxy is told is in the notes of a plan.
func (h *HAProxy) Commands() (test, activate []string) {
	test = []string{h.o.Program, "-c"}
	for _, path := range h.o.Config {
		test = append(test, "-f", path)
	}
	return test, nil
}
