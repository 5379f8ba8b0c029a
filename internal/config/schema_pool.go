package config

func float(name, def, doc string) key { return key{name: name, kind: kFloat, def: def, doc: doc} }

// poolKeys are those of an entry of pools, and of a proxy that is written out.
func poolKeys() []key {
	return []key{
		list("to", "", "the servers: `http://`, `https://` or `h2c://` and host:port, or `unix:/path` (HTTP/1.1)",
			oneOf("", "", "", text(), obj("", "",
				must(str("url", "", "as above")),
				num("weight", "1", "its share, beside the others'; 1 to 256"),
				toggle("backup", "false", "used only while no other server can be")))),
		obj("discover", "find servers by DNS, and look again and again; what was found last counts while DNS fails or has no answer",
			must(str("name", "", "host name, or with `type: srv` the full name of SRV records, as _http._tcp.shop.internal")),
			of(str("type", "ip", "ip: a server for each address (A and AAAA); srv: for each record, the lowest priority first and the others as backups"), "ip", "srv"),
			of(str("scheme", "http", "how servers are spoken to"), "http", "https", "h2c"),
			num("port", "the scheme's", "of every server; not with `type: srv`"),
			dur("interval", "30s", "between looks"),
			str("resolver", "the system's", "name server, host:port")),
		of(str("host", "keep", "Host header: the client's, or the upstream's"), "keep", "upstream"),
		of(str("balance", "least_requests", "how a server is chosen"), "least_requests", "round_robin", "random", "hash"),
		str("hash_by", "client", "of `balance: hash`: `client`, `path`, `header:NAME` or `cookie:NAME`"),
		obj("sticky", "keep a client at its server, by a cookie",
			must(str("cookie", "", "its name")),
			must(key{name: "secret", kind: kSecret, doc: "signs it; at least 16 bytes"}),
			dur("ttl", "until the browser is closed", "how long browsers keep it")),
		oneOf("health", "", "active checks: the path that answers 200 to 399, or",
			key{kind: kString}, obj("", "",
				of(str("type", "http", "kind of check"), "http", "tcp", "grpc"),
				str("path", "/", "of http; with grpc, the name of the service"),
				str("host", "the server's", "Host header of http"),
				list("status", "200 to 399", "codes that are well", key{kind: kInt}),
				dur("interval", "10s", "between checks"),
				dur("timeout", "5s", "of one check"),
				num("rise", "2", "good ones in a row bring a server back"),
				num("fall", "3", "bad ones in a row take it out"))),
		oneOf("eject", "", "take a server out after failures of requests; false: never", of(key{kind: kBool}, "false"),
			obj("", "",
				num("failures", "5", "in a row: no connection, no answer, a malformed one, 502, 503 or 504"),
				dur("for", "10s", "the first time; twice as long the next"),
				dur("max_for", "5m", "at most"),
				num("max_percent", "50", "of the servers at once"))),
		dur("slow_start", "at once", "until a server that comes back has its full share"),
		num("max_connections", "unlimited", "requests in progress at one server"),
		num("queue", "0", "requests that wait for a server with room; beyond it 503"),
		dur("queue_timeout", "5s", "how long they wait"),
		obj("retry", "try other servers, where a request was not sent or can be repeated",
			num("attempts", "3", "servers, in all; 1: no retries"),
			float("budget", "0.2", "retries for each request, over ten seconds"),
			list("status", "none", "answers that are not taken, where the request can be repeated", key{kind: kInt})),
		dur("total_timeout", "unlimited", "of a request with all tries and the whole answer"),
		dur("connect_timeout", "5s", "TLS included"),
		dur("header_timeout", "60s", "from the end of a request to the header of its answer"),
		dur("idle_timeout", "5m", "in which no byte of a body comes or goes"),
		dur("keepalive", "60s", "that idle connections to a server are kept"),
		obj("tls", "of https",
			list("roots", "the system's", "PEM files with the roots that servers are verified by", text()),
			str("server_name", "the host of each URL", "name that they are verified for"),
			str("cert", "", "PEM file with a chain that is shown to the servers"),
			str("key", "", "PEM file with the key of `cert`")),
		of(key{name: "proxy_protocol", kind: kInt, doc: "begin each connection with a PROXY protocol header of this version; not with h2c"}, "1", "2"),
	}
}

// proxyKey is where requests of a site or route go.
func proxyKey() key {
	section := obj("", "", append([]key{str("pool", "", "name of one of `pools`, instead of all other keys")}, poolKeys()...)...)
	section.like = "pools.NAME"
	section.some = []string{"to", "pool"}
	return oneOf("proxy", "", "where requests go: a URL, `{pool: NAME}`, or the keys of `pools.NAME`", key{kind: kString}, section)
}

func poolsKey() key {
	pool := obj("", "", poolKeys()...)
	pool.some = []string{"to"}
	return named("pools", "groups of servers, by name, for `proxy: {pool: NAME}`", pool)
}

// forwardKeys are of where TCP connections go as they are.
func tcpKey() key {
	return list("tcp", "", "addresses whose connections go to servers as they are", obj("", "",
		must(str("address", "", "`host:port`, `:port` or `fd:NAME`")),
		list("to", "", "servers, `host:port` or `unix:/path`, tried in turn", text()),
		named("sni", "servers by the name that a TLS client asks for: exact, `*.suffix` or `*`; others go to `to`, or are refused", list("", "", "", text())),
		of(key{name: "proxy_protocol", kind: kInt, doc: "begin each connection with a PROXY protocol header of this version"}, "1", "2"),
		dur("connect_timeout", "5s", "to one server"),
		dur("idle", "10m", "without a byte in either direction")))
}
