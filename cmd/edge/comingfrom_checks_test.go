package main

import (
	"bytes"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
)

// home is a page of the site that most blocks have.
const home = "https://example.org/"

// comingFromChecks say by the heading of each task what has to be seen of it.
func comingFromChecks() map[string]func(*visit) {
	checks := map[string]func(*visit){}
	for _, more := range []map[string]func(*visit){backendChecks(), pathChecks(), guardChecks(), answerChecks(), wireChecks()} {
		for name, f := range more {
			checks[name] = f
		}
	}
	return checks
}

func backendChecks() map[string]func(*visit) {
	return map[string]func(*visit){
		"Reverse proxy": func(v *visit) {
			v.want(v.ask("GET", home+"x?y=1", "X-Forwarded-For: 1.2.3.4"), 200, "one HTTP/1.1 GET /x?y=1 host=example.org", "X-Forwarded-Proto: https", "X-Forwarded-For: 127.0.0.1", "!1.2.3.4")
		},
		"Several servers with weights": func(v *visit) {
			if who := v.count(40, home); who["one"] != 30 || who["two"] != 10 {
				v.t.Errorf("got %v, want 30 to 10", who)
			}
		},
		"Health checks": func(v *visit) {
			v.one.ill.Store(true)
			v.eventually(func() error {
				if who := v.count(8, home); who["two"] != 8 {
					return fmt.Errorf("got %v, want the healthy one only", who)
				}
				return nil
			})
			v.one.ill.Store(false)
			v.eventually(func() error {
				if v.count(8, home)["one"] == 0 {
					return errors.New("who is well again gets nothing")
				}
				return nil
			})
		},
		"A pool that sites share": func(v *visit) {
			for _, url := range []string{home, "https://www.example.org/"} {
				if who := v.count(5, url); who["one"] != 5 {
					v.t.Errorf("%s: got %v, want no backup", url, who)
				}
			}
			if n := len(v.door.live.Load().proxy.Pools); n != 1 {
				v.t.Errorf("%d pools, want one that both share", n)
			}
		},
		"Sticky sessions": func(v *visit) {
			first := v.ask("GET", home)
			name, _, _ := strings.Cut(first.text, " ")
			cookies := first.Cookies()
			if len(cookies) != 1 || cookies[0].Name != "srv" || !cookies[0].Secure {
				v.t.Fatalf("got cookies %v", cookies)
			}
			for range 20 {
				v.want(v.ask("GET", home, "Cookie: srv="+cookies[0].Value), 200, name+" HTTP")
			}
		},
		"WebSockets": func(v *visit) {
			c, err := tls.Dial("tcp", v.https, &tls.Config{ServerName: "example.org", InsecureSkipVerify: true})
			if err != nil {
				v.t.Fatal(err)
			}
			defer c.Close()
			fmt.Fprint(c, "GET /ws HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n")
			var got []byte
			for b := make([]byte, 512); !bytes.HasSuffix(got, []byte("\r\n\r\n")); {
				n, err := c.Read(b)
				if err != nil {
					v.t.Fatalf("%v after %q", err, got)
				}
				got = append(got, b[:n]...)
			}
			if !bytes.HasPrefix(got, []byte("HTTP/1.1 101 ")) {
				v.t.Fatalf("got %q", got)
			}
			fmt.Fprint(c, "echo")
			b := make([]byte, 4)
			if _, err := io.ReadFull(c, b); err != nil || string(b) != "echo" {
				v.t.Errorf("got %q %v", b, err)
			}
		},
		"gRPC and h2c": func(v *visit) {
			r := v.ask("POST", home+"a.B/C", "Content-Type: application/grpc", "Te: trailers")
			v.want(r, 200, "two HTTP/2.0 POST /a.B/C")
			if r.Trailer.Get("Grpc-Status") != "0" {
				v.t.Errorf("got trailers %v", r.Trailer)
			}
		},
		"Unix socket": func(v *visit) { v.want(v.ask("GET", home), 200, "socket HTTP/1.1 GET / host=example.org") },
		"Timeouts":    func(v *visit) { v.want(v.ask("GET", home+"slow"), 504); v.want(v.ask("GET", home), 200) },
	}
}

