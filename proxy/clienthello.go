package proxy

import (
	"encoding/binary"
	"errors"
	"net"
	"time"

	"edge"
)

// helloInfo is what decides where a TLS connection goes, read without answering it.
type helloInfo struct {
	name string // the server name as it was sent; "": none. With encrypted ClientHello the outer one
	acme bool   // acme-tls/1 is the only protocol that is offered
}

var (
	errNoHello   = errors.New("no ClientHello")
	errLongHello = errors.New("the ClientHello is longer than 16 KiB")
)

const (
	maxHello = 16 << 10 // of the message. With post-quantum keys and ECH, browsers send 2 KiB
	// maxRecords bounds what the message may come in: it could come in records of one byte.
	maxRecords = maxHello + 256*recordHeader

	recordHeader, messageHeader     = 5, 4
	typeHandshake, typeClientHello  = 22, 1
	extensionServerName, serverHost = 0, 0
	extensionALPN                   = 16
)

// parseClientHello reads a ClientHello (RFC 8446 section 4.1.2) from records. More
// means that some of it has yet to come. What crypto/tls would refuse in the parts
// that are read here is no hello: two readers must not find two names.
func parseClientHello(b []byte) (h helloInfo, more bool, err error) {
	msg, more, err := helloMessage(b)
	if more || err != nil {
		return h, more, err
	}
	r := tlsReader{b: msg}
	r.skip(2 + 32)               // version, random
	r.vector8()                  // session ID
	r.vector16()                 // cipher suites
	r.vector8()                  // compression methods
	if !r.bad && len(r.b) == 0 { // there were times without extensions
		return h, false, nil
	}
	extensions := r.vector16()
	if r.bad || len(r.b) > 0 {
		return h, false, errNoHello
	}
	var seen [2]bool
	for len(extensions.b) > 0 {
		kind, body := extensions.number16(), extensions.vector16()
		ok := !extensions.bad
		switch kind {
		case extensionServerName:
			ok = ok && !seen[0]
			seen[0] = true
			h.name, ok = serverName(body, ok)
		case extensionALPN:
			ok = ok && !seen[1]
			seen[1] = true
			h.acme, ok = onlyACME(body, ok)
		}
		if !ok {
			return helloInfo{}, false, errNoHello
		}
	}
	return h, false, nil
}

// helloMessage joins what the records carry of the first handshake message.
func helloMessage(b []byte) (msg []byte, more bool, err error) {
	for len(b) > 0 {
		// What can be seen to be wrong is wrong before more of it has come.
		switch {
		case b[0] != typeHandshake, len(b) > 1 && b[1] != 3:
			return nil, false, errNoHello
		case len(b) < recordHeader:
			return nil, true, nil
		}
		size := int(binary.BigEndian.Uint16(b[3:]))
		if size == 0 || size > 16<<10 {
			return nil, false, errNoHello
		}
		part := b[recordHeader:min(len(b), recordHeader+size)]
		if msg == nil {
			msg = part[:len(part):len(part)] // mostly the whole, and nothing is copied
		} else {
			msg = append(msg, part...)
		}
		if len(msg) > 0 && msg[0] != typeClientHello {
			return nil, false, errNoHello
		}
		if len(msg) >= messageHeader {
			whole := messageHeader + int(msg[1])<<16 + int(msg[2])<<8 + int(msg[3])
			switch {
			case whole > messageHeader+maxHello:
				return nil, false, errLongHello
			case len(msg) == whole:
				return msg[messageHeader:], false, nil
			case len(msg) > whole:
				return nil, false, errNoHello // nothing may follow before the server has answered
			}
		}
		b = b[recordHeader+len(part):]
	}
	return nil, true, nil
}

func serverName(body tlsReader, ok bool) (string, bool) {
	list := body.vector16()
	if !ok || body.bad || len(body.b) > 0 || len(list.b) == 0 {
		return "", false
	}
	kind, name := list.number8(), list.vector16()
	if list.bad || kind != serverHost || len(name.b) == 0 || len(list.b) > 0 {
		return "", false // there is one kind, and one name of each (RFC 6066 section 3)
	}
	return string(name.b), true
}

func onlyACME(body tlsReader, ok bool) (only, _ bool) {
	list := body.vector16()
	if !ok || body.bad || len(body.b) > 0 || len(list.b) == 0 {
		return false, false
	}
	n := 0
	for len(list.b) > 0 {
		p := list.vector8()
		if list.bad || len(p.b) == 0 {
			return false, false
		}
		n++
		only = n == 1 && string(p.b) == edge.ALPNProto
	}
	return only, true
}

// tlsReader reads the parts of a message from its beginning. Once something is
// missing, it is bad and has nothing left.
type tlsReader struct {
	b   []byte
	bad bool
}

func (r *tlsReader) take(n int) []byte {
	if n > len(r.b) {
		r.b, r.bad = nil, true
		return nil
	}
	b := r.b[:n]
	r.b = r.b[n:]
	return b
}

func (r *tlsReader) skip(n int) { r.take(n) }

func (r *tlsReader) number8() int {
	if b := r.take(1); b != nil {
		return int(b[0])
	}
	return 0
}

func (r *tlsReader) number16() int { return r.number8()<<8 | r.number8() }

// vector8 and vector16 read bytes that come with their number.
func (r *tlsReader) vector8() tlsReader {
	b := r.take(r.number8())
	return tlsReader{b, r.bad}
}

func (r *tlsReader) vector16() tlsReader {
	b := r.take(r.number16())
	return tlsReader{b, r.bad}
}

// readHello reads from c until a ClientHello is complete, and returns everything
// that was read.
func readHello(c net.Conn, limit time.Duration) (h helloInfo, early []byte, err error) {
	if err := c.SetReadDeadline(time.Now().Add(limit)); err != nil {
		return h, nil, err
	}
	buf := make([]byte, 0, 2<<10)
	for {
		m, rerr := c.Read(buf[len(buf):cap(buf)])
		buf = buf[:len(buf)+m]
		h, more, err := parseClientHello(buf)
		switch {
		case err != nil || !more:
			return h, buf, err
		case rerr != nil:
			return h, buf, rerr
		case len(buf) >= maxRecords:
			return h, buf, errLongHello
		case len(buf) == cap(buf):
			buf = append(make([]byte, 0, min(2*cap(buf), maxRecords)), buf...)
		}
	}
}
