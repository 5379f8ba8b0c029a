package proxyproto

import (
	"encoding/binary"
	"net/netip"
	"strconv"
)

// Append appends the header of a version, 1 or 2, for a connection from source to
// destination. Addresses of two families become one of IPv6; where either is not
// valid, the header says that nothing is known.
func Append(b []byte, version int, source, destination netip.AddrPort) []byte {
	known := source.IsValid() && destination.IsValid()
	from, to := source.Addr().Unmap().WithZone(""), destination.Addr().Unmap().WithZone("")
	is4 := from.Is4() && to.Is4()
	if known && !is4 {
		from, to = netip.AddrFrom16(from.As16()), netip.AddrFrom16(to.As16())
	}
	if version == 1 {
		if !known {
			return append(b, "PROXY UNKNOWN\r\n"...)
		}
		family := "TCP6 "
		if is4 {
			family = "TCP4 "
		}
		b = append(append(b, prefix1...), family...)
		b = append(append(b, from.String()...), ' ')
		b = append(append(b, to.String()...), ' ')
		b = strconv.AppendUint(b, uint64(source.Port()), 10)
		b = strconv.AppendUint(append(b, ' '), uint64(destination.Port()), 10)
		return append(b, "\r\n"...)
	}
	b = append(b, prefix2...)
	if !known {
		return append(b, commandLocal, familyUnspec, 0, 0)
	}
	if is4 {
		b = append(b, commandFrom, familyTCP4, 0, 12)
	} else {
		b = append(b, commandFrom, familyTCP6, 0, 36)
	}
	b = append(append(b, from.AsSlice()...), to.AsSlice()...)
	b = binary.BigEndian.AppendUint16(b, source.Port())
	return binary.BigEndian.AppendUint16(b, destination.Port())
}
