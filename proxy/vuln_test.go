package proxy

import (
	"bufio"
	"crypto/tls"
	"fmt"
	"io"
	"net"
	"net/http"
	"strings"
	"testing"
	"time"
)

// Published vulnerabilities of proxies and servers, as far as edge could have
// them: what was sent then, and what must become of it. Floods have their own
// table (TestFloodsHTTP2). docs/security.md lists them all.

// refusedAttacks are answered with an error, and not a byte of them reaches a backend.
var refusedAttacks = []shape{
	{"CVE_2005_2088_ContentLengthAndChunked", post + "Content-Length: 44\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\nGET /admin HTTP/1.1\r\nHost: example.org\r\n\r\n", 400},
	{"CVE_2013_4547_SpaceAndNulInTarget", "GET /file.jpg \x00.php HTTP/1.1\r\nHost: example.org\r\n\r\n", 400},
	{"CVE_2016_8743_WhitespaceInHead", "GET /\x0b HTTP/1.1\r\nHost: example.org\r\nX:\x0c1\r\n\r\n", 400},
	{"CVE_2018_7159_SpaceInContentLength", post + "Content-Length: 1 2\r\n\r\nabc", 400},
	{"CVE_2019_16276_SpaceBeforeColon", post + "Transfer-Encoding : chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2019_16785_BareLFInHead", post + "X: a\nTransfer-Encoding: chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2019_16786_UnknownTransferCoding", post + "Transfer-Encoding: gzip\r\nContent-Length: 5\r\n\r\nabcde", 400},
	{"CVE_2019_18277_VerticalTabChunked", post + "Content-Length: 6\r\nTransfer-Encoding:\x0bchunked\r\n\r\n0\r\n\r\nX", 400},
	{"CVE_2019_20444_FieldWithoutColon", post + "Transfer-Encoding chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2019_20445_SecondTransferEncoding", post + "Content-Length: 5\r\nTransfer-Encoding: chunked\r\nTransfer-Encoding: cow\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2020_10108_TwoContentLengths", post + "Content-Length: 5\r\nContent-Length: 0\r\n\r\nabcde", 400},
	{"CVE_2020_10687_PlusInChunkSize", post + "Transfer-Encoding: chunked\r\n\r\n+5\r\nabcde\r\n0\r\n\r\n", 400},
	{"CVE_2020_7238_SpaceBeforeFirstField", "POST / HTTP/1.1\r\n Transfer-Encoding: chunked\r\nHost: example.org\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2021_22959_SpaceAfterName", get + "Content-Length \t: 5\r\n\r\nabcde", 400},
	{"CVE_2021_40346_LongNameHidesContentLength", post + "Content-Length0" + strings.Repeat("a", 255) + ":\r\nContent-Length: 60\r\nContent-Length: 5\r\n\r\nabcde", 400},
	{"CVE_2022_1705_ObfuscatedTransferEncoding", post + "Transfer-Encoding: \x00chunked\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2022_24761_HexInContentLength", post + "Content-Length: 0x5\r\n\r\nabcde", 400},
	{"CVE_2022_24801_LenientChunkSize", post + "Transfer-Encoding: chunked\r\n\r\n0x5\r\nabcde\r\n0\r\n\r\n", 400},
	{"CVE_2022_26377_TransferEncodingList", post + "Transfer-Encoding: chunked, chunked\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2022_32213_TransferEncodingNotLast", post + "Transfer-Encoding: chunked, identity\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2022_32214_LoneCRAfterField", get + "X: a\rTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2022_32215_FoldedTransferEncoding", post + "Transfer-Encoding: \r\n chunked\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2023_25725_EmptyFieldName", post + "Content-Length: 5\r\n: x\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2023_29406_HostWithALineEnd", "GET / HTTP/1.1\r\nHost: example.org\rX-Evil: 1\r\n\r\n", 400},
	{"CVE_2023_30589_LFAfterCRAlone", "GET / HTTP/1.1\r\nHost: example.org\r\rX: y\r\n\r\n", 400},
	{"CVE_2023_40175_TrailerAsHeader", post + "Transfer-Encoding: chunked\r\n\r\n0\r\nTransfer-Encoding: chunked\r\n\r\n", 400},
	{"CVE_2023_46846_ChunkSizeOverflow", post + "Transfer-Encoding: chunked\r\n\r\nfffffffffffffffff0\r\nabc\r\n0\r\n\r\n", 400},
	{"CVE_2023_46847_HostOfADigest", "GET / HTTP/1.1\r\nHost: example.org\r\nHost: \r\n\r\n", 400},
	{"CVE_2024_1135_TransferEncodingWithSpaces", post + "Transfer-Encoding: chunked ,\r\nContent-Length: 5\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2024_23452_ContentLengthBehindChunked", post + "Transfer-Encoding: chunked\r\nContent-Length: 0\r\n\r\n0\r\n\r\n", 400},
	{"CVE_2024_53868_ChunkDataWithoutEnd", post + "Transfer-Encoding: chunked\r\n\r\n3\r\nabcdef\r\n0\r\n\r\n", 400},
	{"CVE_2025_22871_BareLFInChunkExtension", post + "Transfer-Encoding: chunked\r\n\r\n3;a\nabc\r\n0\r\n\r\n", 400},
	{"CVE_2025_55315_NewlineInChunkExtension", post + "Transfer-Encoding: chunked\r\n\r\n3;\rx\r\nabc\r\n0\r\n\r\n", 400},
	{"CVE_2023_44487_PrefaceOnHTTP1", "PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", 400},
	{"CVE_2023_39326_EndlessChunkExtension", post + "Transfer-Encoding: chunked\r\n\r\n3;" + strings.Repeat("a", 64<<10), 400},
	{"CVE_2019_11043_EncodedNulInPath", "GET /index.php/%00 HTTP/1.1\r\nHost: example.org\r\n\r\n", 400},
	{"CVE_2023_24536_EndlessHead", get + strings.Repeat("X-A: b\r\n", 5000), 431},
}

