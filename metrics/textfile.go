package metrics

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"maps"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"

	"github.com/prometheus/client_golang/prometheus"

	"edge"
	"edge/internal/durable"
)

// WriteTextfile adds reports to a file for the textfile collector of Prometheus's
// node exporter, which reads *.prom in its folder (Debian:
// /var/lib/prometheus/node-exporter). Counters go on from what the file says;
// what is not ours in it is dropped. The file is replaced at once, mode 0644.
// Callers keep each other out.
func WriteTextfile(path string, reports ...edge.StewardReport) error {
	s := NewSteward()
	before, err := readTextfile(path)
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("metrics file %s: %w; remove it, the counters then begin anew", path, err)
	}
	s.Restore(before)
	for _, r := range reports {
		s.Report(r)
	}
	if err := (durable.Writer{}).WriteFile(path, s.Text(), 0o644); err != nil {
		return fmt.Errorf("metrics file %s: %w", path, err)
	}
	return nil
}

// maxTextfile bounds what is read back, in bytes: all lineages with long names.
const maxTextfile = 16 << 20

// readTextfile reads what may be anything: the folder may belong to others than
// who runs the steward. Neither links nor FIFOs are followed.
func readTextfile(path string) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NOFOLLOW|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer f.Close() // read-only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("not a regular file (%s)", info.Mode())
	}
	b, err := io.ReadAll(io.LimitReader(f, maxTextfile+1))
	if err == nil && len(b) > maxTextfile {
		err = fmt.Errorf("more than %d MiB", maxTextfile>>20)
	}
	return b, err
}

var escape = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Text returns everything in Prometheus's text format, version 0.0.4.
func (s *Steward) Text() []byte {
	s.mu.Lock()
	defer s.mu.Unlock()
	keys := make([]series, 0, len(s.samples))
	for k := range s.samples {
		keys = append(keys, k)
	}
	slices.SortFunc(keys, func(x, y series) int {
		return slices.Compare([]string{x.name, x.a, x.b}, []string{y.name, y.a, y.b})
	})
	var b bytes.Buffer
	for i, k := range keys {
		if i == 0 || keys[i-1].family != k.family {
			kind := "gauge"
			if k.kind == prometheus.CounterValue {
				kind = "counter"
			}
			fmt.Fprintf(&b, "# HELP %s %s\n# TYPE %s %s\n", k.name, k.help, k.name, kind)
		}
		b.WriteString(k.name)
		for j, v := range k.labelValues() {
			fmt.Fprintf(&b, `%c%s="%s"`, "{,"[j], k.labels[j], escape.Replace(v))
		}
		if len(k.labels) > 0 {
			b.WriteByte('}')
		}
		fmt.Fprintf(&b, " %s\n", strconv.FormatFloat(s.samples[k], 'g', -1, 64))
	}
	return b.Bytes()
}

// Restore takes up what Text returned in an earlier process. Lines that Text does
// not write are ignored.
func (s *Steward) Restore(text []byte) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for line := range strings.Lines(string(text)) {
		if k, v, ok := parseSample(strings.TrimSuffix(line, "\n")); ok {
			s.samples[k] = v
		}
	}
	for k := range maps.Clone(s.samples) {
		if k.perLineage() {
			s.samples[series{lineageFailures, k.a, ""}] += 0 // each lineage has it, however the file was cut
		}
	}
	s.bound()
}

// parseSample reads a line that Text wrote.
func parseSample(line string) (k series, v float64, ok bool) {
	at := strings.IndexAny(line, "{ ")
	if at < 0 {
		return k, 0, false
	}
	i := slices.IndexFunc(stewardFamilies, func(f *family) bool { return f.name == line[:at] })
	if i < 0 {
		return k, 0, false
	}
	k.family = stewardFamilies[i]
	rest := line[at:]
	values := [2]string{}
	for j, name := range k.labels {
		if rest, ok = strings.CutPrefix(rest, string("{,"[j])+name+"="); !ok {
			return k, 0, false
		}
		if values[j], rest, ok = unquote(rest); !ok {
			return k, 0, false
		}
	}
	if len(k.labels) > 0 {
		if rest, ok = strings.CutPrefix(rest, "}"); !ok {
			return k, 0, false
		}
	}
	if rest, ok = strings.CutPrefix(rest, " "); !ok {
		return k, 0, false
	}
	k.a, k.b = values[0], values[1]
	v, err := strconv.ParseFloat(rest, 64)
	return k, v, err == nil && v >= 0 && !math.IsInf(v, 0) && k.possible()
}

// unquote reads a label's value.
func unquote(s string) (value, rest string, ok bool) {
	s, ok = strings.CutPrefix(s, `"`)
	if !ok {
		return "", "", false
	}
	var b strings.Builder
	for i := 0; i < len(s); i++ {
		switch c := s[i]; {
		case c == '"':
			return b.String(), s[i+1:], true
		case c != '\\':
			b.WriteByte(c)
		case i+1 < len(s) && (s[i+1] == '\\' || s[i+1] == '"'):
			i++
			b.WriteByte(s[i])
		default: // a name of ours has no line break
			return "", "", false
		}
	}
	return "", "", false
}

// possible reports whether Report could have made the series.
func (s series) possible() bool {
	switch {
	case s.perLineage():
		return edge.CheckLineageName(s.a) == nil
	case s.family == stewardRuns:
		return (s.a == "success" || s.a == "failure") && slices.Contains(verbs, s.b)
	case s.family == stewardRenewals:
		return s.a == "none" && s.b == "success" || slices.Contains(reasons, edge.Reason(s.a)) && s.b == "failure"
	case s.family == stewardHooks:
		return true
	}
	return slices.Contains(verbs, s.a)
}
