package haproxy

import (
	"bytes"
	"crypto/x509"
	"encoding/pem"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge"
	"edge/installers/delivery"
)

// place is where a certificate goes.
type place struct {
	path  string // on the disk, as HAProxy's configuration has it
	uses  []use  // of a new one, those to be
	lists []string
	// crtList is one that gets a line; empty: none.
	crtList string
}

// fileName is that of a new PEM file.
func (o *Options) fileName(leaf *x509.Certificate) (string, error) {
	name := o.PEMName
	if name == "" {
		if o.Name == "" || o.Name[0] == '.' {
			return "", fmt.Errorf("haproxy: a PEM file cannot be named after %q; say pem_name", o.Name)
		}
		name = edge.FileName(o.Name) + ".pem"
	}
	if o.Bundle {
		if leaf.PublicKeyAlgorithm == x509.RSA {
			return name + ".rsa", nil
		}
		return name + ".ecdsa", nil
	}
	return name, nil
}

// choose finds the place of a certificate: that which was told, the file that has its
// name, the file that has its names, or a new file.
func (w *world) choose(m *delivery.Material) (*place, error) {
	p, err := w.pems()
	if err != nil {
		return nil, err
	}
	name, err := w.o.fileName(m.Certs[0])
	if err != nil {
		return nil, err
	}
	l, err := w.there(p, m.Certs[0], name)
	if err != nil {
		return nil, err
	}
	if l == nil {
		return w.fresh(p, name)
	}
	for _, u := range l.uses {
		if u.acme {
			return nil, fmt.Errorf("HAProxy gets the certificate %s itself (acme in %s): take that out of its configuration, or deliver this certificate to another file", l.path, u.bind.section)
		}
	}
	at := &place{path: l.path, uses: l.uses}
	for _, u := range l.uses {
		if u.list != "" && !slices.Contains(at.lists, u.list) {
			at.lists = append(at.lists, u.list)
		}
	}
	return at, nil
}

// there is the file that has the certificate, or one for the same names; nil for none.
func (w *world) there(p *pems, leaf *x509.Certificate, name string) (*loaded, error) {
	var named, same []*loaded
	for _, l := range p.files {
		if w.o.CrtDir != "" && filepath.Dir(l.path) != w.o.CrtDir {
			continue
		}
		if filepath.Base(l.path) == name {
			named = append(named, l)
		} else if w.o.PEMName == "" && !w.o.Bundle && succeeds(l.path, leaf) {
			same = append(same, l)
		}
	}
	if len(named) == 0 {
		named = same
	}
	if len(named) > 1 {
		return nil, fmt.Errorf("HAProxy loads several files that the certificate could go to: %s; say which with crt_dir and pem_name", paths(named))
	}
	if len(named) == 1 {
		return named[0], nil
	}
	// One that HAProxy cannot start without.
	var missing []*loaded
	for _, l := range p.files {
		if _, err := os.Lstat(l.path); errors.Is(err, fs.ErrNotExist) && w.o.CrtDir == "" && w.o.PEMName == "" {
			missing = append(missing, l)
		}
	}
	if len(missing) == 1 {
		return missing[0], nil
	}
	return nil, nil
}

func paths(files []*loaded) string {
	var names []string
	for _, l := range files {
		names = append(names, l.path)
	}
	return strings.Join(names, ", ")
}

// succeeds reports whether a certificate is for all names that the one in a file is for,
// and of its kind.
func succeeds(path string, leaf *x509.Certificate) bool {
	raw, err := readFile(path, maxPEM)
	if err != nil {
		return false
	}
	old := firstCert(raw)
	if old == nil || len(old.DNSNames) == 0 || old.PublicKeyAlgorithm != leaf.PublicKeyAlgorithm {
		return false
	}
	return !slices.ContainsFunc(old.DNSNames, func(n string) bool {
		return !slices.ContainsFunc(leaf.DNSNames, func(have string) bool { return strings.EqualFold(have, n) })
	})
}

// firstCert is the first certificate of a PEM file, nil where there is none.
func firstCert(raw []byte) *x509.Certificate {
	for block, rest := pem.Decode(raw); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				return nil
			}
			return c
		}
	}
	return nil
}

func hasKey(raw []byte) bool { return bytes.Contains(raw, []byte("PRIVATE KEY-----")) }

// fresh is the place of a new file: a folder that HAProxy loads, or a crt-list.
func (w *world) fresh(p *pems, name string) (*place, error) {
	var folders, files []*list
	for _, l := range p.lists {
		switch {
		case l.file && (w.o.CrtList == "" || w.o.CrtList == l.path):
			files = append(files, l)
		case !l.file && w.o.CrtList == "" && (w.o.CrtDir == "" || w.o.CrtDir == l.path):
			folders = append(folders, l)
		}
	}
	switch {
	case len(folders) == 1:
		l := folders[0]
		at := &place{path: filepath.Join(l.path, name), lists: []string{l.path}}
		for _, b := range l.binds {
			at.uses = append(at.uses, use{bind: b, list: l.path})
		}
		return at, notACME(at)
	case len(folders) > 1:
		return nil, fmt.Errorf("HAProxy loads several folders of certificates: %s; say which with crt_dir", listPaths(folders))
	case len(files) == 1:
		l := files[0]
		at := &place{path: filepath.Join(w.o.dirFor(l, w.base), name), lists: []string{l.path}, crtList: l.path}
		for _, b := range l.binds {
			at.uses = append(at.uses, use{bind: b, list: l.path})
		}
		return at, notACME(at)
	case len(files) > 1:
		return nil, fmt.Errorf("HAProxy loads several crt-lists: %s; say which with crt_list", listPaths(files))
	}
	return nil, w.nowhere(p)
}

// nowhere says why no place was found, and what to do.
func (w *world) nowhere(p *pems) error {
	switch {
	case w.o.CrtList != "":
		return fmt.Errorf("no bind line of %s has crt-list %s", strings.Join(w.o.Config, ", "), w.o.CrtList)
	case w.o.CrtDir != "":
		return fmt.Errorf("no bind line of %s loads %s: write \"bind :443 ssl crt %[2]s/\"", strings.Join(w.o.Config, ", "), w.o.CrtDir)
	case len(p.files) > 0:
		return fmt.Errorf("HAProxy loads single files, for other names: %s; have it load their folder (\"crt FOLDER/\"), or say with crt_dir and pem_name which one to replace", paths(p.files))
	case len(p.odd) > 0:
		return fmt.Errorf("HAProxy finds its certificates by relative paths (%s): write them absolute, or set crt-base", strings.Join(p.odd, ", "))
	}
	return fmt.Errorf("no bind line of %s has certificates: write \"bind :443 ssl crt FOLDER/\", with at least one certificate in the folder", strings.Join(w.o.Config, ", "))
}

// dirFor is the folder for a new PEM file of a crt-list: where its others are.
func (o *Options) dirFor(l *list, base string) string {
	if o.CrtDir != "" {
		return o.CrtDir
	}
	for _, line := range l.lines {
		if file := below(base, line.file); filepath.IsAbs(file) {
			return filepath.Dir(file)
		}
	}
	return filepath.Dir(l.path)
}

func notACME(at *place) error {
	for _, u := range at.uses {
		if u.bind.acme {
			return fmt.Errorf("HAProxy gets certificates for %s itself (acme): take that out of its configuration, or deliver to another folder with crt_dir", u.bind.section)
		}
	}
	return nil
}

func listPaths(lists []*list) string {
	var names []string
	for _, l := range lists {
		names = append(names, l.path)
	}
	return strings.Join(names, ", ")
}
