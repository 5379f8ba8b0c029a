package proxy

import (
	"bytes"
	"compress/gzip"
	"crypto/rand"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"

	"edge/proxy/files"
	"edge/proxy/policy"
)

// fileRig serves a folder at example.org.
func fileRig(t *testing.T, o policy.Files, change func(*policy.Route)) *rig {
	t.Helper()
	route := policy.Route{Name: "files", Action: policy.Action{Files: &o}}
	if change != nil {
		change(&route)
	}
	folder, err := files.Open(o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { folder.Close() })
	return rigWith(t, http.HandlerFunc(echo), func(_ *Options, s *Settings) {
		s.Table = tableOf(t, policy.Site{Name: "example.org", Hosts: []string{"example.org"}, TLS: true, Routes: []policy.Route{route}})
		s.Folders = map[*policy.Files]*files.Folder{&o: folder}
		route.Action.Files = &o
	})
}

func TestServeFiles(t *testing.T) {
	dir := t.TempDir()
	os.Mkdir(filepath.Join(dir, "sub"), 0o755)
	os.WriteFile(filepath.Join(dir, "index.html"), []byte("<h1>home</h1>"), 0o644)
	os.WriteFile(filepath.Join(dir, "sub", "index.html"), []byte("sub"), 0o644)
	os.WriteFile(filepath.Join(dir, "data.bin"), []byte("0123456789"), 0o644)
	r := fileRig(t, policy.Files{Root: dir, CacheControl: "max-age=60"}, func(rt *policy.Route) {
		rt.Errors = []policy.ErrorPage{{From: 400, To: 499, Type: "text/html", Body: []byte("page {status}")}}
		rt.Response = []policy.HeaderEdit{{Op: policy.SetField, Name: "X-A", Value: "b"}}
	})
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		first := ask(c, requestTo(t, "GET", site+"/", nil))
		tag, when := first.header.Get("Etag"), first.header.Get("Last-Modified")
		if first.status != 200 || first.body != "<h1>home</h1>" || first.header.Get("Content-Type") != "text/html; charset=utf-8" || first.header.Get("Cache-Control") != "max-age=60" ||
			first.header.Get("X-A") != "b" || first.header.Get("X-Content-Type-Options") != "nosniff" || tag == "" || when == "" {
			t.Errorf("%+v", first)
		}
		for _, tc := range []struct {
			method, path string
			fields       []string
			status       int
			body         string
		}{
			{"HEAD", "/", nil, 200, ""},
			{"GET", "/", []string{"If-None-Match", tag}, 304, ""},
			{"GET", "/", []string{"If-None-Match", "W/" + tag}, 304, ""},
			{"GET", "/", []string{"If-Modified-Since", when}, 304, ""},
			{"GET", "/", []string{"If-Match", `"other"`}, 412, "page 412"},
			{"GET", "/data.bin", []string{"Range", "bytes=2-4"}, 206, "234"},
			{"GET", "/data.bin", []string{"Range", "bytes=-3"}, 206, "789"},
			{"GET", "/data.bin", []string{"Range", "bytes=20-"}, 416, "page 416"},
			{"GET", "/data.bin", []string{"Range", "bytes=2-4", "If-Range", `"other"`}, 200, "0123456789"},
			{"HEAD", "/data.bin", []string{"Range", "bytes=2-4"}, 200, ""},
			{"GET", "/sub", nil, 308, ""},
			{"GET", "/sub/", nil, 200, "sub"},
			{"GET", "/nothing", nil, 404, "page 404"},
			{"POST", "/", nil, 405, "page 405"},
		} {
			a := ask(c, requestTo(t, tc.method, site+tc.path, nil, tc.fields...))
			if a.status != tc.status || a.body != tc.body || a.err != nil || a.header.Get("X-A") != "b" {
				t.Errorf("%s %s %q: %d %q %v %v", tc.method, tc.path, tc.fields, a.status, a.body, a.err, a.header)
			}
			if tc.status == 308 && a.header.Get("Location") != "./sub/" || tc.status == 405 && a.header.Get("Allow") != "GET, HEAD" {
				t.Errorf("%s: %v", tc.path, a.header)
			}
		}
		a := ask(c, requestTo(t, "GET", site+"/data.bin", nil, "Range", "bytes=0-1,4-5"))
		if a.status != 206 || !strings.HasPrefix(a.header.Get("Content-Type"), "multipart/byteranges") || !strings.Contains(a.body, "01") || !strings.Contains(a.body, "45") {
			t.Errorf("two ranges: %+v", a)
		}
	})
}

