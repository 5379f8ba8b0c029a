package compress

import (
	"mime"
	"net/http"
	"strconv"
	"strings"

	"edge/proxy/policy"
)

// OptOut is a field by which a backend keeps an answer from being compressed
// ("off"): what mixes a secret with what an attacker can choose must not be
// (BREACH, CVE-2013-3587). It never reaches the client.
const OptOut = "X-Edge-Compress"

// defaultMinBytes is what is not worth the work.
const defaultMinBytes = 1024

// Encoding is how one answer is compressed. It is not kept.
type Encoding struct {
	Name  string // as in Content-Encoding
	level int
}

// Choose says how an answer is compressed; nil: it stays as it is. Vary is added
// where the choice depended on the client, also when the choice is nil. accept are
// the values of the client's Accept-Encoding, length is -1 where it is unknown.
func Choose(c *policy.Compress, accept []string, status int, h http.Header, length int64) *Encoding {
	off := strings.EqualFold(h.Get(OptOut), "off")
	delete(h, OptOut)
	if c == nil || off || !suitable(c, status, h, length) {
		return nil
	}
	addVary(h)
	name := Negotiate(c.Encodings, accept)
	if name == "" {
		return nil
	}
	return &Encoding{Name: name, level: c.Level}
}

// suitable reports whether an answer may be and is worth being compressed.
func suitable(c *policy.Compress, status int, h http.Header, length int64) bool {
	least := c.MinBytes
	if least <= 0 {
		least = defaultMinBytes
	}
	switch {
	case status < 200, status == http.StatusNoContent, status == http.StatusNotModified, status == http.StatusPartialContent:
		return false
	case length >= 0 && length < least:
		return false
	case len(h["Content-Encoding"]) > 0, len(h["Content-Range"]) > 0:
		return false // compressed already, or a part of something
	case hasToken(h["Cache-Control"], "no-transform"): // RFC 9111 section 5.2.2.6
		return false
	}
	return compressible(c.Types, h.Get("Content-Type"))
}

// compressible reports whether a type is one of the list, or of those that
// compress well where there is no list.
func compressible(types []string, contentType string) bool {
	t, _, err := mime.ParseMediaType(contentType)
	if err != nil {
		return false
	}
	if len(types) == 0 {
		types = defaultTypes()
	}
	for _, want := range types {
		if prefix, ok := strings.CutSuffix(want, "/*"); ok && strings.HasPrefix(t, prefix+"/") || strings.EqualFold(t, want) {
			return true
		}
		if suffix, ok := strings.CutPrefix(want, "*"); ok && strings.HasSuffix(t, suffix) {
			return true
		}
	}
	return false
}

func defaultTypes() []string {
	return []string{"text/*", "application/json", "application/javascript", "application/xml", "application/wasm", "application/manifest+json",
		"*+json", "*+xml", "image/svg+xml", "image/bmp", "image/x-icon", "image/vnd.microsoft.icon", "font/ttf", "font/otf",
		"application/vnd.ms-fontobject", "application/x-ndjson", "application/yaml", "application/toml", "application/rtf"}
}

// Header changes the fields of an answer that gets compressed. Its validator
// becomes weak: the bytes are others, the meaning is the same. A client that
// asks again sends the weak form, which If-None-Match compares weakly (RFC 9110
// section 13.1.2), so that backends recognise it. If-Match does not: whoever edits
// with it has to ask for the answer as it is, or the backend to opt out.
func (e *Encoding) Header(h http.Header) {
	h["Content-Encoding"] = []string{e.Name}
	delete(h, "Content-Length")
	delete(h, "Accept-Ranges")
	delete(h, "Content-Md5")
	delete(h, "Digest")
	delete(h, "Repr-Digest")
	delete(h, "Content-Digest")
	if tag := h.Get("Etag"); tag != "" && !strings.HasPrefix(tag, "W/") {
		h["Etag"] = []string{"W/" + tag}
	}
}

// NotModified gives a 304 the validator and the Vary of the compressed answer that
// a client has, which tags, its If-None-Match, tell: caches find what a 304 is
// about by them (RFC 9111 section 4.3.4). Backends answer with their strong one.
func NotModified(h http.Header, tags []string) {
	delete(h, OptOut)
	tag := h.Get("Etag")
	if tag == "" || strings.HasPrefix(tag, "W/") {
		return
	}
	weak := false
	for _, v := range tags {
		for part := range strings.SplitSeq(v, ",") {
			switch strings.Trim(part, " \t") {
			case tag:
				return // it has the answer as it is, too
			case "W/" + tag:
				weak = true
			}
		}
	}
	if weak {
		h["Etag"] = []string{"W/" + tag}
		addVary(h)
	}
}

func addVary(h http.Header) {
	if !hasToken(h["Vary"], "Accept-Encoding") && !hasToken(h["Vary"], "*") {
		h["Vary"] = append(h["Vary"], "Accept-Encoding")
	}
}

func hasToken(values []string, token string) bool {
	for _, v := range values {
		for part := range strings.SplitSeq(v, ",") {
			if strings.EqualFold(strings.Trim(part, " \t"), token) {
				return true
			}
		}
	}
	return false
}

// Negotiate picks the client's favourite among ours, ours where it has none (RFC
// 9110 section 12.5.3); "": none.
func Negotiate(ours, accept []string) string {
	if len(ours) == 0 {
		ours = []string{"zstd", "br", "gzip"}
	}
	best, bestQ := "", 0
	for _, name := range ours {
		if q := quality(accept, name); q > bestQ {
			best, bestQ = name, q
		}
	}
	if q := identity(accept); q > bestQ {
		return ""
	}
	return best
}

// identity is how much a client prefers no encoding, where it says so.
func identity(accept []string) int {
	q, said := find(accept, "identity")
	if !said {
		return 0
	}
	return q
}

// quality is how much a client likes an encoding, from 0 to 1000.
func quality(accept []string, name string) int {
	if q, said := find(accept, name); said {
		return q
	}
	if q, said := find(accept, "x-"+name); said && name == "gzip" {
		return q
	}
	q, _ := find(accept, "*")
	return q
}

func find(accept []string, name string) (q int, said bool) {
	for _, v := range accept {
		for part := range strings.SplitSeq(v, ",") {
			coding, params, _ := strings.Cut(part, ";")
			if !strings.EqualFold(strings.Trim(coding, " \t"), name) {
				continue
			}
			return weight(params), true
		}
	}
	return 0, false
}

// weight reads "q=0.5" in thousandths; what makes no sense counts as 0.
func weight(params string) int {
	params = strings.Trim(params, " \t")
	if params == "" {
		return 1000
	}
	k, v, _ := strings.Cut(params, "=")
	f, err := strconv.ParseFloat(strings.Trim(v, " \t"), 64)
	if !strings.EqualFold(strings.Trim(k, " \t"), "q") || err != nil || !(f >= 0 && f <= 1) {
		return 0
	}
	return int(f * 1000)
}
