package config

import (
	"fmt"
	"reflect"
	"strings"
	"testing"
	"time"
)

func TestRoutes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "404.html", "<h1>gone</h1>", 0o644)
	write(t, dir, "users", "# people\nbob:$2y$05$abc\n", 0o600)
	path := write(t, dir, "edge.yaml", `version: 1
acme: {agree_tos: true}
pools:
  api:
    to: [http://127.0.0.1:1, {url: "unix:/run/app.sock", weight: 3, backup: true}]
    balance: random
    sticky: {cookie: srv, secret: 0123456789abcdef, ttl: 1h}
    health: /healthz
    eject: false
    retry: {attempts: 2, budget: 0.5, status: [503]}
    max_connections: 10
    queue: 5
    proxy_protocol: 2
sites:
  - hosts: [a.test]
    max_body: 1MiB
    error_pages: {4xx: 404.html, 404: 404.html}
    headers: {response: {set: {X-A: "1"}, remove: Server}}
    routes:
      - name: api
        match: {path: [/api/*, /v1/*], method: GET, header: {X-Beta: "yes*", X-Off: false}, query: {q: [a, b]}, client: 10.0.0.0/8, host: "*.a.test"}
        rate_limit: [{rate: 100/m, by: header:X-Key, burst: 7}, {rate: 10/s}]
        basic_auth: {users: {ann: $2y$05$xyz}, users_file: users}
        max_body: 2MiB
        proxy: {pool: api}
      - {match: {path: /old/*}, redirect: {to: "/new{path}", status: 301}}
      - {match: {path: /auth}, forward_auth: {to: "http://127.0.0.1:2", path: /v, copy_headers: [X-User]}, respond: 204}
    respond: {status: 404, body: nothing here}
`, 0o644)
	c, err := Load(path)
	if err != nil {
		t.Fatal(err)
	}
	routes := c.Sites[0].Routes
	if len(routes) != 4 {
		t.Fatalf("%d routes", len(routes))
	}
	api, last := routes[0], routes[3]
	pool := *api.Proxy
	for what, pair := range map[string][2]any{
		"match":     {fmt.Sprintf("%+v", api.Match), "{Hosts:[*.a.test] Paths:[/api/* /v1/*] Methods:[GET] Header:[{Name:X-Beta Values:[yes*] Absent:false} {Name:X-Off Values:[] Absent:true}] Query:[{Name:q Values:[a b] Absent:false}] Clients:[10.0.0.0/8]}"},
		"rates":     {fmt.Sprintf("%.3f %d %.0f %d %s", api.RateLimits[0].Rate, api.RateLimits[0].Burst, api.RateLimits[1].Rate, api.RateLimits[1].Burst, api.RateLimits[1].By), "1.667 7 10 10 client"},
		"users":     {api.BasicAuth.Users, map[string]string{"ann": "$2y$05$xyz", "bob": "$2y$05$abc"}},
		"own":       {api.MaxBody, int64(2 << 20)},
		"inherited": {routes[1].MaxBody, int64(1 << 20)},
		"edits":     {fmt.Sprint(routes[1].Response), "[{remove Server } {set X-A 1}]"},
		"pages":     {fmt.Sprint(last.ErrorPages[0].From, last.ErrorPages[1].From, last.ErrorPages[1].To, last.ErrorPages[0].Type), "404 400 499text/html; charset=utf-8"},
		"pool":      {pool.Name + pool.Balance + pool.HashBy, "apirandom"},
		"servers":   {fmt.Sprint(pool.Servers), "[{http://127.0.0.1:1 1 false} {unix:/run/app.sock 3 true}]"},
		"rest":      {fmt.Sprint(pool.Eject.Off, pool.Retry, pool.MaxConnections, pool.Queue, pool.ProxyProtocol, pool.Health.Path, pool.Sticky.Cookie, pool.Sticky.TTL), "true {2 0.5 [503]} 10 5 2/healthzsrv1h0m0s"},
		"redirect":  {*routes[1].Redirect, RedirectTo{"/new{path}", 301}},
		"auth":      {routes[2].ForwardAuth.To.Servers[0].To + routes[2].ForwardAuth.Path, "http://127.0.0.1:2/v"},
		"respond":   {*last.Respond, Respond{404, "text/plain; charset=utf-8", "nothing here"}},
		"timeouts":  {pool.ConnectTimeout, 5 * time.Second},
	} {
		if !reflect.DeepEqual(pair[0], pair[1]) {
			t.Errorf("%s: got %v, want %v", what, pair[0], pair[1])
		}
	}
}