// CVE-2011-3192, CVE-2017-7529: ranges that overlap, or are too many, cost no
// more than the file; ranges that overflow are none.
func TestVuln_CVE_2011_3192_ManyRanges(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "x"), bytes.Repeat([]byte("a"), 100000), 0o644)
	r := fileRig(t, policy.Files{Root: dir}, nil)
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		many := "bytes=0-" + strings.Repeat(",5-", 1300)
		if a := ask(c, requestTo(t, "GET", site+"/x", nil, "Range", many)); len(a.body) > 110000 {
			t.Errorf("%d bytes", len(a.body))
		}
		// Small ones: their heads would be ten times the file.
		if a := ask(c, requestTo(t, "GET", site+"/x", nil, "Range", "bytes=0-0"+strings.Repeat(",5-5", 7000))); a.status != 200 || len(a.body) != 100000 {
			t.Errorf("small ranges: %d, %d bytes", a.status, len(a.body))
		}
		if a := ask(c, requestTo(t, "GET", site+"/x", nil, "Range", "bytes=0-0"+strings.Repeat(",5-5", mostRanges-1))); a.status != 206 {
			t.Errorf("as many ranges as may be: %d", a.status)
		}
		for _, v := range []string{"bytes=-9223372036854775809", "bytes=0-18446744073709551615,-9223372036854775000"} {
			if a := ask(c, requestTo(t, "GET", site+"/x", nil, "Range", v)); a.status != 416 && a.status != 200 && len(a.body) > 110000 {
				t.Errorf("%s: %d, %d bytes", v, a.status, len(a.body))
			}
		}
	})
}

// A folder's slash is put where the client left it out, whatever the path was
// rewritten to, and leads to no other host.
func TestServeFilesRedirect(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"sub", "evil.test", "a:b", "sp ace"} {
		os.Mkdir(filepath.Join(dir, name), 0o755)
		os.WriteFile(filepath.Join(dir, name, "index.html"), []byte("in "+name), 0o644)
	}
	for _, rewrite := range []policy.Rewrite{{}, {Strip: "/assets"}} {
		r := fileRig(t, policy.Files{Root: dir}, func(rt *policy.Route) { rt.Rewrite = rewrite })
		eachDialect(t, r, func(t *testing.T, c *http.Client) {
			for path, want := range map[string]string{
				"/sub": "/sub/", "/sub?a=/b": "/sub/?a=/b", "//evil.test": "//evil.test/", "/a:b": "/a:b/", "/sp%20ace": "/sp%20ace/",
			} {
				at, err := url.Parse("https://example.org" + rewrite.Strip + path)
				if err != nil {
					t.Fatal(err)
				}
				req := requestTo(t, "GET", site, nil)
				req.URL.Opaque = "//example.org" + rewrite.Strip + path
				a := ask(c, req)
				to, err := at.Parse(a.header.Get("Location"))
				if a.status != 308 || err != nil || to.Host != "example.org" || to.RequestURI() != rewrite.Strip+want && to.Path != rewrite.Strip+want {
					t.Errorf("%s: %d %q, which is %v; want %s", path, a.status, a.header.Get("Location"), to, rewrite.Strip+want)
					continue
				}
				req = requestTo(t, "GET", site, nil)
				req.URL.Opaque = "//example.org" + to.RequestURI()
				if a := ask(c, req); a.status != 200 || !strings.HasPrefix(a.body, "in ") {
					t.Errorf("%s: %d %q", to, a.status, a.body)
				}
			}
		})
	}
}

