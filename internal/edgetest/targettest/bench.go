package targettest

import (
	"testing"

	"edge/installers/delivery"
)

// Bench delivers to a rig outside of the cases, for what is of one target only.
type Bench struct{ w *work }

// NewBench makes one, with records and a journal of its own.
func NewBench(t *testing.T, rig *Rig) *Bench { return &Bench{newWork(t, rig)} }

// Material is a new certificate for names.
func (b *Bench) Material(lineage string, names ...string) *delivery.Material {
	b.w.t.Helper()
	return b.w.material(lineage, names...)
}

// Apply delivers as a process that has just started would.
func (b *Bench) Apply(m *delivery.Material) delivery.Result {
	b.w.t.Helper()
	res := b.w.apply(m)
	b.w.clean()
	return res
}

// Killed delivers as a process that is killed at a step would, and reports whether there
// was such a step.
func (b *Bench) Killed(m *delivery.Material, step int) (died bool) {
	b.w.t.Helper()
	b.w.k.arm(step)
	b.w.apply(m)
	return b.w.k.disarm()
}

// Shows wants the live server to show a certificate for all its names.
func (b *Bench) Shows(m *delivery.Material) {
	b.w.t.Helper()
	b.w.shows(m)
}
