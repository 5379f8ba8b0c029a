package target

import (
	"context"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers/api"
)

// oven has a setting of each type.
func oven() *Kind {
	return &Kind{Name: "oven", Settings: []Setting{
		{Name: "text", Default: "plain"},
		{Name: "mode", Choices: []string{"grill", "fan"}, Env: []string{"OVEN_MODE"}},
		{Name: "path", Type: Path},
		{Name: "number", Type: Number},
		{Name: "yes", Type: Bool},
		{Name: "wait", Type: Duration, Default: "30s"},
		{Name: "token", Type: Secret, Env: []string{"OVEN_TOKEN"}},
		{Name: "list", Type: List, Default: "a,b"},
		{Name: "proof", Must: true, Proves: true, Doc: "how it is proved"},
		{Name: "place", Must: true, Installs: true, Doc: "where it is put"},
	}}
}

func nothing(string) string { return "" }

// What is said is read in its plain form, and what was not said is the default.
func TestValues(t *testing.T) {
	getenv := func(name string) string { return map[string]string{"OVEN_MODE": "fan", "OVEN_TOKEN": "s3cret"}[name] }
	v, problems := Parse(oven(), map[string][]string{
		"path": {"/a//b/../c"}, "number": {"7"}, "yes": {"TRUE"}, "list": {"x,y", ""}, "place": {"here"},
	}, getenv, false, true)
	if len(problems) > 0 {
		t.Fatal(problems)
	}
	if v.Text("text") != "plain" || v.IsSet("text") || v.Text("mode") != "fan" || !v.IsSet("mode") || v.Text("path") != "/a/c" ||
		v.Number("number") != 7 || !v.Bool("yes") || v.Duration("wait") != 30*time.Second || !slices.Equal(v.List("list"), []string{"x,y", ""}) {
		t.Errorf("%s", v)
	}
	if s, err := v.Secret("token"); err != nil || s != "s3cret" {
		t.Errorf("%q %v", s, err)
	}
	if strings.Contains(v.String(), "s3cret") || !strings.Contains(v.String(), `token=["env:OVEN_TOKEN"]`) {
		t.Errorf("%s", v)
	}
	v.List("list")[0] = "changed"
	if v.List("list")[0] != "x,y" {
		t.Error("who reads a list can change it")
	}
	v, problems = Parse(oven(), nil, nil, false, false)
	if len(problems) > 0 || v.Text("mode") != "" || v.Number("number") != 0 || v.Bool("yes") || !slices.Equal(v.List("list"), []string{"a", "b"}) {
		t.Errorf("%s %v", v, problems)
	}
	if s, err := v.Secret("token"); err != nil || s != "" {
		t.Errorf("%q %v", s, err)
	}
}

// What is wrong is said with the name of the setting, and a secret that was written out is
// not said again.
func TestProblems(t *testing.T) {
	for _, c := range []struct {
		name string
		said []string
		want string
	}{
		{"oil", []string{"x"}, "oil: oven has no such setting; possible: text, mode,"},
		{"text", []string{""}, "text: it is empty"},
		{"text", []string{"a", "b"}, "text: there are 2 values; write one"},
		{"text", nil, "text: there are 0 values"},
		{"text", []string{"a\nb"}, "text: it has a character that cannot be"},
		{"list", []string{"a\x00"}, "list: it has a character that cannot be"},
		{"mode", []string{"steam"}, `mode: "steam" is not possible; possible: grill, fan`},
		{"path", []string{"a/b"}, `path: "a/b" is not where a file can be found`},
		{"path", []string{""}, "path:"},
		{"number", []string{"-1"}, `number: "-1" is no number`},
		{"number", []string{"007"}, "is no number"},
		{"number", []string{"99999999999"}, "is no number"},
		{"yes", []string{"perhaps"}, "neither true nor false"},
		{"wait", []string{"-3s"}, "is no span of time"},
		{"wait", []string{"3"}, "is no span of time"},
		{"token", []string{"hunter2"}, "token: the secret is written out"},
		{"token", []string{"file:hunter2"}, "token: the path of the file is not absolute"},
		{"token", []string{"env:hunter-2"}, "token: this is no name of an environment variable"},
		{"mode", []string{strings.Repeat("x", 100)}, "xxx...\" is not possible"},
	} {
		_, problems := Parse(oven(), map[string][]string{c.name: c.said}, nothing, false, false)
		if len(problems) != 1 || !strings.Contains(problems[0].Error(), c.want) || strings.Contains(problems[0].Error(), "hunter") {
			t.Errorf("%s %q: %v", c.name, c.said, problems)
		}
	}
}

