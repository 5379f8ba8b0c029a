package lineage

import (
	"crypto/x509"
	"fmt"
	"path/filepath"
	"slices"
	"time"
)

// Lineage is one as it was when it was loaded or last changed through it. Not safe
// for concurrent use.
type Lineage struct {
	tree    *Tree
	name    string
	conf    *conf
	links   [4]link // in the order of Kinds
	archive string
	leaf    *x509.Certificate // once it was asked for
}

// link is one of those in the live folder.
type link struct {
	path   string
	target string // absolute
}

// Name is that of the renewal file, whatever is in it.
func (l *Lineage) Name() string { return l.name }

// ConfPath is the renewal file.
func (l *Lineage) ConfPath() string { return l.conf.file }

// ArchiveDir has the versions. It may lie anywhere, and another lineage may have it, too.
func (l *Lineage) ArchiveDir() string { return l.archive }

// LiveDir is the folder of the link to the leaf: what certbot gives to deploy hooks
// as RENEWED_LINEAGE.
func (l *Lineage) LiveDir() string { return filepath.Dir(l.links[0].path) }

// Path is the link to a file: what servers are configured with.
func (l *Lineage) Path(kind Kind) string { return l.links[kind].path }

// Read returns the file of a kind that the link points to.
func (l *Lineage) Read(kind Kind) ([]byte, error) {
	data, _, err := readFile(l.Path(kind))
	return data, err
}

// Leaf is the certificate that the lineage has now.
func (l *Lineage) Leaf() (*x509.Certificate, error) {
	if l.leaf != nil {
		return l.leaf, nil
	}
	data, err := l.Read(Cert)
	if err != nil {
		return nil, err
	}
	leaf, err := parseLeaf(data)
	if err != nil {
		return nil, fmt.Errorf("certificate %s: %w", l.Path(Cert), err)
	}
	l.leaf = leaf
	return leaf, nil
}

// Names are what the certificate is for, in certbot's order: the common name, DNS
// names, IP addresses; each once.
func (l *Lineage) Names() ([]string, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return nil, err
	}
	var names []string
	add := func(name string) {
		if name != "" && !slices.Contains(names, name) {
			names = append(names, name)
		}
	}
	add(leaf.Subject.CommonName)
	for _, name := range leaf.DNSNames {
		add(name)
	}
	for _, ip := range leaf.IPAddresses {
		add(ip.String())
	}
	return names, nil
}

// NotAfter is the end of the certificate that the lineage has now.
func (l *Lineage) NotAfter() (time.Time, error) {
	leaf, err := l.Leaf()
	if err != nil {
		return time.Time{}, err
	}
	return leaf.NotAfter, nil
}
