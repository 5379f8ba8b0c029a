package hitch

import (
	"bytes"
	"strings"
	"testing"
)

func TestParse(t *testing.T) {
	src := "# one = 1\n;frontend = \"[*]:443\" ; backend=\"[::1]:80\"\n" +
		"tls-protos = TLSv1.2 TLSv1.3\nwrite-proxy-v2=on # yes\n" +
		"pem-file = { cert = \"/a.pem\" ocsp-resp-file = \"/a.der\" }\n" +
		"pem-file = \"/b\\\"c.pem\"\nkeepalive = -1\nuser = \"\"\n# the end\n"
	list, err := parse([]byte(src))
	if err != nil {
		t.Fatal(err)
	}
	var got []string
	for _, e := range list {
		got = append(got, e.key+"="+e.value)
	}
	// A quote ends a string, whatever is before it.
	want := "frontend=[*]:443 backend=[::1]:80 tls-protos=TLSv1.2 write-proxy-v2=on pem-file= pem-file=/b\\ keepalive=-1 user="
	if strings.Join(got, " ") != want {
		t.Errorf("it is\n%s\nwant\n%s", strings.Join(got, " "), want)
	}
	if list[4].block[1].key != "ocsp-resp-file" || list[4].line != 5 || list[5].line != 6 {
		t.Errorf("the block is %+v", list[4])
	}
}

func TestParseRefuses(t *testing.T) {
	for src, why := range map[string]string{
		"a = 1\n# end": "line 2: the comment in the last line has no end", "\n\"\\\"": "line 2: a string without an end", "a = \"": "no value",
		"a": "no = after a", "a = {": "does not end", "}": "a } too many", "{": "not expected", "a={b={c={": "a block in a block", "= 3": "not expected",
	} {
		if _, err := parse([]byte(src)); err == nil || !strings.Contains(err.Error(), why) {
			t.Errorf("%q: %v, want %s", src, err, why)
		}
	}
}

func TestFrontends(t *testing.T) {
	for src, want := range map[string]string{
		`frontend = "[*]:443"`:                                    "*:443 global",
		`frontend = "[::1]:443+/x.pem"`:                           "[::1]:443 own",
		`frontend = { port = "8443" }`:                            "*:8443 global",
		`frontend = { host="h" port="1" pem-file="/x" }`:          "h:1 own",
		`frontend={port="1" pem-file="/x" match-global-certs=on}`: "*:1 own global",
		`keepalive = 3`:                                           ":8443 global",
		`frontend = "443"`:                                        "line 1: frontend \"443\" is not [HOST]:PORT",
		`frontend = { host = "x" }`:                               "line 1: frontend: it has no port",
	} {
		l, err := read([]byte(src))
		got := ""
		if err != nil {
			got = err.Error()
		} else {
			f := l.frontends[0]
			got = f.at.Addr
			if len(f.files) > 0 {
				got += " own"
			}
			if f.global {
				got += " global"
			}
		}
		if got != want {
			t.Errorf("%s: %s, want %s", src, got, want)
		}
	}
	if l, err := read([]byte("proxy-proxy = \"on\"\n")); err != nil || !l.frontends[0].at.ProxyProtocol {
		t.Errorf("%+v, %v", l, err)
	}
}

// Whatever a configuration has in it: what is read of it is where it says, and an entry
// more changes nothing else.
func FuzzConf(f *testing.F) {
	for _, s := range []string{
		"", "pem-file = \"/a\"\n", "pem-file = {\n cert = \"/a\"\n private-key = \"/b\"\n}", "frontend = { host = \"x\" port = \"1\" pem-file = { cert = \"/a\" } }",
		"#", "\"", "a=\"\\", "tls-protos = TLSv1.2 TLSv1.3 pem-file=\"x\"", "pem-dir = \"/x\" pem-dir-glob = \"*\"", "a = {", "}", "=", "a == b",
	} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, src []byte) {
		l, err := read(src)
		if err != nil {
			return
		}
		for _, file := range l.files {
			if file.val != (span{}) && file.path != "" && !bytes.Contains(src[file.val.from:file.val.to], []byte(file.path)) {
				t.Fatalf("%q is not at %v", file.path, file.val)
			}
		}
		in := l.insert("/etc/hitch/edge/one.pem")
		out, err := apply(src, []edit{in})
		if err != nil {
			t.Fatal(err)
		}
		if !bytes.HasPrefix(out, src[:in.from]) || !bytes.HasSuffix(out, src[in.to:]) || len(out) != len(src)+len(in.text) {
			t.Fatal("another byte was changed")
		}
		again, err := read(out)
		if err != nil || len(again.files) != len(l.files)+1 {
			t.Fatalf("%q: %d entries, then %d: %v", src, len(l.files), len(again.files), err)
		}
	})
}
