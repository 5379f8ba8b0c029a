package conf

import (
	"errors"
	"strings"
	"testing"
)

// edited does something to a file and returns its new bytes.
func edited(t *testing.T, src string, do func(f *File, e *Edits)) string {
	t.Helper()
	f := mustParse(t, src)
	var e Edits
	do(f, &e)
	next, err := f.With(&e)
	if err != nil {
		t.Fatalf("%v in %q", err, src)
	}
	if f.Src != src {
		t.Errorf("the original changed to %q", f.Src)
	}
	return next.Src
}

// Each operation, in the layouts that people use. In the sources and results is s a
// block, x the directive that it is about.
func TestEdits(t *testing.T) {
	block := func(op func(*Edits, *Block, string), text string) func(*testing.T, *File, *Edits) {
		return func(t *testing.T, f *File, e *Edits) { op(e, find(t, f, "s").Block, text) }
	}
	at := func(op func(*Edits, *Directive, string), text string) func(*testing.T, *File, *Edits) {
		return func(t *testing.T, f *File, e *Edits) { op(e, find(t, f, "x"), text) }
	}
	x := func(op func(*Edits, *Directive)) func(*testing.T, *File, *Edits) {
		return func(t *testing.T, f *File, e *Edits) { op(e, find(t, f, "x")) }
	}
	root := func(op func(*Edits, *Block, string), text string) func(*testing.T, *File, *Edits) {
		return func(t *testing.T, f *File, e *Edits) { op(e, f.Root, text) }
	}
	const nested = "if ($a) {\n    b \"1\n  2\";\n        c;\n}\n"
	for _, c := range []struct {
		do        func(*testing.T, *File, *Edits)
		src, want string
	}{
		{block((*Edits).InsertLast, "n;"), "s {\n\ta;\n}\n", "s {\n\ta;\n\tn;\n}\n"},
		{block((*Edits).InsertLast, "n; # c"), "s {\r\n  a;\r\n}\r\n", "s {\r\n  a;\r\n  n; # c\r\n}\r\n"},
		{block((*Edits).InsertLast, "n;"), "s {\n}", "s {\n    n;\n}"},
		{block((*Edits).InsertLast, "n;"), "s {}", "s { n;}"},
		{block((*Edits).InsertLast, "n; # c"), "s {}", "s {\n    n; # c\n}"},
		{block((*Edits).InsertLast, "n;"), "s { a; }", "s { a; n; }"},
		{block((*Edits).InsertLast, "n; # c"), "  s { a; }\n", "  s { a; \n      n; # c\n  }\n"},
		{block((*Edits).InsertLast, "n;"), "s {\n  a; }", "s {\n  a; \n  n;\n}"},
		{block((*Edits).InsertLast, "n;"), "h {\n  s {\n    # c\n  }\n}", "h {\n  s {\n    # c\n    n;\n  }\n}"},
		{block((*Edits).InsertLast, nested), "h {\r\n\ts {\r\n\t}\r\n}", "h {\r\n\ts {\r\n\t\tif ($a) {\r\n\t\t\tb \"1\n  2\";\r\n\t\t\t\tc;\r\n\t\t}\r\n\t}\r\n}"},
		{block((*Edits).InsertFirst, "n;"), "s {\n  a;\n}", "s {\n  n;\n  a;\n}"},
		{block((*Edits).InsertFirst, "n;"), "s { # c\n  a;\n}", "s { # c\n  n;\n  a;\n}"},
		{block((*Edits).InsertFirst, "n;"), "s {a;}", "s { n;a;}"},
		{block((*Edits).InsertFirst, "n;\nm;"), "s {a;}", "s {\n    n;\n    m;\n    a;}"},
		{block((*Edits).InsertFirst, "n;\nm;"), "s {}", "s {\n    n;\n    m;\n}"},
		{block((*Edits).InsertFirst, "n;"), "s\n{\n a; }", "s\n{\n n;\n a; }"},
		{block((*Edits).InsertFirst, "n;"), "s {\n\n\n}", "s {\n    n;\n\n\n}"},
		{root((*Edits).InsertLast, "n {\n    m;\n}"), "a;\n", "a;\nn {\n    m;\n}\n"},
		{root((*Edits).InsertLast, "n;"), "a; # c", "a; # c\nn;"},
		{root((*Edits).InsertLast, "n;"), "", "n;\n"},
		{root((*Edits).InsertFirst, "# n"), "a;", "# n\na;"},
		{at((*Edits).InsertBefore, "n;"), "s {\n  x; # c\n}", "s {\n  n;\n  x; # c\n}"},
		{at((*Edits).InsertBefore, "n;"), "s {\n  a;\n\t\tx;\n}", "s {\n  a;\n\t\tn;\n\t\tx;\n}"},
		{at((*Edits).InsertBefore, "n;"), "s { x; }", "s { n; x; }"},
		{at((*Edits).InsertBefore, "n; # c"), "s { x; }", "s { \n    n; # c\n    x; }"},
		{at((*Edits).InsertAfter, "n;"), "s {\n  x a\n    b; # c\n}", "s {\n  x a\n    b; # c\n  n;\n}"},
		{at((*Edits).InsertAfter, "n;"), "x;", "x;\nn;"},
		{at((*Edits).InsertAfter, "n;"), "s { x; }", "s { x; n; }"},
		{at((*Edits).InsertAfter, "n; # c"), "s { x; y; }", "s { x;\n    n; # c\n     y; }"},
		{x((*Edits).Remove), "s {\n  a;\n  x;\n  b;\n}", "s {\n  a;\n  b;\n}"},
		{x((*Edits).Remove), "s {\r\n  x {\r\n y; }\r\n}\r\n", "s {\r\n}\r\n"},
		{x((*Edits).Remove), "  x; # c\n", "  # c\n"},
		{x((*Edits).Remove), "  x;  b;\n", "  b;\n"},
		{x((*Edits).Remove), "a;  x;\n", "a;\n"},
		{x((*Edits).Remove), "s { x; }", "s { }"},
		{x((*Edits).Remove), "a;\nx;", "a;\n"},
		{x((*Edits).Remove), "a;x;b;", "a;b;"},
		{x((*Edits).RemoveLine), "a;\n  x; # c\nb;", "a;\nb;"},
		{x((*Edits).RemoveLine), "a; x; # c\nb;", "a;\nb;"},
		{x((*Edits).RemoveLine), "a;\nx;\n# c", "a;\n# c"},
		{at((*Edits).CommentOut, ""), "  x a; # c\n", "  # x a; # c\n"},
		{at((*Edits).CommentOut, "duplicated in F"), "  x a;\n", "  # x a; # duplicated in F\n"},
		{at((*Edits).CommentOut, "n"), "a;x;b;", "a;# x; # n\nb;"},
		{at((*Edits).CommentOut, ""), "s { x; }", "s { # x;\n     }"},
		{at((*Edits).CommentOut, ""), "x 'a\n  b' {\r\n  y; # c\r\n}\r\nb;", "# x 'a\n#   b' {\r\n#   y; # c\r\n# }\r\nb;"},
		{at((*Edits).Replace, "n a;"), "s {\n  x 'b' { c; } # d\n}", "s {\n  n a; # d\n}"},
		{at((*Edits).Replace, "n; # c"), "s { x; }", "s { n; # c\n     }"},
		{at((*Edits).Replace, nested), "s {\n\tx;\n}", "s {\n\tif ($a) {\n\t\tb \"1\n  2\";\n\t\t\tc;\n\t}\n}"},
		{func(t *testing.T, f *File, e *Edits) { e.ReplaceWord(find(t, f, "x"), 1, "n m") }, "x 'a' b;", `x "n m" b;`},
		{func(t *testing.T, f *File, e *Edits) { e.ReplaceWord(find(t, f, "x"), 1, "n") }, "x 'a')b;", "x n )b;"},
		{func(t *testing.T, f *File, e *Edits) { e.ReplaceWord(find(t, f, "x"), 0, "y") }, "x{}", "y{}"},
		{func(t *testing.T, f *File, e *Edits) { e.RemoveWord(find(t, f, "x"), 1) }, "x  a b;", "x b;"},
		{func(t *testing.T, f *File, e *Edits) { e.RemoveWord(find(t, f, "x"), 2) }, "x a\n  b;", "x a;"},
		{func(t *testing.T, f *File, e *Edits) { e.RemoveWord(find(t, f, "x"), 2) }, "x a # c\n  b;", "x a # c\n  ;"},
		{func(t *testing.T, f *File, e *Edits) { e.RemoveWord(find(t, f, "x"), 1) }, "x 'a')b;", "x )b;"},
		{func(t *testing.T, f *File, e *Edits) { e.AddWord(find(t, f, "x"), "n;") }, "x 'a' # c\n;", "x 'a' \"n;\" # c\n;"},
		{func(t *testing.T, f *File, e *Edits) { e.Duplicate(find(t, f, "x"), func(*Edits) {}) }, "h {\n  x {\n   a; } # c\n}", "h {\n  x {\n   a; } # c\n  x {\n   a; }\n}"},
		{func(t *testing.T, f *File, e *Edits) { e.DuplicateLast(find(t, f, "x"), func(*Edits) {}) }, "h {\n  x {\n   a; } # c\n  y;\n}", "h {\n  x {\n   a; } # c\n  y;\n  x {\n   a; }\n}"},
		{func(t *testing.T, f *File, e *Edits) { e.DuplicateLast(find(t, f, "x"), func(*Edits) {}) }, "x {}\ny;", "x {}\ny;\nx {}"},
		{func(t *testing.T, f *File, e *Edits) { e.Duplicate(find(t, f, "x"), func(*Edits) {}) }, "h { x {a;} }", "h { x {a;}\n    x {a;}\n     }"},
		{func(t *testing.T, f *File, e *Edits) { e.Duplicate(find(t, f, "x"), func(*Edits) {}) }, "x {}", "x {}\nx {}"},
	} {
		got := edited(t, c.src, func(f *File, e *Edits) { c.do(t, f, e) })
		if got != c.want {
			t.Errorf("%q became\n%q, want\n%q", c.src, got, c.want)
		}
	}
}

