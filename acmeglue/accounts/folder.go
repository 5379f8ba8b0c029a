package accounts

import (
	"bytes"
	"crypto"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"
	"time"
	"unicode/utf16"
)

// The files of an account.
const (
	keyFile  = "private_key.json"
	metaFile = "meta.json"
	regrFile = "regr.json"
	nextFile = "next_key.json"
)

// Bounds of what is read.
const (
	maxFile    = 64 << 10 // bytes; a key of 8192 bits has 6,000
	maxFolders = 4096     // accounts at one server
)

// folder is one account, or what is there of it.
type folder struct {
	place string // of the server where it was found
	dir   string
	name  string

	key    crypto.Signer
	keyErr error // wraps fs.ErrNotExist where there is none
	mode   fs.FileMode
	made   time.Time // of the key's file

	uri     string // "" where there is no registration that can be read
	contact []string

	metaErr error // certbot could not read it, or would ignore the account
	created time.Time
	host    string
	former  []string
}

// complete says that it can be used, as certbot would.
func (f *folder) complete() bool { return f.key != nil && f.uri != "" }

// id is the name that the folder should have.
func (f *folder) id() string {
	id, err := ID(f.key.Public())
	if err != nil {
		return f.name // decodeKey makes no such keys
	}
	return id
}

// is reports whether the folder has that name, or should have, or once had it.
func (f *folder) is(name string) bool {
	return f.name == name || f.key != nil && f.id() == name || slices.Contains(f.former, name)
}

// read looks at a folder. What is wrong with it is in the result.
func readFolder(place, dir string) folder {
	f := folder{place: place, dir: dir, name: filepath.Base(dir)}
	var b []byte
	if b, f.mode, f.made, f.keyErr = readFile(filepath.Join(dir, keyFile)); f.keyErr == nil {
		f.key, f.keyErr = decodeKey(b)
	}
	f.readRegistration()
	f.readMeta()
	return f
}

func (f *folder) readRegistration() {
	b, _, _, err := readFile(filepath.Join(f.dir, regrFile))
	if err != nil {
		return
	}
	var regr struct {
		Body json.RawMessage `json:"body"`
		URI  string          `json:"uri"`
	}
	if json.Unmarshal(b, &regr) != nil {
		return
	}
	if u, err := url.Parse(regr.URI); err != nil || u.Host == "" || u.Scheme != "https" && u.Scheme != "http" {
		return
	}
	f.uri = regr.URI
	var body struct {
		Contact []string `json:"contact"`
	}
	if json.Unmarshal(regr.Body, &body) == nil {
		f.contact = body.Contact
	}
}

// meta is meta.json. Members that are not here are kept.
type meta struct {
	Created string   `json:"creation_dt"`
	Host    string   `json:"creation_host"`
	Former  []string `json:"edge_former_ids,omitempty"`
}

func (f *folder) readMeta() {
	b, _, _, err := readFile(filepath.Join(f.dir, metaFile))
	var m meta
	if err == nil {
		err = json.Unmarshal(b, &m)
	}
	f.host, f.former = m.Host, m.Former
	if t, bad := time.Parse(time.RFC3339, m.Created); bad == nil {
		f.created = t.UTC()
	} else if err == nil {
		err = bad
	}
	f.metaErr = err
}

// readFile reads a regular file of bounded size.
func readFile(path string) (b []byte, mode fs.FileMode, modified time.Time, err error) {
	// Opening a pipe would wait for its other end.
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, 0, modified, err
	}
	defer f.Close() // read-only: nothing can be lost
	info, err := f.Stat()
	if err != nil {
		return nil, 0, modified, err
	}
	if !info.Mode().IsRegular() || info.Size() > maxFile {
		return nil, 0, modified, fmt.Errorf("%s is not a file of at most %d bytes", path, maxFile)
	}
	b, err = io.ReadAll(io.LimitReader(f, maxFile))
	return b, info.Mode().Perm(), info.ModTime(), err
}

// scan reads the folders at a place, sorted by name. A place that is not there has
// none; nor have files meaning.
func (s *Store) scan(place string) ([]folder, error) {
	if place == "" {
		return nil, nil
	}
	dir := filepath.Join(s.root, place)
	d, err := os.Open(dir)
	if errors.Is(err, fs.ErrNotExist) || errors.Is(err, syscall.ENOTDIR) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	defer d.Close() // read-only: nothing can be lost
	names, err := d.Readdirnames(maxFolders + 1)
	if err != nil && !errors.Is(err, io.EOF) {
		return nil, err
	}
	if len(names) > maxFolders {
		return nil, fmt.Errorf("%s has more than %d entries; move away what is no account", dir, maxFolders)
	}
	slices.Sort(names)
	var out []folder
	for _, name := range names {
		path := filepath.Join(dir, name)
		if info, err := os.Stat(path); err == nil && info.IsDir() {
			out = append(out, readFolder(place, path))
		}
	}
	return out, nil
}

// encodeJSON writes as Python's json.dumps does: spaces behind colons and commas, and
// nothing but ASCII, since certbot opens files in the encoding of its locale.
func encodeJSON(v any) ([]byte, error) {
	var compact bytes.Buffer
	e := json.NewEncoder(&compact)
	e.SetEscapeHTML(false)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	var out strings.Builder
	quoted, escaped := false, false
	for _, r := range strings.TrimSuffix(compact.String(), "\n") {
		switch {
		case r > 0xffff:
			hi, lo := utf16.EncodeRune(r)
			fmt.Fprintf(&out, `\u%04x\u%04x`, hi, lo)
		case r > 0x7e:
			fmt.Fprintf(&out, `\u%04x`, r)
		default:
			out.WriteRune(r)
		}
		if r == '"' && !escaped {
			quoted = !quoted
		}
		escaped = r == '\\' && !escaped
		if !quoted && (r == ':' || r == ',') {
			out.WriteByte(' ')
		}
	}
	return []byte(out.String()), nil
}