// A compressed form says how long it is, and HEAD says what GET does.
func TestServeFilesPrecompressed(t *testing.T) {
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "x.css"), []byte("as it is"), 0o644)
	os.WriteFile(filepath.Join(dir, "x.css.gz"), []byte("packed"), 0o644)
	r := fileRig(t, policy.Files{Root: dir, Precompressed: []string{"gzip"}}, nil)
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		for accept, want := range map[string]string{"gzip": "packed", "identity": "as it is"} {
			a := ask(c, requestTo(t, "GET", site+"/x.css", nil, "Accept-Encoding", accept))
			head := ask(c, requestTo(t, "HEAD", site+"/x.css", nil, "Accept-Encoding", accept))
			if a.status != 200 || a.body != want {
				t.Errorf("%s: %d %q", accept, a.status, a.body)
			}
			for _, name := range []string{"Content-Length", "Content-Encoding", "Content-Type", "Etag", "Vary"} {
				if a.header.Get(name) != head.header.Get(name) {
					t.Errorf("%s: %s is %q, of HEAD %q", accept, name, a.header.Get(name), head.header.Get(name))
				}
			}
			if a.header.Get("Content-Length") != strconv.Itoa(len(want)) || a.header.Get("Vary") != "Accept-Encoding" {
				t.Errorf("%s: %v", accept, a.header)
			}
		}
	})
}

// A file that gets shorter while it is sent is no whole answer, nor is a part of it.
func TestServeFilesCutShort(t *testing.T) {
	content := make([]byte, 24<<20) // more than any buffer on the way, and not to be compressed
	rand.Read(content)
	path := filepath.Join(t.TempDir(), "x")
	r := fileRig(t, policy.Files{Root: filepath.Dir(path)}, func(rt *policy.Route) { rt.Compress = &policy.Compress{Types: []string{"application/octet-stream"}} })
	for _, fields := range [][]string{{}, {"Accept-Encoding", "gzip"}, {"Range", "bytes=0-25000000"}, {"Range", "bytes=0-12000000,13000000-25000000"}} {
		eachDialect(t, r, func(t *testing.T, c *http.Client) {
			if err := os.WriteFile(path, content, 0o644); err != nil {
				t.Fatal(err)
			}
			res, err := c.Do(requestTo(t, "GET", site+"/x", nil, fields...))
			if err != nil {
				t.Fatal(err)
			}
			defer res.Body.Close()
			if _, err := io.ReadFull(res.Body, make([]byte, 1000)); err != nil {
				t.Fatal(err)
			}
			if err := os.Truncate(path, 2000); err != nil {
				t.Fatal(err)
			}
			if n, err := io.Copy(io.Discard, res.Body); err == nil {
				t.Errorf("%q: %d bytes look whole", fields, n)
			}
		})
	}
}

// CVE-2021-41773, CVE-2021-42013: dots that are escaped lead nowhere; what is
// escaped in a broken way is refused before (TestStrictHTTP1).
func TestVuln_CVE_2021_41773_Traversal(t *testing.T) {
	top := t.TempDir()
	dir := filepath.Join(top, "www")
	os.Mkdir(dir, 0o755)
	os.WriteFile(filepath.Join(top, "secret"), []byte("secret"), 0o644)
	os.Symlink("../secret", filepath.Join(dir, "link"))
	r := fileRig(t, policy.Files{Root: dir, Hidden: true}, nil)
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		for _, path := range []string{"/../secret", "/.%2e/secret", "/%2e%2e/secret", "/%2e%2e%2fsecret", "/%252e%252e/secret", "/..%5csecret", "/link", "/x/..;/..;/secret"} {
			req := requestTo(t, "GET", site, nil)
			req.URL.Opaque = "//example.org" + path
			if a := ask(c, req); a.status == 200 || strings.Contains(a.body, "secret") {
				t.Errorf("%s: %d %q", path, a.status, a.body)
			}
		}
	})
}