// What an installer does to a server block, at once.
func TestEditsCompose(t *testing.T) {
	src := `http {
    server {
        listen 80 default_server;
        listen 443 ssl reuseport; # old
        server_name _;
        ssl_certificate "/old/a b.pem";
        location / { return 200; }
    }
}
`
	f := mustParse(t, src)
	server := find(t, f, "server")
	listens := server.Block.Items[:2]
	var e Edits
	e.Remove(listens[0].(*Directive))
	e.RemoveWord(listens[1].(*Directive), 3)
	e.ReplaceWord(find(t, f, "ssl_certificate"), 1, "/new/b.pem")
	e.InsertAfter(find(t, f, "ssl_certificate"), Line("ssl_certificate_key", "/new/b.key"))
	e.InsertLast(server.Block, "include tls; # managed")
	e.InsertLast(server.Block, "ssl_dhparam dh; # managed")
	e.InsertBefore(listens[0].(*Directive), "# first")
	e.InsertFirst(server.Block, "if ($host = a) {\n    return 301 https://$host$request_uri;\n} # managed")
	e.Duplicate(server, func(copy *Edits) {
		copy.RemoveWord(listens[0].(*Directive), 2)
		copy.RemoveLine(listens[1].(*Directive))
		copy.Replace(find(t, f, "server_name"), "server_name n.test;")
		copy.Remove(find(t, f, "ssl_certificate"))
	})
	want := `http {
    server {
        if ($host = a) {
            return 301 https://$host$request_uri;
        } # managed
        # first
        listen 443 ssl; # old
        server_name _;
        ssl_certificate /new/b.pem;
        ssl_certificate_key /new/b.key;
        location / { return 200; }
        include tls; # managed
        ssl_dhparam dh; # managed
    }
    server {
        listen 80;
        server_name n.test;
        location / { return 200; }
    }
}
`
	next, err := f.With(&e)
	if err != nil {
		t.Fatal(err)
	}
	if next.Src != want {
		t.Errorf("got\n%s", next.Src)
	}
}