// What has to be there has to be there for what it is for.
func TestMust(t *testing.T) {
	for _, c := range []struct {
		proves, installs bool
		want             string
	}{{false, false, ""}, {true, false, "proof: oven needs it; how it is proved"}, {false, true, "place: oven needs it; where it is put"}, {true, true, "place: oven needs it; where it is put"}} {
		_, problems := Parse(oven(), nil, nothing, c.proves, c.installs)
		got := ""
		if len(problems) > 0 {
			got = problems[0].Error()
		}
		if got != c.want || c.proves && c.installs && len(problems) != 2 {
			t.Errorf("%v %v: %v", c.proves, c.installs, problems)
		}
	}
}

// A secret is read from a file of its own, anew each time; nothing else is taken for one.
func TestSecret(t *testing.T) {
	dir := t.TempDir()
	path := filepath.Join(dir, "token")
	k := oven()
	read := func(said string) (string, error) {
		t.Helper()
		v, problems := Parse(k, map[string][]string{"token": {said}}, nothing, false, false)
		if len(problems) > 0 {
			t.Fatal(problems)
		}
		return v.Secret("token")
	}
	write := func(text string, mode os.FileMode) {
		t.Helper()
		if err := os.WriteFile(path, []byte(text), mode); err != nil {
			t.Fatal(err)
		}
		if err := os.Chmod(path, mode); err != nil {
			t.Fatal(err)
		}
	}
	for _, text := range []string{" one \r\n", " one "} {
		write(text, 0o640)
		if s, err := read("file:" + path); err != nil || s != " one " {
			t.Errorf("%q: %q %v", text, s, err)
		}
	}
	for want, make := range map[string]func(){
		"is empty":                 func() { write("\n", 0o600) },
		"can be read by everybody": func() { write("hunter2", 0o644) },
		"is too large":             func() { write(strings.Repeat("hunter2", maxSecret), 0o600) },
	} {
		make()
		if s, err := read("file:" + path); s != "" || err == nil || !strings.Contains(err.Error(), "token of oven: "+path+" "+want) || strings.Contains(err.Error(), "hunter") {
			t.Errorf("%s: %q %v", want, s, err)
		}
	}
	for said, want := range map[string]string{"file:" + dir: "is not a file", "file:" + path + "x": "no such file", "env:NONE": "the environment variable NONE is empty"} {
		if s, err := read(said); s != "" || err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%s: %q %v", said, s, err)
		}
	}
}

func TestFlag(t *testing.T) {
	s := Setting{Name: "crt_dir"}
	if got := s.Flag("haproxy"); got != "haproxy-crt-dir" {
		t.Error(got)
	}
}

// A pause ends with its context, and is that of tests where they have one.
func TestPause(t *testing.T) {
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := (&Env{}).Pause(ctx, time.Hour); err == nil {
		t.Error("it ended without an error")
	}
	if err := (&Env{}).Pause(t.Context(), time.Nanosecond); err != nil {
		t.Error(err)
	}
}

// Services are reached over HTTPS.
func TestAPI(t *testing.T) {
	if _, err := (&Env{}).API(api.Options{Base: "gopher://x"}); err == nil {
		t.Error("a service was reached by gopher")
	}
}

// No words do harm, and what is taken is taken again as it was written.
func FuzzParse(f *testing.F) {
	for _, s := range []string{"/a/../b", "7", "true", "30s", "file:/x", "env:X", "grill", "a,b", ""} {
		f.Add("text", s)
		f.Add("path", s)
		f.Add("token", s)
	}
	f.Fuzz(func(t *testing.T, name, value string) {
		k := oven()
		v, problems := Parse(k, map[string][]string{name: {value}}, nil, false, false)
		if len(problems) > 0 {
			_ = problems[0].Error()
			return
		}
		again, problems := Parse(k, map[string][]string{name: v.List(name)}, nil, false, false)
		if len(problems) > 0 || again.String() != v.String() {
			t.Errorf("%s %q: %s, then %s %v", name, value, v, again, problems)
		}
	})
}
