package steward

import (
	"context"
	"sync"

	"edge/internal/display"
)

// transcripts keep the texts of lineages that are worked on at the same time
// apart: those of the first are shown as they come, those of the others when
// their turn has come.
type transcripts struct {
	to    display.Display
	mu    sync.Mutex
	turn  int
	lists [][]func()
	ended []bool
}

func newTranscripts(to display.Display, n int) *transcripts {
	return &transcripts{to: to, lists: make([][]func(), n), ended: make([]bool, n)}
}

// at is the display of the nth lineage.
func (t *transcripts) at(n int) display.Display { return &transcript{Display: t.to, t: t, n: n} }

func (t *transcripts) say(n int, f func()) {
	t.mu.Lock()
	defer t.mu.Unlock()
	if n == t.turn {
		f()
		return
	}
	t.lists[n] = append(t.lists[n], f)
}

// end says that the nth has nothing more to say.
func (t *transcripts) end(n int) {
	t.mu.Lock()
	defer t.mu.Unlock()
	t.ended[n] = true
	for t.turn < len(t.ended) {
		for _, f := range t.lists[t.turn] {
			f()
		}
		t.lists[t.turn] = nil
		if !t.ended[t.turn] {
			return
		}
		t.turn++
	}
}

// transcript is a display that waits for its turn to print. Questions, which a run
// over many lineages does not ask, go past it.
type transcript struct {
	display.Display
	t *transcripts
	n int
}

func (t *transcript) Notify(text string, frame bool) {
	t.t.say(t.n, func() { t.Display.Notify(text, frame) })
}

func (t *transcript) Listing(text string) { t.t.say(t.n, func() { t.Display.Listing(text) }) }

func (t *transcript) Heading(text string) { t.t.say(t.n, func() { t.Display.Heading(text) }) }

func (t *transcript) Pause(ctx context.Context, text string) error {
	return t.Display.Pause(ctx, text)
}