func TestCompression(t *testing.T) {
	text := strings.Repeat("some text that compresses well. ", 2000)
	dir := t.TempDir()
	os.WriteFile(filepath.Join(dir, "page.html"), []byte(text), 0o644)
	goOn := make(chan bool)
	backend := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		h := w.Header()
		h.Set("Etag", `"v1"`)
		switch r.URL.Path {
		case "/secret":
			h.Set("X-Edge-Compress", "off")
		case "/known":
			w.WriteHeader(http.StatusNotModified)
			return
		case "/events":
			h.Set("Content-Type", "text/event-stream")
			io.WriteString(w, "data: first\n\n")
			w.(http.Flusher).Flush()
			<-goOn
			io.WriteString(w, "data: second\n\n")
			return
		case "/cut":
			h.Set("Content-Type", "text/plain")
			h.Set("Content-Length", "100000")
			io.WriteString(w, text)
			panic(http.ErrAbortHandler)
		}
		h.Set("Content-Type", "text/plain")
		io.WriteString(w, text)
	})
	zip := &policy.Compress{}
	r := rigWith(t, backend, func(_ *Options, s *Settings) {
		o := &policy.Files{Root: dir}
		folder, err := files.Open(*o)
		if err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { folder.Close() })
		s.Folders = map[*policy.Files]*files.Folder{o: folder}
		s.Table = tableOf(t, policy.Site{Name: "example.org", Hosts: []string{"example.org"}, TLS: true, Routes: []policy.Route{
			{Match: policy.Match{Paths: []string{"/page.html"}}, Compress: zip, Action: policy.Action{Files: o}},
			{Match: policy.Match{Paths: []string{"/text"}}, Compress: zip, Action: policy.Action{Answer: &policy.Answer{Status: 200, Body: []byte(text)}}},
			{Match: policy.Match{Paths: []string{"/plain"}}, Action: toA()},
			{Compress: zip, Action: toA()},
		}})
	})
	unzip := func(s string) string {
		z, err := gzip.NewReader(strings.NewReader(s))
		if err != nil {
			return err.Error()
		}
		b, _ := io.ReadAll(z)
		return string(b)
	}
	eachDialect(t, r, func(t *testing.T, c *http.Client) {
		for path, packed := range map[string]bool{"/": true, "/page.html": true, "/text": true, "/plain": false, "/secret": false} {
			a := ask(c, requestTo(t, "GET", site+path, nil, "Accept-Encoding", "gzip"))
			body := a.body
			if packed {
				body = unzip(a.body)
			}
			if a.status != 200 || a.err != nil || body != text || (a.header.Get("Content-Encoding") == "gzip") != packed || packed != strings.Contains(a.header.Get("Vary"), "Accept-Encoding") || a.header["X-Edge-Compress"] != nil {
				t.Errorf("%s: %d, %d bytes, %v %v", path, a.status, len(a.body), a.err, a.header)
			}
			if path == "/" && a.header.Get("Etag") != `W/"v1"` {
				t.Errorf("etag %s", a.header.Get("Etag"))
			}
			if tag := a.header.Get("Etag"); path == "/page.html" {
				again := ask(c, requestTo(t, "GET", site+path, nil, "Accept-Encoding", "gzip", "If-None-Match", tag))
				if again.status != 304 || again.header.Get("Etag") != tag || again.header.Get("Vary") != a.header.Get("Vary") {
					t.Errorf("again: %d %v, want %s", again.status, again.header, tag)
				}
			}
			head := ask(c, requestTo(t, "HEAD", site+path, nil, "Accept-Encoding", "gzip"))
			if head.status != 200 || head.body != "" || head.header.Get("Content-Encoding") != a.header.Get("Content-Encoding") {
				t.Errorf("HEAD %s: %+v", path, head)
			}
		}
		for tag, want := range map[string]string{`W/"v1"`: `W/"v1"`, `"v1"`: `"v1"`} {
			if a := ask(c, requestTo(t, "GET", site+"/known", nil, "Accept-Encoding", "gzip", "If-None-Match", tag)); a.status != 304 || a.header.Get("Etag") != want {
				t.Errorf("known to have %s: %d %v", tag, a.status, a.header)
			}
		}
		// A stream is passed on as it comes.
		res, err := c.Do(requestTo(t, "GET", site+"/events", nil, "Accept-Encoding", "gzip"))
		if err != nil {
			t.Fatal(err)
		}
		z, err := gzip.NewReader(res.Body)
		if err != nil {
			t.Fatal(err)
		}
		b := make([]byte, len("data: first\n\n"))
		if _, err := io.ReadFull(z, b); err != nil {
			t.Fatal(err)
		}
		goOn <- true
		if rest, err := io.ReadAll(z); err != nil || string(rest) != "data: second\n\n" {
			t.Errorf("%q %v", rest, err)
		}
		res.Body.Close()
		// An answer that was cut short does not look whole.
		if a := ask(c, requestTo(t, "GET", site+"/cut", nil, "Accept-Encoding", "gzip")); a.err == nil {
			t.Errorf("a cut answer looks whole: %d, %d bytes", a.status, len(a.body))
		}
	})
}