// Edits that would undo each other, or make something else of the file, are refused.
func TestEditsRefused(t *testing.T) {
	src := "s {\n  x a b;\n  y { z; }\n}\nx_by_lua_block { }"
	for name, do := range map[string]func(*File, *Edits){
		"twice":         func(f *File, e *Edits) { e.Remove(find(t, f, "x")); e.Remove(find(t, f, "x")) },
		"comment twice": func(f *File, e *Edits) { e.CommentOut(find(t, f, "x"), ""); e.CommentOut(find(t, f, "x"), "") },
		"two ways":      func(f *File, e *Edits) { e.CommentOut(find(t, f, "x"), ""); e.Replace(find(t, f, "x"), "n;") },
		"word":          func(f *File, e *Edits) { e.ReplaceWord(find(t, f, "x"), 1, "n"); e.RemoveWord(find(t, f, "x"), 1) },
		"word gone":     func(f *File, e *Edits) { e.AddWord(find(t, f, "x"), "n"); e.Remove(find(t, f, "x")) },
		"inside": func(f *File, e *Edits) {
			e.InsertLast(find(t, f, "s").Block, "n;\nm;")
			e.CommentOut(find(t, f, "s"), "")
		},
		"around":        func(f *File, e *Edits) { e.Remove(find(t, f, "s")); e.Remove(find(t, f, "z")) },
		"first in gone": func(f *File, e *Edits) { e.InsertFirst(find(t, f, "y").Block, "n;"); e.Remove(find(t, f, "y")) },
		"no directive":  func(f *File, e *Edits) { e.InsertLast(f.Root, "\n") },
		"half":          func(f *File, e *Edits) { e.InsertLast(f.Root, "n") },
		"open":          func(f *File, e *Edits) { e.Replace(find(t, f, "x"), "n {") },
		"note":          func(f *File, e *Edits) { e.CommentOut(find(t, f, "x"), "a\nb") },
		"Lua":           func(f *File, e *Edits) { e.InsertLast(find(t, f, "x_by_lua_block").Block, "n;") },
		"out of a copy": func(f *File, e *Edits) {
			e.Duplicate(find(t, f, "y"), func(copy *Edits) { copy.Remove(find(t, f, "x")) })
		},
		"long": func(f *File, e *Edits) { e.CommentOut(find(t, f, "x"), strings.Repeat("n", tokenLimit)) },
		"copy of another": func(f *File, e *Edits) {
			e.Duplicate(find(t, f, "y"), func(copy *Edits) { copy.Remove(find(t, mustParse(t, src), "z")) })
		},
	} {
		f := mustParse(t, src)
		var e Edits
		do(f, &e)
		if next, err := f.With(&e); err == nil {
			t.Errorf("%s: became %q", name, next.Src)
		} else if (name == "twice" || name == "inside") && !errors.Is(err, errOverlap) {
			t.Errorf("%s: %v", name, err)
		}
	}
}
