package proxyproto

import (
	"bufio"
	"bytes"
	"errors"
	"net"
	"net/netip"
	"strings"
	"testing"

	goproxyproto "github.com/pires/go-proxyproto"
)

func ap(s string) netip.AddrPort {
	if s == "" {
		return netip.AddrPort{}
	}
	return netip.MustParseAddrPort(s)
}

const ipv4Body = "\xc0\x00\x02\x01\xc6\x33\x64\x02\x12\x34\x01\xbb" // 192.0.2.1:4660 to 198.51.100.2:443

func TestParse(t *testing.T) {
	v2 := func(command, family byte, size int, body string) string {
		return prefix2 + string([]byte{command, family, byte(size >> 8), byte(size)}) + body
	}
	six := strings.Repeat("\x20\x01\x0d\xb8\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x00\x09", 2) + "\x00\x50\x01\xbb"
	for name, tc := range map[string]struct {
		in, source, destination string
		bad                     string
	}{
		"1: IPv4":                       {in: "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\n", source: "192.0.2.1:4660", destination: "198.51.100.2:443"},
		"1: IPv6":                       {in: "PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n", source: "[2001:db8::9]:1", destination: "[2001:db8::1]:65535"},
		"1: the longest":                {in: "PROXY UNKNOWN ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff ffff:ffff:ffff:ffff:ffff:ffff:ffff:ffff 65535 65535\r\n"},
		"1: unknown":                    {in: "PROXY UNKNOWN\r\n"},
		"1: mapped":                     {in: "PROXY TCP6 ::ffff:192.0.2.1 ::ffff:198.51.100.2 1 2\r\n", source: "192.0.2.1:1", destination: "198.51.100.2:2"},
		"1: one byte too long":          {in: "PROXY UNKNOWN " + strings.Repeat("x", 92) + "\r\n", bad: "107"},
		"1: endless":                    {in: "PROXY " + strings.Repeat("x", 200), bad: "107"},
		"1: bare LF":                    {in: "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\n", bad: "CRLF"},
		"1: two spaces":                 {in: "PROXY TCP4  192.0.2.1 198.51.100.2 4660 443\r\n", bad: "two addresses"},
		"1: trailing space":             {in: "PROXY TCP4 192.0.2.1 198.51.100.2 4660 443 \r\n", bad: "two addresses"},
		"1: family and address differ":  {in: "PROXY TCP4 2001:db8::9 2001:db8::1 1 2\r\n", bad: "address"},
		"1: IPv4 in TCP6":               {in: "PROXY TCP6 192.0.2.1 198.51.100.2 1 2\r\n", bad: "address"},
		"1: zone":                       {in: "PROXY TCP6 fe80::1%eth0 fe80::2 1 2\r\n", bad: "address"},
		"1: leading zero of an address": {in: "PROXY TCP4 192.0.2.01 198.51.100.2 1 2\r\n", bad: "address"},
		"1: leading zero of a port":     {in: "PROXY TCP4 192.0.2.1 198.51.100.2 01 2\r\n", bad: "port"},
		"1: sign of a port":             {in: "PROXY TCP4 192.0.2.1 198.51.100.2 +1 2\r\n", bad: "port"},
		"1: port too large":             {in: "PROXY TCP4 192.0.2.1 198.51.100.2 1 65536\r\n", bad: "port"},
		"1: UDP":                        {in: "PROXY UDP4 192.0.2.1 198.51.100.2 1 2\r\n", bad: "family"},
		"1: lower case":                 {in: "proxy TCP4 192.0.2.1 198.51.100.2 1 2\r\n", bad: ErrNone.Error()},
		"1: CR in the middle":           {in: "PROXY TCP4 192.0.2.1\r 198.51.100.2 1 2\r\n", bad: "address"},
		"2: IPv4":                       {in: v2(0x21, 0x11, 12, ipv4Body), source: "192.0.2.1:4660", destination: "198.51.100.2:443"},
		"2: IPv6":                       {in: v2(0x21, 0x21, 36, six), source: "[2001:db8::9]:80", destination: "[2001:db8::9]:443"},
		"2: additions":                  {in: v2(0x21, 0x11, 19, ipv4Body+"\x04\x00\x04abcd"), source: "192.0.2.1:4660", destination: "198.51.100.2:443"},
		"2: local":                      {in: v2(0x20, 0x00, 0, "")},
		"2: local with addresses":       {in: v2(0x20, 0x11, 12, ipv4Body)},
		"2: unspec":                     {in: v2(0x21, 0x00, 3, "abc")},
		"2: unix":                       {in: v2(0x21, 0x31, 216, strings.Repeat("x", 216))},
		"2: UDP":                        {in: v2(0x21, 0x12, 12, ipv4Body)},
		"2: version 1":                  {in: v2(0x11, 0x11, 12, ipv4Body), bad: "version"},
		"2: unknown command":            {in: v2(0x22, 0x11, 12, ipv4Body), bad: "version"},
		"2: unknown family":             {in: v2(0x21, 0x41, 12, ipv4Body), bad: "family"},
		"2: unknown transport":          {in: v2(0x21, 0x13, 12, ipv4Body), bad: "family"},
		"2: too few":                    {in: v2(0x21, 0x11, 11, ipv4Body[:11]), bad: "too few"},
		"2: too many":                   {in: v2(0x21, 0x11, 65535, ""), bad: "at most"},
		"a request":                     {in: "GET / HTTP/1.1\r\n\r\n", bad: ErrNone.Error()},
		"a ClientHello":                 {in: "\x16\x03\x01\x02\x00\x01", bad: ErrNone.Error()},
	} {
		h, n, err := Parse([]byte(tc.in + "rest")[:len(tc.in)])
		switch {
		case tc.bad != "":
			if err == nil || !strings.Contains(err.Error(), tc.bad) || n != 0 {
				t.Errorf("%s: %d %v, want an error with %q", name, n, err, tc.bad)
			}
			continue
		case err != nil || n != len(tc.in) || h != Header{ap(tc.source), ap(tc.destination)}:
			t.Errorf("%s: %v, %d bytes of %d, %v", name, h, n, len(tc.in), err)
		}
		// Whatever piece has come, the rest is waited for.
		for i := range tc.in {
			if _, n, err := Parse([]byte(tc.in[:i])); n != 0 || err != nil {
				t.Errorf("%s, %d bytes of it: %d %v", name, i, n, err)
			}
		}
		if _, n, err := Parse([]byte(tc.in + "rest")); n != len(tc.in) || err != nil {
			t.Errorf("%s and more: %d %v", name, n, err)
		}
	}
	if _, _, err := Parse([]byte("GET /")); !errors.Is(err, ErrNone) {
		t.Error(err)
	}
}

