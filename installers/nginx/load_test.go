package nginx

import (
	"fmt"
	"os"
	"strings"
	"testing"
)

// What nginx reads otherwise than edge does stops everything: the block that is meant
// could be in there.
func TestOtherFilesThanNginx(t *testing.T) {
	for filter, want := range map[string]string{
		`sed 's/one.test/uno.test/'`:                               "nginx sees something else in ROOT/sites/one: it was changed meanwhile",
		`sed '$a # configuration file /x/hidden.conf:\nserver {}'`: "nginx reads /x/hidden.conf, which was not found from ROOT/nginx.conf",
		`sed '/configuration file .*mime/,$d'`:                     "nginx -T does not end as it should",
		"cat":                                                      "",
	} {
		l, _, _ := newTwo(t, map[string]string{"sites/zmime": "# mime\n"})
		ctl := l.dir + "/nginx.sh"
		write(t, ctl, fmt.Sprintf("#!/bin/sh\ncase \"$*\" in *-T*) %s \"$@\" 2>&1 | %s;; *) exec %s \"$@\";; esac\n", program(t), filter, program(t)))
		if err := os.Chmod(ctl, 0o755); err != nil {
			t.Fatal(err)
		}
		n, err := Detect(t.Context(), Options{Ctl: ctl, ServerRoot: l.root})
		if err != nil {
			t.Fatal(err)
		}
		_, err = n.load(t.Context())
		if want == "" && err != nil || want != "" && (err == nil || !strings.Contains(err.Error(), strings.ReplaceAll(want, "ROOT", l.root))) {
			t.Errorf("%s: %v", filter, err)
		}
	}
}
