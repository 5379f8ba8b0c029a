package installers

import (
	"bufio"
	"bytes"
	"crypto/tls"
	"errors"
	"io"
	"net"
	"strings"
	"testing"
)

// until reads what a client says, up to a text; the whole has to have another in it.
func until(r *bufio.Reader, end, has string) error {
	var heard strings.Builder
	for !strings.HasSuffix(heard.String(), end) {
		c, err := r.ReadByte()
		if err != nil {
			return err
		}
		heard.WriteByte(c)
	}
	if !strings.Contains(heard.String(), has) {
		return errors.New("heard " + heard.String())
	}
	return nil
}

// ldap is a server's side, which answers with these bytes.
func ldap(answer string) func(*bufio.Reader, net.Conn) error {
	return func(r *bufio.Reader, conn net.Conn) error {
		if err := until(r, ".20037", "0\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466"); err != nil {
			return err
		}
		_, err := io.WriteString(conn, answer)
		return err
	}
}

// xmpp is a server's side, which answers the stream and the request.
func xmpp(features, answer string) func(*bufio.Reader, net.Conn) error {
	return func(r *bufio.Reader, conn net.Conn) error {
		if err := until(r, "version='1.0'>", "to='a.test'"); err != nil {
			return err
		}
		if _, err := io.WriteString(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' id='1' version='1.0'>"+features); err != nil {
			return err
		}
		if answer == "" {
			return errors.New("no more")
		}
		if err := until(r, "/>", "<starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'"); err != nil {
			return err
		}
		_, err := io.WriteString(conn, answer)
		return err
	}
}

// LDAP and XMPP begin TLS in their own ways; what they say otherwise is told.
func TestProbeOfDirectoriesAndChat(t *testing.T) {
	one := recipe{serial: 1, names: []string{"a.test"}}.make(t)
	config := &tls.Config{Certificates: []tls.Certificate{one.pair()}}
	const (
		offer   = "<stream:features><starttls xmlns='urn:ietf:params:xml:ns:xmpp-tls'><required/></starttls></stream:features>"
		proceed = "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>"
	)
	for _, c := range []struct {
		protocol, want string
		talk           func(*bufio.Reader, net.Conn) error
	}{
		{"ldap", "", ldap("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00")},
		{"ldap", "", ldap("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00")}, // as Active Directory
		{"ldap", `result 52: "no TLS"`, ldap("\x30\x12\x02\x01\x01\x78\x0d\x0a\x01\x34\x04\x00\x04\x06no TLS")},
		{"ldap", "result 2", ldap("\x30\x08\x02\x01\x01\x78\x03\x0a\x01\x02")},
		{"ldap", "no question of ours", ldap("\x30\x0c\x02\x01\x00\x78\x07\x0a\x01\x00\x04\x00\x04\x00")},
		{"ldap", "no ExtendedResponse", ldap("\x30\x0c\x02\x01\x01\x61\x07\x0a\x01\x00\x04\x00\x04\x00")},
		{"ldap", "not of LDAP", ldap("HTTP/1.1 400 Bad Request\r\n" + strings.Repeat("x", 100))},
		{"ldap", "bytes", ldap("\x30\x84\x7f\xff\xff\xff")},
		{"xmpp", "", xmpp(offer, proceed)},
		{"xmpp", "", xmpp(offer, "<proceed xmlns='urn:ietf:params:xml:ns:xmpp-tls'></proceed>")},
		{"xmpp", "offers no STARTTLS", xmpp("<stream:features><mechanisms xmlns='urn:ietf:params:xml:ns:xmpp-sasl'/></stream:features>", "")},
		{"xmpp", "host-unknown", xmpp("<stream:error><host-unknown xmlns='urn:ietf:params:xml:ns:xmpp-streams'/></stream:error>", "")},
		{"xmpp", "it says failure", xmpp(offer, "<failure xmlns='urn:ietf:params:xml:ns:xmpp-tls'/>")},
		{"xmpp", "EOF", xmpp("<stream:features>", "")},
	} {
		l := listen(t, "tcp", "127.0.0.1:0")
		serveTLS(t, l, config, c.talk)
		got := probe(t.Context(), Endpoint{Addr: l.Addr().String(), Name: "a.test", StartTLS: c.protocol}, nil)
		switch {
		case c.want == "" && (got.err != nil || !got.leaf.Equal(one.cert)):
			t.Errorf("%s: %v", c.protocol, got.err)
		case c.want != "" && (got.err == nil || !strings.Contains(got.err.Error(), c.want)):
			t.Errorf("%s: %v; want %s", c.protocol, got.err, c.want)
		}
	}
}

// An answer of LDAP is read to its end, and not beyond.
func FuzzLDAPAnswer(f *testing.F) {
	f.Add([]byte("\x30\x0c\x02\x01\x01\x78\x07\x0a\x01\x00\x04\x00\x04\x00rest"))
	f.Add([]byte("\x30\x84\x00\x00\x00\x10\x02\x01\x01\x78\x84\x00\x00\x00\x07\x0a\x01\x00\x04\x00\x04\x00"))
	f.Add([]byte("\x30\x80"))
	f.Fuzz(func(t *testing.T, b []byte) {
		r := bytes.NewReader(b)
		_, content, err := readBER(r)
		if err != nil {
			return
		}
		if !bytes.HasSuffix(b[:len(b)-r.Len()], content) {
			t.Errorf("%q of %q, %d left", content, b, r.Len())
		}
		_ = ldapAnswer(content)
	})
}
