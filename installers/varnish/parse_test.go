package varnish

import (
	"bytes"
	"context"
	"fmt"
	"net"
	"strings"
	"testing"
	"time"
)

func frame(status int, body string) string {
	return fmt.Sprintf("%-3d %-8d\n%s\n", status, len(body), body)
}

// FuzzAnswer: what is no answer is an error, and what is one is taken whole.
func FuzzAnswer(f *testing.F) {
	for _, s := range []string{frame(200, ""), frame(107, strings.Repeat("a", 32)+"\n\nAuthentication required.\n"), frame(201, "x"), "", "200 99999999\n", "200 5       \nab", "200 -1      \n", "2x0 1       \na\n", "200 1       \nab"} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r := bytes.NewReader(raw)
		is, err := readAnswer(r)
		if err != nil {
			return
		}
		used := raw[:len(raw)-r.Len()]
		if len(used) != headerSize+len(is.body)+1 || !bytes.HasPrefix(used, fmt.Appendf(nil, "%03d ", is.status)) || string(used[headerSize:len(used)-1]) != is.body {
			t.Errorf("%q became %+v", used, is)
		}
	})
}

// FuzzCLI: whatever a peer says at the beginning, it comes to an end.
func FuzzCLI(f *testing.F) {
	hello := frame(107, strings.Repeat("a", 32)+"\nAuthentication required.")
	for _, s := range []string{hello + frame(200, "") + frame(200, `[2, ["vcl.list", "-j"], 1.5, {"status": "active", "name": "boot"}]`), hello + frame(500, "x"), frame(200, "") + frame(200, "[]"), frame(107, "short")} {
		f.Add([]byte(s))
	}
	f.Fuzz(func(t *testing.T, said []byte) {
		n := &node{addr: "fuzz:1", o: &Options{Timeout: time.Second, Dial: func(context.Context, string, string) (net.Conn, error) {
			ours, theirs := net.Pipe()
			go func() {
				defer theirs.Close()
				go func() {
					b := make([]byte, 1024)
					for {
						if _, err := theirs.Read(b); err != nil {
							return
						}
					}
				}()
				_, _ = theirs.Write(said)
			}()
			return ours, nil
		}}}
		_ = n.bring(t.Context(), prefix+"x", answers{"a": "a.b"}) // an error or not: it ends
	})
}

// FuzzVCL: what is put in front changes nothing behind it, and the name comes back.
func FuzzVCL(f *testing.F) {
	for _, s := range []string{plain, ready, "/* vcl 3.0; */ vcl\n4.0\n;", "vcl 4.1", "", "# x", "vcl 4.1;", "// a\n/* b */vcl 4.0 ;sub x {}", "/*"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, vcl string) {
		at, err := afterVersion(vcl)
		if err != nil {
			return
		}
		if at > len(vcl) || !strings.HasSuffix(vcl[:at], ";") {
			t.Fatalf("%q: the version ends at %d", vcl, at)
		}
		out, err := answers{"tok": "tok.key"}.before("boot", vcl)
		if err != nil {
			t.Fatal(err)
		}
		if !strings.HasSuffix(out, vcl[at:]) {
			t.Error("what comes after is another")
		}
		if name, err := replaced(out); err != nil || name != "boot" {
			t.Errorf("it says %q, %v", name, err)
		}
	})
}

func FuzzLists(f *testing.F) {
	for _, s := range []string{`[2, ["vcl.list"], 1.2, {"status":"active","name":"x","label":{"name":"y","refs":1}}]`, "[]", "[2,0,0]", "{}", "a0 127.0.0.1 80\na1 :: 80\na2 /x -\n", "a 0.0.0.0 1\n"} {
		f.Add(s)
	}
	f.Fuzz(func(t *testing.T, text string) {
		if list, err := parseList(text); err == nil && named(list, "") != nil && len(list) == 0 {
			t.Error("an entry of nothing")
		}
		for _, addr := range parseListen(text, "node.example.test:6082") {
			if _, _, err := net.SplitHostPort(addr); err != nil {
				t.Error(err)
			}
		}
	})
}

func TestListen(t *testing.T) {
	got := strings.Join(parseListen("a0 0.0.0.0 80\na1 :: 81\na2 10.0.0.1 82\na3 /run/x -\nnonsense\na4 2001:db8::1 83\n", "node:6082"), " ")
	if want := "node:80 node:81 10.0.0.1:82 [2001:db8::1]:83"; got != want {
		t.Errorf("%s, want %s", got, want)
	}
	if got := parseListen("a0 0.0.0.0 80", "unix:/x"); len(got) != 1 || got[0] != "127.0.0.1:80" {
		t.Errorf("%s", got)
	}
}

// A peer that says nothing, or goes on for ever, ends with the time or the context.
func TestSilent(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	a, err := New(Options{Addresses: []string{l.Addr().String()}, Timeout: 50 * time.Millisecond, Dial: new(net.Dialer).DialContext})
	if err != nil {
		t.Fatal(err)
	}
	if err := a.nodes[0].bring(t.Context(), "x", nil); err == nil || !strings.Contains(err.Error(), "timeout") {
		t.Errorf("it says %v", err)
	}
	a.o.Timeout = time.Hour
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	if err := a.nodes[0].bring(ctx, "x", nil); err == nil || !strings.Contains(err.Error(), "deadline") {
		t.Errorf("it says %v", err)
	}
}
