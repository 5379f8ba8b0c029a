package config

import (
	"encoding/json"
	"fmt"
	"strings"
)

// kind is the type of a value.
type kind uint8

const (
	kString kind = iota
	kBool
	kInt
	kFloat    // 0.2
	kDuration // 30s, 2m, 1h30m
	kSize     // 64KiB, 10MiB
	kRate     // 1KiB/s
	kSecret   // text, ${ENV} or file:PATH
	kObject
	kList
	kMap // free keys, values all alike
	kOneOf
)

// key is one key of the configuration, or one form that a value may take. The
// table of keys is what files are checked by, what the JSON Schema is made
// from, and what docs/configuration.md shows.
type key struct {
	name     string
	kind     kind
	doc      string
	def      string // as written; empty: none
	enum     []string
	required bool
	fields   []key    // kObject
	some     []string // kObject: at least one of these has to be there
	item     *key     // kList, kMap
	forms    []key    // kOneOf: told apart by scalar, list and object
	like     string   // where the document has the same keys already
}

func str(name, def, doc string) key { return key{name: name, kind: kString, def: def, doc: doc} }
func dur(name, def, doc string) key { return key{name: name, kind: kDuration, def: def, doc: doc} }
func num(name, def, doc string) key { return key{name: name, kind: kInt, def: def, doc: doc} }
func obj(name, doc string, fields ...key) key {
	return key{name: name, kind: kObject, doc: doc, fields: fields}
}
func list(name, def, doc string, item key) key {
	return key{name: name, kind: kList, def: def, doc: doc, item: &item}
}
func oneOf(name, def, doc string, forms ...key) key {
	return key{name: name, kind: kOneOf, def: def, doc: doc, forms: forms}
}
func must(k key) key { k.required = true; return k }
func of(k key, values ...string) key {
	k.enum = values
	return k
}

var (
	challengeNames = []string{"http-01", "tls-alpn-01", "dns-01", "tls-sni-01"}
	keyTypes       = []string{"p256", "p384", "rsa2048", "rsa4096"}
)

func text() key { return key{kind: kString} }

// caForms are the forms of acme.ca and of a site's tls.ca.
func caForms() []key {
	return []key{
		{kind: kString, doc: "URL of the directory"},
		list("", "", "", obj("", "",
			must(str("directory", "", "URL of the ACME directory; https, or http on a loopback address")),
			list("roots", "the system's", "PEM files with the roots that the CA's own server is verified by", text()),
			obj("eab", "external account binding (RFC 8555 section 7.3.4)",
				must(str("kid", "", "key identifier")),
				must(key{name: "hmac", kind: kSecret, doc: "base64url HMAC key"})),
			str("profile", "", "certificate profile to ask for"),
			str("preferred_chain", "", "common name of an issuer that the chain should contain"))),
	}
}

// dnsKey is acme.dns, and what one lineage has instead.
func dnsKey(doc string) key {
	return obj("dns", doc,
		must(of(str("provider", "", "who serves the zone"), "cloudflare", "rfc2136")),
		key{name: "api_token", kind: kSecret, doc: "cloudflare: API token with Zone.DNS:Edit and Zone.Zone:Read"},
		str("server", "", "rfc2136: `host:port` of the primary name server"),
		str("key_name", "", "rfc2136: name of the TSIG key"),
		of(str("key_algorithm", "hmac-sha256", "rfc2136: algorithm of the TSIG key"), "hmac-sha256", "hmac-sha512", "hmac-sha1"),
		key{name: "key_secret", kind: kSecret, doc: "rfc2136: the TSIG key, base64"},
		str("override_domain", "", "write the records here: the target of a CNAME at `_acme-challenge`"),
		list("resolvers", "the system's", "resolvers by which zones are found and records are checked, `host:port`", text()),
		dur("propagation_timeout", "2m", "how long to wait until the authoritative servers show a record"))
}

