package installers

import (
	"encoding/xml"
	"errors"
	"fmt"
	"io"
	"net"
	"strings"
)

// startLDAP asks for TLS by the extended operation of RFC 4511 section 4.14. It reads the
// answer and no byte more.
func startLDAP(conn net.Conn) error {
	// LDAPMessage{1, ExtendedRequest{requestName}}
	request := "\x30\x1d\x02\x01\x01\x77\x18\x80\x161.3.6.1.4.1.1466.20037"
	if _, err := io.WriteString(conn, request); err != nil {
		return err
	}
	tag, answer, err := readBER(conn)
	if err != nil {
		return err
	}
	if tag != 0x30 {
		return errors.New("the answer is not of LDAP")
	}
	return ldapAnswer(answer)
}

// maxBER bounds an answer of LDAP, in bytes.
const maxBER = 16 << 10

// readBER reads one element. Lengths may have zeros before them, as Active Directory
// writes them, which DER forbids.
func readBER(r io.Reader) (tag byte, content []byte, err error) {
	var b [4]byte
	if _, err := io.ReadFull(r, b[:2]); err != nil {
		return 0, nil, err
	}
	tag, n := b[0], int(b[1])
	if n >= 0x80 {
		size := n - 0x80
		if size < 1 || size > len(b) {
			return 0, nil, errors.New("the answer is not of LDAP")
		}
		if _, err := io.ReadFull(r, b[:size]); err != nil {
			return 0, nil, err
		}
		n = 0
		for _, c := range b[:size] {
			n = n<<8 | int(c)
		}
	}
	if n > maxBER {
		return 0, nil, fmt.Errorf("the answer has %d bytes", n)
	}
	content = make([]byte, n)
	_, err = io.ReadFull(r, content)
	return tag, content, err
}

// ldapAnswer looks at an ExtendedResponse to message 1.
func ldapAnswer(message []byte) error {
	r := strings.NewReader(string(message))
	tag, id, err := readBER(r)
	if err != nil || tag != 0x02 || string(id) != "\x01" {
		return errors.New("the answer is to no question of ours")
	}
	tag, body, err := readBER(r)
	if err != nil || tag != 0x78 {
		return errors.New("the answer is no ExtendedResponse")
	}
	r = strings.NewReader(string(body))
	tag, code, err := readBER(r)
	switch {
	case err != nil || tag != 0x0a || len(code) != 1:
		return errors.New("the answer has no result")
	case code[0] == 0:
		return nil
	}
	_, _, _ = readBER(r)       // matchedDN
	_, says, err := readBER(r) // diagnosticMessage
	if err != nil || len(says) == 0 {
		return fmt.Errorf("it refuses TLS, result %d", code[0])
	}
	return fmt.Errorf("it refuses TLS, result %d: %.200q", code[0], says)
}

// startXMPP asks for TLS as a client does (RFC 6120 section 5). The name is the domain
// that the server has to answer for.
func startXMPP(conn net.Conn, name string) error {
	var to strings.Builder
	if err := xml.EscapeText(&to, []byte(name)); err != nil {
		return err
	}
	_, err := fmt.Fprintf(conn, "<?xml version='1.0'?><stream:stream xmlns='jabber:client' xmlns:stream='http://etherx.jabber.org/streams' to='%s' version='1.0'>", to.String())
	if err != nil {
		return err
	}
	const space = "urn:ietf:params:xml:ns:xmpp-tls"
	in := xml.NewDecoder(io.LimitReader(conn, maxOutput))
	offered := false
	for {
		token, err := in.Token()
		if err != nil {
			return err
		}
		if start, ok := token.(xml.StartElement); ok {
			switch {
			case start.Name == (xml.Name{Space: space, Local: "starttls"}):
				offered = true
			case start.Name.Local == "error" || start.Name == (xml.Name{Space: space, Local: "failure"}):
				return why(in, start)
			}
		}
		end, ok := token.(xml.EndElement)
		switch {
		case !ok:
		case end.Name == (xml.Name{Space: space, Local: "proceed"}):
			return nil
		case end.Name.Local == "features" && !offered:
			return errors.New("it offers no STARTTLS")
		case end.Name.Local == "features":
			if _, err := io.WriteString(conn, "<starttls xmlns='"+space+"'/>"); err != nil {
				return err
			}
		}
	}
}

// why is what an error of XMPP says: the name of the element in it.
func why(in *xml.Decoder, of xml.StartElement) error {
	for {
		token, err := in.Token()
		if err != nil {
			return err
		}
		switch t := token.(type) {
		case xml.StartElement:
			return fmt.Errorf("it says %s: %.100q", of.Name.Local, t.Name.Local)
		case xml.EndElement:
			return fmt.Errorf("it says %s", of.Name.Local)
		}
	}
}
