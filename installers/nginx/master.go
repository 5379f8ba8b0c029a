package nginx

import (
	"bytes"
	"cmp"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
)

// master is a running master process.
type master struct {
	pid  int
	conf string // absolute
	// givenPrefix is that of -p, empty where it is not given.
	givenPrefix string
}

// title is how a master calls itself: its own name, then how it was called.
var title = regexp.MustCompile(`^(nginx|openresty|angie): master process (.+)$`)

// masters are the running ones that see the files that we see.
func (n *Nginx) masters() []master {
	var out []master
	entries, _ := os.ReadDir("/proc") // none can be found then
	for _, e := range entries {
		if pid, err := strconv.Atoi(e.Name()); err == nil {
			if m, ok := n.master(pid); ok {
				out = append(out, m)
			}
		}
	}
	return out
}

// master looks at a process. Anybody can give one of his such a title: what it says counts
// where the process is root's or our own and runs the program.
func (n *Nginx) master(pid int) (master, bool) {
	proc := filepath.Join("/proc", strconv.Itoa(pid))
	raw, err := readSome(filepath.Join(proc, "cmdline"), 16<<10)
	if err != nil {
		return master{}, false
	}
	said, _, _ := bytes.Cut(raw, []byte{0}) // more is not the title's
	match := title.FindSubmatch(bytes.TrimRight(said, " "))
	if match == nil || !trusted(proc) || !n.runsProgram(proc) {
		return master{}, false
	}
	m := n.parseMaster(pid, strings.Fields(string(match[2])))
	return m, sees(proc, m.conf)
}

// parseMaster reads arguments as nginx does. Words in quotes are apart by then: the
// title joins them by spaces.
func (n *Nginx) parseMaster(pid int, args []string) master {
	m := master{pid: pid}
	var conf, globals string
	into := map[byte]*string{'c': &conf, 'p': &m.givenPrefix, 'g': &globals}
	for i := 1; i < len(args); i++ {
		a := args[i]
		if len(a) < 2 || a[0] != '-' || into[a[1]] == nil {
			continue
		}
		value := a[2:]
		if value == "" && i+1 < len(args) {
			i++
			value = args[i]
		}
		if a[1] == 'g' { // it has several words, and ends with a ;
			for !strings.HasSuffix(value, ";") && i+1 < len(args) || i+1 < len(args) && args[i+1][0] != '-' {
				i++
				value += " " + args[i]
			}
		}
		*into[a[1]] = value
	}
	prefix := cmp.Or(m.givenPrefix, n.build.prefix)
	m.conf = under(prefix, cmp.Or(conf, n.build.confPath()))
	return m
}

// running returns the master that has our configuration. The pid file is asked first,
// and not believed: it may be of an earlier boot.
func (n *Nginx) running() (master, bool) {
	ours := func(m master) bool { return sameFile(m.conf, n.conf) }
	if m, ok := n.master(n.pidInFile()); ok && ours(m) {
		return m, true
	}
	all := slices.DeleteFunc(n.masters(), func(m master) bool { return !ours(m) })
	if len(all) != 1 {
		return master{}, false
	}
	return all[0], true
}

var pidDirective = regexp.MustCompile(`(?m)^[ \t]*pid[ \t]+"?([^\s;"]+)"?[ \t]*;`)

// pidInFile returns 0 where there is no pid file or nothing in it. The configuration is
// only skimmed: it may be broken, and what is found is checked anyway.
func (n *Nginx) pidInFile() int {
	path := n.build.pid
	if src, err := readSome(n.conf, 1<<20); err == nil {
		if m := pidDirective.FindSubmatch(src); m != nil {
			path = string(m[1])
		}
	}
	if path == "" {
		path = "logs/nginx.pid"
	}
	raw, err := readSome(under(cmp.Or(n.prefix, n.build.prefix), path), 64)
	if err != nil {
		return 0
	}
	pid, err := strconv.Atoi(strings.TrimSpace(string(raw)))
	if err != nil || pid < 1 {
		return 0
	}
	return pid
}
