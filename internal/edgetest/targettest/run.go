package targettest

import (
	"crypto/tls"
	"errors"
	"net"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"edge/installers"
	"edge/installers/delivery"
	"edge/internal/edgetest"
)

const (
	nameA = "a.example.test"
	nameB = "b.example.test"
)

// theCase is one of the table. Which says for what targets it is.
type theCase struct {
	name  string
	which func(r *Rig) bool
	try   func(w *work)
}

func all(*Rig) bool       { return true }
func local(r *Rig) bool   { return r.Fault == nil }
func service(r *Rig) bool { return r.Fault != nil }

func cases() []theCase {
	return []theCase{
		{"install", all, install},
		{"renew", all, renew},
		{"wildcard", all, wildcard},
		{"second name", all, secondName},
		{"again", all, again},
		{"undo", all, undo},
		{"mismatched key", all, mismatchedKey},
		{"wrong order", all, wrongOrder},
		{"killed", all, killed},
		{"unreadable", local, unreadable},
		{"server down", local, serverDown},
		{"reload ignored", local, reloadIgnored},
		{"in flight", local, inFlight},
		{"401", service, refused(Unauthorized)},
		{"429", service, passes(TooMany)},
		{"5xx once", service, passes(FailingOnce)},
		{"5xx", service, refused(Failing)},
		{"timeout", service, refused(Silent)},
		{"half an answer", service, refused(Half)},
		{"slow", service, passes(Slow)},
		{"never", service, refused(Never)},
	}
}

// Run tries a target with all cases. Start starts a server, or a fake of a service, and
// ends it with the test.
func Run(t *testing.T, start func(t *testing.T) *Rig) {
	var is *Rig // what the first case found: whether it is a service
	for _, c := range cases() {
		if is != nil && !c.which(is) {
			continue
		}
		first := is == nil
		t.Run(c.name, func(t *testing.T) {
			if !first && is.Parallel {
				t.Parallel()
			}
			rig := start(t)
			if first {
				is = rig
			}
			if why, cannot := rig.Cannot[c.name]; cannot {
				t.Logf("n/a: %s", why)
				return
			}
			w := newWork(t, rig)
			c.try(w)
			w.clean()
		})
	}
}

func install(w *work) { w.deliver(w.material("one", nameA)) }

func renew(w *work) {
	w.deliver(w.material("one", nameA))
	w.deliver(w.material("one", nameA))
	w.deliver(w.material("one", nameA))
}

func wildcard(w *work) {
	w.deliver(w.material("one", "*.example.test", "example.test"))
	w.deliver(w.material("one", "*.example.test", "example.test"))
}

func secondName(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	if w.Single {
		w.deliver(w.material("one", nameA, nameB))
		return
	}
	b := w.material("two", nameB)
	w.deliver(b)
	w.shows(a)
	a = w.material("one", nameA)
	w.deliver(a)
	w.shows(b)
}

func again(w *work) {
	m := w.material("one", nameA)
	w.deliver(m)
	before := w.snapshot()
	if res := w.apply(m); res.Changed || !res.OK() {
		w.t.Errorf("the second run: changed %t, %s %s", res.Changed, res.State, res.Error)
	}
	if after := w.snapshot(); after != before {
		w.t.Errorf("the second run changed something:\n%s\nnow\n%s", before, after)
	}
}

// other is a server with a certificate that stays as it is.
func other(w *work) installers.Endpoint {
	w.t.Helper()
	b := edgetest.NewChain(w.t, time.Now().Add(time.Hour), nameA)
	pair, err := tls.X509KeyPair(b.Chain, b.Key)
	if err != nil {
		w.t.Fatal(err)
	}
	l, err := tls.Listen("tcp", "127.0.0.1:0", &tls.Config{Certificates: []tls.Certificate{pair}})
	if err != nil {
		w.t.Fatal(err)
	}
	w.t.Cleanup(func() { l.Close() })
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			go func() {
				defer c.Close()
				_ = c.(*tls.Conn).Handshake()
				_, _ = c.Read(make([]byte, 1))
			}()
		}
	}()
	return installers.Endpoint{Addr: l.Addr().String()}
}

// undo: the live server cannot show the certificate at a place where it has to, so
// everything is as it was.
func undo(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	before := w.snapshot()
	elsewhere := other(w)
	w.extra = []installers.Endpoint{elsewhere}
	item := w.Rig.Item
	w.Rig.Item = func(it *delivery.Item) {
		if item != nil {
			item(it)
		}
		if _, carriedOut := it.Target.(*delivery.Local); !carriedOut {
			it.Verify = append(it.Verify, elsewhere)
		}
	}
	w.fails(w.material("one", nameA))
	w.shows(a)
	if after := w.snapshot(); after != before {
		w.t.Errorf("not as it was:\n%s\nnow\n%s", before, after)
	}
	w.extra, w.Rig.Item = nil, item
	w.deliver(w.material("one", nameA))
}

// shortly is how long a server may take in cases that fail; it has to do for what is put
// back as well.
const shortly = 3 * time.Second

