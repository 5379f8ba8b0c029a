package haproxy

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"syscall"

	"edge/installers/process"
)

const (
	maxConf  = 16 << 20 // bytes of a file of the configuration, or a crt-list
	maxPEM   = 1 << 20
	maxFiles = 1000 // of a folder of configuration
)

// readFile reads a regular file.
func readFile(path string, limit int64) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // only read
	info, err := f.Stat()
	switch {
	case err != nil:
		return nil, err
	case !info.Mode().IsRegular():
		return nil, fmt.Errorf("%s is not a file", path)
	case info.Size() > limit:
		return nil, fmt.Errorf("%s has more than %d bytes", path, limit)
	}
	return io.ReadAll(io.LimitReader(f, limit))
}

// confFiles are the files of the configuration; of a folder, those that HAProxy loads
// (management guide, -f).
func confFiles(config []string) ([]string, error) {
	var list []string
	for _, path := range config {
		info, err := os.Stat(path)
		if err != nil {
			return nil, err
		}
		if !info.IsDir() {
			list = append(list, path)
			continue
		}
		entries, err := os.ReadDir(path) // in order
		if err != nil {
			return nil, err
		}
		for _, e := range entries {
			if strings.HasSuffix(e.Name(), ".cfg") && e.Name()[0] != '.' {
				list = append(list, filepath.Join(path, e.Name()))
			}
		}
	}
	if len(list) > maxFiles {
		return nil, fmt.Errorf("the configuration has more than %d files", maxFiles)
	}
	return list, nil
}

// running is the HAProxy that has a configuration.
type running struct {
	process.Process
	master string // master socket; empty: none
	env    []string
}

// find looks for the process with our configuration. There may be none that can be seen:
// in a container of its own it is reached by its socket alone.
func find(program string, config []string) *running {
	for _, p := range process.Running(program) {
		files, master := arguments(p.Args)
		dir, err := os.Readlink(fmt.Sprintf("/proc/%d/cwd", p.PID))
		if err != nil || !slices.ContainsFunc(files, func(f string) bool { return same(below(dir, f), config[0]) }) {
			continue
		}
		r := &running{Process: p}
		if master != "" {
			r.master = below(dir, socketAddr(master))
		}
		if raw, err := os.ReadFile(fmt.Sprintf("/proc/%d/environ", p.PID)); err == nil {
			r.env = environment(string(raw))
		}
		return r
	}
	return nil
}

// environment is that of a process without what HAProxy's master sets for itself: with
// HAPROXY_MWORKER_WAIT_ONLY, a configuration is not read at all.
func environment(raw string) []string {
	all := strings.Split(strings.TrimSuffix(raw, "\x00"), "\x00")
	return slices.DeleteFunc(all, func(v string) bool { return v == "" || strings.HasPrefix(v, "HAPROXY_") })
}

func same(a, b string) bool {
	one, aerr := os.Stat(a)
	other, berr := os.Stat(b)
	return aerr == nil && berr == nil && os.SameFile(one, other)
}

// arguments are the files and the master socket that HAProxy was started with.
func arguments(args []string) (files []string, master string) {
	for i := 1; i < len(args); i++ {
		if args[i] == "--" {
			return append(files, args[i+1:]...), master
		}
		if i+1 == len(args) {
			break
		}
		switch args[i] {
		case "-f":
			i++
			files = append(files, args[i])
		case "-S":
			i++
			master, _, _ = strings.Cut(args[i], ",") // options of the bind kind
		}
	}
	return files, master
}

// lookup is where variables of the configuration come from.
func (r *running) lookup(otherwise func(string) string) env {
	return func(name string) (string, bool) {
		if r == nil || r.env == nil {
			v := ""
			if otherwise != nil {
				v = otherwise(name)
			}
			return v, v != ""
		}
		for _, v := range r.env {
			if value, ok := strings.CutPrefix(v, name+"="); ok {
				return value, true
			}
		}
		return "", false
	}
}

// unit is the systemd service that a process belongs to, by its /proc/PID/cgroup; empty
// where it is none.
func unit(cgroup string) string {
	for line := range strings.Lines(cgroup) {
		name := filepath.Base(strings.TrimSpace(line))
		if strings.HasSuffix(name, ".service") && plain(name) && name[0] != '-' {
			return name
		}
	}
	return ""
}
