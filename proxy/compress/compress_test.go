package compress

import (
	"bytes"
	"io"
	"net/http"
	"runtime"
	"strings"
	"testing"

	"github.com/andybalholm/brotli"
	"github.com/klauspost/compress/gzip"
	"github.com/klauspost/compress/zstd"

	"edge/proxy/policy"
)

// decode decompresses; ended says whether the end has to be there.
func decode(t testing.TB, name string, b []byte, ended bool) []byte {
	t.Helper()
	var r io.Reader
	var err error
	switch name {
	case "zstd":
		d, derr := zstd.NewReader(bytes.NewReader(b), zstd.WithDecoderMaxWindow(windowBytes))
		if derr != nil {
			t.Fatal(derr)
		}
		defer d.Close()
		r = d
	case "br":
		r = brotli.NewReader(bytes.NewReader(b))
	default:
		r, err = gzip.NewReader(bytes.NewReader(b))
	}
	if err != nil {
		t.Fatal(err)
	}
	out, err := io.ReadAll(r)
	if whole := err == nil; whole != ended || err != nil && err != io.ErrUnexpectedEOF {
		t.Errorf("%s: it ends with %v", name, err)
	}
	return out
}

func TestRoundTrip(t *testing.T) {
	text := []byte(strings.Repeat("some text that repeats itself; ", 50000))
	var encoders Encoders
	for _, name := range []string{"zstd", "br", "gzip"} {
		for _, level := range []int{0, 1, 9} {
			for range 3 { // the second time with a used encoder
				var out bytes.Buffer
				w := encoders.Begin(&Encoding{name, level}, &out)
				for rest := text; len(rest) > 0; rest = rest[min(len(rest), 10000):] {
					if _, err := w.Write(rest[:min(len(rest), 10000)]); err != nil {
						t.Fatal(err)
					}
				}
				if err := w.Close(); err != nil {
					t.Fatal(err)
				}
				if got := decode(t, name, out.Bytes(), true); !bytes.Equal(got, text) || out.Len() > len(text)/20 {
					t.Errorf("%s %d: %d bytes of %d, right: %v", name, level, out.Len(), len(text), bytes.Equal(got, text))
				}
			}
		}
	}
}

// What was written before a Flush can be read before the end.
func TestFlush(t *testing.T) {
	var encoders Encoders
	for _, name := range []string{"zstd", "br", "gzip"} {
		var out bytes.Buffer
		w := encoders.Begin(&Encoding{Name: name}, &out)
		w.Write([]byte("data: first\n\n"))
		w.Flush()
		if got := decode(t, name, bytes.Clone(out.Bytes()), false); string(got) != "data: first\n\n" {
			t.Errorf("%s: %q after a flush", name, got)
		}
		w.Abandon()
		// The next answer has nothing of this one.
		out.Reset()
		w = encoders.Begin(&Encoding{Name: name}, &out)
		w.Write([]byte("other"))
		w.Close()
		if got := decode(t, name, out.Bytes(), true); string(got) != "other" {
			t.Errorf("%s: %q", name, got)
		}
	}
}

func TestChoose(t *testing.T) {
	all := &policy.Compress{}
	for _, c := range []struct {
		name   string
		c      *policy.Compress
		accept string
		status int
		header http.Header
		length int64
		want   string
		vary   string
	}{
		{"all of them", all, "gzip, br, zstd", 200, http.Header{}, 5000, "zstd", "Accept-Encoding"},
		{"quality", all, "zstd;q=0.5, br;q=0.9, gzip;q=0.8", 200, http.Header{}, 5000, "br", "Accept-Encoding"},
		{"refused", all, "zstd;q=0, br;q=0, gzip", 200, http.Header{}, 5000, "gzip", "Accept-Encoding"},
		{"star", all, "*", 200, http.Header{}, 5000, "zstd", "Accept-Encoding"},
		{"star refused", all, "*;q=0", 200, http.Header{}, 5000, "", "Accept-Encoding"},
		{"identity preferred", all, "identity, gzip;q=0.5", 200, http.Header{}, 5000, "", "Accept-Encoding"},
		{"x-gzip", all, "x-gzip", 200, http.Header{}, 5000, "gzip", "Accept-Encoding"},
		{"nothing said", all, "", 200, http.Header{}, 5000, "", "Accept-Encoding"},
		{"nonsense", all, "gzip;q=2, br;z=1, zstd;q=NaN", 200, http.Header{}, 5000, "", "Accept-Encoding"},
		{"our order", &policy.Compress{Encodings: []string{"gzip", "br"}}, "br, gzip", 200, http.Header{}, 5000, "gzip", "Accept-Encoding"},
		{"off", nil, "gzip", 200, http.Header{}, 5000, "", ""},
		{"short", all, "gzip", 200, http.Header{}, 100, "", ""},
		{"a stream", all, "gzip", 200, http.Header{}, -1, "gzip", "Accept-Encoding"},
		{"double", all, "gzip", 200, http.Header{"Content-Encoding": {"br"}}, 5000, "", ""},
		{"a part", all, "gzip", 206, http.Header{"Content-Range": {"bytes 0-1/2"}}, 5000, "", ""},
		{"a part without its range", all, "gzip", 206, http.Header{}, 5000, "", ""},
		{"not modified", all, "gzip", 304, http.Header{}, 5000, "", ""},
		{"no-transform", all, "gzip", 200, http.Header{"Cache-Control": {"public, No-Transform"}}, 5000, "", ""},
		{"opted out", all, "gzip", 200, http.Header{OptOut: {"off"}}, 5000, "", ""},
		{"an image", all, "gzip", 200, http.Header{"Content-Type": {"image/png"}}, 5000, "", ""},
		{"no type", all, "gzip", 200, http.Header{"Content-Type": nil}, 5000, "", ""},
		{"suffix", all, "gzip", 200, http.Header{"Content-Type": {"application/vnd.api+json; charset=utf-8"}}, 5000, "gzip", "Accept-Encoding"},
		{"own types", &policy.Compress{Types: []string{"image/*"}}, "gzip", 200, http.Header{"Content-Type": {"image/png"}}, 5000, "gzip", "Accept-Encoding"},
		{"vary is there", all, "gzip", 200, http.Header{"Vary": {"Origin, accept-encoding"}}, 5000, "gzip", "Origin, accept-encoding"},
	} {
		if _, ok := c.header["Content-Type"]; !ok {
			c.header["Content-Type"] = []string{"text/html; charset=utf-8"}
		}
		c.header["Etag"] = []string{`"abc"`}
		c.header["Content-Length"] = []string{"5000"}
		c.header["Accept-Ranges"] = []string{"bytes"}
		e := Choose(c.c, []string{c.accept}, c.status, c.header, c.length)
		got := ""
		if e != nil {
			got = e.Name
			e.Header(c.header)
		}
		if got != c.want || strings.Join(c.header["Vary"], ", ") != c.vary || c.header[OptOut] != nil {
			t.Errorf("%s: %q, %v", c.name, got, c.header)
		}
		if tag := c.header.Get("Etag"); (tag == `W/"abc"`) != (got != "") || (c.header["Content-Length"] == nil) != (got != "") || (c.header["Accept-Ranges"] == nil) != (got != "") {
			t.Errorf("%s: %v", c.name, c.header)
		}
	}
}

