package installers

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"net"
)

// startPostgres asks PostgreSQL for TLS (Frontend/Backend Protocol, SSLRequest). It reads
// one byte and no more: what comes after it has to be the handshake.
func startPostgres(conn net.Conn) error {
	if _, err := conn.Write([]byte{0, 0, 0, 8, 0x04, 0xd2, 0x16, 0x2f}); err != nil {
		return err
	}
	var b [1]byte
	if _, err := io.ReadFull(conn, b[:]); err != nil {
		return err
	}
	switch b[0] {
	case 'S':
		return nil
	case 'N':
		return errors.New("it speaks no TLS (ssl is off, or it was built without)")
	}
	return fmt.Errorf("the answer to SSLRequest is %q, not S", b[0])
}

// The capabilities of MySQL's protocol that matter here.
const (
	mysqlProtocol41 = 0x0200
	mysqlSSL        = 0x0800
	mysqlSecure     = 0x8000
)

// maxGreeting bounds MySQL's first packet, in bytes.
const maxGreeting = 16 << 10

// startMySQL asks MySQL or MariaDB for TLS (Client/Server Protocol, SSLRequest).
func startMySQL(conn net.Conn) error {
	var head [4]byte // three bytes of length, one of sequence
	if _, err := io.ReadFull(conn, head[:]); err != nil {
		return err
	}
	n := int(head[0]) | int(head[1])<<8 | int(head[2])<<16
	if n == 0 || n > maxGreeting {
		return fmt.Errorf("the greeting has %d bytes", n)
	}
	greeting := make([]byte, n)
	if _, err := io.ReadFull(conn, greeting); err != nil {
		return err
	}
	capabilities, err := mysqlGreeting(greeting)
	switch {
	case err != nil:
		return err
	case capabilities&mysqlSSL == 0:
		return errors.New("it speaks no TLS (ssl_cert and ssl_key are not set, or could not be loaded)")
	}
	request := make([]byte, 4+32)
	request[0], request[3] = 32, head[3]+1
	binary.LittleEndian.PutUint32(request[4:], mysqlProtocol41|mysqlSSL|mysqlSecure)
	binary.LittleEndian.PutUint32(request[8:], maxGreeting)
	request[12] = 45 // utf8mb4
	_, err = conn.Write(request)
	return err
}

// mysqlGreeting returns the lower capabilities of a server.
func mysqlGreeting(b []byte) (uint16, error) {
	switch {
	case b[0] == 0xff:
		return 0, fmt.Errorf("it says %.200q", bytes.TrimLeft(b[1:], "\x00"))
	case b[0] != 10:
		return 0, fmt.Errorf("the greeting is of version %d of the protocol, not 10", b[0])
	}
	// version NUL, thread 4, part of a nonce 8, filler 1, capabilities 2
	end := bytes.IndexByte(b, 0)
	if end < 0 || len(b) < end+1+4+8+1+2 {
		return 0, errors.New("the greeting ends too early")
	}
	return binary.LittleEndian.Uint16(b[end+1+4+8+1:]), nil
}
