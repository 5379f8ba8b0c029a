package installers

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/textproto"
	"strings"
	"time"
)

// probeTimeout bounds one connection.
const probeTimeout = 3 * time.Second

// shown is what an endpoint showed: a leaf or an error.
type shown struct {
	leaf *x509.Certificate
	err  error
}

// errHandshake tells a server that answers badly from one that does not answer.
var errHandshake = errors.New("the TLS handshake failed")

// probe asks an endpoint for its certificate. A server may have several for one name,
// of different kinds: that of the kind of like is asked for, where it is not nil.
func probe(ctx context.Context, e Endpoint, like *x509.Certificate) shown {
	got := handshake(ctx, e, nil)
	if got.err != nil || like == nil || got.leaf.Equal(like) || got.leaf.PublicKeyAlgorithm == like.PublicKeyAlgorithm {
		return got
	}
	suites := []uint16{tls.TLS_ECDHE_RSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_RSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_RSA_WITH_CHACHA20_POLY1305_SHA256}
	if like.PublicKeyAlgorithm != x509.RSA {
		suites = []uint16{tls.TLS_ECDHE_ECDSA_WITH_AES_128_GCM_SHA256, tls.TLS_ECDHE_ECDSA_WITH_AES_256_GCM_SHA384, tls.TLS_ECDHE_ECDSA_WITH_CHACHA20_POLY1305_SHA256}
	}
	if other := handshake(ctx, e, suites); other.err == nil {
		return other
	}
	return got
}

// handshake completes one, so that the server has to have the key as well. With suites
// it is of TLS 1.2, where they say what kind of certificate is wanted.
func handshake(ctx context.Context, e Endpoint, suites []uint16) shown {
	ctx, cancel := context.WithTimeout(ctx, probeTimeout)
	defer cancel()
	conn, err := dial(ctx, e.Addr, e.ProxyProtocol)
	if err != nil {
		return shown{err: err}
	}
	defer conn.Close() // nothing is written that could be lost
	if err := startTLS(conn, e.StartTLS, e.Name); err != nil {
		return shown{err: err}
	}
	var leaf *x509.Certificate
	asked := false
	config := &tls.Config{
		ServerName: e.Name, InsecureSkipVerify: true, // the leaf is compared instead
		MinVersion: tls.VersionTLS10, CipherSuites: suites,
		VerifyConnection: func(s tls.ConnectionState) error {
			leaf = s.PeerCertificates[0]
			return nil
		},
		// By then the server has proved that it has the key: it wants a certificate of us.
		GetClientCertificate: func(*tls.CertificateRequestInfo) (*tls.Certificate, error) {
			asked = true
			return new(tls.Certificate), nil
		},
	}
	if suites != nil {
		config.MaxVersion = tls.VersionTLS12
	}
	if err := tls.Client(conn, config).HandshakeContext(ctx); err != nil && (leaf == nil || !asked) {
		return shown{err: fmt.Errorf("%w: %w", errHandshake, err)}
	}
	return shown{leaf: leaf}
}

// dial connects to where a server binds to, on this machine.
func dial(ctx context.Context, addr string, proxy bool) (net.Conn, error) {
	network, addr := reachable(addr)
	conn, err := new(net.Dialer).DialContext(ctx, network, addr)
	if err != nil {
		return nil, err
	}
	deadline, _ := ctx.Deadline()
	err = conn.SetDeadline(deadline)
	if err == nil && proxy {
		_, err = conn.Write([]byte("PROXY UNKNOWN\r\n"))
	}
	if err != nil {
		_ = conn.Close() // the first error says more
		return nil, err
	}
	return conn, nil
}

// reachable is where to connect to for an address that a server binds to.
func reachable(addr string) (network, address string) {
	if path, ok := strings.CutPrefix(addr, "unix:"); ok {
		return "unix", path
	}
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return "tcp", addr // for the error of dial
	}
	switch host {
	case "", "*", "0.0.0.0":
		host = "127.0.0.1"
	case "::":
		host = "::1"
	}
	return "tcp", net.JoinHostPort(host, port)
}

// startTLS brings a connection to where the handshake begins. It reads no byte too
// many: the server says nothing before the handshake.
func startTLS(conn net.Conn, protocol, name string) error {
	c := &conversation{Conn: textproto.NewConn(struct {
		io.Reader
		io.Writer
		io.Closer
	}{io.LimitReader(conn, maxOutput), conn, conn})}
	var err error
	switch protocol {
	case "":
		return nil
	case "postgres":
		err = startPostgres(conn)
	case "mysql":
		err = startMySQL(conn)
	case "ldap":
		err = startLDAP(conn)
	case "xmpp":
		err = startXMPP(conn, name)
	case "smtp", "lmtp":
		hello := map[string]string{"smtp": "EHLO localhost", "lmtp": "LHLO localhost"}[protocol]
		c.reply(220)
		c.say(hello)
		c.reply(250)
		c.say("STARTTLS")
		c.reply(220)
	case "imap":
		c.line("* ")
		c.say("a STARTTLS")
		c.line("a OK")
	case "pop3":
		c.line("+OK")
		c.say("STLS")
		c.line("+OK")
	case "ftp": // RFC 4217
		c.reply(220)
		c.say("AUTH TLS")
		c.reply(234)
	case "sieve": // RFC 5804: what it can do are lines of strings
		c.after(`"`, "OK")
		c.say("STARTTLS")
		c.line("OK")
	default:
		return fmt.Errorf("the protocol %q before the handshake is not known", protocol)
	}
	if err = errors.Join(err, c.err); err != nil {
		return fmt.Errorf("%w: %s: %w", errHandshake, protocol, err)
	}
	return nil
}

// conversation stops at the first error.
type conversation struct {
	*textproto.Conn
	err error
}

func (c *conversation) say(line string) {
	if c.err == nil {
		c.err = c.PrintfLine("%s", line)
	}
}

func (c *conversation) reply(code int) {
	if c.err == nil {
		_, _, c.err = c.ReadResponse(code)
	}
}

// line wants a line that begins like this, and passes over some that IMAP may send
// before it.
func (c *conversation) line(prefix string) { c.after("* ", prefix) }

// after wants a line with the prefix, and passes over those that begin with other.
func (c *conversation) after(other, prefix string) {
	for range 20 {
		if c.err != nil {
			return
		}
		var line string
		if line, c.err = c.ReadLine(); c.err == nil && strings.HasPrefix(line, prefix) {
			return
		} else if c.err == nil && !strings.HasPrefix(line, other) {
			c.err = fmt.Errorf("it said %q", line)
		}
	}
	if c.err == nil {
		c.err = errors.New("it said too much")
	}
}
