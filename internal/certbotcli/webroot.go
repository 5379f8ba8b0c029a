package certbotcli

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Webroot is the folder of one name.
type Webroot struct{ Name, Path string }

// WebrootMap has the folder of each name, in the order in which they came; each
// name is there once.
type WebrootMap []Webroot

// Path returns the folder of a name, or "".
func (m WebrootMap) Path(name string) string {
	if i := slices.IndexFunc(m, func(w Webroot) bool { return w.Name == name }); i >= 0 {
		return m[i].Path
	}
	return ""
}

// index says where the names are.
func (m WebrootMap) index() map[string]int {
	at := make(map[string]int, len(m))
	for i, w := range m {
		at[w.Name] = i
	}
	return at
}

// set gives a name a folder, in the place of one it had. at is m.index().
func (m *WebrootMap) set(at map[string]int, name, path string) {
	if i, ok := at[name]; ok {
		(*m)[i].Path = path
		return
	}
	at[name] = len(*m)
	*m = append(*m, Webroot{name, path})
}

// CompleteWebroots gives the names that have no folder yet the last one of -w,
// which certbot does before it answers challenges. It reports the names that are
// still without.
func (o *Options) CompleteWebroots(names []string) (without []string) {
	at := o.WebrootMap.index()
	for _, name := range names {
		if _, ok := at[name]; ok {
			continue
		}
		if len(o.WebrootPath) == 0 {
			without = append(without, name)
			continue
		}
		o.WebrootMap.set(at, name, o.WebrootPath[len(o.WebrootPath)-1])
	}
	return without
}

// addWebroot is -w: the folder for the names that follow. One that comes after
// names is for all of them, but then it is the only one.
func (p *parser) addWebroot(_ *Flag, value string) error {
	if p.nameBeforeWebroot {
		return &RefusedError{"If you specify multiple webroot paths, one of them must precede all domain flags"}
	}
	o := p.o
	if n := len(o.WebrootPath); n > 0 {
		o.CompleteWebroots(slices.Concat(o.Domains, o.IPs))
	} else if len(o.Domains)+len(o.IPs) > 0 {
		p.nameBeforeWebroot = true
	}
	path, err := webroot(value)
	if err != nil {
		return err
	}
	o.WebrootPath = append(o.WebrootPath, path)
	return nil
}

func webroot(path string) (string, error) {
	if info, err := os.Stat(path); err != nil || !info.IsDir() {
		return "", &RefusedError{path + " does not exist or is not a directory"}
	}
	abs, err := filepath.Abs(path)
	if err != nil {
		return "", &RefusedError{err.Error()}
	}
	return abs, nil
}

// addWebrootMap is --webroot-map: JSON, whose keys are names with commas between
// them, and which stands for -d as well.
func (p *parser) addWebrootMap(f *Flag, value string) error {
	entries, err := jsonStrings(value)
	if err != nil {
		return &RefusedError{fmt.Sprintf(`%s: no JSON object of names and folders, as {"example.com": "/var/www"}: %v`, f.Long(), err)}
	}
	at := p.o.WebrootMap.index()
	for _, e := range entries {
		path, err := webroot(e.Path)
		if err != nil {
			return err
		}
		for name := range strings.SplitSeq(e.Name, ",") {
			if e.Name == "" {
				break
			}
			if a, err := netip.ParseAddr(strip(name)); err == nil && a.Zone() == "" {
				p.addOnce(&p.o.IPs, a.String())
				p.o.WebrootMap.set(at, a.String(), path)
				continue
			}
			if name, err = cleanDomain(strip(name)); err != nil {
				return err
			}
			p.addOnce(&p.o.Domains, name)
			p.o.WebrootMap.set(at, name, path)
		}
	}
	return nil
}

// jsonStrings reads a JSON object of strings in its order. The last of equal keys
// counts, at the place of the first, as in Python.
func jsonStrings(s string) (WebrootMap, error) {
	d := json.NewDecoder(strings.NewReader(s))
	if t, err := d.Token(); err != nil {
		return nil, err
	} else if t != json.Delim('{') {
		return nil, errors.New("it is something else")
	}
	var m WebrootMap
	at := map[string]int{}
	for d.More() {
		key, err := d.Token()
		if err != nil {
			return nil, err
		}
		var value string
		if err := d.Decode(&value); err != nil {
			return nil, err
		}
		m.set(at, key.(string), value)
	}
	if _, err := d.Token(); err != nil {
		return nil, err
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, errors.New("there is more behind it")
	}
	return m, nil
}
