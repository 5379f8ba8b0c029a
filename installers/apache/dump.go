package apache

import (
	"context"
	"fmt"
	"maps"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

// hostLine is where DUMP_VHOSTS says that a virtual host is.
var hostLine = regexp.MustCompile(`(?m)^(?:default server|\s*\S.*?) \((/[^\n]*):(\d+)\)$`)

// crosscheck has httpd itself say where its virtual hosts are. One that is not found here
// could be the one that a certificate is for: an error. Those that are found here and
// not there, as with an address that cannot be resolved, are returned by their place.
func (a *Apache) crosscheck(ctx context.Context, set *conf.Set) (dropped map[string]bool, err error) {
	out, err := a.run(ctx, a.dumpArgv()...)
	i := strings.Index(out, "VirtualHost configuration")
	switch {
	case i >= 0: // what it may not like beside is for Test
	case err != nil:
		return nil, certbots("Error while running %w", err)
	default:
		return nil, nil // a program that says nothing of them
	}
	if len(out) >= maxSaid {
		return nil, nil // there are more than can be compared
	}
	theirs := map[string]bool{}
	for _, m := range hostLine.FindAllStringSubmatch(out[i:], -1) {
		theirs[place(m[1], m[2])] = true
	}
	dropped = map[string]bool{}
	missed := maps.Clone(theirs)
	for _, v := range set.Hosts() {
		if v.Made {
			continue // they have no place
		}
		at := placeOf(v)
		if !theirs[at] {
			dropped[at] = true
		}
		delete(missed, at) // a file that is read twice has each host twice
	}
	if len(missed) > 0 {
		return nil, fmt.Errorf("the configuration is understood in another way than by Apache itself: its virtual host at %s was not found; please report this", strings.Join(slices.Sorted(maps.Keys(missed)), ", that at "))
	}
	return dropped, nil
}

func placeOf(v *conf.VirtualHost) string { return place(v.File.Real, fmt.Sprint(v.Line)) }

func place(file, line string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	return file + ":" + line
}

// dumpArgv asks for the virtual hosts.
func (a *Apache) dumpArgv() []string {
	return append(a.rootArgv(), "-t", "-D", "DUMP_VHOSTS")
}

// rootArgv is the program that takes options, with those that say which server is meant.
func (a *Apache) rootArgv() []string {
	argv := []string{a.speaker()}
	if a.ownRoot && !a.modules {
		argv = append(argv, "-d", a.serverRoot, "-f", a.main)
	}
	return argv
}
