package config

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"unicode/utf8"

	"go.yaml.in/yaml/v4"
)

// maxFile bounds a configuration file: far beyond any that people write, far
// below what would hurt.
const maxFile = 4 << 20

// file is one configuration file with its text, for messages.
type file struct {
	path  string
	lines [][]byte
	root  *yaml.Node
}

// Load reads path, and conf.d/*.yaml beside it, and returns the configuration
// with all defaults filled in. Every mistake is reported: the error is Errors.
func Load(path string) (*Config, error) {
	l := &loader{pos: map[string]Pos{}, cfg: defaults()}
	paths := []string{path}
	more, err := filepath.Glob(filepath.Join(filepath.Dir(path), "conf.d", "*.yaml"))
	if err == nil {
		slices.Sort(more)
		paths = append(paths, more...)
	}
	for _, p := range paths {
		l.read(p)
	}
	return l.finish(paths)
}

// read adds one file, or the reason why it cannot be added.
func (l *loader) read(path string) {
	data, err := l.readFile(path)
	if err == errUntrusted {
		return // reported with what to do
	}
	if err != nil {
		e := &Error{Pos: Pos{File: path}, Message: err.Error()}
		if err == errNoFile {
			e.Hint = "name another with --config, or create it: docs/configuration.md has examples"
		}
		l.errs = append(l.errs, e)
		return
	}
	f := &file{path: path, lines: bytes.Split(data, []byte("\n"))}
	l.files = append(l.files, f)
	if i := bytes.IndexByte(data, 0); i >= 0 {
		l.fault(f, 1+bytes.Count(data[:i], []byte("\n")), 0, "NUL byte: this is no text file", "")
		return
	}
	if !utf8.Valid(data) {
		line := 1
		for i, t := range f.lines {
			if !utf8.Valid(t) {
				line = i + 1
				break
			}
		}
		l.fault(f, line, 0, "not UTF-8", "save the file as UTF-8")
		return
	}
	dec := yaml.NewDecoder(bytes.NewReader(data))
	var doc yaml.Node
	if err := decodeNode(dec, &doc); err != nil {
		if errors.Is(err, io.EOF) {
			l.fault(f, 0, 0, "the file is empty", "the least that it needs is version: 1 and one site; see docs/configuration.md")
			return
		}
		line, msg := yamlError(err)
		l.fault(f, line, 0, msg, "")
		return
	}
	var second yaml.Node
	if err := decodeNode(dec, &second); err == nil {
		l.fault(f, second.Line, 0, "a second document begins here", "write one document a file; more files go into conf.d")
		return
	}
	if doc.Kind != yaml.DocumentNode || len(doc.Content) != 1 {
		l.fault(f, 0, 0, "the file is empty", "the least that it needs is version: 1 and one site; see docs/configuration.md")
		return
	}
	f.root = doc.Content[0]
}

// decodeNode turns a panic of the YAML library on hostile input into an error.
func decodeNode(dec *yaml.Decoder, n *yaml.Node) (err error) {
	defer func() {
		if p := recover(); p != nil {
			err = fmt.Errorf("yaml: cannot be parsed: %v", p)
		}
	}()
	return dec.Decode(n)
}

var yamlLine = regexp.MustCompile(`line (\d+): `)

// yamlError takes a message of the YAML library apart.
func yamlError(err error) (line int, msg string) {
	msg = strings.TrimPrefix(err.Error(), "yaml: ")
	if m := yamlLine.FindStringSubmatchIndex(msg); m != nil {
		line, _ = strconv.Atoi(msg[m[2]:m[3]])
		msg = msg[:m[0]] + msg[m[1]:]
	}
	return line, "not valid YAML: " + strings.ReplaceAll(msg, "\n", " ")
}

// readFile reads a regular file of at most maxFile bytes, and for the steward one
// that it can trust.
func (l *loader) readFile(path string) ([]byte, error) {
	if l.trust == nil {
		return readFile(path)
	}
	f, err := l.trust.open(path)
	if err == errUntrusted {
		return nil, err
	}
	return readOpen(path, f, err)
}

func readFile(path string) ([]byte, error) {
	// Without O_NONBLOCK, opening a FIFO would wait for a writer.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	return readOpen(path, f, err)
}

// readOpen reads what was opened, or says why it could not be.
func readOpen(path string, f *os.File, err error) ([]byte, error) {
	if err != nil {
		return nil, explainOpen(path, err)
	}
	defer f.Close()
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case info.IsDir():
		return nil, errors.New("this is a folder; name the file in it")
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode().Type())
	case info.Size() > maxFile:
		return nil, fmt.Errorf("%d MiB is too large for a configuration file (at most %d MiB)", info.Size()>>20, maxFile>>20)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxFile {
		return nil, fmt.Errorf("too large for a configuration file (at most %d MiB)", maxFile>>20)
	}
	return data, nil
}

var errNoFile = errors.New("no such file")

// explainOpen says who may read a file that we may not.
func explainOpen(path string, err error) error {
	switch {
	case errors.Is(err, fs.ErrNotExist):
		return errNoFile
	case errors.Is(err, fs.ErrPermission):
		if info, serr := os.Stat(path); serr == nil {
			if st, ok := info.Sys().(*syscall.Stat_t); ok {
				return fmt.Errorf("permission denied: mode %#o, owner %d:%d, read as %d:%d; run as its owner or fix the mode",
					info.Mode().Perm(), st.Uid, st.Gid, os.Geteuid(), os.Getegid())
			}
		}
		return errors.New("permission denied; run as the owner of the file and its folders, or fix their modes")
	}
	var pe *fs.PathError
	if errors.As(err, &pe) {
		return pe.Err
	}
	return err
}