func pathChecks() map[string]func(*visit) {
	return map[string]func(*visit){
		"Redirect www to the bare name": func(v *visit) {
			r := v.ask("GET", "https://www.example.org/a?b=c")
			if v.want(r, 308); r.Header.Get("Location") != "https://example.org/a?b=c" {
				v.t.Errorf("got %q", r.Header.Get("Location"))
			}
		},
		"HTTP to HTTPS": func(v *visit) {
			r := v.ask("GET", "http://example.org/a?b=c")
			_, port, _ := net.SplitHostPort(v.https)
			if v.want(r, 301); r.Header.Get("Location") != "https://example.org:"+port+"/a?b=c" {
				v.t.Errorf("got %q", r.Header.Get("Location"))
			}
		},
		"Strip a prefix": func(v *visit) {
			v.want(v.ask("GET", home+"api/v1"), 200, "two HTTP/1.1 GET /v1 ")
			v.want(v.ask("GET", home+"apis"), 200, "one HTTP/1.1 GET /apis ")
		},
		"Rewrite by a regular expression": func(v *visit) {
			v.want(v.ask("GET", home+"user/42?x=1"), 200, "GET /u/42?x=1 ")
			v.want(v.ask("GET", home+"user/ann"), 200, "GET /user/ann ")
		},
		"Route by header or method": func(v *visit) {
			v.want(v.ask("GET", home, "X-Beta: yes"), 200, "two HTTP")
			v.want(v.ask("POST", home, "X-Beta: yes"), 200, "one HTTP")
			v.want(v.ask("GET", home), 200, "one HTTP")
		},
		"Refuse some paths": func(v *visit) {
			for _, path := range []string{".git/config", ".env", "x/../.env", "%2egit/config", "/.git/config"} {
				v.want(v.ask("GET", home+path), 404, "!one")
			}
			v.want(v.ask("GET", home+"git"), 200, "one HTTP")
		},
	}
}

func guardChecks() map[string]func(*visit) {
	return map[string]func(*visit){
		"Basic authentication": func(v *visit) {
			v.want(v.ask("GET", home), 401, `Basic realm="staff"`)
			for password, status := range map[string]int{"correct horse": 200, "wrong": 401} {
				req, _ := http.NewRequest("GET", home, nil)
				req.SetBasicAuth("ann", password)
				v.want(v.send(req), status, "!Authorization")
			}
		},
		"Forward authentication": func(v *visit) {
			v.want(v.ask("GET", home, "X-User: root"), 401)
			v.want(v.ask("GET", home, "Cookie: session=ann", "X-User: root"), 200, "one HTTP", "X-User: ann", "!root")
		},
		"Allow some addresses": func(v *visit) {
			v.want(v.ask("GET", home+"admin/x"), 403)
			v.want(v.ask("GET", home), 200, "one HTTP")
		},
		"Limit the rate": func(v *visit) {
			v.want(v.ask("GET", home), 200)
			v.eventually(func() error {
				r := v.ask("GET", home)
				if r.StatusCode == 200 {
					return errors.New("no end yet")
				}
				v.want(r, 429, "Retry-After: 1", "Ratelimit-Policy: ")
				return nil
			})
		},
		"Limit the body": func(v *visit) {
			for size, status := range map[int]int{10 << 20: 200, 10<<20 + 1: 413} {
				for _, body := range []io.Reader{bytes.NewReader(make([]byte, size)), struct{ io.Reader }{bytes.NewReader(make([]byte, size))}} {
					req, _ := http.NewRequest("POST", home, body)
					v.want(v.send(req), status)
				}
			}
		},
		"Maintenance": func(v *visit) { v.want(v.ask("GET", home), 503, "Retry-After: 600", "!one") },
		"CORS": func(v *visit) {
			v.want(v.ask("OPTIONS", home, "Origin: https://app.example.org", "Access-Control-Request-Method: PUT"), 204,
				"Access-Control-Allow-Origin: https://app.example.org", "PUT", "Access-Control-Allow-Credentials: true", "!one HTTP")
			v.want(v.ask("GET", home, "Origin: https://app.example.org"), 200, "Access-Control-Allow-Origin: https://app.example.org", "one HTTP")
			v.want(v.ask("GET", home, "Origin: https://evil.example"), 200, "!Access-Control-Allow-Origin")
		},
	}
}

