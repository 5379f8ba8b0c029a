package pool

import (
	"slices"
	"sync"
)

// queue lines requests up that wait for room: first come, first served. Each place
// that gets free wakes one of them, which stays in line until it has a server: who is
// woken in vain passes its turn on, for others may be able to use the place.
type queue struct {
	mu   sync.Mutex
	line []*waiter
}

// waiter is a request in line.
type waiter struct {
	turn  chan struct{} // of one
	woken bool
}

// join adds a waiter to a line of at most so many; nil: it is full. Its turn comes at
// once where all before it have been woken already: a place may have become free
// before it was there.
func (q *queue) join(most int) *waiter {
	q.mu.Lock()
	defer q.mu.Unlock()
	if len(q.line) >= most {
		return nil
	}
	w := &waiter{turn: make(chan struct{}, 1)}
	q.line = append(q.line, w)
	if !slices.ContainsFunc(q.line[:len(q.line)-1], func(x *waiter) bool { return !x.woken }) {
		w.wake()
	}
	return w
}

func (w *waiter) wake() {
	w.woken = true
	w.turn <- struct{}{}
}

// wake wakes the first n that sleep.
func (q *queue) wake(n int) {
	q.mu.Lock()
	defer q.mu.Unlock()
	q.wakeFrom(0, n)
}

func (q *queue) wakeFrom(i, n int) {
	for ; i < len(q.line) && n > 0; i++ {
		if w := q.line[i]; !w.woken {
			w.wake()
			n--
		}
	}
}

// pass is for a waiter that was woken in vain: it keeps its place, and the next one
// tries.
func (q *queue) pass(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	w.woken = false
	q.wakeFrom(slices.Index(q.line, w)+1, 1)
}

// leave takes a waiter out of the line. A turn that it has not taken goes to the next.
func (q *queue) leave(w *waiter) {
	q.mu.Lock()
	defer q.mu.Unlock()
	i := slices.Index(q.line, w)
	q.line = slices.Delete(q.line, i, i+1)
	if len(w.turn) > 0 {
		q.wakeFrom(i, 1)
	}
}

func (q *queue) len() int {
	q.mu.Lock()
	defer q.mu.Unlock()
	return len(q.line)
}
