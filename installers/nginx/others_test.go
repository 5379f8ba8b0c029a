package nginx

import (
	"strings"
	"testing"
)

// A block that shows a certificate for several names does not get one for fewer of them.
func TestOthersAreSpared(t *testing.T) {
	t.Parallel()
	const is = "the server block at ROOT/sites/one:1:1 also answers "
	for name, c := range map[string]struct {
		names   string // of the block
		has     bool   // a certificate
		more    string // what the new certificate is for beside the requested name
		refused string
		warned  string
	}{
		"another name": {"shop.test www.shop.test", true, "",
			is + "shop.test, for which this certificate is not: obtain one for all of its names (-d shop.test -d www.shop.test), or give www.shop.test a block of its own", ""},
		"everything below":            {"*.wild.test www.shop.test", true, "", is + "*.wild.test, for", ""},
		"a wildcard matches":          {"*.shop.test", true, "", is + "*.shop.test, for which this certificate is not: obtain one for all of its names (-d *.shop.test -d www.shop.test)", ""},
		"a dotted name":               {".shop.test", true, "", is + "shop.test, *.shop.test, for", ""},
		"an expression":               {`www.shop.test ~^re\d+ www.*`, true, "", "", is + `~^re\d+, www.*, for which this certificate may not be`},
		"its first one":               {"shop.test www.shop.test", false, "", "", is + "shop.test, for which this certificate is not"},
		"all of them":                 {"shop.test www.shop.test *.wild.test Sub.wild.test", true, "shop.test *.wild.test", "", ""},
		"what the old one is not for": {"shop.test www.shop.test", true, "", "", is + "shop.test, for which this certificate is not"},
		"no name":                     {`www.shop.test _ "" 10.0.0.1`, true, "", "", ""},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			src := "server {\n    listen 127.0.0.1:HTTP;\n    server_name " + c.names + ";\n}\n"
			if c.has {
				src = "server {\n    listen 127.0.0.1:HTTPS ssl;\n    server_name " + c.names + ";" + tlsLines + "}\n"
			}
			l, http, https := newTwo(t, map[string]string{"sites/one": src})
			if name != "what the old one is not for" {
				l.snakeoil(t, "shop.test", "www.shop.test", "*.shop.test", "*.wild.test")
			} else {
				l.snakeoil(t)
			}
			r := l.request("www.shop.test")
			r.HTTPPort, r.HTTPSPort = http, https
			issued := r
			issued.Names = append([]string{"www.shop.test"}, strings.Fields(c.more)...)
			makeCertificate(t, issued)
			told := func(got, want string) bool {
				want = strings.ReplaceAll(want, "ROOT", l.root)
				return want == "" && got == "" || want != "" && strings.Contains(got, want)
			}
			p, err := l.tryPlan(t, r)
			if err != nil {
				if c.refused == "" || !told(err.Error(), c.refused) {
					t.Errorf("got %v", err)
				}
				r.Overwrite = true
				if p := l.plan(t, r); !told(strings.Join(p.Warnings, "\n"), c.refused) || p.Empty() {
					t.Errorf("with Overwrite: %q", p.Warnings)
				}
				return
			}
			if c.refused != "" || !told(strings.Join(p.Warnings, "\n"), c.warned) {
				t.Errorf("no error, but warnings %q", p.Warnings)
			}
			l.write(t, p)
			if p := l.plan(t, r); !p.Empty() || len(p.Warnings) > 0 {
				t.Errorf("where it is already: %v %q", p.Changes, p.Warnings)
			}
		})
	}
}

// What is requested counts where there is no certificate yet.
func TestOthersBeforeTheCertificate(t *testing.T) {
	for name, want := range map[string]bool{"one.test": true, "ONE.test": true, "a.wild.test": true, "*.wild.test": true, "a.b.wild.test": false, "wild.test": false, "*.one.test": false, "": false} {
		if got := isFor(nil, []string{"one.test", "*.wild.test"}, name); got != want {
			t.Errorf("%s: %v", name, got)
		}
	}
}
