package icecast

import (
	"bytes"
	"os"
	"strings"
	"testing"
)

func edited(src string, w wanted) (string, error) {
	doc, err := parse([]byte(src))
	if err != nil {
		return "", err
	}
	edits, _, err := doc.edits(w)
	if err != nil {
		return "", err
	}
	out, err := apply(doc.src, edits)
	return string(out), err
}

const socketsOnly = "<icecast>\n\t<listen-socket>\n\t\t<port>8000</port>\n\t</listen-socket>\n\t<paths>\n\t\t<a/>\n\t</paths>\n</icecast>"

func TestEdits(t *testing.T) {
	create := wanted{bundle: "/b.pem", create: true, port: 8443}
	first := wanted{bundle: "/b.pem", port: 8443}
	for name, c := range map[string]struct {
		w         wanted
		src, want string
	}{
		"a new socket": {create, socketsOnly, strings.NewReplacer(
			"</listen-socket>", "</listen-socket>\n\t<listen-socket>\n\t\t<port>8443</port>\n\t\t<ssl>1</ssl>\n\t</listen-socket>",
			"<a/>", "<a/>\n\t\t<ssl-certificate>/b.pem</ssl-certificate>").Replace(socketsOnly)},
		"the first socket": {first, socketsOnly, strings.NewReplacer(
			"<port>8000</port>", "<port>8000</port>\n\t\t<ssl>1</ssl>", "<a/>", "<a/>\n\t\t<ssl-certificate>/b.pem</ssl-certificate>").Replace(socketsOnly)},
		"line ends": {create, strings.ReplaceAll(socketsOnly, "\n", "\r\n"), strings.NewReplacer(
			"</listen-socket>", "</listen-socket>\r\n\t<listen-socket>\r\n\t\t<port>8443</port>\r\n\t\t<ssl>1</ssl>\r\n\t</listen-socket>",
			"<a/>", "<a/>\r\n\t\t<ssl-certificate>/b.pem</ssl-certificate>").Replace(strings.ReplaceAll(socketsOnly, "\n", "\r\n"))},
		"all there":      {create, "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate> /b.pem </ssl-certificate></paths></icecast>", ""},
		"another path":   {create, "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/o</ssl-certificate><!-- x --><ssl-certificate>/p</ssl-certificate></paths></icecast>", "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/o</ssl-certificate><!-- x --><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
		"self-closing":   {create, "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate /></paths></icecast>", "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
		"turned off":     {first, "<icecast><listen-socket><ssl>0</ssl></listen-socket><paths></paths></icecast>", "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
		"nothing":        {first, "<icecast></icecast>", "<icecast><paths><ssl-certificate>/b.pem</ssl-certificate></paths><listen-socket><port>8443</port><ssl>1</ssl></listen-socket></icecast>"},
		"bound":          {create, "<icecast>\n<listen-socket>\n <port>1</port>\n <bind-address>::1</bind-address>\n</listen-socket>\n<paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>", "<icecast>\n<listen-socket>\n <port>1</port>\n <bind-address>::1</bind-address>\n</listen-socket>\n<listen-socket>\n <port>8443</port>\n <bind-address>::1</bind-address>\n <ssl>1</ssl>\n</listen-socket>\n<paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
		"2.5":            {create, "<icecast><tls-context><tls-certificate>/x</tls-certificate><tls-key>/y</tls-key></tls-context><listen-socket><tls>auto</tls></listen-socket></icecast>", "<icecast><tls-context><tls-certificate>/b.pem</tls-certificate><tls-key>/b.pem</tls-key></tls-context><listen-socket><tls>auto</tls></listen-socket></icecast>"},
		"2.5 without":    {create, "<icecast><tls-context></tls-context><listen-socket><tls-mode>rfc2818</tls-mode></listen-socket></icecast>", "<icecast><tls-context><tls-certificate>/b.pem</tls-certificate></tls-context><listen-socket><tls-mode>rfc2818</tls-mode></listen-socket></icecast>"},
		"special":        {wanted{"/a&b<c>.pem", true, 1}, "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths></paths></icecast>", "<icecast><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/a&amp;b&lt;c&gt;.pem</ssl-certificate></paths></icecast>"},
		"Latin-1":        {create, "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<icecast><admin>M\xfcller</admin><listen-socket><ssl>1</ssl></listen-socket><paths></paths></icecast>", "<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?>\n<icecast><admin>M\xfcller</admin><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
		"UTF-8 with BOM": {wanted{"/\u00fc.pem", true, 1}, "\ufeff<icecast><admin>M\u00fcller</admin><listen-socket><ssl>1</ssl></listen-socket><paths></paths></icecast>", "\ufeff<icecast><admin>M\u00fcller</admin><listen-socket><ssl>1</ssl></listen-socket><paths><ssl-certificate>/\u00fc.pem</ssl-certificate></paths></icecast>"},
		"CDATA":          {create, "<icecast><listen-socket><ssl><![CDATA[1]]></ssl></listen-socket><paths><ssl-certificate><![CDATA[/x]]></ssl-certificate></paths></icecast>", "<icecast><listen-socket><ssl><![CDATA[1]]></ssl></listen-socket><paths><ssl-certificate>/b.pem</ssl-certificate></paths></icecast>"},
	} {
		got, err := edited(c.src, c.w)
		want := c.want
		if want == "" {
			want = c.src
		}
		if err != nil || got != want {
			t.Errorf("%s: %v\n%q\nwant\n%q", name, err, got, want)
			continue
		}
		if again, err := edited(got, c.w); err != nil || again != got {
			t.Errorf("%s: once more changes it: %v\n%s", name, err, again)
		}
	}
}

func TestEditRefuses(t *testing.T) {
	for src, why := range map[string]string{
		"<icecast>":                          "line 1: XML syntax error",
		"<icecast>\n</ice>":                  "line 2: XML syntax error",
		"":                                   "no element",
		"<icecast/><icecast/>":               "a second root element",
		"<icecast></icecast>x":               "text beside the root",
		"<other></other>":                    "the root element is",
		"<icecast>&x;</icecast>":             "invalid character entity",
		"<icecast><paths/></icecast>":        "is empty",
		"\xff\xfe<\x00i\x00c\x00e\x00/\x00>": "line 1",
		"<?xml version=\"1.0\" encoding=\"UTF-16\"?><icecast/>":                              "is not known",
		"<icecast><paths><ssl-certificate>/x<!-- y --></ssl-certificate></paths></icecast>":  "more than text",
		"<icecast><listen-socket><port>8443</port></listen-socket><paths></paths></icecast>": "set new_ssl_socket_port",
		"<!DOCTYPE x [<!ENTITY a \"b\">]><icecast><admin>&a;</admin></icecast>":              "invalid character entity",
		strings.Repeat("<icecast>", 200):                                                     "too many elements",
	} {
		if got, err := edited(src, wanted{"/b.pem", true, 8443}); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %q, %v, want %s", src, got, err, why)
		}
	}
	if _, err := edited("<?xml version=\"1.0\" encoding=\"ISO-8859-1\"?><icecast><paths></paths></icecast>", wanted{"/\u00fc", true, 1}); err == nil {
		t.Error("a path of another encoding was taken")
	}
	if _, err := edited("<icecast><paths></paths></icecast>", wanted{"/a\nb", true, 1}); err == nil {
		t.Error("a path of two lines was taken")
	}
}

// Debian's own configuration, with all its comments.
func TestDebian(t *testing.T) {
	src, err := os.ReadFile("/etc/icecast2/icecast.xml")
	if err != nil {
		t.Fatalf("%v: install icecast2 (make test does)", err)
	}
	got, err := edited(string(src), wanted{"/etc/icecast2/edge.pem", true, 8443})
	if err != nil {
		t.Fatal(err)
	}
	without := strings.NewReplacer(
		"\n        <ssl-certificate>/etc/icecast2/edge.pem</ssl-certificate>", "",
		"\n    <listen-socket>\n        <port>8443</port>\n        <ssl>1</ssl>\n    </listen-socket>\n    <!--\n", "\n    <!--\n").Replace(got)
	if without != string(src) || got == string(src) {
		t.Errorf("it is\n%s", got)
	}
}

func TestModes(t *testing.T) {
	for value, want := range map[string]tlsMode{
		"1": onlyTLS, "0": noTLS, "": noTLS, "yes": onlyTLS, "TRUE": onlyTLS, "auto": withTLS, "auto_no_plain": withTLS, "rfc2817": noTLS, "rfc2818": onlyTLS,
		"disabled": noTLS, "7x": onlyTLS, "00": noTLS, "nonsense": noTLS, "010": onlyTLS,
	} {
		if got := modeOf(value); got != want {
			t.Errorf("%q is %d, want %d", value, got, want)
		}
	}
}

// Whatever a configuration is like: an edit leaves the rest as it is, and what comes out is
// well-formed and has all that was wanted.
func FuzzEdit(f *testing.F) {
	for _, s := range []string{conf, socketsOnly, "<icecast/>", "<icecast><paths><ssl-certificate/></paths></icecast>", "<icecast><tls-context><tls-key>x</tls-key></tls-context></icecast>", "<?xml version='1.0' encoding='koi8-r'?><icecast>\xff</icecast>", "<icecast>\r\n<listen-socket><ssl>1</ssl></listen-socket></icecast>"} {
		f.Add([]byte(s), true)
		f.Add([]byte(s), false)
	}
	f.Fuzz(func(t *testing.T, src []byte, create bool) {
		doc, err := parse(src)
		if err != nil {
			return
		}
		w := wanted{"/etc/icecast2/edge.pem", create, 8443}
		edits, _, err := doc.edits(w)
		if err != nil {
			return
		}
		out, err := apply(src, edits)
		if err != nil {
			t.Fatal(err)
		}
		rest, at := out, 0
		for _, e := range sorted(edits) {
			if !bytes.HasPrefix(rest, src[at:e.from]) {
				t.Fatal("another byte was changed")
			}
			rest, at = rest[e.from-at+len(e.text):], e.to
		}
		if !bytes.Equal(rest, src[at:]) {
			t.Fatal("another byte was changed at the end")
		}
		again, err := parse(out)
		if err != nil {
			t.Fatalf("%q became %q: %v", src, out, err)
		}
		if more, _, err := again.edits(w); err != nil || len(more) > 0 {
			t.Fatalf("%q: once more it wants %v: %v", out, more, err)
		}
		if at, _ := again.places(); len(at) == 0 {
			t.Fatalf("%q: no place has TLS", out)
		}
	})
}
