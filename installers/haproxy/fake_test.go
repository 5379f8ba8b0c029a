package haproxy

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"maps"
	"net"
	"slices"
	"strings"
	"sync"
	"testing"
)

// fake is the socket of a HAProxy that cannot run here: of another version, or one that
// fails at one command. It does what the real 2.6.12 was seen to do, and refuses what it
// does not know. Master is that of a master: commands need their "@1 ".
type fake struct {
	version string
	master  bool
	// says has answers to commands that begin so, which are not carried out.
	says map[string]string

	mu          sync.Mutex
	certs       map[string]string // PEM by name; "" while it is new
	lists       map[string][]string
	transaction string
	pending     string
	asked       []string
	reloads     int
}

func newFake(version string) *fake {
	return &fake{version: version, says: map[string]string{}, certs: map[string]string{"/c/old.pem": "OLD"}, lists: map[string][]string{"/c": {"/c/old.pem"}}}
}

// dial is a connection to it.
func (f *fake) dial(context.Context, string, string) (net.Conn, error) {
	here, there := net.Pipe()
	go func() {
		defer there.Close()
		in := bufio.NewReader(there)
		line, err := in.ReadString('\n')
		if err != nil {
			return
		}
		command, payload := strings.TrimSuffix(line, "\n"), ""
		if rest, ok := strings.CutSuffix(command, " <<"); ok {
			command = rest
			for {
				l, err := in.ReadString('\n')
				if err != nil {
					return // the payload has no end: nothing is answered
				}
				if l == "\n" {
					break
				}
				payload += l
			}
		}
		if f.master && command != "reload" {
			if quit, err := in.ReadString('\n'); err != nil || quit != "quit\n" {
				return // the master waits for another command
			}
		}
		answer := f.answer(command, payload)
		if answer != "" {
			answer += "\n\n"
		}
		_, _ = io.WriteString(there, answer)
	}()
	return here, nil
}

func (f *fake) answer(command, payload string) string {
	f.mu.Lock()
	defer f.mu.Unlock()
	f.asked = append(f.asked, command)
	for _, prefix := range slices.Sorted(maps.Keys(f.says)) {
		if strings.HasPrefix(command, prefix) {
			return f.says[prefix]
		}
	}
	if f.master {
		rest, worker := strings.CutPrefix(command, "@1 ")
		if !worker {
			return f.toMaster(command)
		}
		command = rest
	}
	w := strings.Fields(command)
	switch {
	case command == "show info":
		return "Name: HAProxy\nVersion: " + f.version + "\nNbproc: 1"
	case command == "show ssl cert":
		out := "# filename\n" + strings.Join(slices.Sorted(maps.Keys(f.certs)), "\n")
		if f.transaction != "" {
			out = "# transaction\n*" + f.transaction + "\n" + out
		}
		return out
	case command == "show ssl crt-list":
		return strings.Join(slices.Sorted(maps.Keys(f.lists)), "\n")
	case len(w) < 4 || w[1] != "ssl":
		return "Unknown command, but maybe one of the following ones is a better match:"
	case w[2] == "cert":
		return f.cert(w[0], w[3], payload)
	case w[2] == "crt-list":
		return f.crtList(w[0], w[3:], payload)
	}
	return "Unknown command"
}

func (f *fake) toMaster(command string) string {
	switch command {
	case "show proc":
		return fmt.Sprintf("#<PID>          <type>          <reloads>       <uptime>        <version>      \n27650           master          %d [failed: 0]   0d00h00m06s     %s\n# workers", f.reloads, f.version)
	case "reload":
		f.reloads++
		return "Success=1\n--\n[NOTICE]   (1) : Loading success."
	}
	return "Unknown command"
}

