package steward

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/pem"
	"fmt"
	"sync"
	"time"

	"edge"
	"edge/acmeglue/lineage"
)

// doorView is what the front door has said, so that a run over a thousand lineages
// does not ask it a thousand times, nor wait for one that hangs as often.
type doorView struct {
	mu    sync.Mutex
	at    time.Time
	wants map[string]edge.LineageStatus // nil: it was not asked yet
}

// doorBelieved is how long that is believed.
const doorBelieved = time.Minute

// doorWants is what the door has of a lineage that one of its sites uses.
func (s *Steward) doorWants(ctx context.Context, name string) (edge.LineageStatus, bool) {
	s.door.mu.Lock()
	defer s.door.mu.Unlock()
	now := s.o.Now()
	if s.door.wants == nil || now.Sub(s.door.at).Abs() > doorBelieved {
		s.door.at, s.door.wants = now, map[string]edge.LineageStatus{}
		if !s.doorAnswers(ctx) {
			return edge.LineageStatus{}, false
		}
		list, err := s.o.Door.Lineages(ctx)
		if err != nil {
			s.o.Log.Warn("the front door does not say which lineages it serves", "error", err)
		}
		for _, w := range list {
			s.door.wants[w.Name] = w
		}
	}
	w, ok := s.door.wants[name]
	return w, ok
}

// toDoor gives the front door a lineage that one of its sites uses, unless it has
// just this version of it. A door that is down gets it from the next renew.
func (s *Steward) toDoor(ctx context.Context, l *lineage.Lineage) error {
	has, wanted := s.doorWants(ctx, l.Name())
	if !wanted {
		return nil
	}
	chain, err := l.Read(lineage.FullChain)
	if err != nil {
		return err
	}
	sum := chainSum(chain)
	if sum == has.ChainSHA256 {
		return nil
	}
	key, err := l.Read(lineage.PrivKey)
	if err != nil {
		return err
	}
	if err := s.o.Door.PutLineage(ctx, l.Name(), edge.Bundle{Chain: chain, Key: key}); err != nil {
		return fmt.Errorf("give lineage %s to the front door: %w; the next renew tries again", l.Name(), err)
	}
	s.door.mu.Lock()
	defer s.door.mu.Unlock()
	has.ChainSHA256 = sum
	s.door.wants[l.Name()] = has
	s.o.Log.Info("the front door serves the lineage", "lineage", l.Name())
	return nil
}

// chainSum is what the door says of a chain that it has (edge.LineageStatus): of the
// whole chain, since people mend one with the leaf that they have.
func chainSum(chain []byte) string {
	h := sha256.New()
	for block, rest := pem.Decode(chain); block != nil; block, rest = pem.Decode(rest) {
		if block.Type == "CERTIFICATE" {
			h.Write(block.Bytes)
		}
	}
	return hex.EncodeToString(h.Sum(nil))
}
