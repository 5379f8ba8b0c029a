package accesslog

import (
	"bufio"
	"fmt"
	"os"
	"reflect"
	"sync"
	"sync/atomic"
	"time"

	"edge"
)

// Log is the access log of a front door. The file behind it can be exchanged
// while requests come in. The zero value drops everything. Safe for concurrent use.
type Log struct {
	current atomic.Pointer[file]
}

// file is an open log file with its writer goroutine. Requests hand over lines
// and wait only where the disk cannot keep up at all.
type file struct {
	path   string
	o      Options
	format func([]byte, *edge.RequestEvent) []byte
	lines  chan *[]byte
	reopen chan chan error
	done   chan struct{} // closed when the writer has ended

	mu      sync.RWMutex // held for reading while a line is handed over
	closed  bool
	dropped atomic.Int64
}

// queue is how many lines may wait for the disk. Beyond that, lines are dropped
// and counted: a full disk must not stop the service.
const queue = 8192

// Next is a log file that has been opened, but is not in use yet.
type Next struct {
	log *Log
	f   *file // nil: no access log
	old *file
}

// Prepare opens a file for Commit. Where the options are those in use, they stay
// in use.
func (l *Log) Prepare(o Options) (*Next, error) {
	n := &Next{log: l, old: l.current.Load()}
	if o.Path == "" {
		return n, nil
	}
	if n.old != nil && reflect.DeepEqual(n.old.o, o) {
		n.f = n.old
		return n, nil
	}
	if err := o.Check(); err != nil {
		return nil, err
	}
	out, err := open(o.Path)
	if err != nil {
		return nil, err
	}
	n.f = &file{path: o.Path, o: o, format: o.formatter(), lines: make(chan *[]byte, queue), reopen: make(chan chan error), done: make(chan struct{})}
	go n.f.write(out)
	return n, nil
}

// Abort gives up what Prepare opened.
func (n *Next) Abort() {
	if n.f != nil && n.f != n.old {
		n.f.close()
	}
}

// Commit puts the file to use and finishes the one before.
func (n *Next) Commit() {
	n.log.current.Store(n.f)
	if n.old != nil && n.old != n.f {
		n.old.close()
	}
}

// Request logs one request.
func (l *Log) Request(e *edge.RequestEvent) {
	for f := l.current.Load(); f != nil; f = l.current.Load() {
		if f.hand(e) {
			return
		}
		// A reload has put another file in its place meanwhile.
	}
}

// hand hands a line to the writer; it reports false where the file is closed.
func (f *file) hand(e *edge.RequestEvent) bool {
	if !f.o.wants(e) {
		return true
	}
	b := buffers.Get().(*[]byte)
	*b = f.format((*b)[:0], f.o.censored(e))
	f.mu.RLock()
	defer f.mu.RUnlock()
	if f.closed {
		buffers.Put(b)
		return false
	}
	select {
	case f.lines <- b:
	default:
		f.dropped.Add(1)
		buffers.Put(b)
	}
	return true
}

var buffers = sync.Pool{New: func() any { b := make([]byte, 0, 512); return &b }}

// Reopen opens the file anew under its name, after a rotation.
func (l *Log) Reopen() error {
	f := l.current.Load()
	if f == nil {
		return nil
	}
	answer := make(chan error, 1)
	select {
	case f.reopen <- answer:
		return <-answer
	case <-f.done:
		return nil
	}
}

// Close writes what is waiting and ends.
func (l *Log) Close() error {
	if f := l.current.Swap(nil); f != nil {
		f.close()
	}
	return nil
}

func (f *file) close() {
	f.mu.Lock()
	f.closed = true
	f.mu.Unlock()
	close(f.lines)
	<-f.done
}

func open(path string) (*os.File, error) {
	out, err := os.OpenFile(path, os.O_WRONLY|os.O_APPEND|os.O_CREATE, 0o640)
	if err != nil {
		return nil, fmt.Errorf("access log: %w; its folder has to be writable for the user that edge runs as (uid %d)", err, os.Geteuid())
	}
	return out, nil
}

// write is the writer goroutine. It writes many lines at once under load, and
// each at once when there is time.
func (f *file) write(out *os.File) {
	defer close(f.done)
	w := bufio.NewWriterSize(out, 64<<10)
	defer func() { w.Flush(); out.Close() }()
	for {
		select {
		case b, ok := <-f.lines:
			if !ok {
				return
			}
			f.put(w, b)
			if len(f.lines) == 0 && w.Flush() != nil {
				w.Reset(out) // a full disk: what could not be written is lost, the next line tries again
			}
		case answer := <-f.reopen:
			w.Flush()
			fresh, err := open(f.path)
			if err == nil {
				out.Close()
				out = fresh
				w.Reset(out)
			}
			answer <- err
		}
	}
}

func (f *file) put(w *bufio.Writer, b *[]byte) {
	if n := f.dropped.Swap(0); n > 0 {
		fmt.Fprintf(w, "%s\n", droppedNote(f.o.Format, n))
	}
	_, _ = w.Write(*b)
	if cap(*b) <= 16<<10 {
		buffers.Put(b)
	}
}

func droppedNote(format string, n int64) string {
	now := time.Now().UTC().Format(time.RFC3339)
	if format == "json" {
		return fmt.Sprintf(`{"time":%q,"dropped_lines":%d}`, now, n)
	}
	return fmt.Sprintf("# %s %d lines were dropped", now, n)
}
