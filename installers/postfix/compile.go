package postfix

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"

	"edge/installers/delivery"
	"edge/installers/pemfile"
	"edge/internal/durable"
)

// mapType is the type of the table of names, with what its compiled file ends in.
func (p *Postfix) mapType(l *loaded) (kind, suffix string, err error) {
	kind = p.o.MapType
	if kind == "" {
		kind = l.values["default_database_type"]
	}
	suffix, ok := map[string]string{"hash": ".db", "btree": ".db", "cdb": ".cdb", "lmdb": ".lmdb", "texthash": ""}[kind]
	if !ok {
		return "", "", fmt.Errorf("a table of names cannot have the type %.40q; set map_type: hash, btree, cdb, lmdb or texthash", kind)
	}
	return kind, suffix, nil
}

func (p *Postfix) postmap(l *loaded) string {
	return filepath.Join(l.values["command_directory"], "postmap")
}

// compiled reports whether the table that is there has the certificate for all its names.
func (p *Postfix) compiled(ctx context.Context, l *loaded, table string, m *delivery.Material, pem []byte) bool {
	for _, h := range m.Hosts {
		got, err := p.exec(ctx, []string{p.postmap(l), "-c", p.o.ConfigDir, "-F", "-q", sniKey(h), table})
		if err != nil || got != string(bytes.TrimSpace(pem)) {
			return false
		}
	}
	return true
}

// compile makes the file that Postfix reads, aside, with the new PEM file in the place of
// the one that is there. postmap takes what it finds: all files are looked at before.
func (p *Postfix) compile(ctx context.Context, l *loaded, t *sniMap, kind, suffix string, pem []byte) (db []byte, err error) {
	if p.o.State == "" {
		return nil, errors.New("there is no folder to compile the table of names in")
	}
	scratch := &scratch{w: &p.o.Durable, dir: filepath.Join(p.o.State, "postmap")}
	if err := scratch.begin(p.o.State); err != nil {
		return nil, err
	}
	defer func() { err = errors.Join(err, scratch.clean()) }()
	ours := filepath.Join(scratch.dir, "new.pem")
	source := filepath.Join(scratch.dir, "sni")
	for _, path := range t.paths() {
		if path == p.pem() {
			continue
		}
		if err := checkFiles(values{"": path}.list("")); err != nil {
			return nil, fmt.Errorf("%s: %w; repair it, or take its names out of the table", p.table(), err)
		}
	}
	moved := t.moved(func(path string) string {
		if path == p.pem() {
			return ours
		}
		return path
	})
	err = p.o.Durable.WriteFile(ours, pem, 0o600)
	if err == nil {
		err = p.o.Durable.WriteFile(source, moved, 0o600) // what is made of it has its mode
	}
	if err != nil {
		return nil, err
	}
	if _, err := p.o.Run(ctx, []string{p.postmap(l), "-c", p.o.ConfigDir, "-F", kind + ":" + source}); err != nil {
		return nil, err
	}
	i := slices.IndexFunc(t.entries, func(e sniEntry) bool { return e.path == p.pem() })
	if i >= 0 {
		got, err := p.exec(ctx, []string{p.postmap(l), "-c", p.o.ConfigDir, "-F", "-q", t.entries[i].key, kind + ":" + source})
		if err != nil {
			return nil, err
		}
		if got != string(bytes.TrimSpace(pem)) {
			return nil, fmt.Errorf("postmap compiled something else for %s than the certificate", t.entries[i].key)
		}
	}
	return pemfile.Read(source + suffix)
}

// scratch is a folder of root's that is gone afterwards.
type scratch struct {
	w   *durable.Writer
	dir string
}

// begin makes it, without what a run that died has left.
func (s *scratch) begin(above string) error {
	if err := s.clean(); err != nil {
		return err
	}
	if err := s.w.Mkdir(above, 0o700); err != nil {
		return err
	}
	return s.w.Mkdir(s.dir, 0o700)
}

func (s *scratch) clean() error {
	entries, err := os.ReadDir(s.dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return err
	}
	for _, e := range entries {
		if err := s.w.Remove(filepath.Join(s.dir, e.Name())); err != nil {
			return err
		}
	}
	return s.w.Rmdir(s.dir)
}
