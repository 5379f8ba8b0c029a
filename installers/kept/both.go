package kept

import (
	"crypto/sha256"
	"encoding/hex"
)

// Both are the pair that was delivered last and the one whose delivery was begun last:
// after a run that was killed, the service may have either.
type Both struct{ last, next File }

// NewBoth keeps both beside what f would keep.
func NewBoth(f File) *Both {
	b := &Both{last: f, next: f}
	b.next.Kind += "-next"
	return b
}

// Begin is called before the service is told, Done when it was seen to have the pair.
func (b *Both) Begin(chain, key []byte) error { return b.next.save(chain, key) }

// Done keeps a pair as what was delivered last.
func (b *Both) Done(chain, key []byte) error { return b.last.save(chain, key) }

// Last is what was delivered last; nil where nothing was.
func (b *Both) Last() (*Pair, error) { return b.last.load() }

// Find returns the pair with a leaf, by the SHA-256 of its DER; nil where it is not kept.
func (b *Both) Find(leaf [sha256.Size]byte) (*Pair, error) {
	list, err := b.all()
	for _, p := range list {
		if p.Leaf() == leaf {
			return p, nil
		}
	}
	return nil, err
}

// Fingerprints are those of the leaves, in hex: for services that show what was delivered
// where they are spoken to.
func (b *Both) Fingerprints() ([]string, error) {
	all, err := b.all()
	var list []string
	for _, p := range all {
		leaf := p.Leaf()
		list = append(list, hex.EncodeToString(leaf[:]))
	}
	return list, err
}

func (b *Both) all() ([]*Pair, error) {
	var list []*Pair
	for _, f := range []*File{&b.last, &b.next} {
		p, err := f.load()
		if err != nil {
			return nil, err
		}
		if p != nil {
			list = append(list, p)
		}
	}
	return list, nil
}

// Leaf is the SHA-256 of the DER of the leaf.
func (p *Pair) Leaf() [sha256.Size]byte { return sha256.Sum256(p.TLS.Certificate[0]) }
