package apache

import (
	"context"
	"os"
	"regexp"
	"slices"
	"syscall"
	"time"

	"edge/installers/apache/conf"
)

// defaultPid is where -V says that a pid file is which the configuration does not name.
var defaultPid = regexp.MustCompile(`(?m)^ *-D DEFAULT_PIDLOG="([^"\n]+)"`)

// loadedAt is when httpd has read its configuration and certificates last: it writes its
// pid file each time. It is zero where that is not known.
func (a *Apache) loadedAt(ctx context.Context, set *conf.Set) time.Time {
	_, file := a.masterOf(set)
	if file == "" {
		out, err := a.run(ctx, append(a.rootArgv(), "-V")...)
		match := defaultPid.FindStringSubmatch(out)
		if err != nil || match == nil {
			return time.Time{}
		}
		file = a.underRoot(match[1])
	}
	info, err := os.Stat(file)
	if err != nil {
		return time.Time{}
	}
	return info.ModTime()
}

// changesAnyway reports whether a host is going to show another certificate with any
// reload: its file is that of the request, or was changed after httpd read it, by a
// renewal that nobody told httpd of. One that names none shows that of the main server.
func (p *planner) changesAnyway(v *conf.VirtualHost) bool {
	all := v.All("SSLCertificateFile")
	if len(all) == 0 {
		all = p.set.Root.All("SSLCertificateFile")
	}
	for _, d := range all {
		if len(d.Values) == 0 {
			continue
		}
		changed, err := changedAt(p.underRoot(d.Values[0]))
		if err != nil || !p.loaded.IsZero() && changed.After(p.loaded) || slices.Contains([]string{p.r.Certificate.FullChain, p.r.Certificate.Cert}, d.Values[0]) {
			return true
		}
	}
	return false
}

// changedAt is when a file came to be what it is. Its own time is not enough: copies keep
// that of the original, and a link may lead to another file since.
func changedAt(path string) (time.Time, error) {
	var out time.Time
	for _, look := range []func(string) (os.FileInfo, error){os.Stat, os.Lstat} {
		info, err := look(path)
		if err != nil {
			return out, err
		}
		times := []time.Time{info.ModTime()}
		if stat, ok := info.Sys().(*syscall.Stat_t); ok {
			times = append(times, time.Unix(stat.Ctim.Unix()))
		}
		for _, t := range times {
			if t.After(out) {
				out = t
			}
		}
	}
	return out, nil
}
