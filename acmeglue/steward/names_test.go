package steward

import (
	"crypto/x509"
	"os"
	"strings"
	"testing"

	"edge/acmeglue/lineage"
	"edge/internal/display"
)

// The decisions of certbot (main.py, _find_lineage_for_domains_and_certname), where
// nobody can be asked, and by a person who says yes or no.
func TestDecide(t *testing.T) {
	const (
		nobody = iota
		saysYes
		saysNo
	)
	r := newRig(t)
	r.create("a", ecKey(t), x509.Certificate{DNSNames: []string{"a.test"}}, "")
	r.create("bc", ecKey(t), x509.Certificate{DNSNames: []string{"b.test", "c.test"}}, "")
	r.create("rsa", rsaKey(t), x509.Certificate{DNSNames: []string{"rsa.test"}}, "--key-type rsa")
	r.create("old", ecKey(t), x509.Certificate{DNSNames: []string{"old.test"}, NotBefore: r.now.Add(-89 * day), NotAfter: r.now.Add(day)}, "")
	broken := r.create("broken", ecKey(t), x509.Certificate{DNSNames: []string{"broken.test"}}, "")
	if err := os.Remove(broken.Path(lineage.Chain)); err != nil {
		t.Fatal(err)
	}
	quiet, s := r.o.Display, r.steward()
	for _, c := range []struct {
		line string
		who  int
		want action
		name string // of the lineage
		err  string
		asks int
	}{
		{line: "-d new.test", want: issueNew},
		{line: "-d a.test", want: keep, name: "a"},
		{line: "-d a.test --force-renewal", want: replace, name: "a"},
		{line: "-d a.test --keep-until-expiring", want: keep, name: "a"},
		{line: "-d a.test --duplicate", want: issueNew},
		{line: "-d a.test", who: saysYes, want: keep, name: "a", asks: 1},
		{line: "-d old.test", want: replace, name: "old"},
		{line: "-d c.test -d b.test", want: keep, name: "bc"},
		{line: "-d b.test", want: issueNew},
		{line: "-d a.test -d x.test", err: "--expand"},
		{line: "-d a.test -d x.test --expand", want: replace, name: "a"},
		{line: "-d a.test -d x.test --force-renewal", want: replace, name: "a"},
		{line: "-d a.test -d x.test", who: saysYes, want: replace, name: "a", asks: 1},
		{line: "-d a.test -d x.test", who: saysNo, err: "User chose to cancel", asks: 1},
		{line: "-d a.test -d x.test --duplicate", want: issueNew},
		// the largest part; of two that are as large, the first
		{line: "-d a.test -d b.test -d c.test --expand", want: replace, name: "bc"},
		{line: "-d a.test -d old.test --expand", want: replace, name: "a"},
		{line: "-d broken.test", want: issueNew},
		{line: "--cert-name a", want: keep, name: "a"},
		{line: "--cert-name a -d a.test", want: keep, name: "a"},
		{line: "--cert-name a -d x.test", want: replace, name: "a"},
		{line: "--cert-name a -d x.test", who: saysYes, want: replace, name: "a", asks: 1},
		{line: "--cert-name a -d x.test", who: saysNo, err: "mismatched", asks: 1},
		{line: "--cert-name a -d x.test --renew-with-new-domains", who: saysNo, want: replace, name: "a"},
		{line: "--cert-name a -d x.test --duplicate", want: replace, name: "a"},
		{line: "--cert-name none -d a.test", want: issueNew},
		{line: "--cert-name none", err: "--domains"},
		{line: "--cert-name rsa -d rsa.test", want: keep, name: "rsa"},
		{line: "--cert-name rsa -d rsa.test --key-type ecdsa", want: replace, name: "rsa"},
		{line: "-d rsa.test --key-type ecdsa", err: "Please provide both --cert-name and --key-type"},
		{line: "-d rsa.test --key-type ecdsa", who: saysYes, want: replace, name: "rsa", asks: 1},
		{line: "-d rsa.test --key-type rsa", want: keep, name: "rsa"},
		{line: "-d rsa.test -d x.test --expand --key-type ecdsa", err: "Please provide both"},
	} {
		t.Run(c.line, func(t *testing.T) {
			s.o.Display = quiet
			somebody := &person{Display: quiet, yes: c.who == saysYes}
			if c.who != nobody {
				s.o.Display = somebody
			}
			o := r.options("certonly --server " + deaf + " " + c.line)
			w, err := s.wanted(t.Context(), o)
			var got action
			var l *lineage.Lineage
			if err == nil {
				got, l, err = s.decide(t.Context(), o, w)
			}
			if c.err != "" {
				if err == nil || !strings.Contains(err.Error(), c.err) {
					t.Errorf("error %v, want one with %q", err, c.err)
				}
			} else {
				name := ""
				if l != nil {
					name = l.Name()
				}
				if err != nil || got != c.want || name != c.name {
					t.Errorf("action %d on %q, %v; want %d on %q", got, name, err, c.want, c.name)
				}
			}
			if len(somebody.asked) != c.asks {
				t.Errorf("%d questions, want %d: %q", len(somebody.asked), c.asks, somebody.asked)
			}
		})
	}
}

// Without a wish of the user's, a lineage keeps the type of key that it has.
func TestKeyTypeStays(t *testing.T) {
	r := newRig(t)
	l := r.create("rsa", rsaKey(t), x509.Certificate{DNSNames: []string{"rsa.test"}}, "--key-type rsa")
	for _, c := range []struct {
		line     string
		yes      bool
		changing bool
		want     string
	}{
		{"-d rsa.test", false, false, "rsa"},
		{"-d rsa.test", true, true, "ecdsa"},
		{"-d rsa.test --cert-name rsa", false, false, "rsa"},
		{"-d rsa.test --cert-name rsa --key-type ecdsa", false, true, "ecdsa"},
	} {
		r.o.Display = &person{Display: display.NewNonInteractive(&r.out, display.Options{}), yes: c.yes}
		o := r.options("certonly " + c.line)
		changing, err := r.steward().migrateKeyType(t.Context(), o, l)
		if err != nil || changing != c.changing || o.KeyType != c.want {
			t.Errorf("%s, %v: changing %v to %s, %v; want %v, %s", c.line, c.yes, changing, o.KeyType, err, c.changing, c.want)
		}
	}
}

func TestSummary(t *testing.T) {
	for want, names := range map[string][]string{
		"": nil, "a": {"a"}, "a and b": {"a", "b"}, "a and 2 more domains": {"a", "b", "c"},
	} {
		if got := summary(names); got != want {
			t.Errorf("%v: %q, want %q", names, got, want)
		}
	}
}
