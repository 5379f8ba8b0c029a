package haproxy

import (
	"errors"
	"fmt"
	"regexp"
	"strconv"
	"strings"
)

// certs is what "show ssl cert" lists.
type certs struct {
	names       []string
	transaction string // of an open one, the name; empty: none
}

var (
	errAnswer = errors.New("HAProxy's answer is not one that is known")
	errEmpty  = errors.New("it is empty")
)

// unexpected is an answer that was not the expected one.
func unexpected(command, answer string) error {
	if answer == "" {
		return fmt.Errorf("%s: %w: %w", command, errAnswer, errEmpty)
	}
	return fmt.Errorf("%s: %w: %.300q", command, errAnswer, answer)
}

// parseCerts reads the answer of "show ssl cert".
func parseCerts(answer string) (certs, error) {
	var c certs
	in := ""
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		switch {
		case line == "# transaction" || line == "# filename":
			in = line
		case line == "":
		case in == "# transaction" && line[0] == '*' && c.transaction == "":
			c.transaction = line[1:]
		case in == "# filename" && line[0] != '#':
			c.names = append(c.names, line)
		default:
			return certs{}, unexpected("show ssl cert", answer)
		}
	}
	if in != "# filename" {
		return certs{}, unexpected("show ssl cert", answer)
	}
	return c, nil
}

// parseLists reads the answer of "show ssl crt-list": a folder or crt-list a line.
func parseLists(answer string) ([]string, error) {
	var list []string
	for line := range strings.Lines(answer) {
		if line = strings.TrimRight(line, "\n"); line != "" {
			list = append(list, line)
		}
		if strings.Contains(line, " ") { // an error, in words
			return nil, unexpected("show ssl crt-list", answer)
		}
	}
	return list, nil
}

// inCrtList reports whether the answer of "show ssl crt-list L" has a certificate.
func inCrtList(answer, list, name string) (bool, error) {
	first, rest, _ := strings.Cut(answer, "\n")
	if first != "# "+list {
		return false, unexpected("show ssl crt-list "+list, answer)
	}
	for line := range strings.Lines(rest) {
		file, _, _ := strings.Cut(strings.TrimRight(line, "\n"), " ")
		if file == name {
			return true, nil
		}
	}
	return false, nil
}

// processes is what "show proc" says of the master.
type processes struct {
	reloads, failed int
	hasFailed       bool // before 2.5 it does not say
}

var masterLine = regexp.MustCompile(`^[0-9]+ +master +([0-9]{1,9})(?: \[failed: ([0-9]{1,9})\])? `)

// parseProc reads the answer of "show proc".
func parseProc(answer string) (processes, error) {
	for line := range strings.Lines(answer) {
		m := masterLine.FindStringSubmatch(line)
		if m == nil {
			continue
		}
		var p processes
		p.reloads, _ = strconv.Atoi(m[1]) // the expression has digits alone
		p.failed, _ = strconv.Atoi(m[2])
		p.hasFailed = m[2] != ""
		return p, nil
	}
	return processes{}, unexpected("show proc", answer)
}

// parseReload reads the answer of "reload" of HAProxy 2.7 and later, which reloads before
// it answers. Older ones answer nothing: sync is false.
func parseReload(answer string) (sync bool, err error) {
	if answer == "" {
		return false, nil
	}
	first, log, _ := strings.Cut(answer, "\n")
	log = strings.TrimSpace(strings.TrimPrefix(log, "--"))
	switch first {
	case "Success=1":
		return true, nil
	case "Success=0":
		return true, fmt.Errorf("HAProxy cannot load its configuration and goes on with the old one:\n%.2000s", log)
	}
	return false, unexpected("reload", answer)
}

// version is that of HAProxy, as two numbers.
type version struct{ major, minor int }

func (v version) before(major, minor int) bool {
	return v.major < major || v.major == major && v.minor < minor
}

func (v version) String() string { return fmt.Sprintf("%d.%d", v.major, v.minor) }

// info is what matters of "show info".
type info struct {
	version version
	text    string // "2.6.12-1+deb12u4"
	procs   int
}

var versionText = regexp.MustCompile(`^([0-9]{1,4})\.([0-9]{1,4})[0-9A-Za-z.+~-]{0,60}$`)

// parseInfo reads the answer of "show info".
func parseInfo(answer string) (info, error) {
	out := info{procs: 1}
	for line := range strings.Lines(answer) {
		key, value, _ := strings.Cut(strings.TrimRight(line, "\n"), ": ")
		switch key {
		case "Version":
			m := versionText.FindStringSubmatch(value)
			if m == nil {
				return info{}, unexpected("show info", answer)
			}
			out.text = value
			out.version.major, _ = strconv.Atoi(m[1])
			out.version.minor, _ = strconv.Atoi(m[2])
		case "Nbproc":
			if n, err := strconv.Atoi(value); err == nil {
				out.procs = n
			}
		}
	}
	if out.text == "" {
		return info{}, unexpected("show info", answer)
	}
	return out, nil
}

// mapEntry is one of "show map FILE".
type mapEntry struct{ key, value string }

// parseMap reads the answer of "show map FILE": an address, key and value a line.
func parseMap(answer string) ([]mapEntry, error) {
	var list []mapEntry
	for line := range strings.Lines(answer) {
		line = strings.TrimRight(line, "\n")
		if line == "" {
			continue
		}
		f := strings.SplitN(line, " ", 3)
		if len(f) < 2 || !strings.HasPrefix(f[0], "0x") {
			return nil, unexpected("show map", answer)
		}
		e := mapEntry{key: f[1]}
		if len(f) == 3 {
			e.value = f[2]
		}
		list = append(list, e)
	}
	return list, nil
}

// fingerprint is the SHA-1 of the leaf in hex, as "show ssl cert NAME" has it; empty where
// there is none.
func fingerprint(answer string) string {
	for line := range strings.Lines(answer) {
		if v, ok := strings.CutPrefix(line, "SHA1 FingerPrint: "); ok {
			return strings.TrimSpace(v)
		}
	}
	return ""
}
