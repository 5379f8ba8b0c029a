package proxyproto

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net/netip"
	"strconv"
)

// Header is what a peer announces.
type Header struct {
	// Source and Destination are those of the connection that is passed on. They
	// are not valid where the peer speaks for itself, as health checks do (LOCAL),
	// or does not know them (UNKNOWN, UNSPEC, sockets of other kinds).
	Source, Destination netip.AddrPort
}

// MaxBytes bounds a header. Version 1 has 107 at most; version 2 could say 64 KiB,
// of which nobody sends more than some hundred: additions that edge does not read.
const MaxBytes = 4096

const (
	maxLine = 107 // of version 1, CRLF included
	prefix1 = "PROXY "
	prefix2 = "\r\n\r\n\x00\r\nQUIT\n"
)

// ErrNone is wrapped by errors of Parse about bytes that begin no header.
var ErrNone = errors.New("no PROXY protocol header")

// Parse reads the header at the beginning of b. It returns the number of bytes
// that the header takes, or 0 where more of it has to come.
func Parse(b []byte) (h Header, n int, err error) {
	switch {
	case begins(b, prefix1):
		return parse1(b)
	case begins(b, prefix2):
		return parse2(b)
	}
	return h, 0, ErrNone
}

// begins reports whether b begins with prefix, as far as it goes.
func begins(b []byte, prefix string) bool {
	n := min(len(b), len(prefix))
	return string(b[:n]) == prefix[:n]
}

func parse1(b []byte) (h Header, n int, err error) {
	end := bytes.IndexByte(b[:min(len(b), maxLine)], '\n')
	if end < 0 {
		if len(b) >= maxLine {
			return h, 0, errors.New("PROXY protocol header of version 1: longer than 107 bytes")
		}
		return h, 0, nil
	}
	if end == 0 || b[end-1] != '\r' {
		return h, 0, errors.New("PROXY protocol header of version 1: the line does not end with CRLF")
	}
	fields := bytes.Split(b[len(prefix1):end-1], []byte(" "))
	n = end + 1
	var is4 bool
	switch string(fields[0]) {
	case "UNKNOWN":
		return h, n, nil // whatever follows is to be ignored
	case "TCP4":
		is4 = true
	case "TCP6":
	default:
		return h, 0, fmt.Errorf("PROXY protocol header of version 1: family %q", fields[0])
	}
	if len(fields) != 5 {
		return h, 0, errors.New("PROXY protocol header of version 1: two addresses and two ports are expected")
	}
	if h.Source, err = address1(fields[1], fields[3], is4); err == nil {
		h.Destination, err = address1(fields[2], fields[4], is4)
	}
	if err != nil {
		return Header{}, 0, fmt.Errorf("PROXY protocol header of version 1: %w", err)
	}
	return h, n, nil
}

func address1(host, port []byte, is4 bool) (netip.AddrPort, error) {
	a, err := netip.ParseAddr(string(host))
	if err != nil || a.Is4() != is4 || a.Zone() != "" {
		return netip.AddrPort{}, fmt.Errorf("address %q", host)
	}
	p, err := strconv.ParseUint(string(port), 10, 16)
	if err != nil || len(port) > 1 && port[0] == '0' {
		return netip.AddrPort{}, fmt.Errorf("port %q", port)
	}
	return netip.AddrPortFrom(a.Unmap(), uint16(p)), nil
}

// The parts of a header of version 2.
const (
	fixed2                    = 16 // before the addresses
	commandLocal, commandFrom = 0x20, 0x21
	familyUnspec              = 0x00
	familyTCP4, familyTCP6    = 0x11, 0x21
)

func parse2(b []byte) (h Header, n int, err error) {
	if len(b) < fixed2 {
		return h, 0, nil
	}
	command, family, size := b[12], b[13], int(binary.BigEndian.Uint16(b[14:]))
	n = fixed2 + size
	switch {
	case command != commandLocal && command != commandFrom:
		return h, 0, fmt.Errorf("PROXY protocol header of version 2: version and command %#02x", command)
	case family>>4 > 3 || family&15 > 2:
		return h, 0, fmt.Errorf("PROXY protocol header of version 2: family %#02x", family)
	case n > MaxBytes:
		return h, 0, fmt.Errorf("PROXY protocol header of version 2: %d bytes, at most %d are taken", n, MaxBytes)
	case command == commandFrom && size < sizeOf(family):
		return h, 0, fmt.Errorf("PROXY protocol header of version 2: %d bytes of addresses are too few", size)
	case len(b) < n:
		return h, 0, nil
	case command == commandLocal:
		return h, n, nil
	}
	body := b[fixed2:n]
	switch family {
	case familyTCP4:
		h.Source = address2(body[0:4], body[8:])
		h.Destination = address2(body[4:8], body[10:])
	case familyTCP6:
		h.Source = address2(body[0:16], body[32:])
		h.Destination = address2(body[16:32], body[34:])
	}
	return h, n, nil
}

// sizeOf is how many bytes the addresses of a family take.
func sizeOf(family byte) int {
	return [...]int{0, 12, 36, 216}[family>>4]
}

func address2(ip, port []byte) netip.AddrPort {
	a, _ := netip.AddrFromSlice(ip)
	return netip.AddrPortFrom(a.Unmap(), binary.BigEndian.Uint16(port))
}
