package main

import (
	"context"
	"encoding/json"
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/acmeglue"
	"edge/internal/admin"
	"edge/internal/edgetest"
	"edge/internal/edgetest/load"
)

// served is a front door in a process of its own, and in those that take its place.
type served struct {
	*rig
	program string
}

// serveProcess starts a door, by a path where another program can be put.
func serveProcess(t *testing.T, sites string) *served {
	t.Helper()
	s := &served{rig: newRig(t, edgetest.CAOptions{}, load.Backend())}
	path := s.configure(sites)
	real, err := exec.LookPath("edge")
	if err != nil {
		t.Fatal(err)
	}
	s.program = filepath.Join(s.dir, "edge")
	s.install(real)
	cmd := exec.Command(s.program, "serve", "--config", path)
	cmd.Env = append(os.Environ(), "PATH="+s.dir+":"+os.Getenv("PATH"))
	log, err := os.Create(s.dir + "/log") // which outlives the first process, as a pipe of the test would not
	if err != nil {
		t.Fatal(err)
	}
	defer log.Close()
	cmd.Stderr = log
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error, 1)
	go func() { ended <- cmd.Wait() }()
	t.Cleanup(func() {
		if st, err := s.status(); err == nil {
			syscall.Kill(st.PID, syscall.SIGTERM)
		}
		select {
		case <-ended:
		case <-time.After(30 * time.Second):
			cmd.Process.Kill()
			t.Error("the first process did not end")
		}
		s.eventually(func() error {
			if _, err := s.status(); err == nil {
				return fmt.Errorf("still serving")
			}
			return nil
		})
		if t.Failed() {
			b, _ := os.ReadFile(s.dir + "/log")
			t.Logf("%s", b)
		}
	})
	s.eventually(func() error { _, err := s.handshake("www.example.test"); return err })
	return s
}

// install puts a program where the door starts its successors from.
func (s *served) install(program string) {
	s.t.Helper()
	next := s.program + ".next"
	if err := os.Symlink(program, next); err != nil {
		s.t.Fatal(err)
	}
	if err := os.Rename(next, s.program); err != nil {
		s.t.Fatal(err)
	}
}

func (s *served) status() (*admin.Status, error) {
	c := admin.NewClient(s.dir + "/admin.sock")
	defer c.Close()
	ctx, cancel := context.WithTimeout(context.Background(), 10*time.Second)
	defer cancel()
	return c.Status(ctx)
}

func (s *served) edge(args ...string) (string, error) {
	b, err := exec.Command("edge", append(args, "--config", s.dir+"/edge.yaml")...).CombinedOutput()
	return string(b), err
}

// upgrade puts another process in the place of the running one.
func (s *served) upgrade() *admin.UpgradeResult {
	s.t.Helper()
	out, err := s.edge("upgrade", "-o", "json")
	var r admin.UpgradeResult
	if err == nil {
		err = json.Unmarshal([]byte(out), &r)
	}
	if err != nil {
		s.t.Fatalf("edge upgrade: %v: %s", err, out)
	}
	return &r
}

const loadSite = "  - hosts: [www.example.test]\n    proxy: BACKEND\nlimits: {drain: 5s}\n"

// Reloads and upgrades under load, over three protocols: nothing fails, and what is
// open goes on, over reloads for as long as it likes, over upgrades in the process that
// it was opened in.
func TestReloadsAndUpgradesUnderLoad(t *testing.T) {
	s := serveProcess(t, loadSite)
	upgrades, reloads, each := 2, 5, int64(500)
	if os.Getenv("EDGE_SOAK") != "" {
		upgrades, each = 20, 10000
	}
	second := httptest.NewServer(load.Backend())
	t.Cleanup(second.Close) // after the load
	settings := loadSettings(second.URL)
	l := load.New(t, s.https, s.ca.IssuedPool(), "www.example.test", 4)
	start := time.Now()
	for range upgrades {
		open := l.Streams()
		steps := func(when string) {
			t.Helper()
			for range 25 { // half a second of events
				for _, o := range open {
					if err := o.Step(); err != nil {
						t.Fatalf("%s, %s: %v", o.Name, when, err)
					}
				}
			}
		}
		for n := range reloads {
			s.configure(strings.ReplaceAll(settings[n%len(settings)], "LOG", s.dir+"/access.log"))
			if out, err := s.edge("reload"); err != nil {
				t.Fatalf("%v: %s", err, out)
			}
			l.More(each)
			steps(fmt.Sprintf("reload %d", n))
		}
		s.replace()
		steps("upgrade")
		for _, o := range open {
			o.Close()
		}
		l.More(each)
		s.eventually(func() error {
			if st, err := s.status(); err != nil || st.LastUpgrade.Draining {
				return fmt.Errorf("the process before has not ended: %v", err)
			}
			return nil
		})
	}
	l.End()
	t.Logf("%d reloads, %d upgrades, requests %v, in %v", upgrades*reloads, upgrades, l.Counts(), time.Since(start).Round(time.Second))
	http.DefaultClient.CloseIdleConnections()
}

