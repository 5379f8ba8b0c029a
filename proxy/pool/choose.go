package pool

import (
	"hash/fnv"
	"math/rand/v2"
	"sync"
)

// chooser picks one of the members that may have a request. fit is never empty,
// and is in the order of the pool.
type chooser func(fit []*member, key string) *member

func newChooser(b Balance, all []*member) chooser {
	switch b {
	case LeastRequests:
		return leastOfTwo
	case RoundRobin:
		return newRoundRobin()
	case Random:
		return weighted
	case Hash:
		return newMaglev(all)
	}
	return nil
}

// leastOfTwo takes the less busy of two that are picked by weight (Mitzenmacher,
// The Power of Two Choices, 2001): nearly as good as the least busy of all, and
// not what everybody picks at the same time.
func leastOfTwo(fit []*member, _ string) *member {
	if len(fit) == 1 {
		return fit[0]
	}
	a := weighted(fit, "")
	b := weighted(fit, "")
	for range 3 {
		if a != b {
			break
		}
		b = fit[rand.IntN(len(fit))]
	}
	if b.busy() < a.busy() {
		return b
	}
	return a
}

// busy is the load of a member, by its weight.
func (m *member) busy() float64 { return float64(m.load.Load()) / float64(m.weight) }

// weighted picks at random, by weight.
func weighted(fit []*member, _ string) *member {
	sum := 0
	for _, m := range fit {
		sum += m.weight
	}
	n := rand.IntN(sum)
	for _, m := range fit {
		if n -= m.weight; n < 0 {
			return m
		}
	}
	return fit[0]
}

// newRoundRobin is the smooth weighted round robin that nginx made known: of
// weights 5, 1, 1 it makes a a b a c a a.
func newRoundRobin() chooser {
	var mu sync.Mutex
	current := map[*member]int{}
	return func(fit []*member, _ string) *member {
		mu.Lock()
		defer mu.Unlock()
		sum := 0
		var best *member
		for _, m := range fit {
			sum += m.weight
			current[m] += m.weight
			if best == nil || current[m] > current[best] {
				best = m
			}
		}
		current[best] -= sum
		return best
	}
}

// maglevSize is the size of the table: a prime, a hundred times more than there
// are likely to be servers.
const maglevSize = 65537

// newMaglev hashes keys to servers by Maglev's table (Eisenbud et al., NSDI
// 2016), so that a change of servers moves few keys. A key whose server may not
// be asked goes where the next entries of the table point.
func newMaglev(all []*member) chooser {
	table := maglev(all)
	return func(fit []*member, key string) *member {
		if key == "" {
			return leastOfTwo(fit, "") // what is hashed is not there: all such requests are no one's
		}
		at := hash64(key, 0) % maglevSize
		may := make(map[*member]bool, len(fit))
		for _, m := range fit {
			may[m] = true
		}
		for range maglevSize {
			if m := all[table[at]]; may[m] {
				return m
			}
			at = (at + 1) % maglevSize
		}
		return fit[0]
	}
}

// maglev fills the table: the servers take turns, by weight, each taking the
// next free entry of an order of its own.
func maglev(all []*member) []uint16 {
	offset, skip, next := make([]uint64, len(all)), make([]uint64, len(all)), make([]uint64, len(all))
	for i, m := range all {
		offset[i] = hash64(m.address, 1) % maglevSize
		skip[i] = hash64(m.address, 2)%(maglevSize-1) + 1
	}
	table := make([]uint16, maglevSize)
	taken := make([]bool, maglevSize)
	for filled := 0; ; {
		for i, m := range all {
			for range m.weight {
				at := (offset[i] + next[i]*skip[i]) % maglevSize
				for taken[at] {
					next[i]++
					at = (offset[i] + next[i]*skip[i]) % maglevSize
				}
				taken[at], table[at] = true, uint16(i)
				next[i]++
				if filled++; filled == maglevSize {
					return table
				}
			}
		}
	}
}

func hash64(s string, salt byte) uint64 {
	h := fnv.New64a()
	h.Write([]byte{salt})
	h.Write([]byte(s))
	x := h.Sum64() // mixed once more: FNV's high bits are weak for short keys
	x ^= x >> 33
	x *= 0xff51afd7ed558ccd
	x ^= x >> 33
	return x
}
