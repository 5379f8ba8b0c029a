package acmeglue

import (
	"container/heap"
	"sync"
	"time"
)

// queue holds the slots that something has to be done for, each once. Those
// that are due are handed out most urgent first, the others wait for their time.
type queue struct {
	mu      sync.Mutex
	items   map[*slot]*item
	waiting itemHeap      // by time
	ready   itemHeap      // by urgency
	wake    chan struct{} // something may have become due earlier than known
}

// item is one slot in the queue.
type item struct {
	slot    *slot
	due     time.Time
	urgency int64 // the smaller, the sooner: Unix seconds of expiry, 0 without a certificate, -1 to be loaded
	ready   bool
	index   int
	running bool // handed out; it is queued again by set
}

func newQueue() *queue {
	q := &queue{items: make(map[*slot]*item), wake: make(chan struct{}, 1)}
	q.waiting.less = func(a, b *item) bool { return a.due.Before(b.due) }
	q.ready.less = func(a, b *item) bool { return a.urgency < b.urgency }
	return q
}

// set queues a slot for a time, in place of the time that it was queued for. A
// slot that is being worked on stays with its worker, who will look again.
func (q *queue) set(s *slot, due time.Time, urgency int64) {
	q.mu.Lock()
	defer q.mu.Unlock()
	it := q.items[s]
	if it == nil {
		it = &item{slot: s}
		q.items[s] = it
	} else if it.running {
		return
	} else {
		q.removeLocked(it)
	}
	// Wall time only: most times are those of certificates, and mixed with
	// readings of the monotonic clock they would have no order.
	it.due, it.urgency, it.ready = due.Round(0), urgency, false
	heap.Push(&q.waiting, it)
	if it.index == 0 {
		select {
		case q.wake <- struct{}{}:
		default: // it is awake already
		}
	}
}

func (q *queue) removeLocked(it *item) {
	if it.ready {
		heap.Remove(&q.ready, it.index)
	} else {
		heap.Remove(&q.waiting, it.index)
	}
}

// take hands out the most urgent slot that is due. Where none is, it tells the
// time of the next, zero for never.
func (q *queue) take(now time.Time) (*slot, time.Time) {
	q.mu.Lock()
	defer q.mu.Unlock()
	for len(q.waiting.items) > 0 && !q.waiting.items[0].due.After(now) {
		it := heap.Pop(&q.waiting).(*item)
		it.ready = true
		heap.Push(&q.ready, it)
	}
	if len(q.ready.items) > 0 {
		it := heap.Pop(&q.ready).(*item)
		it.running = true
		return it.slot, time.Time{}
	}
	if len(q.waiting.items) > 0 {
		return nil, q.waiting.items[0].due
	}
	return nil, time.Time{}
}

// drop takes a slot out that is not wanted any more.
func (q *queue) drop(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[s]; it != nil && !it.running {
		q.removeLocked(it)
		delete(q.items, s)
	}
}

// done ends the work on a slot that take handed out; set may queue it again.
func (q *queue) done(s *slot) {
	q.mu.Lock()
	defer q.mu.Unlock()
	if it := q.items[s]; it != nil && it.running {
		delete(q.items, s)
	}
}

// itemHeap implements heap.Interface.
type itemHeap struct {
	items []*item
	less  func(a, b *item) bool
}

func (h *itemHeap) Len() int           { return len(h.items) }
func (h *itemHeap) Less(i, j int) bool { return h.less(h.items[i], h.items[j]) }
func (h *itemHeap) Swap(i, j int) {
	h.items[i], h.items[j] = h.items[j], h.items[i]
	h.items[i].index, h.items[j].index = i, j
}

func (h *itemHeap) Push(x any) {
	it := x.(*item)
	it.index = len(h.items)
	h.items = append(h.items, it)
}

func (h *itemHeap) Pop() any {
	n := len(h.items) - 1
	it := h.items[n]
	h.items[n] = nil
	h.items = h.items[:n]
	return it
}
