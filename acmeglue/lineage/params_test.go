package lineage

import (
	"os"
	"strings"
	"testing"
	"time"

	"edge/internal/configobj"
)

// What nobody asked to change keeps its bytes.
func TestSetParamsKeepsTheRest(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	head := "# by hand\n# renew_before_expiry = 30 days\nversion = 5.6.0 # theirs\nmine   =  'x'\n"
	var paths strings.Builder
	paths.WriteString("archive_dir = " + l.ArchiveDir() + "\n")
	for _, kind := range Kinds() {
		paths.WriteString(kind.String() + "=" + l.Path(kind) + "\n")
	}
	before := head + paths.String() + `
# about the options
[renewalparams]
# an account
account = old   # whose?
pre_hook = '''a 'b' "c"''' # quoted
post_hook = %(account)s
gone = 1
[[webroot_map]]
one.example = /srv/one
gone.example = /srv/gone
[[gone_map]]
x = y
[theirs]
key = a, b
`
	write(t, l.ConfPath(), before)
	if err := os.Chmod(l.ConfPath(), 0o640); err != nil {
		t.Fatal(err)
	}
	l = load(t, tree, "one.example")
	s := func(key, value string) Param { return Param{Key: key, Value: configobj.String(value)} }
	err := l.SetParams(Params{Renewal: Section{
		s("server", "https://ca.example/dir"), s("post_hook", "old"), s("account", "new"), s("pre_hook", `a 'b' "c"`),
		{Key: "webroot_path", Value: configobj.List("/srv/one")},
		{Key: "webroot_map", Sub: Section{s("one.example", "/srv/one"), s("two.example", "/srv/two")}},
	}})
	if err != nil {
		t.Fatal(err)
	}
	want := strings.Replace(head, "5.6.0", "2.1.0", 1) + paths.String() + `
# about the options
[renewalparams]
# an account
account = new   # whose?
pre_hook = '''a 'b' "c"''' # quoted
post_hook = old
server = https://ca.example/dir
webroot_path = /srv/one,
[[webroot_map]]
one.example = /srv/one
two.example = /srv/two
[theirs]
key = a, b
`
	got, err := os.ReadFile(l.ConfPath())
	if err != nil || string(got) != want {
		t.Errorf("%v\n%s\nwant\n%s", err, got, want)
	}
	if info, err := os.Stat(l.ConfPath()); err != nil || info.Mode().Perm() != 0o640 {
		t.Errorf("mode %v, %v", info.Mode(), err)
	}
	// A reference that says what is wanted stays.
	write(t, l.ConfPath(), strings.Replace(want, "post_hook = old", "post_hook = %(account)s", 1))
	p, err := load(t, tree, "one.example").Params()
	if err != nil || p.Renewal.String("post_hook") != "new" {
		t.Errorf("%q, %v", p.Renewal.String("post_hook"), err)
	}
	if err := l.SetParams(p); err != nil {
		t.Fatal(err)
	}
	if got, err = os.ReadFile(l.ConfPath()); err != nil || !strings.Contains(string(got), "post_hook = %(account)s") {
		t.Errorf("%v\n%s", err, got)
	}
	// But not where what it refers to changes.
	p.Renewal[0].Value = configobj.String("newer")
	if err := l.SetParams(p); err != nil {
		t.Fatal(err)
	}
	if p, err = l.Params(); err != nil || p.Renewal.String("account") != "newer" || p.Renewal.String("post_hook") != "new" {
		t.Errorf("%+v, %v", p.Renewal, err)
	}
}

func TestSetParamsRefuses(t *testing.T) {
	tree := newTree(t)
	l := create(t, tree, "one.example")
	before, err := os.ReadFile(l.ConfPath())
	if err != nil {
		t.Fatal(err)
	}
	for name, p := range map[string]Params{
		"a reference":      {Renewal: Section{{Key: "pre_hook", Value: configobj.String("%(server)s")}}},
		"a name of both":   {Renewal: Section{{Key: "x", Value: configobj.String("1")}, {Key: "x", Sub: Section{}}}},
		"a nameless part":  {Renewal: Section{{Key: "", Sub: Section{}}}},
		"too much":         {Edge: Section{{Key: "x", Value: configobj.String(strings.Repeat("x", maxFile))}}},
		"no way to say it": {Edge: Section{{Key: "x", Value: configobj.String("''' \"\"\" \n")}}},
	} {
		if err := l.SetParams(p); err == nil || name == "a reference" && !strings.Contains(err.Error(), "write it in another way") {
			t.Errorf("%s: %v", name, err)
		}
		if after, err := os.ReadFile(l.ConfPath()); err != nil || string(after) != string(before) {
			t.Errorf("%s: %v\n%s", name, err, after)
		}
		if len(leftovers(t, tree)) > 0 {
			t.Errorf("%s: %v", name, leftovers(t, tree))
		}
	}
}