func TestVulnRefused(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, a := range refusedAttacks {
		t.Run(a.class, func(t *testing.T) {
			before := b.bytes.Load()
			got := r.raw(a.send)
			if !strings.HasPrefix(got, fmt.Sprintf("HTTP/1.1 %d ", a.want)) || strings.Count(got, "HTTP/1.1 ") != 1 {
				t.Errorf("answer %.80q, want one %d", got, a.want)
			}
			if n := b.bytes.Load() - before; n != 0 {
				t.Errorf("%d bytes reached the backend", n)
			}
		})
	}
}

// What passes, but must not carry along what the attacker added.
func TestVulnDisarmed(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	for _, a := range []struct {
		name, send string
		ok         func(*http.Request) bool // of what the backend saw
	}{
		{"CVE_2016_5385_Httpoxy", get + "Proxy: http://evil.example\r\n\r\n", func(q *http.Request) bool { return q.Header["Proxy"] == nil }},
		{"CVE_2021_33197_ConnectionNamesForwardedFor", get + "Connection: close, X-Forwarded-For\r\nX-Forwarded-For: 203.0.113.1\r\n\r\n",
			func(q *http.Request) bool { return q.Header.Get("X-Forwarded-For") == "127.0.0.1" }},
		{"CVE_2024_45410_ConnectionNamesForwardedHost", get + "Connection: x-forwarded-host, X-Forwarded-Proto\r\n\r\n",
			func(q *http.Request) bool {
				return q.Header.Get("X-Forwarded-Host") == "example.org" && q.Header.Get("X-Forwarded-Proto") == "http"
			}},
		{"CVE_2022_32148_ForwardedForSpoofed", get + "X-Forwarded-For: 203.0.113.1\r\nX-Forwarded-For: 203.0.113.2\r\nX-Real-IP: 203.0.113.3\r\nForwarded: for=203.0.113.4\r\n\r\n",
			func(q *http.Request) bool {
				return q.Header.Get("X-Forwarded-For") == "127.0.0.1" && q.Header["X-Real-Ip"] == nil && q.Header["Forwarded"] == nil
			}},
		{"CVE_2020_11724_UpgradeToH2C", get + "Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABkAAQAAP__\r\n\r\n",
			func(q *http.Request) bool { return q.Header["Upgrade"] == nil && q.Header["Http2-Settings"] == nil }},
		{"CVE_2023_25690_LineEndsInTarget", "GET /a%20HTTP/1.1%0d%0aX-Evil:%201 HTTP/1.1\r\nHost: example.org\r\n\r\n",
			func(q *http.Request) bool {
				return q.Header["X-Evil"] == nil && strings.EqualFold(q.RequestURI, "/a%20HTTP/1.1%0d%0aX-Evil:%201")
			}},
		{"CVE_2019_20372_BodyOfAGet", get + "Content-Length: 45\r\n\r\nGET /admin HTTP/1.1\r\nHost: evil.example\r\n\r\n12",
			func(q *http.Request) bool { return q.URL.Path == "/" && q.ContentLength == 45 }},
		{"CVE_2015_3183_UnderscoresForHyphens", get + "X_Forwarded_For: 203.0.113.1\r\nContent_Length: 3\r\n\r\n",
			func(q *http.Request) bool {
				return len(q.Header["X_forwarded_for"])+len(q.Header["Content_length"]) == 0
			}},
		{"CVE_2022_2880_QueryAsItCame", "GET /?a=1;b=2&c=%zz HTTP/1.1\r\nHost: example.org\r\n\r\n", nil},
	} {
		t.Run(a.name, func(t *testing.T) {
			c := r.dial()
			io.WriteString(c, a.send)
			res, _ := readResponse(t, bufio.NewReader(c), "GET")
			if a.ok == nil {
				if res.StatusCode != 400 {
					t.Errorf("%s for a query that two parsers read in two ways", res.Status)
				}
				return
			}
			if res.StatusCode != 200 {
				t.Fatal(res.Status)
			}
			if q := b.seen.Load(); !a.ok(q) {
				t.Errorf("the backend saw %s %v", q.RequestURI, q.Header)
			}
		})
	}
}

