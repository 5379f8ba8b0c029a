package display

import (
	"math/rand/v2"
	"strings"
)

var long = "A text that is longer than a line of a terminal has to be broken at a blank, but https://example.org/" +
	strings.Repeat("x", 90) + " must not be, nor names-with-hyphens-in-them-that-go-on-for-quite-a-while,   and blanks vanish where a line ends."

func displayQuestions() []question {
	opt := func(kv ...any) map[string]any {
		m := map[string]any{"force_interactive": true}
		for i := 0; i < len(kv); i += 2 {
			m[kv[i].(string)] = kv[i+1]
		}
		return m
	}
	yesno := func(stdin string, o map[string]any) question {
		return question{Kind: "yesno", Message: "Shall it be?\n\n" + long, Yes: "Update certificate", No: "Cancel", Options: o, Stdin: stdin}
	}
	menu := func(stdin string, n int, o map[string]any) question {
		q := question{Kind: "menu", Message: "Which\n" + long, Options: o, Stdin: stdin}
		for range n {
			q.Choices = append(q.Choices, "choice "+long)
		}
		return q
	}
	list := func(stdin string, o map[string]any) question {
		return question{Kind: "checklist", Message: "Which\n" + long, Tags: []string{"a.example.org", "b.example.org", "c\u00e4 " + long, "d"}, Options: o, Stdin: stdin}
	}
	tagged := question{Kind: "menu", Message: "Which?", Choices: []any{[]string{"1", "one"}, []string{"tag", "the 'other'"}}, Options: opt(), Stdin: "2\n"}
	all := []question{
		{Kind: "notify", Message: long}, {Kind: "notify", Message: long + "\n\n  " + long + "\n", Frame: true},
		{Kind: "notify", Message: "", Frame: true}, {Kind: "notify", Message: "a\tb\n\tc " + long, Frame: true}, {Kind: "notify", Message: "   " + strings.Repeat("y", 99), Frame: true},
		{Kind: "notify", Message: strings.Repeat("\u00fc ", 70) + "\n    \n" + strings.Repeat("z", 80) + " a", Frame: true},
		{Kind: "listing", Message: long + "\n  " + long}, {Kind: "pause", Message: long}, {Kind: "pause", Message: "Look:", Force: true, Stdin: "\n"},
		tagged,
	}
	random := rand.New(rand.NewPCG(1, 2))
	pieces := []string{" ", "  ", "\t", "\n", "-", "word", "\u00fcber", "a-b", ",", strings.Repeat("long", 7), strings.Repeat("longer", 14)}
	for range 200 {
		var b strings.Builder
		for range random.IntN(60) {
			b.WriteString(pieces[random.IntN(len(pieces))])
		}
		all = append(all, question{Kind: "notify", Message: b.String(), Frame: true})
	}
	for _, in := range []string{"a\n", "", "c\n", "C\n", "cancel\n", " two words \n", "\n", "no newline", "a\r\nb\n", "\u00fc\n"} {
		all = append(all, question{Kind: "input", Message: long, Options: opt(), Stdin: in},
			question{Kind: "input", Message: "Name\n", Options: map[string]any{"default": "dflt"}, Stdin: in},
			question{Kind: "input", Message: "Name\n", Options: map[string]any{"default": "dflt"}, Stdin: in, Force: true})
	}
	for _, in := range []string{"y\n", "u\n", "U\n", "Update\n", "\n\nx\n u\nc\n", "Cancel it\n", "u", "", "x\n"} {
		all = append(all, yesno(in, opt()), yesno(in, opt("default", true)), yesno(in, map[string]any{"default": false}))
	}
	for _, in := range []string{"1\n", "2\n", "3\n", "0\n-1\n\n 2 \n", "+1\n", "01\n", "2.0\nx\n1e0\nc\n", "C\n", "", "1 2\nx1\n", "99999999999999999999\n1\n", "1\r\n"} {
		all = append(all, menu(in, 3, opt()), menu(in, 1, opt()), menu(in, 2, map[string]any{"default": 0}), menu(in, 2, opt("default", 1)))
	}
	for _, in := range []string{"\n", "  \n", "1\n", "2,1\n", "1 2\n", "1,, 3 ,\n", "1-2\n5\n4\n", "0\n\n", "c\n", "C\n", "", "2,2\n", ",\n1\n", "a\n2", "1, 2, 3, 4\n", "+3\n"} {
		all = append(all, list(in, opt()), list(in, map[string]any{"default": []string{"x"}}), list(in, opt("default", []string{"x"})))
	}
	return all
}