func TestRouteMistakes(t *testing.T) {
	dir := t.TempDir()
	write(t, dir, "users", "bob:x\n", 0o600)
	route := func(s string) string {
		return "version: 1\nacme: {agree_tos: true}\nsites:\n  - hosts: [a.test]\n    routes:\n      - {" + s + "}\n"
	}
	pool := func(s string) string { return route("proxy: {" + s + "}") }
	for in, want := range map[string]string{
		route("match: {path: /a}"):                                                                     "does nothing",
		route("respond: 200, proxy: http://127.0.0.1:1"):                                               "beside proxy",
		route("respond: 99"):                                                                           "99 is no status",
		route("respond: 200, rate_limit: {rate: fast}"):                                                "write it as 10/s",
		route("respond: 200, rate_limit: {rate: 0/s}"):                                                 "is no rate",
		route("respond: 200, rate_limit: {rate: 1/s, by: name}"):                                       "possible: client, header:NAME",
		route("respond: 200, basic_auth: {realm: x}"):                                                  "nobody could come in",
		route("respond: 200, basic_auth: {users_file: nosuch}"):                                        "no such file",
		route("respond: 200, cors: {origins: ['*'], credentials: true}"):                               "any page",
		route("respond: 200, cors: {origins: [example.org]}"):                                          "is no origin",
		route("respond: 200, error_pages: {200: x}"):                                                   "no status of an error",
		route("respond: 200, error_pages: {404: nosuch}"):                                              "no such file",
		route("respond: 200, rewrite: {strip_prefix: a}"):                                              "does not begin with a slash",
		route("respond: 200, rewrite: {replace: [{from: '(', to: x}]}"):                                "missing closing",
		route("respond: 200, allow: [10.0.0.1/8]"):                                                     "write 10.0.0.0/8",
		route("respond: 200, match: {method: get}"):                                                    "methods are in capitals",
		route("respond: 200, match: {host: 'a b'}"):                                                    "is no host",
		route("redirect: {to: nowhere}"):                                                               "could go",
		route("redirect: {to: /a, status: 200}"):                                                       "is no redirect",
		route("respond: 200, headers: {request: {sett: {}}}"):                                          "did you mean set?",
		pool("to: [ftp://127.0.0.1:1]"):                                                                "scheme \"ftp\"",
		pool("to: [http://127.0.0.1:1/path]"):                                                          "more than an address",
		pool("to: [unix:app.sock]"):                                                                    "is not the path of a socket",
		pool("to: [{url: 'http://127.0.0.1:1', weight: 0}]"):                                           "use 1 to 256",
		pool("to: [http://127.0.0.1:1], hash_by: path"):                                                "add balance: hash",
		pool("to: [http://127.0.0.1:1], balance: best"):                                                "possible: least_requests",
		pool("to: [http://127.0.0.1:1], sticky: {cookie: a, secret: short}"):                           "shorter than 16 bytes",
		pool("to: [http://127.0.0.1:1], retry: {budget: x}"):                                           "write it as 0.2",
		pool("to: [http://127.0.0.1:1], health: healthz"):                                              "write it as /healthz",
		pool("to: [h2c://127.0.0.1:1], proxy_protocol: 2"):                                             "many clients share",
		pool("to: [https://127.0.0.1:1], tls: {cert: x}"):                                              "belong together",
		pool("to: [http://127.0.0.1:1], balance: hash, sticky: {cookie: a, secret: 0123456789abcdef}"): "choose one",
		pool("to: [http://127.0.0.1:1], queue: 5"):                                                     "add max_connections",
		pool("to: [http://127.0.0.1:1], connect_timeout: 0s"):                                          "a time of nothing",
		pool("to: [http://127.0.0.1:1], retry: {attempts: 0}"):                                         "write 1 for no retries",
		pool("to: [http://127.0.0.1:1], health: {type: tcp, host: x}"):                                 "say nothing to a check",
		pool("to: [http://127.0.0.1:1], health: {type: grpc}"):                                         "gRPC needs HTTP/2",
		pool("to: [http://127.0.0.1:1], tls: {server_name: x}"):                                        "reached without TLS",
		pool("to: [https://127.0.0.1:1], tls: {roots: [nosuch]}"):                                      "no such file",
		pool("to: []"):                     "no server",
		pool("discover: {}"):               "discover.name is missing",
		pool("discover: {name: 10.0.0.1}"): "addresses go to `to`",
		pool("discover: {name: a.internal, type: srv, port: 80}"):                                                                                              "ports of their own",
		pool("discover: {name: a.internal, port: 70000}"):                                                                                                      "use 1 to 65535",
		pool("discover: {name: a.internal, resolver: ns1}"):                                                                                                    "write it as 127.0.0.1:53",
		pool("discover: {name: a.internal, interval: 10ms}"):                                                                                                   "less than a second",
		pool("discover: {name: a.internal}, tls: {server_name: x}"):                                                                                            "reached without TLS",
		pool("discover: {name: a.internal}, health: {type: grpc}"):                                                                                             "gRPC needs HTTP/2",
		pool("to: [http://127.0.0.1:1]") + "pools: {api: {to: [http://127.0.0.1:1]}}\n":                                                                        "no route uses the pool api",
		"version: 1\nacme: {agree_tos: true}\nsites:\n  - {hosts: [a.test], tls: {client_auth: {}}, proxy: 'http://10.0.0.9'}\n":                               "roots is missing",
		"version: 1\nacme: {agree_tos: true}\nsites:\n  - {hosts: [a.test], tls: {client_auth: {roots: [nosuch]}}, proxy: 'http://10.0.0.9'}\n":                "no such file",
		"version: 1\nacme: {agree_tos: true}\nsites:\n  - {hosts: [a.test], tls: {client_auth: {mode: request, crl: [users]}}, proxy: 'http://10.0.0.9'}\n":    "users: ",
		"version: 1\nacme: {agree_tos: true}\nsites:\n  - {hosts: [a.test], redirect: false, tls: {client_auth: {mode: request}}, proxy: 'http://10.0.0.9'}\n": "plain HTTP would need no certificate",
		route("static: users"):                             "is not a folder",
		route("static: {root: ., fallback: index.html}"):   "begin with a slash",
		route("respond: 200, compress: {level: 10}"):       "use 1 to 9",
		route("respond: 200, compress: {types: [json]}"):   "is no media type",
		route("respond: 200, compress: {encodings: [gz]}"): "possible: zstd, br, gzip",
		route("static: ., respond: 200"):                   "beside static",
		route("static: /nosuch"):                           "no such file",
		"version: 1\nsites:\n  - {hosts: [a.test], tls: passthrough, proxy: {to: ['10.0.0.9:443'], health: /x}}\n":              "as they are",
		"version: 1\nsites:\n  - {hosts: [a.test], tls: passthrough, max_body: 1MiB, proxy: '10.0.0.9:443'}\n":                  "nothing of a request can be seen",
		"version: 1\nsites:\n  - {hosts: [a.test], tls: passthrough, proxy: 'https://10.0.0.9'}\n":                              "is not the address of a server",
		"version: 1\nsites:\n  - {hosts: ['*'], tls: passthrough, proxy: '10.0.0.9:443'}\n":                                     "name the hosts",
		"version: 1\nlisten: {tcp: [{address: ':1'}]}\nsites:\n  - {hosts: [a.test], tls: off, proxy: 'http://10.0.0.9:443'}\n": "add to, or sni",
		pool("pool: apy") + "pools: {api: {to: [http://127.0.0.1:1]}}\n":                                                        "did you mean api?",
		pool("pool: api, host: upstream"): "other keys beside pool",
	} {
		_, err := Load(write(t, dir, "edge.yaml", in, 0o644))
		if err == nil || !strings.Contains(err.Error(), want) || !strings.Contains(err.Error(), "edge.yaml:") {
			t.Errorf("want %q, got %v in\n%s", want, err, in)
		}
	}
}
