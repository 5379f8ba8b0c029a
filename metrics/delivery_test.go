package metrics

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"
)

func TestWriteDeliveries(t *testing.T) {
	at := time.Unix(1700000000, 0)
	path := filepath.Join(t.TempDir(), "edge-deliver.prom")
	list := []Delivery{
		{Name: "mail", Target: "files", Place: "/srv/\"odd\"\\\n", InSync: true, Delivered: at, Verified: at.Add(time.Second), Attempt: at},
		{Name: "mail", Target: "exec", Place: "/bin/x", InSync: true, Delivered: at},
		{Name: "mail", Target: "exec", Place: "/bin/x", Failures: 3, Attempt: at}, // the same program with other arguments
		{Name: "web", Target: "files", Place: "/srv", Failures: 1},
	}
	if err := WriteDeliveries(path, list, at); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	line := regexp.MustCompile(`^(# (HELP|TYPE) [a-z_]+ .+|[a-z_]+(\{name="([^"\\\n]|\\[\\"n])*",place="([^"\\\n]|\\[\\"n])*",target="[a-z]+"\})? [0-9.e+]+)$`)
	for l := range strings.Lines(string(text)) {
		if !line.MatchString(strings.TrimSuffix(l, "\n")) {
			t.Errorf("no line of the text format: %q", l)
		}
	}
	for _, want := range []string{
		`edge_delivery_in_sync{name="mail",place="/srv/\"odd\"\\\n",target="files"} 1`,
		`edge_delivery_in_sync{name="mail",place="/bin/x",target="exec"} 0`,
		`edge_delivery_failures{name="mail",place="/bin/x",target="exec"} 3`,
		`edge_delivery_in_sync{name="web",place="/srv",target="files"} 0`,
		`edge_delivery_last_verified_timestamp_seconds{name="mail",place="/srv/\"odd\"\\\n",target="files"} 1.700000001e+09`,
		"edge_delivery_last_run_timestamp_seconds 1.7e+09",
	} {
		if strings.Count(string(text), want+"\n") != 1 {
			t.Errorf("lacks %s:\n%s", want, text)
		}
	}
	if strings.Contains(string(text), `edge_delivery_last_success_timestamp_seconds{name="web"`) {
		t.Error("what was never delivered has a time")
	}
	if err := WriteDeliveries(filepath.Join(path, "x"), nil, at); err == nil {
		t.Error("a file below a file is written")
	}
}
