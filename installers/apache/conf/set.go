package conf

import (
	"errors"
	"fmt"
	"io/fs"
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
	maxDepth    = 100      // of includes in included files; httpd has 128
)

// Env is what a configuration means beside its files.
type Env struct {
	// ServerRoot is what names are relative to where no ServerRoot is written: that of
	// httpd -d, or the one that httpd was built with. Empty: the folder of the main file.
	ServerRoot string
	// Vars is httpd's environment, for ${NAME}.
	Vars map[string]string
	// Defines are the names of httpd -D.
	Defines []string
	// Modules are those that are there without LoadModule, by the name of their source
	// ("mod_so.c") or their own ("so_module").
	Modules []string
	// Version is that of httpd, "2.4.62"; empty: newer than any.
	Version string
}

// Set is a whole configuration: the main file and everything that it includes, with all
// conditions decided. It is immutable. Safe for concurrent use.
type Set struct {
	Main *File
	// Files are in the order in which httpd reads them first. A file that has several
	// names by symbolic links is here once, under the first of them.
	Files []*File
	// Opened are the names under which httpd reads them, each once.
	Opened []string
	// Root has the directives that count, in httpd's order. It is no directive itself.
	Root *Node
	// Modules are the modules that are loaded, by their own name: "ssl_module".
	Modules map[string]bool

	env      Env
	disk     *disk
	byReal   map[string]*File
	patterns []pattern
}

// Node is a directive that counts. Sections that are conditions, includes and macros
// are none: what they bring stands in their place.
type Node struct {
	*Directive
	// Parent is the section that the directive counts in, or Root.
	Parent *Node
	// Values are the arguments, variables replaced.
	Values []string
	// Nodes are what counts in a section.
	Nodes []*Node
	// Made says that a macro has made the directive: no file has its bytes.
	Made bool
}

// All returns the directives of a name in a section, not those in sections of it.
func (n *Node) All(name string) []*Node {
	var out []*Node
	for _, d := range n.Nodes {
		if d.Is(name) {
			out = append(out, d)
		}
	}
	return out
}

// Load reads the main file at path and all that httpd would include. Any file that
// cannot be read or parsed is an error, an *Error where it has a place.
func Load(path string, env Env) (*Set, error) {
	return load(path, env, newDisk(), nil)
}

func load(path string, env Env, disk *disk, known map[string]*File) (*Set, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, fmt.Errorf("find %s: %w", path, err)
	}
	set := &Set{disk: disk, env: env, byReal: map[string]*File{}, Root: &Node{}, Modules: map[string]bool{}}
	l := newLoader(set, known)
	l.root = env.ServerRoot
	if l.root == "" {
		l.root = filepath.Dir(path)
	}
	set.Main, err = l.open(path)
	if err != nil {
		return nil, fmt.Errorf("read httpd's configuration: %w", err)
	}
	if err := l.enter(set.Main, set.Root); err != nil {
		return nil, err
	}
	return set, nil
}

// Reads reports whether httpd reads a file of that name, or would if it were there. The
// name has no symbolic links but for that of its folder.
func (s *Set) Reads(path string) bool {
	if real, err := s.disk.Real(path); err == nil && s.byReal[real] != nil {
		return true
	}
	return slices.ContainsFunc(s.patterns, func(p pattern) bool { return p.matches(path) })
}

// File returns the file at a real path, nil where httpd does not read it.
func (s *Set) File(real string) *File { return s.byReal[real] }

type loader struct {
	set    *Set
	known  map[string]*File // of an earlier Set, by real path
	root   string           // ServerRoot
	opened map[string]bool
	chain  []*File // from the main file to the one that is being looked at

	vars, defines map[string]string
	macros        map[string]*macro

	bytes, words, includes, visits int
}

func newLoader(set *Set, known map[string]*File) *loader {
	l := &loader{
		set: set, known: known, opened: map[string]bool{},
		vars: map[string]string{}, defines: map[string]string{}, macros: map[string]*macro{},
	}
	for _, name := range set.env.Defines {
		l.defines[name] = ""
	}
	for _, name := range set.env.Modules {
		set.Modules[moduleName(name)] = true
	}
	return l
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
	if err := l.count(f); err != nil {
		return nil, err
	}
	l.set.byReal[real] = f
	l.set.Files = append(l.set.Files, f)
	return f, nil
}

func (l *loader) count(f *File) error {
	l.bytes += len(f.Src)
	l.words += f.words
	if l.bytes > maxSetBytes || l.words > maxSetWords {
		return fmt.Errorf("with %s the configuration has more than %d bytes or %d words; that much is not read", f.Path, maxSetBytes, maxSetWords)
	}
	return nil
}

// enter reads a file into a section.
func (l *loader) enter(f *File, into *Node) error {
	if strings.HasPrefix(f.Src, "\ufeff") {
		return f.errorf(0, "the file begins with a byte order mark, which httpd takes for a part of the directive; remove the first three bytes")
	}
	l.chain = append(l.chain, f)
	err := l.walk(f.Root, into)
	l.chain = l.chain[:len(l.chain)-1]
	return err
}

func (l *loader) walk(b *Block, into *Node) error {
	for d := range b.Directives() {
		if l.visits++; l.visits > maxVisits {
			return d.errorf("includes lead to more than %d directives; that much is not read", maxVisits)
		}
		values, err := l.values(d)
		if err != nil {
			return err
		}
		done, err := l.onRead(d, values, into)
		if err != nil {
			return err
		}
		if done {
			continue
		}
		n := &Node{Directive: d, Parent: into, Values: values, Made: d.File.Real == ""}
		into.Nodes = append(into.Nodes, n)
		if d.Block != nil && !d.Block.Opaque {
			if err := l.walk(d.Block, n); err != nil {
				return err
			}
		}
	}
	return nil
}

func (l *loader) include(d *Directive, args []string, into *Node) error {
	optional := d.Is("IncludeOptional")
	if d.Block != nil || len(args) != 1 {
		return d.errorf("%s takes one name", d.Name())
	}
	name := l.path(args[0])
	l.set.patterns = append(l.set.patterns, pattern(name))
	names, err := l.set.disk.include(name, optional)
	if err != nil {
		return d.errorf("%s %s: %w", d.Name(), name, err)
	}
	for _, name := range names {
		f, err := l.one(d, name)
		if optional && errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return err
		}
		if err := l.enter(f, into); err != nil {
			return err
		}
	}
	return nil
}

func (l *loader) one(d *Directive, name string) (*File, error) {
	if l.includes++; l.includes > maxIncludes || len(l.chain) > maxDepth {
		return nil, d.errorf("%s %s: more than %d files, or more than %d deep, are not read", d.Name(), name, maxIncludes, maxDepth)
	}
	f, err := l.open(name)
	var place *Error
	switch {
	case errors.As(err, &place):
		return nil, err
	case err != nil:
		return nil, d.errorf("%s %s: %w", d.Name(), name, err)
	case slices.Contains(l.chain, f):
		return nil, d.errorf("%s %s: the file includes itself", d.Name(), name)
	}
	return f, nil
}

// path makes a name absolute and clean as ap_server_root_relative does, which leaves a /
// at the end.
func (l *loader) path(name string) string {
	path := name
	if !strings.HasPrefix(name, "/") {
		path = l.root + "/" + name
	}
	path = filepath.Clean(path)
	if strings.HasSuffix(name, "/") && path != "/" {
		path += "/"
	}
	return path
}
