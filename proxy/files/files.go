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
	if !f.o.Hidden && strings.Contains(name, "/.") && !strings.HasPrefix(name, "/.well-known/") {
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
			if file, err := f.open(path.Join(name, index), accept); err == nil {
				return file, nil
			}
		}
		return nil, fs.ErrNotExist // a folder is not listed
	case asFolder:
		return nil, fs.ErrNotExist
	}
	return f.open(name, accept)
}

// open opens a file in the best form that the client takes.
func (f *Folder) open(name string, accept []string) (*File, error) {
	endings := map[string]string{"zstd": ".zst", "br": ".br", "gzip": ".gz"}
	var there []string
	for _, enc := range f.o.Precompressed {
		if info, err := f.root.Stat(name + endings[enc]); err == nil && info.Mode().IsRegular() {
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
	packed, err := f.regular(name + endings[enc])
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
func notThere(err error) error {
	if errors.Is(err, fs.ErrPermission) {
		return err
	}
	return fmt.Errorf("%w: %w", fs.ErrNotExist, err)
}

// ETag is the validator of a file: it changes with its length, its time and the
// form that it is sent in.
func (f *File) ETag() string {
	return fmt.Sprintf(`"%x-%x%s"`, f.Info.ModTime().UnixNano(), f.Info.Size(), strings.TrimSuffix("-"+f.Encoding, "-"))
}

// ContentType is that of the name's ending: not the machine's idea of it, which
// differs from one to the next.
func (f *File) ContentType() string {
	types := map[string]string{
		".html": "text/html; charset=utf-8", ".htm": "text/html; charset=utf-8", ".css": "text/css; charset=utf-8", ".js": "text/javascript; charset=utf-8",
		".mjs": "text/javascript; charset=utf-8", ".json": "application/json", ".map": "application/json", ".webmanifest": "application/manifest+json",
		".xml": "application/xml", ".txt": "text/plain; charset=utf-8", ".md": "text/markdown; charset=utf-8", ".csv": "text/csv; charset=utf-8",
		".svg": "image/svg+xml", ".png": "image/png", ".jpg": "image/jpeg", ".jpeg": "image/jpeg", ".gif": "image/gif", ".webp": "image/webp",
		".avif": "image/avif", ".ico": "image/vnd.microsoft.icon", ".woff": "font/woff", ".woff2": "font/woff2", ".ttf": "font/ttf", ".otf": "font/otf",
		".wasm": "application/wasm", ".pdf": "application/pdf", ".zip": "application/zip", ".gz": "application/gzip", ".mp4": "video/mp4",
		".webm": "video/webm", ".mp3": "audio/mpeg", ".ogg": "audio/ogg", ".wav": "audio/wav", ".ics": "text/calendar; charset=utf-8", ".atom": "application/atom+xml",
		".rss": "application/rss+xml", ".yaml": "application/yaml", ".yml": "application/yaml",
	}
	if t := types[strings.ToLower(path.Ext(f.Name))]; t != "" {
		return t
	}
	return "application/octet-stream"
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
