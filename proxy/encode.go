package proxy

import (
	"net/http"

	"edge/proxy/compress"
)

// encoding chooses how the answer whose header stands in x.w is compressed, and
// changes the header for it; nil: not at all.
func (x *exchange) encoding(status int, length int64) *compress.Encoding {
	h := x.w.Header()
	if x.d.Rule == nil || x.d.Rule.Compress == nil {
		delete(h, compress.OptOut)
		return nil
	}
	if status == http.StatusNotModified {
		compress.NotModified(h, x.r.Header["If-None-Match"])
		return nil
	}
	how := compress.Choose(x.d.Rule.Compress, x.r.Header["Accept-Encoding"], status, h, length)
	if how != nil {
		how.Header(h)
		x.ev.Encoding = how.Name
	}
	return how
}

// bodyWriter sends a body to the client, in the encoding that was chosen.
type bodyWriter struct {
	x     *exchange
	zip   *compress.Writer // nil: as it is
	flush bool             // each part at once
}

func (w *bodyWriter) write(p []byte) error {
	if len(p) == 0 {
		return nil
	}
	var err error
	if w.zip == nil {
		_, err = plainWriter{w.x}.Write(p)
	} else if _, err = w.zip.Write(p); err == nil && w.flush {
		err = w.zip.Flush()
	}
	if err == nil && w.flush {
		err = w.x.flush()
	}
	return err
}

// end writes what an encoding has at its end.
func (w *bodyWriter) end() error {
	if w.zip == nil {
		return nil
	}
	return w.zip.Close()
}

// plainWriter writes to the client, and counts.
type plainWriter struct{ x *exchange }

func (w plainWriter) Write(p []byte) (int, error) {
	n, err := w.x.write(p)
	w.x.ev.BytesOut += int64(n)
	return n, err
}