func (f *fake) cert(verb, name, payload string) string {
	_, there := f.certs[name]
	switch verb {
	case "show":
		return "Filename: " + name + "\nStatus: Used"
	case "new":
		if there {
			return "Certificate '" + name + "' already exists!"
		}
		f.certs[name] = ""
		return "New empty certificate store '" + name + "'!"
	case "set":
		switch {
		case !there:
			return "Can't replace a certificate which is not referenced by the configuration!\nCan't update " + name + "!"
		case f.transaction != "":
			f.pending = payload // 2.6 does not look whose it is
			return "Transaction updated for certificate " + f.transaction + "!"
		}
		f.transaction, f.pending = name, payload
		return "Transaction created for certificate " + name + "!"
	case "commit":
		if f.transaction != name {
			return "No ongoing transaction! !\nCan't commit " + name + "!"
		}
		f.certs[name], f.transaction = f.pending, ""
		return "Committing " + name + "...\nSuccess!"
	case "abort":
		switch f.transaction {
		case "":
			return "No ongoing transaction!"
		case name:
			f.transaction = ""
			return "Transaction aborted for certificate '" + name + "'!"
		}
		return "The ongoing transaction is about '" + f.transaction + "' but you are trying to abort a transaction for '" + name + "'"
	case "del":
		if !there {
			return "Can't remove the certificate: certificate '" + name + "' doesn't exist!"
		}
		for _, l := range f.lists {
			if slices.Contains(l, name) {
				return "Can't remove the certificate: certificate '" + name + "' in use, can't be deleted!"
			}
		}
		delete(f.certs, name)
		return "Certificate '" + name + "' deleted!"
	}
	return "Unknown command"
}

func (f *fake) crtList(verb string, args []string, payload string) string {
	list := args[0]
	have, there := f.lists[list]
	if !there {
		return "Can't edit the crt-list: crt-list '" + list + "' does not exist!"
	}
	switch verb {
	case "show":
		return "# " + list + "\n" + strings.Join(have, "\n")
	case "add":
		name := strings.TrimSuffix(payload, "\n")
		if f.certs[name] == "" {
			return "Can't edit the crt-list: certificate '" + name + "' is empty!"
		}
		f.lists[list] = append(have, name)
		return "Inserting certificate '" + name + "' in crt-list '" + list + "'.\nSuccess!"
	case "del":
		i := slices.Index(have, args[1])
		if i < 0 {
			return "Can't delete the entry: certificate '" + args[1] + "' can't be found in crt-list '" + list + "'!"
		}
		f.lists[list] = slices.Delete(slices.Clone(have), i, i+1)
		return "Entry '" + args[1] + "' deleted in crtlist '" + list + "'!"
	}
	return "Unknown command"
}

func (f *fake) state() string {
	f.mu.Lock()
	defer f.mu.Unlock()
	return fmt.Sprint(f.certs, f.lists, f.transaction)
}

func (f *fake) cli() *cli { return &cli{addr: "/fake", master: f.master, dial: f.dial} }

// memoryAt is one certificate in the fake's memory.
func (f *fake) memoryAt(path string) *memory {
	return &memory{cli: f.cli(), place: &place{path: path, lists: []string{"/c"}}}
}

// Every answer that is not exactly the expected one is an error, and then HAProxy has what
// it had.
func TestUnexpectedAnswers(t *testing.T) {
	for _, master := range []bool{false, true} {
		for _, c := range []struct{ command, answer, path string }{
			{"show ssl cert", "", "/c/old.pem"},
			{"show ssl cert", "Permission denied", "/c/old.pem"},
			{"set ssl cert", "", "/c/old.pem"},
			{"set ssl cert", "Transaction created for certificate /c/old.pem! ", "/c/old.pem"},
			{"set ssl cert", "unable to load certificate from file '/c/old.pem'.\nCan't load the payload\nCan't update /c/old.pem!", "/c/old.pem"},
			{"commit ssl cert", "", "/c/old.pem"},
			{"commit ssl cert", "Committing /c/old.pem.", "/c/old.pem"},
			{"commit ssl cert", "Committing /c/other.pem.\nSuccess!", "/c/old.pem"},
			{"commit ssl cert", "Committing /c/old.pem2..\nSuccess!", "/c/old.pem"},
			{"commit ssl cert", "inconsistencies between private key and certificate loaded '/c/old.pem'.\nCan't commit /c/old.pem!", "/c/old.pem"},
			{"new ssl cert", "", "/c/new.pem"},
			{"new ssl cert", "Permission denied", "/c/new.pem"},
			{"set ssl cert", "", "/c/new.pem"},
			{"commit ssl cert", "Committing /c/new.pem\nFailed!", "/c/new.pem"},
			{"show ssl crt-list", "error: a b", "/c/new.pem"},
		} {
			f := newFake("2.6.12")
			f.master = master
			before := f.state()
			command := c.command
			if master {
				command = "@1 " + command
			}
			f.says[command] = c.answer
			err := f.memoryAt(c.path).put(t.Context(), "NEW\n")
			if !errors.Is(err, errAnswer) {
				t.Errorf("master %t, %s says %q: %v", master, c.command, c.answer, err)
			}
			if after := f.state(); after != before {
				t.Errorf("master %t, %s says %q: it has %s, before %s", master, c.command, c.answer, after, before)
			}
		}
	}
}

