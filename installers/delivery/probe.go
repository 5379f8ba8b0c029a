package delivery

import (
	"bufio"
	"context"
	"crypto/sha256"
	"crypto/tls"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net"
	"net/netip"
	"strings"
	"time"
)

// Endpoint is where a live server shows the certificate.
type Endpoint struct {
	Addr     string // host:port
	StartTLS string // "smtp", "lmtp", "imap" or "pop3"; empty: TLS from the first byte
}

func (p Endpoint) String() string {
	if p.StartTLS != "" {
		return p.Addr + "/" + p.StartTLS
	}
	return p.Addr
}

const (
	probeTime = 5 * time.Second        // of one handshake
	probeStep = 100 * time.Millisecond // between two looks at one server
	// maxProbed bounds the names that are asked for at an endpoint.
	maxProbed = 50
)

// check is one handshake that is to be made.
type check struct {
	Endpoint
	name string // for SNI, empty for none
}

func (c check) String() string {
	if c.name == "" {
		return c.Endpoint.String()
	}
	return c.name + " at " + c.Endpoint.String()
}

// checks are the handshakes that show whether a delivery has arrived: one for each
// name at each endpoint.
func checks(at []Endpoint, m *Material) []check {
	var list []check
	hosts := Hosts(m.Certs[0])
	for _, p := range at {
		for _, h := range hosts[:min(len(hosts), maxProbed)] {
			if rest, wild := strings.CutPrefix(h, "*."); wild {
				h = "edge-probe." + rest
			}
			if _, err := netip.ParseAddr(h); err == nil {
				h = "" // RFC 6066 section 3: no addresses in SNI
			}
			list = append(list, check{p, h})
		}
	}
	return list
}

// shows asks a server which leaf it has for a name.
func (c check) shows(ctx context.Context) (leaf [sha256.Size]byte, err error) {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	conn, err := new(net.Dialer).DialContext(ctx, "tcp", c.Addr)
	if err != nil {
		return leaf, err
	}
	defer conn.Close()
	stop := context.AfterFunc(ctx, func() { conn.SetDeadline(time.Unix(1, 0)) })
	defer stop()
	if err := startTLS(conn, c.StartTLS); err != nil {
		return leaf, err
	}
	// Who issued it does not matter here, only that it is the one.
	tc := tls.Client(conn, &tls.Config{ServerName: c.name, InsecureSkipVerify: true, MinVersion: tls.VersionTLS10})
	if err := tc.HandshakeContext(ctx); err != nil {
		return leaf, fmt.Errorf("handshake: %w", err)
	}
	return sha256.Sum256(tc.ConnectionState().PeerCertificates[0].Raw), nil
}

// wrong says why a handshake does not show what it should, "" where it does.
func (c check) wrong(ctx context.Context, want [sha256.Size]byte) string {
	got, err := c.shows(ctx)
	switch {
	case err != nil:
		return fmt.Sprintf("%s shows no certificate: %v", c, err)
	case got != want:
		return fmt.Sprintf("%s shows another certificate (SHA-256 %s, want %s)", c, hex.EncodeToString(got[:8]), hex.EncodeToString(want[:8]))
	}
	return ""
}

// await asks until all checks show the leaf or the time is over, which a handshake that
// has begun may exceed. The error has the first that did not.
func await(ctx context.Context, list []check, want [sha256.Size]byte, limit time.Duration) error {
	over := time.NewTimer(limit)
	defer over.Stop()
	tick := time.NewTicker(probeStep)
	defer tick.Stop()
	for {
		var why string
		for len(list) > 0 && why == "" {
			if why = list[0].wrong(ctx, want); why == "" {
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
		case <-tick.C:
		}
	}
}

// startTLS speaks a protocol up to the moment at which the handshake begins.
func startTLS(conn net.Conn, proto string) error {
	if proto == "" {
		return nil
	}
	// Not a byte behind the answer may be taken: the server speaks TLS from there on,
	// but only after we did, so that a buffer is safe.
	in := bufio.NewReader(io.LimitReader(conn, 64<<10))
	say := func(line string) error {
		_, err := io.WriteString(conn, line+"\r\n")
		return err
	}
	switch proto {
	case "smtp", "lmtp":
		hello := map[string]string{"smtp": "EHLO localhost", "lmtp": "LHLO localhost"}[proto]
		for _, s := range []struct{ send, want string }{{"", "220"}, {hello, "250"}, {"STARTTLS", "220"}} {
			if s.send != "" {
				if err := say(s.send); err != nil {
					return err
				}
			}
			if err := reply(in, s.want); err != nil {
				return fmt.Errorf("%s: %w", proto, err)
			}
		}
	case "imap":
		if _, err := line(in, "* OK"); err != nil {
			return fmt.Errorf("imap: %w", err)
		}
		if err := say("a STARTTLS"); err != nil {
			return err
		}
		for {
			l, err := line(in, "")
			switch {
			case err != nil:
				return fmt.Errorf("imap: %w", err)
			case strings.HasPrefix(l, "* "):
			case strings.HasPrefix(l, "a OK"):
				return nil
			default:
				return fmt.Errorf("imap: %q", clip(l))
			}
		}
	case "pop3":
		if _, err := line(in, "+OK"); err != nil {
			return fmt.Errorf("pop3: %w", err)
		}
		if err := say("STLS"); err != nil {
			return err
		}
		if _, err := line(in, "+OK"); err != nil {
			return fmt.Errorf("pop3: %w", err)
		}
	default:
		return errors.New("protocol " + proto + " is not known")
	}
	return nil
}

// reply reads an answer of SMTP, of as many lines as it has.
func reply(in *bufio.Reader, code string) error {
	for {
		l, err := line(in, code)
		if err != nil || len(l) < 4 || l[3] != '-' {
			return err
		}
	}
}

func line(in *bufio.Reader, prefix string) (string, error) {
	l, err := in.ReadString('\n')
	if err != nil {
		return "", err
	}
	if l = strings.TrimRight(l, "\r\n"); !strings.HasPrefix(l, prefix) {
		return "", fmt.Errorf("got %q, want %s", clip(l), prefix)
	}
	return l, nil
}
