package config

import (
	"fmt"
	"os"
	"slices"
	"strings"

	"go.yaml.in/yaml/v4"
)

var encodings = []string{"zstd", "br", "gzip"}

func staticKey() key {
	return oneOf("static", "", "serve files: the folder, or",
		key{kind: kString}, obj("", "",
			must(str("root", "", "the folder; links that lead out of it are not followed")),
			list("index", "[index.html]", "files that stand for their folder", text()),
			str("fallback", "", "path below the folder that is served for what is not there, as in `/index.html` for an application of one page"),
			list("precompressed", "none", "encodings that may lie beside a file, as .zst, .br and .gz", of(text(), encodings...)),
			toggle("hidden", "false", "also names that begin with a dot"),
			str("cache_control", "", "Cache-Control")))
}

func compressKey() key {
	return oneOf("compress", "", "compress answers on their way to the client, but those with the field `X-Edge-Compress: off`, for which backends choose what mixes secrets with what others can write (BREACH); it goes no further", of(key{kind: kBool}, "true", "false"),
		obj("", "",
			list("encodings", "[zstd, br, gzip]", "in order of preference", of(text(), encodings...)),
			list("types", "what compresses well", "media types: `application/json`, `text/*`", text()),
			size("min", "1KiB", "shorter answers are left alone"),
			num("level", "balanced", "1 (fast) to 9")))
}

func (l *loader) decodeStatic(v value) *Static {
	s := &Static{Index: []string{"index.html"}}
	root := v
	if v.n.Kind != yaml.ScalarNode {
		root = v.get("root")
		v.get("index").texts(&s.Index)
		v.get("fallback").text(&s.Fallback)
		v.get("precompressed").texts(&s.Precompressed)
		v.get("hidden").flag(&s.Hidden)
		v.get("cache_control").text(&s.CacheControl)
	}
	s.Root = beside(v.f.path, root.n.Value)
	switch info, err := os.Stat(s.Root); {
	case err != nil:
		l.at(v.f, root.n, fmt.Sprintf("%s: %s: %v", root.path, s.Root, explainOpen(s.Root, err)), "")
	case !info.IsDir():
		l.at(v.f, root.n, fmt.Sprintf("%s: %s is not a folder", root.path, s.Root), "name the folder that the files are in")
	}
	if s.Fallback != "" && !strings.HasPrefix(s.Fallback, "/") {
		l.at(v.f, v.get("fallback").n, fmt.Sprintf("%s.fallback: %q does not begin with a slash", v.path, shown(s.Fallback)), "write it as /index.html")
	}
	if slices.ContainsFunc(s.Index, func(n string) bool { return n == "" || strings.Contains(n, "/") }) {
		l.at(v.f, v.get("index").n, v.path+".index: names of files, without a slash", "")
	}
	if strings.ContainsAny(s.CacheControl, "\r\n") {
		l.at(v.f, v.get("cache_control").n, v.path+".cache_control: a line end", "")
	}
	return s
}

func (l *loader) decodeCompress(v value) *Compress {
	if v.n == nil || v.n.Kind == yaml.ScalarNode && !strings.EqualFold(v.n.Value, "true") {
		return nil
	}
	c := &Compress{Min: 1 << 10}
	v.get("encodings").texts(&c.Encodings)
	v.get("types").texts(&c.Types)
	if m := v.get("min"); m.n != nil {
		c.Min = max(1, bytesOf(m)) // the engine takes 0 for the default
	}
	if n := v.get("level"); n.n != nil {
		if n.number(&c.Level); c.Level < 1 || c.Level > 9 {
			l.at(v.f, n.n, fmt.Sprintf("%s: %d", n.path, c.Level), "use 1 to 9")
		}
	}
	for _, t := range c.Types {
		if kind, sub, ok := strings.Cut(t, "/"); !ok || kind == "" || sub == "" || strings.ContainsAny(t, " ;,") {
			l.at(v.f, v.get("types").n, fmt.Sprintf("%s.types: %q is no media type", v.path, shown(t)), "write application/json, or text/*")
		}
	}
	return c
}