func TestMemory(t *testing.T) {
	for _, master := range []bool{false, true} {
		f := newFake("3.1.5")
		f.master = master
		before := f.state()
		for _, path := range []string{"/c/old.pem", "/c/new.pem", "/c/new.pem"} {
			if err := f.memoryAt(path).put(t.Context(), "NEW\n"); err != nil {
				t.Fatal(err)
			}
			if f.certs[path] != "NEW\n" || !slices.Contains(f.lists["/c"], path) {
				t.Errorf("%s: %s", path, f.state())
			}
		}
		m := f.memoryAt("/c/new.pem")
		if err := m.remove(t.Context(), false); err != nil || f.certs["/c/new.pem"] == "" {
			t.Errorf("what is not ours was taken away: %v", err)
		}
		if err := m.remove(t.Context(), true); err != nil {
			t.Error(err)
		}
		if err := f.memoryAt("/c/old.pem").put(t.Context(), "OLD"); err != nil {
			t.Error(err)
		}
		f.certs["/c/old.pem"] = "OLD"
		if after := f.state(); after != before {
			t.Errorf("%s, before %s", after, before)
		}
	}
}

// HAProxy says yes, and has another certificate.
func TestOtherFingerprint(t *testing.T) {
	f := newFake("2.6.12")
	f.says["show ssl cert /"] = "Filename: /c/old.pem\nStatus: Used\nSHA1 FingerPrint: F58ED4268D12D88B8D4DAB91D5631F790F61D217"
	wants(t, f.memoryAt("/c/old.pem").put(t.Context(), pemOf(t, "a.test")), "has another one (SHA-1 \"F58ED")
}

// A transaction of ours that was left is given up; one of somebody else is not touched,
// unless our certificate has got into it.
func TestTransactions(t *testing.T) {
	t.Parallel()
	f := newFake("2.6.12")
	f.transaction = "/c/old.pem"
	if err := f.memoryAt("/c/old.pem").put(t.Context(), "NEW\n"); err != nil || f.certs["/c/old.pem"] != "NEW\n" {
		t.Errorf("%v, %s", err, f.state())
	}
	f = newFake("2.6.12")
	f.certs["/c/b.pem"], f.transaction = "B", "/c/b.pem"
	before := f.state()
	err := f.memoryAt("/c/old.pem").put(t.Context(), "NEW\n")
	if err == nil || !strings.Contains(err.Error(), "somebody else is changing the certificate /c/b.pem") || f.state() != before {
		t.Errorf("%v, %s", err, f.state())
	}
	m := f.memoryAt("/c/old.pem")
	m.recovering = true
	if err := m.put(t.Context(), "NEW\n"); err != nil || f.transaction != "" {
		t.Errorf("after a run that died: %v, %s", err, f.state())
	}
	// Somebody was faster.
	f = newFake("2.6.12")
	f.certs["/c/b.pem"], f.transaction, f.pending = "B", "/c/b.pem", "B2"
	if err := f.cli().set(t.Context(), "/c/old.pem", "NEW\n"); !errors.Is(err, errAnswer) || f.transaction != "" || f.certs["/c/b.pem"] != "B" {
		t.Errorf("%v, %s", err, f.state())
	}
}