func TestOptionalParts(t *testing.T) {
	root := t.TempDir()
	tree := openTree(root, nil)
	l := create(t, tree, "one.example")
	before, err := os.ReadFile(l.ConfPath())
	if err != nil {
		t.Fatal(err)
	}
	at, ten, nothing, never := time.Date(2026, 7, 1, 12, 0, 0, 0, time.Local), "10 days", "", time.Time{}
	if err := l.SetParams(Params{Edge: Section{{Key: "authenticator", Value: configobj.String("door")}}, ARIRetryAfter: &at, RenewBefore: &ten}); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(l.ConfPath())
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"\nrenew_before_expiry = 10 days\n", "\n[edge]\nauthenticator = door\n", "\n[acme_renewal_info]\nari_retry_after = 2026-07-01T12:00:00\n"} {
		if !strings.Contains(string(text), want) {
			t.Errorf("no %q in\n%s", want, text)
		}
	}
	p, err := load(t, tree, "one.example").Params()
	if err != nil || p.ARIRetryAfter == nil || !p.ARIRetryAfter.Equal(at) || p.RenewBefore == nil || *p.RenewBefore != ten ||
		p.Edge.String("authenticator") != "door" || p.Renewal.String("authenticator") != "standalone" {
		t.Errorf("%+v, %v", p, err)
	}
	if out := certbot(t, root, "certificates"); !strings.Contains(out, "Certificate Name: one.example") {
		t.Errorf("certbot says\n%s", out)
	}
	if err := l.SetParams(Params{Edge: Section{}, ARIRetryAfter: &never, RenewBefore: &nothing}); err != nil {
		t.Fatal(err)
	}
	if after, err := os.ReadFile(l.ConfPath()); err != nil || string(after) != string(before) {
		t.Errorf("%v\n%s\nwant\n%s", err, after, before)
	}
	// Times of other forms; what is no time means: ask now.
	for value, want := range map[string]*time.Time{"2026-07-01T12:00:00.250000": &at, "2026-07-01 12:00:00": &at, at.Format(time.RFC3339): &at, "soon": nil} {
		write(t, l.ConfPath(), string(before)+"[acme_renewal_info]\nari_retry_after = "+value+"\n")
		p, err := load(t, tree, "one.example").Params()
		if err != nil || (p.ARIRetryAfter == nil) != (want == nil) || want != nil && !p.ARIRetryAfter.Truncate(time.Second).Equal(*want) {
			t.Errorf("%s: %v, %v", value, p.ARIRetryAfter, err)
		}
	}
}

// A new file does not say the default in a comment where it says something else.
func TestCreateWithInterval(t *testing.T) {
	tree := newTree(t)
	chain, key := pair(t, "one.example")
	ten := "10 days"
	l, err := tree.Create(CreateOptions{Name: "one.example", Chain: chain, Key: key, Params: &Params{RenewBefore: &ten}})
	if err != nil {
		t.Fatal(err)
	}
	if text, err := os.ReadFile(l.ConfPath()); err != nil || !strings.HasPrefix(string(text), "version") || !strings.Contains(string(text), "\nrenew_before_expiry = 10 days\n") {
		t.Errorf("%v\n%s", err, text)
	}
}

// Whatever a renewal file says: what is written in its place says what it was meant to,
// and the rest keeps its bytes.
func FuzzRenewalFile(f *testing.F) {
	f.Add("version = 1\n[renewalparams]\na = b\n[[m]]\nx = y\n", "k", "v")
	f.Add("# c\narchive_dir = /a\n[renewalparams]\nx = '''a\nb''' # c\n", "x", "%(y)s")
	f.Add("[edge]\n[acme_renewal_info]\nari_retry_after = ,\n", "a", "\"'")
	f.Fuzz(func(t *testing.T, text, key, value string) {
		doc, err := configobj.Parse([]byte(text))
		if err != nil {
			return
		}
		c := &conf{file: "/c", raw: []byte(text), doc: doc}
		l := &Lineage{name: "n", archive: "/archive/n", conf: c}
		for _, kind := range Kinds() {
			l.links[kind].path = "/live/n/" + kind.live()
		}
		params, err := c.params()
		if err == nil {
			_, _ = params.Autorenew()
		}
		want := Section{{Key: key, Value: configobj.String(value)}}
		data, err := c.changed(l, &Params{Renewal: want})
		if err != nil {
			return
		}
		doc, err = configobj.Parse(data)
		if err != nil {
			t.Fatal(err)
		}
		got, err := (&conf{file: "/c", raw: data, doc: doc}).params()
		if err == nil && (len(got.Renewal) != 1 || !got.Renewal.contains(want)) {
			t.Errorf("%q: %+v", data, got.Renewal)
		}
		c.raw, c.doc = data, doc
		if again, err := c.changed(l, &Params{Renewal: want}); err != nil || string(again) != string(data) {
			t.Errorf("%v: %q, then %q", err, data, again)
		}
	})
}