func certificateKey() key {
	return obj("", "",
		must(str("name", "", "name of the lineage, as certbot's `--cert-name`")),
		must(list("hosts", "", "names of the certificate: exact, `*.suffix`, or an IP address", text())),
		list("challenges", "", "instead of `acme.challenges`", of(text(), challengeNames...)),
		dnsKey("instead of `acme.dns`"),
		of(str("key_type", "", "instead of `acme.key_type`"), keyTypes...),
		oneOf("ca", "", "instead of `acme.ca`", caForms()...),
		str("profile", "", "instead of the profile of the CA"),
		deliverKey("where the certificate goes, beside its lineage; `edge renew` and `edge deliver apply` bring it there"))
}

// topKeys is the configuration, version 1.
func topKeys() []key {
	return []key{
		must(num("version", "", "schema version: 1")),
		obj("listen", "where the front door listens",
			list("http", `[":80"]`, "addresses of the HTTP listeners: `host:port`, `:port`, or `fd:NAME` for socket activation", text()),
			list("https", `[":443"]`, "addresses of the HTTPS listeners", text()),
			toggle("http3", "true", "HTTP/3 on the UDP ports of `https`"),
			list("proxy_protocol", "[]", "addresses and CIDR prefixes of load balancers whose connections begin with a PROXY protocol header, and must", text()),
			tcpKey()),
		obj("acme", "how certificates are obtained",
			str("email", "", "where the CA may write to"),
			key{name: "agree_tos", kind: kBool, def: "false", doc: "agree to the CA's terms of service; required to obtain certificates"},
			oneOf("ca", LetsEncrypt, "ACME directory, or a list of them, tried in order", caForms()...),
			list("challenges", "[tls-alpn-01, http-01]", "methods of validation, in order of preference", of(text(), challengeNames...)),
			of(str("key_type", "p256", "key of the certificates"), keyTypes...),
			dnsKey("how DNS-01 records are written")),
		obj("storage", "where the state is kept",
			str("dir", "/var/lib/edge", "folder for accounts, keys and certificates, in certmagic's layout")),
		poolsKey(),
		list("sites", "", "what is served; needed unless there are `certificates`", siteKey()),
		list("certificates", "", "lineages that the steward (`edge renew`) keeps issued in /etc/letsencrypt; one certificate each, of all its hosts", certificateKey()),
		list("trusted_proxies", "[]", "CIDR prefixes of proxies whose X-Forwarded-* fields are believed", text()),
		obj("limits", "what one client may do, on every protocol",
			key{name: "header_bytes", kind: kSize, def: "64KiB", doc: "size of a request head (431)"},
			num("headers", "100", "fields in a request head (431)"),
			key{name: "uri_bytes", kind: kSize, def: "16KiB", doc: "length of a request target (414)"},
			dur("handshake", "30s", "TLS handshake, a certificate obtained meanwhile included"),
			dur("header_read", "10s", "from the first byte of a request head to its last"),
			key{name: "body_rate", kind: kRate, def: "240B/s", doc: "slowest request body, after a grace period of ten seconds (408)"},
			dur("write_stall", "30s", "time in which a client takes no byte of an answer"),
			dur("idle", "75s", "between requests on one connection"),
			num("streams", "250", "concurrent HTTP/2 streams of one connection"),
			num("connections_per_address", "0", "connections of one client address; 0: unlimited"),
			num("connections", "0", "connections of all clients; 0: unlimited"),
			num("requests", "0", "requests in progress at once, beyond it 503; 0: unlimited"),
			dur("drain", "30s", "for what is in flight when edge stops")),
		obj("metrics", "Prometheus metrics and health",
			str("listen", "", "address of `/metrics`, `/healthz` and `/readyz`; empty: none"),
			toggle("status_page", "false", "a page for people beside them: `/status`")),
		tracingKey(),
		obj("admin", "the admin socket",
			str("socket", "/run/edge/admin.sock", "path of the unix socket"),
			list("allow_uids", "[]", "user IDs that may do everything, as root may", key{kind: kInt})),
		obj("log", "logs; edge's own log goes to standard error",
			of(str("level", "info", "least severe level that is logged"), "debug", "info", "warn", "error"),
			of(str("format", "json", "of edge's own log"), "json", "text"),
			dur("slow", "", "warn of requests whose answer began later than this, with where the time went"),
			obj("access", "the access log", append([]key{
				str("path", "", "file to append to; empty: none"),
				oneOf("format", "json", "of the access log; a template is a line of your own, with {client_ip} {method} {path} {status} {duration} and other fields by name",
					of(text(), "json", "combined", "common"), obj("", "", must(str("template", "", "the line"))))}, accessKeys()...)...)),
	}
}