func dialogQuestions() []question {
	var all []question
	for _, in := range []string{"me@example.org\n", "\nme@example.org\n", "x\nme@example\n", "me@@x\n\n.me@x.org\nm..e@x.org\n\u00fc@x.org\nme@x.org\n", "c\n", "", "x\nc\n"} {
		for _, flags := range [][2]bool{{false, false}, {false, true}, {true, false}, {true, true}} {
			all = append(all, question{Kind: "email", Invalid: flags[0], Optional: flags[1], Stdin: in})
		}
	}
	for _, s := range []string{"a@b", "a.b@c.org", "a@b.org\u00fc", "@x", "a@", "x a@b", "a@b c", "-@-", "a%b+c_d@1.2"} {
		all = append(all, question{Kind: "valid-email", Message: s})
	}
	for _, in := range []string{"y\n", "n\n", ""} {
		all = append(all, question{Kind: "tos", URL: "https://ca.example/" + strings.Repeat("terms/", 20), Stdin: in})
	}
	slugs := []string{"host@2026-11-23T09:05:38Z (a22f)", "other@2020-01-01T00:00:00Z (ffff)"}
	names := []string{"www.example.org", "example.org", "b.example.net", "a.example.net", "c.com", "a.b.example.net"}
	for _, in := range []string{"2\n", "1\n"} {
		all = append(all, question{Kind: "account", Tags: slugs, Stdin: in})
	}
	for _, in := range []string{"\n", "1\n", "2, 3\n", "6\n", "c\nx\n"} {
		all = append(all, question{Kind: "values", Message: "Which?", Tags: names, Stdin: strings.ReplaceAll(in, "c\nx\n", "1\n")},
			question{Kind: "certs", Verb: "delete", Multiple: true, Tags: names, Stdin: in},
			question{Kind: "certs", Verb: "enhance", Tags: names, Stdin: in},
			question{Kind: "certs", Verb: "enhance", Message: "Which certificate would you like to use to enhance your configuration?", Tags: names, Stdin: in},
			question{Kind: "certs", Verb: "delete", Multiple: in != "\n", Stdin: in})
		if in != "c\nx\n" {
			all = append(all, question{Kind: "names", Tags: append([]string{"bad..name"}, names...), Stdin: in},
				question{Kind: "names", Tags: names, Message: "Pick", Stdin: in})
		}
	}
	for _, in := range []string{"Example.org, www.example.org.\n", "a b,c\n", "b\u00fc.org a..b ok.org\nn\n", "a..b\ny\nok.org\n", ""} {
		all = append(all, question{Kind: "names", Stdin: in})
	}
	return append(all, lineageQuestions(names)...)
}