// loadSettings are configurations of which each changes what the one before had.
func loadSettings(second string) []string {
	site := "  - hosts: [www.example.test]\n"
	end := "limits: {drain: 5s}\n"
	return []string{
		site + "    proxy: {to: [BACKEND, \"" + second + "\"], balance: round_robin}\n" + end,
		site + "    proxy: {to: [BACKEND, {url: \"" + second + "\", weight: 3}], max_connections: 50, queue: 100, health: /get}\n    compress: true\n" +
			"  - hosts: [extra.example.test]\n    tls: off\n    respond: 204\n" + end,
		site + "    routes:\n      - {match: {path: /get}, proxy: BACKEND}\n      - {match: {method: POST}, proxy: \"" + second + "\", headers: {request: {set: {X-A: b}}}}\n      - proxy: BACKEND\n" + end,
		"  - hosts: [\"*.example.test\"]\n    tls: off\n    respond: 204\n" + site + "    proxy: BACKEND\n    max_body: 1MiB\n" + end +
			"log: {access: {path: \"LOG\", format: json}}\n",
		site + "    proxy: \"" + second + "\"\n" + "limits: {drain: 5s, connections: 5000, streams: 50, idle: 1m}\n",
	}
}

// replace upgrades under load, and looks at what the two processes say.
func (s *served) replace() {
	s.t.Helper()
	before, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	r := s.upgrade()
	now, err := s.status()
	if err != nil {
		s.t.Fatal(err)
	}
	if r.Was != before.PID || r.PID != now.PID || now.PID == before.PID || now.LastUpgrade == nil || now.LastUpgrade.Was != before.PID {
		s.t.Errorf("upgrade %+v from PID %d; now %d, which says %+v", r, before.PID, now.PID, now.LastUpgrade)
	}
	if status, _ := s.get(http.DefaultClient, "http://"+s.metrics+"/readyz"); status != 200 {
		s.t.Errorf("readyz: %d", status)
	}
}

// A process that does not come up leaves the one that runs as it was.
func TestUpgradeThatFails(t *testing.T) {
	s := serveProcess(t, loadSite)
	good, err := os.ReadFile(s.dir + "/edge.yaml")
	if err != nil {
		t.Fatal(err)
	}
	real, err := os.Readlink(s.program)
	if err != nil {
		t.Fatal(err)
	}
	script := func(name, text string) string {
		path := s.write(name, "#!/bin/sh\n"+text)
		if err := os.Chmod(path, 0o755); err != nil {
			t.Fatal(err)
		}
		return path
	}
	before, err := s.status()
	if err != nil {
		t.Fatal(err)
	}
	l := load.New(t, s.https, s.ca.IssuedPool(), "www.example.test", 1)
	for class, tc := range map[string]struct {
		program, config, want string
	}{
		"a bad configuration":      {real, strings.Replace(string(good), "proxy:", "prxy:", 1), "prxy"},
		"a port in use":            {real, strings.Replace(string(good), `http: ["`, `http: ["`+s.backend.Listener.Addr().String()+`", "`, 1), "address already in use"},
		"a program that ends":      {script("ends", "exit 3"), string(good), "exit status 3"},
		"a program that is killed": {script("killed", "kill -9 $$"), string(good), "signal: killed"},
		"no program":               {script("none", "")[:len(s.dir)+1] + "nosuch", string(good), "no such file"},
		"not a program":            {s.write("text", "hello"), string(good), "permission denied"},
	} {
		t.Run(class, func(t *testing.T) {
			s.install(tc.program)
			s.write("edge.yaml", tc.config)
			out, err := s.edge("upgrade", "--admin", s.dir+"/admin.sock")
			if err == nil || !strings.Contains(out, tc.want) || !strings.Contains(out, fmt.Sprintf("PID %d goes on as before", before.PID)) {
				t.Errorf("%v: %s", err, out)
			}
			s.write("edge.yaml", string(good))
			st, err := s.status()
			if err != nil || st.PID != before.PID || st.LastUpgrade == nil || !strings.Contains(st.LastUpgrade.Error, tc.want) {
				t.Errorf("%v: %+v", err, st.LastUpgrade)
			}
			if out, err := s.edge("status"); err != nil || !strings.Contains(out, "The last upgrade") {
				t.Errorf("%v: %s", err, out)
			}
			if out, err := s.edge("reload"); err != nil {
				t.Errorf("reload after it: %v %s", err, out)
			}
			l.More(100)
		})
	}
	s.install(real)
	if err := syscall.Kill(before.PID, syscall.SIGUSR2); err != nil {
		t.Fatal(err)
	}
	s.eventually(func() error {
		if st, err := s.status(); err != nil || st.PID == before.PID {
			return fmt.Errorf("not upgraded: %v", err)
		}
		return nil
	})
	l.More(300)
}

