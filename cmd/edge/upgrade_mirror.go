package main

import (
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"edge"
	"edge/internal/admin"
)

// challengeNote is an answer to a challenge on the way between two processes.
type challengeNote admin.Challenge

func noteOf(a edge.Answer, put bool) note {
	n := note{Kind: noteRemove, Answer: &challengeNote{Type: a.Type, Identifier: a.Identifier.Value, Token: a.Token, KeyAuth: a.KeyAuth}}
	if put {
		n.Kind = notePut
	}
	return n
}

// maxUntold bounds the answers that the other process has not been told of yet.
const maxUntold = 8192

// mirror tells the other process of the answers to challenges, those there are and
// those that come, until the way ends: a CA reaches either of the two. The first
// notes have been sent when it returns. Call it before anything of the other process
// is taken up, which would be sent back.
func (d *door) mirror(w *way, end <-chan struct{}) {
	untold := make(chan note, maxUntold)
	have, stop := d.registry.Mirror(func(a edge.Answer, put bool) {
		select {
		case untold <- noteOf(a, put):
		default:
			d.log.Warn("an answer to a challenge is not told to the other process: it does not listen", "identifier", a.Identifier.Value)
		}
	})
	for _, a := range have {
		if w.send(noteOf(a, true), -1) != nil {
			break
		}
	}
	d.mirrors.Go(func() {
		defer stop()
		for {
			select {
			case n := <-untold:
				if w.send(n, -1) != nil {
					return
				}
			case <-end:
				return
			}
		}
	})
}

// reflect takes up an answer that the other process tells of.
func (d *door) reflect(n note) {
	if n.Answer == nil {
		return
	}
	id, err := edge.ParseIdentifier(n.Answer.Identifier)
	if err == nil {
		err = d.registry.Reflect(edge.Answer{Type: n.Answer.Type, Identifier: id, Token: n.Answer.Token, KeyAuth: n.Answer.KeyAuth}, n.Kind == notePut)
	}
	if err != nil {
		d.log.Warn("an answer to a challenge of the other process is not taken up", "identifier", n.Answer.Identifier, "error", err)
	}
}

// follow takes up what the other process tells until it ends, and closes end then.
func (d *door) follow(w *way, end chan struct{}) {
	defer close(end)
	_ = w.SetReadDeadline(time.Time{})
	for {
		n, f, err := w.receive()
		if f != nil {
			f.Close()
		}
		if err != nil {
			return
		}
		d.reflect(n)
	}
}

// succession is a door's part in an upgrade: as the process that gives its place
// away, as the one that takes it, or as both one after the other.
type succession struct {
	from      *predecessor // nil: this process took nobody's place
	program   string       // what is started in our place
	socket    *admin.Server
	upgrading atomic.Bool
	lastTry   atomic.Pointer[admin.UpgradeResult] // that failed
	successor atomic.Pointer[successor]
	replaced  chan *successor // one, once
	mirrors   sync.WaitGroup
}

// successor is the process that serves now.
type successor struct {
	pid     int
	version string
	way     *way
	end     chan struct{} // closed when it has ended or has closed the way
}

func errReplaced(pid int) error {
	return fmt.Errorf("the process with PID %d has taken the place of this one", pid)
}
