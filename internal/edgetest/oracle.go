package edgetest

import (
	"bufio"
	"encoding/json"
	"io"
	"os"
	"os/exec"
	"testing"
)

// Python is Debian's, which has certbot's modules; another one on PATH may not.
const Python = "/usr/bin/python3"

// Oracle is a program in Python that asks certbot's own code. It reads a question
// a line and prints an answer a line, in JSON.
type Oracle struct {
	in  io.WriteCloser
	out *bufio.Reader
}

// StartOracle starts python3 with arguments: a script's file, or -c and a script.
// It ends with the test.
func StartOracle(t testing.TB, args ...string) *Oracle {
	t.Helper()
	cmd := exec.Command(Python, args...)
	cmd.Env = append(os.Environ(), "PYTHONDONTWRITEBYTECODE=1", "LC_ALL=C.UTF-8")
	cmd.Stderr = os.Stderr
	in, err := cmd.StdinPipe()
	if err != nil {
		t.Fatal(err)
	}
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatalf("%v; install it: apt-get install certbot", err)
	}
	t.Cleanup(func() {
		in.Close()
		if err := cmd.Wait(); err != nil {
			t.Errorf("the oracle: %v; is certbot installed?", err)
		}
	})
	return &Oracle{in, bufio.NewReader(out)}
}

// Ask asks one question and reads the answer into *answer.
func (o *Oracle) Ask(t testing.TB, question, answer any) {
	t.Helper()
	data, err := json.Marshal(question)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := o.in.Write(append(data, '\n')); err != nil {
		t.Fatal(err)
	}
	line, err := o.out.ReadBytes('\n')
	if err != nil {
		t.Fatalf("the oracle says nothing: %v; is certbot installed?", err)
	}
	if err := json.Unmarshal(line, answer); err != nil {
		t.Fatalf("the oracle says %.200q: %v", line, err)
	}
}
