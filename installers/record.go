package installers

import (
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"
	"unicode"
	"unicode/utf8"
)

// The files of a checkpoint that certbot knows, and ours.
const (
	fileFilePaths = "FILEPATHS"     // what is kept as NAME_0, NAME_1, …
	fileNewFiles  = "NEW_FILES"     // what is to be deleted
	fileCommands  = "COMMANDS"      // what is to be run, the last line first
	fileChanges   = "CHANGES_SINCE" // for people
	fileRecord    = "EDGE"          // a record; certbot ignores it
)

const (
	maxFile   = 16 << 20 // bytes of a file that is changed or kept
	maxRecord = 64 << 20
)

// record is what certbot's files have no room for. In a checkpoint of ours all of
// certbot's can be derived from it, and the copies.
type record struct {
	Version int
	Servers []string
	// Roots are their folders, by name, where they have one: there may be several nginx.
	Roots  map[string]string `json:",omitempty"`
	Titles []string
	Files  []savedFile   `json:",omitempty"` // in the order of FILEPATHS
	Links  []savedLink   `json:",omitempty"` // deleted ones
	Added  []addition    `json:",omitempty"`
	Ran    []Command     `json:",omitempty"`
	Places []placeBefore `json:",omitempty"`
	// Looked are the addresses of all endpoints that were looked at, with those that
	// showed nothing: what was there is in Places, and the rest may have been opened.
	Looked []string `json:",omitempty"`
	// RollsBack are the checkpoints that go together with this one being done.
	RollsBack []string `json:",omitempty"`
}

// savedFile is one that is kept as it was.
type savedFile struct {
	Path  string
	Was   attributes
	Wrote string `json:",omitempty"` // SHA-256 of the new content; empty: it was deleted
}

type savedLink struct {
	Path, Target string
	UID, GID     int
}

// addition is something that was not there.
type addition struct {
	Path   string
	Kind   additionKind
	Wrote  string `json:",omitempty"` // SHA-256 of a file
	Target string `json:",omitempty"` // of a link
}

type additionKind string

const (
	newFile   additionKind = "file"
	newLink   additionKind = "link"
	newFolder additionKind = "folder"
)

// placeBefore is an endpoint that showed a certificate before.
type placeBefore struct {
	Endpoint Endpoint
	// Same: the very same has to be shown when the checkpoint is taken back; else any.
	Same bool
}

func digest(content []byte) string {
	sum := sha256.Sum256(content)
	return hex.EncodeToString(sum[:])
}

// paths are all that the record is about.
func (r *record) paths() []string {
	var out []string
	for _, f := range r.Files {
		out = append(out, f.Path)
	}
	for _, l := range r.Links {
		out = append(out, l.Path)
	}
	for _, a := range r.Added {
		out = append(out, a.Path)
	}
	return out
}

// errNoRecord is for checkpoints that certbot made.
var errNoRecord = errors.New("the checkpoint is not of edge")

// readRecord reads that of a checkpoint.
func readRecord(dir string) (*record, error) {
	path := filepath.Join(dir, fileRecord)
	raw, err := readBounded(path, maxRecord)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, errNoRecord
	}
	if err != nil {
		return nil, err
	}
	var r record
	if err := json.Unmarshal(raw, &r); err != nil {
		return nil, fmt.Errorf("read %s: %w", path, err)
	}
	if r.Version != 1 {
		return nil, fmt.Errorf("read %s: version %d is of another edge; run that one", path, r.Version)
	}
	for _, p := range r.paths() {
		if err := checkPath(p); err != nil {
			return nil, fmt.Errorf("read %s: %w", path, err)
		}
	}
	return &r, nil
}

// checkPath refuses what certbot's lists, a line a path, cannot hold.
func checkPath(path string) error {
	odd := func(r rune) bool { return unicode.IsControl(r) || r == '\u2028' || r == '\u2029' }
	switch {
	case !filepath.IsAbs(path) || filepath.Clean(path) != path || path == "/":
		return fmt.Errorf("the path %q is not absolute and clean", path)
	case !utf8.ValidString(path) || strings.ContainsFunc(path, odd):
		return fmt.Errorf("the path %q cannot be noted in the journal: rename it", path)
	}
	return nil
}

// readBounded reads a regular file, which is no symbolic link.
func readBounded(path string, limit int64) ([]byte, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	return readOpen(f, limit)
}

// errNotFile is for what is no regular file.
var errNotFile = errors.New("it is not a regular file")

// openFile opens a regular file for reading.
func openFile(path string) (*os.File, error) {
	// Without O_NONBLOCK a FIFO would hold us for ever.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK|syscall.O_NOFOLLOW, 0)
	if errors.Is(err, syscall.ELOOP) {
		return nil, fmt.Errorf("%s: %w, but a symbolic link", path, errNotFile)
	}
	if err != nil {
		return nil, err
	}
	info, err := f.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fmt.Errorf("%s: %w", path, errNotFile)
	}
	if err != nil {
		_ = f.Close() // only read
		return nil, err
	}
	return f, nil
}

func readOpen(f *os.File, limit int64) ([]byte, error) {
	b, err := io.ReadAll(io.LimitReader(f, limit+1))
	if err == nil && int64(len(b)) > limit {
		err = fmt.Errorf("read %s: it has more than %d bytes", f.Name(), limit)
	}
	return b, err
}

// readFile reads a file with its attributes.
func readFile(path string) ([]byte, *attributes, error) {
	f, err := openFile(path)
	if err != nil {
		return nil, nil, err
	}
	defer f.Close() // only read
	was, err := attributesOf(f)
	if err != nil {
		return nil, nil, err
	}
	content, err := readOpen(f, maxFile)
	return content, was, err
}