func lineageQuestions(names []string) []question {
	var all []question
	plugins := []plugin{{Name: "nginx", Description: "Nginx Web Server plugin", Problem: "Error while running nginx -c /etc/nginx/nginx.conf -t.\n\n" + long},
		{Name: "standalone", Description: "Spin up a temporary webserver"}, {Name: "webroot", Description: "Place files in webroot directory"}}
	for _, in := range []string{"u\n", "c\n", "e\n", "y\n", "n\n", "k\n", "d\n", "a\n", "r\n", "1\n", "2\n"} {
		for _, force := range []bool{true, false} {
			all = append(all,
				question{Kind: "new-names", Lineage: "site", Existing: names[:3], Requested: names[1:], Stdin: in, Force: force},
				question{Kind: "new-names", Lineage: "site", Existing: names, Requested: names[:1], Stdin: in, Force: force},
				question{Kind: "key-type", Lineage: "site", From: "RSA", To: "ECDSA", Stdin: in, Force: force},
				question{Kind: "delete", Tags: names, Stdin: in, Force: force},
				question{Kind: "delete-revoked", Stdin: in, Force: force},
				question{Kind: "deactivate", Stdin: in, Force: force},
				question{Kind: "expand", Conf: "/etc/letsencrypt/renewal/site.conf", Existing: names[:2], Requested: names, Command: "certbot certonly -d a --webroot", Stdin: in, Force: force},
				question{Kind: "identical", Conf: "/etc/letsencrypt/renewal/site.conf", Verb: "run", Existing: names, Stdin: in, Force: force},
				question{Kind: "identical", Conf: "/etc/letsencrypt/renewal/site.conf", Verb: "certonly", Existing: names, Stdin: in, Force: force})
		}
	}
	for _, in := range []string{"2\n", "1\n3\n", ""} {
		all = append(all, question{Kind: "plugin", Message: AskAuthenticator, Plugins: plugins, Stdin: in})
	}
	for _, in := range []string{"1\n/srv/new\n", "2\n", "1\nc\n3\n", "c\n", "1\n/nowhere\n/srv\n", "/nowhere\n/srv\n", ""} {
		all = append(all, question{Kind: "webroot", Name: "example.org", Tags: []string{"/srv/a", "/srv/b"}, Stdin: in},
			question{Kind: "webroot", Name: "example.org", Tags: []string{}, Stdin: in})
	}
	return all
}

func nonInteractiveQuestions() []question {
	flag := map[string]any{"cli_flag": "--flag"}
	all := []question{
		{Kind: "notify", Message: long, Frame: true}, {Kind: "pause", Message: long},
		{Kind: "input", Message: long, Options: flag}, {Kind: "input", Message: "x"}, {Kind: "input", Message: "x", Options: map[string]any{"default": "d"}},
		{Kind: "yesno", Message: long, Yes: "Yes", No: "No", Options: flag}, {Kind: "yesno", Message: "x", Yes: "Yes", No: "No", Options: map[string]any{"default": true}},
		{Kind: "menu", Message: long, Choices: []any{"one", "it's", `"q"`, `b\s "both'`}, Options: flag},
		{Kind: "menu", Message: "x", Choices: []any{[]string{"t", "text"}, []string{"u", "it's"}}}, {Kind: "menu", Message: "x", Choices: []any{"one"}, Options: map[string]any{"default": 0}},
		{Kind: "checklist", Message: long, Tags: []string{"a", "b"}, Options: flag}, {Kind: "checklist", Message: "x", Tags: []string{"a"}, Options: map[string]any{"default": []string{"a"}}},
		{Kind: "email", Optional: true}, {Kind: "tos", URL: "https://ca.example/terms"},
		{Kind: "names", Tags: []string{"a.example.org"}}, {Kind: "names"},
		{Kind: "certs", Verb: "delete", Multiple: true, Tags: []string{"a", "b"}}, {Kind: "certs", Verb: "install", Tags: []string{"a", "b"}},
		{Kind: "delete", Tags: []string{"a"}}, {Kind: "delete-revoked"}, {Kind: "deactivate"},
		{Kind: "new-names", Lineage: "site", Existing: []string{"a"}, Requested: []string{"b"}},
		{Kind: "expand", Conf: "/x.conf", Existing: []string{"a"}, Requested: []string{"a", "b"}, Command: "certbot certonly"},
		{Kind: "identical", Conf: "/x.conf", Verb: "run", Existing: []string{"a"}},
		{Kind: "key-type", Lineage: "site", From: "RSA", To: "ECDSA"},
		{Kind: "webroot", Name: "example.org", Tags: []string{"/srv/a"}},
	}
	for i := range all {
		all[i].NonInteractive = true
	}
	return all
}
