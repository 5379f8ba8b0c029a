package apache

import (
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"syscall"
	"testing"
	"time"

	"edge"
	"edge/installers"
	"edge/internal/durable"
)

// bench is a running server that is installed on, or asked for answers, time and again:
// whatever happens, it is as before afterwards.
type bench struct {
	*server
	op      string
	request installers.Request
	before  map[string]string
	steps   int // that the operation takes when all goes well
	broken  int // times that a dead run left something that httpd does not accept
}

// newBench also counts the steps.
func newBench(t *testing.T, op string) *bench {
	t.Helper()
	b := &bench{server: debianTree(t, map[string]string{"two.conf": twoSites}).live(t), op: op}
	b.prepareRequest(certificate(t, b.dir+"/le/live/a", "a.example.test", "b.example.test"))
	b.before = snapshot(t, b.root)
	r := b.runner()
	r.Durable.Before = func(durable.Step, string) error { b.steps++; return nil }
	for range 2 { // the first one makes folders that stay
		b.steps = 0
		if err := b.do(t.Context(), r); err != nil {
			t.Fatal(err)
		}
		if op == "install" && len(b.shows(t, "a.example.test")) != 2 {
			t.Error("it is not installed")
		}
		b.checkBack(t, "all went well")
	}
	return b
}

func (b *bench) prepareRequest(cert installers.Certificate) {
	b.request = b.server.request(cert, "a.example.test", "b.example.test")
	b.request.Enhance.Redirect = true
}

// do installs, or gives answers and takes them back.
func (b *bench) do(ctx context.Context, r *installers.Runner) error {
	if b.op == "install" {
		p, err := b.Plan(ctx, b.request)
		if err != nil {
			return err
		}
		_, err = r.Apply(ctx, b.server, p, b.request)
		return err
	}
	a := b.Authenticator(AuthenticatorOptions{Runner: r, HTTPPort: b.httpPort, HTTPSPort: b.tlsPort, ConfigDir: b.dir + "/le", WorkDir: b.dir + "/work"})
	var batch []edge.Answer
	for _, name := range []string{"b.example.test", "unknown.example.test"} {
		batch = append(batch, edge.Answer{Type: edge.HTTP01, Identifier: edge.Identifier{Type: edge.DNS, Value: name}, Token: "tok-" + name[:1], KeyAuth: "tok-" + name[:1] + ".abc"})
	}
	if err := a.Present(ctx, batch); err != nil {
		return err
	}
	return a.Cleanup(ctx, batch)
}

// checkBack has the next run recover, and wants everything to be as before.
func (b *bench) checkBack(t *testing.T, when string) {
	t.Helper()
	if err := b.Test(t.Context()); err != nil {
		b.broken++
	}
	r := b.runner()
	done, err := r.Recover(t.Context(), find(b.server))
	if err != nil {
		t.Fatalf("%s: %v", when, err)
	}
	for _, d := range done {
		if d.Err != nil {
			t.Errorf("%s: %v", when, d.Err)
		}
	}
	if left, err := r.Checkpoints(); err != nil || len(left) > 0 && b.op == "challenge" {
		t.Fatalf("%s: %v %v", when, left, err)
	} else if len(left) > 0 { // it was done already
		if _, err := r.Rollback(t.Context(), len(left), find(b.server), false); err != nil {
			t.Fatalf("%s: %v", when, err)
		}
	}
	same(t, b.before, snapshot(t, b.root))
	if err := b.Test(t.Context()); err != nil {
		t.Errorf("%s, recovered: %v", when, err)
	}
	if answer, body := b.get(t, "a.example.test", "/"); answer.StatusCode != 200 || body != "hello\n" {
		t.Errorf("%s: %d %q", when, answer.StatusCode, body)
	}
	for _, pattern := range []string{"le/options*", "le/.*", "le/*challenge*", "work/http_challenges/*", "work/temp_checkpoint", "work/IN_PROGRESS"} {
		if left, err := filepath.Glob(filepath.Join(b.dir, pattern)); err != nil || len(left) > 0 {
			t.Errorf("%s: left behind: %q, %v", when, left, err)
		}
	}
	if t.Failed() {
		t.FailNow() // the steps after it would only say the same
	}
}

// sample are numbers of steps: all of them with EDGE_SOAK, else n, spread from the first
// to the last.
func (b *bench) sample(n int) []int {
	if os.Getenv("EDGE_SOAK") != "" {
		n = b.steps
	}
	var out []int
	for i := range n {
		out = append(out, i*(b.steps-1)/(n-1))
	}
	return out
}