func TestNotModified(t *testing.T) {
	for _, c := range []struct{ tag, asked, want, vary string }{
		{`"a"`, `W/"a"`, `W/"a"`, "Accept-Encoding"},
		{`"a"`, `W/"b", W/"a"`, `W/"a"`, "Accept-Encoding"},
		{`"a"`, `W/"a", "a"`, `"a"`, ""},
		{`"a"`, `"a"`, `"a"`, ""},
		{`"a"`, `W/"A"`, `"a"`, ""},
		{`"a"`, `*`, `"a"`, ""},
		{`W/"a"`, `W/"a"`, `W/"a"`, ""},
		{"", `W/`, "", ""},
	} {
		h := http.Header{OptOut: {"off"}}
		if c.tag != "" {
			h.Set("Etag", c.tag)
		}
		NotModified(h, []string{c.asked})
		if h.Get("Etag") != c.want || h.Get("Vary") != c.vary || h[OptOut] != nil {
			t.Errorf("%s, asked for %s: %v", c.tag, c.asked, h)
		}
	}
}

// An answer that was abandoned leaves its encoder with nothing of it.
func TestAbandonKeepsNothing(t *testing.T) {
	var encoders Encoders
	for _, name := range []string{"zstd", "br", "gzip"} {
		out := &gone{}
		w := encoders.Begin(&Encoding{Name: name}, out)
		w.Write([]byte("secret"))
		w.Flush()
		enc := w.enc
		w.Abandon()
		out.closed = true
		enc.Write(bytes.Repeat([]byte("x"), 1<<20))
		if enc.Flush(); out.late {
			t.Errorf("%s: an encoder that was given back still writes to its client", name)
		}
	}
}

// gone notices what is written after an answer is over.
type gone struct{ closed, late bool }

func (g *gone) Write(p []byte) (int, error) {
	g.late = g.late || g.closed
	return len(p), nil
}

// A stream that is open costs a bounded amount of memory.
func TestMemoryOfStreams(t *testing.T) {
	const n = 50
	block := []byte(strings.Repeat("abcdefghij", 1000))
	for name, most := range map[string]int64{"zstd": 3 << 20, "br": 3 << 20, "gzip": 1500 << 10} {
		var encoders Encoders
		before := heap()
		var open []*Writer
		for range n {
			w := encoders.Begin(&Encoding{Name: name}, io.Discard)
			for range 100 {
				w.Write(block)
			}
			w.Flush()
			open = append(open, w)
		}
		each := (heap() - before) / n
		for _, w := range open {
			w.Abandon()
		}
		t.Logf("%s: %d KiB a stream", name, each>>10)
		if each > most {
			t.Errorf("%s: %d KiB a stream, want at most %d", name, each>>10, most>>10)
		}
	}
}

func heap() int64 {
	runtime.GC()
	runtime.GC() // the first one leaves what pools have to the second
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return int64(m.HeapAlloc)
}

func FuzzNegotiate(f *testing.F) {
	for _, s := range []string{"gzip, br;q=0.5", "*;q=0", "identity;q=1, *;q=0.1", ";;,,=", "gzip;q=1e999"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		switch got := Negotiate(nil, []string{s}); got {
		case "":
		case "zstd", "br", "gzip":
			if quality([]string{s}, got) <= 0 {
				t.Errorf("%q: %s, which is refused", s, got)
			}
		default:
			t.Errorf("%q: %q", s, got)
		}
	})
}