func answerChecks() map[string]func(*visit) {
	return map[string]func(*visit){
		"Static files": func(v *visit) {
			v.want(v.ask("GET", home, "Accept-Encoding: identity"), 200, "start", "text/html", "Cache-Control: max-age=60")
			v.want(v.ask("GET", home+"app.js", "Accept-Encoding: gzip"), 200, "squeezed", "Content-Encoding: gzip", "javascript")
			v.want(v.ask("GET", home+"app.js", "Accept-Encoding: identity", "Range: bytes=1-2"), 206, "la")
			v.want(v.ask("GET", home+".env"), 404, "!s3cret")
			v.want(v.ask("GET", home+"nosuch"), 404)
		},
		"An application of one page": func(v *visit) {
			v.want(v.ask("GET", home+"some/view"), 200, "start")
			v.want(v.ask("GET", home+"app.js"), 200, "plain")
			v.want(v.ask("GET", home+"api/x"), 200, "one HTTP")
		},
		"Compress answers": func(v *visit) {
			for _, encoding := range []string{"zstd", "br", "gzip"} {
				r := v.ask("GET", home+"large", "Accept-Encoding: "+encoding)
				if v.want(r, 200, "Content-Encoding: "+encoding, "Vary: Accept-Encoding"); len(r.text) > 6000 {
					v.t.Errorf("%s: %d bytes", encoding, len(r.text))
				}
			}
			v.want(v.ask("GET", home+"large", "Accept-Encoding: identity"), 200, "large large", "!Content-Encoding")
		},
		"Error pages": func(v *visit) { v.want(v.ask("GET", home+"error"), 500, "<h1>oops 500</h1>", "!one HTTP") },
		"Set and remove header fields": func(v *visit) {
			v.want(v.ask("GET", home, "X-Client: me"), 200, "X-Client: 127.0.0.1", "!X-Client: me", "X-Served-By: edge", "!X-Powered-By")
		},
		"HSTS and its kind": func(v *visit) {
			v.want(v.ask("GET", home), 200, "Strict-Transport-Security: max-age=15552000", "X-Content-Type-Options: nosniff", "X-Frame-Options: DENY")
		},
		"Access log": func(v *visit) {
			v.want(v.ask("GET", home+"logged?token=s3cret"), 200)
			v.eventually(func() error {
				b, err := os.ReadFile(v.dir + "/access.log")
				if err == nil && (!bytes.Contains(b, []byte(`"GET /logged?`)) || bytes.Contains(b, []byte("s3cret"))) {
					err = fmt.Errorf("got %q", b)
				}
				return err
			})
		},
	}
}

func wireChecks() map[string]func(*visit) {
	return map[string]func(*visit){
		"HTTP/3": func(v *visit) {
			v.want(v.ask("GET", home), 200, `h3=":443"`) // the port that the client asked for
			if c, err := net.ListenPacket("udp", v.https); err == nil {
				c.Close()
				v.t.Error("nobody listens on the UDP port")
			}
		},
		"PROXY protocol from a load balancer": func(v *visit) {
			_, r := v.raw(v.http, "PROXY TCP4 192.0.2.7 192.0.2.1 5000 80\r\nGET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
			if b, _ := io.ReadAll(r); !bytes.Contains(b, []byte("X-Forwarded-For: 192.0.2.7")) {
				v.t.Errorf("got %q", b)
			}
			_, r = v.raw(v.http, "GET / HTTP/1.1\r\nHost: example.org\r\nConnection: close\r\n\r\n")
			if b, _ := io.ReadAll(r); bytes.Contains(b, []byte("200 OK")) {
				v.t.Errorf("without the header: got %q", b)
			}
		},
		"Client certificates": func(v *visit) {
			for name, certs := range map[string][]tls.Certificate{"none": nil, "ann": {v.ann}} {
				tr := &http.Transport{DialTLS: func(_, _ string) (net.Conn, error) {
					return tls.Dial("tcp", v.https, &tls.Config{ServerName: "example.org", InsecureSkipVerify: true, Certificates: certs})
				}}
				res, err := (&http.Client{Transport: tr}).Get(home)
				if name == "none" {
					if err == nil {
						v.t.Errorf("without a certificate: got %s", res.Status)
						res.Body.Close()
					}
					continue
				}
				if err != nil {
					v.t.Fatal(err)
				}
				b, _ := io.ReadAll(res.Body)
				res.Body.Close()
				v.want(reply{res, string(b)}, 200, "X-Client-Dn: CN=ann\r\n")
				tr.CloseIdleConnections()
			}
		},
		"Certificates at the first visit": func(v *visit) {
			leaf, err := v.handshake("shop.example.net")
			if err != nil || leaf.DNSNames[0] != "shop.example.net" {
				v.t.Fatalf("%v\n%s", err, v.log)
			}
			if _, err := v.handshake("other.example.net"); err == nil {
				v.t.Error("a certificate for a name that the application does not know")
			}
			v.want(v.ask("GET", "https://shop.example.net/"), 200, "one HTTP/1.1 GET / host=shop.example.net")
			if n := v.ca.Orders(); n != 1 {
				v.t.Errorf("%d orders", n)
			}
		},
		"TLS passthrough": func(v *visit) {
			r := v.ask("GET", "https://secure.example.org/")
			if v.want(r, 200, "secure"); r.TLS.PeerCertificates[0].Subject.Organization[0] != "Acme Co" {
				v.t.Errorf("the certificate is %v, want the server's own", r.TLS.PeerCertificates[0].Subject)
			}
			v.want(v.ask("GET", home), 200, "one HTTP")
		},
		"Forward a TCP port": func(v *visit) {
			_, r := v.raw(v.tcp, "GET /direct HTTP/1.1\r\nHost: db\r\nConnection: close\r\n\r\n")
			if b, _ := io.ReadAll(r); !bytes.Contains(b, []byte("one HTTP/1.1 GET /direct host=db")) || bytes.Contains(b, []byte("X-Forwarded")) {
				v.t.Errorf("got %q", b)
			}
		},
	}
}
