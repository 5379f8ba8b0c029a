package hooks

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"testing"
)

func TestExitCodes(t *testing.T) {
	for _, c := range []struct {
		shell string
		code  int
		text  string
	}{
		{"exit 3", 3, "hook 'post-hook' (exit 3) reported error code 3"},
		{"kill -KILL $$", -9, "hook 'post-hook' (kill -KILL $$) reported error code -9"},
		{"kill -TERM $$", -15, "hook 'post-hook' (kill -TERM $$) reported error code -15"},
		{"/nonexist", 127, "hook 'post-hook' (/nonexist) reported error code 127"},
		{"(", 2, "hook 'post-hook' (() reported error code 2"},
	} {
		var shown []Result
		r := &Runner{Output: func(res Result) { shown = append(shown, res) }}
		res, err := r.Run(t.Context(), Command{Kind: Post, Shell: c.shell})
		f := failed(t, err)
		if res.ExitCode != c.code || f.Result.ExitCode != c.code || f.Err != nil || err.Error() != c.text || res.TimedOut {
			t.Errorf("%s: code %d, error %v", c.shell, res.ExitCode, err)
		}
		if len(shown) != 1 || shown[0].ExitCode != c.code || shown[0].Kind != Post || shown[0].Command != c.shell {
			t.Errorf("%s: shown %+v", c.shell, shown)
		}
	}
}

func TestResultSaysWhatRan(t *testing.T) {
	var log journal
	var shown Result
	r := &Runner{Log: log.logger(), Output: func(res Result) { shown = res }}
	res := run(t, r, "echo x", map[string]string{"A": "1"})
	if res.Kind != Deploy || res.Command != "echo x" || res.Env["A"] != "1" || res.Duration <= 0 || res.ExitCode != 0 {
		t.Errorf("result is %+v", res)
	}
	if shown.Stdout != "x\n" || shown.Duration != res.Duration {
		t.Errorf("shown is %+v", shown)
	}
	if !log.has("Running deploy-hook command: echo x") {
		t.Errorf("log is %s", log.b.String())
	}
}

func TestStandardInput(t *testing.T) {
	if out := run(t, &Runner{}, "readlink /proc/self/fd/0; cat", nil).Stdout; out != "/dev/null\n" {
		t.Errorf("standard input is %q", out)
	}
	long := strings.Repeat("x", 1<<20)
	for _, c := range []struct{ shell, want string }{{"cat", long}, {"true", ""}} { // the second one reads nothing
		res, err := (&Runner{MaxOutput: 2 << 20}).Run(t.Context(), Command{Kind: Pre, Shell: c.shell, Stdin: []byte(long)})
		if err != nil || res.Stdout != c.want {
			t.Errorf("%s: %d bytes, %v", c.shell, len(res.Stdout), err)
		}
	}
}

func TestFile(t *testing.T) {
	dir := t.TempDir()
	for name, text := range map[string]string{
		"with-line":             "#!/bin/sh\necho \"ran $A\"\n",
		"without-line":          "echo \"ran $A\"\n",
		"a b  c":                "echo \"ran $A\"\n",
		"$(exit 9);'\"`x`* & #": "#!/bin/sh\necho \"ran $A\"\n",
		"-e":                    "echo \"ran $A\"\n",
	} {
		path := script(t, filepath.Join(dir, name), text)
		res, err := (&Runner{}).Run(t.Context(), Command{Kind: Pre, File: path, Env: map[string]string{"A": "1"}})
		if err != nil || res.Stdout != "ran 1\n" || res.Command != path {
			t.Errorf("%s: %q, %v", name, res.Stdout, err)
		}
	}
	t.Chdir(dir) // a path without a folder is not looked for in PATH
	res, err := (&Runner{Path: "/nowhere"}).Run(t.Context(), Command{Kind: Pre, File: "with-line"})
	if err != nil || res.Stdout != "ran \n" {
		t.Errorf("relative path: %q, %v", res.Stdout, err)
	}
	res, err = (&Runner{}).Run(t.Context(), Command{Kind: Pre, File: script(t, filepath.Join(dir, "code"), "exit 7")})
	if failed(t, err); res.ExitCode != 7 {
		t.Errorf("exit code is %d", res.ExitCode)
	}
}

// The file takes the shell's place and leads a group and a session of its own, so
// that one signal reaches all that it starts.
func TestFileIsTheProcess(t *testing.T) {
	path := script(t, filepath.Join(t.TempDir(), "hook"), "#!/bin/sh\necho $$; cut -d' ' -f5,6 /proc/$$/stat\n")
	res, err := (&Runner{}).Run(t.Context(), Command{Kind: Pre, File: path})
	if err != nil {
		t.Fatal(err)
	}
	var pid, group, session int
	if _, err := fmt.Sscan(res.Stdout, &pid, &group, &session); err != nil || pid != group || pid != session {
		t.Errorf("process, group, session: %q, %v", res.Stdout, err)
	}
}

func TestHookThatCannotBeStarted(t *testing.T) {
	shown := 0
	r := &Runner{Output: func(Result) { shown++ }}
	for _, c := range []struct {
		name string
		c    Command
		is   error
		text string
	}{
		{"no command", Command{Kind: Pre}, nil, "hook 'pre-hook' (): it needs either a command or a file"},
		{"two", Command{Kind: Pre, Shell: "a", File: "b"}, nil, "hook 'pre-hook' (b): it needs either a command or a file"},
		{"too long", Command{Kind: Pre, Shell: "true " + strings.Repeat("x", 128<<10)}, syscall.E2BIG, "argument list too long"},
		{"NUL", Command{Kind: Pre, Shell: "true\x00"}, syscall.EINVAL, "invalid argument"},
	} {
		res, err := r.Run(t.Context(), c.c)
		f := failed(t, err)
		if f.Err == nil || res.ExitCode != -1 || !strings.Contains(err.Error(), c.text) || c.is != nil && !errors.Is(err, c.is) {
			t.Errorf("%s: code %d, error %.200v", c.name, res.ExitCode, err)
		}
	}
	if shown != 0 {
		t.Errorf("%d hooks that were never started have output", shown)
	}
}

func TestContextThatHasEndedStartsNothing(t *testing.T) {
	mark := filepath.Join(t.TempDir(), "mark")
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	_, err := (&Runner{}).Run(ctx, Command{Kind: Pre, Shell: "touch " + mark})
	if failed(t, err); !errors.Is(err, context.Canceled) {
		t.Errorf("error is %v", err)
	}
	if _, err := os.Stat(mark); err == nil {
		t.Error("the hook ran")
	}
}

// Hooks at the same time, of one Runner, get each its own.
func TestRunnerAtTheSameTime(t *testing.T) {
	var mu sync.Mutex
	shown := map[string]string{}
	r := &Runner{Output: func(res Result) {
		mu.Lock()
		defer mu.Unlock()
		shown[res.Env["N"]] = res.Stdout
	}}
	var wg sync.WaitGroup
	for i := range 8 {
		wg.Go(func() {
			if _, err := r.Run(t.Context(), Command{Kind: Deploy, Shell: `echo "$N"`, Env: map[string]string{"N": fmt.Sprint(i)}}); err != nil {
				t.Error(err)
			}
		})
	}
	wg.Wait()
	for i := range 8 {
		if n := fmt.Sprint(i); shown[n] != n+"\n" {
			t.Errorf("hook %s printed %q", n, shown[n])
		}
	}
}
