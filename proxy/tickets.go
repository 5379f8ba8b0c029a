package proxy

import (
	"bytes"
	"crypto/rand"
	"crypto/tls"
	"time"
)

const (
	ticketLife = 12 * time.Hour // how long one key encrypts new tickets
	ticketKeys = 3              // keys that still decrypt
)

// ticketRing holds the keys of session tickets, newest first. A stolen key
// opens what was encrypted within ticketLife and no more; a client may resume
// for ticketLife*(ticketKeys-1) at least.
type ticketRing struct {
	keys [][32]byte
	next time.Time // when keys[0] is replaced
}

// rotate adds a key when one is due and reports whether it did. Keys that
// nobody came to rotate for a while are as old as if somebody had.
func (r *ticketRing) rotate(now time.Time) bool {
	if r.keys != nil && now.Before(r.next) {
		return false
	}
	keep := ticketKeys - 1
	if r.keys != nil {
		keep = max(0, keep-int(now.Sub(r.next)/ticketLife))
	}
	var k [32]byte
	rand.Read(k[:])
	r.keys = append([][32]byte{k}, r.keys[:min(len(r.keys), keep)]...)
	r.next = now.Add(ticketLife)
	return true
}

// bindTickets makes sessions of cfg resumable only under the server name that
// they were made for: a resumed handshake asks no CertSource, so that a ticket
// of one site would otherwise open a connection for any other name.
func bindTickets(cfg *tls.Config) {
	mark := func(name string) []byte { return append([]byte("edge.sni.1 "), name...) }
	cfg.WrapSession = func(cs tls.ConnectionState, ss *tls.SessionState) ([]byte, error) {
		ss.Extra = append(ss.Extra, mark(cs.ServerName))
		return cfg.EncryptTicket(cs, ss)
	}
	cfg.UnwrapSession = func(id []byte, cs tls.ConnectionState) (*tls.SessionState, error) {
		ss, err := cfg.DecryptTicket(id, cs)
		if err != nil || ss == nil {
			return nil, nil // unreadable: a full handshake, no failure
		}
		want := mark(cs.ServerName)
		for _, x := range ss.Extra {
			if bytes.Equal(x, want) {
				return ss, nil
			}
		}
		return nil, nil
	}
}
