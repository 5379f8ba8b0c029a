package files

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"maps"
	"path/filepath"
	"slices"
	"strings"

	"edge"
	"edge/installers/delivery"
	"edge/internal/durable"
)

// Layout is how a certificate is laid out in files.
type Layout string

// The layouts.
const (
	Separate     Layout = "separate"      // up to four PEM files
	FullchainKey Layout = "fullchain+key" // one PEM file: leaf, chain, key
	KeyFirst     Layout = "key-first"     // one PEM file: key, leaf, chain
	PKCS12       Layout = "pkcs12"
	JKS          Layout = "jks"
)

// Part is a file that a layout has.
type Part string

// The parts: the first four of Separate, the last of all others.
const (
	Cert      Part = "cert"
	Key       Part = "key"
	Chain     Part = "chain"
	Fullchain Part = "fullchain"
	File      Part = "file"
)

// Options are what a Target is made of.
type Options struct {
	Name     string // of the delivery; its folder is .edge-NAME
	Dir      string // absolute
	Layout   Layout
	Names    map[Part]string // of the files that are wanted, in Dir
	Owner    durable.Owner   // -1: this process's
	Mode     fs.FileMode     // of files with the key; the others are 0644
	Password string          // of PKCS12 and JKS
	Durable  durable.Writer
}

// Target is a folder with a certificate. It implements delivery.Target.
type Target struct{ o Options }

var _ delivery.Target = (*Target)(nil)

// New checks the options, as far as that can be done without looking at the disk.
func New(o Options) (*Target, error) {
	bad := func(format string, args ...any) (*Target, error) {
		return nil, fmt.Errorf("files in %s: %s", o.Dir, fmt.Sprintf(format, args...))
	}
	if !filepath.IsAbs(o.Dir) || filepath.Clean(o.Dir) != o.Dir {
		return bad("write a plain absolute path")
	}
	for p, n := range o.Names {
		switch {
		case (p == File) == (o.Layout == Separate):
			return bad("layout %s has no %s", o.Layout, p)
		case n == "" || len(n) > 200 || n[0] == '.' || strings.ContainsAny(n, "/\x00"):
			return bad("%q cannot be the name of a file", n)
		}
	}
	switch names := slices.Sorted(maps.Values(o.Names)); {
	case len(slices.Compact(names)) != len(o.Names):
		return bad("two files have one name")
	case len(o.Names) == 0:
		return bad("no file is wanted")
	case o.Mode&0o002 != 0 || o.Mode&^0o777 != 0:
		return bad("mode %#o", o.Mode)
	case (o.Layout == PKCS12 || o.Layout == JKS) && o.Password == "":
		return bad("%s needs a password", o.Layout)
	case strings.ContainsFunc(o.Password, func(c rune) bool { return c < ' ' || c > '~' }):
		return bad("the password has characters beyond ASCII, which programs encode in different ways")
	case o.Layout == JKS && len(o.Password) < 6:
		return bad("keytool takes passwords of six characters and more")
	}
	return &Target{o}, nil
}

// Kind implements delivery.Target.
func (t *Target) Kind() string { return "files" }

// Where implements delivery.Target.
func (t *Target) Where() string { return t.o.Dir }

// Settings implements delivery.Target.
func (t *Target) Settings() string {
	parts := []string{string(t.o.Layout), fmt.Sprintf("%#o %d:%d", t.o.Mode, t.o.Owner.UID, t.o.Owner.GID)}
	for _, p := range slices.Sorted(maps.Keys(t.o.Names)) {
		parts = append(parts, string(p)+"="+t.o.Names[p])
	}
	return strings.Join(parts, " ")
}

// Plan implements delivery.Target.
func (t *Target) Plan(context.Context, *delivery.Material) []string {
	var list []string
	for _, p := range slices.Sorted(maps.Keys(t.o.Names)) {
		what := string(p)
		if p == File {
			what = string(t.o.Layout)
		}
		list = append(list, fmt.Sprintf("write %s (%s)", filepath.Join(t.o.Dir, t.o.Names[p]), what))
	}
	return list
}

// data is what Put notes: which version is there, and what is in its files.
type data struct {
	Version int               `json:"version"`
	Sums    map[string]string `json:"sha256"` // by the name of the file
}

func parseData(raw json.RawMessage) (data, error) {
	var d data
	if raw == nil {
		return d, nil
	}
	err := json.Unmarshal(raw, &d)
	return d, err
}

// Put implements delivery.Target.
func (t *Target) Put(_ context.Context, m *delivery.Material, raw json.RawMessage) (delivery.Change, error) {
	old, err := parseData(raw)
	if err != nil {
		return delivery.Change{}, err
	}
	contents, err := t.contents(m)
	if err != nil {
		return delivery.Change{}, err
	}
	if err := t.folder(); err != nil {
		return delivery.Change{}, err
	}
	s := &store{t: t, w: t.o.Durable, dir: t.o.Dir, name: ".edge-" + edge.FileName(t.o.Name), old: old}
	next, err := s.put(contents)
	if err != nil {
		return delivery.Change{}, fmt.Errorf("files in %s: %w", t.o.Dir, err)
	}
	note, err := json.Marshal(next)
	if err != nil {
		return delivery.Change{}, err
	}
	return delivery.Change{
		Data:   note,
		Undo:   func(context.Context) error { return s.undo(next) },
		Commit: func(context.Context) error { return s.commit(next) },
	}, nil
}
