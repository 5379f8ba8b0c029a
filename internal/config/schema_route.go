package config

func toggle(name, def, doc string) key { return key{name: name, kind: kBool, def: def, doc: doc} }
func size(name, def, doc string) key   { return key{name: name, kind: kSize, def: def, doc: doc} }

// named is a section whose keys are free.
func named(name, doc string, item key) key {
	return key{name: name, kind: kMap, doc: doc, item: &item}
}

// some is a list that may be written as its one element.
func some(name, def, doc string) key {
	return oneOf(name, def, doc, text(), list("", "", "", text()))
}

// conditionKeys are those of routes that a site may have as well, for all of its routes.
func conditionKeys() []key {
	edits := func(name, doc string) key {
		return obj(name, doc,
			named("set", "fields to replace, by name", text()),
			named("add", "fields to add beside what is there", text()),
			named("default", "fields to add where there are none", text()),
			some("remove", "", "fields to remove; a name may end in `*`"))
	}
	limit := func() key {
		return obj("", "",
			str("by", "client", "`client` (an address, a /64 of IPv6), `header:NAME` or `cookie:NAME`"),
			must(str("rate", "", "requests in a time: `10/s`, `100/m`, `1000/h`")),
			num("burst", "the rate", "requests at once"),
			num("max_keys", "65536", "clients that are remembered"))
	}
	return []key{
		list("allow", "", "addresses and CIDR prefixes that may; all others get 403", text()),
		list("deny", "", "addresses and CIDR prefixes that get 403", text()),
		oneOf("rate_limit", "", "how many requests may come (429)", limit(), list("", "", "", limit())),
		obj("basic_auth", "ask for a name and a password",
			str("realm", "restricted", "shown by browsers"),
			named("users", "bcrypt or argon2id hash by name; make one with `htpasswd -nB NAME`", key{kind: kSecret}),
			str("users_file", "", "file with lines `name:hash`, as htpasswd writes them"),
			toggle("forward", "false", "pass the Authorization field on to the backend")),
		obj("forward_auth", "ask a server whether a request may pass: 2xx lets it through, any other answer is the client's",
			must(str("to", "", "URL of the server: `http://127.0.0.1:4180`")),
			str("path", "/", "path, and query, that it is asked for"),
			str("host", "", "Host header; the client's without it"),
			list("request_headers", "all that make sense", "fields of the request that are sent along", text()),
			list("copy_headers", "", "fields of its answer that the backend gets", text())),
		oneOf("cors", "", "cross-origin requests", of(key{kind: kBool, doc: "from anywhere, without credentials"}, "true", "false"),
			obj("", "",
				must(list("origins", "", "`https://app.example`, `https://*.example`, or `*`", text())),
				list("methods", "[GET, HEAD, POST]", "methods", text()),
				list("headers", "those asked for", "fields of requests", text()),
				list("expose", "", "fields of answers that scripts may see", text()),
				toggle("credentials", "false", "cookies and Authorization"),
				dur("max_age", "10m", "how long browsers remember the answer"))),
		obj("rewrite", "change the path before it is sent on",
			str("strip_prefix", "", "at the border of a segment"),
			list("replace", "", "regular expressions (RE2) on the path", obj("", "", must(str("from", "", "expression")), must(str("to", "", "replacement, with `$1`")))),
			str("add_prefix", "", "in front"),
			str("path", "", "instead of all that: the whole path")),
		obj("headers", "change header fields; values may have {client} {host} {scheme} {method} {path} {query} {request_id} {user} {tls_version} and {client_cert_subject} _issuer _serial _fingerprint _names",
			edits("request", "of what goes to the backend"), edits("response", "of what goes to the client")),
		oneOf("security_headers", "", "fields that make browsers careful, where the backend has none of its own", of(key{kind: kBool}, "true", "false"),
			obj("", "",
				oneOf("hsts", "180d", "Strict-Transport-Security", key{kind: kDuration}, of(key{kind: kBool}, "false")),
				oneOf("frame", "DENY", "X-Frame-Options", of(text(), "DENY", "SAMEORIGIN"), of(key{kind: kBool}, "false")),
				oneOf("referrer", "strict-origin-when-cross-origin", "Referrer-Policy", text(), of(key{kind: kBool}, "false")),
				str("content_security_policy", "", "Content-Security-Policy"))),
		compressKey(),
		size("max_body", "", "longest request body (413)"),
		size("max_response", "", "longest answer of the backend (502)"),
		named("error_pages", "file by status: `404`, `5xx`; {status} and {request_id} are replaced", text()),
		toggle("intercept_errors", "false", "error pages also stand for errors that the backend answers with"),
		oneOf("maintenance", "", "answer 503", of(key{kind: kBool}, "true", "false"),
			obj("", "",
				list("allow", "", "addresses and CIDR prefixes that are let through", text()),
				dur("retry_after", "", "when to come back"),
				str("page", "", "file to show"))),
	}
}

// actionKeys are what can be done in the end.
func actionKeys() []key {
	return []key{
		proxyKey(),
		staticKey(),
		oneOf("respond", "", "a fixed answer: a status, or",
			key{kind: kInt}, obj("", "",
				num("status", "200", "status"),
				str("type", "text/plain; charset=utf-8", "Content-Type"),
				str("body", "", "text"))),
	}
}

func routeKey() key {
	fields := []key{
		str("name", "", "of logs and metrics"),
		obj("match", "which requests the route takes: all of it has to hold, and of a list one; without it, every request",
			some("path", "", "`/exact`, `/below/*`, `/a/*/b`, `/a/**/b`; paths are normalised first"),
			some("method", "", "methods"),
			some("host", "", "of the site's: exact or `*.suffix`"),
			named("header", "by name: a value, globs with `*`, or false where the field must not be there", oneOf("", "", "", text(), list("", "", "", text()), key{kind: kBool})),
			named("query", "parameters, as `header`", oneOf("", "", "", text(), list("", "", "", text()), key{kind: kBool})),
			some("client", "", "addresses and CIDR prefixes")),
	}
	for _, k := range conditionKeys() {
		k.like = "sites[]"
		fields = append(fields, k)
	}
	fields = append(fields, actionKeys()...)
	route := obj("", "", append(fields,
		obj("redirect", "send the client elsewhere",
			must(str("to", "", "URL, with {path} and {query} of the request")),
			num("status", "308", "301, 302, 303, 307 or 308")))...)
	route.some = []string{"proxy", "static", "respond", "redirect"}
	return route
}
