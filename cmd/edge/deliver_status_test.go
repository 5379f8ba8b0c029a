package main

import (
	"bytes"
	"context"
	"encoding/json"
	"os"
	"strings"
	"testing"
	"time"

	"edge/installers/delivery"
	"edge/internal/admin"
	"edge/internal/edgetest"
)

// idleDoor is a front door that has nothing to tell.
type idleDoor struct{ admin.Backend }

func (idleDoor) Status() admin.Status { return admin.Status{Version: "test"} }

// Status shows how deliveries stand, also where there is no front door.
func TestStatusOfDeliveries(t *testing.T) {
	d := newDeliverTo(t, `version: 1
acme: {agree_tos: true}
admin: {socket: DIR/admin.sock}
certificates:
  - {name: mail, hosts: [mail.example.test], deliver: [{files: {dir: DIR/srv}}]}
  - {name: web, hosts: [web.example.test], deliver: [{exec: {command: ["false"]}}]}
`)
	for _, n := range []string{"mail", "web"} {
		putLineage(t, d.path("le"), n, edgetest.NewChain(t, time.Now().Add(time.Hour), n+".example.test"))
	}
	status := func(code int, more ...string) (stdout, stderr string) {
		t.Helper()
		var out, errs bytes.Buffer
		args := append([]string{"status", "--config", d.path("edge.yaml"), "--state-dir", d.path("state")}, more...)
		if got := run(context.Background(), args, &out, &errs); got != code {
			t.Fatalf("exit status %d\n%s%s", got, &out, &errs)
		}
		return out.String(), errs.String()
	}
	if out, _ := status(exitOK); strings.Count(out, "pending") != 2 {
		t.Errorf("at first: %s", out)
	}
	d.deliver(exitFailed, "apply")
	out, _ := status(exitOK)
	for _, want := range []string{"mail      files " + d.path("srv") + "  unverified", "web       exec false", "web -> exec false: failed: attempt 1 failed", "tried again by the first run after", "false: exit status 1"} {
		if !strings.Contains(out, want) {
			t.Errorf("%s lacks %q", out, want)
		}
	}
	if raw, _ := status(exitOK, "-o", "json"); !strings.Contains(raw, `"failures": 1`) {
		t.Errorf("without a door: %s", raw)
	}
	d.answer(idleDoor{})
	text, _ := status(exitOK)
	if !strings.Contains(text, "UPSTREAM") || !strings.Contains(text, "web -> exec false") {
		t.Errorf("with a door: %s", text)
	}
	raw, _ := status(exitOK, "-o", "json")
	var s struct{ Deliveries []delivery.Result }
	if err := json.Unmarshal([]byte(raw), &s); err != nil || len(s.Deliveries) != 2 || s.Deliveries[1].Failures != 1 {
		t.Errorf("%v %+v", err, s)
	}
	if err := os.WriteFile(d.path("state", "x.json"), []byte("{"), 0o600); err != nil {
		t.Fatal(err)
	}
	if out, _ := status(exitOK); !strings.Contains(out, "x.json") || !strings.Contains(out, "unverified") {
		t.Errorf("with a bad record: %s", out)
	}
}
