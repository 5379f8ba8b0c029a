package main

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"edge/internal/edgetest"
)

// What edge deliver changed, edge rollback takes back: the configuration says which
// server is meant.
func TestRollbackOfADelivery(t *testing.T) {
	d := newDeliverTo(t, "version: 1\n")
	addr, protocol, _ := strings.Cut(d.postgresql(), "/")
	const name = "db.example.test"
	d.configure(fmt.Sprintf(`version: 1
acme: {agree_tos: true}
certificates:
  - {name: db, hosts: [%s], deliver: [{postgresql: {config: DIR/pg/postgresql.conf, dir: DIR/pgssl}, verify: "%s/%s"}]}
`, name, addr, protocol))
	before := d.read("pg", "postgresql.conf")
	b := edgetest.NewChain(t, time.Now().Add(time.Hour), name)
	putLineage(t, d.path("le"), "db", b)
	if out := d.deliver(exitOK, "apply", "--work-dir", d.path("work")); !strings.Contains(out, "in sync, delivered now") {
		t.Fatal(out)
	}
	if got := d.showsAt(addr+"/"+protocol, name); got != leafSum(b) {
		t.Fatalf("it shows %s", got)
	}
	var out, errs bytes.Buffer
	args := []string{"rollback", "-n", "--config-dir", d.path("le"), "--work-dir", d.path("work"), "--logs-dir", d.path("logs"), "--edge-config", d.path("edge.yaml")}
	if code := run(context.Background(), args, &out, &errs); code != exitOK {
		t.Fatalf("exit status %d\n%s%s", code, &out, &errs)
	}
	if after := d.read("pg", "postgresql.conf"); after != before {
		t.Errorf("postgresql.conf is\n%s", after)
	}
	if _, err := os.Stat(d.path("pgssl", "db.pem")); err == nil {
		t.Error("the PEM file is still there")
	}
	d.until("TLS is off again", func() bool { return strings.Contains(d.showsAt(addr+"/"+protocol, name), "speaks no TLS") })
}
