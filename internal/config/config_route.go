package config

import (
	"net/netip"
	"regexp"
	"time"
)

// Route is one entry of a site's routes, or what a site does with everything
// that no route takes. What stands at the site stands in each route that does not
// say something else.
type Route struct {
	Name  string
	Match Match

	Maintenance *Maintenance
	Allow, Deny []netip.Prefix
	RateLimits  []RateLimit
	CORS        *CORS
	BasicAuth   *BasicAuth
	ForwardAuth *ForwardAuth

	Rewrite     Rewrite
	Request     []HeaderEdit
	Response    []HeaderEdit
	Security    *Security
	MaxBody     int64 // bytes; 0: unlimited
	MaxResponse int64
	Compress    *Compress // nil: not
	ErrorPages  []ErrorPage
	Intercept   bool

	// Exactly one of these is set.
	Proxy    *Pool
	Redirect *RedirectTo
	Respond  *Respond
	Static   *Static

	Pos Pos
}

// Match says which requests a route takes: all that is set has to hold.
type Match struct {
	Hosts, Paths, Methods []string
	Header, Query         []FieldMatch
	Clients               []netip.Prefix
}

// FieldMatch is a condition on a field or a parameter.
type FieldMatch struct {
	Name   string
	Values []string // globs, any of them; none: any value
	Absent bool
}

// Maintenance answers 503 to everybody but Allow.
type Maintenance struct {
	Allow      []netip.Prefix
	RetryAfter time.Duration
	Page       *Page // nil: a text
}

// Page is a file that was read when the configuration was.
type Page struct {
	File, Type string
	Body       []byte
}

// RateLimit is a token bucket for each key.
type RateLimit struct {
	By      string  // client, header:NAME, cookie:NAME
	Rate    float64 // a second
	Written string  // as it was written, "10/s"
	Burst   int
	MaxKeys int
}

// CORS is the preset for cross-origin requests.
type CORS struct {
	Origins, Methods, Headers, Expose []string
	Credentials                       bool
	MaxAge                            time.Duration
}

// BasicAuth asks for a name and a password.
type BasicAuth struct {
	Realm   string
	Users   map[string]string // hash by name
	Forward bool
}

// ForwardAuth asks a server whether a request may pass.
type ForwardAuth struct {
	To            Pool
	Path          string
	Host          string
	Request, Copy []string
}

// Rewrite changes the path.
type Rewrite struct {
	Strip, Add, Path string
	Replace          []Replace
}

// Replace is a regular expression with its replacement.
type Replace struct {
	From *regexp.Regexp
	To   string
}

// HeaderEdit changes a header; Op is "set", "add", "default" or "remove".
type HeaderEdit struct{ Op, Name, Value string }

// Security is the preset of careful header fields; "" and 0 leave one out.
type Security struct {
	HSTS                           time.Duration
	Frame, Referrer, ContentPolicy string
}

// ErrorPage stands for answers with a status from From to To.
type ErrorPage struct {
	From, To int
	Page
}

// RedirectTo answers with a Location.
type RedirectTo struct {
	To     string
	Status int
}

// Compress says what is compressed.
type Compress struct {
	Encodings, Types []string
	Min              int64
	Level            int // 0: a balanced one
}

// Static serves a folder.
type Static struct {
	Root          string // absolute
	Index         []string
	Fallback      string // path below Root; "": 404
	Precompressed []string
	Hidden        bool
	CacheControl  string
}

// Respond is a fixed answer.
type Respond struct {
	Status     int
	Type, Body string
}
