package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"iter"
	"path/filepath"
	"slices"
	"strings"
)

// Bounds of a whole configuration. Hosters have ten thousand files in one.
const (
	maxSetBytes = 128 << 20
	maxSetWords = 8 << 20
	maxIncludes = 100_000  // files opened, a file that is included twice counted twice
	maxVisits   = 10 << 20 // directives looked at on the way
	maxDepth    = 50       // of includes in included files
)

// Set is a whole configuration: nginx.conf and everything that it includes. It is
// immutable. Safe for concurrent use.
type Set struct {
	Main *File
	// Files are in the order in which nginx opens them first. A file that has several
	// names by symbolic links is here once, under the first of them.
	Files []*File
	// Opened are the names under which nginx opens them, each once: what nginx -T prints.
	Opened []string

	disk     *disk
	byReal   map[string]*File
	included map[*Directive][]*File
}

// Load reads nginx.conf at path and all that it includes. As for nginx, names of
// included files are relative to the folder of nginx.conf, a pattern may match nothing,
// and a file that is named has to be there. Any file that cannot be read or parsed is
// an error, an *Error where it has a place.
func Load(path string) (*Set, error) {
	return load(path, newDisk(), nil)
}

func load(path string, disk *disk, known map[string]*File) (*Set, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	set := &Set{disk: disk, byReal: map[string]*File{}, included: map[*Directive][]*File{}}
	l := loader{set: set, known: known, prefix: filepath.Dir(path) + "/", opened: map[string]bool{}}
	set.Main, err = l.open(path)
	if err != nil {
		return nil, fmt.Errorf("read nginx's configuration: %w", err)
	}
	if err := l.enter(set.Main, plainContext); err != nil {
		return nil, err
	}
	return set, nil
}

// Prefix returns the folder that names of files are relative to, with a / at the end.
func (s *Set) Prefix() string { return filepath.Dir(s.Main.Path) + "/" }

// Included returns the files that an include directive brings, in nginx's order.
func (s *Set) Included(d *Directive) []*File { return s.included[d] }

// Directives ranges over the directives of a block as nginx sees them: an include is
// replaced by what is in its files.
func (s *Set) Directives(b *Block) iter.Seq[*Directive] {
	return func(yield func(*Directive) bool) { s.each(b, yield) }
}

func (s *Set) each(b *Block, yield func(*Directive) bool) bool {
	for d := range b.Directives() {
		files, ok := s.included[d]
		if !ok && !yield(d) {
			return false
		}
		for _, f := range files {
			if !s.each(f.Root, yield) {
				return false
			}
		}
	}
	return true
}

// context is what nginx makes of a directive where it stands.
type context int

const (
	plainContext context = iota // directives
	dataContext                 // keys and values, and include
)

func (c context) inside(name string) context {
	switch name {
	case "map", "geo", "types", "split_clients", "charset_map":
		return dataContext
	}
	return plainContext
}

type loader struct {
	set    *Set
	known  map[string]*File // of an earlier Set, by real path
	prefix string
	opened map[string]bool
	chain  []*File // from nginx.conf to the file that is being looked at

	bytes, words, includes, visits int
}

// open returns the file under a name, parsed once however often it is included.
func (l *loader) open(name string) (*File, error) {
	real, src, err := l.set.disk.Read(name)
	if err != nil {
		return nil, err
	}
	if !l.opened[name] {
		l.opened[name] = true
		l.set.Opened = append(l.set.Opened, name)
	}
	if f := l.set.byReal[real]; f != nil {
		return f, nil
	}
	f := l.known[real]
	if f == nil || f.Src != src || f.Path != name {
		if f, err = Parse(name, src); err != nil {
			return nil, err
		}
		f.Real = real
	}
	l.bytes += len(src)
	l.words += f.words
	if l.bytes > maxSetBytes || l.words > maxSetWords {
		return nil, fmt.Errorf("with %s the configuration has more than %d bytes or %d words; that much is not read", name, maxSetBytes, maxSetWords)
	}
	l.set.byReal[real] = f
	l.set.Files = append(l.set.Files, f)
	return f, nil
}

// enter follows the includes of a file that stands in a context.
func (l *loader) enter(f *File, c context) error {
	if c == plainContext {
		for d := range f.Root.Directives() {
			if strings.HasPrefix(d.Name(), "\ufeff") {
				return f.errorf(0, "the file begins with a byte order mark, which nginx takes for a part of the directive; remove the first three bytes")
			}
			break
		}
	}
	l.chain = append(l.chain, f)
	err := l.walk(f.Root, c)
	l.chain = l.chain[:len(l.chain)-1]
	return err
}

func (l *loader) walk(b *Block, c context) error {
	for d := range b.Directives() {
		if l.visits++; l.visits > maxVisits {
			return d.errorf("includes lead to more than %d directives; that much is not read", maxVisits)
		}
		var err error
		switch {
		case d.Name() == "include":
			err = l.include(d, c)
		case d.Block != nil:
			err = l.walk(d.Block, c.inside(d.Name()))
		}
		if err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) include(d *Directive, c context) error {
	if d.Block != nil || len(d.Args()) != 1 {
		return d.errorf("include takes one name and no block")
	}
	name := d.Args()[0].Value
	if strings.IndexByte(name, 0) >= 0 {
		return d.errorf("the name has a zero byte")
	}
	if !strings.HasPrefix(name, "/") {
		name = l.prefix + name
	}
	names := []string{name}
	if hasMeta(name) {
		names = l.set.disk.glob(name)
	}
	var files []*File
	for _, name := range names {
		f, err := l.one(d, name)
		if err != nil {
			return err
		}
		files = append(files, f)
		if err := l.enter(f, c); err != nil {
			return err
		}
	}
	l.set.included[d] = files
	return nil
}

func (l *loader) one(d *Directive, name string) (*File, error) {
	if l.includes++; l.includes > maxIncludes || len(l.chain) > maxDepth {
		return nil, d.errorf("include %s: more than %d files, or more than %d deep, are not read", name, maxIncludes, maxDepth)
	}
	f, err := l.open(name)
	var place *Error
	switch {
	case errors.As(err, &place):
		return nil, err
	case errors.Is(err, fs.ErrNotExist):
		return nil, d.errorf("include %s: there is no such file, and nginx refuses that", name)
	case err != nil:
		return nil, d.errorf("include %s: %w", name, err)
	case slices.Contains(l.chain, f):
		return nil, d.errorf("include %s: the file includes itself", name)
	}
	return f, nil
}

func (d *Directive) errorf(format string, args ...any) error {
	return d.File.errorf(d.Start, format, args...)
}

// Source returns the bytes of a file of the configuration by a name of Opened.
func (s *Set) Source(name string) (string, error) {
	_, src, err := s.disk.Read(name)
	return src, err
}
