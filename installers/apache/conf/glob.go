package conf

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// maxFolders is how deep folders that are included may lie in each other
// (AP_MAX_INCLUDE_DIR_DEPTH).
const maxFolders = 20

// hasMeta is apr_fnmatch_test: whether a name is a pattern.
func hasMeta(s string) bool {
	nested := false
	for i := 0; i < len(s); i++ {
		switch s[i] {
		case '?', '*':
			return true
		case '\\':
			i++
		case '[':
			nested = true
		case ']':
			if nested {
				return true
			}
		}
	}
	return false
}

// pattern is the name of an include.
type pattern string

// matches says whether the include brings a file of that name.
func (p pattern) matches(path string) bool {
	want, have := strings.Split(filepath.Clean(string(p)), "/"), strings.Split(path, "/")
	if len(have) < len(want) {
		return false
	}
	for i, w := range want {
		if hasMeta(w) && !matchName(w, have[i]) || !hasMeta(w) && w != have[i] {
			return false
		}
	}
	// What is in a folder that is included counts as well.
	return len(have) == len(want) || isDir(strings.Join(have[:len(want)], "/"))
}

// include returns the files that an include brings, in httpd's order
// (process_resource_config_fnmatch). A file may not be there.
func (d *disk) include(name string, optional bool) ([]string, error) {
	if !hasMeta(name) {
		return d.tree(name, 0)
	}
	return d.expand("", strings.TrimLeft(name, "/"), optional)
}

// expand completes dir, a folder without patterns, by what is left of the pattern.
func (d *disk) expand(dir, rest string, optional bool) ([]string, error) {
	name, rest, more := strings.Cut(rest, "/")
	if !hasMeta(name) {
		dir += "/" + name
		if !more {
			return d.tree(dir, 0)
		}
		return d.expand(dir, rest, optional)
	}
	if _, err := os.ReadDir(dir + "/"); err != nil {
		if optional && errors.Is(err, fs.ErrNotExist) {
			return nil, nil
		}
		return nil, fmt.Errorf("could not open the folder: %w", err)
	}
	var out []string
	found := false
	for _, entry := range d.List(dir + "/") {
		path := dir + "/" + entry
		if !matchName(name, entry) || more && !isFolder(path) {
			continue
		}
		found = true
		var files []string
		var err error
		if more {
			files, err = d.expand(path, rest, optional)
		} else {
			files, err = d.tree(path, 0)
		}
		if err != nil {
			return nil, err
		}
		out = append(out, files...)
	}
	if !found && !optional {
		return nil, fmt.Errorf("nothing in %s matches %q, and httpd refuses that", dir, name)
	}
	return out, nil
}

// isFolder says whether a name is that of a folder itself: httpd does not follow symbolic
// links in the middle of a pattern.
func isFolder(name string) bool {
	info, err := os.Lstat(name)
	return err == nil && info.IsDir()
}

// tree returns a file, or all files below a folder.
func (d *disk) tree(name string, depth int) ([]string, error) {
	if !isDir(name) {
		return []string{name}, nil
	}
	if depth == maxFolders {
		return nil, fmt.Errorf("folders lie more than %d deep", maxFolders)
	}
	var out []string
	for _, entry := range d.List(name) {
		files, err := d.tree(strings.TrimRight(name, "/")+"/"+entry, depth+1)
		if err != nil {
			return nil, err
		}
		if out = append(out, files...); len(out) > maxIncludes {
			return nil, fmt.Errorf("more than %d files are not read", maxIncludes)
		}
	}
	return out, nil
}

// matchName is apr_fnmatch with APR_FNM_PERIOD for one name.
func matchName(pattern, name string) bool {
	if strings.HasPrefix(name, ".") && !strings.HasPrefix(pattern, ".") {
		return false
	}
	p, n := 0, 0
	star, retry := -1, 0 // the last *, and what it has eaten up to
	for n < len(name) {
		if p < len(pattern) && pattern[p] == '*' {
			star, retry = p, n
			p++
			continue
		}
		if size, ok := matchByte(pattern[p:], name[n]); ok {
			p += size
			n++
			continue
		}
		if star < 0 {
			return false
		}
		retry++
		p, n = star+1, retry
	}
	return strings.Trim(pattern[p:], "*") == ""
}

// matchByte matches one byte with the first element of the pattern, which is size long.
func matchByte(pattern string, c byte) (size int, ok bool) {
	if pattern == "" {
		return 0, false
	}
	switch pattern[0] {
	case '?':
		return 1, true
	case '[':
		if size, ok := matchSet(pattern, c); size > 0 {
			return size, ok
		}
	case '\\':
		if len(pattern) > 1 {
			return 2, pattern[1] == c
		}
	}
	return 1, pattern[0] == c
}

// matchSet matches a bracket expression; size is 0 where the bracket begins none, and
// then it stands for itself.
func matchSet(pattern string, c byte) (size int, ok bool) {
	i := 1
	negated := i < len(pattern) && (pattern[i] == '!' || pattern[i] == '^')
	if negated {
		i++
	}
	for first := true; i < len(pattern); first = false {
		if pattern[i] == ']' && !first {
			return i + 1, ok != negated
		}
		lo, next := setByte(pattern, i)
		hi := lo
		if next+1 < len(pattern) && pattern[next] == '-' && pattern[next+1] != ']' {
			hi, next = setByte(pattern, next+1)
		}
		ok = ok || lo <= c && c <= hi
		i = next
	}
	return 0, false
}

func setByte(pattern string, i int) (c byte, next int) {
	if pattern[i] == '\\' && i+1 < len(pattern) {
		i++
	}
	return pattern[i], i + 1
}
