package steward

import (
	"context"
	"crypto/x509"
	"errors"
	"fmt"
	"strings"
	"testing"

	"edge"
	"edge/acmeglue/lineage"
)

// gate is a front door that counts what it is asked and given.
type gate struct {
	wants      []edge.LineageStatus
	down       bool
	asked, put int
	got        edge.Bundle
}

func (g *gate) Listeners(context.Context) (plain, tls []string, err error) {
	if g.asked++; g.down {
		return nil, nil, errors.New("no answer")
	}
	return []string{":80"}, nil, nil
}

func (g *gate) Lineages(context.Context) ([]edge.LineageStatus, error) { return g.wants, nil }
func (g *gate) PutChallenge(context.Context, edge.Answer) error        { return nil }
func (g *gate) RemoveChallenge(context.Context, edge.Answer) error     { return nil }
func (g *gate) PutLineage(_ context.Context, _ string, b edge.Bundle) error {
	g.put++
	g.got = b
	return nil
}

// The door gets what its sites use and what it has not got yet, and is asked once for
// many lineages, also when it is down.
func TestToDoor(t *testing.T) {
	r := newRig(t)
	door := &gate{wants: []edge.LineageStatus{{Name: "n3"}}}
	r.o.Door = door
	var all []*lineage.Lineage
	for n := range 5 {
		all = append(all, r.create(fmt.Sprintf("n%d", n), ecKey(t), x509.Certificate{DNSNames: []string{"a.test"}}, ""))
	}
	s := r.steward()
	give := func(asked, put int) {
		t.Helper()
		for _, l := range all {
			if err := s.toDoor(t.Context(), l); err != nil {
				t.Fatal(err)
			}
		}
		if door.asked != asked || door.put != put {
			t.Errorf("the door was asked %d times and given %d lineages, want %d and %d", door.asked, door.put, asked, put)
		}
	}
	give(1, 1)
	give(1, 1)
	chain, err1 := all[3].Read(lineage.FullChain)
	key, err2 := all[3].Read(lineage.PrivKey)
	if err1 != nil || err2 != nil || string(door.got.Chain) != string(chain) || string(door.got.Key) != string(key) {
		t.Errorf("the door was given something else: %v, %v", err1, err2)
	}
	r.now = r.now.Add(doorBelieved + 1)
	door.wants = append(door.wants, edge.LineageStatus{Name: "n4"})
	door.wants[0].ChainSHA256 = s.door.wants["n3"].ChainSHA256
	give(2, 2)
	r.now = r.now.Add(-2 * doorBelieved) // the clock was set back
	door.down = true
	give(3, 2)
}

// What left the configuration has lost its DNS provider, and is told where to find
// one.
func TestDoorWithoutDNS(t *testing.T) {
	r := newRig(t)
	for _, c := range []struct {
		flags, name string
		refused     bool
	}{
		{"--preferred-challenges dns", "a.example.test", true},
		{"", "*.example.test", true},
		{"--preferred-challenges dns,http", "a.example.test", false},
		{"", "a.example.test", false},
	} {
		o := r.options("certonly " + c.flags + " -d " + c.name)
		o.Authenticator = doorName
		_, err := r.steward().authenticator(t.Context(), o, []string{c.name})
		if refused := err != nil && strings.Contains(err.Error(), "edge reconfigure --cert-name"); refused != c.refused {
			t.Errorf("%s %s: %v", c.flags, c.name, err)
		}
	}
}
