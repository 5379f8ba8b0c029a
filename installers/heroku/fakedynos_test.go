package heroku

import (
	"fmt"
	"maps"
	"net/http"
	"path"
	"strings"
)

func (f *fakeHeroku) routeDynos(w http.ResponseWriter, r *http.Request, kind, id string, body []byte) {
	switch r.Method + " " + kind {
	case "GET config-vars":
		give(w, 200, f.vars)
	case "PATCH config-vars":
		var in map[string]*string
		if !strict(w, body, &in) {
			return
		}
		for name, v := range in {
			if v == nil {
				delete(f.vars, name)
			} else {
				f.vars[name] = *v
			}
		}
		f.release++
		f.booting = 3
		give(w, 200, f.vars)
	case "GET features":
		if id != "preboot" {
			refuse(w, 404, "not_found", id)
			return
		}
		give(w, 200, map[string]any{"name": "preboot", "enabled": f.enabled})
	case "GET releases":
		if r.Header.Get("Range") != "version ..; order=desc,max=1" {
			refuse(w, http.StatusRequestedRangeNotSatisfiable, "invalid_range", r.Header.Get("Range"))
			return
		}
		w.Header().Set("Next-Range", "version ]0..; max=1")
		give(w, http.StatusPartialContent, []any{map[string]any{"version": f.release, "status": "succeeded"}})
	case "GET dynos":
		state := "up"
		if f.booting > 0 {
			state = "starting"
			if f.booting--; f.booting == 0 {
				f.boot()
			}
			switch f.booting {
			case 2: // the platform has not begun
				state = "up"
			case 1:
				f.running = f.release
			}
		}
		if f.state != "" {
			state = f.state
		}
		give(w, 200, []any{
			map[string]any{"name": "worker.1", "type": "worker", "state": "down", "release": map[string]any{"id": "x", "version": f.release}},
			map[string]any{"name": f.dynos + ".1", "type": f.dynos, "state": state, "release": map[string]any{"id": "x", "version": f.running}},
		})
	default:
		refuse(w, 404, "not_found", "The requested API endpoint was not found.")
	}
}

// boot has new dynos; with preboot, the old ones answer a while longer.
func (f *fakeHeroku) boot() {
	f.running = f.release
	if f.enabled {
		f.preboot = 30
		return
	}
	f.live = maps.Clone(f.vars)
}

// serveSite is the app: it answers with the line of its variable that is asked for, or
// with the variable, as the examples of certbot-heroku did.
func (f *fakeHeroku) serveSite(w http.ResponseWriter, r *http.Request) {
	f.mu.Lock()
	defer f.mu.Unlock()
	if f.state == "idle" && f.booting > 0 { // the request wakes it
		f.booting = 0
		f.boot()
	}
	if f.preboot > 0 {
		if f.preboot--; f.preboot == 0 {
			f.live = maps.Clone(f.vars)
		}
	}
	v, ok := f.live[variable]
	if !ok || !strings.HasPrefix(r.URL.Path, "/.well-known/acme-challenge/") {
		http.NotFound(w, r)
		return
	}
	if !f.whole {
		for line := range strings.Lines(v) {
			if strings.HasPrefix(line, path.Base(r.URL.Path)+".") {
				v = line
			}
		}
	}
	fmt.Fprintln(w, strings.TrimSpace(v))
}