func TestReloadAnswers(t *testing.T) {
	for answer, want := range map[string]string{
		"Success=1\n--\n[NOTICE] fine":                                         "",
		"Success=0\n--\n[ALERT] config : parsing [x.cfg:16] : unknown keyword": "cannot load its configuration and goes on with the old one:\n[ALERT] config",
		"Permission denied":                                                    "not one that is known",
		"Success=2":                                                            "not one that is known",
	} {
		f := newFake("2.8.3")
		f.master = true
		f.says["reload"] = answer
		err := f.cli().reload(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), want)) {
			t.Errorf("%q: %v", answer, err)
		}
	}
}

// What cannot be done by the socket has its reason.
func TestRuntimeCannot(t *testing.T) {
	at := &place{path: "/c/old.pem", lists: []string{"/c"}}
	for _, c := range []struct {
		why     string
		version string
		says    map[string]string
		at      *place
		size    int
	}{
		{"HAProxy 2.0 has no commands", "2.0.33", nil, at, 100},
		{"cannot be given a new", "2.1.12", nil, &place{path: "/c/new.pem", lists: []string{"/c"}}, 100},
		{"has not loaded /c/new.pem", "2.6.12", nil, &place{path: "/c/new.pem"}, 100},
		{"2 processes", "2.4.1", map[string]string{"show info": "Version: 2.4.1\nNbproc: 2"}, at, 100},
		{"has 16000 bytes, and the socket takes", "2.6.12", nil, at, 16000},
		{"is in a crt-store", "3.1.0", nil, &place{path: "/c/old.pem", uses: []use{{stored: true}}}, 100},
		{"characters", "2.6.12", nil, &place{path: "/c/a b.pem"}, 100},
		{`write "level admin"`, "2.6.12", map[string]string{"abort ssl cert": "Permission denied"}, at, 100},
		{"not one that is known", "2.6.12", map[string]string{"abort ssl cert": "Unknown command"}, at, 100},
		{"not one that is known", "2.6.12", map[string]string{"show ssl cert": ""}, at, 100},
		{"not one that is known", "?", nil, at, 100},
	} {
		f := newFake(c.version)
		maps.Copy(f.says, c.says)
		w := &world{o: &Options{StatsSocket: "/fake", Dial: f.dial, Config: []string{"/x"}}, conf: parse(nil, lookupIn(nil))}
		got, err := w.runtime(t.Context(), c.at, c.size)
		if got != nil || err == nil || !strings.Contains(err.Error(), c.why) {
			t.Errorf("want %q: %v", c.why, err)
		}
	}
	f := newFake("2.6.12")
	w := &world{o: &Options{StatsSocket: "/fake", Dial: f.dial, Config: []string{"/x"}}, conf: parse(nil, lookupIn(nil))}
	if got, err := w.runtime(t.Context(), at, 15000); got == nil || err != nil {
		t.Error(err)
	}
}

func FuzzAnswers(f *testing.F) {
	for _, s := range []string{
		"# transaction\n*/a\n# filename\n/a\n/b", "# filename\n", "Name: HAProxy\nVersion: 2.6.12-1+deb12u4\nNbproc: 1", "0x7f13 /.well-known/acme-challenge/x x.y",
		"#<PID>          <type>          <reloads>       <uptime>        <version>      \n27650           master          2 [failed: 1]   0d00h01m34s     2.6.12\n",
		"# /c\n/c/a.pem\n/c/b.pem [alpn h2\x00] b.test", "Success=0\n--\nlog", "SHA1 FingerPrint: F58E",
	} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, s string) {
		if c, err := parseCerts(s); err == nil && slices.Contains(c.names, "") {
			t.Errorf("%+v", c)
		}
		if i, err := parseInfo(s); err == nil && (i.text == "" || i.version.major < 0) {
			t.Errorf("%+v", i)
		}
		if list, err := parseMap(s); err == nil {
			for _, e := range list {
				if strings.ContainsAny(e.key, " \n") {
					t.Errorf("%+v", e)
				}
			}
		}
		if p, err := parseProc(s); err == nil && (p.reloads < 0 || p.failed < 0) {
			t.Errorf("%+v", p)
		}
		if sync, err := parseReload(s); err == nil && sync != strings.HasPrefix(s, "Success=1") {
			t.Errorf("%t", sync)
		}
		_, _ = parseLists(s)
		_, _ = inCrtList(s, "/c", "/c/a.pem")
		fingerprint(s)
	})
}
