package delivery

import (
	"context"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"strings"
	"time"

	"edge/installers"
)

const (
	// probeStep is between two looks at one server, more and more up to longestStep.
	probeStep   = 100 * time.Millisecond
	longestStep = 5 * time.Second
	// maxProbed bounds the names that are asked for at an endpoint.
	maxProbed = 50
)

// Asked are the handshakes that show whether a delivery has arrived: one for each name of
// the certificate at each endpoint.
func Asked(at []installers.Endpoint, m *Material) []installers.Endpoint {
	var list []installers.Endpoint
	hosts := m.Hosts
	for _, e := range at {
		for _, h := range hosts[:min(len(hosts), maxProbed)] {
			if rest, wild := strings.CutPrefix(h, "*."); wild {
				h = "edge-probe." + rest
			}
			if _, err := netip.ParseAddr(h); err == nil {
				h = "" // RFC 6066 section 3: no addresses in SNI
			}
			e.Name = h
			list = append(list, e)
		}
	}
	return list
}

// wrong says why an endpoint does not show a leaf, "" where it does.
func wrong(ctx context.Context, e installers.Endpoint, want *x509.Certificate) string {
	got, err := installers.Shows(ctx, e, want)
	return otherwise(e, got, err, want)
}

// otherwise says what an endpoint showed in the place of what it should, "" where it
// showed that.
func otherwise(e installers.Endpoint, got *x509.Certificate, err error, want *x509.Certificate) string {
	where := place(e)
	if e.Name != "" {
		where = e.Name + " at " + where
	}
	switch {
	case err != nil:
		return fmt.Sprintf("%s shows no certificate: %v", where, err)
	case !got.Equal(want):
		return fmt.Sprintf("%s shows another certificate (SHA-256 %s, want %s)", where, sum(got), sum(want))
	}
	return ""
}

// look asks each endpoint in turn. One that does not answer is asked for no other name:
// each would take its time. One that answers may still refuse single names.
func look(ctx context.Context, list []installers.Endpoint, like *x509.Certificate, saw func(e installers.Endpoint, leaf *x509.Certificate, err error)) {
	dead := map[string]bool{}
	for _, e := range list {
		if dead[place(e)] {
			continue
		}
		leaf, err := installers.Shows(ctx, e, like)
		var op *net.OpError
		dead[place(e)] = errors.As(err, &op) && (op.Op == "dial" || op.Timeout()) || errors.Is(err, context.DeadlineExceeded)
		saw(e, leaf, err)
	}
}

// place is an endpoint as it is in the configuration.
func place(e installers.Endpoint) string {
	if e.StartTLS != "" {
		return e.Addr + "/" + e.StartTLS
	}
	return e.Addr
}

func sum(c *x509.Certificate) string {
	s := sha256.Sum256(c.Raw)
	return hex.EncodeToString(s[:8])
}

// await asks until all endpoints show the leaf or the time is over, which a handshake
// that has begun may exceed. The error has the first that did not.
func await(ctx context.Context, list []installers.Endpoint, want *x509.Certificate, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	pause := probeStep
	for {
		var why string
		for len(list) > 0 && why == "" {
			if why = wrong(ctx, list[0], want); why == "" {
				list = list[1:]
			}
		}
		if len(list) == 0 {
			return nil
		}
		select {
		case <-ctx.Done():
			return fmt.Errorf("%w: %s", context.Cause(ctx), why)
		case <-over.C:
			return fmt.Errorf("after %s, %s", limit, why)
		case <-time.After(pause):
			pause = min(pause*5/4, longestStep) // some servers take many minutes
		}
	}
}