// A process that says nothing is not waited for without end, and one that says
// something else is not believed.
func TestAwaitSuccessor(t *testing.T) {
	for class, tc := range map[string]struct {
		say  []note
		want string
	}{
		"nothing":      {nil, "not serving after 50ms"},
		"a failure":    {[]note{{Kind: noteFailed, Error: "no such key"}}, "no such key"},
		"another note": {[]note{{Kind: noteGo}}, `said "go"`},
		"it is ready":  {[]note{{Kind: noteReady, Version: "2"}}, "<nil>"},
	} {
		t.Run(class, func(t *testing.T) {
			near, f, err := newWay()
			if err != nil {
				t.Fatal(err)
			}
			defer near.Close()
			far, err := wayOf(f)
			if err != nil {
				t.Fatal(err)
			}
			defer far.Close()
			for _, n := range tc.say {
				if err := far.send(n, -1); err != nil {
					t.Fatal(err)
				}
			}
			if err := (&successor{way: near}).await(50 * time.Millisecond); !strings.Contains(fmt.Sprint(err), tc.want) {
				t.Errorf("%v, want %s", err, tc.want)
			}
		})
	}
}

// Answers to challenges are known on both sides of a way, and go when they are removed.
func TestMirroredAnswers(t *testing.T) {
	near, f, err := newWay()
	if err != nil {
		t.Fatal(err)
	}
	far, err := wayOf(f)
	if err != nil {
		t.Fatal(err)
	}
	log := slog.New(slog.DiscardHandler)
	old, next := &door{log: log, registry: acmeglue.NewRegistry()}, &door{log: log, registry: acmeglue.NewRegistry()}
	answer := func(n int) edge.Answer {
		token := fmt.Sprintf("%020d", n)
		id, _ := edge.ParseIdentifier(fmt.Sprintf("n%d.example.test", n))
		return edge.Answer{Type: []edge.ChallengeType{edge.HTTP01, edge.TLSALPN01, edge.TLSSNI01}[n%3], Identifier: id, Token: token, KeyAuth: token + ".aaaaaaaaaaaaaaaaaaaa"}
	}
	for n := range 3 {
		if err := old.registry.Put(answer(n)); err != nil {
			t.Fatal(err)
		}
	}
	ends := []chan struct{}{make(chan struct{}), make(chan struct{})}
	for i, d := range []*door{old, next} {
		d.mirror([]*way{near, far}[i], ends[i])
	}
	for i, d := range []*door{old, next} {
		d.mirrors.Go(func() { d.follow([]*way{near, far}[i], ends[i]) })
	}
	both := func(want int) {
		t.Helper()
		for end := time.Now().Add(10 * time.Second); old.registry.Len() != want || next.registry.Len() != want; time.Sleep(time.Millisecond) {
			if time.Now().After(end) {
				t.Fatalf("%d and %d answers, want %d", old.registry.Len(), next.registry.Len(), want)
			}
		}
	}
	both(3)
	for n := 3; n < 9; n++ {
		d := []*door{old, next}[n%2]
		if err := d.registry.Put(answer(n)); err != nil {
			t.Fatal(err)
		}
	}
	both(9)
	if _, ok := old.registry.HTTP01("n3.example.test", answer(3).Token); !ok {
		t.Error("the old process does not know what was put into the new one")
	}
	for n := range 9 { // by whichever side
		[]*door{old, next}[n/2%2].registry.Remove(answer(n))
	}
	both(0)
	near.Close()
	far.Close()
	old.mirrors.Wait()
	next.mirrors.Wait()
	if err := old.registry.Put(answer(1)); err != nil {
		t.Error(err)
	}
	if next.registry.Len() != 0 {
		t.Error("told after the end")
	}
}

// A door whose log nobody reads any more goes on serving.
func TestNobodyReadsTheLog(t *testing.T) {
	s := &served{rig: newRig(t, edgetest.CAOptions{}, load.Backend())}
	path := s.configure(loadSite)
	r, w, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command("edge", "serve", "--config", path)
	cmd.Stderr = w
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	w.Close()
	s.eventually(func() error { _, err := s.handshake("www.example.test"); return err })
	r.Close()
	for range 2 {
		if out, err := s.edge("reload"); err != nil { // is logged
			t.Errorf("%v %s", err, out)
		}
	}
	cmd.Process.Signal(syscall.SIGTERM)
	if err := cmd.Wait(); err != nil {
		t.Error(err)
	}
}
