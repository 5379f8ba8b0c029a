package proxy

import (
	"crypto/rand"
	"encoding/hex"
	"strconv"
	"sync/atomic"
)

// requestIDs makes identifiers that are unique across restarts and cheap: a
// random prefix of this server and a count.
type requestIDs struct {
	prefix string
	n      atomic.Uint64
}

func (r *requestIDs) next() string {
	var buf [32]byte
	return string(strconv.AppendUint(append(buf[:0], r.prefix...), r.n.Add(1), 16))
}

func randomPrefix() string {
	var b [6]byte
	rand.Read(b[:])
	return hex.EncodeToString(b[:]) + "-"
}
