package conf

import (
	"cmp"
	"slices"
	"strings"
)

// apply returns the bytes of a span with the edits done.
func (f *File) apply(c *changes, within Span) (string, error) {
	if c == nil {
		return f.Text(within), nil
	}
	if err := f.conflict(c); err != nil {
		return "", err
	}
	edits := slices.Clone(c.edits)
	slices.SortStableFunc(edits, func(a, b edit) int {
		// What is inserted at a byte comes before what replaces it.
		return cmp.Or(cmp.Compare(a.Start, b.Start), cmp.Compare(min(a.size(), 1), min(b.size(), 1)), cmp.Compare(a.side, b.side))
	})
	var b strings.Builder
	pos := within.Start
	for _, e := range edits {
		if e.Start < within.Start || e.End > within.End {
			return "", f.errorf(e.Start, "an edit of a copy reaches out of what is copied")
		}
		if e.Start < pos && e.text != "" {
			return "", f.errorf(e.Start, "%w", errOverlap)
		}
		b.WriteString(f.Src[pos:max(pos, e.Start)])
		b.WriteString(e.text)
		pos = max(pos, e.End)
	}
	b.WriteString(f.Src[pos:within.End])
	return b.String(), nil
}

func (s Span) size() int { return s.End - s.Start }

// conflict finds an edit inside of what another operation has for itself. Operations
// on one directive claim it as a whole, so touching at the ends is fine.
func (f *File) conflict(c *changes) error {
	claims := slices.Clone(c.claims)
	slices.SortFunc(claims, func(a, b edit) int { return cmp.Compare(a.Start, b.Start) })
	for i := 1; i < len(claims); i++ {
		if claims[i].Start < claims[i-1].End {
			return f.errorf(claims[i].Start, "%w", errOverlap)
		}
	}
	for _, e := range c.edits {
		// The claims do not overlap, so only the last one before the end can.
		i, _ := slices.BinarySearchFunc(claims, max(e.End, e.Start+1), func(c edit, at int) int { return cmp.Compare(c.Start, at) })
		for i--; i >= 0 && claims[i].End > e.Start; i-- {
			inside := e.size() > 0 || claims[i].Start < e.Start
			if claims[i].op != e.op && inside {
				return f.errorf(e.Start, "%w", errOverlap)
			}
		}
	}
	return nil
}
