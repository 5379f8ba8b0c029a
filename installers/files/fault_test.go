package files

import (
	"context"
	"crypto/tls"
	"errors"
	"os"
	"os/exec"
	"strconv"
	"strings"
	"testing"
	"time"

	"edge/installers/delivery"
	"edge/internal/durable"
	"edge/internal/edgetest"
)

// steps counts what is asked of the file system, and fails from one step on.
type steps struct {
	n, fail int  // 0: none
	once    bool // the next steps work again
	after   func()
}

func (s *steps) writer() durable.Writer {
	return durable.Writer{Before: func(durable.Step, string) error {
		s.n++
		if s.fail > 0 && (s.n == s.fail || s.n > s.fail && !s.once) {
			if s.after != nil {
				s.after()
			}
			return errors.New("disk on fire")
		}
		return nil
	}}
}

// stride is how many steps are passed over: all are tried by make soak.
func stride() int {
	if os.Getenv("EDGE_SOAK") != "" {
		return 1
	}
	return 6
}

// pairOf is what a server that starts now would find.
func pairOf(t *testing.T, dir string) string {
	t.Helper()
	if _, err := tls.LoadX509KeyPair(dir+"/fullchain.pem", dir+"/privkey.pem"); err != nil {
		t.Fatalf("a server that starts now finds no pair: %v", err)
	}
	return read(t, dir+"/fullchain.pem")
}

// Whichever step fails, once or from then on, a server finds the old pair or the new
// one, and the next run delivers.
func TestEveryStepFails(t *testing.T) {
	for _, once := range []bool{true, false} {
		for n := 1; ; n += stride() {
			r := newRig(t)
			o := r.options()
			m1, m2 := r.material(), r.material()
			r.apply(r.item(o), m1, delivery.Unverified)
			s := &steps{fail: n, once: once}
			o.Durable = s.writer()
			r.e.Durable = s.writer()
			res := r.e.Apply(context.Background(), r.item(o), m2)
			if got := pairOf(t, o.Dir); got != string(m1.FullChainPEM) && got != string(m2.FullChainPEM) {
				t.Fatalf("step %d: neither old nor new", n)
			}
			o.Durable, r.e.Durable = durable.Writer{}, durable.Writer{}
			if s.n < n {
				if n < 20 {
					t.Errorf("%d steps only", n)
				}
				break
			}
			r.apply(r.item(o), m2, delivery.Unverified)
			if pairOf(t, o.Dir) != string(m2.FullChainPEM) {
				t.Fatalf("step %d (%s): the next run did not deliver", n, res.Error)
			}
			r.look(r.item(o), m2, delivery.Unverified)
		}
	}
}

// The same for the first delivery, over files of somebody else: until it is done, what
// was there can be had back.
func TestEveryStepFailsAtFirst(t *testing.T) {
	for n := 1; ; n += stride() {
		r := newRig(t)
		o := r.options()
		theirs, err := delivery.NewMaterial("mail", edgetest.NewChain(t, time.Now().Add(time.Hour), "mail.example.org"), nil, time.Now())
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Mkdir(o.Dir, 0o755); err != nil {
			t.Fatal(err)
		}
		for name, b := range map[string][]byte{"fullchain.pem": theirs.FullChainPEM, "privkey.pem": theirs.KeyPEM} {
			if err := os.WriteFile(o.Dir+"/"+name, b, 0o600); err != nil {
				t.Fatal(err)
			}
		}
		s := &steps{fail: n, once: true}
		o.Durable = s.writer()
		it := r.item(o)
		it.Reload = []string{"/bin/false"} // so that all is undone, steps of undo included
		res := r.e.Apply(context.Background(), it, r.material())
		if s.n < n {
			if n < 20 {
				t.Errorf("%d steps only", n)
			}
			return
		}
		if res.State != delivery.Failed {
			t.Fatalf("%+v", res)
		}
		o.Durable = durable.Writer{}
		it = r.item(o)
		it.Reload = []string{"/bin/false"} // the next run undoes the rest
		r.apply(it, r.material(), delivery.Failed)
		if pairOf(t, o.Dir) != string(theirs.FullChainPEM) {
			t.Fatalf("step %d (%s): not as it was", n, res.Error)
		}
	}
}

// A process that is killed in the middle leaves a pair, and a delivery that the next
// one ends.
func TestKilled(t *testing.T) {
	if step := os.Getenv("TEST_KILL_AT"); step != "" {
		r := &rig{t, &delivery.Engine{Dir: os.Getenv("TEST_KILL_DIR") + "/state", Now: time.Now}, os.Getenv("TEST_KILL_DIR")}
		n, _ := strconv.Atoi(step)
		s := &steps{fail: n, after: func() {
			_ = (&os.Process{Pid: os.Getpid()}).Kill()
			select {} // until it is dead
		}}
		o := r.options()
		o.Durable, r.e.Durable = s.writer(), s.writer()
		r.e.Apply(context.Background(), r.item(o), r.material())
		return
	}
	for _, n := range []int{2, 9, 17, 26, 30, 33, 36} {
		r := newRig(t)
		o := r.options()
		m := r.material()
		r.apply(r.item(o), m, delivery.Unverified)
		cmd := exec.Command(os.Args[0], "-test.run=^TestKilled$")
		cmd.Env = append(os.Environ(), "TEST_KILL_AT="+strconv.Itoa(n), "TEST_KILL_DIR="+r.dir)
		out, err := cmd.CombinedOutput()
		if err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("step %d: %v: %s", n, err, out)
		}
		pairOf(t, o.Dir)
		m = r.material()
		r.apply(r.item(o), m, delivery.Unverified)
		if pairOf(t, o.Dir) != string(m.FullChainPEM) {
			t.Fatalf("step %d: the next run did not deliver", n)
		}
	}
}
