package files

import (
	"errors"
	"fmt"
	"io/fs"
	"net/http"
	"net/url"
	"os"
	"path"
	"slices"
	"strings"
	"syscall"
	"time"

	"edge/proxy/compress"
	"edge/proxy/policy"
)

// Folder is a folder that is served. Safe for concurrent use.
type Folder struct {
	root *os.Root
	o    policy.Files
}

// Open opens a folder, which stays the same one when another takes its name.
func Open(o policy.Files) (*Folder, error) {
	root, err := os.OpenRoot(o.Root)
	if err != nil {
		return nil, fmt.Errorf("static files: %w", err)
	}
	if len(o.Index) == 0 {
		o.Index = []string{"index.html"}
	}
	return &Folder{root, o}, nil
}

// Close ends the use of the folder. Files that are open stay so.
func (f *Folder) Close() error { return f.root.Close() }

// File is an open file. Close it.
type File struct {
	*os.File
	Info     fs.FileInfo
	Name     string // that its type goes by
	Encoding string // in which it lies there; "": as it is
	Varies   bool   // another client might have got another form of it
}

// RedirectError says that the path is a folder's, which is asked for with a slash
// at its end.
type RedirectError struct{ To string }

func (e *RedirectError) Error() string { return "folder: " + e.To }

// Find opens the file for a path of a request, which is normalised and still
// percent-encoded. Errors: *RedirectError, or one that wraps fs.ErrNotExist, as
// do files that are not to be seen.
func (f *Folder) Find(encoded string, accept []string) (*File, error) {
	file, err := f.find(encoded, accept)
	if f.o.Fallback != "" && errors.Is(err, fs.ErrNotExist) {
		return f.open(strings.TrimPrefix(f.o.Fallback, "/"), accept)
	}
	return file, err
}

func (f *Folder) find(encoded string, accept []string) (*File, error) {
	name, err := url.PathUnescape(encoded)
	if err != nil || !strings.HasPrefix(name, "/") || strings.ContainsAny(name, "\x00\\") || name != path.Clean(name) && name != path.Clean(name)+"/" {
		return nil, fs.ErrNotExist // "%2e%2e%2f" and the like name nothing here
	}
	if !f.o.Hidden && hidden(name) {
		return nil, fs.ErrNotExist
	}
	asFolder := strings.HasSuffix(name, "/")
	name = strings.Trim(name, "/")
	if name == "" {
		name = "."
	}
	info, err := f.root.Stat(name)
	if err != nil {
		return nil, notThere(err)
	}
	switch {
	case info.IsDir() && !asFolder:
		return nil, &RedirectError{encoded + "/"}
	case info.IsDir():
		for _, index := range f.o.Index {
			if file, err := f.open(path.Join(name, index), accept); err == nil || !errors.Is(err, fs.ErrNotExist) {
				return file, err
			}
		}
		return nil, fs.ErrNotExist // a folder is not listed
	case asFolder, !info.Mode().IsRegular(): // opening a device may do something already
		return nil, fs.ErrNotExist
	}
	return f.open(name, accept)
}

// hidden reports whether a name begins with a dot, or one of its folders does,
// but the folder of RFC 8615 itself.
func hidden(name string) bool {
	if rest, ok := strings.CutPrefix(name, "/.well-known/"); ok {
		name = "/" + rest
	}
	return strings.Contains(name, "/.")
}

// open opens a file in the best form that the client takes.
func (f *Folder) open(name string, accept []string) (*File, error) {
	var there []string
	for _, enc := range f.o.Precompressed {
		if info, err := f.root.Stat(name + ending(enc)); err == nil && info.Mode().IsRegular() {
			there = append(there, enc)
		}
	}
	plain, err := f.regular(name)
	if err != nil {
		return nil, err
	}
	out := &File{File: plain.File, Info: plain.Info, Name: path.Base(name), Varies: len(there) > 0}
	if len(there) == 0 {
		return out, nil
	}
	enc := compress.Negotiate(there, accept)
	if enc == "" || !slices.Contains(there, enc) {
		return out, nil
	}
	packed, err := f.regular(name + ending(enc))
	if err != nil {
		return out, nil
	}
	if plain.Info.ModTime().Sub(packed.Info.ModTime()) > staleAfter {
		_ = packed.Close()
		return out, nil // older than what it is made of: not to be trusted
	}
	_ = plain.Close()
	out.File, out.Info, out.Encoding = packed.File, packed.Info, enc
	return out, nil
}

// staleAfter is how much older than a file its compressed form may be: whoever
// copies both does so in any order.
const staleAfter = 2 * time.Second

// regular opens a regular file. Without O_NONBLOCK a FIFO would wait for a writer.
func (f *Folder) regular(name string) (*File, error) {
	file, err := f.root.OpenFile(name, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, notThere(err)
	}
	info, err := file.Stat()
	if err == nil && !info.Mode().IsRegular() {
		err = fs.ErrNotExist
	}
	if err != nil {
		_ = file.Close()
		return nil, err
	}
	return &File{File: file, Info: info}, nil
}

// notThere makes errors that a client can cause into one: what leads out of the
// folder, what is no folder on the way, names that are too long, loops of links.
// Those of the machine stay: caches must not learn that a file is gone because
// there were too many open ones.
func notThere(err error) error {
	for _, kept := range [...]error{fs.ErrPermission, fs.ErrClosed, syscall.EMFILE, syscall.ENFILE, syscall.ENOMEM, syscall.EIO, syscall.ESTALE, syscall.EINTR} {
		if errors.Is(err, kept) {
			return err
		}
	}
	return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
}

// ETag is the validator of a file: it changes with its length, its time and the
// form that it is sent in.
func (f *File) ETag() string {
	return fmt.Sprintf(`"%x-%x%s"`, f.Info.ModTime().UnixNano(), f.Info.Size(), strings.TrimSuffix("-"+f.Encoding, "-"))
}

// Header is what an answer with the file says of it.
func (f *File) Header(h http.Header, cacheControl string) {
	h["Content-Type"] = []string{f.ContentType()}
	h["X-Content-Type-Options"] = []string{"nosniff"}
	h["Etag"] = []string{f.ETag()}
	if cacheControl != "" {
		h["Cache-Control"] = []string{cacheControl}
	}
	if f.Encoding != "" {
		h["Content-Encoding"] = []string{f.Encoding}
	}
	if f.Varies {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
}
