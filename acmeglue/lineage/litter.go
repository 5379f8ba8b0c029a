package lineage

import (
	"io/fs"
	"path/filepath"
	"regexp"
	"strings"
)

// litterName is what a process that was killed leaves in a live or an archive folder:
// temporary files and links of ours, and the links by which certbot remembers where
// others pointed to.
var litterName = regexp.MustCompile(`^(\.(cert|privkey|chain|fullchain)[0-9]*\.pem\.tmp-.*|\.README\.tmp-.*|previous_(cert|privkey|chain|fullchain)\.pem)$`)

func isLitter(dir string, e fs.DirEntry) bool {
	if e.IsDir() || !litterName.MatchString(e.Name()) {
		return false
	}
	// certbot's are links; a file of that name is somebody's own.
	return e.Name()[0] == '.' || e.Type()&fs.ModeSymlink != 0
}

// sweep removes litter from a folder. Nobody writes there: we have the lock.
func (t *Tree) sweep(dir string, litter func(dir string, e fs.DirEntry) bool) (removed []string, err error) {
	entries, err := readDir(dir)
	if err != nil {
		return nil, err
	}
	for _, e := range entries {
		if !litter(dir, e) {
			continue
		}
		path := filepath.Join(dir, e.Name())
		if err := t.w.Remove(path); err != nil {
			return removed, err
		}
		removed = append(removed, path)
	}
	return removed, nil
}

// sharedLitter is what there can be in the folders renewal, archive and live
// themselves: temporary files of renewal files, of jobs and of README, and the new
// version of a renewal file that certbot had not put in its place.
func sharedLitter(_ string, e fs.DirEntry) bool {
	name := e.Name()
	if !e.Type().IsRegular() {
		return false
	}
	hidden := name[0] == '.' && strings.Contains(name, ".tmp-")
	return hidden || strings.HasSuffix(name, confSuffix+".new")
}
