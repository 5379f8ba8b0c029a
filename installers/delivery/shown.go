package delivery

import (
	"context"
	"encoding/json"
	"fmt"
	"net"
	"slices"
	"strings"
	"time"

	"edge/installers"
)

// Shown is a Target that cannot know itself where the live server shows the certificate,
// and is told so.
type Shown struct {
	Target
	At []installers.Endpoint // without names
}

var (
	_ Placed  = (*Shown)(nil)
	_ Patient = (*Shown)(nil)
)

// ShownAt reads the places, each HOST:PORT or HOST:PORT/PROTOCOL, as verify has them in
// the configuration. Without any, it is the target itself.
func ShownAt(t Target, places []string) (Target, error) {
	if len(places) == 0 {
		return t, nil
	}
	s := &Shown{Target: t}
	for _, p := range places {
		addr, protocol, slash := strings.Cut(p, "/")
		_, port, err := net.SplitHostPort(addr)
		if err != nil || port == "" || slash && !slices.Contains(protocols(), protocol) {
			return nil, fmt.Errorf("%s: verify: write %q as HOST:PORT, or HOST:PORT/PROTOCOL with one of %s", t.Kind(), clip(p), strings.Join(protocols(), ", "))
		}
		s.At = append(s.At, installers.Endpoint{Addr: addr, StartTLS: protocol})
	}
	return s, nil
}

// protocols are those of installers.Endpoint.
func protocols() []string {
	return []string{"smtp", "lmtp", "imap", "pop3", "postgres", "mysql", "ldap", "ftp", "sieve", "xmpp"}
}

// Places implements Placed.
func (s *Shown) Places(_ context.Context, m *Material, _ json.RawMessage) ([]installers.Endpoint, error) {
	return Asked(s.At, m), nil
}

// Within implements Patient: as the target says.
func (s *Shown) Within() time.Duration {
	it := Item{Target: s.Target}
	return it.within()
}
