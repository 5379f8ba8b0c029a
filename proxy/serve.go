package proxy

import (
	"errors"
	"io/fs"
	"net/http"
	"strconv"
	"strings"

	"edge/proxy/files"
)

// serveFile answers with a file of the route's folder. net/http's ServeContent
// has the conditions and ranges of RFC 9110 sections 13 and 14.
func (x *exchange) serveFile() {
	if m := x.r.Method; m != http.MethodGet && m != http.MethodHead {
		x.w.Header()["Allow"] = []string{"GET, HEAD"}
		x.fail(http.StatusMethodNotAllowed)
		return
	}
	conf := x.d.Rule.Action.Files
	folder := x.st.set.Folders[conf]
	if folder == nil {
		x.ev.Err = errors.New("folder " + conf.Root + " is not open")
		x.fail(http.StatusInternalServerError)
		return
	}
	f, err := folder.Find(x.d.Path, x.r.Header["Accept-Encoding"])
	var to *files.RedirectError
	switch {
	case errors.As(err, &to):
		// Relative to what the client asked for, which a rewrite may have changed. Behind
		// "./" nothing is a host or a scheme.
		own := x.req.Path[strings.LastIndexByte(x.req.Path, '/')+1:]
		x.w.Header()["Location"] = []string{originForm("./"+own+"/", x.d.Query)}
		x.answer(http.StatusPermanentRedirect, "")
		return
	case errors.Is(err, fs.ErrPermission):
		x.ev.Err = err
		x.fail(http.StatusForbidden)
		return
	case errors.Is(err, fs.ErrNotExist):
		x.fail(http.StatusNotFound)
		return
	case err != nil:
		x.ev.Err = err
		x.fail(http.StatusInternalServerError)
		return
	}
	defer f.Close()
	f.Header(x.w.Header(), conf.CacheControl)
	if r := x.r; r.Method == http.MethodHead || strings.Count(r.Header.Get("Range"), ",") >= mostRanges {
		delete(r.Header, "Range") // of GET alone (RFC 9110 section 14.2); each part has a head of its own
	}
	w := &fileWriter{x: x, size: f.Info.Size()}
	http.ServeContent(w, x.r, f.Name, f.Info.ModTime(), f)
	w.end()
}

// mostRanges is how many parts of a file one answer may have: of many small ones
// the heads are far longer than what they are about.
const mostRanges = 32

// fileWriter is what ServeContent writes to: heads pass policy, and bodies are
// compressed, counted, and never end early unnoticed.
type fileWriter struct {
	x      *exchange
	size   int64 // of the file
	out    bodyWriter
	began  bool
	expect int64 // bytes that were announced; -1: unknown
	sent   int64
	failed error
}

// Header implements http.ResponseWriter.
func (w *fileWriter) Header() http.Header { return w.x.w.Header() }

// WriteHeader implements http.ResponseWriter.
func (w *fileWriter) WriteHeader(status int) {
	x := w.x
	w.began, w.expect = true, -1
	if status >= 400 {
		// The text of ServeContent gives way to the route's.
		w.failed = errFileRefused
		h := x.w.Header()
		for _, name := range []string{"Content-Type", "Etag", "Last-Modified", "Cache-Control", "Content-Encoding", "Content-Length"} {
			delete(h, name)
		}
		x.fail(status)
		return
	}
	if status == http.StatusOK {
		w.expect = w.size
	}
	w.out.x = x
	how := x.encoding(status, w.size)
	switch h := x.w.Header(); {
	case how != nil && x.r.Method != http.MethodHead:
		w.out.zip = x.srv.encoders.Begin(how, plainWriter{x})
	case how == nil && status == http.StatusOK:
		h["Content-Length"] = []string{strconv.FormatInt(w.size, 10)} // which ServeContent leaves out beside Content-Encoding
	}
	x.writeHead(status)
}

var errFileRefused = errors.New("the range or condition cannot be met")

// Write implements http.ResponseWriter.
func (w *fileWriter) Write(p []byte) (int, error) {
	if !w.began {
		w.WriteHeader(http.StatusOK)
	}
	if w.failed != nil {
		return 0, w.failed
	}
	if w.failed = w.out.write(p); w.failed != nil {
		return 0, w.failed
	}
	w.sent += int64(len(p))
	return len(p), nil
}

// end completes the answer. A file that got shorter meanwhile breaks the transfer.
func (w *fileWriter) end() {
	x := w.x
	if w.out.zip != nil {
		defer w.out.zip.Abandon()
	}
	switch {
	case errors.Is(w.failed, errFileRefused):
		return
	case w.failed == nil && w.expect >= 0 && w.sent < w.expect && x.r.Method != http.MethodHead:
		w.failed = errors.New("the file got shorter while it was sent")
	case w.failed == nil:
		w.failed = w.out.end()
	}
	if w.failed != nil {
		x.ev.Err = w.failed
		panic(http.ErrAbortHandler)
	}
	x.guardWrites()
}
