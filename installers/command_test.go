package installers

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

// What Exec runs has the environment that was given and no other, reads what was given,
// and its streams and exit code are told apart.
func TestExec(t *testing.T) {
	in, out, err := os.Pipe()
	if err != nil {
		t.Fatal(err)
	}
	defer in.Close()
	if _, err := out.WriteString("from stdin\n"); err != nil {
		t.Fatal(err)
	}
	out.Close()
	script := `read line; echo "$line $domain $(env | grep -c '^HOME=')"; echo more >&2; exit 3`
	said, err := Exec(t.Context(), Program{Argv: []string{"/bin/sh", "-c", script}, Env: []string{"domain=a.test"}, Stdin: in})
	if err != nil || said != (Said{Stdout: "from stdin a.test 0", Stderr: "more", Code: 3}) {
		t.Errorf("%+v %v", said, err)
	}
	said, err = Exec(t.Context(), Program{Argv: []string{"/bin/sh", "-c", `read line || echo nothing`}})
	if err != nil || said.Stdout != "nothing" {
		t.Errorf("without stdin: %+v %v", said, err)
	}
	said, err = Exec(t.Context(), Program{Argv: []string{"/bin/sh", "-c", `head -c 300000 /dev/zero | tr '\0' x`}})
	if err != nil || len(said.Stdout) != maxOutput {
		t.Errorf("much output: %d bytes, %v", len(said.Stdout), err)
	}
	if _, err := Exec(t.Context(), Program{Argv: []string{"/no/such/program"}}); !errors.Is(err, os.ErrNotExist) {
		t.Errorf("a program that is not there: %v", err)
	}
	if _, err := Exec(t.Context(), Program{Argv: []string{"/bin/sh", "-c", "kill -9 $$"}}); err == nil {
		t.Error("a program that was killed is said to have ended")
	}
	if _, err := Exec(t.Context(), Program{}); err == nil {
		t.Error("nothing was run")
	}
}

// When the time is over, nothing of it goes on.
func TestExecKillsAll(t *testing.T) {
	pids := filepath.Join(t.TempDir(), "pids")
	ctx, cancel := context.WithCancelCause(t.Context())
	go func() {
		for ctx.Err() == nil {
			if b, _ := os.ReadFile(pids); strings.Count(string(b), "\n") == 2 {
				cancel(errors.New("over"))
			}
			time.Sleep(time.Millisecond)
		}
	}()
	_, err := Exec(ctx, Program{Argv: []string{"/bin/sh", "-c", `echo $$ >> "$0"; sh -c 'echo $$ >> "$0"; sleep 600' "$0" & wait`, pids}})
	if err == nil || !strings.Contains(err.Error(), "over") {
		t.Errorf("%v", err)
	}
	b, err := os.ReadFile(pids)
	if err != nil {
		t.Fatal(err)
	}
	deadline := time.Now().Add(10 * time.Second)
	for pid := range strings.FieldsSeq(string(b)) {
		for running(pid) {
			if time.Now().After(deadline) {
				t.Fatalf("%s goes on", pid)
			}
			time.Sleep(time.Millisecond)
		}
	}
}

// running reports whether there is a process which is no zombie.
func running(pid string) bool {
	b, err := os.ReadFile("/proc/" + pid + "/stat")
	fields := strings.Fields(string(b))
	return err == nil && len(fields) > 2 && !slices.Contains([]string{"Z", "X"}, fields[2])
}
