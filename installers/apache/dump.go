package apache

import (
	"context"
	"fmt"
	"path/filepath"
	"regexp"
	"slices"
	"strings"

	"edge/installers/apache/conf"
)

// hostLine is where DUMP_VHOSTS says that a virtual host is.
var hostLine = regexp.MustCompile(`(?m)^(?:default server|\s*\S.*?) \((/[^\n]*):(\d+)\)$`)

// crosscheck has httpd itself say where its virtual hosts are: one that is not found
// here, or is found and not there, would get a certificate meant for another.
func (a *Apache) crosscheck(ctx context.Context, set *conf.Set) error {
	out, err := a.run(ctx, a.dumpArgv()...)
	i := strings.Index(out, "VirtualHost configuration")
	switch {
	case i >= 0: // what it may not like beside is for Test
	case err != nil:
		return certbots("Error while running %w", err)
	default:
		return nil // a program that says nothing of them
	}
	theirs := map[string]bool{}
	for _, m := range hostLine.FindAllStringSubmatch(out[i:], -1) {
		theirs[place(m[1], m[2])] = true
	}
	ours := map[string]bool{}
	var odd []string
	for _, v := range set.Hosts() {
		if v.File.Real == "" {
			continue // a macro's
		}
		at := place(v.File.Real, fmt.Sprint(v.Line))
		if ours[at] = true; !theirs[at] {
			odd = append(odd, at+" is not one of Apache's")
		}
	}
	for at := range theirs {
		if !ours[at] {
			odd = append(odd, at+" is one of Apache's, and was not found here")
		}
	}
	if len(odd) == 0 || len(out) >= maxSaid {
		return nil
	}
	slices.Sort(odd)
	return fmt.Errorf("the configuration of Apache is understood in another way than by Apache itself: the virtual host at %s; please report this", strings.Join(odd, ", that at "))
}

func place(file, line string) string {
	if real, err := filepath.EvalSymlinks(file); err == nil {
		file = real
	}
	return file + ":" + line
}

// dumpArgv asks for the virtual hosts.
func (a *Apache) dumpArgv() []string {
	argv := []string{a.speaker()}
	if a.ownRoot && !a.modules {
		argv = append(argv, "-d", a.serverRoot, "-f", a.main)
	}
	return append(argv, "-t", "-D", "DUMP_VHOSTS")
}
