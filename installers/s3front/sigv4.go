package s3front

import (
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"fmt"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"
)

// amzDate is the time of a request, in the form that is signed.
const amzDate = "20060102T150405Z"

// scope is what a signature is for.
type scope struct {
	region, service string
	at              time.Time
}

func (s scope) date() string   { return s.at.UTC().Format("20060102") }
func (s scope) String() string { return s.date() + "/" + s.region + "/" + s.service + "/aws4_request" }

// sign adds a signature (AWS Signature Version 4) for all headers that a request has, and
// for its body. Headers that are set later are not signed.
func sign(r *http.Request, body []byte, c *credentials, s scope) {
	r.Header.Set("X-Amz-Date", s.at.UTC().Format(amzDate))
	if c.session != "" {
		r.Header.Set("X-Amz-Security-Token", c.session)
	}
	if s.service == "s3" { // it wants to be told
		r.Header.Set("X-Amz-Content-Sha256", hexHash(body))
	}
	r.Header.Del("Authorization")
	canonical, signed := canonicalRequest(r, hexHash(body), s.service)
	toSign := "AWS4-HMAC-SHA256\n" + s.at.UTC().Format(amzDate) + "\n" + s.String() + "\n" + hexHash([]byte(canonical))
	signature := hex.EncodeToString(mac(signingKey(c.secret, s), toSign))
	r.Header.Set("Authorization", fmt.Sprintf("AWS4-HMAC-SHA256 Credential=%s/%s, SignedHeaders=%s, Signature=%s", c.id, s, signed, signature))
}

// canonicalRequest is a request in the form that is signed, with the names of the headers
// that are.
func canonicalRequest(r *http.Request, payload, service string) (canonical, signed string) {
	host := r.Host
	if host == "" {
		host = r.URL.Host
	}
	lines := []string{"host:" + host + "\n"}
	for name, values := range r.Header {
		if name == "User-Agent" || name == "Connection" {
			continue // proxies change them
		}
		var list []string
		for _, v := range values {
			list = append(list, strings.Join(strings.Fields(v), " "))
		}
		lines = append(lines, strings.ToLower(name)+":"+strings.Join(list, ",")+"\n")
	}
	slices.Sort(lines)
	var names []string
	for _, l := range lines {
		name, _, _ := strings.Cut(l, ":")
		names = append(names, name)
	}
	signed = strings.Join(names, ";")
	path := r.URL.EscapedPath()
	if path == "" {
		path = "/"
	}
	if service != "s3" { // everybody else encodes what is encoded once more
		path = escape(path, true)
	}
	return r.Method + "\n" + path + "\n" + canonicalQuery(r.URL.Query()) + "\n" + strings.Join(lines, "") + "\n" + signed + "\n" + payload, signed
}

func canonicalQuery(q url.Values) string {
	var list []string
	for name, values := range q {
		for _, v := range values {
			list = append(list, escape(name, false)+"="+escape(v, false))
		}
	}
	slices.Sort(list)
	return strings.Join(list, "&")
}

// escape is AWS's UriEncode: everything but the unreserved characters of RFC 3986, and
// slashes where they are to stay.
func escape(s string, slash bool) string {
	var b strings.Builder
	for i := range len(s) {
		c := s[i]
		if c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z' || c >= '0' && c <= '9' || strings.IndexByte("-._~", c) >= 0 || slash && c == '/' {
			b.WriteByte(c)
			continue
		}
		fmt.Fprintf(&b, "%%%02X", c)
	}
	return b.String()
}

func signingKey(secret string, s scope) []byte {
	key := mac([]byte("AWS4"+secret), s.date())
	for _, part := range []string{s.region, s.service, "aws4_request"} {
		key = mac(key, part)
	}
	return key
}

func mac(key []byte, text string) []byte {
	h := hmac.New(sha256.New, key)
	h.Write([]byte(text))
	return h.Sum(nil)
}

func hexHash(b []byte) string {
	sum := sha256.Sum256(b)
	return hex.EncodeToString(sum[:])
}
