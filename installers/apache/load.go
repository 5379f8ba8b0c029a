package apache

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"edge/installers"
	"edge/installers/apache/conf"
)

// load reads the configuration as httpd would.
func (a *Apache) load(ctx context.Context) (*conf.Set, error) {
	env, err := a.env(ctx)
	if err != nil {
		return nil, err
	}
	return conf.Load(a.main, env)
}

// env is what httpd gets from outside of its files.
func (a *Apache) env(ctx context.Context) (conf.Env, error) {
	env := conf.Env{ServerRoot: a.serverRoot, Modules: a.static, Version: a.version, Vars: map[string]string{}}
	file := filepath.Join(a.serverRoot, "envvars")
	if _, err := os.Stat(file); err == nil {
		// It is a shell script, of Debian's ctl, which runs it as well.
		out, err := a.run(ctx, "/bin/sh", "-c", `. "$1" >/dev/null 2>&1; exec env -0`, "sh", file)
		if err != nil {
			return env, fmt.Errorf("read the environment from %s: %w", file, err)
		}
		for _, v := range strings.Split(out, "\x00") {
			if name, value, ok := strings.Cut(v, "="); ok {
				env.Vars[name] = value
			}
		}
	}
	env.Defines = defines(env.Vars["APACHE_ARGUMENTS"])
	if a.options != "" {
		if src, err := readRegular(a.options); err == nil {
			env.Defines = append(env.Defines, defines(shellVariable(string(src), a.variable))...)
		}
	}
	return env, nil
}

// shellVariable is the last value that a file gives to a variable.
func shellVariable(src, name string) string {
	value := ""
	for line := range strings.Lines(src) {
		if v, ok := strings.CutPrefix(strings.TrimSpace(line), name+"="); ok {
			value = strings.Trim(v, `"'`)
		}
	}
	return value
}

// defines are the names of -D in arguments.
func defines(arguments string) []string {
	var out []string
	fields := strings.Fields(arguments)
	for i, f := range fields {
		name, ok := strings.CutPrefix(f, "-D")
		switch {
		case ok && name != "":
			out = append(out, name)
		case ok && i+1 < len(fields):
			out = append(out, fields[i+1])
		}
	}
	return out
}

// Names returns the names of hosts that a certificate could have, sorted; also those of
// hosts that wait for mod_ssl, but not those of hosts that a macro makes.
func (a *Apache) Names(ctx context.Context) ([]string, error) {
	p, err := a.start(ctx, installers.Request{}, true)
	if err != nil {
		return nil, err
	}
	var out []string
	for _, v := range p.hosts {
		for _, name := range v.Names() {
			if plausible(name) && !v.Made {
				out = append(out, strings.ToLower(name))
			}
		}
	}
	slices.Sort(out)
	return slices.Compact(out), nil
}

// plausible is what certbot asks of a name before it offers it.
func plausible(name string) bool {
	labels := strings.Split(name, ".")
	for _, l := range labels {
		if l == "" || l[0] == '-' || l[len(l)-1] == '-' {
			return false
		}
		for _, c := range l {
			if c != '-' && (c < '0' || c > '9') && (c < 'a' || c > 'z') && (c < 'A' || c > 'Z') {
				return false
			}
		}
	}
	return len(labels) > 1
}
