package targettest

import (
	"context"
	"errors"
	"net"
	"net/http"
	"sync"
	"syscall"

	"edge/installers"
	"edge/internal/durable"
)

// errKilled is what everything says once the process is dead.
var errKilled = errors.New("the process was killed")

// killer counts what a target does to the world, and lets nothing through from one step
// on: what is outside of the process then is what a KILL at that step leaves.
type killer struct {
	mu   sync.Mutex
	n    int // steps so far
	at   int // 0: never
	dead bool
}

func (k *killer) step() error {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.dead {
		return errKilled
	}
	k.n++
	k.dead = k.n == k.at
	if k.dead {
		return errKilled
	}
	return nil
}

// arm begins to count, and kills at a step.
func (k *killer) arm(at int) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.n, k.at, k.dead = 0, at, false
}

// disarm reports whether the step was reached.
func (k *killer) disarm() (died bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	died, k.at, k.dead = k.dead, 0, false
	return died
}

func (k *killer) durable() durable.Writer {
	return durable.Writer{Before: func(durable.Step, string) error { return k.step() }}
}

// run is a program, with a step before it and one after it.
func (k *killer) run(do func(context.Context, []string) (string, error)) func(context.Context, []string) (string, error) {
	return func(ctx context.Context, argv []string) (string, error) {
		if err := k.step(); err != nil {
			return "", err
		}
		out, err := do(ctx, argv)
		if kerr := k.step(); kerr != nil {
			return "", kerr
		}
		return out, err
	}
}

// exec is run for programs with an environment.
func (k *killer) exec(ctx context.Context, p installers.Program) (installers.Said, error) {
	if err := k.step(); err != nil {
		return installers.Said{}, err
	}
	said, err := installers.Exec(ctx, p)
	if kerr := k.step(); kerr != nil {
		return installers.Said{}, kerr
	}
	return said, err
}

func (k *killer) signal(pid int, sig syscall.Signal) error {
	if err := k.step(); err != nil {
		return err
	}
	return errors.Join(syscall.Kill(pid, sig), k.step())
}

// dial is a connection, with a step before it and one before the first answer.
func (k *killer) dial(ctx context.Context, network, addr string) (net.Conn, error) {
	if err := k.step(); err != nil {
		return nil, err
	}
	c, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	return &mortal{Conn: c, k: k}, nil
}

type mortal struct {
	net.Conn
	k    *killer
	once sync.Once
	err  error
}

func (c *mortal) Read(p []byte) (int, error) {
	n, err := c.Conn.Read(p) // what was sent has arrived by then
	c.once.Do(func() { c.err = c.k.step() })
	if c.err != nil || c.k.isDead() {
		return 0, errKilled
	}
	return n, err
}

func (c *mortal) Write(p []byte) (int, error) {
	if c.k.isDead() {
		_ = c.Conn.Close() // as the kernel does, so that nobody waits for an answer
		return 0, errKilled
	}
	return c.Conn.Write(p)
}

func (k *killer) isDead() bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	return k.dead
}

// transport has a step before each request and one after its answer.
func (k *killer) transport(next http.RoundTripper) http.RoundTripper { return &mortalTripper{next, k} }

type mortalTripper struct {
	next http.RoundTripper
	k    *killer
}

func (m *mortalTripper) RoundTrip(r *http.Request) (*http.Response, error) {
	if err := m.k.step(); err != nil {
		return nil, err
	}
	resp, err := m.next.RoundTrip(r)
	if kerr := m.k.step(); kerr != nil {
		if err == nil {
			resp.Body.Close()
		}
		return nil, kerr
	}
	return resp, err
}