func siteKey() key {
	fields := []key{
		must(list("hosts", "", "names of the site: exact, `*.suffix` (one label), `*` (any), or an IP address", text())),
		key{name: "default", kind: kBool, def: "false", doc: "answer handshakes without a server name, or with an unknown one, with this site's certificate"},
		oneOf("tls", "", "certificates of the site; without it, one for each host is obtained from the CA",
			of(key{kind: kString, doc: "off: plain HTTP only; passthrough: TLS goes to the servers of `proxy` as it is"}, "off", "passthrough"),
			obj("", "",
				str("cert", "", "PEM file with a chain, leaf first: no certificate is obtained"),
				str("key", "", "PEM file with the key of `cert`"),
				str("lineage", "", "name of a lineage that the steward puts through the admin socket: no certificate is obtained"),
				obj("on_demand", "obtain certificates at the first handshake for a name; needs `ask` or `allow`",
					str("ask", "", "URL, asked with `?domain=NAME`; 2xx means yes"),
					list("allow", "", "names: exact, `*.suffix` (one label) or `**.suffix` (one or more)", text()),
					num("max_new_per_hour", "60", "certificates for names never seen before"),
					num("max_concurrent", "8", "orders at a time"),
					key{name: "allow_ip", kind: kBool, def: "false", doc: "also for the IP address that a client without server name connects to"}),
				oneOf("ca", "", "instead of `acme.ca`", caForms()...),
				list("challenges", "", "instead of `acme.challenges`", of(text(), challengeNames...)),
				of(str("key_type", "", "instead of `acme.key_type`"), keyTypes...),
				str("profile", "", "instead of the profile of the CA"),
				clientAuthKey(),
				of(str("min_version", "1.2", "lowest TLS version; write it in quotes"), "1.2", "1.3"))),
		oneOf("redirect", "308", "status of the redirect from HTTP to HTTPS; false: serve on both",
			key{kind: kInt, enum: []string{"308", "301"}}, key{kind: kBool, enum: []string{"false"}}),
		list("routes", "", "tried in order; the first that matches takes a request. One that can never be reached is an error", routeKey()),
		deliverKey("where the certificate of each host goes, once the door has it; `edge deliver apply` brings it there"),
	}
	site := obj("", "", append(append(fields, conditionKeys()...), actionKeys()...)...)
	site.some = []string{"proxy", "static", "respond", "routes"}
	return site
}

// Schema returns the JSON Schema (2020-12) of the configuration.
func Schema() []byte {
	root := jsonObject(topKeys())
	root["$schema"] = "https://json-schema.org/draft/2020-12/schema"
	root["title"] = "edge configuration, version 1"
	props := root["properties"].(map[string]any)
	props["version"] = map[string]any{"const": 1, "description": "schema version"}
	root["anyOf"] = anyOf([]string{"sites", "certificates"})
	b, err := json.MarshalIndent(root, "", "  ")
	if err != nil {
		panic(err) // the table holds nothing that JSON cannot say
	}
	return append(b, '\n')
}

func jsonObject(fields []key) map[string]any {
	props := map[string]any{}
	required := []string{}
	for i := range fields {
		props[fields[i].name] = jsonSchema(&fields[i])
		if fields[i].required {
			required = append(required, fields[i].name)
		}
	}
	s := map[string]any{"type": "object", "additionalProperties": false, "properties": props}
	if len(required) > 0 {
		s["required"] = required
	}
	return s
}

