package main

import (
	"context"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"strings"
	"testing"

	"edge/internal/admin"
	"edge/internal/edgetest"
)

// A reload with a bad file changes nothing, says why, and is seen in status and
// metrics; so is one that cannot bind.
func TestBadReload(t *testing.T) {
	r := newRig(t, edgetest.CAOptions{}, nil)
	good := "  - hosts: [www.example.test]\n    proxy: BACKEND\n"
	r.configure(good)
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	client := admin.NewClient(r.dir + "/admin.sock")
	defer client.Close()
	ctx := context.Background()

	r.configure(good + "    prox: x\n")
	if err := client.Reload(ctx); err == nil || !strings.Contains(err.Error(), "did you mean proxy?") || !strings.Contains(err.Error(), "nothing was changed") {
		t.Errorf("got %v", err)
	}
	taken, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	path := r.configure(good)
	b, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	r.write("edge.yaml", strings.Replace(string(b), `https: ["`, `https: ["`+taken.Addr().String()+`", "`, 1))
	err = client.Reload(ctx)
	if err == nil || !strings.Contains(err.Error(), taken.Addr().String()) || !strings.Contains(err.Error(), fmt.Sprintf("%d", os.Getpid())) {
		t.Errorf("a port in use: got %v, want the address and who holds it", err)
	}
	if status, _ := r.get(r.client(false), "https://www.example.test/"); status != 200 {
		t.Errorf("after bad reloads: status %d", status)
	}
	s, err := client.Status(ctx)
	if err != nil || s.LastReload == nil || !strings.Contains(s.LastReload.Error, "listen on") || len(s.Listeners) != 2 {
		t.Errorf("status %+v %v", s, err)
	}
	if _, body := r.get(http.DefaultClient, "http://"+r.metrics+"/metrics"); !strings.Contains(body, "edge_config_last_reload_successful 0") ||
		!strings.Contains(body, `edge_config_reloads_total{result="failure"} 2`) {
		t.Error("the metrics do not show the failed reloads")
	}
	r.configure(good)
	if err := client.Reload(ctx); err != nil {
		t.Error(err)
	}
}

// TERM finishes what is in flight; what does not end in time is cut, and a
// second signal does not wait.
func TestDrain(t *testing.T) {
	inFlight, release := make(chan struct{}), make(chan struct{})
	r := newRig(t, edgetest.CAOptions{}, http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		close(inFlight)
		<-release
		io.WriteString(w, "finished")
	}))
	r.configure("  - hosts: [www.example.test]\n    proxy: BACKEND\n")
	r.start()
	r.eventually(func() error { _, err := r.handshake("www.example.test"); return err })
	got := make(chan string, 1)
	c := r.client(true)
	go func() {
		res, err := c.Get("https://www.example.test/")
		if err != nil {
			got <- err.Error()
			return
		}
		defer res.Body.Close()
		b, _ := io.ReadAll(res.Body)
		got <- string(b)
	}()
	<-inFlight
	stopped := make(chan struct{})
	go func() { r.stop(); close(stopped) }()
	r.eventually(func() error {
		if _, err := net.Dial("tcp", r.https); err == nil {
			return fmt.Errorf("still accepting")
		}
		return nil
	})
	close(release)
	if b := <-got; b != "finished" {
		t.Errorf("the request in flight got %q", b)
	}
	<-stopped
}
