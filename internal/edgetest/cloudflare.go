package edgetest

import (
	"encoding/json"
	"fmt"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"sync"
)

// Cloudflare is a strict fake of the part of Cloudflare's API that DNS-01 needs.
// It writes into a DNS, so that the records can be looked up for real.
type Cloudflare struct {
	server *httptest.Server
	dns    *DNS
	token  string
	zone   string
	email  string // of the global key; "": only the token is taken
	key    string

	mu      sync.Mutex
	records map[string]cfRecord
	next    int
	faults  []string
}

type cfRecord struct {
	ID       string `json:"id,omitempty"`
	Type     string `json:"type"`
	Name     string `json:"name"`
	Content  string `json:"content"`
	TTL      int    `json:"ttl"`
	ZoneID   string `json:"zone_id,omitempty"`
	ZoneName string `json:"zone_name,omitempty"`
}

const cfZoneID = "023e105f4ecef8ad9ca31a8372d0c353"

// NewCloudflare serves one zone for one token.
func NewCloudflare(d *DNS, zone, token string) *Cloudflare {
	c := &Cloudflare{dns: d, token: token, zone: zone, records: map[string]cfRecord{}}
	d.AddZone(zone)
	mux := http.NewServeMux()
	mux.HandleFunc("GET /client/v4/zones", c.zones)
	mux.HandleFunc("GET /client/v4/zones/"+cfZoneID+"/dns_records", c.list)
	mux.HandleFunc("POST /client/v4/zones/"+cfZoneID+"/dns_records", c.create)
	mux.HandleFunc("DELETE /client/v4/zones/"+cfZoneID+"/dns_records/{id}", c.remove)
	mux.HandleFunc("/", func(w http.ResponseWriter, r *http.Request) {
		c.fail(w, 404, 7003, "no such call: "+r.Method+" "+r.URL.Path)
	})
	c.server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !c.knows(r.Header) {
			c.fail(w, 403, 10000, "Authentication error")
			return
		}
		mux.ServeHTTP(w, r)
	}))
	return c
}

// AllowGlobalKey has the fake take the key of an account as well. Call it before
// the fake is used.
func (c *Cloudflare) AllowGlobalKey(email, key string) { c.email, c.key = email, key }

// knows reports whether a request has either kind of credentials, and not a mix.
func (c *Cloudflare) knows(h http.Header) bool {
	bearer, email, key := h.Get("Authorization"), h.Get("X-Auth-Email"), h.Get("X-Auth-Key")
	if email != "" || key != "" {
		return bearer == "" && c.email != "" && email == c.email && key == c.key
	}
	return bearer == "Bearer "+c.token
}

// Client returns an HTTP client for which api.cloudflare.com is the fake.
func (c *Cloudflare) Client() *http.Client {
	to, _ := url.Parse(c.server.URL)
	return &http.Client{Transport: roundTripFunc(func(r *http.Request) (*http.Response, error) {
		if r.URL.Host != "api.cloudflare.com" || r.URL.Scheme != "https" {
			return nil, fmt.Errorf("request to %s", r.URL)
		}
		r = r.Clone(r.Context())
		r.URL.Scheme, r.URL.Host, r.Host = to.Scheme, to.Host, ""
		return c.server.Client().Transport.RoundTrip(r)
	})}
}

type roundTripFunc func(*http.Request) (*http.Response, error)

func (f roundTripFunc) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// Faults lists what was refused, Records how many records there are.
func (c *Cloudflare) Faults() []string {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.faults
}

// Records counts the records of the zone.
func (c *Cloudflare) Records() int {
	c.mu.Lock()
	defer c.mu.Unlock()
	return len(c.records)
}

// Close ends the fake.
func (c *Cloudflare) Close() { c.server.Close() }

func (c *Cloudflare) fail(w http.ResponseWriter, status, code int, msg string) {
	c.mu.Lock()
	c.faults = append(c.faults, msg)
	c.mu.Unlock()
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	fmt.Fprintf(w, `{"success":false,"errors":[{"code":%d,"message":%q}],"messages":[],"result":null}`, code, msg)
}

func (c *Cloudflare) ok(w http.ResponseWriter, result any) {
	w.Header().Set("Content-Type", "application/json")
	_ = json.NewEncoder(w).Encode(map[string]any{"success": true, "errors": []any{}, "messages": []any{}, "result": result})
}

func (c *Cloudflare) zones(w http.ResponseWriter, r *http.Request) {
	result := []any{}
	// The real one takes the absolute form as well.
	if strings.TrimSuffix(r.URL.Query().Get("name"), ".") == c.zone {
		result = append(result, map[string]any{"id": cfZoneID, "name": c.zone, "status": "active"})
	}
	c.ok(w, result)
}

func (c *Cloudflare) list(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	defer c.mu.Unlock()
	q := r.URL.Query()
	result := []cfRecord{}
	for _, rec := range c.records {
		if rec.Type == q.Get("type") && rec.Name == strings.TrimSuffix(q.Get("name"), ".") && strings.Contains(rec.Content, q.Get("content.contains")) {
			result = append(result, rec)
		}
	}
	c.ok(w, result)
}

func (c *Cloudflare) create(w http.ResponseWriter, r *http.Request) {
	var body map[string]any
	if err := json.NewDecoder(r.Body).Decode(&body); err != nil {
		c.fail(w, 400, 9207, "Request body is invalid.")
		return
	}
	for k := range body {
		switch k {
		case "type", "name", "content", "ttl", "data", "created_on", "modified_on", "meta", "settings", "comment", "tags", "proxied":
		default:
			c.fail(w, 400, 9207, "unknown field "+k)
			return
		}
	}
	rec := cfRecord{Type: fmt.Sprint(body["type"]), Name: strings.TrimSuffix(fmt.Sprint(body["name"]), "."), Content: fmt.Sprint(body["content"]), ZoneID: cfZoneID, ZoneName: c.zone}
	if ttl, ok := body["ttl"].(float64); ok {
		rec.TTL = int(ttl)
	}
	if rec.Name != c.zone && !strings.HasSuffix(rec.Name, "."+c.zone) {
		rec.Name += "." + c.zone
	}
	if rec.Type != "TXT" || rec.TTL != 1 && rec.TTL < 60 {
		c.fail(w, 400, 9021, fmt.Sprintf("type %s, ttl %d", rec.Type, rec.TTL))
		return
	}
	c.mu.Lock()
	for _, old := range c.records {
		if old.Name == rec.Name && old.Content == rec.Content {
			c.mu.Unlock()
			c.fail(w, 400, 81058, "An identical record already exists.")
			return
		}
	}
	c.next++
	rec.ID = fmt.Sprintf("rec%d", c.next)
	c.records[rec.ID] = rec
	c.mu.Unlock()
	c.dns.AddTXT(rec.Name, strings.Trim(rec.Content, `"`))
	c.ok(w, rec)
}

func (c *Cloudflare) remove(w http.ResponseWriter, r *http.Request) {
	c.mu.Lock()
	rec, ok := c.records[r.PathValue("id")]
	delete(c.records, r.PathValue("id"))
	c.mu.Unlock()
	if !ok {
		c.fail(w, 404, 81044, "Record does not exist.")
		return
	}
	c.dns.RemoveTXT(rec.Name, strings.Trim(rec.Content, `"`))
	c.ok(w, rec)
}