// anyOf is the schema of what has at least one of some keys.
func anyOf(names []string) []any {
	forms := make([]any, len(names))
	for i, name := range names {
		forms[i] = map[string]any{"required": []string{name}}
	}
	return forms
}

func jsonSchema(k *key) map[string]any {
	s := map[string]any{}
	switch k.kind {
	case kString, kSecret:
		s["type"] = "string"
	case kBool:
		s["type"] = "boolean"
	case kInt:
		s["type"], s["minimum"] = "integer", 0
	case kFloat:
		s["type"], s["minimum"] = "number", 0
	case kDuration:
		s["type"], s["pattern"] = "string", `^([0-9]+(\.[0-9]+)?(ms|s|m|h|d))+$`
	case kSize:
		s["type"], s["pattern"] = "string", `^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)$`
	case kRate:
		s["type"], s["pattern"] = "string", `^[0-9]+(B|KiB|MiB|GiB|kB|MB|GB)/s$`
	case kObject:
		s = jsonObject(k.fields)
		if len(k.some) > 0 {
			s["anyOf"] = anyOf(k.some)
		}
	case kList:
		s["type"], s["items"] = "array", jsonSchema(k.item)
	case kMap:
		s["type"], s["additionalProperties"] = "object", jsonSchema(k.item)
	case kOneOf:
		forms := make([]any, len(k.forms))
		for i := range k.forms {
			forms[i] = jsonSchema(&k.forms[i])
		}
		s["oneOf"] = forms
	}
	if len(k.enum) > 0 {
		values := make([]any, len(k.enum))
		for i, v := range k.enum {
			values[i] = v
			if k.kind == kInt || k.kind == kBool {
				values[i] = json.RawMessage(v)
			}
		}
		s["enum"] = values
	}
	if k.doc != "" {
		s["description"] = strings.ReplaceAll(k.doc, "`", "")
	}
	return s
}

// Table renders the keys for docs/configuration.md.
func Table() string {
	var b strings.Builder
	b.WriteString("| key | value | default | meaning |\n|---|---|---|---|\n")
	var walk func(prefix string, fields []key)
	walk = func(prefix string, fields []key) {
		for i := range fields {
			k := &fields[i]
			path := prefix + k.name
			def := k.def
			if k.required {
				def = "required"
			}
			if def != "" && def != "required" && !strings.Contains(def, "'") {
				def = "`" + def + "`"
			}
			fmt.Fprintf(&b, "| `%s` | %s | %s | %s |\n", path, typeName(k), def, k.doc)
			below(walk, path, k)
		}
	}
	walk("", topKeys())
	return b.String()
}

// below shows the keys of a value, but for those that the table has already.
func below(walk func(prefix string, fields []key), path string, k *key) {
	if k.like != "" {
		return
	}
	switch k.kind {
	case kObject:
		walk(path+".", k.fields)
	case kList:
		below(walk, path+"[]", k.item)
	case kMap:
		below(walk, path+".NAME", k.item)
	case kOneOf:
		for i := range k.forms {
			below(walk, path, &k.forms[i])
		}
	}
}

func typeName(k *key) string {
	if len(k.enum) > 0 {
		return "`" + strings.Join(k.enum, "`, `") + "`"
	}
	switch k.kind {
	case kBool:
		return "true or false"
	case kInt, kFloat:
		return "number"
	case kDuration:
		return "duration"
	case kSize:
		return "size"
	case kRate:
		return "rate"
	case kSecret:
		return "secret"
	case kObject:
		return "section"
	case kList:
		return "list"
	case kMap:
		return "names and values"
	case kOneOf:
		var names []string
		for i := range k.forms {
			names = append(names, typeName(&k.forms[i]))
		}
		return strings.Join(names, " or ")
	}
	return "text"
}