// What is written is read again, by this package and by another.
func TestAppend(t *testing.T) {
	for _, tc := range []struct{ source, destination, wantSource, wantDestination string }{
		{"192.0.2.1:4660", "198.51.100.2:443", "192.0.2.1:4660", "198.51.100.2:443"},
		{"[2001:db8::9]:0", "[2001:db8::1]:65535", "[2001:db8::9]:0", "[2001:db8::1]:65535"},
		{"[::ffff:192.0.2.1]:9", "198.51.100.2:10", "192.0.2.1:9", "198.51.100.2:10"},
		{"192.0.2.1:99", "[2001:db8::1]:100", "192.0.2.1:99", "[2001:db8::1]:100"},
		{"[fe80::1%eth0]:1", "[fe80::2]:2", "[fe80::1]:1", "[fe80::2]:2"},
		{"", "", "", ""},
		{"192.0.2.1:1", "", "", ""},
	} {
		for version := 1; version <= 2; version++ {
			b := Append(nil, version, ap(tc.source), ap(tc.destination))
			h, n, err := Parse(b)
			if err != nil || n != len(b) || h != (Header{ap(tc.wantSource), ap(tc.wantDestination)}) {
				t.Errorf("version %d of %s: %v %d %v", version, tc.source, h, n, err)
			}
			other, err := goproxyproto.Read(bufio.NewReader(bytes.NewReader(b)))
			if err != nil || int(other.Version) != version {
				t.Errorf("version %d of %s: another reader says %v %v", version, tc.source, other, err)
				continue
			}
			if tc.wantSource == "" {
				continue
			}
			if got := other.SourceAddr.(*net.TCPAddr).AddrPort(); got.Port() != ap(tc.wantSource).Port() || got.Addr().Unmap() != ap(tc.wantSource).Addr() {
				t.Errorf("version %d of %s: another reader says %v", version, tc.source, got)
			}
		}
	}
}

// Nothing panics; what is taken is within bounds, and another reader takes it for the same.
func FuzzParse(f *testing.F) {
	f.Add([]byte("PROXY TCP4 192.0.2.1 198.51.100.2 4660 443\r\nGET"))
	f.Add([]byte("PROXY TCP6 2001:db8::9 2001:db8::1 1 65535\r\n"))
	f.Add([]byte("PROXY UNKNOWN\r\n"))
	f.Add(append([]byte(prefix2), "\x21\x11\x00\x0c"+ipv4Body...))
	f.Add(append([]byte(prefix2), "\x21\x11\x00\x13"+ipv4Body+"\x04\x00\x04abcd"...))
	f.Add(append([]byte(prefix2), "\x20\x00\x00\x00"...))
	f.Fuzz(func(t *testing.T, b []byte) {
		h, n, err := Parse(b)
		if n < 0 || n > len(b) || n > MaxBytes || err != nil && n != 0 {
			t.Fatalf("%d bytes of %d, %v", n, len(b), err)
		}
		if n == 0 && err == nil && len(b) >= MaxBytes {
			t.Fatal("more is waited for than is ever taken")
		}
		if h.Source.IsValid() != h.Destination.IsValid() {
			t.Fatalf("half of %v", h)
		}
		if !h.Source.IsValid() {
			return
		}
		other, oerr := goproxyproto.Read(bufio.NewReader(bytes.NewReader(b[:n])))
		if oerr != nil {
			t.Fatalf("%v, and another reader says %v", h, oerr)
		}
		tcp, ok := other.SourceAddr.(*net.TCPAddr)
		if !ok || tcp.AddrPort().Addr().Unmap() != h.Source.Addr() || tcp.AddrPort().Port() != h.Source.Port() {
			t.Fatalf("%v, and another reader says %v", h, other.SourceAddr)
		}
	})
}