// A run that is killed at any step is taken back by the next one, with the links of
// a2enmod, and httpd accepts what is there.
func TestKilled(t *testing.T) {
	if os.Getenv("EDGE_APACHE_LAB") != "" {
		dieInChild(t)
	}
	t.Parallel()
	for _, op := range []string{"install", "challenge"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, op)
			steps := b.sample(6)
			for _, n := range steps {
				b.killAt(t, n)
				b.checkBack(t, fmt.Sprintf("killed at step %d", n))
			}
			t.Logf("killed %d times, of %d steps; httpd did not accept what was left before it was recovered %d times", len(steps), b.steps, b.broken)
			if len(steps) < 6 || b.steps < 40 {
				t.Error("that is less than there are steps")
			}
		})
	}
}

func (b *bench) killAt(t *testing.T, n int) {
	t.Helper()
	cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
	temp := b.dir + "/child"
	if err := os.MkdirAll(temp, 0o755); err != nil { // who is killed tidies nothing up
		t.Fatal(err)
	}
	cmd.Env = append(os.Environ(), "TMPDIR="+temp, "EDGE_APACHE_LAB="+b.dir, "EDGE_APACHE_OP="+b.op,
		fmt.Sprintf("EDGE_APACHE_STEP=%d", n), fmt.Sprintf("EDGE_APACHE_HTTP=%d", b.httpPort), fmt.Sprintf("EDGE_APACHE_HTTPS=%d", b.tlsPort))
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || exit.Sys().(syscall.WaitStatus).Signal() != syscall.SIGKILL {
		t.Fatalf("step %d: not killed: %v\n%s", n, err, out)
	}
}

// dieInChild is the process that is killed.
func dieInChild(t *testing.T) {
	number := func(name string) int {
		n, err := strconv.Atoi(os.Getenv(name))
		if err != nil {
			t.Fatal(err)
		}
		return n
	}
	dir := os.Getenv("EDGE_APACHE_LAB")
	s := &server{dir: dir, root: dir + "/apache2", httpPort: uint16(number("EDGE_APACHE_HTTP")), tlsPort: uint16(number("EDGE_APACHE_HTTPS"))}
	b := &bench{server: s.detect(t), op: os.Getenv("EDGE_APACHE_OP")}
	live := dir + "/le/live/a"
	b.prepareRequest(installers.Certificate{Lineage: "a", Cert: live + "/cert.pem", Key: live + "/privkey.pem", Chain: live + "/chain.pem", FullChain: live + "/fullchain.pem"})
	left := number("EDGE_APACHE_STEP")
	r := b.runner()
	r.Durable.Before = func(durable.Step, string) error {
		if left--; left < 0 {
			return syscall.Kill(os.Getpid(), syscall.SIGKILL)
		}
		return nil
	}
	t.Fatalf("step %s was not reached: %v", os.Getenv("EDGE_APACHE_STEP"), b.do(context.Background(), r))
}

// A step that fails, and a disk that is full from one on, leave everything as it was, at
// once or when the disk has room again.
func TestDiskFails(t *testing.T) {
	t.Parallel()
	grows := []durable.Step{durable.Create, durable.Write, durable.Link, durable.Symlink, durable.Mkdir}
	for _, op := range []string{"install", "challenge"} {
		t.Run(op, func(t *testing.T) {
			t.Parallel()
			b := newBench(t, op)
			states := map[string]int{}
			for _, errno := range []syscall.Errno{syscall.EIO, syscall.ENOSPC} {
				for _, n := range b.sample(map[syscall.Errno]int{syscall.EIO: 3, syscall.ENOSPC: 4}[errno]) {
					at := 0
					r := b.runner()
					r.Verify = 5 * time.Second
					r.Durable.Before = func(step durable.Step, path string) error {
						at++
						if errno == syscall.EIO && at == n+1 || errno == syscall.ENOSPC && at > n && slices.Contains(grows, step) {
							return &os.PathError{Op: string(step), Path: path, Err: errno}
						}
						return nil
					}
					err := b.do(t.Context(), r)
					var step *installers.StepError
					switch {
					case err == nil:
						states["done"]++
					case !errors.Is(err, errno):
						t.Errorf("%v at step %d: %v", errno, n, err)
					case errors.As(err, &step):
						states[[]string{"untouched", "undone", "not undone"}[step.State]]++
						if step.State != installers.NotUndone {
							same(t, b.before, snapshot(t, b.root))
						}
					default:
						states["cleanup"]++
					}
					b.checkBack(t, fmt.Sprintf("%v at step %d of %d", errno, n, b.steps))
				}
			}
			t.Logf("of %d steps: %v", b.steps, states)
		})
	}
}
