package configobj

import (
	"errors"
	"math/rand/v2"
	"strings"
	"testing"
)

// texts are files with every part of the syntax, and with what is no syntax.
var texts = []string{
	"", "\n", "# c\n", "# c", "a=b", "a = b\n", "a = b # c\n", "a = b# c\n", "  a = b\n", "a\t=\tb\t\n", "a =\n", "a = # c\n", "a=\"\"\n",
	"a = 'x'\n", `a = "x"` + "\n", `a = "x" # "c"` + "\n", `a = "it's"` + "\n", `a = 'x # y'` + "\n", `a = x"y` + "\n", `a = x'y'z` + "\n",
	`a = "x` + "\n", `a = 'x` + "\n", `a = "x" y` + "\n", `a = "x", "y` + "\n", `a = "x"y"` + "\n",
	"a = ,\n", "a = x,\n", "a = x, \n", "a = x, y\n", "a = x,y # c\n", "a = x, y,\n", "a = , x\n", "a = x, , y\n", "a = x,,\n", `a = "", ""` + "\n",
	`a = "x,y", z` + "\n", `a = 'x,y' , "z" , w` + "\n", "a = x y, z#w\n", `a = "x", y"z` + "\n", "a = ,,\n", "a = x, #c\n",
	"a = '''x'''\n", "a = '''x''' # c\n", `a = """x"""` + "\n", "a = '''x\ny\n'''\nb = c\n", "a = '''x\ny''' z\n", "a = '''x\n", "a = '''x'''y\n", "a = ''''x' \"y\"''''\n",
	"a = '''\n[x]\nb = c\n'''\n", "a = '''x'y'''\n", "a = \"\"\"x'''y\nz\"\"\"  # c\n", "a = ''\n", "a = ''''\n", "a = '''''\n", "a = ''''''\n",
	"[s]\n", "[ s ]\n", "  [s]  # c\n", "[s]\na = b\n", "['s']\n", "[\"s]\"]\n", "[s]]\n", "[[s]]\n", "[s]\n[[t]]\n[[[u]]]\n[v]\n", "[s]\n[[[t]]]\n",
	"[a]\nx = 1\n[[b]]\nx = 2\n[[c]]\n[d]\n[[b]]\ny = 3\n", "[[ s ] ]\n", "[s]\n[ [ t ] ]\nx = 1\n", "[]\n", "[\"\"]\n", "[ ]\n", "[s] x\n", "[s] = x\n", "[s = ]\n", "[s\n",
	"a = 1\na = 2\n", "a = 1\n'a' = 2\n", "[s]\n[s]\n", "s = 1\n[s]\n", "[a]\n[[s]]\n[a]\n", "[a]\ns = 1\n[[s]]\n", "a = 1\n[s]\na = 1\n",
	"= x\n", "  = x\n", "x\n", "'a b' = c\n", "\"a=b\" = c\n", "a b = c\n", "'a = b\n", "'' = x\n", "a = b = c\n", "a == b\n", "'a'b = c\n", "#a = b\n", ";a = b\n",
	"\ufeffa = b\n", "\ufeff# c\n", "a = \u00e9\u4e16\n", "a\u00a0= b\u2003\n", "a = b\x0b\x1c\n", "\x0c\n", "a = b\r\nc = d\r\n", "a = '''x\r\ny'''\r\n", "a = b\rc = d\n", "a = b\r\r\n",
	"# i\n\na = 1\n# above\nb = 2 # behind\n\n# s\n[s]\n# c\nc = 3\n\n# end\n", "a = %(b)s\nb = c\n", "a = 100%\n", "a = $b\n", "a = \\\nb\n", "a = b\\\n", "a : b\n",
	"webroot_path = /var/www, /srv/www\n[[webroot_map]]\n", "[renewalparams]\n[[webroot_map]]\nexample.com = /var/www\n", "a = \x00\n", "\x00 = a\n", "a = \u2028b\n",
}

func TestReadsAsConfigObjDoes(t *testing.T) {
	o := startOracle(t)
	all := append([]string{}, texts...)
	r := rand.New(rand.NewPCG(1, 2))
	for range 6000 {
		all = append(all, generate(r))
	}
	read := 0
	for _, text := range all {
		theirs := o.ask(question{Do: "read", Text: text})
		d, err := Parse([]byte(text))
		if theirs.Error != "" {
			var s *SyntaxError
			if !errors.As(err, &s) || s.Line != theirs.Line {
				t.Errorf("%q: %v; ConfigObj: line %d: %s", text, err, theirs.Line, theirs.Error)
			}
			continue
		}
		if err != nil {
			t.Errorf("%q: %v; ConfigObj reads it", text, err)
			continue
		}
		read++
		if got, want := asJSON(t, treeOf(d.Root())), asJSON(t, theirs.Tree); got != want {
			t.Errorf("%q:\n got %s\nwant %s", text, got, want)
		}
		if got := string(d.Bytes()); got != text {
			t.Errorf("%q comes back as %q", text, got)
		}
	}
	if read < 1000 {
		t.Errorf("only %d of %d texts could be read: they show little", read, len(all))
	}
}

// generate makes a file of pieces that mean something to the grammar.
func generate(r *rand.Rand) string {
	pieces := []string{"a", "b", "key", " ", "  ", "=", " = ", ",", ", ", "#", " # c", "'", "\"", "'''", "\"\"\"", "[", "]", "[s]", "[[t]]", "\n", "\n", "\nk = ", "\n[",
		"]\n", "x", "/var/www", "\t", "\r\n", "%(a)s", "\u00a0", "\u00e9", "\x0b", "'x'", "\"x\"", "x,y", "\x1f"}
	var b strings.Builder
	for range 1 + r.IntN(14) {
		b.WriteString(pieces[r.IntN(len(pieces))])
	}
	return b.String()
}