// fails wants a delivery to fail, and to say why.
func (w *work) fails(m *delivery.Material) delivery.Result {
	w.t.Helper()
	w.within = shortly
	defer func() { w.within = 0 }()
	res := w.apply(m)
	if res.State != delivery.Failed || res.Error == "" {
		w.t.Fatalf("the delivery says %s %q", res.State, res.Error)
	}
	return res
}

// mismatchedKey: what NewMaterial would have refused does no harm either.
func mismatchedKey(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	before := w.snapshot()
	bad, key := w.material("one", nameA), w.material("x", nameA)
	bad.Key, bad.KeyPEM = key.Key, key.KeyPEM
	w.harmless(a, bad, before)
}

func wrongOrder(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	before := w.snapshot()
	bad := w.material("one", nameA)
	bad.CertPEM, bad.ChainPEM = bad.ChainPEM, bad.CertPEM
	bad.FullChainPEM = slices.Concat(bad.CertPEM, bad.ChainPEM)
	w.harmless(a, bad, before)
}

// harmless wants a bad certificate to be refused or undone.
func (w *work) harmless(a, bad *delivery.Material, before string) {
	w.t.Helper()
	w.fails(bad)
	w.shows(a)
	w.tidy()
	if after := w.snapshot(); after != before {
		w.t.Errorf("not as it was:\n%s\nnow\n%s", before, after)
	}
	w.deliver(w.material("one", nameA))
}

func unreadable(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	restore := w.Unreadable(w.t)
	b := w.material("one", nameA)
	w.fails(b)
	restore()
	w.deliver(b)
}

// serverDown: nothing is said to be delivered that nobody shows.
func serverDown(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	w.Stop(w.t)
	b := w.material("one", nameA)
	w.within = shortly
	res := w.apply(b)
	w.within = 0
	if res.OK() {
		w.shows(b) // it was started
		return
	}
	w.Start(w.t)
	w.deliver(b)
}

func reloadIgnored(w *work) {
	a := w.material("one", nameA)
	w.deliver(a)
	before := w.snapshot()
	restore := w.IgnoreReload(w.t)
	b := w.material("one", nameA)
	w.fails(b)
	w.shows(a)
	if after := w.snapshot(); after != before {
		w.t.Errorf("not as it was:\n%s\nnow\n%s", before, after)
	}
	restore()
	w.deliver(b)
}

func inFlight(w *work) {
	w.deliver(w.material("one", nameA))
	alive := w.Hold(w.t)
	w.deliver(w.material("one", nameA))
	w.deliver(w.material("one", nameA))
	if err := alive(); err != nil {
		w.t.Errorf("the connection that was open: %v", err)
	}
}

// refused: the delivery fails, what was there is shown, and the next one succeeds.
func refused(f Fault) func(w *work) {
	return func(w *work) {
		a := w.material("one", nameA)
		w.deliver(a)
		restore := w.Fault(w.t, f)
		b := w.material("one", nameA)
		began := time.Now()
		w.fails(b)
		if took := time.Since(began); took > time.Minute {
			w.t.Errorf("it took %v", took)
		}
		restore()
		w.deliver(b)
	}
}

// passes: a fault that is over soon is no failure.
func passes(f Fault) func(w *work) {
	return func(w *work) {
		w.deliver(w.material("one", nameA))
		restore := w.Fault(w.t, f)
		defer restore()
		w.deliver(w.material("one", nameA))
	}
}

// killed: at whatever step the process dies, in the first delivery or in a renewal, the
// next run brings everything to its place. The normal run takes a sample of the steps.
func killed(w *work) {
	a := w.material("one", nameA)
	every := 7
	if os.Getenv("EDGE_SOAK") != "" {
		every = 1
	}
	for n, steps := 1, 0; ; n += every {
		if n == 1 { // nothing was ever delivered
			w.k.arm(3)
			w.apply(a)
			w.k.disarm()
		}
		w.deliver(a)
		b := w.material("one", nameA)
		w.k.arm(n)
		res := w.apply(b)
		died := w.k.disarm()
		if !died {
			if !res.OK() || steps == 0 {
				w.t.Fatalf("no step of %d was reached, %d were tried: %s %s", n, steps, res.State, res.Error)
			}
			w.t.Logf("killed at %d steps", steps)
			return
		}
		steps++
		if got := w.now(); got != "" && !strings.Contains(got, "\n") {
			w.t.Logf("killed at step %d: %s", n, got)
		}
		w.deliver(b)
		w.tidy()
		a = w.material("one", nameA)
	}
}

// tidy wants nothing unfinished in the journal.
func (w *work) tidy() {
	w.t.Helper()
	left, err := os.ReadDir(filepath.Join(w.dir, "work"))
	if err != nil {
		w.t.Fatal(err)
	}
	for _, e := range left {
		if e.Name() != "backups" {
			w.t.Errorf("the journal has %s", e.Name())
		}
	}
}

// now is what the live server shows after a death: something, while it runs.
func (w *work) now() string {
	for _, at := range w.At {
		at.Name = nameA
		var op *net.OpError
		if _, err := installers.Shows(w.t.Context(), at, nil); err != nil && !errors.As(err, &op) {
			return err.Error()
		}
	}
	return ""
}