// A proxy that takes any answer to an upgrade for the end of HTTP lets a client
// speak to the backend unseen (the tunnels of 2019, "websocket smuggling").
func TestVulnUpgradeThatTheBackendRefuses(t *testing.T) {
	b := newCountingBackend(t)
	r := rigWith(t, nil, func(_ *Options, s *Settings) { s.Table, s.Pools = everythingTo(t, b.Addr().String()) })
	c := r.dial()
	io.WriteString(c, get+"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 777\r\n\r\nGET /admin HTTP/1.1\r\nHost: internal\r\n\r\n")
	got, _ := io.ReadAll(c)
	if n := strings.Count(string(got), "HTTP/1.1 "); n != 1 {
		t.Errorf("%d answers: %q", n, got)
	}
	if q := b.seen.Load(); q == nil || q.URL.Path == "/admin" {
		t.Errorf("the backend saw %v", q)
	}
}

// CVE-2024-24791: a client that expects 100 and sends no body must not leave a
// connection to the backend behind that the next request is confused by.
func TestVuln_CVE_2024_24791_ExpectWithoutABody(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(w http.ResponseWriter, q *http.Request) {
		if q.Header.Get("Expect") != "" {
			w.WriteHeader(http.StatusForbidden)
			return
		}
		io.WriteString(w, q.URL.Path)
	}))
	for range 20 {
		c := r.dial()
		io.WriteString(c, post+"Content-Length: 10\r\nExpect: 100-continue\r\n\r\n")
		if res, _ := readResponse(t, bufio.NewReader(c), "POST"); res.StatusCode != http.StatusForbidden {
			t.Fatal(res.Status)
		}
		c.Close()
		if status, body := r.get(false, "http://example.org/next"); status != 200 || body != "/next" {
			t.Fatalf("the next request: %d %q", status, body)
		}
	}
}

// CVE-2007-6750 (Slowloris): heads that never end are ended, and cost others nothing.
func TestVuln_CVE_2007_6750_Slowloris(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}), func(_ *Options, s *Settings) {
		s.Limits.HeaderRead = 300 * time.Millisecond
	})
	var conns []net.Conn
	for range 200 {
		c := r.dial()
		io.WriteString(c, "GET / HTTP/1.1\r\nHost: example.org\r\nX-a:")
		conns = append(conns, c)
	}
	if status, _ := r.get(false, "http://example.org/"); status != 200 {
		t.Errorf("an honest client got %d", status)
	}
	for _, c := range conns {
		if got, err := io.ReadAll(c); err != nil || !strings.HasPrefix(string(got), "HTTP/1.1 408 ") {
			t.Fatalf("%q %v", got, err)
		}
	}
}

// CVE-2009-3555: nobody renegotiates.
func TestVuln_CVE_2009_3555_Renegotiation(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	c, err := tls.Dial("tcp", r.https, &tls.Config{RootCAs: r.roots, ServerName: "example.org", MaxVersion: tls.VersionTLS12, Renegotiation: tls.RenegotiateFreelyAsClient})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Close()
	cs := c.ConnectionState()
	if cs.Version != tls.VersionTLS12 || !strings.Contains(tls.CipherSuiteName(cs.CipherSuite), "ECDHE") {
		t.Errorf("%x %s", cs.Version, tls.CipherSuiteName(cs.CipherSuite))
	}
}

// CVE-2014-3566, CVE-2011-3389, CVE-2016-2183, CVE-2013-2566: old versions and
// ciphers are not spoken.
func TestVulnOldTLS(t *testing.T) {
	r := rigWith(t, http.HandlerFunc(func(http.ResponseWriter, *http.Request) {}))
	weak := []uint16{tls.TLS_RSA_WITH_3DES_EDE_CBC_SHA, tls.TLS_ECDHE_ECDSA_WITH_RC4_128_SHA, tls.TLS_RSA_WITH_AES_128_CBC_SHA256, tls.TLS_RSA_WITH_AES_128_GCM_SHA256}
	for name, cfg := range map[string]*tls.Config{
		"CVE_2014_3566_TLS10":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS10},
		"CVE_2011_3389_TLS11":           {MinVersion: tls.VersionTLS10, MaxVersion: tls.VersionTLS11},
		"CVE_2016_2183_3DES":            {MaxVersion: tls.VersionTLS12, CipherSuites: weak[:1]},
		"CVE_2013_2566_RC4":             {MaxVersion: tls.VersionTLS12, CipherSuites: weak[1:2]},
		"CVE_2017_13099_RSAKeyExchange": {MaxVersion: tls.VersionTLS12, CipherSuites: weak[2:]},
	} {
		t.Run(name, func(t *testing.T) {
			cfg.RootCAs, cfg.ServerName = r.roots, "example.org"
			if c, err := tls.Dial("tcp", r.https, cfg); err == nil {
				c.Close()
				t.Error("the handshake succeeded")
			}
		})
	}
}
